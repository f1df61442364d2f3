"""The table: what is read and written in how many requests, and what its errors mean."""

from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError, ReadTimeoutError

from relay.aws.table import CONFLICTS, Conflict, Update
from relay.errors import TableUnavailable
from tests.moto_table import NAME, Ledger

A, B, C = (("p", name) for name in "abc")


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    """An empty table."""
    with Ledger() as empty:
        yield empty


def fill(ledger: Ledger, *keys: tuple[str, str], **values: Any) -> None:
    """Items with the same values, written as another process would."""
    for key in keys:
        ledger.other.write([Update(key=key, set=values)])


def test_values(ledger: Ledger) -> None:
    """Values come back as they were written: whole numbers as int, at any depth."""
    values = {
        "text": "",
        "number": 2**53 + 1,
        "yes": True,
        "nothing": None,
        "list": [1, ["two", [3]]],
        "map": {"a": {"b": [4]}},
    }
    ledger.table.write([Update(key=A, set=values)])
    assert ledger.table.get([A]) == {A: {"pk": "p", "sk": "a", **values}}
    assert type(ledger.table.get([A])[A]["list"][1][1][0]) is int


def test_get(ledger: Ledger) -> None:
    """Items are read in one request, however often a key is named; those that do not exist are left out."""
    fill(ledger, A, B, x=1)
    assert set(ledger.table.get([A, C, B, A])) == {A, B}
    assert ledger.requests == ["BatchGetItem"]


def test_get_nothing(ledger: Ledger) -> None:
    """Without keys there is no request."""
    assert ledger.table.get([]) == {}
    assert ledger.requests == []


def test_get_the_rest(ledger: Ledger) -> None:
    """Keys that DynamoDB leaves for later are asked for again."""
    fill(ledger, A, B, x=1)
    left = [True]

    def leave_one(parsed: dict[str, Any], **_: Any) -> None:
        if left:
            left.pop()
            [table] = parsed["Responses"]
            item = parsed["Responses"][table].pop()
            keys = [{"pk": item["pk"], "sk": item["sk"]}]
            parsed["UnprocessedKeys"] = {table: {"Keys": keys, "ConsistentRead": True}}

    ledger.client.meta.events.register("after-call.dynamodb.BatchGetItem", leave_one)
    assert set(ledger.table.get([A, B])) == {A, B}
    assert len(ledger.requests) == 2


def test_query(ledger: Ledger) -> None:
    """A partition's items are found by the beginning of their sort key."""
    fill(ledger, ("p", "count#a"), ("p", "count#b"), ("p", "closed"), ("q", "count#c"), x=1)
    assert [item["sk"] for item in ledger.table.query("p", "count#")] == ["count#a", "count#b"]
    assert list(ledger.table.query("r", "count#")) == []


def test_query_pages(ledger: Ledger) -> None:
    """A partition of more than a megabyte is read to its end."""
    keys = [("p", f"count#{n}") for n in range(5)]
    fill(ledger, *keys, x="x" * 300_000)
    assert [item["sk"] for item in ledger.table.query("p", "count#")] == [sk for _, sk in keys]
    assert len(ledger.requests) > 1


@pytest.mark.parametrize(
    ("update", "holds"),
    [
        (Update(key=A, set={"y": 1}), True),
        (Update(key=A, set={"y": 1}, expect={"x": 5}), True),
        (Update(key=A, set={"y": 1}, expect={"x": 4}), False),
        (Update(key=A, set={"y": 1}, expect={"x": None}), False),
        (Update(key=A, set={"y": 1}, expect={"z": None}), True),
        (Update(key=A, set={"y": 1}, expect={"x": 5, "z": 1}), False),
        (Update(key=B, set={"y": 1}, expect={"x": None}), True),
        (Update(key=B, set={"y": 1}, expect={"x": 5}), False),
        (Update(key=A, set={"x": 6}, below={"x": 6}), True),
        (Update(key=A, set={"x": 5}, below={"x": 5}), False),
        (Update(key=A, set={"x": 4}, below={"x": 4}), False),
        (Update(key=B, set={"x": 1}, below={"x": 1}), True),
        (Update(key=A, set={"x": 6}, expect={"z": None}, below={"x": 6}), True),
        (Update(key=A, set={"y": 1}, present=["x"]), True),
        (Update(key=A, set={"y": 1}, present=["x", "z"]), False),
        (Update(key=B, set={"y": 1}, below={"y": 1}, present=["x"]), False),
        (Update(key=A, remove=["x"], expect={"x": 5}), True),
        (Update(key=A, expect={"x": 5}), True),
        (Update(key=A, expect={"x": 4}), False),
        (Update(key=B, expect={"x": None}), True),
    ],
)
@pytest.mark.parametrize("together", [False, True])
def test_conditions(ledger: Ledger, update: Update, holds: bool, together: bool) -> None:
    """A write happens where all its conditions hold, alone and with others; else nothing of it does."""
    fill(ledger, A, x=5)
    before = ledger.item(update.key)
    updates = [Update(key=C, set={"y": 1}), update] if together else [update]
    if holds:
        ledger.table.write(updates)
        after = ledger.item(update.key) or {}
        assert {name: after.get(name) for name in update.set} == update.set
        assert not set(update.remove) & set(after)
    else:
        with pytest.raises(Conflict):
            ledger.table.write(updates)
        assert ledger.item(update.key) == before
    assert (ledger.item(C) is not None) == (together and holds)
    assert len(ledger.requests) == 1


