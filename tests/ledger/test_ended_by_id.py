"""Leave whose end names little more than its id: it is found by that, and what nobody knows is not lost."""

from typing import Any

import pytest

from tests.played import away
from tests.rig import Rig, sample

START = {"factorial": "approve", "peopleforce": "approve", "vacationtracker": "approved"}
PERSON = {
    "factorial": "jo@example.com",
    "peopleforce": "lee@example.com",
    "vacationtracker": "ira@example.com",
}
DELETED: list[tuple[str, Any, str | None]] = [
    ("factorial", {"id": "71001"}, "delete"),
    ("factorial", [{"id": "71001"}], "bulk_delete"),
    ("factorial", {"id": "71001", "employee_id": "3141", "approved": True}, "delete"),
    ("factorial", {"id": "71001", "deleted_at": "2026-11-04T09:00:00Z"}, "update"),
    ("vacationtracker", {"id": "leaveRequest-a1b2c3", "status": "DELETED"}, None),
    ("vacationtracker", {"id": "leaveRequest-a1b2c3", "status": "CANCELLED"}, None),
]
NAMED: list[dict[str, Any] | None] = [
    None,
    {"starts_on": "2027-08-02", "ends_on": "2027-08-03"},
    {"employee_id": 2632, "ends_on": "2027-08-03"},
]
"""What PeopleForce may leave of a request's attributes."""


def withdrawn(action: str, attributes: dict[str, Any] | None) -> dict[str, Any]:
    """An end as PeopleForce may send it."""
    return {"action": f"leave_request_{action}", "data": {"id": 1062480, "attributes": attributes}}


WITHDRAWN = [("peopleforce", withdrawn("withdraw", attributes), None) for attributes in NAMED]
REJECTED = [("peopleforce", withdrawn("reject", attributes), None) for attributes in NAMED]


def start(rig: Rig, vendor: str) -> None:
    """Have somebody be away."""
    rig.post(vendor, START[vendor], topic="approve" if vendor == "factorial" else None)
    assert away(rig, PERSON[vendor])


@pytest.mark.parametrize(("vendor", "end", "topic"), [*DELETED, *WITHDRAWN, *REJECTED])
def test_known(rig: Rig, vendor: str, end: Any, topic: str | None) -> None:
    """What the relay holds of a leave is given back by an end that names only the leave."""
    start(rig, vendor)
    assert rig.post(vendor, end, topic=topic)[0] == 200
    assert away(rig, PERSON[vendor]) == []


@pytest.mark.parametrize(("vendor", "end", "topic"), [*DELETED, *WITHDRAWN])
def test_never_seen(rig: Rig, vendor: str, end: Any, topic: str | None) -> None:
    """Calven may hold days of a leave that the relay never saw: its end is a dead letter."""
    assert rig.post(vendor, end, topic=topic) == (202, {"status": "queued", "reason": "unknown_leave"})


@pytest.mark.parametrize(("vendor", "end", "topic"), REJECTED)
def test_never_approved(rig: Rig, vendor: str, end: Any, topic: str | None) -> None:
    """A rejection is of a request that was pending: there is nothing to give back."""
    assert rig.post(vendor, end, topic=topic) == (200, {"status": "ignored", "reason": "declined"})


@pytest.mark.parametrize(
    ("vendor", "field", "topic"),
    [
        ("factorial", "employee_id", "approve"),
        ("factorial", "employee_id", "create"),
        ("peopleforce", "data.attributes.employee_id", None),
        ("peopleforce", "data.attributes.starts_on", None),
        ("vacationtracker", "startDate", None),
    ],
)
def test_nothing_but_an_end(rig: Rig, vendor: str, field: str, topic: str | None) -> None:
    """Any other change has to say whose leave it is, or when."""
    payload = sample(vendor, START[vendor], **{field.replace(".", "__"): None})
    assert rig.post(vendor, payload, topic=topic) == (202, {"status": "queued", "reason": "unparseable"})
    assert rig.dead_letters()[0]["detail"] == f"{field}: missing"


WRITTEN = [
    "LeaveRequest{}",
    "Leave Request {}",
    "leave_request_{}",
    "LEAVE-REQUEST.{}",
    " hour leave request {} ",
]
"""How KeyPay may write what its page calls a leave request's event."""


def notified(rig: Rig, **notification: Any) -> tuple[int, Any]:
    """Post a delivery of KeyPay's with a notification about the leave of its samples."""
    entry = {"Id": 3001, **notification}
    return rig.post("keypay", sample("keypay", "approved", Id="another", Notifications=[entry]))


@pytest.mark.parametrize("written", WRITTEN)
@pytest.mark.parametrize("event", ["Cancelled", "canceled", "Deleted", "Declined"])
@pytest.mark.parametrize("said", [{}, {"EmployeeId": 21}, {"EmployeeId": 21, "Status": "Approved"}])
def test_keypay_ends(rig: Rig, written: str, event: str, said: dict[str, Any]) -> None:
    """Of an action only the letters count: what they call an end ends the leave by its id."""
    rig.post("keypay", "approved")
    rig.clock.advance(60)
    assert notified(rig, Action=written.format(event), **said)[0] == 200
    assert away(rig, "ash@example.com") == []


@pytest.mark.parametrize("action", ["Leave Request Updated", "leave_request_cancelled"])
def test_keypay_ends_by_status(rig: Rig, action: str) -> None:
    """A status that ends the leave needs no employee either."""
    rig.post("keypay", "approved")
    rig.clock.advance(60)
    assert notified(rig, Action=action, Status="Cancelled")[0] == 200
    assert away(rig, "ash@example.com") == []


@pytest.mark.parametrize("written", WRITTEN)
@pytest.mark.parametrize(
    ("event", "reason"),
    [("Cancelled", "unknown_leave"), ("Deleted", "unknown_leave"), ("Declined", "declined")],
)
def test_keypay_never_seen(rig: Rig, written: str, event: str, reason: str) -> None:
    """The end of leave that nobody knows is a dead letter; a refusal of it is nothing."""
    assert notified(rig, Action=written.format(event))[1]["reason"] == reason


@pytest.mark.parametrize("written", WRITTEN)
@pytest.mark.parametrize("event", ["Created", "Updated", "Approved"])
@pytest.mark.parametrize(
    ("said", "missing"),
    [
        ({}, "EmployeeId: missing"),
        ({"EmployeeId": 21}, "Status: missing"),
        ({"Status": "Approved"}, "EmployeeId: missing"),
    ],
)
def test_keypay(rig: Rig, written: str, event: str, said: dict[str, Any], missing: str) -> None:
    """What speaks of a leave request and does not say whose, or what it is now, is no other event."""
    answer = notified(rig, Action=written.format(event), **said)
    assert answer == (202, {"status": "queued", "reason": "unparseable"})
    assert rig.dead_letters()[0]["detail"] == missing


@pytest.mark.parametrize("action", ["EmployeeDeleted", "Timesheet Cancelled", "Pay Run Deleted", None])
def test_keypay_of_anything_else(rig: Rig, action: str | None) -> None:
    """What is deleted besides is no leave, be its id that of one."""
    rig.post("keypay", "approved")
    assert notified(rig, Action=action) == (200, {"status": "ignored", "reason": "other_event"})
    assert len(away(rig, "ash@example.com")) == 5
