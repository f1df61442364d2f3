"""Leave: what is wanted, what Calven may hold, and the difference to send."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.config.model import Source, TimeOffType
from relay.errors import InvalidLeave
from relay.events import Amount, LeaveChange, LeaveState
from relay.time_off.days import span
from relay.time_off.rules import (
    KEPT,
    Held,
    Leave,
    TimeOff,
    accepted,
    attempted,
    leave_of,
    recent,
    recent_days,
    refused,
    runs,
    to_send,
    wanted,
)

FIRST = date(2027, 2, 1)
TODAY = date(2026, 11, 4)
SKIP = Source.model_validate({"vendor": "deel", "timeOffTypes": {"Vacation": "holiday", "SICK": "sick"}})
WHOLE = Source.model_validate({"vendor": "deel", "partDays": "whole"})


def day(number: int) -> date:
    """The n-th day of February 2027."""
    return FIRST + timedelta(days=number - 1)


def change(**fields: Any) -> LeaveChange:
    """An approved leave from the first to the fifth."""
    approved = {
        "event_id": "e1",
        "leave_id": "1",
        "state": "approved",
        "version": "1",
        "email": "Sam@example.com",
    }
    return LeaveChange.model_validate({**approved, "start": "2027-02-01", "end": "2027-02-05", **fields})


def leave(
    first: int, last: int, kind: TimeOffType = "leave", version: str = "1", state: LeaveState = "approved"
) -> Leave:
    """A leave from the n-th to the m-th."""
    return Leave(state=state, version=version, start=day(first), end=day(last), type=kind, recorded=TODAY)


def days(held: Mapping[int, TimeOffType | None], *, confirmed: bool = True) -> dict[date, Held]:
    """Days that Calven holds, by number."""
    return {day(number): Held(kind, confirmed) for number, kind in held.items()}


HALF = Amount(value=0.5, unit="days")


@pytest.mark.parametrize(
    ("fields", "source", "first", "last"),
    [
        ({}, SKIP, 1, 5),
        ({"first_day_part": True}, SKIP, 2, 5),
        ({"last_day_part": True}, SKIP, 1, 4),
        ({"first_day_part": True, "last_day_part": True}, SKIP, 2, 4),
        ({"end": "2027-02-02", "first_day_part": True, "last_day_part": True}, SKIP, None, None),
        ({"end": "2027-02-01", "first_day_part": True}, SKIP, None, None),
        ({"end": "2027-02-01", "first_day_part": True, "last_day_part": True}, SKIP, None, None),
        ({"each_day": HALF}, SKIP, None, None),
        ({"first_day_part": True, "last_day_part": True}, WHOLE, 1, 5),
        ({"each_day": HALF}, WHOLE, 1, 5),
        ({"state": "ended", "first_day_part": True}, SKIP, 2, 5),
        ({"state": "requested"}, SKIP, 1, 5),
        ({"state": "requested", "open_ended": True, "end": None}, SKIP, None, None),
        ({"state": "ended", "start": None, "end": None}, SKIP, None, None),
        ({"state": "ended", "open_ended": True}, SKIP, None, None),
        ({"start": "2026-01-01", "end": "2027-02-04"}, SKIP, -395, 4),
    ],
)
def test_whole_days(fields: dict[str, Any], source: Source, first: int | None, last: int | None) -> None:
    """Part days are skipped or counted whole as the source says; the days between stay."""
    kept = leave_of(change(**fields), source, TODAY)
    assert (kept.start, kept.end) == (first and day(first), last and day(last))


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"open_ended": True, "end": None}, "open_ended"),
        ({"open_ended": True}, "open_ended"),
        ({"end": None}, "open_ended"),
        ({"start": None}, "invalid_dates"),
        ({"start": "soon"}, "invalid_dates"),
        ({"end": "2027-02-30"}, "invalid_dates"),
        ({"end": "2027-01-31"}, "invalid_dates"),
        ({"start": "0027-02-01"}, "invalid_dates"),
        ({"start": "2100-01-01", "end": "2100-01-02"}, "invalid_dates"),
        ({"end": "9999-12-31"}, "invalid_dates"),
        ({"start": "2026-01-01", "end": "2027-02-05"}, "invalid_dates"),
    ],
)
def test_invalid(fields: dict[str, Any], reason: str) -> None:
    """Approved leave that has no end or no valid dates, or is longer than 400 days, is refused by name."""
    with pytest.raises(InvalidLeave) as invalid:
        leave_of(change(**fields), WHOLE, TODAY)
    assert invalid.value.reason == reason
    assert leave_of(change(**fields, state="ended"), WHOLE, TODAY).start is None


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("Vacation", "holiday"),
        ("vacation", "holiday"),
        ("Sick", "sick"),
        (" Vacation ", "holiday"),
        ("Jury duty", "leave"),
        (None, "leave"),
    ],
)
def test_types(name: str | None, kind: str) -> None:
    """A type is the source's for the vendor's name in any case, `leave` where nothing matches."""
    assert leave_of(change(type_name=name), SKIP, TODAY).type == kind


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        (leave(1, 5, version="1"), leave(1, 2, version="2")),
        (leave(1, 5), leave(1, 5, state="ended")),
        (leave(1, 5, version="1", state="ended"), leave(1, 5, version="2")),
        (replace(leave(1, 5), content="a"), replace(leave(2, 3), content="b")),
    ],
)
def test_rank(older: Leave, newer: Leave) -> None:
    """The later version wins, at equal versions an ending, and else the content, always the same way."""
    assert newer.takes_over(older)
    assert not older.takes_over(newer)


@pytest.mark.parametrize(
    "read_anew",
    [
        leave(1, 5, "holiday"),
        leave(2, 5),
        replace(leave(1, 5), email="a@example.com"),
        replace(leave(1, 5), gaps=frozenset({day(3)})),
    ],
)
def test_same_content(read_anew: Leave) -> None:
    """The same content is read with what is configured by now, never with what was configured before."""
    known = leave(1, 5)
    assert replace(read_anew, config=1).takes_over(known)
    assert replace(read_anew, config=1).takes_over(replace(known, config=1))
    assert not read_anew.takes_over(replace(known, config=1))
    assert not replace(known, config=2).takes_over(known)


@pytest.mark.parametrize(
    ("read_anew", "is_later"),
    [
        (leave(1, 5), False),
        (replace(leave(1, 5), config=2), True),
        (replace(leave(1, 4), config=2), False),
        (replace(leave(1, 5, version="2"), config=2), False),
    ],
)
def test_read_alike(read_anew: Leave, is_later: bool) -> None:
    """What is no news is noted only where a later configuration has read it."""
    assert read_anew.is_read_later(leave(1, 5)) == is_later
    assert not read_anew.is_read_later(replace(leave(1, 5), config=2))
    assert not read_anew.is_read_later(None)


@pytest.mark.parametrize(
    ("state", "said_at", "repeated_at"),
    [("approved", 1000, 0), ("approved", 1001, 1001), ("ended", 1001, 0), ("requested", 1001, 0)],
)
def test_repeat(state: LeaveState, said_at: int, repeated_at: int) -> None:
    """Approved leave that is said once more is noted, but not another attempt at what is known."""
    known = replace(leave(1, 5), state=state, received=1000)
    noted = known.noted_on(known, said_at)
    assert (noted.repeated_at if noted else 0) == repeated_at
    if noted:
        assert (noted.heard_at, noted.noted_on(noted, said_at)) == (said_at, None)
    assert replace(known, version="9").noted_on(known, said_at) is None


def test_wanted() -> None:
    """Wanted are the days of all approved leave; where two types cover a day, the newest one's counts."""
    leaves = [
        leave(1, 3, "holiday", version="2"),
        leave(3, 5, "sick", version="3"),
        leave(2, 2, "leave", version="1"),
        leave(8, 9, state="requested"),
        leave(10, 11, state="ended"),
        Leave(state="approved", version="4"),
    ]
    expected = {1: "holiday", 2: "holiday", 3: "sick", 4: "sick", 5: "sick"}
    assert (
        wanted(leaves) == wanted(reversed(leaves)) == {day(number): kind for number, kind in expected.items()}
    )


