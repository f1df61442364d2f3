"""Deel's webhooks become leave changes."""

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.errors import Unparseable
from relay.events import Event, Ignored, LeaveChange, MalformedEvent, iso
from tests.payloads import ANY_JSON, extended, mutated, parse, reads_or_refuses, samples
from tests.rig import NOON, sample

LEAVE = "8d2f6b1e-4c3a-4e5d-9f70-1a2b3c4d5e6f"
APPROVED = LeaveChange(
    event_id=f"5f8e1c9a-7b2d-4e3f-a6c1-0d9b8e7f6a51:{LEAVE}",
    leave_id=LEAVE,
    state="approved",
    version="2026-11-03T01:39:38.000Z/2026-11-03T01:39:38.070Z",
    email="Sam@example.com",
    start="2027-02-01",
    end="2027-02-05",
    type_name="Vacation",
)


def like_approved(**update: Any) -> LeaveChange:
    """The approved sample's change with other fields."""
    return APPROVED.model_copy(update=update)


EVENTS: dict[str, Event] = {
    "approved": APPROVED,
    "requested": like_approved(
        event_id=f"1b9d7e3c-5a2f-4c8e-b6d0-f4a3e2c1b095:{LEAVE}",
        state="requested",
        version="2026-11-02T09:12:44.000Z/2026-11-02T09:12:44.310Z",
    ),
    "rejected": like_approved(
        event_id="9f0e1d2c-3b4a-4596-8778-695a4b3c2d1e:0f1e2d3c-4b5a-4697-8879-6a5b4c3d2e1f",
        leave_id="0f1e2d3c-4b5a-4697-8879-6a5b4c3d2e1f",
        state="ended",
        declined=True,
        version="2026-11-03T02:00:00.000Z/2026-11-03T02:00:00.000Z",
    ),
    "rescheduled": like_approved(
        event_id=f"c7a6f5e4-d3b2-4190-8f7e-6d5c4b3a2918:{LEAVE}",
        version="2026-11-04T03:02:11.000Z/2026-11-04T03:02:11.500Z",
        start="2027-02-03",
        end="2027-02-08",
    ),
    "canceled": like_approved(
        event_id=f"2e4d6c8b-0a9f-4b7d-9c5e-3f1a2b4c6d8e:{LEAVE}",
        state="ended",
        version="2026-11-05T10:20:29.000Z/2026-11-05T10:20:30.000Z",
        start="2027-02-03",
        end="2027-02-08",
    ),
    "deleted": LeaveChange(
        event_id=f"d4c3b2a1-9087-4f6e-8d5c-4b3a29181706:{LEAVE}",
        leave_id=LEAVE,
        state="ended",
        version="2026-11-06T08:00:00.000Z/2026-11-06T08:00:00.000Z",
    ),
    "under-contract": like_approved(
        event_id="5f8e1c9a-7b2d-4e3f-a6c1-0d9b8e7f6a59:8d2f6b1e-4c3a-4e5d-9f70-1a2b3c4d5e6f"
    ),
    "resource-as-array": like_approved(
        event_id="e5d4c3b2-a190-4877-9e6d-5c4b3a291817:7c6b5a49-3827-4160-8f9e-0d1c2b3a4958",
        leave_id="7c6b5a49-3827-4160-8f9e-0d1c2b3a4958",
        start="2027-03-01",
        end="2027-03-02",
        type_name="Sick leave",
    ),
    "simulated": Ignored(event_id="6a7b8c9d-0e1f-4203-9415-a6b7c8d9e0f1", reason="simulation"),
    "contract-created": Ignored(event_id="f6e5d4c3-b2a1-4908-8f7e-6d5c4b3a2918", reason="other_event"),
}


@pytest.mark.parametrize("name", EVENTS)
def test_samples(name: str) -> None:
    """Each time-off event is a leave change; simulations and other families are ignored by name."""
    assert parse("deel", sample("deel", name)) == [EVENTS[name]]


def test_every_sample_is_tested() -> None:
    """No sample is without its expectation here."""
    assert len(samples("deel")) == len(EVENTS)


@pytest.mark.parametrize("name", EVENTS)
def test_unknown_fields(name: str) -> None:
    """Fields that Deel adds change nothing."""
    assert parse("deel", extended(sample("deel", name))) == [EVENTS[name]]


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
    assert parse("deel", payload) == [APPROVED, like_approved(event_id=event_id, leave_id="second")]


def test_several_events() -> None:
    """A delivery may be a list of events of any family."""
    names = ("contract-created", "approved", "deleted")
    payload = [sample("deel", name) for name in names]
    assert parse("deel", payload) == [EVENTS[name] for name in names]


def test_no_events() -> None:
    """An empty list and an empty resource announce nothing."""
    assert parse("deel", []) == parse("deel", sample("deel", "approved", data__resource=[])) == []


def test_one_unreadable_event() -> None:
    """A list with something in it that is no event is refused as a whole: nothing of it is lost half-way."""
    with pytest.raises(Unparseable):
        parse("deel", [sample("deel", "approved"), {}])


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
    assert change == EVENTS["resource-as-array"]
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
