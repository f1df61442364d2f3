"""Kisi's webhooks become badge events."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.errors import Unparseable
from relay.events import BadgeEvent
from tests.payloads import ANY_JSON, extended, mutated, parse, reads_or_refuses
from tests.rig import sample
from tests.vendor_files import expected

MORNING = datetime(2026, 11, 2, 22, 49, 35, tzinfo=UTC)
EVENTS = expected("kisi")


@pytest.mark.parametrize("name", EVENTS)
def test_unknown_fields(name: str) -> None:
    """Fields that Kisi adds change nothing."""
    assert parse("kisi", extended(sample("kisi", name))) == EVENTS[name]


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
        ({"success": None}, "success: missing"),
        ({"object_id": []}, "object_id.int: int_type; object_id.str: string_type"),
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
