"""What Calven is told of counts: when, under which id, and for which door."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Literal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from relay.calven import Result
from relay.config.model import Config, Door, Lineage
from relay.delivery.occupancy import accepted_facts
from relay.events import BadgeEvent
from relay.occupancy.days import operating_day
from relay.occupancy.rules import (
    REPORT_AFTER_MS,
    Count,
    anonymous,
    count_at_end,
    event_id,
    old_enough,
    reported_places,
    through,
    unqueued_facts,
)
from tests.building import CONFIG, NOON_MS, badge, config
from tests.rig import NOON
from tests.unit.test_occupancy_rules import MINUTE, TODAY, Memory

SYDNEY, NEW_YORK = "Australia/Sydney", "America/New_York"


@pytest.mark.parametrize(
    ("count", "people"),
    [(Count(people=3, version=2), 0), (Count(people=0, version=2), None), (Count(), None)],
)
def test_count_at_end(count: Count, people: int | None) -> None:
    """The end of a day is told of places that held somebody, once."""
    ended = count_at_end(count)
    assert (ended != count) == (people is not None)
    assert count_at_end(ended) == ended
    told = [
        (fact.people, fact.at, fact.version) for fact in replace(ended, reported=2).pending_facts("hq", TODAY)
    ]
    assert told == ([] if people is None else [(people, TODAY.end, 3)])


@pytest.mark.parametrize(
    ("ended", "late", "next_day", "people"),
    [
        (False, False, False, [2]),
        (False, False, True, [2]),
        (True, False, False, [0]),
        (True, False, True, [0]),
        (True, True, False, [2, 0]),
        (True, True, True, [2]),
    ],
)
def test_pending_facts(ended: bool, late: bool, next_day: bool, people: list[int]) -> None:
    """After the day's end its zero is pending, behind a late badge's count, unless it is no news any more."""
    count = Count(people=2, version=3, reported=2, at=NOON_MS, ended=ended, late=late)
    facts = count.pending_facts("hq", TODAY, reported_next_day=next_day)
    assert [fact.people for fact in facts] == people
    assert {fact.at for fact in facts} <= {NOON_MS, TODAY.end}
    assert replace(count, reported=3).pending_facts("hq", TODAY) == []
    assert replace(count, moved=True).pending_facts("hq", TODAY) == []


def test_unqueued_facts() -> None:
    """The schedule reports what is pending and in no queue, each under the source that reported it last."""
    counts = {
        "hq": Count(people=2, version=2, reported=1, source="kisi"),
        "l1": Count(people=2, version=2, reported=2, source="kisi"),
        "l2": Count(people=1, version=2, queued=2, source="kisi"),
        "l1-a": Count(people=1, version=2, queued=1, source="verkada", ended=True, late=True),
    }
    pending = unqueued_facts(TODAY, counts, ["l1-a"])
    assert [(source, fact.location_id, fact.people) for source, fact in pending] == [
        ("kisi", "hq", 2),
        ("verkada", "l1-a", 1),
    ]


def test_old_enough() -> None:
    """What a badge changed less than a minute ago the badge reports itself."""
    counts = {"hq": Count(at=NOON_MS), "l1": Count(at=NOON_MS - 1)}
    assert set(old_enough(counts, NOON_MS + REPORT_AFTER_MS)) == {"l1"}


def test_reported_places() -> None:
    """Places of which there was something to report in a day have a time of a report."""
    assert reported_places({"hq": Count(at=NOON_MS), "l1": Count()}) == {"hq"}


def test_payload() -> None:
    """A fact is told to Calven with its place's id and type, and its time in UTC."""
    [fact] = Memory().badge(badge("e1", "ann", "in", "hq", NOON_MS + 7)).facts
    assert fact.payload(CONFIG) == {
        "timestamp": "2026-11-04T04:00:00.007Z",
        "locationId": "hq",
        "locationType": "location",
        "eventId": fact.event_id,
        "occupied": True,
        "occupancy": 1,
    }
    empty = fact.model_copy(update={"people": 0}).payload(CONFIG)
    assert (empty["occupied"], empty["occupancy"]) == (False, 0)


def test_corrected_id() -> None:
    """A fact goes to the id that its place has now, unless another place has the name or it is its zero."""
    wrong = Config.model_validate({"places": {"hq": {"locationId": "wrong", "locationType": "location"}}})
    [fact] = Memory().badge(badge("e1", "ann", "in", "hq", NOON_MS)).facts
    fact = fact.model_copy(update={"location_id": "wrong"})
    assert fact.payload(wrong)["locationId"] == "wrong"
    assert fact.payload(CONFIG)["locationId"] == "hq"
    assert fact.model_copy(update={"place": "gone"}).payload(CONFIG)["locationId"] == "wrong"
    taken = CONFIG.model_copy(update={"lineage": Lineage(taken={"hq": {"wrong": NOON_MS}})})
    assert fact.payload(taken)["locationId"] == "wrong"
    assert fact.model_copy(update={"location_id": "typo"}).payload(taken)["locationId"] == "hq"
    removed = fact.model_copy(update={"removed": True})
    assert removed.payload(CONFIG)["locationId"] == "wrong"


