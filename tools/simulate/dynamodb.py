"""A table that conflicts as DynamoDB does, and counts what it is asked.

A transaction holds its items from its start to its end. Any other write of one of them is refused meanwhile:
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis.html#transaction-conflict-handling.
Single writes of an item take their turns. Reads wait for nobody, and see what has been written.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import Any

from botocore.exceptions import ClientError

from simulate.clock import Timeline
from simulate.expressions import Item, Scope, Value, condition, update

READ_SECONDS, WRITE_SECONDS, TRANSACTION_SECONDS = 0.005, 0.006, 0.012
PAGE_BYTES = 1_000_000
MOST_ACTIONS = 100
_READ_UNIT, _WRITE_UNIT = 4096, 1024

Key = tuple[str, str]
Wait = Callable[[float], None]
Written = Mapping[Key, Item]
Observe = Callable[[Written], None]


@dataclass(slots=True)
class Counts:
    """What a table was asked, and what of it AWS bills.

    `conflicts` are refused writes by what they were for: `settling` moves people, `noting` says what Calven
    was told.
    """

    requests: Counter[str] = field(default_factory=Counter)
    conflicts: Counter[str] = field(default_factory=Counter)
    read_units: float = 0
    write_units: float = 0
    tried_units: float = 0

    def since(self, before: "Counts") -> "Counts":
        """What came after."""
        return Counts(
            self.requests - before.requests,
            self.conflicts - before.conflicts,
            self.read_units - before.read_units,
            self.write_units - before.write_units,
            self.tried_units - before.tried_units,
        )

    def copy(self) -> "Counts":
        """The counts as they are now."""
        return Counts(Counter(self.requests), Counter(self.conflicts), *self._units())

    def _units(self) -> tuple[float, float, float]:
        return self.read_units, self.write_units, self.tried_units


@dataclass(frozen=True, slots=True)
class _Action:
    """One write: an item's key, what is to hold, and what becomes of the item (None where it is deleted)."""

    key: Key
    check: Callable[[Item], bool]
    apply: Callable[[Item], Item | None] | None
    says_old: bool


class Table:
    """The items, who holds which, and the counts. `observe` is told what each write has written."""

    def __init__(self, timeline: Timeline, observe: Observe = lambda _: None) -> None:
        self.timeline = timeline
        self.counts = Counts()
        self._observe = observe
        self._partitions: defaultdict[str, dict[str, Item]] = defaultdict(dict)
        self._held: set[Key] = set()

    def read(self, key: Key) -> Item | None:
        """An item as it was written last."""
        return self._partitions[key[0]].get(key[1])

    def partition(self, pk: str) -> list[Item]:
        """A partition's items in order of their sort keys."""
        return [item for _, item in sorted(self._partitions[pk].items())]

    def count_request(self, kind: str, read_units: float = 0) -> None:
        """Count a request, and what it read."""
        self.counts.requests[kind] += 1
        self.counts.read_units += read_units

    def write(self, action: _Action) -> tuple[str, Item | None]:
        """Carry out a single write; why it is refused, or nothing, and the item if that is to be said."""
        refused, units, after = self._judge(action)
        if action.key in self._held:
            refused = "TransactionConflict"
        self._count_write([action.key], units, done=not refused, conflict=bool(refused))
        if refused:
            old = self.read(action.key) if action.says_old and refused == "ConditionalCheckFailed" else None
            return refused, old
        self._store({action.key: after})
        return "", None

    def hold(self, actions: Sequence[_Action]) -> list[str]:
        """Hold a transaction's items, or none: then the reason for each item that another one holds."""
        keys = [action.key for action in actions]
        reasons = ["TransactionConflict" if key in self._held else "None" for key in keys]
        if all(reason == "None" for reason in reasons):
            self._held.update(keys)
            return []
        self._count_write(keys, self._units(actions), done=False, conflict=True)
        return reasons

    def end(self, actions: Sequence[_Action]) -> list[tuple[str, Item | None]]:
        """Carry out a transaction whose items are held; the reasons, where a condition does not hold."""
        keys = [action.key for action in actions]
        self._held.difference_update(keys)
        reasons: list[tuple[str, Item | None]] = []
        written: dict[Key, Item | None] = {}
        units = 0.0
        for action in actions:
            refused, cost, after = self._judge(action)
            units += 2 * cost
            reasons.append((refused or "None", self.read(action.key) if refused and action.says_old else None))
            if action.apply is not None:
                written[action.key] = after
        done = all(refused == "None" for refused, _ in reasons)
        self._count_write(keys, units, done=done, conflict=not done)
        if not done:
            return reasons
        self._store(written)
        return []

    def _judge(self, action: _Action) -> tuple[str, float, Item | None]:
        """Whether a condition refuses a write, what it costs by itself, and the item after it."""
        before = self.read(action.key) or {}
        if not action.check(before):
            return "ConditionalCheckFailed", write_units(before), None
        after = action.apply(before) if action.apply else before
        return "", max(write_units(before), write_units(after or {})), after

    def _units(self, actions: Sequence[_Action]) -> float:
        return 2 * sum(self._judge(action)[1] for action in actions)

    def _store(self, written: Mapping[Key, Item | None]) -> None:
        for (pk, sk), item in written.items():
            if item is None:
                self._partitions[pk].pop(sk, None)
            else:
                self._partitions[pk][sk] = item
        self._observe({key: item for key, item in written.items() if item is not None})

    def _count_write(self, keys: Sequence[Key], units: float, *, done: bool, conflict: bool) -> None:
        self.counts.tried_units += units
        if done:
            self.counts.write_units += units
        if conflict:
            self.counts.conflicts[purpose(keys)] += 1


