"""The dead-letter queue: read without taking anything out of it, sent through the relay again, emptied."""

import json
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from relay.aws.queues import Queues
from relay.envelope import Envelope
from relayctl import stopping
from relayctl.ages import age_seconds, now
from relayctl.network import AWS_ERRORS, is_local
from relayctl.recent_push import wait_for_push
from relayctl.target import CONNECTIONS, Target

HIDE_SECONDS = 300
EMPTY_RECEIVES = 3
"""SQS asks only some of its hosts at a time: so many empty answers in a row mean that it is empty."""
LONGER_SECONDS = 1
"""So long SQS waits, and asks all of its hosts, after an empty answer of a queue that is not empty."""
BATCH = 10
MOST_AT_ONCE = CONNECTIONS
MANY = 50
"""Each so many letters are worth another call at the same time."""
MOST_FAILURES = 3
"""After so many calls that failed, the rest of the letters is not given back, but appears by itself."""
SO_FAR_SECONDS = 0.5
"""So often is told what a reading has come to so far, and the less often the more it has come to,"""
SO_FAR_LETTERS = 1000
"""with so many letters half as often: whoever is told looks at all of them each time."""

Done = Callable[[int], object]


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter as SQS has delivered it: no more than its text, as there may be many."""

    message_id: str
    receipt: str = field(compare=False)
    body: str = field(compare=False)

    @property
    def envelope(self) -> dict[str, Any]:
        """The envelope; a message that is none is shown as the text that it is."""
        try:
            envelope = json.loads(self.body)
        except ValueError:
            envelope = None
        if isinstance(envelope, dict):
            return envelope
        return {"id": self.message_id, "reason": "unreadable", "detail": self.body[:1000]}

    @property
    def id(self) -> str:
        """The envelope's id, which it keeps from queue to queue."""
        return str(self.envelope.get("id"))


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Which letters are meant: those that fit everything that is set. Ages are seconds since the receipt.

    `ids` are whole ids, or how they begin. `known` are the whole ids of those that have been read, where no
    others are meant.
    """

    ids: frozenset[str] = frozenset()
    known: frozenset[str] | None = None
    reasons: frozenset[str] = frozenset()
    sources: frozenset[str] = frozenset()
    older_than: float | None = None
    newer_than: float | None = None

    def takes(self, envelope: dict[str, Any], now: datetime) -> bool:
        """Whether a letter is meant. One whose age is unknown is neither older nor newer than anything."""
        letter_id = str(envelope.get("id"))
        if self.known is not None and letter_id not in self.known:
            return False
        if self.ids and not letter_id.startswith(tuple(self.ids)):
            return False
        for wanted, name in ((self.reasons, "reason"), (self.sources, "source")):
            if wanted and envelope.get(name) not in wanted:
                return False
        if self.older_than is None and self.newer_than is None:
            return True
        seconds = age_seconds(envelope, now)
        if seconds is None or seconds < (self.older_than or 0):
            return False
        # A bound of no seconds is one: `--newer-than 0s` means hardly any letter, not all.
        return self.newer_than is None or seconds <= self.newer_than


@dataclass(frozen=True)
class Reading:
    """The letters that are meant, the oldest first, and how many of the queue's others keep hidden.

    Where it is not `is_whole`, it is what was read so far, and `hidden` are also those that are yet to come.
    """

    letters: list[dict[str, Any]]
    hidden: int
    is_whole: bool = True


def read(
    target: Target,
    selection: Selection | None = None,
    done: Done = lambda _: None,
    fields: Collection[str] | None = None,
    url: str | None = None,
    so_far: Callable[[Reading], object] = lambda _: None,
) -> Reading:
    """Every envelope in the queue that is meant; each message is given back at once, however this ends.

    The queue is the dead-letter queue, or the one at that `url`. What somebody else is reading just now, and
    what waits for its time, cannot be seen: `hidden` says how many those are, about. Of each envelope only
    the `fields` that are named are kept. `so_far` is told what has been read by now, at most twice a second.
    """
    queue, url = target.client("sqs"), url or target.dead_letter_queue_url
    wanted, present = selection or Selection(), now()
    there = sum(numbers(queue, url))
    receipts: dict[str, str] = {}
    meant: list[dict[str, Any]] = []
    tell_at = 0.0
    with stopping.in_order() as stop:
        try:
            for some in _received(queue, url, there):
                # SQS may give one message out twice, also to two that ask at once.
                latest = {letter.message_id: letter for letter in some}
                new = [letter for letter in latest.values() if letter.message_id not in receipts]
                receipts |= {letter.message_id: letter.receipt for letter in latest.values()}
                envelopes = [envelope for letter in new if wanted.takes(envelope := letter.envelope, present)]
                meant += [_only(envelope, fields) for envelope in envelopes]
                done(len(new))
                if stop.asked:
                    break
                if time.monotonic() >= tell_at:
                    so_far(Reading(list(meant), max(there - len(receipts), 0), is_whole=False))
                    tell_at = time.monotonic() + SO_FAR_SECONDS * (1 + len(meant) / SO_FAR_LETTERS)
            # Giving them back takes as long as receiving them: nobody need wait for that.
            so_far(Reading(list(meant), max(there - len(receipts), 0), is_whole=False))
        finally:
            _give_back(queue, url, receipts.values())
    meant.sort(key=lambda envelope: str(envelope.get("received_at")))
    return Reading(meant, max(there - len(receipts), 0))


def _only(envelope: dict[str, Any], fields: Collection[str] | None) -> dict[str, Any]:
    """The fields that are named, and the time of the receipt, by which letters are sorted."""
    if fields is None:
        return envelope
    return {name: envelope[name] for name in (*fields, "received_at") if name in envelope}


def peek(
    target: Target, selection: Selection | None = None, fields: Collection[str] | None = None
) -> list[dict[str, Any]]:
    """Every envelope in the queue that is meant and can be seen, the oldest first."""
    return read(target, selection, fields=fields).letters


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
    wait_for_push(target)
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
    ids = set(sent)
    return [letter for letter in peek(target, fields=("id", "reason")) if letter.get("id") in ids]


def are_waiting(target: Target) -> int:
    """Roughly how many events the Unprocessed queue holds, visible or not."""
    return sum(numbers(target.client("sqs"), target.unprocessed_queue_url))


def until_tried(target: Target, seconds: float) -> int:
    """Wait until the Unprocessed queue is empty, so long at most; roughly how many events still wait."""
    until = time.monotonic() + seconds
    while (waiting := are_waiting(target)) and time.monotonic() < until:
        time.sleep(0.5)
    return waiting


def purge(target: Target, selection: Selection, done: Done) -> Redriven:
    """Delete the letters that are meant, for good."""
    return _each(target, selection, lambda _: None, done, bodies=False)


def _each(
    target: Target,
    selection: Selection,
    act: Callable[[Sequence[Letter]], None],
    done: Done,
    rate: float | None = None,
    *,
    bodies: bool = True,
) -> Redriven:
    """Act upon the letters that are meant, and delete them; whatever is not is given back at once.

    All are received first: what is received while others are slowly dealt with would come round again.
    Without `bodies`, `act` gets letters without text.
    """
    queue, url = target.client("sqs"), target.dead_letter_queue_url
    there = sum(numbers(queue, url))
    held: dict[str, Letter] = {}
    others: dict[str, str] = {}
    sent: list[str] = []
    with stopping.in_order() as stop:
        try:
            for some in _received(queue, url, there):
                meant, left = _divided(some, selection, bodies=bodies)
                held |= meant
                others |= left
                if stop.asked:
                    break
            hidden_at = time.monotonic()
            missing = max(there - len(held) - len(others), 0)
            _give_back(queue, url, [others.pop(message_id) for message_id in list(others)])
            for few in _chunks(list(held.values()), rate):
                if stop.asked:
                    break
                began = time.monotonic()
                if began - hidden_at > HIDE_SECONDS / 3:
                    _hide(queue, url, [letter.receipt for letter in held.values()])
                    hidden_at = began
                act(few)
                _delete(queue, url, few)
                for letter in few:
                    del held[letter.message_id]
                sent += [letter.id for letter in few]
                done(len(few))
                stop.sleep(len(few) / rate - (time.monotonic() - began) if rate else 0)
        finally:
            _give_back(queue, url, [*others.values(), *(letter.receipt for letter in held.values())])
    return Redriven(sent, len(held) + missing)


def _divided(
    letters: Sequence[Letter], selection: Selection, *, bodies: bool
) -> tuple[dict[str, Letter], dict[str, str]]:
    """Of some letters those that are meant, and the receipts of the others, by the message's id."""
    present = now()
    meant: dict[str, Letter] = {}
    others: dict[str, str] = {}
    for letter in letters:
        if selection.takes(letter.envelope, present):
            meant[letter.message_id] = letter if bodies else replace(letter, body="")
        else:
            others[letter.message_id] = letter.receipt
    return meant, others


