"""Makes moto and boto3 answer sooner: what they work out for each call or comparison is worked out once.

The tests take a quarter less of a processor, and a relay on a slow machine gets answers before its time-outs.
"""

from collections.abc import Callable
from copy import deepcopy
from functools import cache
from typing import Any

import moto.core.models
from botocore import useragent
from botocore.hooks import EventAliaser
from moto.core import responses, serialize
from moto.core.utils import camelcase_to_underscores, method_names_from_class
from moto.dynamodb.models.dynamo_type import Item
from moto.dynamodb.models.table import Table
from moto.dynamodb.parsing import ast_nodes, expressions, validators

AST: Any = ast_nodes
EXPRESSIONS: Any = expressions
"""Moto gives them no types."""
PICKER: Any = serialize.AttributePicker
_pick_one = PICKER.__call__
_names: dict[tuple[Any, Any, str], list[str]] = {}


@cache
def install() -> None:
    """Has moto and boto3 in this process do so."""
    # At each start moto lists its 1,300 URLs for `requests`, which nothing here uses.
    _replace(moto.core.models, "RESPONSES_METHODS", [])
    _replace(responses, "method_names_from_class", cache(method_names_from_class))
    _replace(responses, "camelcase_to_underscores", cache(camelcase_to_underscores))
    _replace(PICKER, "__call__", _pick)
    component: Any = useragent.UserAgentComponent
    _replace(component, "to_string", cache(component.to_string))
    # Each client works out the names of its events again.
    aliaser: Any = EventAliaser
    _replace(aliaser, "_alias_event_name", staticmethod(cache(aliaser(None)._alias_event_name)))  # noqa: SLF001
    _replace(Table, "all_items", _all_items)
    # What an expression says depends on its words alone, and who works on it works on a copy.
    parser: Any = EXPRESSIONS.UpdateExpressionParser
    _replace(parser, "make", cache(parser.make))
    _replace(validators, "deepcopy", _copied)
    _replace(AST.DepthFirstTraverser, "traverse", lambda traverser, node: _Walk(traverser).through(node))
    # Of every clause within an expression both look for what they have found in the whole of it.
    counts, paths = validators.ActionCountValidator, validators.OverlappingPathsValidator
    _replace(counts, "traverse", counts.verify_action_counts)
    _replace(paths, "traverse", paths.check_for_overlapping_paths)


def _replace(owner: object, name: str, value: object) -> None:
    setattr(owner, name, value)


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


def _copied(value: Any, parent: Any = None) -> Any:
    """A copy of an expression's node with all that is below it, or of any other value."""
    kind: Any = type(value)
    if not _is_node(kind):
        return value if parent else deepcopy(value)
    node = object.__new__(kind)
    node.__dict__.update(value.__dict__, parent=parent)
    if value.children is not None:
        node.children = [_copied(child, node) for child in value.children]
    return node


@cache
def _is_node(kind: Any) -> bool:
    # Abstract classes look this up in Python each time.
    return issubclass(kind, AST.Node)


@cache
def _first(kind: Any, kinds: tuple[type, ...]) -> type | None:
    return next((each for each in kinds if issubclass(kind, each)), None)


class _Walk:
    """A traverser's way through an expression, leaves first. Moto asks it at each node what it works on."""

    def __init__(self, traverser: Any) -> None:
        self.work: dict[type, Callable[[Any], Any]] = traverser._processing_map()  # noqa: SLF001
        self.kinds = tuple(self.work)
        self.before_child: Callable[[Any, int], None] = traverser.pre_processing_of_child

    def through(self, node: Any, position: int = -1) -> Any:
        """Work on a node's children, then on itself; what is in its place now."""
        parent = node.parent
        for number, child in enumerate(node.children or ()):
            self.before_child(node, number)
            kind: Any = type(child)
            if _is_node(kind):
                self.through(child, number)
        kind = type(node)
        worked_on = _first(kind, self.kinds)
        if worked_on is not None:
            node = self.work[worked_on](node)
            node.parent = parent
            if parent:
                parent.children[position] = node
        return node
