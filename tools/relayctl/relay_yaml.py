"""`relay.yaml` read and checked, every problem with its line."""

from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from relay import vendors
from relay.config_file import Problem, RelayYaml, problems

KeyPath = tuple[str, ...]


class InvalidConfig(Exception):
    """A file that is no valid configuration. `problems` are lines of the form `relay.yaml:12: …`."""

    def __init__(self, found: list[str]) -> None:
        super().__init__("\n".join(found))
        self.problems = found


def load(path: Path) -> RelayYaml:
    """Read and check a configuration; raises `InvalidConfig` with all that is wrong with it."""
    try:
        document = YAML().load(path.read_text("utf-8"))
    except OSError as error:
        raise InvalidConfig([f"{path}: {error.strerror}"]) from None
    except UnicodeDecodeError:
        raise InvalidConfig([f"{path}: not UTF-8"]) from None
    except MarkedYAMLError as error:
        raise InvalidConfig([f"{path}:{_marked_line(error)}: {_first_line(error.problem)}"]) from None
    except YAMLError as error:
        raise InvalidConfig([f"{path}: {_first_line(str(error))}"]) from None
    if not isinstance(document, CommentedMap):
        raise InvalidConfig([f"{path}:1: the top level must be a mapping with `sources` and `places`"])
    return _checked(path, document)


def mistakes(relay: RelayYaml) -> Iterator[Problem]:
    """What a configuration of the right shape still gets wrong."""
    return problems(relay, {name: vendors.load(name) for name in vendors.NAMES})


def dump(relay: RelayYaml) -> str:
    """The configuration as YAML: what says no more than a default left out, everything in order of its name.

    `load` reads it as it was.
    """
    return text(as_mapping(relay))


def as_mapping(relay: RelayYaml) -> dict[str, Any]:
    """The same as a mapping."""
    said = relay.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    sections = {name: dict(sorted(entries.items())) for name, entries in said.items()}
    for name in ("doors", "sensors"):
        for source, entries in sections.get(name, {}).items():
            sections[name][source] = dict(sorted(entries.items()))
    return sections


def text(document: Any) -> str:
    """A document as YAML, a mapping of this module's kind included."""
    stream = StringIO()
    yaml = YAML()
    yaml.width = 100_000
    yaml.dump(document, stream)
    return stream.getvalue()


def _checked(path: Path, document: CommentedMap) -> RelayYaml:
    lines, found = dict(_lines((), document)), list(_key_problems((), document))
    try:
        relay = RelayYaml.model_validate({k: v for k, v in _plain(document).items() if v is not None})
        found += mistakes(relay)
    except ValidationError as error:
        found += [_problem(e["loc"], e["type"], e["msg"]) for e in error.errors(include_input=False)]
    if found:
        numbered = sorted((_line(lines, where), what) for where, what in found)
        raise InvalidConfig([f"{path}:{line}: {what}" for line, what in numbered])
    return relay


def _problem(loc: tuple[int | str, ...], kind: str, message: str) -> tuple[KeyPath, str]:
    where = tuple(str(step) for step in loc if step != "[key]")
    if kind == "extra_forbidden":
        return where, f"unknown key {where[-1]!r}"
    if kind == "missing":
        return where, f"{where[-1]!r} is missing"
    return where, f"{'.'.join(where)}: {message.removeprefix('Value error, ')}"


def _line(lines: dict[KeyPath, int], where: KeyPath) -> int:
    """The line of a key, or of the innermost thing around it that is there."""
    while where and where not in lines:
        where = where[:-1]
    return lines.get(where, 1)


def _lines(where: KeyPath, node: Any) -> Iterator[tuple[KeyPath, int]]:
    if isinstance(node, CommentedMap):
        for key, value in node.items():
            here = (*where, str(key))
            if key in (node.lc.data or {}):
                yield here, node.lc.data[key][0] + 1
            yield from _lines(here, value)


def _key_problems(where: KeyPath, node: Any) -> Iterator[Problem]:
    """Keys that do not say exactly what they are: a door `012` is not door 10, and `1` is `"1"` again."""
    if not isinstance(node, CommentedMap):
        return
    seen: set[str] = set()
    for key, value in node.items():
        here = (*where, str(key))
        if type(key) not in (str, int):
            yield here, f"put the key {key} into quotes"
        elif str(key) in seen:
            yield here, f"duplicate key {str(key)!r}"
        seen.add(str(key))
        yield from _key_problems(here, value)


def _plain(node: Any) -> Any:
    """Mappings with text for keys, as door ids are texts even where YAML reads a number."""
    if isinstance(node, CommentedMap):
        return {str(key): _plain(value) for key, value in node.items()}
    return [_plain(entry) for entry in node] if isinstance(node, list) else node


def _marked_line(error: MarkedYAMLError) -> int:
    mark = error.problem_mark or error.context_mark
    return mark.line + 1 if mark else 1


def _first_line(text: str | None) -> str:
    return (text or "not YAML").strip().splitlines()[0]
