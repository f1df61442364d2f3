"""What vendors seldom send, and what becomes of it: clocks without a time, refusals that say little."""

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest

from relay import vendors
from relay.errors import Unparseable
from relay.events import EPOCH, BadgeEvent, Event, Ignored, LeaveChange, SensorReading, ThinEvent, Webhook
from tests.payloads import parse, places, samples
from tests.rig import NOON, sample


def parsed(vendor: str, name: str, **changes: Any) -> Sequence[Event]:
    """What a vendor's sample says once it is changed."""
    # As text that JSON allows: half a surrogate pair has no bytes of its own.
    body = json.dumps(sample(vendor, name, **changes)).encode("ascii")
    return vendors.load(vendor).parse(Webhook(body=body, received_at=NOON))


@pytest.mark.parametrize(
    ("vendor", "name", "changes", "at"),
    [
        ("milesight", "count-of-regions", {"time_info__end_time": "1970/01/01 08:05:00"}, EPOCH),
        ("milesight", "count-of-regions", {"time_info__end_time": "1970-01-01T08:05:00+08:00"}, EPOCH),
        ("disruptive", "motion", {"event__timestamp": "1970-01-01T00:05:00Z"}, EPOCH),
        ("envoy", "sign-in", {"payload__attributes__signed-in-at": "1970-01-01 00:05:00 UTC"}, EPOCH),
        ("kisi", "badge-in", {"created_at": "1999-12-31T23:59:59Z"}, datetime(1999, 12, 31, tzinfo=UTC)),
        # Midnight at which a clock begins, by the zone that it was set to.
        ("kisi", "badge-in", {"created_at": "1970-01-01T00:00:00+11:00"}, EPOCH),
        ("milesight", "count-of-regions", {"time_info__end_time": "1970-01-01T00:00:00+08:00"}, EPOCH),
    ],
)
def test_clock_that_has_lost_its_time(vendor: str, name: str, changes: dict[str, Any], at: datetime) -> None:
    """The time of such a clock is one, so that what it says is too old, and not unreadable."""
    [event] = parsed(vendor, name, **changes)
    assert isinstance(event, BadgeEvent | SensorReading)
    assert event.at.date() == at.date()
    assert event.at >= EPOCH


@pytest.mark.parametrize(
    ("vendor", "name", "changes"),
    [
        ("kisi", "denied", {"object_id": None, "created_at": None}),
        ("unifi", "denied", {"data__location": None, "data__actor": None}),
    ],
)
def test_refusal_that_says_little(vendor: str, name: str, changes: dict[str, Any]) -> None:
    """What is ignored need not have a door and a time."""
    [event] = parsed(vendor, name, **changes)
    assert isinstance(event, Ignored)
    assert event.reason == "denied"


def test_half_a_surrogate_pair_of_what_is_ignored() -> None:
    """Where it stands in an id that is only logged, the log can take it."""
    [event] = parsed("butlr", "traffic", id="x\ud800")
    assert isinstance(event, Ignored)
    assert event.event_id == "x?"


@pytest.mark.parametrize(
    ("vendor", "name", "changes"),
    [
        ("butlr", "room-occupancy", {"id": "x\ud800"}),
        ("verkada", "badge-in", {"data__event_id": None, "data__user_info__email": "x\ud800@example.com"}),
    ],
)
def test_half_a_surrogate_pair(vendor: str, name: str, changes: dict[str, Any]) -> None:
    """Where it stands in what only tells events apart, it costs no event."""
    [event] = parsed(vendor, name, **changes)
    assert isinstance(event, BadgeEvent | SensorReading)


@pytest.mark.parametrize(
    ("vendor", "name", "field"),
    [
        ("deel", "approved", "data__resource__type"),
        ("factorial", "approve", "leave_type_name"),
        ("merge", "approved", "data__request_type"),
        ("peopleforce", "create-approved", "data__leave_type__name"),
        ("vacationtracker", "approved", "leaveTypeName"),
    ],
)
def test_half_a_surrogate_pair_in_the_name_of_a_type(vendor: str, name: str, field: str) -> None:
    """The leave goes on, with the name as it can be stored."""
    [event] = parsed(vendor, name, **{field: "Sick\ud83d"})
    change = event.change if isinstance(event, ThinEvent) else event
    assert isinstance(change, LeaveChange)
    assert change.type_name == "Sick?"


