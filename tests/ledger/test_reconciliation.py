"""A source's list, compared with the ledger: what webhooks have not told, Calven is told; nothing else."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date
from typing import Any, Literal

import pytest

from relay import vendors
from relay.deadline import BATCH, Deadline
from relay.errors import VendorUnavailable
from relay.events import Event, LeaveChange, LeaveState, MalformedEvent, iso
from relay.invocation import Invocation
from relay.observability import Telemetry
from relay.reconciliation.leave import LeaveReconciliation
from relay.reconciliation.report import Report
from relay.reconciliation.runs import Runs
from relay.reconciliation.wishes import Wishes
from relay.vendors.support.base import Api, VendorApi
from relay.vendors.support.listing import LeaveList, Page, Window
from tests.rig import NOON, Rig

pytestmark = pytest.mark.slow

BY_HAND = Wishes(by_hand=True)
SCHEDULED = Wishes()
DRY = Wishes(by_hand=True, dry=True)
ACCEPTING = Wishes(by_hand=True, accept_ends=True)


class Truth:
    """What the HR system holds, and how it lists that: some on each page."""

    def __init__(self, per_page: int = 2) -> None:
        self.leaves: dict[str, LeaveChange] = {}
        self.per_page = per_page
        self.asked: list[tuple[Window, str | None]] = []
        self.happen: Callable[[int], None] = lambda _number: None
        self.extra: list[Event] = []

    def put(
        self,
        leave_id: str,
        start: str,
        end: str,
        *,
        state: LeaveState = "approved",
        version: float = NOON - 600,
    ) -> LeaveChange:
        """Approve a leave, or have it be something else."""
        change = LeaveChange(
            event_id=f"list:{leave_id}:{version}",
            leave_id=leave_id,
            state=state,
            version=iso(version),
            email=f"{leave_id.partition('-')[0]}@example.com",
            start=start,
            end=end,
        )
        self.leaves[leave_id] = change
        return change

    def page(self, api: VendorApi, window: Window, following: str | None) -> Page:
        """One page of the list."""
        self.asked.append((window, following))
        self.happen(len(self.asked))
        start = int(following or 0)
        found: Sequence[Event] = [*self.leaves.values(), *self.extra]
        some = found[start : start + self.per_page]
        more = start + self.per_page < len(found)
        return Page(some, str(start + self.per_page) if more else None)

    def lists(self, **changes: Any) -> LeaveList:
        """The list, as a vendor's record has it."""
        return replace(LeaveList(page=self.page, version="own", lacks="ended"), **changes)


def reconcile(rig: Rig, lists: LeaveList, wishes: Wishes = BY_HAND, seconds: float = 600) -> Report:
    """Reconcile Deel's source, and let the retry function do what was queued."""
    report = run(rig, lists, wishes, seconds)
    rig.retry()
    rig.retry()
    return report


def run(rig: Rig, lists: LeaveList, wishes: Wishes = BY_HAND, seconds: float = 600) -> Report:
    """Reconcile Deel's source; what is queued waits."""
    deadline = Deadline(rig.clock() + seconds, rig.clock)
    invocation = Invocation(rig.relay, deadline, Telemetry("run"), BATCH)
    # The list is this test's: no API is asked.
    vendor = replace(vendors.load("deel"), api=Api(host="https://deel.example.com", fields=()))
    return LeaveReconciliation(invocation, "deel", vendor, lists, wishes).run()


def days(rig: Rig, who: str) -> list[str]:
    """The days that Calven holds somebody as away."""
    return sorted(rig.away(f"{who}@example.com"))


def test_backfill(rig: Rig) -> None:
    """Leave that was approved before the webhook was set up reaches Calven; a second time nothing does."""
    truth = Truth()
    truth.put("kim-1", "2026-11-09", "2026-11-10")
    truth.put("lou-1", "2026-12-01", "2026-12-01")
    truth.put("kim-2", "2027-01-04", "2027-01-04", state="requested")
    report = reconcile(rig, truth.lists())
    assert (report.status, report.listed, report.queued, report.ends) == ("complete", 3, 2, 0)
    assert days(rig, "kim") == ["2026-11-09", "2026-11-10"]
    assert days(rig, "lou") == ["2026-12-01"]
    before = len(rig.requests())
    again = reconcile(rig, truth.lists())
    assert (again.status, again.queued, again.differences) == ("complete", 0, [])
    assert len(rig.requests()) == before
    window = truth.asked[0][0]
    assert (window.first, window.last) == (date(2026, 10, 28), date(2027, 12, 9))


