"""Outages and killers at once: what waits in the queue is kept, and nothing is blamed wrongly."""

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from relay.aws.table import Table, Update
from relay.delivery.outcome import Outcome
from relay.delivery.pipeline import Pipeline
from relay.entrypoints.under_way import PARTITION, UnderWay
from relay.envelope import Envelope
from relay.errors import TableUnavailable
from tests.machine import Died
from tests.queue_world import Sqs, World, have_die
from tests.rig import Rig

pytestmark = pytest.mark.slow


@pytest.fixture
def world(rig: Rig) -> World:
    """A relay with an empty queue."""
    return World(rig, Sqs(rig.clock))


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
