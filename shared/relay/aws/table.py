"""The one DynamoDB table, as plain dictionaries and conditional updates."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from relay.at_once import each
from relay.aws.attributes import deserialize, serialize
from relay.aws.clients import until
from relay.errors import TableUnavailable, TooLarge

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

    from relay.deadline import Deadline

Key = tuple[str, str]
"""Partition and sort key."""

Item = Mapping[str, Any]

# BatchGetItem takes no more.
MAX_KEYS = 100

# With `Exception` they are errors of a request, without it reasons why a transaction was cancelled.
NOT_AS_EXPECTED = frozenset({"ConditionalCheckFailed", "ConditionalCheckFailedException"})
HELD = frozenset({"TransactionConflict", "TransactionConflictException"})
# boto3 repeats a transaction under one token, and may meet its own first attempt.
UNDER_WAY = "TransactionInProgressException"
CONFLICTS = NOT_AS_EXPECTED | HELD | {UNDER_WAY}


ITEM_SIZE = "Item size"
"""How DynamoDB's refusal of an item over 400 kB begins, be it alone or one of a transaction."""


class Conflict(Exception):
    """A condition did not hold, or another write held one of the items: read again and retry.

    Of the updates that were refused, by number: `found` are the items of those whose condition did not hold,
    empty where there is none, and `held` those whose item another write held. Both are empty where DynamoDB
    does not say which they were.
    """

    def __init__(self, found: Mapping[int, Item] | None = None, held: Collection[int] = ()) -> None:
        super().__init__()
        self.found = found or {}
        self.held = held


@dataclass(frozen=True, kw_only=True)
class Update:
    """A conditional update of one item; with nothing to change, a check only.

    `delete` maps attributes that are sets to what is taken out of them. `expect` maps attributes to the value
    that they must have, None for absent. `below` maps attributes to the value that they must be less than:
    absent counts as less, and of a list its first entry counts. `present` names those that must be there.
    """

    key: Key
    set: Mapping[str, Any] = field(default_factory=dict)
    remove: Sequence[str] = ()
    delete: Mapping[str, frozenset[str]] = field(default_factory=dict)
    expect: Mapping[str, Any] = field(default_factory=dict)
    below: Mapping[str, Any] = field(default_factory=dict)
    present: Sequence[str] = ()

    @property
    def changes(self) -> bool:
        """Whether it does more than check."""
        return bool(self.set or self.remove or self.delete)


class Table:
    """Typed, conditional access to the table; raises `TableUnavailable`, `Conflict`, `TooLarge` only."""

    def __init__(self, client: "DynamoDBClient", name: str) -> None:
        self._client = client
        self._name = name

    def until(self, deadline: "Deadline") -> "Table":
        """The table, each of whose calls ends by that deadline."""
        return Table(until(self._client, deadline), self._name)

    def get(self, keys: Sequence[Key]) -> dict[Key, Item]:
        """The items that exist under these keys, read consistently, a hundred in a request."""
        # BatchGetItem refuses a request in which a key stands twice.
        wanted = [serialize({"pk": pk, "sk": sk}) for pk, sk in dict.fromkeys(keys)]
        found: dict[Key, Item] = {}
        starts = range(0, len(wanted), MAX_KEYS)
        for some in each(self._get, [wanted[start : start + MAX_KEYS] for start in starts]):
            found |= some
        return found

    def _get(self, wanted: Any) -> dict[Key, Item]:
        found: dict[Key, Item] = {}
        while wanted:
            with _errors():
                answer = self._client.batch_get_item(
                    # What another container has just written may be missing from any other read.
                    RequestItems={self._name: {"Keys": wanted, "ConsistentRead": True}}
                )
            for item in map(deserialize, answer["Responses"].get(self._name, [])):
                found[item["pk"], item["sk"]] = item
            # An answer ends at 16 MB, and sooner while DynamoDB throttles: the rest is asked for again.
            left = answer["UnprocessedKeys"].get(self._name)
            wanted = left["Keys"] if left else []
        return found

    def query(self, pk: str, prefix: str) -> Iterator[Item]:
        """Every item of one partition whose sort key begins with `prefix` (not empty), read consistently."""
        return self._query(
            KeyConditionExpression="pk = :pk AND begins_with(sk, :prefix)",
            ExpressionAttributeValues=serialize({":pk": pk, ":prefix": prefix}),
            ConsistentRead=True,
        )

    def partition(self, pk: str) -> Iterator[Item]:
        """Every item of one partition, read consistently."""
        return self._query(
            KeyConditionExpression="pk = :pk",
            ExpressionAttributeValues=serialize({":pk": pk}),
            ConsistentRead=True,
        )

    def query_index(self, index: str, attribute: str, value: str) -> Iterator[Item]:
        """Every item of an index whose attribute has this value, as the index has it: a moment late."""
        return self._query(
            # A global index cannot be read consistently.
            IndexName=index,
            KeyConditionExpression="#name = :value",
            ExpressionAttributeNames={"#name": attribute},
            ExpressionAttributeValues=serialize({":value": value}),
        )

    def _query(self, **parameters: Any) -> Iterator[Item]:
        more: dict[str, Any] = {}
        while True:
            with _errors():
                answer = self._client.query(TableName=self._name, **parameters, **more)
            yield from map(deserialize, answer["Items"])
            # A page ends at 1 MB. An empty one may have others after it: only the key tells.
            if "LastEvaluatedKey" not in answer:
                return
            more = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}

    def write(self, updates: Sequence[Update]) -> None:
        """Carry out every update, or none: one request, a transaction when there are several."""
        with _errors():
            # A transaction costs twice as much, so one update goes alone. Only transactions have checks.
            if len(updates) == 1 and updates[0].changes:
                self._client.update_item(TableName=self._name, **_parameters(updates[0]))
            elif updates:
                self._client.transact_write_items(TransactItems=[self._in_transaction(u) for u in updates])

    def _in_transaction(self, update: Update) -> Any:
        kind = "Update" if update.changes else "ConditionCheck"
        return {kind: {"TableName": self._name, **_parameters(update)}}


