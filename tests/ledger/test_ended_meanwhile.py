"""Leave that a complete list has ended: what had been received before that list does not bring it back."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from relay import vendors
from relay.deadline import BATCH, Deadline
from relay.envelope import Envelope
from relay.events import LeaveChange, iso
from relay.invocation import Invocation
from relay.observability import Telemetry
from relay.reconciliation.leave import LeaveReconciliation
from relay.reconciliation.leave_import import LeaveFile, LeaveImport
from relay.reconciliation.report import Report
from relay.reconciliation.wishes import Wishes
from relay.vendors.generic import ENTRY
from relay.vendors.support.base import Api
from relay.vendors.support.listing import LeaveList, Page
from tests.rig import Rig

pytestmark = pytest.mark.slow

SOURCE = "generic"
LEAVE = {
    "type": "leave",
    "id": "e1",
    "leave": "1",
    "state": "approved",
    "changedAt": "2026-11-01T00:00:00Z",
    "email": "kim@example.com",
    "start": "2027-02-01",
    "end": "2027-02-02",
}
AWAY = {"2027-02-01": "leave", "2027-02-02": "leave"}
OTHERS = [{**LEAVE, "id": f"o{n}", "leave": f"o{n}", "email": f"lou{n}@example.com"} for n in range(3)]

Body = Mapping[str, Any]
Lister = Callable[[Rig, Sequence[Body]], Report]


def reconciled(rig: Rig, bodies: Sequence[Body]) -> Report:
    """Reconcile the source with a vendor's list of these."""
    entries = _entries(bodies)
    lists = LeaveList(page=lambda _api, _window, _following: Page(entries), version="own", lacks="ended")
    # The list is this test's: no API is asked.
    vendor = replace(vendors.load("generic"), api=Api(host="https://generic.example.com", fields=()))
    return LeaveReconciliation(_invocation(rig), SOURCE, vendor, lists, Wishes(by_hand=True)).run()


def imported(rig: Rig, bodies: Sequence[Body]) -> Report:
    """Import a snapshot that holds these."""
    today = datetime.fromtimestamp(rig.clock(), UTC).date()
    file = LeaveFile(_entries(bodies), iso(rig.clock()), today, is_snapshot=True)
    run = LeaveImport(_invocation(rig), SOURCE, vendors.load("generic"), file, Wishes(by_hand=True))
    return run.run()


def _entries(bodies: Sequence[Body]) -> list[LeaveChange]:
    found = [ENTRY.validate_python(body).event() for body in bodies]
    return [event for event in found if isinstance(event, LeaveChange)]


def _invocation(rig: Rig) -> Invocation:
    rig.clock.advance(60)
    return Invocation(rig.relay, Deadline(rig.clock() + 600, rig.clock), Telemetry("run"), BATCH)


@pytest.fixture(params=[reconciled, imported], ids=["vendor's list", "import"])
def lister(request: pytest.FixtureRequest) -> Lister:
    """How a source is compared with all of its leave."""
    found: Lister = request.param
    return found


def webhook(rig: Rig, body: Body) -> None:
    """Receive a webhook."""
    rig.clock.advance(1)
    assert rig.post("generic", body, family="hris")[0] in (200, 202)


def waited(rig: Rig, body: Body, received_at: float) -> None:
    """Do what waits of a webhook that was received at an instant (Unix seconds)."""
    [event] = _entries([body])
    at = datetime.fromtimestamp(received_at, UTC)
    envelope = Envelope(source=SOURCE, vendor="generic", kind="time_off", received_at=at, event=event)
    rig.relay.queues.retry_later([(envelope, 0)])
    settled(rig)


def settled(rig: Rig) -> None:
    """The retry function does all that waits."""
    rig.clock.advance(60)
    rig.retry()
    assert rig.waiting() == []


def ended(rig: Rig, lister: Lister) -> None:
    """The source is compared with a list that has only the others, and that is settled."""
    report = lister(rig, OTHERS)
    assert (report.status, report.ends) == ("complete", 1)
    settled(rig)
    assert rig.away("kim@example.com") == {}


def redrive(rig: Rig) -> None:
    """Redrive the one dead letter, of whom Calven did not know."""
    [letter] = rig.dead_letters()
    assert letter["reason"] == "unknown_user"
    rig.refuse(users=[])
    rig.relay.queues.retry_later([(Envelope.model_validate(letter), 0)])
    settled(rig)


