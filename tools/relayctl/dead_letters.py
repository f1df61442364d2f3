"""The dead-letter queue, read without taking anything out of it."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from relayctl.target import Target

HIDE_SECONDS = 60
EMPTY_RECEIVES = 3
"""SQS asks only some of its hosts at a time: so many empty answers in a row mean that it is empty."""


def peek(target: Target) -> list[dict[str, Any]]:
    """Every envelope in the queue, the oldest first; each message is given back at once."""
    queue, found = target.client("sqs"), {}
    try:
        for message in _received(queue, target.dead_letter_queue_url):
            found[message["MessageId"]] = message
    finally:
        _give_back(queue, target.dead_letter_queue_url, list(found.values()))
    return sorted(map(_envelope, found.values()), key=lambda envelope: str(envelope.get("received_at")))


def _received(queue: Any, url: str) -> Iterator[dict[str, Any]]:
    empty, seen = 0, set()
    while empty < EMPTY_RECEIVES:
        answer = queue.receive_message(QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=HIDE_SECONDS)
        new = [m for m in answer.get("Messages", []) if m["MessageId"] not in seen]
        empty = 0 if new else empty + 1
        seen |= {message["MessageId"] for message in new}
        yield from new


def _give_back(queue: Any, url: str, messages: list[dict[str, Any]]) -> None:
    for start in range(0, len(messages), 10):
        entries = [
            {"Id": str(i), "ReceiptHandle": message["ReceiptHandle"], "VisibilityTimeout": 0}
            for i, message in enumerate(messages[start : start + 10])
        ]
        queue.change_message_visibility_batch(QueueUrl=url, Entries=entries)


def _envelope(message: dict[str, Any]) -> dict[str, Any]:
    """The envelope; a message that is none is shown as the text that it is."""
    try:
        envelope = json.loads(message["Body"])
    except ValueError:
        envelope = None
    if isinstance(envelope, dict):
        return envelope
    return {"id": message["MessageId"], "reason": "unreadable", "detail": message["Body"][:1000]}


def age(envelope: dict[str, Any], now: datetime) -> str:
    """How long ago the event was received, in words short enough for a table."""
    try:
        seconds = (now - datetime.fromisoformat(envelope["received_at"])).total_seconds()
    except (KeyError, TypeError, ValueError):
        return "?"
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def now() -> datetime:
    """The present, aware."""
    return datetime.now(UTC)
