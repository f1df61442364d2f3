"""A queue in virtual time, and a retry function that is a new process after each end of one."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import pytest
from botocore.exceptions import ConnectTimeoutError

from relay.aws.queues import Queues
from relay.aws.table import Table
from relay.container import Container
from relay.delivery.outcome import Outcome
from relay.delivery.pipeline import Pipeline
from relay.entrypoints import queue
from relay.entrypoints.under_way import PARTITION, PREFIX
from relay.envelope import Envelope
from tests.machine import Died
from tests.rig import Rig, sample

VISIBILITY = 366
WORKS = 55
"""Seconds that an invocation may work, of the 60 that it has."""


@dataclass
class Message:
    """One in the queue."""

    body: str
    sent_at: float
    visible_at: float
    receives: int = 0


@dataclass
class Sqs:
    """Both queues, on the test's clock."""

    clock: Callable[[], float]
    waiting: dict[str, Message] = field(default_factory=dict)
    gone: dict[str, float] = field(default_factory=dict)
    dead: list[dict[str, Any]] = field(default_factory=list)
    refuses: bool = False

    def send_message_batch(self, *, QueueUrl: str, Entries: Sequence[Any]) -> dict[str, Any]:  # noqa: N803
        """Take messages."""
        for entry in Entries:
            if "dead" not in QueueUrl:
                now = self.clock()
                self.waiting[uuid4().hex] = Message(entry["MessageBody"], now, now + entry["DelaySeconds"])
            elif self.refuses:
                raise ConnectTimeoutError(endpoint_url="")
            else:
                self.dead.append(json.loads(entry["MessageBody"]))
        return {}

    def change_message_visibility(self, *, QueueUrl: str, **entry: Any) -> None:  # noqa: N803
        """Show a message again later."""
        assert "unprocessed" in QueueUrl
        if message := self.waiting.get(entry["ReceiptHandle"]):
            message.visible_at = self.clock() + entry["VisibilityTimeout"]

    def change_message_visibility_batch(self, *, QueueUrl: str, Entries: Sequence[Any]) -> None:  # noqa: N803
        """Show messages again later."""
        assert len(Entries) <= 10
        for entry in Entries:
            self.change_message_visibility(QueueUrl=QueueUrl, **entry)

    def delete_message_batch(self, *, QueueUrl: str, Entries: Sequence[Any]) -> None:  # noqa: N803
        """Delete messages."""
        assert "unprocessed" in QueueUrl
        assert len(Entries) <= 10
        for entry in Entries:
            if self.waiting.pop(entry["ReceiptHandle"], None):
                self.gone[entry["ReceiptHandle"]] = self.clock()

    def receive(self) -> list[dict[str, Any]]:
        """A hundred messages at most, as records."""
        found = [(key, each) for key, each in self.waiting.items() if each.visible_at <= self.clock()][:100]
        for _, message in found:
            message.visible_at = self.clock() + VISIBILITY
            message.receives += 1
        return [
            {
                "messageId": key,
                "receiptHandle": key,
                "body": message.body,
                "attributes": {
                    "ApproximateReceiveCount": str(message.receives),
                    "SentTimestamp": str(round(message.sent_at * 1000)),
                },
            }
            for key, message in found
        ]


@dataclass
class World:
    """A relay whose retry function is a new process after each end of one."""

    rig: Rig
    sqs: Sqs
    relay: Container | None = None

    def container(self, **settings: str) -> Container:
        """A new process."""
        relay = self.rig.built(**settings)
        vars(relay)["queues"] = Queues(self.sqs, "unprocessed", "dead")  # type: ignore[arg-type]
        return relay

    def badges(self, *names: str) -> None:
        """Have people badge in, each event stored first."""
        relay = self.container(FORWARD_MODE="queued")
        for number, name in enumerate(names):
            badge = sample("kisi", "badge-in", uuid=name, actor_id=1000 * len(self.sqs.gone) + number)
            assert self.rig.post("kisi", badge, relay=relay)[0] == 202

    def deliver(self, seconds: float = WORKS) -> bool:
        """Deliver what is next in the queue; whether the process survives."""
        earliest = min(message.visible_at for message in self.sqs.waiting.values())
        self.rig.clock.now = max(self.rig.clock.now, earliest)
        records = self.sqs.receive()
        self.relay = self.relay or self.container()
        try:
            answer = queue.handle(self.relay, {"Records": records}, seconds, "request-2")
        except Died:
            self.relay = None
            return False
        except RuntimeError:
            return False
        stay = {failure["itemIdentifier"] for failure in answer["batchItemFailures"]}
        done = [record["messageId"] for record in records if record["messageId"] not in stay]
        for key in done:
            self.sqs.delete_message_batch(QueueUrl="unprocessed", Entries=[{"ReceiptHandle": key}])
        return True

    def drain(self, most: int) -> int:
        """Deliver until nothing waits; how many processes ended."""
        ends = 0
        for _ in range(most):
            if not self.sqs.waiting:
                return ends
            ends += not self.deliver()
        assert not self.sqs.waiting, f"still there after {most} deliveries"
        return ends

    def named(self) -> list[Any]:
        """What the slots name."""
        table = Table(self.rig.aws.dynamodb, self.rig.resources.table)
        return [item["ids"] for item in table.query(PARTITION, PREFIX) if "ids" in item]

    def people(self) -> int:
        """How many people Calven was told of."""
        return self.rig.counts().get("sydney", 0)


def kills(said: object) -> bool:
    """Whether a message ends its process."""
    return "killer" in str(said)


def have_die(patch: pytest.MonkeyPatch, moment: str, end: type[BaseException] = Died) -> None:
    """Have killers end their process: when they are read, before or after they are processed."""
    read, process = queue._read, Pipeline.process  # noqa: SLF001

    def reading(record: Mapping[str, Any]) -> Envelope:
        if kills(record["body"]):
            raise end
        return read(record)

    def processing(pipeline: Pipeline, envelopes: Sequence[Envelope]) -> list[list[Outcome]]:
        deadly = any(kills(envelope.event_id) for envelope in envelopes)
        if deadly and moment == "before":
            raise end
        outcomes = process(pipeline, envelopes)
        if deadly:
            raise end
        return outcomes

    if moment == "reading":
        patch.setattr(queue, "_read", reading)
    else:
        patch.setattr(Pipeline, "process", processing)