@pytest.fixture
def others(rig: Rig) -> Rig:
    """A source with some more leave: a list that lacks one of it is to be trusted."""
    for body in OTHERS:
        webhook(rig, body)
    return rig


def test_dead_letter(others: Rig, lister: Lister) -> None:
    """A dead letter from before the list is superseded when it is redriven."""
    others.refuse(users=["kim@example.com"])
    webhook(others, LEAVE)
    ended(others, lister)
    redrive(others)
    assert others.away("kim@example.com") == {}


def test_waiting_message(others: Rig, lister: Lister) -> None:
    """So is a message that waits for its next attempt while the list is read and the end is settled."""
    others.fail("503", endpoint="/v1/timeoff")
    webhook(others, LEAVE)
    [waiting] = others.waiting()
    others.aws.sqs.purge_queue(QueueUrl=others.resources.unprocessed_queue_url)
    others.recover()
    ended(others, lister)
    others.relay.queues.retry_later([(Envelope.model_validate(waiting), 0)])
    settled(others)
    assert others.away("kim@example.com") == {}


def test_listed_letter(others: Rig, lister: Lister) -> None:
    """What an earlier list said counts as of when that list began."""
    others.refuse(users=["kim@example.com"])
    lister(others, [LEAVE, *OTHERS])
    settled(others)
    ended(others, lister)
    redrive(others)
    assert others.away("kim@example.com") == {}
    report = lister(others, OTHERS)
    assert (report.ends, report.queued) == (0, 0)


def test_old_word_in_two_steps(others: Rig, lister: Lister) -> None:
    """A request of the same version does not come in between, so that the approval would be news after it."""
    webhook(others, LEAVE)
    received_at = others.clock()
    ended(others, lister)
    for state in ("requested", "approved"):
        waited(others, {**LEAVE, "state": state}, received_at)
    assert others.away("kim@example.com") == {}


def test_webhook_while_the_end_waits(others: Rig, lister: Lister) -> None:
    """What was received after the list began revives the leave, also where it is settled after the end."""
    webhook(others, LEAVE)
    assert lister(others, OTHERS).ends == 1
    others.clock.advance(0.005)
    received_at = others.clock()
    settled(others)
    assert others.away("kim@example.com") == {}
    waited(others, LEAVE, received_at)
    assert others.away("kim@example.com") == AWAY


def test_said_once_more(others: Rig, lister: Lister) -> None:
    """A webhook's repeat revives the leave, and so does the next list; each time a later list may end it."""
    webhook(others, LEAVE)
    ended(others, lister)
    webhook(others, LEAVE)
    assert others.away("kim@example.com") == AWAY
    ended(others, lister)
    assert lister(others, [LEAVE, *OTHERS]).queued == 1
    settled(others)
    assert others.away("kim@example.com") == AWAY
    ended(others, lister)


def test_said_end(others: Rig, lister: Lister) -> None:
    """An end that the vendor has said of this version stays the last word, however late it comes."""
    webhook(others, LEAVE)
    received_at = others.clock()
    ended(others, lister)
    waited(others, {**LEAVE, "state": "ended"}, received_at)
    webhook(others, LEAVE)
    assert others.away("kim@example.com") == {}


def test_repeat_while_the_end_waits(others: Rig, lister: Lister) -> None:
    """Leave that is said once more after the list began is not ended by it, but by the next one."""
    webhook(others, LEAVE)
    assert lister(others, OTHERS).ends == 1
    webhook(others, LEAVE)
    settled(others)
    assert others.away("kim@example.com") == AWAY
    ended(others, lister)


def test_old_repeat_while_the_end_waits(others: Rig, lister: Lister) -> None:
    """What was received before the list began and is settled before the end does not keep the leave."""
    webhook(others, LEAVE)
    others.clock.advance(1)
    received_at = others.clock()
    assert lister(others, OTHERS).ends == 1
    [end] = others.waiting()
    others.aws.sqs.purge_queue(QueueUrl=others.resources.unprocessed_queue_url)
    waited(others, LEAVE, received_at)
    others.relay.queues.retry_later([(Envelope.model_validate(end), 0)])
    settled(others)
    assert others.away("kim@example.com") == {}
