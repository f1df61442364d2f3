"""A message that ends its process ends as one dead letter, and holds up the others of its batches once."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import pytest
from botocore.exceptions import ConnectTimeoutError

from localrun.moto_server import Moto
from localrun.serve import Served
from relay.aws.queues import Queues
from relay.aws.table import Table, Update
from relay.container import Container
from relay.delivery.outcome import Outcome
from relay.delivery.pipeline import Pipeline
from relay.entrypoints import queue
from relay.entrypoints.under_way import PARTITION, PREFIX, Slot, UnderWay, left_behind, tried_alone
from relay.envelope import Envelope
from relay.errors import TableUnavailable
from tests.machine import Died
from tests.rig import Rig, sample

pytestmark = pytest.mark.slow

VISIBILITY = 366
WORKS = 55
"""Seconds that an invocation may work, of the 60 that it has."""
SHORT = 60 + 10
"""When a suspect comes back after a process has ended."""


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


@pytest.fixture
def world(rig: Rig) -> World:
    """A relay with an empty queue."""
    return World(rig, Sqs(rig.clock))


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


MOMENTS = ("reading", "before", "after")
CASES = [(Died, killers, moment) for killers in ((0,), (5,), (2, 4), (0, 1)) for moment in MOMENTS]


@pytest.mark.parametrize(
    ("end", "killers", "moment"), [*CASES, *((RuntimeError, (2,), moment) for moment in MOMENTS)]
)
def test_killers(
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    end: type[BaseException],
    killers: tuple[int, ...],
    moment: str,
) -> None:
    """Each killer is one dead letter, and the others are forwarded when they come back.

    An error that leaves the process running is as good as its end.
    """
    have_die(monkeypatch, moment, end)
    world.badges(*(f"killer {n}" if n in killers else f"badge {n}" for n in range(6)))
    others = [key for key, message in world.sqs.waiting.items() if not kills(message.body)]
    began = world.rig.clock()
    ends = 1 + len(killers) * (3 if moment == "reading" else 2)
    assert world.drain(ends + 1) == ends
    latest = max(world.sqs.gone[key] for key in others) - began
    assert latest <= VISIBILITY + SHORT * len(killers)
    assert {letter["reason"] for letter in world.sqs.dead} == {"unparseable"}
    assert {letter["detail"] for letter in world.sqs.dead} == {queue.ENDED}
    assert len(world.sqs.dead) == len(killers)
    for letter in world.sqs.dead:
        assert set(letter) & {"request", "event", "calven"} == {"request" if moment == "reading" else "event"}
    assert world.people() == (6 if moment == "after" else 6 - len(killers))
    assert world.named() == []


@pytest.mark.no_cover
def test_many(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A queue of more than a batch: none of it is lost, and none of it a dead letter but the killers."""
    have_die(monkeypatch, "before")
    world.badges(*(f"killer {n}" if n in (5, 50, 103) else f"badge {n}" for n in range(105)))
    assert world.drain(20) <= 10
    assert len(world.sqs.dead) == 3
    assert world.people() == 102
    assert world.named() == []


