"""Kisi's webhooks become badge events."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.errors import Unparseable
from relay.events import BadgeEvent, Event, Ignored
from tests.payloads import ANY_JSON, extended, mutated, parse, reads_or_refuses, samples
from tests.rig import sample

MORNING = datetime(2026, 11, 2, 22, 49, 35, tzinfo=UTC)
EVENTS: dict[str, Event] = {
    "badge-in": BadgeEvent(
        event_id="d7cf0237-a492-4e5d-b20c-f58fc3ef4eff", at=MORNING, door="48211", person="70417"
    ),
    "badge-out": BadgeEvent(
        event_id="0b7e6a0e-19e5-4d6f-9a8e-1f6f8a3f2c11",
        at=datetime(2026, 11, 3, 6, 31, 2, tzinfo=UTC),
        door="48212",
        person="70417",
    ),
    "unmapped-door": BadgeEvent(
        event_id="a1c4d9a3-2f7e-4a53-9d5c-6e1f0b8d7c63", at=MORNING, door="99001", person="70417"
    ),
    "request-to-exit": BadgeEvent(event_id="8d9e2f74-61cf-4b9d-a1de-cf2a9f3a7d52", at=MORNING, door="48212"),
    "denied": Ignored(event_id="3f3b3b2e-8f2d-4b8e-8f55-0d9b1f1f7a10", reason="denied"),
    "door-held-open": Ignored(event_id="52c8a4de-6a6b-44f8-8a6e-2f0d5c7f9b31", reason="other_event"),
}


@pytest.mark.parametrize("name", EVENTS)
def test_samples(name: str) -> None:
    """Granted unlocks are badge events, refused ones and every other event are ignored by name."""
    assert parse("kisi", sample("kisi", name)) == [EVENTS[name]]


def test_every_sample_is_tested() -> None:
    """No sample is without its expectation here."""
    assert len(samples("kisi")) == len(EVENTS)


@pytest.mark.parametrize("name", EVENTS)
def test_unknown_fields(name: str) -> None:
    """Fields that Kisi adds change nothing."""
    assert parse("kisi", extended(sample("kisi", name))) == [EVENTS[name]]


@pytest.mark.parametrize(
    "actor",
    [
        {"actor_id": None},
        {"actor_id": ""},
        {"actor_type": "AccessLink"},
        {"actor_type": "Group link", "actor_id": 7},
    ],
)
def test_nobody(actor: dict[str, Any]) -> None:
    """A request to exit and an access link name nobody."""
    (event,) = parse("kisi", sample("kisi", "badge-in", **actor))
    assert isinstance(event, BadgeEvent)
    assert event.person is None


@pytest.mark.parametrize("left_out", ["actor_type", "actor_id"])
def test_actor_left_out(left_out: str) -> None:
    """The actor's fields may be missing."""
    payload = sample("kisi", "badge-in")
    del payload[left_out]
    (event,) = parse("kisi", payload)
    assert isinstance(event, BadgeEvent)
    assert event.person == (None if left_out == "actor_id" else "70417")


def test_text_ids() -> None:
    """Ids of doors and people may be texts; they stay as they are."""
    (event,) = parse("kisi", sample("kisi", "badge-in", object_id="north-7", actor_id="u7"))
    assert isinstance(event, BadgeEvent)
    assert (event.door, event.person) == ("north-7", "u7")


def test_offset() -> None:
    """A time with an offset is the same instant."""
    (event,) = parse("kisi", sample("kisi", "badge-in", created_at="2026-11-03T09:49:35.250+11:00"))
    assert isinstance(event, BadgeEvent)
    assert event.at == MORNING.replace(microsecond=250_000)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"created_at": "2026-11-02T22:49:35"}, "created_at: timezone_aware"),
        ({"created_at": "marker@example.com"}, "created_at: datetime_from_date_parsing"),
        ({"success": None}, "success: bool_type"),
        ({"object_id": None}, "object_id.int: int_type; object_id.str: string_type"),
        ({"type": 7}, "type: string_type"),
    ],
)
def test_unreadable(changes: dict[str, Any], told: str) -> None:
    """A refusal names the field and the rule that it breaks, and repeats no value."""
    with pytest.raises(Unparseable, match=f"^{told}$"):
        parse("kisi", sample("kisi", "badge-in", **changes))


def test_no_object() -> None:
    """A body that is no JSON object is refused."""
    for body in (b"", b"{", b"[]", b"null", b"NaN", b'"lock.unlock"', b"\xff\xfe"):
        with pytest.raises(Unparseable):
            parse("kisi", body)


@given(st.binary() | ANY_JSON.map(lambda value: json.dumps(value).encode()) | mutated("kisi"))
def test_anything(body: bytes) -> None:
    """Whatever bytes and whatever JSON arrive are read or refused, without repeating them."""
    reads_or_refuses("kisi", body)