@pytest.mark.parametrize(
    ("want", "held", "sent"),
    [
        ({}, {}, []),
        ({1: "leave", 2: "leave"}, {}, [(1, 2, "leave")]),
        ({1: "leave", 2: "leave"}, days({1: "leave", 2: "leave"}), []),
        ({1: "leave", 2: "leave"}, days({1: "leave", 2: "leave"}, confirmed=False), [(1, 2, "leave")]),
        ({}, days({1: "leave", 2: "sick"}), [(1, 2, None)]),
        ({}, days({1: None}, confirmed=False), [(1, 1, None)]),
        ({2: "leave", 3: "leave"}, days({1: "leave", 2: "leave"}), [(1, 1, None), (3, 3, "leave")]),
        ({1: "sick"}, days({1: "leave"}), [(1, 1, "sick")]),
        ({1: "leave"}, days({1: None}, confirmed=False), [(1, 1, "leave")]),
        ({1: "leave", 3: "leave"}, {}, [(1, 1, "leave"), (3, 3, "leave")]),
        ({1: "leave", 2: "sick", 3: "sick"}, {}, [(1, 1, "leave"), (2, 3, "sick")]),
    ],
    ids=str,
)
def test_difference(
    want: dict[int, TimeOffType], held: dict[date, Held], sent: list[tuple[int, int, TimeOffType | None]]
) -> None:
    """What is sent is the difference of wanted and held, in ranges of adjacent days of one kind."""
    expected = [TimeOff(day(first), day(last), kind) for first, last, kind in sent]
    assert to_send({day(number): kind for number, kind in want.items()}, held) == expected