def test_later_messages(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes beside a suspect is done with before it, and is not brought back by its end."""
    have_die(monkeypatch, "before")
    world.badges("killer")
    assert not world.deliver()
    world.rig.clock.advance(VISIBILITY - 1)
    world.badges(*(f"badge {n}" for n in range(20)))
    world.rig.clock.advance(1)
    assert not world.deliver()
    assert world.people() == 20
    assert len(world.sqs.waiting) == 1
    assert world.drain(2) == 1
    assert len(world.sqs.dead) == 1


def test_end_between_processing_and_emptying(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that ends once, when all is done but said, costs nobody more than another attempt."""
    ends, end = [True], UnderWay.end

    def ended(under_way: UnderWay) -> None:
        if ends:
            ends.pop()
            raise Died
        end(under_way)

    monkeypatch.setattr(UnderWay, "end", ended)
    world.badges(*(f"badge {n}" for n in range(5)))
    assert world.drain(2) == 1
    assert world.sqs.dead == []
    assert world.people() == 5
    assert world.named() == []


def test_killed_together_only(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages that are too much for one process together are each processed alone."""
    process = Pipeline.process

    def together(pipeline: Pipeline, envelopes: Sequence[Envelope]) -> list[list[Outcome]]:
        if len(envelopes) > 3:
            raise Died
        return process(pipeline, envelopes)

    monkeypatch.setattr(Pipeline, "process", together)
    world.badges(*(f"badge {n}" for n in range(8)))
    assert world.drain(2) == 1
    assert world.sqs.dead == []
    assert world.people() == 8


@pytest.mark.parametrize("broken", ["query", "write"])
def test_no_table(world: World, monkeypatch: pytest.MonkeyPatch, broken: str) -> None:
    """Where the slots cannot be read or written, a batch is processed without them."""
    query, write = Table.query, Table.write

    def no_query(table: Table, pk: str, prefix: str) -> Iterator[Any]:
        if pk == PARTITION:
            raise TableUnavailable
        return query(table, pk, prefix)

    def no_write(table: Table, updates: Sequence[Update]) -> None:
        if updates[0].key[0] == PARTITION:
            raise TableUnavailable
        write(table, updates)

    world.badges("badge 1", "killer", "badge 2")
    with monkeypatch.context() as patch:
        have_die(patch, "before")
        world.deliver()
    patched = {"query": no_query, "write": no_write}[broken]
    monkeypatch.setattr(Table, broken, patched)
    assert world.drain(1) == 0
    assert world.people() == 3
    assert world.sqs.dead == []


def test_outage(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hours of waiting make nobody a suspect; a batch asks the table three times more, no oftener."""
    suspected: list[str] = []
    asked: list[str] = []
    suspects, query, write = UnderWay.suspects, Table.query, Table.write

    def noted(under_way: UnderWay, ids: Any) -> dict[str, int]:
        found = suspects(under_way, ids)
        suspected.extend(found)
        return found

    def queried(table: Table, pk: str, prefix: str) -> Iterator[Any]:
        asked.extend(["query"] if pk == PARTITION else [])
        return query(table, pk, prefix)

    def written(table: Table, updates: Sequence[Update]) -> None:
        asked.extend(["write"] if updates[0].key[0] == PARTITION else [])
        write(table, updates)

    monkeypatch.setattr(UnderWay, "suspects", noted)
    monkeypatch.setattr(Table, "query", queried)
    monkeypatch.setattr(Table, "write", written)
    world.badges(*(f"badge {n}" for n in range(5)))
    world.rig.fail("503")
    containers = [world.container(RETRY_BASE_SECONDS="30") for _ in range(2)]
    began, turn = world.rig.clock(), 0
    while world.rig.clock() < began + 6 * 3600:
        world.relay = containers[turn % 2]
        assert world.deliver()
        turn += 1
    assert turn > 20
    assert suspected == []
    assert asked == ["query", "write", "write"] * turn
    world.rig.recover()
    assert world.drain(10) == 0
    assert world.people() == 5


def test_killer_that_waits(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Suspects that survive and wait on are no suspects any more."""
    have_die(monkeypatch, "before")
    world.badges("badge 1", "badge 2", "killer")
    world.deliver()
    world.rig.fail("503")
    world.deliver()
    [*_, named] = sorted(world.named(), key=len)
    assert len(named) == 1, "the killer alone"
    world.rig.recover()
    world.drain(5)
    assert world.people() == 2
    assert len(world.sqs.dead) == 1


def test_no_time_for_suspects(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A suspect that there is no time for stays one, and that is no attempt."""
    world.badges("badge 1", "badge 2")
    with monkeypatch.context() as patch:
        patch.setattr(Pipeline, "process", lambda *_: (_ for _ in ()).throw(Died))
        assert not world.deliver()
    for _ in range(4):
        assert world.deliver(seconds=9)
    assert [len(ids) for ids in world.named()] == [2]
    assert world.drain(1) == 0
    assert world.people() == 2
    assert world.sqs.dead == []


def test_no_dead_letter_queue(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A killer that can be stored nowhere stays, and is not tried again meanwhile."""
    have_die(monkeypatch, "before")
    world.badges("killer", "badge")
    world.sqs.refuses = True
    assert [world.deliver() for _ in range(5)] == [False, False, False, True, True]
    assert len(world.sqs.waiting) == 1
    world.sqs.refuses = False
    assert world.drain(1) == 0
    assert len(world.sqs.dead) == 1
    assert world.named() == []


def test_left_behind() -> None:
    """A slot whose invocation may not be over, this process's own and an empty one name no suspects."""
    slots = [
        Slot("over", frozenset("ab"), 0, 100),
        Slot("alone", frozenset("b"), 1, 90),
        Slot("live", frozenset("c"), 0, 101),
        Slot("own", frozenset("d"), 0, 50),
        Slot("empty", frozenset(), 0, 50),
    ]
    left = left_behind(slots, "own", 100)
    assert [slot.sk for slot in left] == ["over", "alone"]
    assert tried_alone("abcd", left) == {"a": 0, "b": 1}
    assert tried_alone("d", left) == {}


def test_forgotten_slot(world: World) -> None:
    """A slot that expires meanwhile is not made anew, as nothing would ever take that one away."""
    table = Table(world.rig.aws.dynamodb, world.rig.resources.table)
    world.container().under_way.begin(["a"], until=0)
    under_way = world.container().under_way
    assert under_way.suspects(["a", "b"]) == {"a": 0}
    for item in table.query(PARTITION, PREFIX):
        key: Any = {name: {"S": item[name]} for name in ("pk", "sk")}
        world.rig.aws.dynamodb.delete_item(TableName=world.rig.resources.table, Key=key)
    under_way.survived("a")
    under_way.end()
    assert list(table.query(PARTITION, PREFIX)) == []


PROCESS = """
import json, os, sys
from relay import settings
from relay.entrypoints import queue
from relay.delivery.pipeline import Pipeline
from relay.container import Container

Pipeline.process = lambda *_: os._exit(9)
clock = float(sys.argv[1])
queue.handle(Container(settings.read(), lambda: clock), json.load(sys.stdin), 55, "request")
"""


def test_real_process(world: World) -> None:
    """A process that really ends leaves its slot behind, and another one takes over."""
    world.badges("badge 1", "badge 2")
    environment = world.rig.relay.settings.model_dump(by_alias=True, mode="json")
    records = json.dumps({"Records": world.sqs.receive()})
    command = [sys.executable, "-c", PROCESS, str(world.rig.clock())]
    with Served(Moto()) as aws:
        names = {name: str(value) for name, value in environment.items()}
        done = subprocess.run(
            command,
            env={**os.environ, **names, "AWS_ENDPOINT_URL": aws},
            input=records,
            text=True,
            check=False,
            timeout=60,
        )
    assert done.returncode == 9
    assert [len(ids) for ids in world.named()] == [2]
    assert world.drain(1) == 0
    assert world.people() == 2
    assert world.named() == []
