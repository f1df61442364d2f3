"""YAML as plain data, with the line of every key, at the speed that a hundred thousand doors take.

libyaml finds the parts of a file. What a plain one of them says, such as `no` or 012, ruamel.yaml decides: it
knows YAML 1.2, and writes our files.
"""

from collections.abc import Iterator
from typing import Any

import yaml
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import ScalarNode
from yaml.events import AliasEvent, DocumentStartEvent, Event, MappingStartEvent, ScalarEvent

CORE = "tag:yaml.org,2002:"
MERGE = f"{CORE}merge"
TEXTS = frozenset({f"{CORE}str", f"{CORE}value"})
VALUES = frozenset(f"{CORE}{name}" for name in ("null", "bool", "int", "float", "timestamp", "binary"))
NOT_BREAKS = "\x85\u2028\u2029"
"""What libyaml takes for the end of a line, as YAML 1.1 did, and YAML 1.2 and editors do not."""
PRIVATE = range(0xE000, 0xF900)
"""Characters that Unicode leaves to whoever needs some."""


class Malformed(Exception):
    """A file that is no YAML: what the parser says, and the line, where it says one."""

    def __init__(self, said: str, line: int | None) -> None:
        super().__init__(said)
        self.said = said
        self.line = line


class Entries(dict[str, Any]):
    """A mapping. Its keys are texts, as door ids are, even where YAML reads a number.

    `lines` has the line of each key that is written in it, so none for what a merge key brings along.
    """

    __slots__ = ("lines",)

    def __init__(self) -> None:
        super().__init__()
        self.lines: dict[str, int] = {}

    def line(self, where: tuple[str, ...]) -> int:
        """The line of a key, by the keys that lead to it, or of the innermost around it that has a line."""
        line, node = 1, self
        for key in where:
            line = node.lines.get(key, line)
            inner = node.get(key)
            if not isinstance(inner, Entries):
                break
            node = inner
        return line


def read(text: str) -> tuple[Any, list[tuple[int, str]]]:
    """What a file says, and what in it does not say exactly what it is, with its line.

    Raises `Malformed` for what is no YAML, and `RecursionError` for what is nested too deeply.
    """
    spares = _spares(text)
    reader = _Reader(text.translate(spares), {ord(spare): chr(broken) for broken, spare in spares.items()})
    try:
        return reader.document(), reader.problems
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise Malformed(_said(error, text), mark.line + 1 if mark else None) from None
    except yaml.YAMLError as error:
        raise Malformed(_first_line(str(error)), None) from None


class _Reader:
    """One run through a file."""

    def __init__(self, text: str, spared: dict[int, str]) -> None:
        self.problems: list[tuple[int, str]] = []
        self._events: Iterator[Event] = yaml.parse(text, Loader=yaml.CSafeLoader)
        self._spared = spared
        self._rules = YAML(typ="safe", pure=True)
        self._anchors: dict[str, Any] = {}
        self._texts: dict[str, str] = {}

    def document(self) -> Any:
        next(self._events)
        start = next(self._events)
        if not isinstance(start, DocumentStartEvent):
            return None
        self._rules.version = start.version
        root = self._node(next(self._events))
        next(self._events)
        after = next(self._events)
        if isinstance(after, DocumentStartEvent):
            raise Malformed("but found another document", _line(after))
        return root

    def _node(self, event: Any) -> Any:
        if isinstance(event, AliasEvent):
            if event.anchor not in self._anchors:
                raise Malformed(f"found undefined alias {event.anchor!r}", _line(event))
            return self._anchors[event.anchor]
        if isinstance(event, ScalarEvent):
            node = self._scalar(event)
        elif isinstance(event, MappingStartEvent):
            node = self._mapping()
        else:
            node = self._sequence()
        if event.anchor:
            self._anchors[event.anchor] = node
        return node

    def _sequence(self) -> list[Any]:
        sequence = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            sequence.append(self._node(event))
        return sequence

    def _mapping(self) -> Entries:
        entries, merged = Entries(), Entries()
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            if isinstance(event, ScalarEvent) and self._tag(event) == MERGE:
                if merged:
                    self.problems.append((_line(event), f"duplicate key {event.value!r}"))
                self._merge(merged, next(self._events))
                continue
            key = self._key(event)
            if key in entries:
                first = entries.lines[key]
                self.problems.append((_line(event), f"duplicate key {key!r}, on line {first} already"))
            entries.lines[key] = _line(event)
            entries[key] = self._node(next(self._events))
        for key, value in merged.items():
            entries.setdefault(key, value)
        return entries

    def _merge(self, merged: Entries, event: Event) -> None:
        """Take in what a merge key brings along; of several mappings, the first that has a key counts."""
        node = self._node(event)
        for one in node if isinstance(node, list) else [node]:
            if not isinstance(one, Entries):
                raise Malformed("expected a mapping or list of mappings for merging", _line(event))
            for key, value in one.items():
                merged.setdefault(key, value)

    def _key(self, event: Event) -> str:
        """A key as it is written: a door `012` is not door 10."""
        node = self._node(event)
        text = self._text(event.value if isinstance(event, ScalarEvent) else str(node))
        if not isinstance(node, str) and not (type(node) is int and str(node) == text):
            self.problems.append((_line(event), f"put the key {text} into quotes"))
        return text

    def _scalar(self, event: ScalarEvent) -> Any:
        tag, text = self._tag(event), event.value
        if tag in TEXTS:
            return self._text(text)
        if tag not in VALUES:
            self.problems.append((_line(event), f"unknown tag {tag!r}"))
            return None
        rules = self._rules.constructor
        try:
            return rules.yaml_constructors[tag](rules, ScalarNode(tag, text))
        except (ValueError, LookupError, OverflowError, YAMLError):
            self.problems.append((_line(event), f"{text!r} is no {tag.removeprefix(CORE)}"))
            return None

    def _tag(self, event: ScalarEvent) -> str:
        """What kind of value a text is."""
        if not event.implicit[0]:
            return event.tag or f"{CORE}str"
        for tag, form in self._rules.resolver.versioned_resolver.get(event.value[:1], ()):
            if form.match(event.value):
                return str(tag)
        return f"{CORE}str"

    def _text(self, text: str) -> str:
        """A text, once in memory however often it is written."""
        return self._texts.setdefault(text, text.translate(self._spared) if self._spared else text)


def _spares(text: str) -> dict[int, str]:
    """A character that does not occur for each that libyaml must not see."""
    unused = (chr(code) for code in PRIVATE if chr(code) not in text)
    return {ord(broken): next(unused) for broken in NOT_BREAKS if broken in text}


def _line(event: Event) -> int:
    return int(event.start_mark.line) + 1 if event.start_mark else 1


def _said(error: yaml.MarkedYAMLError, text: str) -> str:
    """What the parser says, with the character that it means."""
    said = _first_line(error.problem)
    if said == "found character that cannot start any token" and error.problem_mark:
        line = text.split("\n")[error.problem_mark.line]
        return f"found character {line[error.problem_mark.column]!r} that cannot start any token"
    return said


def _first_line(text: str | None) -> str:
    return (text or "not YAML").strip().splitlines()[0]