def numbers(queue: Any, url: str) -> tuple[int, ...]:
    """Roughly how many messages are visible, how many somebody keeps hidden, how many wait for their time."""
    names = [
        "ApproximateNumberOfMessages",
        "ApproximateNumberOfMessagesNotVisible",
        "ApproximateNumberOfMessagesDelayed",
    ]
    found = queue.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
    return tuple(int(found[name]) for name in names)


def about(target: Target) -> int:
    """Roughly how many letters the queue holds."""
    answer = target.client("sqs").get_queue_attributes(
        QueueUrl=target.dead_letter_queue_url, AttributeNames=["ApproximateNumberOfMessages"]
    )
    return int(answer["Attributes"]["ApproximateNumberOfMessages"])


def _received(queue: Any, url: str, there: int) -> Iterator[list[Letter]]:
    """All letters that can be seen, some at a time, and the more at a time the more are said to be `there`.

    One whose time ran out meanwhile comes again, with the receipt that counts from then on.
    """
    empty, wait_seconds = 0, 0
    seen: set[str] = set()
    with ThreadPoolExecutor(MOST_AT_ONCE) as threads:
        while empty < EMPTY_RECEIVES:
            calls = [
                threads.submit(_receive, queue, url, wait_seconds)
                for _ in range(1 if empty else _at_once(max(there, len(seen))))
            ]
            wait(calls)
            letters = [letter for call in calls if call.exception() is None for letter in call.result()]
            known = len(seen)
            seen.update(letter.message_id for letter in letters)
            yield letters
            for call in calls:
                call.result()
            empty = 0 if len(seen) > known else empty + 1
            wait_seconds = _longer(queue, url) if empty else 0


