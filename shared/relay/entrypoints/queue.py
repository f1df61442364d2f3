"""The Unprocessed queue's side: a batch of messages through the same pipeline, each with its own wait."""

import base64
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from relay.aws.queues import QueueUnavailable
from relay.container import Container
from relay.deadline import BATCH, FUNCTION_RESERVE_SECONDS, Deadline
from relay.delivery import sightings
from relay.delivery.outcome import Outcome, log, store
from relay.delivery.pipeline import Pipeline
from relay.entrypoints.under_way import MOST_ALONE, UnderWay
from relay.envelope import FAMILIES, SCHEDULE, Envelope, StoredRequest
from relay.errors import TableUnavailable, Unparseable
from relay.events import read_json, unparseable
from relay.invocation import Invocation
from relay.observability import Telemetry

ENDED = "the function ended twice while it worked on this alone: too much memory or time"
NO_ENVELOPE = "the message is no envelope that this version reads"
ALONE_SECONDS = 10.0
"""With less than this left, a suspect is not begun."""
CERTAIN_SECONDS = 10.0
"""So long after an invocation's last moment, nobody doubts that it is over."""

PORTION = 1_000_000
"""So many characters of messages are worked on together: what they hold takes many times that in memory."""

_Record = Mapping[str, Any]
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._ -]{0,63}\Z")
"""What an id and a name are made of: SQS does not take every text that JSON has."""


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


def handle(container: Container, event: Mapping[str, Any], seconds: float, request_id: str) -> dict[str, Any]:
    """Process a batch within that many seconds; the answer names the messages that stay in the queue.

    Messages that were under way when a process ended are suspected: each is tried alone, after the others.
    """
    deadline = Deadline(container.clock() + seconds, container.clock)
    invocation = Invocation(container, deadline, Telemetry(request_id), BATCH)
    invocation.telemetry.passed("taken", container.clock())
    under_way = container.under_way
    records = {record["messageId"]: record for record in event["Records"]}
    suspects = under_way.suspects(records)
    others = {message_id: record for message_id, record in records.items() if message_id not in suspects}
    stay: list[str] = []
    if others:
        under_way.begin(others, _ends(deadline))
        stay += _process([*others.values()], invocation)
    if suspects:
        # What a suspect may end must not bring back what is done with.
        _delete([record for message_id, record in others.items() if message_id not in stay], invocation)
        invocation.telemetry.problem("function ended", messages=len(suspects))
        # Now, as a suspect may end the process before the end.
        invocation.telemetry.flush()
        alone = [record for message_id, record in records.items() if message_id in suspects]
        stay += _process_alone(alone, suspects, under_way, invocation)
    under_way.end()
    invocation.telemetry.flush()
    # Lambda deletes all the others from the queue.
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in stay]}


def _ends(deadline: Deadline) -> float:
    """When the invocation is over at the latest: Lambda ends it then."""
    return deadline.at + FUNCTION_RESERVE_SECONDS


def _process(records: Sequence[_Record], invocation: Invocation) -> list[str]:
    """Process messages, as many together as fit into memory; the ids of those that stay in the queue."""
    pipeline = Pipeline(invocation)
    stay: list[str] = []
    for portion in _portions(records):
        stay += _process_together(portion, pipeline, invocation)
    sightings.note(pipeline.seen, invocation)
    return stay


def _portions(records: Sequence[_Record]) -> Iterator[list[_Record]]:
    """The messages in portions that are not large; usually there is one."""
    portion: list[_Record] = []
    size = 0
    for record in records:
        size += len(record["body"])
        if portion and size > PORTION:
            yield portion
            portion, size = [], len(record["body"])
        portion.append(record)
    yield portion


