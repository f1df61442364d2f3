"""The dead-letter queue: read without taking anything out of it, sent through the relay again, emptied."""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from relay.unprocessed import Envelope, Queues
from relayctl.target import Target

HIDE_SECONDS = 300
EMPTY_RECEIVES = 3
"""SQS asks only some of its hosts at a time: so many empty answers in a row mean that it is empty."""
BATCH = 10

Done = Callable[[int], object]


@dataclass(frozen=True)
class Letter:
    """A dead letter as SQS has delivered it. `sent_at` (Unix seconds) is when it came into the queue."""

    message_id: str
    receipt: str
    sent_at: float
    body: str
    envelope: dict[str, Any] = field(compare=False)

    @property
    def id(self) -> str:
        """The envelope's id, which it keeps from queue to queue."""
        return str(self.envelope.get("id"))


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Which letters are meant: those that fit everything that is set. Ages are seconds since the receipt.

    `ids` are whole ids, or how they begin.
    """

    ids: frozenset[str] = frozenset()
    reasons: frozenset[str] = frozenset()
    sources: frozenset[str] = frozenset()
    older_than: float | None = None
    newer_than: float | None = None

    def takes(self, envelope: dict[str, Any], now: datetime) -> bool:
        """Whether a letter is meant. One whose age is unknown is neither older nor newer than anything."""
        if self.ids and not any(str(envelope.get("id")).startswith(start) for start in self.ids):
            return False
        for wanted, name in ((self.reasons, "reason"), (self.sources, "source")):
            if wanted and envelope.get(name) not in wanted:
                return False
        if self.older_than is None and self.newer_than is None:
            return True
        seconds = age_seconds(envelope, now)
        return seconds is not None and (self.older_than or 0) <= seconds <= (self.newer_than or seconds)


@dataclass(frozen=True)
class Reading:
    """The letters that are meant, the oldest first, and how many of the queue's others keep hidden."""

    letters: list[dict[str, Any]]
    hidden: int


def read(target: Target, selection: Selection | None = None, done: Done = lambda _: None) -> Reading:
    """Every envelope in the queue that is meant; each message is given back at once, however this ends.

    What somebody else is reading just now cannot be seen: `hidden` says how many those are, about.
    """
    queue, url = target.client("sqs"), target.dead_letter_queue_url
    wanted, present = selection or Selection(), now()
    shown, hidden = _numbers(queue, url)
    found: list[Letter] = []
    try:
        for some in _received(queue, url):
            found += some
            done(len(some))
    finally:
        _give_back(queue, url, found)
    meant = [letter.envelope for letter in found if wanted.takes(letter.envelope, present)]
    missing = max(hidden, shown - len(found), 0)
    return Reading(sorted(meant, key=lambda envelope: str(envelope.get("received_at"))), missing)


def peek(target: Target, selection: Selection | None = None) -> list[dict[str, Any]]:
    """Every envelope in the queue that is meant and can be seen, the oldest first."""
    return read(target, selection).letters


@dataclass(frozen=True)
class Redriven:
    """What a redrive came to: the ids that were sent, and how many that were meant are still there."""

    sent: list[str]
    left: int


def redrive(target: Target, selection: Selection, done: Done, *, rate: float | None = None) -> Redriven:
    """Send the letters that are meant to the Unprocessed queue, `rate` a second.

    Each is sent before it is deleted: one that is interrupted in between is redriven again, and settled once
    all the same. A letter that comes back meanwhile stays. `done` is told the number of each few.
    """
    queue = target.client("sqs")
    queues = Queues(queue, target.unprocessed_queue_url, target.dead_letter_queue_url)

    def send(letters: Sequence[Letter]) -> None:
        envelopes = {letter: _again(letter) for letter in letters}
        queues.retry_later([(envelope, 0) for envelope in envelopes.values() if envelope])
        for letter in (letter for letter, envelope in envelopes.items() if envelope is None):
            queue.send_message(QueueUrl=target.unprocessed_queue_url, MessageBody=letter.body)

    return _each(target, selection, send, done, rate)


def came_back(target: Target, sent: Sequence[str]) -> list[dict[str, Any]]:
    """Of the letters that were redriven those that are dead letters again."""
    return [letter for letter in peek(target) if letter.get("id") in set(sent)]


def are_waiting(target: Target) -> int:
    """Roughly how many events the Unprocessed queue holds, visible or not."""
    names = (
        "ApproximateNumberOfMessages",
        "ApproximateNumberOfMessagesDelayed",
        "ApproximateNumberOfMessagesNotVisible",
    )
    answer = target.client("sqs").get_queue_attributes(
        QueueUrl=target.unprocessed_queue_url, AttributeNames=list(names)
    )
    return sum(int(answer["Attributes"][name]) for name in names)


def purge(target: Target, selection: Selection, done: Done) -> int:
    """Delete the letters that are meant, for good; how many there were."""
    return len(_each(target, selection, lambda _: None, done, None).sent)


