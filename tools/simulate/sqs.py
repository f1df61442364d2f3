"""The queues, with delay and visibility, and Lambda's mapping that takes from one of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count, islice
from typing import Any

from simulate.clock import Timeline
from simulate.dynamodb import Wait

REQUEST_SECONDS = 0.01
VISIBILITY_SECONDS = 366.0
BATCH, WINDOW_SECONDS = 100, 1.0
POLL_SECONDS = 0.05
"""How exactly a mapping notices a message that has become visible."""
A_REQUEST = 10
"""So many messages go into a request to SQS."""

Deliver = Callable[[Sequence[Mapping[str, Any]]], Sequence[str]]
"""Has a batch worked on; the ids of the messages that stay in the queue."""


@dataclass(slots=True)
class _Message:
    id: str
    body: str
    sent_at: float
    visible_at: float
    receives: int = 0


@dataclass(slots=True)
class Queue:
    """One queue's messages, in the order in which they came."""

    messages: dict[str, _Message] = field(default_factory=dict)
    requests: int = 0
    _numbers: Any = field(default_factory=count)

    def send(self, body: str, now: float, delay: float) -> str:
        """Take a message, which is hidden at first."""
        name = f"m{next(self._numbers)}"
        self.messages[name] = _Message(name, body, now, now + delay)
        return name

    def receive(self, most: int, now: float) -> list[dict[str, Any]]:
        """Some messages as records, hidden from now on."""
        visible = (message for message in self.messages.values() if message.visible_at <= now)
        some = list(islice(visible, most))
        self.requests += max(1, -(-len(some) // A_REQUEST)) if some else 0
        for message in some:
            message.visible_at = now + VISIBILITY_SECONDS
            message.receives += 1
        return [_record(message) for message in some]

    def delete(self, names: Sequence[str]) -> None:
        """Forget messages."""
        for name in names:
            self.messages.pop(name, None)

    def hide(self, name: str, until: float) -> None:
        """Show a message again at an instant."""
        if name in self.messages:
            self.messages[name].visible_at = until


def _record(message: _Message) -> dict[str, Any]:
    return {
        "messageId": message.id,
        "receiptHandle": message.id,
        "body": message.body,
        "attributes": {
            "ApproximateReceiveCount": str(message.receives),
            "SentTimestamp": str(int(message.sent_at * 1000)),
        },
    }


class SQS:
    """A client of the queues, which go by their URLs. `wait` is how its container spends time."""

    def __init__(self, queues: Mapping[str, Queue], timeline: Timeline, wait: Wait) -> None:
        self._queues, self._timeline, self._wait = queues, timeline, wait

    def send_message(self, **parameters: Any) -> dict[str, Any]:
        """Store one message."""
        self._send(parameters["QueueUrl"], [parameters])
        return {}

    def send_message_batch(self, **parameters: Any) -> dict[str, Any]:
        """Store some messages."""
        self._send(parameters["QueueUrl"], parameters["Entries"])
        return {"Successful": []}

    def _send(self, url: str, entries: Sequence[Mapping[str, Any]]) -> None:
        queue = self._asked(url)
        with self._timeline.turn:
            for entry in entries:
                queue.send(entry["MessageBody"], self._timeline.now(), entry.get("DelaySeconds", 0))

    def change_message_visibility(self, **parameters: Any) -> dict[str, Any]:
        """Hide one message for so long."""
        self._hide(parameters["QueueUrl"], [parameters])
        return {}

    def change_message_visibility_batch(self, **parameters: Any) -> dict[str, Any]:
        """Hide some messages for so long."""
        self._hide(parameters["QueueUrl"], parameters["Entries"])
        return {}

    def _hide(self, url: str, entries: Sequence[Mapping[str, Any]]) -> None:
        queue = self._asked(url)
        with self._timeline.turn:
            for entry in entries:
                queue.hide(entry["ReceiptHandle"], self._timeline.now() + entry["VisibilityTimeout"])

    def delete_message_batch(self, **parameters: Any) -> dict[str, Any]:
        """Forget some messages."""
        queue = self._asked(parameters["QueueUrl"])
        with self._timeline.turn:
            queue.delete([entry["ReceiptHandle"] for entry in parameters["Entries"]])
        return {}

    def _asked(self, url: str) -> Queue:
        """The queue of a request, which takes its time."""
        self._wait(REQUEST_SECONDS)
        self._queues[url].requests += 1
        return self._queues[url]


class EventSource:
    """Takes batches from a queue and has them worked on, so many at once, until it is told to end.

    A batch is complete with its hundredth message, or a second after its first one. Batches that fill at the
    same time take turns.
    """

    def __init__(self, queue: Queue, timeline: Timeline, deliver: Deliver, concurrency: int) -> None:
        self._queue, self._timeline, self._deliver = queue, timeline, deliver
        self._concurrency = concurrency
        self._over = False

    def start(self) -> None:
        """Begin to take."""
        for number in range(self._concurrency):
            # One after the other: they have not all begun at the same instant.
            self._timeline.start(self._take, self._timeline.now() + number * POLL_SECONDS / self._concurrency)

    def end(self) -> None:
        """Take nothing more once the queue is empty."""
        self._over = True

    def _take(self) -> None:
        while not (self._over and not self._queue.messages):
            batch = self._batch()
            if batch:
                self._work_on(batch)

    def _batch(self) -> list[dict[str, Any]]:
        """The messages of the next batch; none where none has come for a moment."""
        batch = self._receive(BATCH)
        if not batch:
            self._timeline.sleep(POLL_SECONDS)
            return []
        until = self._timeline.now() + WINDOW_SECONDS
        while len(batch) < BATCH and self._timeline.now() < until:
            self._timeline.sleep(POLL_SECONDS)
            batch += self._receive(BATCH - len(batch))
        return batch

    def _receive(self, most: int) -> list[dict[str, Any]]:
        with self._timeline.turn:
            return self._queue.receive(most, self._timeline.now())

    def _work_on(self, batch: Sequence[Mapping[str, Any]]) -> None:
        stay = set(self._deliver(batch))
        done = [record["messageId"] for record in batch if record["messageId"] not in stay]
        with self._timeline.turn:
            self._queue.delete(done)
            self._queue.requests += -(-len(done) // A_REQUEST)
