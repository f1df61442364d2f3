"""The simulated table: who is refused while whose write is under way, by which error, and what it costs."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from boto3.dynamodb.types import TypeSerializer
from botocore.exceptions import ClientError

from relay.aws.table import Conflict, Key, Table, Update
from simulate import values
from simulate.dynamodb import READ_SECONDS, TRANSACTION_SECONDS, WRITE_SECONDS, DynamoDB
from simulate.expressions import BadExpression, Scope, condition, update
from simulate.table import Table as Simulated
from simulate.units import read_units, size, write_units
from simulate.waits import VirtualTime

A, B, C = ("day#1", "count#a"), ("day#1", "count#b"), ("people#1", "person#c")
BEGIN = 1_000.0


class Stage:
    """A simulated table, and who does what with it when."""

    def __init__(self) -> None:
        self.timeline = VirtualTime(BEGIN)
        self.simulated = Simulated(self.timeline)
        self.client = DynamoDB(self.simulated, self.timeline.sleep)
        self.table = Table(self.client, "simulated")  # type: ignore[arg-type]
        self.refused: list[str] = []

    def at(self, seconds: float, name: str, act: Callable[[], Any]) -> None:
        """Have something done at an instant; `refused` says whose act conflicted."""

        def work() -> None:
            try:
                act()
            except Conflict:
                self.refused.append(name)

        self.timeline.start(work, BEGIN + seconds)

    def write(self, seconds: float, name: str, *updates: Update) -> None:
        """Have updates written at an instant."""
        self.at(seconds, name, partial(self.table.write, updates))

    def run(self) -> None:
        """Let it all happen."""
        self.timeline.run()

    def read(self, *keys: Key) -> dict[Key, Any]:
        """What is there now, read outside of time."""
        return dict(Table(DynamoDB(self.simulated, lambda _: None), "simulated").get(keys))  # type: ignore[arg-type]


@pytest.fixture
def stage() -> Iterator[Stage]:
    """An empty table."""
    stage = Stage()
    yield stage
    stage.timeline.close()


def put(key: Key, **values: Any) -> Update:
    """A write of some values."""
    return Update(key=key, set=values)


def test_transaction_holds_its_items(stage: Stage) -> None:
    """From a transaction's start to its end each other write of its items is refused, and none of others'."""
    stage.write(0.000, "first", put(A, by=1), put(B, by=1))
    stage.write(0.004, "overlapping", put(B, by=2), put(C, by=2))
    stage.write(0.005, "single", put(A, by=3))
    stage.write(0.006, "elsewhere", put(C, by=4))
    stage.write(TRANSACTION_SECONDS + 0.001, "afterwards", put(A, by=5), put(B, by=5))
    stage.run()
    assert stage.refused == ["single", "overlapping"]
    assert [item["by"] for item in stage.read(A, B, C).values()] == [5, 5, 4]
    assert stage.simulated.counts.conflicts == {"settling": 1, "noting": 1}


def test_refused_transaction_holds_nothing(stage: Stage) -> None:
    """A transaction that is refused keeps nobody from the items that nobody else held."""
    stage.write(0.000, "first", put(A, by=1), put(B, by=1))
    stage.write(0.002, "refused", put(B, by=2), put(C, by=2))
    stage.write(0.004, "free", put(C, by=3))
    stage.run()
    assert stage.refused == ["refused"]
    assert stage.read(C)[C]["by"] == 3


def test_single_writes_take_turns(stage: Stage) -> None:
    """Single writes of one item do not conflict, and none is lost."""
    for number in range(5):
        parameters = {
            "TableName": "simulated",
            "Key": wire({"pk": A[0], "sk": A[1]}),
            "UpdateExpression": "ADD #n :one",
            "ExpressionAttributeNames": {"#n": "n"},
            "ExpressionAttributeValues": wire({":one": 1}),
        }
        stage.at(number / 1000, "single", partial(stage.client.update_item, **parameters))
    stage.run()
    assert stage.refused == []
    assert stage.read(A)[A]["n"] == 5


def test_condition_when_it_takes_effect(stage: Stage) -> None:
    """A condition is judged when the write takes effect, not when it was sent."""
    stage.write(0.000, "first", put(A, revision=1))
    stage.write(0.001, "second", Update(key=A, set={"revision": 2}, expect={"revision": 1}))
    stage.write(0.002, "third", Update(key=A, set={"revision": 9}, expect={"revision": 1}))
    stage.run()
    assert stage.refused == ["third"]
    assert stage.read(A)[A]["revision"] == 2


def test_reads_see_what_is_written(stage: Stage) -> None:
    """A read waits for nobody, and sees nothing of a transaction before its end."""
    seen: list[Any] = []
    for at in (0.001, TRANSACTION_SECONDS + 0.001):
        stage.at(at, "read", lambda: seen.append(stage.table.get([A, B])))
    stage.write(0.000, "first", put(A, by=1), put(B, by=1))
    stage.run()
    assert [sorted(found) for found in seen] == [[], [A, B]]


@pytest.mark.parametrize(
    ("act", "seconds"),
    [
        (lambda table: table.get([A, B, C]), READ_SECONDS),
        (lambda table: list(table.query("day#1", "count#")), READ_SECONDS),
        (lambda table: table.write([put(A, by=1)]), WRITE_SECONDS),
        (lambda table: table.write([put(A, by=1), put(B, by=1)]), TRANSACTION_SECONDS),
    ],
)
def test_times(stage: Stage, act: Callable[[Table], Any], seconds: float) -> None:
    """Each request takes its time."""
    stage.at(0, "", partial(act, stage.table))
    stage.run()
    assert stage.timeline.now() == pytest.approx(BEGIN + seconds)


def test_errors_say_what_is_there(stage: Stage) -> None:
    """A refused condition has DynamoDB's code, and the item where that was asked for."""
    stage.write(0, "first", put(A, revision=1))
    stage.run()
    client = DynamoDB(stage.simulated, lambda _: None)
    action = {
        "TableName": "simulated",
        "Key": wire({"pk": A[0], "sk": A[1]}),
        "UpdateExpression": "SET #r = :r",
        "ConditionExpression": "#r = :old",
        "ExpressionAttributeNames": {"#r": "revision"},
        "ExpressionAttributeValues": wire({":r": 3, ":old": 2}),
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }
    there = wire({"pk": A[0], "sk": A[1], "revision": 1})
    with pytest.raises(ClientError) as single:
        client.update_item(**action)
    assert single.value.response["Error"]["Code"] == "ConditionalCheckFailedException"
    assert single.value.response["Item"] == there  # type: ignore[typeddict-item]
    other = {"Update": {**action, "Key": wire({"pk": B[0], "sk": B[1]}), "ConditionExpression": "#r <> :r"}}
    with pytest.raises(ClientError) as several:
        client.transact_write_items(TransactItems=[{"Update": action}, other])
    assert several.value.response["Error"]["Code"] == "TransactionCanceledException"
    reasons = several.value.response["CancellationReasons"]
    assert [reason["Code"] for reason in reasons] == ["ConditionalCheckFailed", "ConditionalCheckFailed"]
    assert reasons[0]["Item"] == there
    assert "Item" not in reasons[1], "there is no such item"


