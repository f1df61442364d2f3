"""What is not forwarded waits in an envelope, whose form outlives versions of the relay."""

import json
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from relay.envelope import Envelope, StoredRequest
from relay.events import (
    Counting,
    Webhook,
)
from relay.occupancy.rules import Fact
from tests.ledger.test_queues import BADGE, RECEIVED, envelope, envelopes, words
from tests.rig import NOON

FACT = Fact(
    event_id="f-1",
    location_id="id-sydney",
    location_type="location",
    place="sydney",
    at=1793764800123,
    people=3,
    day="id-sydney#2026-11-03T17:00Z",
    version=7,
)


@given(envelopes())
def test_round_trip(found: Envelope) -> None:
    """An envelope comes out of its queue as it went in, whatever characters are in it; its body is ASCII."""
    body = found.body()
    assert body.isascii()
    assert "\x00" not in body
    assert Envelope.model_validate_json(body) == found


def test_body() -> None:
    """A body is JSON with the documented fields, without those that hold nothing."""
    found = envelope(id="1").failed("no_time", "", RECEIVED)
    assert json.loads(found.body()) == {
        "id": "1",
        "source": "kisi-sydney",
        "vendor": "kisi",
        "kind": "occupancy",
        "reason": "no_time",
        "detail": "",
        "received_at": "2026-11-04T04:00:00Z",
        "correlation_id": "",
        "first_failed_at": "2026-11-04T04:00:00Z",
        "attempts": 1,
        "event": {
            "form": "badge",
            "event_id": "e-1",
            "at": "2026-11-04T04:00:00Z",
            "door": "48211",
            "person": "hash",
            "direction": "in",
        },
    }


@pytest.mark.parametrize(
    "forms",
    [{}, {"event": BADGE, "calven": [FACT]}, {"event": BADGE, "request": StoredRequest(body="")}],
    ids=len,
)
def test_one_form(forms: dict[str, Any]) -> None:
    """What is to be done is said in exactly one form."""
    with pytest.raises(ValidationError, match="exactly one"):
        Envelope(source="s", vendor="v", kind="occupancy", received_at=RECEIVED, **forms)


def test_failed() -> None:
    """A failure counts, and is remembered by its reason; the first one's time stays."""
    once = envelope().failed("calven_unavailable", "503", RECEIVED)
    twice = once.failed("rejected", "x" * 2000, RECEIVED + timedelta(hours=1))
    assert (once.attempts, once.first_failed_at, once.reason) == (1, RECEIVED, "calven_unavailable")
    assert (twice.attempts, twice.first_failed_at, twice.reason) == (2, RECEIVED, "rejected")
    assert twice.detail == "x" * 1000
    assert once.id == twice.id


def test_with_facts() -> None:
    """Once settled, an envelope holds only what is to be sent."""
    for unsettled in (envelope(), envelope(request=StoredRequest(body=""))):
        settled = unsettled.with_facts([FACT])
        assert (settled.calven, settled.event, settled.request) == ((FACT,), None, None)
        assert Envelope.model_validate_json(settled.body()) == settled


def test_event_id() -> None:
    """The vendor's id is known as long as the event is at hand."""
    assert envelope().event_id == "e-1"
    assert envelope().with_facts([FACT]).event_id == ""


def test_own_ids() -> None:
    """Every envelope has an id of its own."""
    assert envelope().id != envelope().id


@given(st.binary(), st.none() | words)
def test_stored_request(body: bytes, topic: str | None) -> None:
    """A request that waited is the same webhook again, at the time when it came."""
    webhook = Webhook(body=body, received_at=NOON, topic=topic, headers={"content-type": "application/json"})
    assert StoredRequest.of(webhook).webhook(NOON, Counting()) == webhook


@pytest.mark.parametrize("body", ["a", "e30", "-_8=", "\u00e9\u00e9\u00e9\u00e9"])
def test_damaged_request(body: str) -> None:
    """A stored body that is no base64 is an empty one, which no vendor's module can read."""
    assert StoredRequest(body=body).webhook(NOON, Counting()).body == b""
