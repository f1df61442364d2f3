"""Messages that this version of the relay does not read: they are found, and a newer version reads them."""

import base64
import json
from collections.abc import Mapping
from typing import Any

import pytest

from relay.envelope import Envelope
from relayctl import dead_letters
from relayctl.dead_letters import Selection
from tests.ledger.test_queues import RECEIVED
from tests.payloads import parse
from tests.rig import Rig, sample

pytestmark = pytest.mark.slow

NAMES = ("id", "source", "vendor", "kind", "reason", "request")


def envelope() -> dict[str, Any]:
    """The envelope of a leave."""
    [event] = parse("deel", sample("deel", "approved"))
    found = Envelope(source="deel", vendor="deel", kind="time_off", received_at=RECEIVED, event=event)
    message: dict[str, Any] = json.loads(found.body())
    return message


def process(rig: Rig, message: Mapping[str, Any]) -> None:
    """Put a message into the Unprocessed queue, and have the retry function take it."""
    url = rig.resources.unprocessed_queue_url
    rig.aws.sqs.send_message(QueueUrl=url, MessageBody=json.dumps(message))
    assert rig.retry() == {"batchItemFailures": []}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"half_hours": "s3cret"}, "event.leave.half_hours: extra_forbidden"),
        ({"form": "s3cret"}, "event: union_tag_invalid"),
        ({"state": "s3cret"}, "event.leave.state: literal_error"),
    ],
)
def test_newer_envelope(rig: Rig, change: Mapping[str, Any], field: str) -> None:
    """Its letter goes by its own source and id, and names the field at fault; so it does after a redrive."""
    message = envelope()
    message["event"] |= change
    process(rig, message)
    [letter] = rig.dead_letters()
    assert [letter[name] for name in NAMES[:-1]] == [message["id"], "deel", "deel", "time_off", "unparseable"]
    assert letter["detail"] == f"the message is no envelope that this version reads: {field}"
    dead_letters.redrive(rig.target(), Selection(), lambda _: None)
    assert rig.retry() == {"batchItemFailures": []}
    [again] = rig.dead_letters()
    assert again["detail"] == letter["detail"]
    assert [again[name] for name in NAMES] == [letter[name] for name in NAMES]
    assert rig.calven() == []


def test_unknown_kind(rig: Rig) -> None:
    """Of a kind that is not known yet the letter keeps all that it can."""
    process(rig, envelope() | {"kind": "presence"})
    [letter] = rig.dead_letters()
    assert (letter["source"], letter["kind"]) == ("deel", "occupancy")
    assert letter["detail"].endswith("kind: literal_error")


def test_version_that_reads_it(rig: Rig) -> None:
    """Redriven to a version that can read it, it is the envelope that it was, however long it has waited."""
    message = envelope() | {"queued_at": "2026-10-01T00:00:00Z"}
    process(rig, message | {"kind": "presence"})
    [letter] = rig.dead_letters()
    # As if this version knew that kind.
    letter["request"]["body"] = base64.b64encode(json.dumps(message).encode()).decode()
    rig.fail("503")
    url = rig.resources.unprocessed_queue_url
    rig.aws.sqs.send_message(QueueUrl=url, MessageBody=json.dumps(letter))
    assert len(rig.retry()["batchItemFailures"]) == 1
    rig.recover()
    assert rig.retry() == {"batchItemFailures": []}
    assert {event["email"] for event in rig.calven()} == {message["event"]["email"]}


def test_envelope_in_a_vendors_body(rig: Rig) -> None:
    """What a vendor posts is never taken for an envelope, whatever it says."""
    assert rig.post("generic", envelope() | {"wrapped": True}, family="hris")[1]["reason"] == "unparseable"
    dead_letters.redrive(rig.target(), Selection(), lambda _: None)
    rig.retry()
    assert [letter["source"] for letter in rig.dead_letters()] == ["generic"]
    assert rig.calven() == []


@pytest.mark.parametrize(
    "said", [{"source": "a\u0000"}, {"source": "\ud800"}, {"id": ["x"]}, {"kind": []}, {"vendor": ""}]
)
def test_odd_words(rig: Rig, said: Mapping[str, Any]) -> None:
    """What could not stand in a letter is not taken over from the message."""
    process(rig, said)
    [letter] = rig.dead_letters()
    assert [letter[name] for name in NAMES[1:4]] == ["unknown", "unknown", "occupancy"]
