"""Makes moto's DynamoDB transactions cost what they touch.

moto copies the whole table, once for each item of a transaction, to be able to roll back. With some hundreds
of people in the table that takes longer than the relay waits for DynamoDB. Here only the items of the
transaction are kept, and put back when it is cancelled.
"""

import copy
import threading
from contextlib import ExitStack
from typing import Any
from unittest.mock import patch

from moto.dynamodb.models import DynamoDBBackend
from moto.dynamodb.models.dynamo_type import DynamoType, Item
from moto.dynamodb.models.table import Table

_Kept = tuple[Table, DynamoType, DynamoType | None, Item | None]
_transact = DynamoDBBackend.transact_write_items
_one_at_a_time = threading.Lock()


def install() -> None:
    """Replaces moto's own way, for this process."""
    setattr(DynamoDBBackend, "transact_write_items", _transact_write_items)  # noqa: B010 - moto types it away


def _transact_write_items(backend: DynamoDBBackend, transact_items: list[dict[str, Any]]) -> None:
    uncopied = patch.object(Table, "__deepcopy__", lambda table, _memo: table, create=True)
    with _one_at_a_time, uncopied, ExitStack() as undo:
        kept = [each for item in transact_items if (each := _keep(backend, item)) is not None]
        for each in kept:
            undo.callback(_put_back, *each)
        _transact(backend, transact_items)
        undo.pop_all()


def _keep(backend: DynamoDBBackend, item: dict[str, Any]) -> _Kept | None:
    """An item as it is now; None where the transaction is malformed, which moto finds out itself."""
    (call,) = item.values()
    table = backend.tables.get(call.get("TableName"))
    key = call.get("Key", call.get("Item", {}))
    if table is None or not set(table.table_key_attrs) <= set(key):
        return None
    hash_value = DynamoType(key[table.hash_key_attr])
    range_value = DynamoType(key[table.range_key_attr]) if table.range_key_attr else None
    return table, hash_value, range_value, copy.deepcopy(table.get_item(hash_value, range_value))


def _put_back(
    table: Table, hash_value: DynamoType, range_value: DynamoType | None, item: Item | None
) -> None:
    items: dict[Any, Any] = table.items
    if item is None:
        table.delete_item(hash_value, range_value)
    elif range_value is None:
        items[hash_value] = item
    else:
        items[hash_value][range_value] = item