def _each(
    target: Target,
    selection: Selection,
    act: Callable[[Sequence[Letter]], None],
    done: Done,
    rate: float | None,
) -> Redriven:
    """Act upon the letters that are meant, and delete them; whatever is not is given back at once.

    All are received first: what is received while others are slowly dealt with would come round again.
    """
    queue, url = target.client("sqs"), target.dead_letter_queue_url
    present = now()
    _, hidden = _numbers(queue, url)
    held: list[Letter] = []
    sent: list[str] = []
    try:
        for some in _received(queue, url):
            held += some
        hidden_at = time.monotonic()
        others = [letter for letter in held if not selection.takes(letter.envelope, present)]
        _give_back(queue, url, others)
        held = [letter for letter in held if letter not in others]
        for few in list(_chunks(held, rate)):
            began = time.monotonic()
            if began - hidden_at > HIDE_SECONDS / 3:
                _hide(queue, url, held)
                hidden_at = began
            act(few)
            _delete(queue, url, few)
            held = [letter for letter in held if letter not in few]
            sent += [letter.id for letter in few]
            done(len(few))
            time.sleep(max(len(few) / rate - (time.monotonic() - began), 0) if rate else 0)
    finally:
        _give_back(queue, url, held)
    return Redriven(sent, len(held) + hidden)


def _numbers(queue: Any, url: str) -> tuple[int, int]:
    """Roughly how many letters are visible, and how many somebody keeps hidden."""
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    found = queue.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
    return int(found[names[0]]), int(found[names[1]])


def about(target: Target) -> int:
    """Roughly how many letters the queue holds."""
    answer = target.client("sqs").get_queue_attributes(
        QueueUrl=target.dead_letter_queue_url, AttributeNames=["ApproximateNumberOfMessages"]
    )
    return int(answer["Attributes"]["ApproximateNumberOfMessages"])


def _received(queue: Any, url: str) -> Iterator[list[Letter]]:
    empty, seen = 0, set()
    while empty < EMPTY_RECEIVES:
        answer = queue.receive_message(
            QueueUrl=url,
            MaxNumberOfMessages=BATCH,
            VisibilityTimeout=HIDE_SECONDS,
            MessageSystemAttributeNames=["SentTimestamp"],
        )
        new = [m for m in answer.get("Messages", []) if m["MessageId"] not in seen]
        empty = 0 if new else empty + 1
        seen |= {message["MessageId"] for message in new}
        yield [_letter(message) for message in new]


def _letter(message: dict[str, Any]) -> Letter:
    sent_at = int(message["Attributes"]["SentTimestamp"]) / 1000
    return Letter(
        message["MessageId"], message["ReceiptHandle"], sent_at, message["Body"], _envelope(message)
    )


def _envelope(message: dict[str, Any]) -> dict[str, Any]:
    """The envelope; a message that is none is shown as the text that it is."""
    try:
        envelope = json.loads(message["Body"])
    except ValueError:
        envelope = None
    if isinstance(envelope, dict):
        return envelope
    return {"id": message["MessageId"], "reason": "unreadable", "detail": message["Body"][:1000]}


def _again(letter: Letter) -> Envelope | None:
    """The envelope as if it were tried for the first time; None for a message that is none."""
    try:
        return Envelope.model_validate_json(letter.body).model_copy(update={"attempts": 0})
    except ValidationError:
        return None


def _chunks(letters: Sequence[Letter], rate: float | None) -> Iterator[Sequence[Letter]]:
    size = min(BATCH, max(1, int(rate or BATCH)))
    return (letters[start : start + size] for start in range(0, len(letters), size))


def _delete(queue: Any, url: str, letters: Sequence[Letter]) -> None:
    entries = [{"Id": str(i), "ReceiptHandle": letter.receipt} for i, letter in enumerate(letters)]
    queue.delete_message_batch(QueueUrl=url, Entries=entries)


def _give_back(queue: Any, url: str, letters: Sequence[Letter]) -> None:
    _change_visibility(queue, url, letters, 0)


def _hide(queue: Any, url: str, letters: Sequence[Letter]) -> None:
    _change_visibility(queue, url, letters, HIDE_SECONDS)


def _change_visibility(queue: Any, url: str, letters: Sequence[Letter], seconds: int) -> None:
    for some in _chunks(letters, None):
        entries = [
            {"Id": str(i), "ReceiptHandle": letter.receipt, "VisibilityTimeout": seconds}
            for i, letter in enumerate(some)
        ]
        queue.change_message_visibility_batch(QueueUrl=url, Entries=entries)


def age_seconds(envelope: dict[str, Any], now: datetime) -> float | None:
    """How long ago the event was received; None where the envelope does not say."""
    try:
        return (now - datetime.fromisoformat(envelope["received_at"])).total_seconds()
    except (KeyError, TypeError, ValueError):
        return None


def age(envelope: dict[str, Any], now: datetime) -> str:
    """The same in words short enough for a table."""
    seconds = age_seconds(envelope, now)
    if seconds is None:
        return "?"
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def now() -> datetime:
    """The present, aware."""
    return datetime.now(UTC)