def _process_together(records: Sequence[_Record], pipeline: Pipeline, invocation: Invocation) -> list[str]:
    messages: list[_Message] = []
    stay: list[str] = []
    for record in records:
        message = _message(record, _read(record))
        if message.wait(invocation.now()) > 0:
            _hide(message, invocation)
            stay.append(message.id)
        else:
            messages.append(message)
    processed = pipeline.process([message.envelope for message in messages])
    for message, outcomes in zip(messages, processed, strict=True):
        if not _finish(message, outcomes, pipeline, invocation):
            stay.append(message.id)
    return stay


def _process_alone(
    records: Sequence[_Record], tried: Mapping[str, int], under_way: UnderWay, invocation: Invocation
) -> list[str]:
    """Process suspects one after the other, those first that ended the fewest processes by themselves.

    Should one of them end this process too, the others come back as soon as that is certain.
    """
    ends = _ends(invocation.deadline)
    with suppress(QueueUnavailable):
        receipts = [record["receiptHandle"] for record in records]
        invocation.queues.hide_all(receipts, ends - invocation.now() + CERTAIN_SECONDS)
    stay: list[str] = []
    for record in sorted(records, key=lambda record: tried[record["messageId"]]):
        message_id = record["messageId"]
        if invocation.deadline.left_for_work() < ALONE_SECONDS:
            stay.append(message_id)
            continue
        # Counted before it begins: should it end the process, nobody counts it afterwards.
        under_way.begin([message_id], ends, tried[message_id] + 1)
        if tried[message_id] >= MOST_ALONE:
            # Not stored, it stays suspected: a later batch gives it up once more.
            done = survived = _give_up(record, tried[message_id], invocation)
        else:
            done, survived = not _process([record], invocation), True
        if done:
            _delete([record], invocation)
        else:
            stay.append(message_id)
        if survived:
            under_way.survived(message_id)
        invocation.telemetry.flush()
    return stay


def _give_up(record: _Record, tried: int, invocation: Invocation) -> bool:
    """Make a dead letter of a message that ends each process; whether it is stored.

    Where reading it was what ended the last one, its text is kept unread.
    """
    message = _message(record, _read(record) if tried == MOST_ALONE else _wrapped(record, {}, ENDED))
    failed = message.envelope.failed("unparseable", ENDED, invocation.utc_now())
    dead = Outcome("dead-lettered", failed, "unparseable")
    return _finish(message, [dead], Pipeline(invocation), invocation)


def _delete(records: Sequence[_Record], invocation: Invocation) -> None:
    """Take messages out of the queue now; where that fails, Lambda does when the batch is over."""
    with suppress(QueueUnavailable):
        invocation.queues.done([record["receiptHandle"] for record in records])


def _hide(message: _Message, invocation: Invocation) -> None:
    """Hide a message that came before its time, for as long as SQS could not delay it."""
    with suppress(QueueUnavailable):
        invocation.queues.hide(message.receipt, message.wait(invocation.now()))


def _read(record: _Record) -> Envelope:
    """A message's envelope; one that is not readable is wrapped, and one that was wrapped is tried anew."""
    try:
        envelope = Envelope.model_validate_json(record["body"])
    except ValidationError as error:
        return _wrapped(record, _said(record["body"]), _refusal(error))
    return _unwrapped(envelope, envelope.request) if envelope.wrapped and envelope.request else envelope


def _unwrapped(letter: Envelope, request: StoredRequest) -> Envelope:
    """The envelope that a dead letter wraps, where this version reads it; else the letter, and why not."""
    try:
        found = Envelope.model_validate_json(request.content)
    except ValidationError as error:
        return letter.model_copy(update={"detail": _refusal(error)})
    # It begins to wait anew, as whatever is redriven.
    return found.dead().model_copy(update={"attempts": letter.attempts})


def _refusal(error: ValidationError) -> str:
    """Why a message is no envelope."""
    return f"{NO_ENVELOPE}: {unparseable(error, is_ours=True)}"


