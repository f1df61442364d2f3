"""The queues on SQS: what waits, what is dead, and which sources and sites are to be looked at."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from relay.aws.clients import ANSWER_SECONDS, until
from relay.envelope import Envelope

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

    from relay.deadline import Deadline

# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html
SQS_MAX_DELAY_SECONDS = 900
SQS_MAX_VISIBILITY_SECONDS = 12 * 3600
SQS_BATCH = 10
SQS_BATCH_BYTES = 1024 * 1024


class QueueUnavailable(Exception):
    """A queue did not take a message: it is stored nowhere."""


class Queues:
    """The Unprocessed and the dead-letter queue, and those of the reconcile and the occupancy_reset function.

    Raises `QueueUnavailable`: then nothing is stored.
    """

    def __init__(
        self,
        client: "SQSClient",
        unprocessed_url: str,
        dead_letter_url: str,
        reconcile_url: str = "",
        occupancy_reset_url: str = "",
    ) -> None:
        self._client = client
        self.unprocessed_url = unprocessed_url
        self.dead_letter_url = dead_letter_url
        self._reconcile_url = reconcile_url
        self._occupancy_reset_url = occupancy_reset_url

    def until(self, deadline: "Deadline") -> "Queues":
        """The queues, each of whose calls ends by that deadline, and may use what others left of it."""
        client = until(self._client, deadline, ANSWER_SECONDS)
        return Queues(
            client, self.unprocessed_url, self.dead_letter_url, self._reconcile_url, self._occupancy_reset_url
        )

    def ask_to_reconcile(self, sources: Sequence[str]) -> None:
        """Have each of these sources reconciled soon."""
        # One message a source: one that fails is delivered again alone.
        for source in sources:
            with _errors():
                self._client.send_message(
                    QueueUrl=self._reconcile_url, MessageBody=json.dumps({"source": source})
                )

    def ask_to_close(self, sites: Sequence[str]) -> None:
        """Have the days of each of these sites (by `locationId`) closed soon, where they are over."""
        self._send(self._occupancy_reset_url, [{"MessageBody": json.dumps({"site": site})} for site in sites])

    def retry_later(self, envelopes: Sequence[tuple[Envelope, float]]) -> None:
        """Store envelopes in the Unprocessed queue, each with its wait in seconds."""
        self._send(self.unprocessed_url, [_entry(envelope, wait) for envelope, wait in envelopes])

    def dead_letter(self, envelopes: Sequence[Envelope]) -> None:
        """Store envelopes in the dead-letter queue."""
        self._send(self.dead_letter_url, [_entry(envelope.dead(), 0) for envelope in envelopes])

    def hide(self, receipt_handle: str, seconds: float) -> None:
        """Show a received message again after a wait (12 hours at most)."""
        with _errors():
            self._client.change_message_visibility(
                QueueUrl=self.unprocessed_url,
                ReceiptHandle=receipt_handle,
                VisibilityTimeout=min(round(seconds), SQS_MAX_VISIBILITY_SECONDS),
            )

    def hide_all(self, receipt_handles: Sequence[str], seconds: float) -> None:
        """Show received messages again after a wait, other than their visibility timeout."""
        wait = min(max(round(seconds), 0), SQS_MAX_VISIBILITY_SECONDS)
        for entries in _handles(receipt_handles):
            # What SQS refuses of them comes back after the queue's visibility timeout: later, and not lost.
            hidden: Any = [{**entry, "VisibilityTimeout": wait} for entry in entries]
            with _errors():
                self._client.change_message_visibility_batch(QueueUrl=self.unprocessed_url, Entries=hidden)

    def done(self, receipt_handles: Sequence[str]) -> None:
        """Take received messages out of the Unprocessed queue at once."""
        for entries in _handles(receipt_handles):
            with _errors():
                self._client.delete_message_batch(QueueUrl=self.unprocessed_url, Entries=entries)

    def _send(self, url: str, messages: Sequence[dict[str, Any]]) -> None:
        for batch in _batches(messages):
            entries = [{**entry, "Id": str(i)} for i, entry in enumerate(batch)]
            # A batch is a success even where SQS refused some of it: those are sent once more.
            for _ in range(2):
                failed = self._send_batch(url, entries)
                entries = [entry for entry in entries if entry["Id"] in failed]
                if not entries:
                    break
            else:
                raise QueueUnavailable("a message was refused")

    def _send_batch(self, url: str, entries: Sequence[Any]) -> set[str]:
        with _errors():
            answer = self._client.send_message_batch(QueueUrl=url, Entries=entries)
        return {failure["Id"] for failure in answer.get("Failed", [])}


def _entry(envelope: Envelope, wait: float) -> dict[str, Any]:
    repeated = {name: getattr(envelope, name) for name in ("id", "source", "vendor", "kind", "reason")}
    return {
        "MessageBody": envelope.body(),
        "DelaySeconds": min(round(wait), SQS_MAX_DELAY_SECONDS),
        "MessageAttributes": {
            name: {"DataType": "String", "StringValue": value} for name, value in repeated.items() if value
        },
    }


def _batches(entries: Sequence[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """Entries in as few batches as SQS takes: ten messages, one MiB."""
    batch: list[dict[str, Any]] = []
    size = 0
    for entry in entries:
        # Attributes count as well. The body is ASCII, so that characters are bytes.
        length = len(entry["MessageBody"]) + 1024
        if batch and (len(batch) == SQS_BATCH or size + length > SQS_BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(entry)
        size += length
    if batch:
        yield batch


def _handles(receipt_handles: Sequence[str]) -> Iterator[list[Any]]:
    """Received messages in as few batches as SQS takes."""
    for start in range(0, len(receipt_handles), SQS_BATCH):
        some = receipt_handles[start : start + SQS_BATCH]
        yield [{"Id": str(i), "ReceiptHandle": handle} for i, handle in enumerate(some)]


@contextmanager
def _errors() -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        # The code alone: a message of AWS's may hold what was sent.
        raise QueueUnavailable(error.response["Error"]["Code"]) from None
    except BotoCoreError as error:
        raise QueueUnavailable(type(error).__name__) from None
