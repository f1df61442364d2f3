"""Entries put into a YAML file whose every other character stays as it is: comments, order, quotes, blanks.

Where they go is asked of the parser; what is written is compared with what was meant, so that a file that is
too clever for this is refused, and not spoilt.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from relayctl import relay_yaml
from relayctl.yaml_reader import Malformed, read

STEP = "  "
BY_HAND = "put the entries in by hand"


class CannotInsert(Exception):
    """The file is written in a way that this does not extend."""


@dataclass(frozen=True)
class Leaf:
    """An entry's value, on one line, and the comment behind it."""

    value: Any
    comment: str = ""


Tree = Mapping[str, Any]
"""Mappings by key, down to leaves."""


@dataclass
class _Edits:
    """What is to be put in, by where; and the comments at the ends of lines."""

    texts: list[tuple[int, str]] = field(default_factory=list)
    comments: dict[int, list[str]] = field(default_factory=dict)


def insert(text: str, tree: Tree) -> str:
    """The text with these entries, each at the end of its mapping, which is made where there is none.

    Raises `CannotInsert`, and `Malformed` for a text that is no YAML.
    """
    document, _ = read(text)
    try:
        root = yaml.compose(text, Loader=yaml.CSafeLoader)
    except yaml.YAMLError:
        raise CannotInsert(BY_HAND) from None
    newline = "\r\n" if "\r\n" in text else "\n"
    changed = _insert(text, root, tree).replace("\r\n", "\n").replace("\n", newline)
    try:
        found, _ = read(changed)
    except Malformed:
        raise CannotInsert(BY_HAND) from None
    if found != _with(document, tree):
        raise CannotInsert(BY_HAND)
    return changed


def _insert(text: str, root: Any, tree: Tree) -> str:
    if root is None:
        return _ended(text) + "\n".join(_lines(tree, "")) + "\n"
    edits = _Edits()
    _extend(text, root, tree, edits)
    texts = [*_at_line_ends(text, edits.comments), *edits.texts]
    # From the end on, so that no place moves before its turn; at one place, what comes first goes in last.
    for at, _, more in sorted(((at, number, more) for number, (at, more) in enumerate(texts)), reverse=True):
        text = text[:at] + more + text[at:]
    return text


def _at_line_ends(text: str, comments: Mapping[int, Sequence[str]]) -> Iterator[tuple[int, str]]:
    """The comments that a line has room for; one that has a comment, or goes on, keeps it as it is."""
    for at, some in comments.items():
        end = _line_end(text, at)
        if some and not text[at:end].strip():
            yield end, "  # " + "; ".join(some)


def _extend(text: str, node: Any, tree: Tree, edits: _Edits, flow_end: int | None = None) -> None:
    """Find where entries go into a mapping and into those within it.

    `flow_end` is the end of the outermost one in braces, where comments go.
    """
    if not isinstance(node, yaml.MappingNode):
        raise CannotInsert(f"line {node.start_mark.line + 1}: no mapping: {BY_HAND}")
    if node.flow_style and flow_end is None:
        flow_end = node.end_mark.index
    children = {key.value: (key, value) for key, value in node.value}
    for key, part in tree.items():
        if key in children:
            _fill(text, *children[key], part, edits, flow_end)
    new = {key: part for key, part in tree.items() if key not in children}
    if new and flow_end is not None:
        _append_to_flow(node, new, edits, flow_end)
    elif new:
        indent = " " * node.value[0][0].start_mark.column
        _put_lines(text, _end(node), _lines(new, indent), edits)


def _fill(text: str, key: Any, value: Any, part: Tree, edits: _Edits, flow_end: int | None) -> None:
    """Find where entries go that belong to a key which is there; it may have no value yet."""
    if not _is_empty(value):
        _extend(text, value, part, edits, flow_end)
        return
    indent = " " * key.start_mark.column + STEP
    _put_lines(text, key.end_mark.index, _lines(part, indent), edits)


def _append_to_flow(node: Any, new: Tree, edits: _Edits, flow_end: int) -> None:
    inner = relay_yaml.flow(_plain(new))[1:-1]
    if node.value:
        edits.texts.append((_end(node), f", {inner}"))
    else:
        edits.texts.append((node.start_mark.index + 1, inner))
    edits.comments.setdefault(flow_end, []).extend(_comments(new))


def _put_lines(text: str, at: int, lines: Sequence[str], edits: _Edits) -> None:
    """Put lines behind the line in which a place is."""
    edits.texts.append((_line_end(text, at), "".join(f"\n{line}" for line in lines)))


def _lines(tree: Tree, indent: str) -> list[str]:
    """A tree in lines; a section at the top has a blank line before it."""
    lines: list[str] = []
    for key, part in tree.items():
        if isinstance(part, Leaf):
            entry = relay_yaml.text({key: relay_yaml.in_braces(part.value)}).rstrip("\n")
            lines += [indent + line for line in entry.split("\n")]
            lines[-1] += f"  # {part.comment}" if part.comment else ""
        else:
            lines += [""] if not indent else []
            lines.append(indent + relay_yaml.text({key: None}).rstrip("\n"))
            lines += _lines(part, indent + STEP)
    return lines


def _comments(tree: Tree) -> Iterator[str]:
    for key, part in tree.items():
        if not isinstance(part, Leaf):
            yield from _comments(part)
        elif part.comment:
            yield f"{key}: {part.comment}"


def _plain(tree: Tree) -> dict[str, Any]:
    """A tree as data."""
    return {key: part.value if isinstance(part, Leaf) else _plain(part) for key, part in tree.items()}


def _with(document: Any, tree: Tree) -> Any:
    """What a document says once a tree is in it."""
    if not isinstance(document, Mapping):
        return _plain(tree)
    said = dict(document)
    for key, part in tree.items():
        said[key] = part.value if isinstance(part, Leaf) else _with(said.get(key), part)
    return said


def _is_empty(node: Any) -> bool:
    """Whether nothing stands behind a key."""
    return isinstance(node, yaml.ScalarNode) and node.start_mark.index == node.end_mark.index


def _end(node: Any) -> int:
    """Where the last of what belongs to a node ends."""
    if isinstance(node, yaml.ScalarNode):
        # A text in lines of its own ends where the next line begins.
        return int(node.end_mark.index) - (1 if node.style in ("|", ">") else 0)
    if node.flow_style and not isinstance(node, yaml.MappingNode):
        return int(node.end_mark.index)
    if not node.value:
        return int(node.end_mark.index)
    last = node.value[-1]
    if isinstance(node, yaml.MappingNode):
        key, value = last
        return max(_whole_end(value), int(key.end_mark.index))
    return _whole_end(last)


def _whole_end(node: Any) -> int:
    """The same, with the brace that closes it."""
    return int(node.end_mark.index) if getattr(node, "flow_style", False) else _end(node)


def _line_end(text: str, at: int) -> int:
    """Where the line of a place ends."""
    end = text.find("\n", at)
    end = len(text) if end < 0 else end
    return end - 1 if text[at:end].endswith("\r") else end


def _ended(text: str) -> str:
    return text if not text or text.endswith("\n") else text + "\n"
