"""Verkada's webhooks become badge events."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.errors import Unparseable
from relay.events import BadgeEvent, Ignored
from relay.vendors import load
from relay.vendors.verkada import DENIED, DOOR_STATES, GRANTED
from tests.payloads import ANY_JSON, extended, mutated, parse, reads_or_refuses
from tests.rig import sample
from tests.vendor_files import expected, expected_event

DOOR = "0e0cbec9-599b-48ee-b9ad-ee7504e75056"
BADGE_IN = expected_event("verkada", "badge-in")
EVENTS = expected("verkada")


@pytest.mark.parametrize("name", EVENTS)
def test_unknown_fields(name: str) -> None:
    """Fields that Verkada adds change nothing."""
    assert parse("verkada", extended(sample("verkada", name))) == EVENTS[name]


def badge(**data: Any) -> BadgeEvent:
    """What becomes of the sample badge with other `data`."""
    payload = sample("verkada", "badge-in")
    payload["data"] |= data
    (event,) = parse("verkada", payload)
    assert isinstance(event, BadgeEvent)
    return event


def reason(**data: Any) -> str:
    """Why the sample badge with other `data` is ignored."""
    payload = sample("verkada", "badge-in")
    payload["data"] |= data
    (event,) = parse("verkada", payload)
    assert isinstance(event, Ignored)
    return event.reason


@pytest.mark.parametrize("name", sorted(GRANTED))
def test_every_credential(name: str) -> None:
    """Each kind of accepted credential is a badge, and its rejection a denied one."""
    assert badge(notification_type=name) == BADGE_IN
    assert reason(notification_type=name.replace("_accepted", "_rejected")) == "denied"


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("door_deactivated_credential_used", "denied"),
        *((name, "door_state") for name in sorted(DOOR_STATES)),
        ("door_press_to_exit_accepted", "anonymous"),
        ("door_lockdown", "other_event"),
        (None, "other_event"),
    ],
)
def test_other_notifications(name: str | None, why: str) -> None:
    """What moves nobody is ignored under a name of its own."""
    assert reason(notification_type=name) == why
    assert len(DENIED) == len(GRANTED) + 2


def test_unknown_credential() -> None:
    """An accepted credential of a kind that is not known yet is refused: it must not go unnoticed."""
    with pytest.raises(Unparseable, match="unknown kind"):
        badge(notification_type="door_iris_presented_accepted")


def test_both_times() -> None:
    """`created` is the event's time, also where `created_at` is there too."""
    assert badge(created_at=1) == BADGE_IN


@pytest.mark.parametrize("direction", [None, "", "Sideways"])
def test_no_direction(direction: str | None) -> None:
    """Doors that are neither entrance nor exit report no direction."""
    assert badge(direction=direction).direction is None


@pytest.mark.parametrize("direction", ["OUTBOUND", "outbound"])
def test_direction_in_any_case(direction: str) -> None:
    """The direction's case does not matter."""
    assert badge(direction=direction).direction == "out"


@pytest.mark.parametrize(
    ("user", "person"),
    [
        (None, None),
        ({}, None),
        ({"email": "", "user_id": ""}, None),
        ({"email": None, "user_id": "u-1"}, "u-1"),
        ({"email": "kim@example.com", "user_id": "u-1"}, "kim@example.com"),
    ],
)
def test_person(user: dict[str, str] | None, person: str | None) -> None:
    """A person is the e-mail address, else the user's id, else nobody."""
    assert badge(user_info=user).person == person


def test_door_of_door_info() -> None:
    """The door may be named in `door_info` only."""
    assert badge(door_id=None).door == DOOR


@pytest.mark.parametrize("door_info", [None, {}, {"door_id": ""}])
def test_no_door(door_info: object) -> None:
    """An accepted credential without a door is refused."""
    with pytest.raises(Unparseable, match=r"^data\.door_id: missing$"):
        badge(door_id=None, door_info=door_info)


@pytest.mark.parametrize(
    "other", [{"created": 1793659787}, {"user_info": {"email": "kim@example.com"}}, {"door_id": "side"}]
)
def test_older_form_ids(other: dict[str, Any]) -> None:
    """Without `event_id`, a repeated event has the same id and another event another one."""
    first = badge(event_id=None)
    assert first == badge(event_id=None)
    assert first.event_id != badge(event_id=None, **other).event_id


@pytest.mark.parametrize("created", [10**12, 10**30, -(10**30)])
def test_impossible_time(created: int) -> None:
    """A time that no calendar has is refused."""
    with pytest.raises(Unparseable, match=r"^a time is out of range$"):
        badge(created=created)


def test_deadline() -> None:
    """Verkada waits two seconds for an answer."""
    assert load("verkada").ack_seconds == 2.0


@given(st.binary() | ANY_JSON.map(lambda value: json.dumps(value).encode()) | mutated("verkada"))
def test_anything(body: bytes) -> None:
    """Whatever bytes and whatever JSON arrive are read or refused, without repeating them."""
    reads_or_refuses("verkada", body)