def test_schedule_only_reports_at_first(rig: Rig) -> None:
    """Until somebody has reconciled by hand, the schedule tells what it would do and does nothing."""
    truth = Truth()
    truth.put("kim-1", "2026-11-09", "2026-11-10")
    report = reconcile(rig, truth.lists(), SCHEDULED)
    assert (report.status, report.found, report.queued) == ("complete", 1, 0)
    assert days(rig, "kim") == []
    reconcile(rig, truth.lists(), BY_HAND)
    truth.put("lou-1", "2026-12-01", "2026-12-01")
    assert reconcile(rig, truth.lists(), SCHEDULED).queued == 1
    assert days(rig, "lou") == ["2026-12-01"]


def test_dry_run(rig: Rig) -> None:
    """A dry run changes nothing, not even what is known of runs."""
    truth = Truth(per_page=1)
    truth.put("kim-1", "2026-11-09", "2026-11-10")
    truth.put("kim-2", "2026-11-12", "2026-11-12")
    report = reconcile(rig, truth.lists(), DRY)
    assert (report.status, report.found, report.queued) == ("complete", 2, 0)
    assert days(rig, "kim") == []
    assert Runs(rig.relay.table, rig.clock).state("deel").status == "never"


def test_lost_cancellation(rig: Rig) -> None:
    """What a complete list lacks has ended; seen again with the same version it goes on."""
    truth = Truth()
    for number in range(4):
        truth.put(f"kim-{number}", f"2026-11-1{number}", f"2026-11-1{number}")
    reconcile(rig, truth.lists())
    gone = truth.leaves.pop("kim-1")
    rig.clock.advance(60)
    report = reconcile(rig, truth.lists())
    assert (report.status, report.ends) == ("complete", 1)
    assert days(rig, "kim") == ["2026-11-10", "2026-11-12", "2026-11-13"]
    truth.leaves["kim-1"] = gone
    rig.clock.advance(60)
    assert reconcile(rig, truth.lists()).queued == 1
    assert len(days(rig, "kim")) == 4


def test_list_that_proves_nothing(rig: Rig) -> None:
    """A list that goes by date of change or by start ends nothing."""
    truth = Truth()
    for number in range(4):
        truth.put(f"kim-{number}", f"2026-11-1{number}", f"2026-11-1{number}")
    lists = truth.lists(lacks="nothing")
    reconcile(rig, lists)
    del truth.leaves["kim-1"]
    rig.clock.advance(60)
    assert reconcile(rig, lists).ends == 0
    assert len(days(rig, "kim")) == 4


def test_vendor_is_asked_by_id(rig: Rig) -> None:
    """Where the vendor can be asked for one leave, only what it does not know has ended."""
    truth = Truth()
    for number in range(4):
        truth.put(f"kim-{number}", f"2026-11-1{number}", f"2026-11-1{number}")
    lists = truth.lists(lacks="nothing", knows=lambda _api, leave_id: leave_id == "kim-1")
    reconcile(rig, lists)
    del truth.leaves["kim-1"]
    rig.clock.advance(60)
    assert reconcile(rig, lists).ends == 0
    del truth.leaves["kim-2"]
    rig.clock.advance(60)
    assert reconcile(rig, lists).ends == 1
    assert days(rig, "kim") == ["2026-11-10", "2026-11-11", "2026-11-13"]


@pytest.mark.parametrize(("before", "left"), [(4, 1), (4, 0), (24, 13), (1, 0)])
def test_list_that_would_end_many(rig: Rig, before: int, left: int) -> None:
    """A list that is empty or short ends nothing, until somebody lets it."""
    truth = Truth(per_page=50)
    for number in range(before):
        truth.put(f"kim-{number}", f"2027-01-{number % 28 + 1:02}", f"2027-01-{number % 28 + 1:02}")
    reconcile(rig, truth.lists())
    held = days(rig, "kim")
    truth.leaves = dict(list(truth.leaves.items())[:left])
    rig.clock.advance(60)
    report = reconcile(rig, truth.lists())
    assert (report.status, report.ends, report.queued) == ("refused", before - left, 0)
    assert days(rig, "kim") == held
    assert reconcile(rig, truth.lists(), ACCEPTING).ends == before - left
    assert len(days(rig, "kim")) == min(left, 28)


