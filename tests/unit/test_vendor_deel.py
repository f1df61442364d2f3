"""Deel's webhooks become leave changes."""

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.errors import TooLarge, Unparseable
from relay.events import LeaveChange, MalformedEvent, iso
from tests.payloads import ANY_JSON, extended, mutated, parse, reads_or_refuses
from tests.rig import NOON, sample
from tests.vendor_files import expected, expected_event

LEAVE = "8d2f6b1e-4c3a-4e5d-9f70-1a2b3c4d5e6f"
APPROVED = expected_event("deel", "approved")


EVENTS = expected("deel")


@pytest.mark.parametrize("name", EVENTS)
def test_unknown_fields(name: str) -> None:
    """Fields that Deel adds change nothing."""
    assert parse("deel", extended(sample("deel", name))) == EVENTS[name]


def approved(**resource: Any) -> LeaveChange:
    """What becomes of the approved sample with other fields of its resource."""
    payload = sample("deel", "approved")
    payload["data"]["resource"] |= resource
    (event,) = parse("deel", payload)
    assert isinstance(event, LeaveChange)
    return event


def test_several_resources() -> None:
    """Each resource of an event is a change of its own."""
    payload = sample("deel", "approved")
    second = {**payload["data"]["resource"], "id": "second"}
    payload["data"]["resource"] = [payload["data"]["resource"], second]
    event_id = f"{APPROVED.event_id.partition(':')[0]}:second"
    other = APPROVED.model_copy(update={"event_id": event_id, "leave_id": "second"})
    assert parse("deel", payload) == [APPROVED, other]


def test_several_events() -> None:
    """A delivery may be a list of events of any family."""
    names = ("contract-created", "approved", "deleted")
    payload = [sample("deel", name) for name in names]
    assert parse("deel", payload) == [expected_event("deel", name) for name in names]


def test_no_events() -> None:
    """An empty list and an empty resource announce nothing."""
    assert parse("deel", []) == parse("deel", sample("deel", "approved", data__resource=[])) == []


@pytest.mark.parametrize(
    ("bad", "tracking_id", "why"),
    [
        ({}, "", "data: missing"),
        (5, "", "body: model_type"),
        ({"data": {"resource": [{"id": "1"}]}}, "", "data.meta: missing"),
        (
            sample("deel", "approved", data__meta__tracking_id="bad", data__resource__status="ODD"),
            "bad",
            "data.resource.status: unknown",
        ),
    ],
)
def test_one_unreadable_event(bad: Any, tracking_id: str, why: str) -> None:
    """One unreadable event among others is kept by itself, as it came; the others are read."""
    found = parse("deel", [sample("deel", "approved"), bad, sample("deel", "contract-created")])
    assert [found[0], found[2]] == [APPROVED, expected_event("deel", "contract-created")]
    unread = found[1]
    assert isinstance(unread, MalformedEvent)
    assert (unread.event_id, json.loads(unread.body), unread.detail) == (tracking_id, bad, why)
    with pytest.raises(Unparseable):
        parse("deel", [bad])


def test_unreadable_requests_of_several_events() -> None:
    """Each unreadable request of each event is kept by itself, with the event that it is of."""
    first, second = sample("deel", "resource-as-array"), sample("deel", "approved")
    bad = {"id": "2", "status": "ODD"}
    both = [
        sample("deel", "resource-as-array", data__resource=[*first["data"]["resource"], bad]),
        sample("deel", "approved", data__resource=[bad, second["data"]["resource"]]),
    ]
    good, of_first, of_second, also_good = parse("deel", both)
    assert [good, also_good] == [expected_event("deel", "resource-as-array"), APPROVED]
    assert isinstance(of_first, MalformedEvent)
    assert isinstance(of_second, MalformedEvent)
    assert json.loads(of_first.body) == sample("deel", "resource-as-array", data__resource=bad)
    assert json.loads(of_second.body) == sample("deel", "approved", data__resource=bad)