@pytest.mark.parametrize("vendor", vendors.NAMES)
def test_half_a_surrogate_pair_anywhere(vendor: str) -> None:
    """Wherever it stands, what is made of the payload can be stored, or is refused at once."""
    store_each(vendor, str, lambda said: said[:9] + "\ud83d")


@pytest.mark.parametrize("value", [10**400, -(10**400), 2**63, 1e308, -1e308, "inf", "nan", "1e400"])
@pytest.mark.parametrize("vendor", vendors.NAMES)
def test_number_that_counts_nothing(vendor: str, value: object) -> None:
    """Wherever it stands, what is made of the payload can be stored, or is refused at once."""
    store_each(vendor, int | float, lambda _: value)


def test_hours_without_bounds() -> None:
    """Such a number of hours is a fault of the payload, not of the relay."""
    with pytest.raises(Unparseable, match="hours_amount_in_cents: float_type"):
        parse("factorial", sample("factorial", "approve-half-day", hours_amount_in_cents=10**400))


def store_each(vendor: str, kind: Any, change: Callable[[Any], object]) -> None:
    """Change one value of a kind after the other, in every sample, and store what is made of it."""
    for payload in samples(vendor):
        for container, key in places(payload):
            said = container[key]
            if not isinstance(said, kind):
                continue
            container[key] = change(said)
            with suppress(Unparseable):
                for event in parse(vendor, payload):
                    # Raises where a field holds what no store takes.
                    event.model_dump_json()
            container[key] = said


def test_signs_of_life() -> None:
    """Somebody who was noticed and not counted is somebody: how many is not known."""
    [reading] = parsed("vergesense", "space-report", person_count=0, signs_of_life=True)
    assert isinstance(reading, SensorReading)
    assert (reading.people, reading.occupied) == (None, True)


@pytest.mark.parametrize(
    ("vendor", "name", "field"),
    [
        ("vacationtracker", "approved", "workingHoursInDay"),
        ("factorial", "approve", "hours_amount_in_cents"),
        ("keypay", "approved", "TotalUnits"),
        ("vergesense", "space-report", "person_count"),
        ("milesight", "occupancy", "current_total"),
        ("nuki", "at-keypad", "state"),
        ("paylocity", "approved", "hoursPerDay"),
    ],
)
def test_blank_number(vendor: str, name: str, field: str) -> None:
    """A blank where a number belongs is as good as none."""
    [blank], [null] = parsed(vendor, name, **{field: " "}), parsed(vendor, name, **{field: None})
    # Some ids are made of the whole body.
    assert blank.model_copy(update={"event_id": null.event_id}) == null


@pytest.mark.parametrize(
    ("vendor", "name", "field"),
    [
        ("deel", "approved", "data__resource__end_date"),
        ("paylocity", "approved", "timeOffEndDate"),
        ("merge", "approved", "data__end_time"),
        ("peopleforce", "approve", "data__attributes__ends_on"),
    ],
)
def test_leave_without_an_end(vendor: str, name: str, field: str) -> None:
    """A start and no end is leave whose end nobody knows yet, in every vendor's words."""
    [event] = parsed(vendor, name, **{field: None})
    change = event.change if isinstance(event, ThinEvent) else event
    assert isinstance(change, LeaveChange)
    assert change.has_no_end


def test_leave_without_an_end_that_names_its_days() -> None:
    """Where every day is named nobody asks for an end."""
    [change] = parsed("vacationtracker", "part-of-days", endDate=None)
    assert isinstance(change, LeaveChange)
    assert (bool(change.days), change.has_no_end) == (True, False)
    [change] = parsed("vacationtracker", "part-of-days", endDate=None, daysList=None)
    assert isinstance(change, LeaveChange)
    assert change.has_no_end