def test_refused_look_at_some_days(rig: Rig) -> None:
    """A list of some days that is not trusted has not read all of the source: the schedule still asks."""
    truth = Truth()
    truth.put("kim-1", "2026-11-10", "2026-11-10")
    reconcile(rig, truth.lists())
    read = Runs(rig.relay.table, rig.clock).state("deel").read
    truth.leaves.clear()
    rig.clock.advance(60)
    november = replace(BY_HAND, first=date(2026, 11, 1), last=date(2026, 11, 30))
    assert reconcile(rig, truth.lists(), november).status == "refused"
    assert Runs(rig.relay.table, rig.clock).state("deel").read == read > 0


def test_leave_that_is_over(rig: Rig) -> None:
    """Leave that is over ends where a list lacks it, and does not make the list suspect."""
    truth = Truth()
    truth.put("kim-1", "2026-11-01", "2026-11-02")
    truth.put("kim-2", "2026-11-10", "2026-11-10")
    reconcile(rig, truth.lists())
    del truth.leaves["kim-1"]
    rig.clock.advance(60)
    report = reconcile(rig, truth.lists())
    assert (report.status, report.ends) == ("complete", 1)
    assert days(rig, "kim") == ["2026-11-10"]


def test_webhook_meanwhile(rig: Rig) -> None:
    """Leave that was heard of since the list began is not ended by it."""
    truth = Truth()
    for number in range(6):
        truth.put(f"kim-{number}", f"2026-11-1{number}", f"2026-11-1{number}")
    reconcile(rig, truth.lists())

    def happen(number: int) -> None:
        if number == 2:
            rig.clock.advance(1)
            assert rig.post("deel", "approved")[0] == 200

    truth.asked.clear()
    truth.happen = happen
    rig.clock.advance(60)
    report = reconcile(rig, truth.lists())
    assert (report.status, report.ends) == ("complete", 0)
    assert len(rig.away("Sam@example.com")) == 5


def test_entry_passed_over(rig: Rig) -> None:
    """A list that changes while it is read passes over an entry: it is read again before anything ends."""
    truth = Truth()
    for number in range(6):
        truth.put(f"kim-{number}", f"2026-11-1{number}", f"2026-11-1{number}")
    reconcile(rig, truth.lists())

    def happen(number: int) -> None:
        if number == 2:
            # The first entry goes: the third one is the second now, on a page that has been read.
            del truth.leaves["kim-0"]

    truth.asked.clear()
    truth.happen = happen
    rig.clock.advance(60)
    report = reconcile(rig, truth.lists())
    assert (report.status, report.ends) == ("complete", 0)
    assert len(days(rig, "kim")) == 6
    rig.clock.advance(60)
    assert reconcile(rig, truth.lists()).ends == 1


def test_list_that_breaks_off(rig: Rig) -> None:
    """An incomplete list ends nothing; what it did show is taken."""
    truth = Truth()
    for number in range(6):
        truth.put(f"kim-{number}", f"2026-11-1{number}", f"2026-11-1{number}")
    reconcile(rig, truth.lists())
    del truth.leaves["kim-5"]
    truth.put("kim-0", "2026-12-24", "2026-12-24", version=NOON)

    def happen(number: int) -> None:
        if number == 2:
            raise VendorUnavailable("the vendor's API answered 503", retry_after=10_000)

    truth.asked.clear()
    truth.happen = happen
    rig.clock.advance(60)
    report = reconcile(rig, truth.lists())
    assert (report.status, report.ends) == ("incomplete", 0)
    assert report.detail == "vendor_unavailable: the vendor's API answered 503"
    assert "2026-12-24" in days(rig, "kim")
    assert "2026-11-15" in days(rig, "kim")