def test_units(stage: Stage) -> None:
    """Units are by size, double in a transaction, and counted as tried where a write is refused."""
    large = "x" * 3_000
    stage.write(0.00, "single", put(A, text=large))
    stage.write(0.02, "several", put(A, text="small"), put(B, text="small"))
    stage.write(0.04, "refused", Update(key=B, set={"text": "other"}, expect={"text": "wrong"}))
    stage.at(0.06, "read", lambda: stage.table.get([A, B, C]))
    stage.run()
    counts = stage.simulated.counts
    assert counts.write_units == 3 + 2 * (3 + 1)
    assert counts.tried_units == counts.write_units + 1
    assert counts.read_units == 3, "what is not there costs a unit too"
    assert counts.requests == {"UpdateItem": 2, "TransactWriteItems": 1, "BatchGetItem": 1}


def test_sizes() -> None:
    """Items have the size that DynamoDB's documentation gives."""
    assert size(wire({"pk": "ab", "n": 123, "yes": True, "no": None})) == 4 + 1 + 3 + 3 + 1 + 2 + 1
    assert [write_units(wire({"a": "x" * length})) for length in (1, 1_023, 1_024)] == [1, 1, 2]
    assert [read_units(length) for length in (0, 4_096, 4_097)] == [1, 1, 2]


