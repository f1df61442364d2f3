"""The domain's events, their times, and the reading of JSON from outside."""

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, TypeAdapter, ValidationError

from relay.errors import Unparseable
from relay.events import (
    BadgeEvent,
    Event,
    Ignored,
    LeaveChange,
    MalformedEvent,
    ThinEvent,
    Webhook,
    iso,
    iso_ms,
    milliseconds,
    read_json,
    unparseable_if_invalid,
    utc,
)
from tests.rig import NOON

AT = datetime(2026, 11, 4, 4, tzinfo=UTC)

texts = st.text(st.characters(exclude_categories=["Cs"]))
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=10,
)


# JSON


@given(values)
def test_json(value: Any) -> None:
    """Strict JSON in UTF-8 is read as what it says."""
    assert read_json(json.dumps(value, ensure_ascii=False).encode()) == value


@given(st.binary() | st.text().map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_bytes(body: bytes) -> None:
    """Whatever the bytes, they have a value or are unparseable."""
    try:
        read_json(body)
    except Unparseable as error:
        assert str(error) == "body: not JSON"  # noqa: PT017 - most bytes are no JSON, some are


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"{",
        b"{} {}",
        b"{'a': 1}",
        b'{"a": 1,}',
        b"NaN",
        b"[Infinity]",
        b"[-Infinity]",
        b'"\xff"',
        b"\xef\xbb\xbf{}",
        "{}".encode("utf-16"),
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"9" * 5000,
    ],
    ids=lambda body: repr(body[:12]),
)
def test_not_json(body: bytes) -> None:
    """What is not strict JSON, nests without end or holds numbers that are none is unparseable."""
    with pytest.raises(Unparseable, match=r"^body: not JSON$"):
        read_json(body)


def test_repeated_key() -> None:
    """Of a repeated key the last value counts."""
    assert read_json(b'{"a": 1, "a": 2}') == {"a": 2}


# Times


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (NOON, "2026-11-04T04:00:00.000Z"),
        (NOON + 0.0004, "2026-11-04T04:00:00.000Z"),
        (NOON + 0.9996, "2026-11-04T04:00:01.000Z"),
        (-0.001, "1969-12-31T23:59:59.999Z"),
        (NOON + 0.25, "2026-11-04T04:00:00.250Z"),
    ],
)
def test_iso(seconds: float, text: str) -> None:
    """Times are written in UTC with milliseconds."""
    assert iso(seconds) == text


@given(st.integers(946684800000, 4102444799999))
def test_milliseconds(exact: int) -> None:
    """Milliseconds are kept exactly, through text and time."""
    assert milliseconds(datetime.fromisoformat(iso_ms(exact))) == exact


def test_milliseconds_of_a_zone() -> None:
    """A time of any zone is the same instant; what is finer than a millisecond is cut off."""
    zone = timezone(timedelta(hours=10))
    assert milliseconds(datetime(2026, 11, 4, 14, 0, 0, 1999, zone)) == int(NOON * 1000) + 1


@given(st.integers(0, 2**32))
def test_utc(seconds: int) -> None:
    """Unix seconds are an aware time."""
    found = utc(seconds)
    assert (found.timestamp(), found.utcoffset()) == (seconds, timedelta())


@pytest.mark.parametrize("seconds", [1e300, -1e300, 1e18, float("nan"), float("inf"), 10**400])
def test_utc_out_of_range(seconds: float) -> None:
    """A time that no calendar has is unparseable."""
    with pytest.raises(Unparseable, match="out of range"):
        utc(seconds)


# Events


@pytest.mark.parametrize(
    "event",
    [
        BadgeEvent(event_id="e", at=AT, door="48211", person="p", direction="out"),
        LeaveChange(event_id="e", leave_id="l", state="approved", version="1", email="Bob@example.com"),
        ThinEvent(event_id="e", subject="l", employee="7", replaces="k"),
        Ignored(reason="ping"),
        MalformedEvent(body="{}", detail="door: missing"),
    ],
    ids=lambda event: event.form,
)
def test_forms(event: Event) -> None:
    """Every event says in its JSON what it is."""
    adapter: TypeAdapter[Event] = TypeAdapter(Event)
    assert adapter.validate_json(adapter.dump_json(event)) == event