@contextmanager
def _errors() -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        # A cancelled transaction has a reason for each of its actions; `None` is that of one without fault.
        cancelled = error.response.get("CancellationReasons", [])
        reasons = {str(reason.get("Code")) for reason in cancelled} - {"None"}
        if code == UNDER_WAY:
            raise Conflict from None
        # It may be boto3's own first attempt, whose answer was lost: reading again is right then, too.
        if code in CONFLICTS:
            raise _conflict([{"Code": code, "Item": error.response.get("Item", {})}]) from None
        # With throttling among them it is no conflict: another try at once would only add to it.
        if reasons and reasons <= CONFLICTS:
            raise _conflict(cancelled) from None
        if ITEM_SIZE in str(error):
            raise TooLarge("an item of the ledger would be larger than DynamoDB's 400 kB") from None
        raise TableUnavailable(", ".join(sorted(reasons)) or code) from None
    except BotoCoreError as error:
        raise TableUnavailable(type(error).__name__) from None


def _conflict(reasons: Sequence[Mapping[str, Any]]) -> Conflict:
    """What DynamoDB says of each update."""
    found: dict[int, Item] = {}
    held: list[int] = []
    for number, reason in enumerate(reasons):
        code = reason.get("Code")
        if code in NOT_AS_EXPECTED:
            found[number] = deserialize(reason.get("Item") or {})
        elif code in HELD:
            held.append(number)
    return Conflict(found, held)


def _parameters(update: Update) -> Any:
    """The request parameters of one update; every name and value is passed by reference."""
    # DynamoDB reserves hundreds of words as names, and takes no value within an expression.
    alias = _aliases(update)
    actions = " ".join(_actions(update, alias))
    conditions = " AND ".join(_conditions(update, alias))
    values = _values(update)
    parameters: dict[str, Any] = {"Key": serialize({"pk": update.key[0], "sk": update.key[1]})}
    parameters["ExpressionAttributeNames"] = {short: name for name, short in alias.items()}
    # An expression or a map that is there must not be empty.
    if values:
        parameters["ExpressionAttributeValues"] = serialize(values)
    if actions:
        parameters["UpdateExpression"] = actions
    if conditions:
        parameters["ConditionExpression"] = conditions
        # Where it does not hold, what is there instead spares reading it.
        parameters["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD"
    return parameters


def _aliases(update: Update) -> dict[str, str]:
    """What the expressions call each attribute: `#a` and a number."""
    changed = (*update.set, *update.remove, *update.delete)
    asked = (*update.expect, *update.below, *update.present)
    return {name: f"#a{i}" for i, name in enumerate(dict.fromkeys((*changed, *asked)))}


def _actions(update: Update, alias: Mapping[str, str]) -> Iterator[str]:
    """The clauses of the update expression. Values are `:s` (set) or `:d` (delete), and a number."""
    if update.set:
        yield "SET " + ", ".join(f"{alias[name]} = :s{i}" for i, name in enumerate(update.set))
    if update.remove:
        yield "REMOVE " + ", ".join(alias[name] for name in update.remove)
    if update.delete:
        yield "DELETE " + ", ".join(f"{alias[name]} :d{i}" for i, name in enumerate(update.delete))


def _conditions(update: Update, alias: Mapping[str, str]) -> Iterator[str]:
    """The conditions, all of which must hold. Values are `:e` (expect) or `:b` (below), and a number."""
    for i, (name, value) in enumerate(update.expect.items()):
        # Nothing equals an attribute that is not there, not even NULL.
        yield f"attribute_not_exists({alias[name]})" if value is None else f"{alias[name]} = :e{i}"
    for i, (name, value) in enumerate(update.below.items()):
        compared = f"{alias[name]}[0]" if isinstance(value, list) else alias[name]
        yield f"(attribute_not_exists({alias[name]}) OR {compared} < :b{i})"
    for name in update.present:
        yield f"attribute_exists({alias[name]})"


def _values(update: Update) -> dict[str, Any]:
    """Each value under the name that the expressions have for it; None stands for no value."""
    values = _numbered(":s", update.set) | _numbered(":d", update.delete)
    expected = _numbered(":e", update.expect)
    values |= {short: value for short, value in expected.items() if value is not None}
    below = _numbered(":b", update.below)
    return values | {short: value[0] if isinstance(value, list) else value for short, value in below.items()}


def _numbered(prefix: str, values: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{prefix}{i}": value for i, value in enumerate(values.values())}
