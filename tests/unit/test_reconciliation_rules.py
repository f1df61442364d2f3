"""What a list and the ledger disagree about, and when a list is not to be trusted."""

from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import pytest

from relay import vendors
from relay.config.model import Source
from relay.events import LeaveChange, iso
from relay.reconciliation.rules import (
    Versions,
    current_and_coming,
    differs,
    ends_too_many,
    inferred_ends,
    missing,
)
from relay.reconciliation.runs import Run, State
from relay.reconciliation.schedule import interval_of, is_due
from relay.time_off.decision import REPLACED, Decision, arrival_of, decision_on
from relay.time_off.rules import Leave
from relay.vendors.support.listing import LeaveList, Page
from tests.rig import NOON

TODAY = date(2026, 11, 4)
BEGAN = round(NOON * 1000)
CHANGE = LeaveChange(
    event_id="list:1",
    leave_id="1",
    state="approved",
    version=iso(NOON - 60),
    email="kim@example.com",
    start="2026-11-09",
    end="2026-11-10",
    listed_at=datetime.fromtimestamp(NOON, UTC),
)
LIST = LeaveList(page=lambda api, window, following: Page([]), version="own", lacks="ended")
KNOWN = arrival_of(CHANGE, "deel", Source(vendor="deel"), TODAY, 1).leave
[LACKING] = inferred_ends({"1": KNOWN}, BEGAN)
END = LACKING.change


def decided(
    change: LeaveChange, known: Leave, *, received_at: int = BEGAN, all_seen_at: int | None = None
) -> Decision:
    """What a change of the leave comes to."""
    arrival = arrival_of(change, "deel", Source(vendor="deel"), TODAY, 1)
    return decision_on(arrival, known, None, None, received_at=received_at, all_seen_at=all_seen_at)


def listed(versions: Versions, known: Leave | None, **changes: Any) -> bool:
    """Whether a listed leave differs from the known one."""
    change = LeaveChange.model_validate({**CHANGE.model_dump(), **changes})
    return differs(arrival_of(change, "deel", Source(vendor="deel"), TODAY, 1), known, versions)


@pytest.mark.parametrize("versions", ["own", "asked"])
@pytest.mark.parametrize(
    ("known", "changes", "expected"),
    [
        (None, {}, True),
        (None, {"state": "requested"}, False),
        (None, {"state": "ended"}, False),
        (KNOWN, {}, False),
        (replace(KNOWN, received=BEGAN + 1), {"start": "2026-11-08", "version": iso(NOON)}, False),
        (replace(KNOWN, state="ended", inferred=True), {}, True),
        (replace(KNOWN, version=REPLACED, state="ended"), {}, False),
        (KNOWN, {"state": "ended", "version": iso(NOON)}, True),
        (KNOWN, {"start": "2026-11-08", "version": iso(NOON)}, True),
        (KNOWN, {"email": "KIM@example.com"}, False),
        (KNOWN, {"email": None}, False),
        (replace(KNOWN, config=2), {"start": "2026-11-08"}, False),
    ],
)
def test_differences(
    versions: Versions, known: Leave | None, changes: dict[str, Any], expected: bool
) -> None:
    """Only what the ledger does not have like that differs, whoever tells what is newer."""
    assert listed(versions, known, **changes) is expected


def test_type_without_a_name() -> None:
    """A type that a list has by its id only is none that differs from the ledger's."""
    known = replace(KNOWN, type="holiday")
    assert listed("asked", known, type_name="7")
    assert not listed("asked", known, type_name="7", type_unnamed=True)
    assert listed("asked", known, type_name="7", type_unnamed=True, end="2026-11-11")


def test_versions() -> None:
    """A vendor's own time decides where there is one: an older entry is none, an ending wins at one time."""
    later = replace(KNOWN, version=iso(NOON + 60))
    assert not listed("own", later, start="2026-11-08")
    assert listed("asked", later, start="2026-11-08")
    assert not listed("own", replace(KNOWN, state="ended"))
    assert listed("asked", replace(KNOWN, state="ended"))
    assert listed("own", KNOWN, version=iso(NOON))
    assert not listed("asked", KNOWN, version=iso(NOON))


