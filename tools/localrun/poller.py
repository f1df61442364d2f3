"""Lambda's event source mapping: takes batches from a queue to a function."""

import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from localrun.background import Background
from localrun.invoke import Handler, call, load
from localrun.sqs_event import kept, to_event
from localrun.template import ACCOUNT, REGION, EventSource, Function

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import MessageTypeDef

_IDLE_SECONDS = 0.2
_IDLE_SECONDS_UNHURRIED = 1.0
_AFTER_ERROR_SECONDS = 1.0
_MOST_A_CALL = 10
_MOST_THREADS = 5


class Poller(Background):
    """Receives from a queue, calls its function with each batch, and deletes what the function took.

    As Lambda does, it runs batches at once up to the source's concurrency, fills each up to its batch
    size, and leaves in the queue what the function names in `batchItemFailures`, or everything when it fails.
    Where one call receives a whole batch, nobody waits for it: one thread looks, and less often, as each look
    costs this machine something.
    """

    def __init__(
        self,
        source: EventSource,
        sqs: "SQSClient",
        queue_url: str,
        loader: Callable[[Function], Handler] = load,
    ) -> None:
        unhurried = source.batch_size <= _MOST_A_CALL
        super().__init__([self._poll] * (1 if unhurried else min(source.concurrency, _MOST_THREADS)))
        self._idle_seconds = _IDLE_SECONDS_UNHURRIED if unhurried else _IDLE_SECONDS
        self._source, self._sqs, self._queue_url = source, sqs, queue_url
        self._handler = loader(source.function)
        self._arn = f"arn:aws:sqs:{REGION}:{ACCOUNT}:{queue_url.rpartition('/')[2]}"

    def poll_once(self) -> int:
        """One batch, received, handled and deleted; returns how many messages it had."""
        messages = self._receive()
        if messages:
            answer = call(self._source.function, self._handler, to_event(messages, self._arn))
            staying = kept(answer, [message["MessageId"] for message in messages])
            self._delete([message for message in messages if message["MessageId"] not in staying])
        return len(messages)

    def _poll(self, stopping: threading.Event) -> None:
        while not stopping.is_set():
            try:
                pause = 0.0 if self.poll_once() else self._idle_seconds
            except Exception as error:  # noqa: BLE001 - the queue is tried again, whatever it was
                if stopping.is_set():
                    return
                print(f"poller: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
                pause = _AFTER_ERROR_SECONDS
            stopping.wait(pause)

    def _receive(self) -> "list[MessageTypeDef]":
        messages: list[MessageTypeDef] = []
        more = True
        while more and len(messages) < self._source.batch_size:
            wanted = min(self._source.batch_size - len(messages), _MOST_A_CALL)
            answer = self._sqs.receive_message(
                QueueUrl=self._queue_url,
                MaxNumberOfMessages=wanted,
                WaitTimeSeconds=0,
                MessageSystemAttributeNames=["All"],
                MessageAttributeNames=["All"],
            )
            received = answer.get("Messages", [])
            messages += received
            more = len(received) == wanted
        return messages

    def _delete(self, messages: "list[MessageTypeDef]") -> None:
        for start in range(0, len(messages), _MOST_A_CALL):
            part = messages[start : start + _MOST_A_CALL]
            self._sqs.delete_message_batch(
                QueueUrl=self._queue_url,
                Entries=[
                    {"Id": str(index), "ReceiptHandle": message["ReceiptHandle"]}
                    for index, message in enumerate(part)
                ],
            )