@pytest.mark.parametrize("together", [False, True])
def test_delete_of_a_set(ledger: Ledger, together: bool) -> None:
    """What is taken out of a set leaves the rest of it; a set of nothing is no attribute any more."""
    fill(ledger, A, ids={"a", "b", "c"}, x=1)
    others = [Update(key=C, set={"y": 1})] if together else []
    for gone, left in (("a", {"b", "c"}), ("a", {"b", "c"}), ("bc", None)):
        ledger.table.write([Update(key=A, delete={"ids": frozenset(gone)}, present=["ids"]), *others])
        assert (ledger.table.get([A])[A]).get("ids") == left
    with pytest.raises(Conflict):
        ledger.table.write([Update(key=A, delete={"ids": frozenset("a")}, present=["ids"]), *others])
    assert ledger.table.get([A])[A] == {"pk": "p", "sk": "a", "x": 1}


def test_write_nothing(ledger: Ledger) -> None:
    """Without updates there is no request."""
    ledger.table.write([])
    assert ledger.requests == []


def test_names_and_values_by_reference(ledger: Ledger) -> None:
    """Reserved words and signs of the expression language are names and values like any other."""
    values = {"at": 1, "source": ":s0 = #a0", "day#1": "x", "a.b": [1], "SET": {"#": ":"}}
    ledger.table.write([Update(key=A, set=values, expect={"size": None}, below={"count": 1})])
    assert ledger.item(A) == {"pk": "p", "sk": "a", **values}


def test_request(ledger: Ledger) -> None:
    """All of an update goes into one request, whose names and values are numbered."""
    fill(ledger, A, ids={"a", "b"}, old=1, at=1, revision=3)
    sent: list[dict[str, Any]] = []
    ledger.client.meta.events.register(
        "provide-client-params.dynamodb.UpdateItem", lambda params, **_: sent.append(params)
    )
    update = Update(
        key=A,
        set={"at": 2, "source": "x"},
        remove=["old"],
        delete={"ids": frozenset({"a"})},
        expect={"gone": None, "revision": 3},
        below={"at": 2},
        present=["ids"],
    )
    ledger.table.write([update])
    names = {"#a0": "at", "#a1": "source", "#a2": "old", "#a3": "ids", "#a4": "gone", "#a5": "revision"}
    [parameters] = sent
    assert parameters == {
        "TableName": NAME,
        "Key": {"pk": {"S": "p"}, "sk": {"S": "a"}},
        "UpdateExpression": "SET #a0 = :s0, #a1 = :s1 REMOVE #a2 DELETE #a3 :d0",
        "ConditionExpression": (
            "attribute_not_exists(#a4) AND #a5 = :e1 AND (attribute_not_exists(#a0) OR #a0 < :b0)"
            " AND attribute_exists(#a3)"
        ),
        "ExpressionAttributeNames": names,
        "ExpressionAttributeValues": {
            ":s0": {"N": "2"},
            ":s1": {"S": "x"},
            ":d0": {"SS": ["a"]},
            ":e1": {"N": "3"},
            ":b0": {"N": "2"},
        },
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }
    assert ledger.item(A) == {"pk": "p", "sk": "a", "ids": {"b"}, "at": 2, "source": "x", "revision": 3}


def cancelled(*codes: str) -> dict[str, Any]:
    """How DynamoDB answers a transaction that it did not carry out."""
    error = {"Code": "TransactionCanceledException", "Message": "secret"}
    return {"Error": error, "CancellationReasons": [{"Code": code} for code in codes]}


def refused(code: str) -> dict[str, Any]:
    """How DynamoDB answers a request that it refuses."""
    return {"Error": {"Code": code, "Message": "secret"}}


@pytest.mark.parametrize(
    "answer",
    [
        *map(refused, sorted(CONFLICTS)),
        cancelled("None", "ConditionalCheckFailed"),
        cancelled("TransactionConflict", "None", "ConditionalCheckFailed"),
    ],
)
def test_conflicts(ledger: Ledger, answer: dict[str, Any]) -> None:
    """A condition that did not hold and a transaction in the way are conflicts: read again and retry."""
    ledger.fail("TransactWriteItems", answer)
    with pytest.raises(Conflict):
        ledger.table.write([Update(key=A, set={"x": 1}), Update(key=B, set={"x": 1})])


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (refused("ThrottlingException"), "ThrottlingException"),
        (refused("AccessDeniedException"), "AccessDeniedException"),
        (cancelled("ConditionalCheckFailed", "ThrottlingError"), "ConditionalCheckFailed, ThrottlingError"),
        (cancelled("None"), "TransactionCanceledException"),
        ({}, ""),
    ],
)
def test_unavailable(ledger: Ledger, answer: dict[str, Any], told: str) -> None:
    """Whatever else DynamoDB refuses is for later; the error is its code and nothing more."""
    ledger.fail("TransactWriteItems", answer)
    with pytest.raises(TableUnavailable) as unavailable:
        ledger.table.write([Update(key=A, set={"x": 1}), Update(key=B, set={"x": 1})])
    assert str(unavailable.value) == told


@pytest.mark.parametrize(
    "error", [EndpointConnectionError(endpoint_url="x"), ReadTimeoutError(endpoint_url="x")]
)
def test_no_answer(ledger: Ledger, error: Exception) -> None:
    """Without an answer, reading, looking through and writing are for later."""

    def lost(**_: Any) -> None:
        raise error

    ledger.client.meta.events.register("before-call.dynamodb", lost)
    for act in (
        lambda: ledger.table.get([A]),
        lambda: list(ledger.table.query("p", "count#")),
        lambda: ledger.table.write([Update(key=A, set={"x": 1})]),
    ):
        with pytest.raises(TableUnavailable, match=f"^{type(error).__name__}$"):
            act()