KINDS: st.SearchStrategy[TimeOffType] = st.sampled_from(("holiday", "leave", "sick"))
DAYS = st.integers(1, 12).map(day)
WANTED = st.dictionaries(DAYS, KINDS)
HELD = st.dictionaries(DAYS, st.builds(Held, st.none() | KINDS, st.booleans()))


@given(WANTED, HELD)
def test_one_submission_is_enough(want: dict[date, TimeOffType], held: dict[date, Held]) -> None:
    """Once everything sent is accepted, held is what is wanted, confirmed, and nothing is left to send."""
    sending = to_send(want, held)
    after = attempted(held, sending)
    for time_off in sending:
        after = accepted(after, time_off)
    assert after == {on: Held(kind, confirmed=True) for on, kind in want.items()}
    assert to_send(want, after) == []


@given(WANTED, HELD)
def test_nothing_is_sent_twice_in_one_submission(
    want: dict[date, TimeOffType], held: dict[date, Held]
) -> None:
    """No day is in two events of a submission, so that their order does not matter."""
    sent = [on for time_off in to_send(want, held) for on in span(time_off.start, time_off.end)]
    assert len(sent) == len(set(sent))


@given(WANTED, HELD, WANTED)
def test_unknown_outcome(
    want: dict[date, TimeOffType], held: dict[date, Held], later: dict[date, TimeOffType]
) -> None:
    """What was sent and not confirmed is sent again, or taken back once it is not wanted any more."""
    unsure = attempted(held, to_send(want, held))
    again = {on: t.type for t in to_send(later, unsure) for on in span(t.start, t.end)}
    touched = {on for t in to_send(want, held) for on in span(t.start, t.end)}
    assert {on: kind for on, kind in again.items() if on in touched} == {on: later.get(on) for on in touched}


@given(WANTED, HELD)
def test_refused(want: dict[date, TimeOffType], held: dict[date, Held]) -> None:
    """What Calven refused leaves its days as they were before, but for what was the same attempt."""
    sending = to_send(want, held)
    after = attempted(held, sending)
    for time_off in sending:
        after = refused(after, time_off, held)
    assert after == without_attempts(want, held)


def without_attempts(sent: Mapping[date, TimeOffType | None], held: Mapping[date, Held]) -> dict[date, Held]:
    """The held days without those of which nobody knows whether Calven has them just as they are sent."""
    return {
        on: each for on, each in held.items() if each.confirmed or not each.type or each.type != sent.get(on)
    }


@pytest.mark.parametrize(
    ("before", "attempts", "left"),
    [
        ({}, ["leave"], None),
        ({}, ["leave", "leave", "leave"], None),
        (days({1: "leave"}), ["sick"], "leave"),
        (days({1: "leave"}), ["sick", "sick"], "sick"),
        (days({1: "leave"}), ["leave", "leave"], "leave"),
        (days({1: "leave"}), [None, None], "cancelled"),
        (days({1: None}, confirmed=False), ["leave", "leave"], "leave"),
        ({}, ["leave", None, "leave", "leave"], "leave"),
    ],
    ids=str,
)
def test_refused_at_last(
    before: dict[date, Held], attempts: list[TimeOffType | None], left: TimeOffType | None
) -> None:
    """After attempts of unknown outcome a refused day is held only where Calven may have it otherwise."""
    held = now = before
    for kind in attempts:
        held, now = now, attempted(now, [TimeOff(day(1), day(1), kind)])
    after = refused(now, TimeOff(day(1), day(1), attempts[-1]), held)
    assert [each.type or "cancelled" for each in after.values()] == ([left] if left else [])