FACT = ("kisi", "e1", "hq", NOON_MS, 1)


@pytest.mark.parametrize(
    "other",
    [
        ("verkada", "e1", "hq", NOON_MS, 1),
        ("kisi", "e2", "hq", NOON_MS, 1),
        ("kisi", "e1", "l1", NOON_MS, 1),
        ("kisi", "e1", "hq", NOON_MS + 1, 1),
        ("kisi", "e1", "hq", NOON_MS, 2),
    ],
)
def test_event_id(other: tuple[str, str, str, int, int]) -> None:
    """The same fact has the same id, and any other fact another one."""
    assert event_id(*FACT) == event_id(*FACT) != event_id(*other)


EVENT = BadgeEvent(event_id="e1", at=datetime(2026, 11, 4, 4, tzinfo=UTC), door="d", person="Ann@Example.com")


def test_anonymous() -> None:
    """A person is a keyed hash: of the address in any case and from any source, else of source and id."""
    hashed = [
        anonymous(EVENT.model_copy(update={"person": person}), source, key).person
        for person, source, key in (
            ("Ann@Example.com", "kisi", b"key"),
            ("ann@example.COM", "verkada", b"key"),
            ("ann@example.com", "kisi", b"other key"),
            ("70417", "kisi", b"key"),
            ("70417", "verkada", b"key"),
        )
    ]
    assert hashed[0] == hashed[1]
    assert len(set(hashed)) == 4
    assert all(person and len(person) == 32 and "ann" not in person for person in hashed)
    assert anonymous(EVENT, "kisi", b"key").model_copy(update={"person": EVENT.person}) == EVENT


def test_through() -> None:
    """A badge at a door goes into its place or out to the one around it, whatever the position before."""
    into, out = (through(EVENT, Door(place="l1", direction=d), "kisi", NOON, CONFIG) for d in ("in", "out"))
    assert (into.target, out.target) == ("l1", "hq")
    assert through(EVENT, Door(place="hq", direction="out"), "kisi", NOON, CONFIG).target is None


def test_direction_of_the_vendor() -> None:
    """A direction that the vendor reports overrides the door's."""
    reported = EVENT.model_copy(update={"direction": "out"})
    assert through(reported, Door(place="l1", direction="in"), "kisi", NOON, CONFIG).target == "hq"


@given(st.datetimes(datetime(2000, 1, 1), datetime(2099, 12, 31), timezones=st.just(UTC)), st.booleans())  # noqa: DTZ001 - hypothesis adds the zone itself
@example(datetime(2038, 10, 10, 0, 52, 5, 832_000, tzinfo=UTC), True)
def test_time_of_a_badge(at: datetime, on_time: bool) -> None:
    """A badge's time is kept to the millisecond; one that is later than the receipt counts as the receipt."""
    at = at.replace(microsecond=at.microsecond // 1000 * 1000)
    exact = (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    received_at = exact // 1000 + (60 if on_time else -60)
    passed = through(EVENT.model_copy(update={"at": at}), Door(place="l1"), "kisi", received_at, CONFIG)
    assert passed.at == (exact if on_time else received_at * 1000)


def test_repeated_hour() -> None:
    """Badges of the hour that comes twice are counted in the order in which they happened."""
    there = config(SYDNEY, "04:00")
    first = int(datetime(2027, 4, 3, 15, 30, tzinfo=UTC).timestamp() * 1000)
    memory = Memory(operating_day(there, "hq", first))
    memory.badge(badge("e1", "ann", "in", "hq", first))
    memory.badge(badge("e2", "ann", "out", "hq", first + 60 * MINUTE))
    assert [(fact.at, fact.people) for fact in memory.told] == [(first, 1), (first + 60 * MINUTE, 0)]
    assert operating_day(there, "hq", first) == operating_day(there, "hq", first + 60 * MINUTE)


@pytest.mark.parametrize(
    ("count", "zero", "noted"),
    [
        ("accepted", "accepted", 2),
        ("accepted", "waiting", 0),
        ("waiting", "accepted", 0),
        ("accepted", "refused", 0),
    ],
)
def test_late_count_and_its_zero_are_noted_together(
    count: Literal["accepted", "waiting"], zero: Literal["accepted", "waiting", "refused"], noted: int
) -> None:
    """Both have one version: noted for one of them, the other would not be told, were its letter lost."""
    late = Count(people=1, version=2, event_id="e1", source="kisi", ended=True, late=True)
    facts = late.pending_facts("l1-a", TODAY)
    results = {
        fact.event_id: Result(status=status) for fact, status in zip(facts, (count, zero), strict=True)
    }
    assert len(accepted_facts(facts, results)) == noted
