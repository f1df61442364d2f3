"""The simulated table against moto: the relay's own updates do the same to both, and are refused by both."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.aws.table import Conflict, Key, Table, Update
from simulate.dynamodb import DynamoDB
from simulate.table import Table as Simulated
from simulate.waits import VirtualTime
from tests.moto_table import FEW, Ledger

pytestmark = pytest.mark.slow

KEYS: tuple[Key, ...] = (("p", "a"), ("p", "b"), ("q", "a"))
NAMES = st.sampled_from(["one", "two", "name"])
NUMBERS = st.integers(0, 2)
SETS = st.frozensets(st.sampled_from("xyz"), min_size=1)


def says_something(update: Update) -> bool:
    """Whether an update changes or checks anything; the ledgers make no others."""
    return bool(update.changes or update.expect or update.below or update.present)


@st.composite
def any_updates(draw: st.DrawFn) -> Update:
    """Any mixture of what an update can change, and of what it can expect."""
    changed = draw(st.permutations(["one", "two", "name"]))
    said = draw(st.lists(NUMBERS, max_size=2))
    return Update(
        key=draw(st.sampled_from(KEYS)),
        set={
            **dict(zip(changed, said, strict=False)),
            **draw(st.fixed_dictionaries({}, optional={"set": SETS})),
        },
        remove=changed[2:][: draw(st.integers(0, 1))],
        expect=draw(st.dictionaries(NAMES, st.none() | NUMBERS, max_size=1)),
        below=draw(st.dictionaries(NAMES, NUMBERS, max_size=1)),
        present=draw(st.lists(NAMES, max_size=1)),
    )


UPDATES = any_updates().filter(says_something)


def written(table: Table, several: Sequence[Update]) -> bool:
    """Whether a table takes some updates."""
    try:
        table.write(several)
    except Conflict:
        return False
    return True


@FEW
@given(st.lists(st.lists(UPDATES, min_size=1, max_size=3, unique_by=lambda one: one.key), max_size=12))
def test_same_as_moto(transactions: list[list[Update]]) -> None:
    """Whatever is written one after the other, both tables take the same, and hold the same."""
    simulated = Table(DynamoDB(Simulated(VirtualTime(0)), lambda _: None), "ledger")  # type: ignore[arg-type]
    with Ledger() as ledger:
        for several in transactions:
            assert written(simulated, several) is written(ledger.table, several), several
            assert read(simulated) == read(ledger.table), several
        for prefix in ("a", "b"):
            assert list(simulated.query("p", prefix)) == list(ledger.table.query("p", prefix))


def read(table: Table) -> dict[Key, Any]:
    """What a table holds."""
    return {key: dict(item) for key, item in table.get(KEYS).items()}