@pytest.mark.parametrize(
    "change",
    [
        {"event_id": ""},
        {"door": ""},
        {"door": "x" * 201},
        {"door": 48211},
        {"at": datetime(1969, 12, 30, 23, 59, tzinfo=UTC)},
        {"at": datetime(2100, 1, 1, tzinfo=UTC)},
        {"at": datetime(2026, 11, 4, 4)},  # noqa: DTZ001 - the fault
        {"direction": "through"},
        {"card": "12345"},
    ],
    ids=str,
)
def test_broken_badge(change: dict[str, Any]) -> None:
    """A badge has an id, a door, and a time with a zone in this century; nothing else rides along."""
    fields = {"event_id": "e", "at": AT, "door": "48211"}
    assert BadgeEvent.model_validate(fields).at == AT
    with pytest.raises(ValidationError):
        BadgeEvent.model_validate(fields | change)


@pytest.mark.parametrize(
    "change", [{"leave_id": ""}, {"event_id": ""}, {"state": "gone"}, {"days": 3}], ids=str
)
def test_broken_leave(change: dict[str, Any]) -> None:
    """A leave has ids and one of three states, and nothing else rides along."""
    fields = {"event_id": "e", "leave_id": "l", "state": "ended", "version": "1"}
    assert LeaveChange.model_validate(fields).state == "ended"
    with pytest.raises(ValidationError):
        LeaveChange.model_validate(fields | change)


def test_leave_as_it_waits() -> None:
    """An envelope is what it was: an older version of the relay, which knows no `resumed`, reads it."""
    change = LeaveChange(event_id="e", leave_id="l", state="ended", version="1")
    assert "resumed" not in change.model_dump(mode="json", exclude_none=True)
    resumed = change.model_copy(update={"resumed": True})
    assert LeaveChange.model_validate_json(resumed.model_dump_json(exclude_none=True)) == resumed
    assert resumed.content == change.content


def test_events_do_not_change() -> None:
    """An event is a value."""
    with pytest.raises(ValidationError, match="frozen"):
        Ignored(reason="ping").reason = "other"  # type: ignore[misc]


def test_webhook_defaults() -> None:
    """A webhook of a one-segment route has no topic."""
    assert (Webhook(b"", 0.0).topic, Webhook(b"", 0.0).headers) == (None, {})


# What cannot be read


class Person(BaseModel):
    """A part of a payload."""

    email: str
    age: int


class Payload(BaseModel):
    """A payload."""

    people: list[Person]


def broken(payload: Any) -> str:
    """What is said of a payload that its model refuses."""
    with pytest.raises(Unparseable) as failed, unparseable_if_invalid():
        Payload.model_validate(payload)
    return str(failed.value)


def test_fields_at_fault() -> None:
    """A payload that cannot be read is told by fields and rules, never by what it holds."""
    found = broken({"people": [{"email": ["bob@example.com"], "age": "s3cret"}, {}]})
    assert found.split("; ") == [
        "people.0.email: string_type",
        "people.0.age: int_parsing",
        "people.1.email: missing",
        "people.1.age: missing",
    ]


def test_body_at_fault() -> None:
    """What is no object at all is told as the body's fault."""
    assert broken(["bob@example.com"]) == "body: model_type"


def test_many_faults() -> None:
    """Five faults are enough to tell, in 500 characters."""
    assert broken({"people": [{}] * 50}).count(";") == 4
    deep: TypeAdapter[dict[str, int]] = TypeAdapter(dict[str, int])
    with pytest.raises(Unparseable) as failed, unparseable_if_invalid():
        deep.validate_python({"k" * 400 + str(i): "x" for i in range(5)})
    assert len(str(failed.value)) == 500