def test_what_a_webhook_says_more() -> None:
    """A webhook may name the days, and the list only their range: the same change is no difference."""
    exact = replace(KNOWN, content="of the webhook", start=date(2026, 11, 10))
    assert not listed("own", exact)
    assert listed("asked", exact)
    ranges = {"versions": "asked", "only_ranges": True}
    for changes, expected in (
        ({}, False),
        ({"start": "2026-11-08"}, False),
        ({"end": "2026-11-09", "start": "2026-11-09"}, True),
        ({"start": "2026-11-11", "end": "2026-11-12"}, True),
        ({"state": "ended"}, True),
    ):
        change = LeaveChange.model_validate({**CHANGE.model_dump(), **changes})
        arrival = arrival_of(change, "deel", Source(vendor="deel"), TODAY, 1)
        assert differs(arrival, exact, **ranges) is expected, changes  # type: ignore[arg-type]


def test_refused_leave() -> None:
    """Leave that Calven cannot be told differs once, not each time that it is listed."""
    change = LeaveChange.model_validate({**CHANGE.model_dump(), "end": "2026-11-01"})
    known = arrival_of(change, "deel", Source(vendor="deel"), TODAY, 1).leave
    assert listed("asked", KNOWN, end="2026-11-01")
    assert not listed("asked", known, end="2026-11-01")


def test_missing() -> None:
    """What a list lacks of its days, and was not heard of since it began."""
    known = {
        "1": KNOWN,
        "listed": KNOWN,
        "later": replace(KNOWN, received=BEGAN + 1),
        "ended": replace(KNOWN, state="ended"),
        "before": replace(KNOWN, start=date(2026, 10, 1), end=date(2026, 10, 2)),
        "after": replace(KNOWN, start=date(2028, 1, 1), end=date(2028, 1, 2)),
        "none": replace(KNOWN, start=None, end=None),
    }
    window = date(2026, 10, 28), date(2027, 12, 9)
    assert list(missing(known, {"listed"}, *window, BEGAN)) == ["1"]
    assert current_and_coming(known, TODAY) == 4


@pytest.mark.parametrize(
    ("ends", "over", "current", "of_list", "refused"),
    [
        (0, 0, 0, 0, False),
        (1, 0, 100, 0, True),
        (0, 1, 0, 0, True),
        (1, 0, 1, 5, True),
        (5, 0, 10, 5, False),
        (6, 0, 10, 5, True),
        (10, 0, 20, 10, False),
        (11, 0, 1000, 989, False),
        (101, 0, 1000, 899, True),
        (0, 1, 1, 1, False),
        (0, 30, 0, 1, False),
        (5, 30, 10, 5, False),
        (6, 30, 10, 4, True),
    ],
)
def test_trust(ends: int, over: int, current: int, of_list: int, refused: bool) -> None:
    """A list is not trusted that is empty, or ends more than half, or more than ten and a tenth.

    Only the current and coming leaves count, of those that it ends and of all.
    """
    past = replace(KNOWN, start=date(2026, 11, 1), end=date(2026, 11, 3))
    before = {f"over {number}": past for number in range(over)}
    known = before | {str(number): KNOWN for number in range(current)}
    lacking = before | {str(number): KNOWN for number in range(ends)}
    assert ends_too_many(lacking, known, TODAY, of_list) is refused


def test_inferred_end() -> None:
    """It ends the leave as it was when the list began, unless something was heard of it since."""
    ended = decided(END, KNOWN)
    assert (ended.leave.state, ended.leave.inferred, ended.is_news) == ("ended", True, True)
    assert ended.leave.lacked_at == BEGAN
    for since in (
        replace(KNOWN, received=BEGAN + 1),
        replace(KNOWN, version=iso(NOON)),
        replace(KNOWN, state="ended"),
    ):
        assert not decided(END, since).is_news
    assert decided(END, KNOWN, all_seen_at=BEGAN).is_news
    assert not decided(END, KNOWN, all_seen_at=BEGAN + 1).is_news