def purpose(keys: Sequence[Key]) -> str:
    """What a write of these items is for."""
    if any(pk.startswith("people#") for pk, _ in keys):
        return "settling"
    return "noting" if all(pk.startswith("day#") for pk, _ in keys) else "other"


class DynamoDB:
    """A client of the table, whose calls take their time. `wait` is how its container spends it."""

    def __init__(self, table: Table, wait: Wait) -> None:
        self._table = table
        self._turn = table.timeline.turn
        self._wait = wait

    def batch_get_item(self, **parameters: Any) -> dict[str, Any]:
        """Read some items."""
        [(name, wanted)] = parameters["RequestItems"].items()
        _only(wanted, {"Keys", "ConsistentRead"})
        self._wait(READ_SECONDS / 2)
        with self._turn:
            found = [self._table.read(_key(key)) for key in wanted["Keys"]]
            units = sum(read_units(size(item or {})) for item in found)
            self._table.count_request("BatchGetItem", units if wanted.get("ConsistentRead") else units / 2)
        self._wait(READ_SECONDS / 2)
        return {"Responses": {name: [item for item in found if item]}, "UnprocessedKeys": {}}

    def query(self, **parameters: Any) -> dict[str, Any]:
        """Read some items of a partition, a page at most. An index is not simulated."""
        _only(parameters, {*_EXPRESSIONS, "TableName", "ConsistentRead", "ExclusiveStartKey"})
        self._wait(READ_SECONDS / 2)
        with self._turn:
            page, read, more = self._page(parameters)
            units = read_units(read)
            self._table.count_request("Query", units if parameters.get("ConsistentRead") else units / 2)
        self._wait(READ_SECONDS / 2)
        last = {"LastEvaluatedKey": {name: page[-1][name] for name in ("pk", "sk")}} if more else {}
        return {"Items": page, **last}

    def _page(self, parameters: Mapping[str, Any]) -> tuple[list[Item], int, bool]:
        """The items of a page, the bytes that were read for it, and whether there is another one."""
        values, names = _aliases(parameters)
        fits = condition(parameters["KeyConditionExpression"])
        pk = _partition_asked(parameters["KeyConditionExpression"], names, values)
        after = parameters.get("ExclusiveStartKey", {}).get("sk", {}).get("S", "")
        page: list[Item] = []
        read = 0
        for item in self._table.partition(pk):
            if item["sk"]["S"] <= after or not fits(Scope(item, names, values)):
                continue
            if read > PAGE_BYTES:
                return page, read, True
            page.append(item)
            read += size(item)
        return page, read, False

    def update_item(self, **parameters: Any) -> dict[str, Any]:
        """Change an item."""
        return self._write("UpdateItem", _update(parameters))

    def put_item(self, **parameters: Any) -> dict[str, Any]:
        """Write an item."""
        return self._write("PutItem", _put(parameters))

    def delete_item(self, **parameters: Any) -> dict[str, Any]:
        """Delete an item."""
        return self._write("DeleteItem", _delete(parameters))

    def _write(self, kind: str, action: _Action) -> dict[str, Any]:
        self._wait(WRITE_SECONDS / 2)
        with self._turn:
            self._table.count_request(kind)
            refused, old = self._table.write(action)
        self._wait(WRITE_SECONDS / 2)
        if refused:
            # By itself each of these is an exception, in a transaction's reasons it is a code.
            raise _error(kind, f"{refused}Exception", **({"Item": old} if old else {}))
        return {}

    def batch_write_item(self, **parameters: Any) -> dict[str, Any]:
        """Write some items, whatever is there."""
        [(_, requests)] = parameters["RequestItems"].items()
        self._wait(WRITE_SECONDS)
        with self._turn:
            self._table.count_request("BatchWriteItem")
            for request in requests:
                self._table.write(_put(request["PutRequest"]))
        return {"UnprocessedItems": {}}

    def transact_write_items(self, **parameters: Any) -> dict[str, Any]:
        """Carry out every action, or none."""
        _only(parameters, {"TransactItems", "ClientRequestToken"})
        actions = list(_actions(parameters["TransactItems"]))
        if len(actions) > MOST_ACTIONS or len({action.key for action in actions}) < len(actions):
            raise _error("TransactWriteItems", "ValidationException")
        with self._turn:
            self._table.count_request("TransactWriteItems")
            held = self._table.hold(actions)
        self._wait(TRANSACTION_SECONDS)
        if held:
            raise _cancelled([(reason, None) for reason in held])
        with self._turn:
            reasons = self._table.end(actions)
        if reasons:
            raise _cancelled(reasons)
        return {}