def test_unreadable_requests_that_share_much() -> None:
    """Where a body each would be too much, there is one of all: of each event its unreadable requests."""
    events = [
        sample("deel", name, timestamp=f"{letter * 100_000}", data__resource=[1, 2, 3, 4, 5, 6])
        for name, letter in (("approved", "x"), ("canceled", "y"))
    ]
    good = sample("deel", "resource-as-array")
    change, unread = parse("deel", [events[0], good, events[1]])
    assert change == expected_event("deel", "resource-as-array")
    assert isinstance(unread, MalformedEvent)
    assert json.loads(unread.body) == events
    assert unread.detail == "body: model_type; 11 more"


def test_too_many_requests_of_several_events() -> None:
    """What all events list together is bounded, too."""
    events = [sample("deel", "approved", data__resource=[1] * 501) for _ in range(2)]
    with pytest.raises(TooLarge):
        parse("deel", events)


def test_ignored_list_of_resources() -> None:
    """What is of no use is ignored once, whatever it lists."""
    payload = sample("deel", "contract-created", data__resource=[{"id": n} for n in range(1001)])
    assert parse("deel", payload) == [expected_event("deel", "contract-created")]


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        ({"id": "2", "status": "marker@example.com"}, "data.resource.status: unknown"),
        (None, "body: model_type"),
        ({"id": "2", "status": "APPROVED", "start_date": 7}, "start_date: string_type"),
    ],
)
def test_one_unreadable_resource(bad: object, why: str) -> None:
    """One unreadable resource among others is kept by itself for later; the others are read."""
    payload = sample("deel", "resource-as-array")
    payload["data"]["resource"].insert(0, bad)
    unread, change = parse("deel", payload)
    assert change == expected_event("deel", "resource-as-array")
    assert isinstance(unread, MalformedEvent)
    assert (unread.event_id, unread.detail) == ("e5d4c3b2-a190-4877-9e6d-5c4b3a291817", why)
    with pytest.raises(Unparseable):
        parse("deel", unread.body.encode())
    mended = json.loads(unread.body)
    mended["data"]["resource"] = payload["data"]["resource"][1]
    assert parse("deel", mended) == [change]


@pytest.mark.parametrize(
    ("status", "state", "declined"),
    [
        ("REQUESTED", "requested", False),
        ("APPROVED", "approved", False),
        ("USED", "approved", False),
        ("REJECTED", "ended", True),
        ("CANCELED", "ended", False),
        ("CANCELLED", "ended", False),
        ("approved", "approved", False),
    ],
)
def test_statuses(status: str, state: str, declined: bool) -> None:
    """Approved and used leave counts, requested leave not yet; a decline is told apart from other ends."""
    change = approved(status=status)
    assert (change.state, change.declined) == (state, declined)


@pytest.mark.parametrize("status", [None, "", "ON_HOLD", "marker@example.com"])
def test_unknown_status(status: str | None) -> None:
    """A status that was never documented is refused, and not repeated."""
    with pytest.raises(Unparseable, match=r"^data\.resource\.status: unknown$"):
        approved(status=status)


def test_deletion_ends_whatever_its_status() -> None:
    """A deletion ends the leave even where the resource still says that it is approved."""
    payload = sample("deel", "approved", data__meta__event_type="time-off.deleted")
    (event,) = parse("deel", payload)
    assert isinstance(event, LeaveChange)
    assert (event.state, event.leave_id, event.email) == ("ended", LEAVE, "Sam@example.com")


@pytest.mark.parametrize("requester", [None, {}, {"work_email": None}, {"work_email": ""}])
def test_no_email(requester: object) -> None:
    """The work e-mail may be null: the change then names nobody."""
    assert approved(requester=requester).email is None


