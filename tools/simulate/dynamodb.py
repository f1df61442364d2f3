"""A client of the simulated table, as boto3 has one: it knows the requests that the relay makes."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from botocore.exceptions import ClientError

from simulate.expressions import Scope, condition, update
from simulate.table import Action, Key, Table
from simulate.units import read_units, size
from simulate.values import Item, Value

READ_SECONDS, WRITE_SECONDS, TRANSACTION_SECONDS = 0.005, 0.006, 0.012
PAGE_BYTES = 1_000_000
MOST_ACTIONS = 100

Wait = Callable[[float], None]


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

    def _write(self, kind: str, action: Action) -> dict[str, Any]:
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


def _actions(items: Sequence[Mapping[str, Any]]) -> Iterator[Action]:
    kinds = {"Update": _update, "ConditionCheck": _check, "Put": _put, "Delete": _delete}
    for item in items:
        [(kind, parameters)] = item.items()
        yield kinds[kind](parameters)


def _update(parameters: Mapping[str, Any]) -> Action:
    _only(parameters, {*_CONDITION, "UpdateExpression"})
    values, names = _aliases(parameters)
    key = parameters["Key"]
    change = update(parameters.get("UpdateExpression", ""))
    return _action(_key(key), parameters, lambda item: {**key, **change(Scope(item, names, values))})


def _put(parameters: Mapping[str, Any]) -> Action:
    _only(parameters, {*_CONDITION, "Item"})
    item = parameters["Item"]
    return _action(_key(item), parameters, lambda _: item)


def _delete(parameters: Mapping[str, Any]) -> Action:
    _only(parameters, _CONDITION)
    return _action(_key(parameters["Key"]), parameters, lambda _: None)


def _check(parameters: Mapping[str, Any]) -> Action:
    _only(parameters, _CONDITION)
    return _action(_key(parameters["Key"]), parameters, None)


def _action(key: Key, parameters: Mapping[str, Any], apply: Callable[[Item], Item | None] | None) -> Action:
    values, names = _aliases(parameters)
    text = parameters.get("ConditionExpression")
    holds = condition(text) if text else None
    says_old = parameters.get("ReturnValuesOnConditionCheckFailure") == "ALL_OLD"
    return Action(key, lambda item: holds is None or holds(Scope(item, names, values)), apply, says_old)


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
    response: Any = {"Error": {"Code": code, "Message": code}, **more}
    return ClientError(response, operation)


def _cancelled(reasons: Sequence[tuple[str, Item | None]]) -> ClientError:
    told = [{"Code": code, **({"Item": item} if item else {})} for code, item in reasons]
    return _error("TransactWriteItems", "TransactionCanceledException", CancellationReasons=told)