_EXPRESSIONS = {"KeyConditionExpression", "ExpressionAttributeNames", "ExpressionAttributeValues"}
_CONDITION = {
    "TableName",
    "Key",
    "ConditionExpression",
    "ExpressionAttributeNames",
    "ExpressionAttributeValues",
    "ReturnValuesOnConditionCheckFailure",
}


def _only(parameters: Mapping[str, Any], known: set[str]) -> None:
    """Raise `NotImplementedError` for a parameter that would change what the request does."""
    if unknown := set(parameters) - known:
        raise NotImplementedError(f"not simulated: {', '.join(sorted(unknown))}")


def _actions(items: Sequence[Mapping[str, Any]]) -> Iterator[_Action]:
    kinds = {"Update": _update, "ConditionCheck": _check, "Put": _put, "Delete": _delete}
    for item in items:
        [(kind, parameters)] = item.items()
        yield kinds[kind](parameters)


def _update(parameters: Mapping[str, Any]) -> _Action:
    _only(parameters, {*_CONDITION, "UpdateExpression"})
    values, names = _aliases(parameters)
    key = parameters["Key"]
    change = update(parameters.get("UpdateExpression", ""))
    return _action(_key(key), parameters, lambda item: {**key, **change(Scope(item, names, values))})


def _put(parameters: Mapping[str, Any]) -> _Action:
    _only(parameters, {*_CONDITION, "Item"})
    item = parameters["Item"]
    return _action(_key(item), parameters, lambda _: item)


def _delete(parameters: Mapping[str, Any]) -> _Action:
    _only(parameters, _CONDITION)
    return _action(_key(parameters["Key"]), parameters, lambda _: None)


def _check(parameters: Mapping[str, Any]) -> _Action:
    _only(parameters, _CONDITION)
    return _action(_key(parameters["Key"]), parameters, None)


def _action(
    key: Key, parameters: Mapping[str, Any], apply: Callable[[Item], Item | None] | None
) -> _Action:
    values, names = _aliases(parameters)
    text = parameters.get("ConditionExpression")
    holds = condition(text) if text else None
    says_old = parameters.get("ReturnValuesOnConditionCheckFailure") == "ALL_OLD"
    return _Action(key, lambda item: holds is None or holds(Scope(item, names, values)), apply, says_old)


def _aliases(parameters: Mapping[str, Any]) -> tuple[Mapping[str, Value], Mapping[str, str]]:
    return (
        parameters.get("ExpressionAttributeValues", {}),
        parameters.get("ExpressionAttributeNames", {}),
    )


def _partition_asked(text: str, names: Mapping[str, str], values: Mapping[str, Value]) -> str:
    """The partition that a key condition names: it has to."""
    for token, name in {"pk": "pk", **names}.items():
        if name == "pk" and f"{token} = :" in text:
            return str(values[":" + text.partition(f"{token} = :")[2].split()[0]]["S"])
    raise _error("Query", "ValidationException")


def _key(key: Item) -> Key:
    return key["pk"]["S"], key["sk"]["S"]


def _error(operation: str, code: str, **more: Any) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": code}, **more}, operation)


def _cancelled(reasons: Sequence[tuple[str, Item | None]]) -> ClientError:
    told = [{"Code": code, **({"Item": item} if item else {})} for code, item in reasons]
    return _error("TransactWriteItems", "TransactionCanceledException", CancellationReasons=told)


def read_units(read: int) -> int:
    """What reading so many bytes costs, consistently."""
    return max(ceil(read / _READ_UNIT), 1)


def write_units(item: Item) -> int:
    """What writing an item costs."""
    return max(ceil(size(item) / _WRITE_UNIT), 1)


def size(item: Item) -> int:
    """The bytes of an item.

    As https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html counts.
    """
    return sum(len(name.encode()) + _bytes(value) for name, value in item.items())


def _bytes(value: Value) -> int:
    [(kind, inner)] = value.items()
    match kind:
        case "S":
            return len(inner.encode())
        case "N":
            return len(inner.strip("-0.")) // 2 + 2
        case "SS":
            return sum(len(entry.encode()) for entry in inner)
        case "NS":
            return sum(len(entry) // 2 + 2 for entry in inner)
        case "L":
            return 3 + sum(1 + _bytes(entry) for entry in inner)
        case "M":
            return 3 + sum(1 + len(name.encode()) + _bytes(entry) for name, entry in inner.items())
        case "BOOL" | "NULL":
            return 1
    return len(inner)
