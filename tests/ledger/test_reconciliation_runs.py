"""A reconciliation as a run: what stops it, what it shows, and what it leaves for the next."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime

import pytest

from relay.events import iso
from relay.reconciliation.rules import Difference
from relay.reconciliation.runs import LEASE_SECONDS, Runs
from relay.reconciliation.schedule import is_due
from relay.vendors.support.base import VendorApi
from relay.vendors.support.listing import LeaveList, Page, Window
from tests.ledger.test_reconciliation import BY_HAND, DRY, SCHEDULED, Truth, days, reconcile, run
from tests.rig import NOON, Rig, sample

pytestmark = pytest.mark.slow
APPROVED = sample("deel", "approved")["data"]["resource"]


def test_list_without_end(rig: Rig) -> None:
    """A list whose pages name each other is given up, and ends nothing."""

    def page(api: VendorApi, window: Window, following: str | None) -> Page:
        return Page([], "b" if following == "a" else "a")

    report = reconcile(rig, Truth().lists(page=page), DRY)
    assert (report.status, report.detail) == (
        "incomplete",
        "unparseable: the vendor's list has more than 10000 pages",
    )


def test_out_of_time(rig: Rig) -> None:
    """A run that is out of time goes on where it was, in the next one."""
    truth = Truth(per_page=1)
    for number in range(4):
        truth.put(f"kim-{number}", f"2026-11-1{number}", f"2026-11-1{number}")
    reconcile(rig, truth.lists())
    del truth.leaves["kim-1"]
    truth.asked.clear()
    truth.happen = lambda _number: rig.clock.advance(100)
    rig.clock.advance(60)
    first = reconcile(rig, truth.lists(), SCHEDULED, seconds=150)
    assert (first.status, first.detail) == ("incomplete", "out of time: the next run goes on")
    reports = [reconcile(rig, truth.lists(), SCHEDULED, seconds=150) for _ in range(5)]
    [complete] = [report for report in reports if report.status == "complete" and report.ends]
    assert complete.ends == 1
    assert len(days(rig, "kim")) == 3


def test_out_of_time_for_questions(rig: Rig) -> None:
    """Each answer about a leave that is missing counts: the next process asks about the others only."""
    truth = Truth(per_page=20)
    for number in range(8):
        truth.put(f"kim-{number}", f"2026-11-1{number}", f"2026-11-1{number}")
    asked: list[str] = []

    def knows(_api: VendorApi, leave_id: str) -> bool:
        asked.append(leave_id)
        rig.clock.advance(50)
        return leave_id == "kim-2"

    lists = truth.lists(lacks="nothing", knows=knows)
    reconcile(rig, lists)
    for number in (1, 2, 3):
        del truth.leaves[f"kim-{number}"]
    rig.clock.advance(60)
    reports = [reconcile(rig, lists, SCHEDULED, seconds=70) for _ in range(3)]
    assert [report.status for report in reports] == ["incomplete", "incomplete", "complete"]
    assert sorted(asked) == ["kim-1", "kim-2", "kim-3"]
    assert (reports[-1].ends, reports[-1].found) == (2, 2)
    assert len(days(rig, "kim")) == 6


def test_run_by_hand_is_nobody_elses(rig: Rig) -> None:
    """What somebody began by hand, and did not end, the schedule does not go on with."""
    truth = Truth(per_page=1)
    truth.put("kim-1", "2026-11-09", "2026-11-10")
    truth.put("kim-2", "2026-11-19", "2026-11-19")
    truth.happen = lambda _number: rig.clock.advance(200)
    chosen = replace(BY_HAND, first=date(2026, 11, 1), last=date(2026, 11, 30))
    assert reconcile(rig, truth.lists(), chosen, seconds=220).status == "incomplete"
    assert reconcile(rig, truth.lists(), SCHEDULED).status == "complete"
    assert truth.asked[-1][0].last == date(2027, 12, 9)


def test_end_that_came_late(rig: Rig) -> None:
    """An end that waited is dropped once a later complete list had the leave again."""
    truth = Truth()
    for number in range(4):
        truth.put(f"kim-{number}", f"2026-11-1{number}", f"2026-11-1{number}")
    reconcile(rig, truth.lists())
    gone = truth.leaves.pop("kim-1")
    rig.clock.advance(60)
    run(rig, truth.lists())
    [envelope] = rig.waiting()
    truth.leaves["kim-1"] = gone
    rig.clock.advance(60)
    reconcile(rig, truth.lists())
    assert envelope["event"]["inferred"]
    assert len(days(rig, "kim")) == 4


def test_one_at_a_time(rig: Rig) -> None:
    """A source never runs twice at once; a run whose process died is taken over."""
    truth = Truth()
    truth.put("kim-1", "2026-11-09", "2026-11-10")
    runs = Runs(rig.relay.table, rig.clock)
    assert runs.begin("deel", lambda run, _state: run) is not None
    assert reconcile(rig, truth.lists()).status == "busy"
    rig.clock.advance(LEASE_SECONDS + 1)
    assert reconcile(rig, truth.lists()).status == "complete"


def test_run_that_is_stopped(rig: Rig) -> None:
    """Whoever stops a run by hand may begin another at once."""
    truth = Truth()
    truth.put("kim-1", "2026-11-09", "2026-11-10")

    def stop(_number: int) -> None:
        raise KeyboardInterrupt

    truth.happen = stop
    with pytest.raises(KeyboardInterrupt):
        reconcile(rig, truth.lists())
    truth.happen = lambda _number: None
    assert reconcile(rig, truth.lists()).status == "complete"


def test_what_is_over(rig: Rig) -> None:
    """Leave that was over before the days that are listed is news only where the ledger knows it."""
    truth = Truth()
    truth.put("kim-1", "2026-08-03", "2026-08-04")
    truth.put("kim-2", "2026-11-19", "2026-11-19")
    assert reconcile(rig, truth.lists()).queued == 1
    truth.put("kim-2", "2026-08-05", "2026-08-05", version=NOON)
    rig.clock.advance(60)
    assert reconcile(rig, truth.lists()).queued == 1
    assert days(rig, "kim") == ["2026-08-05"]


def test_differences_are_shown_first(rig: Rig) -> None:
    """Whoever looks at differences sees them before anything is queued, those of a refused run as well."""
    truth = Truth()
    truth.put("kim-1", "2026-11-09", "2026-11-10")
    truth.put("lou-1", "2026-12-24", "2026-12-01")
    shown: list[Difference] = []

    def look(differences: Sequence[Difference]) -> None:
        assert rig.waiting() == []
        shown.extend(differences)

    reconcile(rig, truth.lists(), replace(BY_HAND, look=look))
    assert [(one.change.leave_id, one.refused) for one in shown] == [
        ("kim-1", ""),
        ("lou-1", "invalid_dates"),
    ]
    shown.clear()
    truth.leaves.clear()
    rig.clock.advance(60)
    assert reconcile(rig, truth.lists(), replace(BY_HAND, look=look)).status == "refused"
    assert [(one.change.leave_id, one.listed) for one in shown] == [("kim-1", None)]


def test_what_nothing_comes_of(rig: Rig) -> None:
    """What Calven cannot be told is one dead letter, not one a day."""
    truth = Truth()
    truth.put("kim-1", "2026-11-09", "2026-11-10")
    reconcile(rig, truth.lists())
    rig.refuse(users=["lou@example.com"])
    truth.put("lou-1", "2026-12-24", "2026-12-01")
    by_turns = (SCHEDULED, SCHEDULED, BY_HAND)
    assert [reconcile(rig, truth.lists(), wishes).queued for wishes in by_turns] == [1, 0, 0]
    assert [letter["reason"] for letter in rig.dead_letters()] == ["invalid_dates"]


def test_what_is_news_again(rig: Rig) -> None:
    """What the ledger has lost again since it was queued is queued again."""
    truth = Truth()
    for _ in range(2):
        rig.clock.advance(3600)
        truth.put("kim-1", "2026-11-09", "2026-11-10", version=rig.clock())
        assert reconcile(rig, truth.lists(version="asked")).queued == 1
        assert days(rig, "kim") == ["2026-11-09", "2026-11-10"]
        rig.clock.advance(3600)
        other = {
            **APPROVED,
            "id": "kim-1",
            "updated_at": iso(rig.clock()),
            "requester": {"work_email": "kim@example.com"},
        }
        rig.post("deel", sample("deel", "approved", data__resource=other))
        assert len(days(rig, "kim")) == 5


def test_end_of_leave_never_seen(rig: Rig) -> None:
    """Once all is known, the end of leave that was never seen gives back nothing."""
    ended = sample("deel", "canceled", data__resource={**APPROVED, "id": "older", "status": "CANCELED"})
    truth = Truth()
    truth.put("kim-1", "2026-11-09", "2026-11-10")
    reconcile(rig, truth.lists())
    assert rig.post("deel", ended) == (200, {"status": "ignored", "reason": "not_approved"})
    assert not [event for event in rig.calven() if event.get("eventType") == "cancelled"]


def test_by_the_time_of_asking(rig: Rig) -> None:
    """Where the vendor has no time of change, what is listed is as of when the listing began."""

    def asked(version: float) -> LeaveList:
        truth.put("kim-1", "2026-11-09", "2026-11-10", version=version)
        truth.put("kim-2", "2026-11-19", "2026-11-19", version=version)
        return truth.lists(version="asked")

    truth = Truth()
    reconcile(rig, asked(rig.clock()))
    for _ in range(2):
        rig.clock.advance(3600)
        assert reconcile(rig, asked(rig.clock())).queued == 0
    rig.clock.advance(3600)
    lists = asked(rig.clock())
    truth.put("kim-2", "2026-11-20", "2026-11-20", version=rig.clock())
    assert reconcile(rig, lists).queued == 1
    assert days(rig, "kim") == ["2026-11-09", "2026-11-10", "2026-11-20"]


def test_state(rig: Rig) -> None:
    """What the last run found is kept."""
    truth = Truth()
    truth.put("kim-1", "2026-11-09", "2026-11-10")
    reconcile(rig, truth.lists())
    state = Runs(rig.relay.table, rig.clock).state("deel")
    assert (state.status, state.listed, state.differences, state.ends) == ("complete", 1, 1, 0)
    began = datetime.fromtimestamp(state.complete / 1000, UTC)
    assert began == datetime.fromtimestamp(NOON, UTC)


def test_state_of_a_version_beside(rig: Rig) -> None:
    """A run of a version that does not know of lists read to their end counts as one."""
    truth = Truth()
    reconcile(rig, truth.lists())
    runs = Runs(rig.relay.table, rig.clock)
    key = {"pk": {"S": "reconcile#deel"}, "sk": {"S": "state"}}
    later = {":later": {"N": str(round(NOON * 1000) + 5000)}}
    rig.aws.dynamodb.update_item(
        TableName=rig.resources.table,
        Key=key,
        UpdateExpression="SET complete = :later",
        ExpressionAttributeValues=later,
    )
    assert runs.state("deel").last_read == round(NOON * 1000) + 5000


def test_state_of_before(rig: Rig) -> None:
    """A state of a version that kept less of it is read, and the source is due."""
    runs = Runs(rig.relay.table, rig.clock)
    runs.begin("deel", lambda run, _: run)
    key = {"pk": {"S": "reconcile#deel"}, "sk": {"S": "state"}}
    gone = "REMOVE began, #read, run.ends, run.by_hand, run.fault"
    names = {"#read": "read"}
    rig.aws.dynamodb.update_item(
        TableName=rig.resources.table, Key=key, UpdateExpression=gone, ExpressionAttributeNames=names
    )
    state = runs.state("deel")
    assert (state.began, state.run and (state.run.ends, state.run.by_hand)) == (0, (0, False))
    assert is_due(replace(state, run=None, until=0), 86400.0, rig.clock())


@pytest.mark.parametrize("ahead", [3600, 30 * 86400])
def test_change_ahead_of_its_time(rig: Rig, ahead: float) -> None:
    """A change by a clock that is ahead is no difference once it is known, before its time and after."""
    truth = Truth()
    truth.put("kim-1", "2026-11-11", "2026-11-12", version=NOON + ahead)
    assert reconcile(rig, truth.lists()).queued == 1
    for seconds in (60, 2 * 3600, 86400):
        rig.clock.advance(seconds)
        again = reconcile(rig, truth.lists())
        assert (again.found, again.queued) == (0, 0)
    assert len(days(rig, "kim")) == 2
    truth.put("kim-1", "2026-11-11", "2026-11-13", version=NOON + ahead + 60)
    assert reconcile(rig, truth.lists()).queued == 1
    assert len(days(rig, "kim")) == 3
    rig.clock.advance(60)
    assert reconcile(rig, truth.lists()).found == 0
