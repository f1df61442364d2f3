"""The Unprocessed queue's side: a batch of messages through the same pipeline, each with its own wait."""

import base64
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from relay.deadline import BATCH, Deadline
from relay.fates import Fate, log, store
from relay.observability import Telemetry
from relay.pipeline import Pipeline
from relay.runtime import Relay
from relay.unprocessed import SCHEDULE, Envelope, QueueUnavailable, StoredRequest


@dataclass(frozen=True, slots=True)
class _Message:
    """One SQS record. `attempts` of its envelope counts the deliveries before this one too.

    `since` is when the event came into the queue (Unix seconds), in this message or in one before it.
    """

    id: str
    receipt: str
    since: float
    envelope: Envelope

    def wait(self, now: float) -> float:
        """Seconds until it is to be tried, where a wait was asked for that is longer than SQS's delay."""
        not_before = self.envelope.not_before
        return not_before.timestamp() - now if not_before else 0.0


def handle(relay: Relay, event: Mapping[str, Any], seconds: float, request_id: str) -> dict[str, Any]:
    """Process a batch within that many seconds; the answer names the messages that stay in the queue."""
    telemetry = Telemetry(request_id)
    received = [_message(record) for record in event["Records"]]
    early = [message for message in received if message.wait(relay.clock()) > 0]
    messages = [message for message in received if message not in early]
    deadline = Deadline(relay.clock() + seconds, relay.clock)
    pipeline = Pipeline(relay, deadline, telemetry, BATCH)
    processed = pipeline.process([message.envelope for message in messages])
    stay = [message.id for message in early if _hidden(relay, message)]
    stay += [
        message.id
        for message, fates in zip(messages, processed, strict=True)
        if not _settle(relay, pipeline, message, fates, telemetry)
    ]
    telemetry.flush()
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in stay]}


def _message(record: Mapping[str, Any]) -> _Message:
    received = int(record["attributes"]["ApproximateReceiveCount"])
    try:
        envelope = Envelope.model_validate_json(record["body"])
    except ValidationError:
        envelope = _unreadable(record)
    envelope = envelope.model_copy(update={"attempts": envelope.attempts + received - 1})
    since = int(record["attributes"]["SentTimestamp"]) / 1000
    if envelope.queued_at is not None:
        since = min(since, envelope.queued_at.timestamp())
    return _Message(record["messageId"], record["receiptHandle"], since, envelope)


def _hidden(relay: Relay, message: _Message) -> bool:
    """Hide a message that came before its time, for as long as SQS could not delay it; it stays."""
    with suppress(QueueUnavailable):
        relay.queues.hide(message.receipt, message.wait(relay.clock()))
    return True


def _unreadable(record: Mapping[str, Any]) -> Envelope:
    """A message that is no envelope, as one: its text is kept, and it goes to the dead-letter queue."""
    sent = int(record["attributes"]["SentTimestamp"]) / 1000
    return Envelope(
        source="unknown",
        vendor="unknown",
        kind="occupancy",
        reason="unparseable",
        received_at=datetime.fromtimestamp(sent, UTC),
        request=StoredRequest(body=base64.b64encode(record["body"].encode("utf-8", "replace")).decode()),
    )


def _settle(
    relay: Relay, pipeline: Pipeline, message: _Message, fates: Sequence[Fate], telemetry: Telemetry
) -> bool:
    """Store what is left of a message; whether the message itself is done with."""
    fates = [_waiting_since(_exhausted(fate, relay.clock() - message.since), message) for fate in fates]
    keep = next((fate for fate in fates if fate.outcome == "queued" and _same(fate, message)), None)
    try:
        store(relay, [fate for fate in fates if fate is not keep])
        if keep is not None:
            relay.queues.hide(message.receipt, keep.delay(relay.settings.retry_base_seconds))
    except QueueUnavailable as error:
        telemetry.problem("queue unavailable", detail=str(error))
        return False
    pipeline.stored(fates)
    for fate in fates:
        log(relay, telemetry, fate)
    return keep is None


def _same(fate: Fate, message: _Message) -> bool:
    """Whether what is left to be done is what the message says already."""
    left, said = fate.envelope, message.envelope
    return (left.calven, left.event, left.request) == (said.calven, said.event, said.request)


def _waiting_since(fate: Fate, message: _Message) -> Fate:
    """A fate that waits on in another message takes along since when its event has waited."""
    if fate.outcome != "queued":
        return fate
    queued_at = datetime.fromtimestamp(message.since, UTC)
    return replace(fate, envelope=fate.envelope.model_copy(update={"queued_at": queued_at}))


def _exhausted(fate: Fate, age: float) -> Fate:
    """A fate that would wait again after 26 hours in the queue is a dead letter instead."""
    if fate.outcome != "queued" or age < SCHEDULE.max_age:
        return fate
    detail = f"{fate.reason}: {fate.envelope.detail}"[:1000]
    envelope = fate.envelope.model_copy(update={"reason": "retries_exhausted", "detail": detail})
    return replace(fate, outcome="dead-lettered", reason="retries_exhausted", envelope=envelope)