def _said(text: str) -> dict[str, Any]:
    """What a message says by which its letter is found, as far as that can be told."""
    try:
        found = read_json(text.encode("utf-8", "replace"))
    except Unparseable:
        return {}
    if not isinstance(found, dict):
        return {}
    said = {name: found.get(name) for name in ("id", "source", "vendor")}
    words = {name: word for name, word in said.items() if isinstance(word, str) and _WORD.match(word)}
    kind = found.get("kind")
    return words | {"kind": kind} if kind in list(FAMILIES) else words


def _wrapped(record: _Record, said: Mapping[str, Any], detail: str) -> Envelope:
    """A message that is no envelope, as one: its text is kept, and it goes to the dead-letter queue."""
    sent = int(record["attributes"]["SentTimestamp"]) / 1000
    unsaid: dict[str, Any] = {"source": "unknown", "vendor": "unknown", "kind": "occupancy"}
    return Envelope(
        **{**unsaid, **said},
        reason="unparseable",
        detail=detail,
        received_at=datetime.fromtimestamp(sent, UTC),
        request=StoredRequest(body=base64.b64encode(record["body"].encode("utf-8", "replace")).decode()),
        wrapped=True,
    )


def _message(record: _Record, envelope: Envelope) -> _Message:
    # The envelope counts the deliveries of its former messages, SQS those of this one.
    received = int(record["attributes"]["ApproximateReceiveCount"])
    envelope = envelope.model_copy(update={"attempts": envelope.attempts + received - 1})
    since = int(record["attributes"]["SentTimestamp"]) / 1000
    if envelope.queued_at is not None:
        since = min(since, envelope.queued_at.timestamp())
    return _Message(record["messageId"], record["receiptHandle"], since, envelope)


def _finish(
    message: _Message, outcomes: Sequence[Outcome], pipeline: Pipeline, invocation: Invocation
) -> bool:
    """Store what is left of a message; whether the message itself is done with."""
    age = invocation.now() - message.since
    final = [_since(message, _exhausted(outcome, age)) for outcome in outcomes]
    if any(one.status == "queued" for one in final):
        invocation.telemetry.still_waits(age)
    # What is left to be done may be what the message says already: then the message waits on.
    kept = next((one for one in final if one.status == "queued" and _is_same(one, message)), None)
    try:
        # Before the message is let go: after a crash in between it comes again, and repeats change nothing.
        store([outcome for outcome in final if outcome is not kept], invocation)
        if kept is not None:
            invocation.queues.hide(message.receipt, kept.delay(invocation.settings.retry_base_seconds))
    except (QueueUnavailable, TableUnavailable) as error:
        invocation.telemetry.problem("unavailable", error=type(error).__name__, detail=str(error))
        return False
    pipeline.stored(final)
    for outcome in final:
        log(outcome, invocation, waited_ms=round(age * 1000))
    return kept is None


def _is_same(outcome: Outcome, message: _Message) -> bool:
    """Whether what is left to be done is what the message says already."""
    left, said = outcome.envelope, message.envelope
    return (left.calven, left.event, left.request) == (said.calven, said.event, said.request)


def _since(message: _Message, outcome: Outcome) -> Outcome:
    """An outcome that waits on in another message takes along since when its event has waited."""
    if outcome.status != "queued":
        return outcome
    queued_at = datetime.fromtimestamp(message.since, UTC)
    return replace(outcome, envelope=outcome.envelope.model_copy(update={"queued_at": queued_at}))


def _exhausted(outcome: Outcome, age: float) -> Outcome:
    """An outcome that would wait again after 26 hours in the queue is a dead letter instead."""
    if outcome.status != "queued" or age < SCHEDULE.max_age:
        return outcome
    detail = f"{outcome.reason}: {outcome.envelope.detail}"[:1000]
    envelope = outcome.envelope.model_copy(update={"reason": "retries_exhausted", "detail": detail})
    return replace(outcome, status="dead-lettered", reason="retries_exhausted", envelope=envelope)