def test_unreadable_entry(rig: Rig) -> None:
    """An entry that cannot be read may be any leave: then nothing ends."""
    truth = Truth(per_page=10)
    for number in range(6):
        truth.put(f"kim-{number}", f"2026-11-1{number}", f"2026-11-1{number}")
    reconcile(rig, truth.lists())
    del truth.leaves["kim-5"]
    truth.extra = [MalformedEvent(body="{}", detail="id: missing")]
    rig.clock.advance(60)
    report = reconcile(rig, truth.lists())
    assert (report.status, report.ends, report.unreadable) == ("incomplete", 0, 1)
    assert len(days(rig, "kim")) == 6


@pytest.mark.parametrize("lacks", ["ended", "nothing"])
def test_unreadable_entry_is_told(rig: Rig, lacks: Literal["ended", "nothing"]) -> None:
    """A run whose list has odd entries is not complete, whatever the list ends, and names the first."""
    truth = Truth(per_page=1)
    truth.put("kim-0", "2026-11-10", "2026-11-10")
    truth.extra = [
        MalformedEvent(event_id="kim-7", body="{}", detail="status: unknown"),
        MalformedEvent(body="{}", detail="id: missing"),
    ]
    report = reconcile(rig, truth.lists(lacks=lacks))
    said = "entries of the list that cannot be read: 2; the first: kim-7: status: unknown"
    assert (report.status, report.detail, report.queued) == ("incomplete", said, 1)
    state = Runs(rig.relay.table, rig.clock).state("deel")
    assert (state.status, state.detail, state.complete) == ("incomplete", said, 0)


def test_end_of_leave_that_a_list_could_not_tell(rig: Rig) -> None:
    """An odd entry may be the leave that a webhook ends: the ledger has not seen all leave of the source."""
    truth = Truth()
    truth.extra = [MalformedEvent(body="{}", detail="status: unknown")]
    reconcile(rig, truth.lists(lacks="nothing"))
    rig.clock.advance(60)
    assert rig.post("deel", "canceled") == (200, {"status": "forwarded", "events": 1})


@pytest.mark.parametrize("lacks", ["ended", "nothing"])
def test_unreadable_entry_read_by_hand(rig: Rig, lacks: Literal["ended", "nothing"]) -> None:
    """What somebody has looked through goes on by the schedule, although an odd entry is in it."""
    truth = Truth(per_page=10)
    truth.extra = [MalformedEvent(body="{}", detail="status: unknown")]
    assert reconcile(rig, truth.lists(lacks=lacks)).status == "incomplete"
    truth.put("kim-1", "2026-11-11", "2026-11-11")
    rig.clock.advance(60)
    assert reconcile(rig, truth.lists(lacks=lacks), SCHEDULED).queued == 1


def test_entry_without_a_time(rig: Rig) -> None:
    """An entry that has no time of change is as of when it was asked for: the same words are no news."""
    truth = Truth()
    for _ in range(2):
        truth.put("kim-1", "2026-11-09", "2026-11-10", version=rig.clock())
        report = reconcile(rig, truth.lists())
        rig.clock.advance(3600)
    assert (report.status, report.queued) == ("complete", 0)


def test_entry_as_others_see_it(rig: Rig) -> None:
    """Of an entry that shows no more than who is away, only the range can be a difference."""
    truth = Truth()
    truth.put("kim-1", "2026-11-09", "2026-11-13")
    reconcile(rig, truth.lists())
    seen = truth.put("kim-1", "2026-11-09", "2026-11-13", version=rig.clock() + 1)
    truth.leaves["kim-1"] = seen.model_copy(update={"type_name": "Away", "last_day_part": True})
    page = truth.page

    def calendar(api: VendorApi, window: Window, following: str | None) -> Page:
        return replace(page(api, window, following), ranges={"kim-1"})

    lists = truth.lists(version="asked", lacks="nothing")
    rig.clock.advance(60)
    assert run(rig, lists, DRY).found == 1
    assert run(rig, replace(lists, page=calendar), DRY).found == 0
    truth.put("kim-1", "2026-11-10", "2026-11-13", version=rig.clock() + 1)
    assert run(rig, replace(lists, page=calendar), DRY).found == 1