@given(st.dictionaries(DAYS, KINDS))
def test_runs(values: dict[date, TimeOffType]) -> None:
    """Runs cover each day once, in order of time, and no two of them could be one."""
    found = runs(values)
    assert {on: kind for first, last, kind in found for on in span(first, last)} == values
    assert found == sorted(found)
    for (_, last, kind), (first, _, other) in pairwise(found):
        assert first > last + timedelta(days=1) or kind != other


def test_event_ids() -> None:
    """The same submission of the same event has the same id, and any other another one."""
    time_off = TimeOff(day(1), day(5), "leave")
    same = time_off.event_id("deel", "e1", "Sam@example.com")
    assert same == time_off.event_id("deel", "e1", "sam@EXAMPLE.com")
    others = {
        time_off.event_id("hibob", "e1", "sam@example.com"),
        time_off.event_id("deel", "e2", "sam@example.com"),
        time_off.event_id("deel", "e1", "kim@example.com"),
        TimeOff(day(2), day(5), "leave").event_id("deel", "e1", "sam@example.com"),
        TimeOff(day(1), day(6), "leave").event_id("deel", "e1", "sam@example.com"),
        TimeOff(day(1), day(5), "sick").event_id("deel", "e1", "sam@example.com"),
        TimeOff(day(1), day(5), None).event_id("deel", "e1", "sam@example.com"),
    }
    assert len({same, *others}) == 8


def test_payloads() -> None:
    """Calven gets `scheduled` with a type, `cancelled` without, and the address in the case it came in."""
    scheduled = TimeOff(day(1), day(5), "holiday").payload("id-1", "Sam@example.com")
    assert scheduled == {
        "eventId": "id-1",
        "email": "Sam@example.com",
        "eventType": "scheduled",
        "startDate": "2027-02-01",
        "endDate": "2027-02-05",
        "timeOffType": "holiday",
    }
    cancelled = TimeOff(day(1), day(5), None).payload("id-1", "Sam@example.com")
    assert cancelled["eventType"] == "cancelled"
    assert "timeOffType" not in cancelled


@pytest.mark.parametrize(
    ("ended", "heard", "kept"),
    [(0, 0, True), (-60, -60, True), (-61, -60, True), (-60, -61, True), (-61, -61, False), (30, -300, True)],
)
def test_recent(ended: int, heard: int, kept: bool) -> None:
    """A leave that ended and was last heard of over 60 days ago is dropped."""
    end, recorded = (TODAY + timedelta(days=shift) for shift in (ended, heard))
    found = {"deel/1": Leave(state="approved", version="1", start=end, end=end, recorded=recorded)}
    assert recent(found, TODAY) == (found if kept else {})


def test_recent_without_days() -> None:
    """A leave without whole days is kept for 60 days after it was heard of."""
    found = {"deel/1": Leave(state="approved", version="1", recorded=TODAY)}
    assert recent(found, TODAY + KEPT) == found
    assert recent(found, TODAY + KEPT + timedelta(days=1)) == {}


def test_recent_days() -> None:
    """Days over 60 days ago are dropped once no leave covers them; nothing is sent about them then."""
    old, new = TODAY - KEPT - timedelta(days=1), TODAY - KEPT
    held = {old: Held("leave", confirmed=True), new: Held("leave", confirmed=True)}
    covering = Leave(state="approved", version="1", start=old, end=old)
    assert recent_days(held, {}, TODAY) == {new: held[new]}
    assert recent_days(held, {"deel/1": covering}, TODAY) == held


def test_days_to_take_back_are_kept() -> None:
    """Days that Calven has still to give back are kept however long ago they are."""
    held = {TODAY - timedelta(days=100): Held(None, confirmed=False)}
    assert recent_days(held, {}, TODAY) == held