def _receive(queue: Any, url: str, wait_seconds: int) -> list[Letter]:
    answer = queue.receive_message(
        QueueUrl=url,
        MaxNumberOfMessages=BATCH,
        VisibilityTimeout=HIDE_SECONDS,
        WaitTimeSeconds=wait_seconds,
    )
    return [
        Letter(message["MessageId"], message["ReceiptHandle"], message["Body"])
        for message in answer.get("Messages", [])
    ]


def _longer(queue: Any, url: str) -> int:
    """How long to wait for an answer after an empty one: only where letters are said to be left.

    The local SQS says so of all of them at once, and a call that waits there holds up all others.
    """
    shown, *_ = numbers(queue, url)
    return LONGER_SECONDS if shown and not is_local(queue.meta.endpoint_url) else 0


def _at_once(number: int) -> int:
    """How many calls at the same time so many letters are worth."""
    return min(1 + number // MANY, MOST_AT_ONCE)


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


def _give_back(queue: Any, url: str, receipts: Iterable[str]) -> None:
    _change_visibility(queue, url, list(receipts), 0)


def _hide(queue: Any, url: str, receipts: Iterable[str]) -> None:
    _change_visibility(queue, url, list(receipts), HIDE_SECONDS)


def _change_visibility(queue: Any, url: str, receipts: Sequence[str], seconds: int) -> None:
    """Show letters from so many seconds on. What fails for some is raised after the others' turn."""
    failures: list[Exception] = []

    def change(start: int) -> None:
        if len(failures) >= MOST_FAILURES:
            return
        entries = [
            {"Id": str(i), "ReceiptHandle": receipt, "VisibilityTimeout": seconds}
            for i, receipt in enumerate(receipts[start : start + BATCH])
        ]
        try:
            queue.change_message_visibility_batch(QueueUrl=url, Entries=entries)
        except AWS_ERRORS as error:
            failures.append(error)

    # Those under way when the last failure comes fail too.
    with ThreadPoolExecutor(min(_at_once(len(receipts)), 2 * MOST_FAILURES)) as threads:
        wait([threads.submit(change, start) for start in range(0, len(receipts), BATCH)])
    if failures:
        raise failures[0]
