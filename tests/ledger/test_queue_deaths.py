"""A message that ends its process ends as one dead letter, and holds up the others of its batches once."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from localrun.moto_server import Moto
from localrun.serve import Served
from relay.aws.table import Table
from relay.delivery.pipeline import Pipeline
from relay.entrypoints import queue
from relay.entrypoints.under_way import PARTITION, PREFIX, Slot, UnderWay, left_behind, tried_alone
from tests.machine import Died
from tests.queue_world import VISIBILITY, Sqs, World, have_die, kills
from tests.rig import Rig

pytestmark = pytest.mark.slow

SHORT = 60 + 10
"""When a suspect comes back after a process has ended."""


@pytest.fixture
def world(rig: Rig) -> World:
    """A relay with an empty queue."""
    return World(rig, Sqs(rig.clock))


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
