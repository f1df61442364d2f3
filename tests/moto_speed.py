"""Answers of moto and boto3 sooner: what they work out for each call or comparison is worked out once."""

from functools import cache
from typing import Any

import moto.core.models
import pytest
from botocore import useragent
from moto.core import serialize
from moto.core.utils import camelcase_to_underscores, method_names_from_class
from moto.dynamodb.models.dynamo_type import Item
from moto.dynamodb.models.table import Table
from moto.dynamodb.parsing import ast_nodes, validators

from localrun import moto_transactions

AST: Any = ast_nodes
"""Moto gives it no types."""
PICKER: Any = serialize.AttributePicker
_pick_one = PICKER.__call__
_names: dict[tuple[Any, Any, str], list[str]] = {}


def install(patch: pytest.MonkeyPatch) -> None:
    """Have moto in this process do so."""
    moto_transactions.install()
    # At each start moto lists its 1,300 URLs for `requests`, which nothing here uses.
    patch.setattr(moto.core.models, "RESPONSES_METHODS", [])
    patch.setattr("moto.core.responses.method_names_from_class", cache(method_names_from_class))
    patch.setattr(PICKER, "__call__", _pick)
    patch.setattr("moto.core.responses.camelcase_to_underscores", cache(camelcase_to_underscores))
    component: Any = useragent.UserAgentComponent
    patch.setattr(component, "to_string", cache(component.to_string))
    patch.setattr(Table, "all_items", _all_items)
    patch.setattr(AST.DepthFirstTraverser, "traverse_node_recursively", _traverse)
    # Of every clause within an expression both look for what they have found in the whole of it.
    counts, paths = validators.ActionCountValidator, validators.OverlappingPathsValidator
    patch.setattr(counts, "traverse", counts.verify_action_counts)
    patch.setattr(paths, "traverse", paths.check_for_overlapping_paths)


def _pick(picker: Any, context: Any) -> Any:
    """What an answer has under a member's name. Moto tries the name's other forms each time."""
    if type(context.obj) is not dict or picker.response_transformers:
        return _pick_one(picker, context)
    asked = type(picker), context.shape, context.key
    names = _names.get(asked)
    if names is None:
        names = _names[asked] = list(dict.fromkeys(picker.get_possible_keys(context)))
    for name in names:
        if name in context.obj:
            return context.obj[name]
    return None


def _all_items(table: Any) -> list[Item]:
    """A table's items in order. Moto reads an item's keys from its type at each comparison."""
    if table.range_key_attr is None:
        return sorted(table.items.values(), key=lambda item: _in_order(item.hash_key))
    items = [item for partition in table.items.values() for item in partition.values()]
    return sorted(items, key=lambda item: (_in_order(item.hash_key), _in_order(item.range_key)))


def _in_order(key: Any) -> Any:
    return key.value if key.type == "S" else key.cast_value


@cache
def _is_one(kind: Any, kinds: tuple[type, ...]) -> bool:
    # Abstract classes look this up in Python each time.
    return issubclass(kind, kinds)


def _traverse(traverser: Any, node: Any, child_id: int = -1) -> Any:
    """Work on a node's children, then on itself, as the traverser says."""
    kind: Any = type(node)
    if not _is_one(kind, (AST.Node,)):
        return node
    parent = node.parent
    for position, child in enumerate(node.children or ()):
        traverser.pre_processing_of_child(node, position)
        _traverse(traverser, child, position)
    if _is_one(kind, traverser.nodes_to_be_processed()):
        node = traverser.process(node)
        node.parent = parent
        if parent:
            parent.children[child_id] = node
    return node