@pytest.mark.parametrize(
    ("said", "said_at", "is_news"),
    [
        # The leave as it was, received before the list began, in its very millisecond, and after it.
        ({}, BEGAN - 60_000, False),
        ({}, BEGAN, False),
        ({}, BEGAN + 1, True),
        # Neither does it come back in two steps.
        ({"state": "requested"}, BEGAN, False),
        ({"email": "lou@example.com", "end": "2026-11-12"}, BEGAN, False),
        ({"state": "ended"}, BEGAN, True),
        ({"version": iso(NOON - 50)}, BEGAN, True),
        ({"version": iso(NOON - 70)}, BEGAN + 1, False),
    ],
)
def test_said_of_an_inferred_end(said: dict[str, Any], said_at: int, is_news: bool) -> None:
    """What the vendor says once more revives the leave, but not what it had said when the list began."""
    ended = decided(END, KNOWN).leave
    webhook = CHANGE.model_copy(update={**said, "listed_at": None})
    assert decided(webhook, ended, received_at=said_at).is_news is is_news
    # A list's word is of when the list began, however late it comes.
    listed_at = datetime.fromtimestamp(said_at / 1000, UTC)
    list_said = CHANGE.model_copy(update={**said, "listed_at": listed_at})
    assert decided(list_said, ended, received_at=BEGAN + 3_600_000).is_news is is_news
    # Nobody knows when the list of an earlier version's end began.
    assert decided(webhook, replace(ended, lacked_at=0), received_at=said_at).is_news is (
        said.get("version") != iso(NOON - 70)
    )


def test_fault_of_what_a_list_lacked() -> None:
    """What is wrong with leave that has ended since is nobody's concern."""
    refused = CHANGE.model_copy(update={"end": "2026-11-01", "listed_at": None})
    ended = decided(END, KNOWN).leave
    assert decided(refused, ended, received_at=BEGAN).refused is None
    assert decided(refused, ended, received_at=BEGAN + 1).refused is not None


def test_when_due() -> None:
    """A source is due after its interval, or at once where its run is not over; never while it runs."""
    hour, now = 3600.0, NOON
    ended = round((NOON - 3600) * 1000)
    assert is_due(State(), hour, now)
    assert is_due(State(began=ended), hour, now)
    assert not is_due(State(began=ended + 120_000), hour, now)
    assert is_due(State(began=ended + 120_000, run=Run("r", BEGAN)), hour, now)
    assert not is_due(State(began=ended + 120_000, run=Run("r", BEGAN, by_hand=True)), hour, now)
    assert not is_due(State(began=ended, until=round(now * 1000) + 1), hour, now)


def test_due_for_news() -> None:
    """Where the vendor has had news since the last complete run began, the interval does not count."""
    recent = State(began=round(NOON * 1000), complete=round((NOON - 60) * 1000))
    assert not is_due(recent, 3600.0, NOON)
    assert not is_due(recent, 3600.0, NOON, news=NOON - 120)
    assert is_due(recent, 3600.0, NOON, news=NOON - 60)
    assert is_due(State(began=round(NOON * 1000)), 3600.0, NOON, news=NOON - 120)


def test_intervals() -> None:
    """Only sources are run whose vendor can be asked, as often as is configured."""
    hibob, paylocity = vendors.load("hibob"), vendors.load("paylocity")
    assert interval_of(Source(vendor="paylocity"), paylocity) is None
    asked = replace(hibob, lists=LIST)
    assert interval_of(Source(vendor="hibob"), asked) == 86400
    assert interval_of(Source(vendor="hibob", reconcile="15m"), asked) == 900
    assert interval_of(Source(vendor="hibob", reconcile="off"), asked) is None
    assert interval_of(Source(vendor="hibob", enabled=False), asked) is None
    assert interval_of(Source(vendor="hibob"), replace(asked, sends_webhooks=False)) == 3600