@pytest.mark.parametrize(
    ("flags", "parts"),
    [
        ({"start_date_is_half_day": True}, (True, False)),
        ({"end_date_is_half_day": True}, (False, True)),
        ({"date_is_half_day": True}, (True, True)),
        (
            {"start_date_is_half_day": None, "end_date_is_half_day": None, "date_is_half_day": None},
            (False,) * 2,
        ),
    ],
)
def test_half_days(flags: dict[str, bool | None], parts: tuple[bool, bool]) -> None:
    """Half days are told of the first, the last or, for leave of one day, of both."""
    change = approved(**flags)
    assert (change.first_day_part, change.last_day_part) == parts


@pytest.mark.parametrize("date", ["2027-02-01T00:00:00.000Z", "2027-02-01T23:30:00-0800", "2027-02-01"])
def test_calendar_dates(date: str) -> None:
    """A date is the first ten characters of what Deel sends, never converted."""
    assert approved(start_date=date).start == "2027-02-01"


def test_no_dates() -> None:
    """Missing dates stay missing."""
    change = approved(start_date=None, end_date=None)
    assert change.start is change.end is None


def test_versions_follow_the_change() -> None:
    """Versions sort by the time of the change first, then by the time of the delivery."""
    at = [
        ("2026-11-03T00:00:00Z", "2026-11-03T09:00:00Z"),
        ("2026-11-03T11:00:01+11:00", "2026-11-03T08:00:00Z"),
        ("2026-11-03T00:00:01", "2026-11-03T08:00:00.001Z"),
    ]
    changes = [
        parse("deel", sample("deel", "approved", data__resource__updated_at=changed, timestamp=sent))[0]
        for changed, sent in at
    ]
    versions = [change.version for change in changes if isinstance(change, LeaveChange)]
    assert versions == sorted(set(versions))


@pytest.mark.parametrize("missing", [None, "", "yesterday"])
def test_version_without_times(missing: str | None) -> None:
    """Without a readable time of the change the delivery's counts, else the receipt."""
    (event,) = parse("deel", sample("deel", "approved", data__resource__updated_at=missing))
    assert isinstance(event, LeaveChange)
    assert event.version == "2026-11-03T01:39:38.070Z/2026-11-03T01:39:38.070Z"
    (event,) = parse("deel", sample("deel", "deleted", timestamp=missing))
    assert isinstance(event, LeaveChange)
    assert event.version == f"{iso(NOON)}/{iso(NOON)}"


@pytest.mark.parametrize(
    "time", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "0999-01-01T00:00:00Z"]
)
def test_time_of_no_calendar(time: str) -> None:
    """A time that is out of range is no time: it neither raises nor decides which change is newest."""
    payload = sample("deel", "approved", data__resource__updated_at=time, timestamp=time)
    (event,) = parse("deel", payload)
    assert isinstance(event, LeaveChange)
    assert event.version == f"{iso(NOON)}/{iso(NOON)}"


def test_no_tracking_id() -> None:
    """Without a tracking id, the change is known by its event type and leave."""
    payload = copy.deepcopy(sample("deel", "approved"))
    del payload["data"]["meta"]["tracking_id"]
    (event,) = parse("deel", payload)
    assert event.event_id == f"time-off.reviewed:{LEAVE}"


def test_numbers_as_ids() -> None:
    """Ids may be numbers."""
    payload = sample("deel", "deleted", data__meta__tracking_id=7, data__resource__time_off_id=8)
    assert parse("deel", payload)[0].event_id == "7:8"


@pytest.mark.parametrize("resource", [None, "leave", {}, {"id": ""}, {"id": {}}])
def test_no_leave(resource: object) -> None:
    """A time-off event without a leave is refused."""
    with pytest.raises(Unparseable):
        parse("deel", sample("deel", "approved", data__resource=resource))


@given(st.binary() | ANY_JSON.map(lambda value: json.dumps(value).encode()) | mutated("deel"))
def test_anything(body: bytes) -> None:
    """Whatever bytes and whatever JSON arrive are read or refused, without repeating them."""
    reads_or_refuses("deel", body)