def test_pages(stage: Stage) -> None:
    """A query goes on where a page of a megabyte ended, in order of the sort keys."""
    for number in range(12):
        stage.write(number, "", put(("p", f"n#{number:02}"), text="x" * 200_000))
    stage.write(20, "", put(("p", "other"), text=""))
    stage.run()
    stage.simulated.counts.requests.clear()
    found: list[Any] = []
    stage.at(0, "", lambda: found.extend(stage.table.query("p", "n#")))
    stage.run()
    assert [item["sk"] for item in found] == [f"n#{number:02}" for number in range(12)]
    assert stage.simulated.counts.requests["Query"] == 3, "five to a page, and two"


def test_unknown_parameters(stage: Stage) -> None:
    """What is not simulated is refused, not passed over."""
    with pytest.raises(NotImplementedError, match="IndexName"):
        list(stage.table.query_index("leaves", "source", "deel"))


def wire(item: dict[str, Any]) -> dict[str, Any]:
    """An item as it is on the wire."""
    return {name: TypeSerializer().serialize(value) for name, value in item.items()}


ITEM = wire({"list": [4], "n": 5, "text": "abc", "some": {"x", "y"}})
VALUES = wire({":4": 4, ":5": 5, ":6": 6, ":ab": "ab", ":some": {"y", "x"}, ":x": {"x"}})
NAMES = {"#n": "n"}


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("#n = :5", True),
        ("n <> :5", False),
        ("n < :6 AND n > :4", True),
        ("n <= :4 OR n >= :6", False),
        ("attribute_exists(#n) AND attribute_not_exists(missing)", True),
        ("(attribute_not_exists(#n) OR #n < :6) AND text = :5", False),
        ("NOT (n = :4 OR n = :6)", True),
        ("attribute_not_exists(#n) OR attribute_exists(text) AND n = :4", False),
        ("missing < :6", False),
        ("missing <> :6", False),
        ("text < :6", False),
        ("some = :some", True),
        ("begins_with(text, :ab)", True),
        ("#n = :5 AND list[0] < :5 AND NOT list[1] < :5 AND NOT text[0] < :5", True),
        ("contains(text, :ab) AND size(text) < :4", True),
        ("n BETWEEN :4 AND :6 AND n IN (:4, :5)", True),
    ],
)
def test_conditions(text: str, holds: bool) -> None:
    """Conditions hold as DynamoDB's documentation says: AND before OR, and no order with what is missing."""
    assert condition(text)(Scope(ITEM, NAMES, VALUES)) is holds


@pytest.mark.parametrize(
    ("text", "changed"),
    [
        ("SET #n = :6, other = :4", {"n": 6, "other": 4}),
        ("SET n = n + :4 REMOVE text", {"n": 9, "text": None}),
        ("SET n = if_not_exists(missing, :4) - :6", {"n": -2}),
        ("REMOVE missing, text", {"text": None}),
        ("ADD n :4, more :4", {"n": 9, "more": 4}),
        ("DELETE some :x", {"some": {"y"}}),
        ("DELETE some :some", {"some": None}),
        ("SET a = n SET b = a", None),
    ],
)
def test_updates(text: str, changed: dict[str, Any] | None) -> None:
    """Updates change an item as they say, by what it was before; the last one here has nothing to copy."""
    if changed is None:
        with pytest.raises(BadExpression):
            update(text)(Scope(ITEM, NAMES, VALUES))
        return
    after = update(text)(Scope(ITEM, NAMES, VALUES))
    expected: dict[str, Any] = {**ITEM, **wire({name: value for name, value in changed.items() if value})}
    expected = {name: value for name, value in expected.items() if changed.get(name, name) is not None}
    assert set(after) == set(expected)
    assert all(values.equal(after[name], expected[name]) for name in expected)


@pytest.mark.parametrize("text", ["", "n", "n =", "n = :5 :5", "(n = :5", "n ! :5", "begins_with(n)x"])
def test_bad_conditions(text: str) -> None:
    """What is no condition is refused."""
    with pytest.raises(BadExpression):
        condition(text)(Scope(ITEM, NAMES, VALUES))
