"""What is blank or null in a payload is absent: it names nobody, and costs no event."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

import pytest

from relay import vendors
from relay.errors import Unparseable
from relay.events import BadgeEvent, LeaveChange, SensorReading, ThinEvent
from tests.payloads import parse
from tests.rig import sample
from tests.vendor_files import expected


def samples_with_people() -> Iterator[tuple[str, str]]:
    """Each sample that is a badge of somebody."""
    for vendor in vendors.NAMES:
        for name, events in expected(vendor).items():
            if any(isinstance(event, BadgeEvent) and event.person for event in events):
                yield vendor, name


def places_of(payload: Any, path: str) -> Iterator[tuple[dict[str, Any], str]]:
    """Where a payload has a field, by its dotted path: the object, and the name in it."""
    *outer, last = path.split(".")
    for node in payload if isinstance(payload, list) else [payload]:
        for name in outer:
            node = node.get(name) if isinstance(node, Mapping) else None  # noqa: PLW2901 - goes down
        if isinstance(node, dict) and last in node:
            yield node, last


@pytest.mark.parametrize("blank", ["", "  ", None])
@pytest.mark.parametrize(("vendor", "name"), [*samples_with_people()])
def test_nobody_is_blank(vendor: str, name: str, blank: str | None) -> None:
    """All who have no name would be one person: a blank one is nobody, refused, or named by another field."""
    payload = sample(vendor, name)
    paths = [path for path, what in vendors.load(vendor).subjects.items() if what == "person"]
    fields = [field for path in paths for field in places_of(payload, path)]
    for node, field in fields:
        node[field] = blank
        with suppress(Unparseable):
            for event in parse(vendor, payload):
                person = event.person if isinstance(event, BadgeEvent) else None
                assert person is None or person.strip()


def test_id_behind_a_blank_address() -> None:
    """Where the address is blank, the vendor's id for the person is who it was."""
    user = {"data__user_info": {"user_id": "7001", "email": " "}}
    (verkada,) = parse("verkada", sample("verkada", "badge-in", **user))
    (brivo,) = parse("brivo", sample("brivo", "access-granted", actor={"id": 7001, "email": " "}))
    assert isinstance(verkada, BadgeEvent)
    assert isinstance(brivo, BadgeEvent)
    assert verkada.person == brivo.person == "7001"


@pytest.mark.parametrize(
    ("vendor", "name", "changes"),
    [
        ("brivo", "access-granted", {"securityAction__action": None, "securityAction__exception": None}),
        ("brivo", "access-granted", {"objectType": None}),
        ("unifi", "access-granted", {"event_object_id": " "}),
        ("verkada", "badge-in", {"data__direction": " INBOUND "}),
    ],
)
def test_badge_all_the_same(vendor: str, name: str, changes: Mapping[str, Any]) -> None:
    """A null or a blank where nothing is needed leaves the badge as it is."""
    (event,) = parse(vendor, sample(vendor, name, **changes))
    (whole,) = parse(vendor, sample(vendor, name))
    assert isinstance(event, BadgeEvent)
    assert isinstance(whole, BadgeEvent)
    assert (event.door, event.person, event.direction) == (whole.door, whole.person, whole.direction)


@pytest.mark.parametrize(
    ("vendor", "name", "changes"),
    [
        ("factorial", "approve", {"duration_by_day_attributes": {"used_units_by_day": None}}),
        ("factorial", "approve", {"duration_by_day_attributes": None}),
        ("peopleforce", "approve", {"data__entries": None}),
    ],
)
def test_leave_all_the_same(vendor: str, name: str, changes: Mapping[str, Any]) -> None:
    """A null where there could be days leaves the leave as it is."""
    (event,) = parse(vendor, sample(vendor, name, **changes))
    change = event.change if isinstance(event, ThinEvent) else event
    assert isinstance(change, LeaveChange)
    assert change.state == "approved"


def test_blank_state_of_a_space() -> None:
    """VergeSense's count stands without a state."""
    (report,) = parse("vergesense", sample("vergesense", "space-report", state=" "))
    assert isinstance(report, SensorReading)


@pytest.mark.parametrize(
    "changes",
    [
        {"companyId": None},
        {"companyId": " "},
        {"hoursPerDay": " "},
        {"isAllDayEvent": ""},
        {"employeeWorkEMailAddress": " ", "employeeWorkEmail": "alex@example.com"},
    ],
)
def test_paylocity_approval(changes: Mapping[str, Any]) -> None:
    """Paylocity announces an approval once: what it leaves open costs none."""
    (change,) = parse("paylocity", sample("paylocity", "approved", **changes))
    assert isinstance(change, LeaveChange)
    assert change.email
    assert change.state == "approved"


def test_generic_refuses_what_it_does_not_know() -> None:
    """The generic vendor's form is ours: a misspelt field is said, whatever its value is."""
    with pytest.raises(Unparseable, match="extra_forbidden"):
        parse("generic", sample("generic", "badge-in", persn=None))
