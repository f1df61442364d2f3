"""CloudFormation's YAML, with its short forms such as `!Ref` read as their long ones."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.constructor import SafeConstructor
from ruamel.yaml.nodes import Node, ScalarNode, SequenceNode


def load(path: Path) -> dict[str, Any]:
    """The document, in plain dictionaries and lists."""
    yaml = YAML(typ="safe", pure=True)
    yaml.Constructor = _Constructor
    document: dict[str, Any] = yaml.load(path)
    return document


class _Constructor(SafeConstructor):
    pass


def _intrinsic(constructor: SafeConstructor, name: str, node: Node) -> Mapping[str, Any]:
    value: Any
    if isinstance(node, ScalarNode):
        value = constructor.construct_scalar(node)
    elif isinstance(node, SequenceNode):
        value = constructor.construct_sequence(node, deep=True)
    else:
        value = constructor.construct_mapping(node, deep=True)
    return {name if name in ("Ref", "Condition") else f"Fn::{name}": value}


_Constructor.add_multi_constructor("!", _intrinsic)
