"""What `relayctl send` changes in a payload, for every vendor's every sample alike."""

import json
import re
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay import vendors
from relay.events import BadgeEvent, Event, Ignored, LeaveChange, SensorReading
from relayctl import samples
from relayctl.changes import (
    Changes,
    NoField,
    another,
    as_value,
    changed,
    door_of,
    person_of,
    read,
    set_field,
    with_fields,
)
from tests.recorded import every

AT = datetime(2026, 11, 26, 9, 15, tzinfo=UTC)
WANTED = {
    "door": Changes(door="another-door"),
    "person": Changes(person="pat@example.com"),
    "at": Changes(at=AT),
}


def says(event: Event, option: str) -> bool:
    """Whether an event says what `WANTED` has for an option."""
    if option == "door":
        return door_of(event) == "another-door"
    if option == "person":
        return person_of(event) == "pat@example.com"
    if isinstance(event, BadgeEvent | SensorReading):
        return event.at == AT
    return isinstance(event, LeaveChange) and event.version.startswith("2026-11-26T09:15:00")


def could_say(event: Event, option: str) -> bool:
    """Whether there is anything in an event that an option could be about."""
    if option == "door":
        return door_of(event) is not None
    return option == "at" or person_of(event) is not None


@pytest.mark.parametrize("vendor", vendors.NAMES)
def test_each_option(vendor: str) -> None:
    """What is asked for is in the event, or there is no field for it, and that is said."""
    record = vendors.load(vendor)
    for name, option in ((name, option) for of, name in every() if of == vendor for option in WANTED):
        payload, topic = _payload(vendor, name), samples.topic(record, name)
        if payload is None:
            continue
        if _has_field(vendor, name, option):
            made = changed(record, payload, WANTED[option], topic)
            found = read(record, samples.as_body(made), topic)
            assert all(says(event, option) for event in found if not isinstance(event, Ignored)), name
            assert payload == _payload(vendor, name)
        else:
            with pytest.raises(NoField, match=re.escape(f"--{option}: this event of {record.title}")):
                changed(record, payload, WANTED[option], topic)


def _has_field(vendor: str, name: str, option: str) -> bool:
    """Whether an option can be used; it must be where each event of a sample says what it is about."""
    record = vendors.load(vendor)
    try:
        changed(record, _payload(vendor, name), WANTED[option], samples.topic(record, name))
    except NoField:
        assert not _declares(vendor, name, option), name
        return False
    return True


def _payload(vendor: str, name: str) -> Any:
    """A sample's payload; None for one that is no JSON."""
    try:
        return json.loads(samples.body(vendor, name))
    except ValueError:
        return None


def _declares(vendor: str, name: str, option: str) -> bool:
    """Whether every event of a sample itself has what an option is about, so that there must be a field."""
    record = vendors.load(vendor)
    found = read(record, samples.body(vendor, name), samples.topic(record, name))
    told = [event for event in found if not isinstance(event, Ignored)]
    return bool(told) and option != "at" and all(could_say(event, option) for event in told)


def test_first_samples() -> None:
    """Whoever lets people through doors, or counts them, can be asked for a door; only a thin one cannot."""
    for name in vendors.NAMES:
        vendor = vendors.load(name)
        sample = samples.names(name)[0]
        if "access-control" in vendor.families and vendor.fetch is None:
            changed(vendor, _payload(name, sample), WANTED["door"])


@pytest.mark.parametrize("vendor", vendors.NAMES)
def test_many_people(vendor: str) -> None:
    """Of many events each is of another person, and each leave another one."""
    record, name = vendors.load(vendor), samples.names(vendor)[0]
    topic = samples.topic(record, name)
    people: set[str | None] = set()
    leaves: set[str | int] = set()
    for number in range(3):
        try:
            made = changed(record, _payload(vendor, name), Changes(), topic, number)
        except NoField:
            assert all(person_of(event) is None for event in read(record, samples.body(vendor, name), topic))
            return
        for event in read(record, samples.as_body(made), topic):
            people.add(person_of(event))
            leaves.add(event.leave_id if isinstance(event, LeaveChange) else len(leaves))
    assert len(people) in (0, 3)
    assert len(leaves) in (0, 3)


def test_a_leave_stays_itself() -> None:
    """Another person's leave has an id of its own, the same whichever sample of it is sent."""
    record = vendors.load("deel")
    ids = {
        event.leave_id
        for name in ("approved", "canceled")
        for event in read(record, samples.as_body(changed(record, _payload("deel", name), WANTED["person"])))
        if isinstance(event, LeaveChange)
    }
    own = {
        event.leave_id
        for name in ("approved", "canceled")
        for event in read(record, samples.body("deel", name))
        if isinstance(event, LeaveChange)
    }
    assert len(ids) == len(own)
    assert not ids & own


@pytest.mark.parametrize(
    ("name", "number", "expected"),
    [
        ("sam@example.com", 2, "sam+2@example.com"),
        ("sam@example.com", 0, "sam@example.com"),
        ("70417", 3, "70420"),
        ("0099", 1, "0100"),
        ("u-1", 5, "u-1-5"),
    ],
)
def test_another(name: str, number: int, expected: str) -> None:
    """Another one's name looks like the first one's."""
    assert another(name, number) == expected


@given(st.text(min_size=1), st.sets(st.integers(0, 10_000), min_size=2, max_size=5))
def test_another_is_another(name: str, numbers: set[int]) -> None:
    """For each number it is another one, whatever the name."""
    assert len({another(name, number) for number in numbers}) == len(numbers)


@pytest.mark.parametrize(
    ("path", "expected", "known"),
    [
        ("a", {"a": 7, "b": [{"c": 2}]}, True),
        ("b.0.c", {"a": 1, "b": [{"c": 7}]}, True),
        ("b.0", {"a": 1, "b": [7]}, True),
        ("b.0.d", {"a": 1, "b": [{"c": 2, "d": 7}]}, False),
        ("x.y", {"a": 1, "b": [{"c": 2}], "x": {"y": 7}}, False),
    ],
)
def test_set_field(path: str, expected: object, *, known: bool) -> None:
    """A field is set by its path, through lists by index; one that was not there is added, and said."""
    payload = {"a": 1, "b": [{"c": 2}]}
    assert set_field(payload, path, 7) == known
    assert payload == expected


@pytest.mark.parametrize("path", ["a.b", "b.1", "b.x", "b.0.c.d", "b.-1"])
def test_no_such_place(path: str) -> None:
    """A path that leads nowhere is refused, and the payload stays as it was."""
    payload = {"a": 1, "b": [{"c": 2}]}
    unknown: list[str] = []
    with pytest.raises(NoField, match=f"--set {path}"):
        with_fields(payload, Changes(fields=[(path, 7)]), unknown.append)
    assert payload == {"a": 1, "b": [{"c": 2}]}


@pytest.mark.parametrize(
    ("text", "value"),
    [("7", 7), ("true", True), ('"7"', "7"), ("Sam", "Sam"), ("[1]", [1]), ("NaN", "NaN"), ("", "")],
)
def test_as_value(text: str, value: object) -> None:
    """JSON is what it says, any other text is itself."""
    assert as_value(text) == value
