"""`relay.yaml` read and checked, every problem with its line."""

from collections.abc import Iterator, Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from relay import vendors
from relay.config import Door, Place, Sensor, Source
from relay.config_file import Problem, RelayYaml, did_you_mean, meant_zone, problems, with_outer

KeyPath = tuple[str, ...]


class InvalidConfig(Exception):
    """A file that is no valid configuration. `problems` are lines of the form `relay.yaml:12: …`."""

    def __init__(self, found: list[str]) -> None:
        super().__init__("\n".join(found))
        self.problems = found


def load(path: Path) -> RelayYaml:
    """Read and check a configuration; raises `InvalidConfig` with all that is wrong with it."""
    try:
        content = path.read_text("utf-8")
        document = YAML().load(content)
    except RecursionError:
        raise InvalidConfig([f"{path}: nested too deeply"]) from None
    except OSError as error:
        raise InvalidConfig([f"{path}: {error.strerror}"]) from None
    except UnicodeDecodeError:
        raise InvalidConfig([f"{path}: not UTF-8"]) from None
    except MarkedYAMLError as error:
        raise InvalidConfig([f"{path}:{_marked_line(error)}: {_in_words(error)}"]) from None
    except YAMLError as error:
        raise InvalidConfig([f"{path}: {_first_line(str(error))}"]) from None
    if not isinstance(document, CommentedMap):
        raise InvalidConfig([f"{path}:1: the top level must be a mapping with `sources` and `places`"])
    return _checked(path, document, content.splitlines())


def mistakes(relay: RelayYaml) -> Iterator[Problem]:
    """What a configuration of the right shape still gets wrong."""
    return problems(relay, {name: vendors.load(name) for name in vendors.NAMES})


def oddities(relay: RelayYaml) -> list[str]:
    """What is valid, and perhaps not meant."""
    found = [
        f"{name!r} is a site without `timezone`: its day ends at {place.reset_at} UTC"
        for name, place in relay.places.items()
        if place.within is None and "timezone" not in place.model_fields_set
    ]
    for name, source in relay.sources.items():
        listed = name in relay.doors or name in relay.sensors
        if vendors.load(source.vendor).families == ("access-control",) and not listed:
            found.append(f"{name!r} has neither doors nor sensors: its events are dead letters")
    fed = {door.place for doors in relay.doors.values() for door in doors.values()}
    fed |= {sensor.place for sensors in relay.sensors.values() for sensor in sensors.values()}
    around = with_outer(relay, fed)
    found += [f"no door or sensor leads to {name!r}" for name in relay.places if name not in around]
    return found


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
    # Letters that a terminal would obey, or a reader fold, are escaped: ids come from vendors' payloads.
    yaml.allow_unicode = all(map(str.isprintable, _texts(document)))
    yaml.dump(document, stream)
    return stream.getvalue()


def _texts(node: Any) -> Iterator[str]:
    """Every text in a document, keys included."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            yield str(key)
            yield from _texts(value)
    elif isinstance(node, str):
        yield node


def _checked(path: Path, document: CommentedMap, written: Sequence[str]) -> RelayYaml:
    lines, found = dict(_lines((), document)), list(_key_problems((), document, written))
    try:
        relay = RelayYaml.model_validate({k: v for k, v in _plain(document).items() if v is not None})
        found += mistakes(relay)
    except ValidationError as error:
        for one in error.errors():
            where, what = _problem(one["loc"], one["type"], one["msg"])
            if where[-1:] == ("timezone",):
                what += meant_zone(str(one["input"]))
            found.append((where, what))
    if found:
        numbered = sorted((_line(lines, where), what) for where, what in found)
        raise InvalidConfig([f"{path}:{line}: {what}" for line, what in numbered])
    return relay


def _problem(loc: tuple[int | str, ...], kind: str, message: str) -> tuple[KeyPath, str]:
    where = tuple(str(step) for step in loc if step != "[key]")
    if kind == "extra_forbidden":
        return where, f"unknown key {where[-1]!r}{did_you_mean(where[-1], _keys(where))}"
    if kind == "missing":
        return where, f"{where[-1]!r} is missing"
    return where, f"{'.'.join(where)}: {message.removeprefix('Value error, ')}"


def _keys(where: KeyPath) -> Iterator[str]:
    """The keys that there are where an unknown one stands."""
    models: dict[str, type[BaseModel]] = {
        "sources": Source,
        "places": Place,
        "doors": Door,
        "sensors": Sensor,
    }
    model = RelayYaml if len(where) == 1 else models.get(where[0], RelayYaml)
    return (field.alias or name for name, field in model.model_fields.items())


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


def _key_problems(where: KeyPath, node: Any, written: Sequence[str]) -> Iterator[Problem]:
    """Keys that do not say exactly what they are: a door `012` is not door 10, and `1` is `"1"` again."""
    if not isinstance(node, CommentedMap):
        return
    seen: set[str] = set()
    for key, value in node.items():
        here = (*where, str(key))
        if type(key) not in (str, int):
            yield here, f"put the key {key} into quotes"
        elif type(key) is int and (text := _as_written(node, key, written)) != str(key):
            yield here, f"put the key {text} into quotes: as a number it is {key}"
        elif str(key) in seen:
            yield here, f"duplicate key {str(key)!r}"
        seen.add(str(key))
        yield from _key_problems(here, value, written)


def _as_written(node: CommentedMap, key: int, written: Sequence[str]) -> str:
    """A number that is a key, as it stands in the file."""
    line, column = node.lc.data[key][:2]
    text: str = written[line][column:]
    return text.partition(":")[0].strip()


def _plain(node: Any) -> Any:
    """Mappings with text for keys, as door ids are texts even where YAML reads a number."""
    if isinstance(node, CommentedMap):
        return {str(key): _plain(value) for key, value in node.items()}
    return [_plain(entry) for entry in node] if isinstance(node, list) else node


def _marked_line(error: MarkedYAMLError) -> int:
    mark = error.problem_mark or error.context_mark
    return mark.line + 1 if mark else 1


IN_WORDS = {
    "mapping values are not allowed here": "a `:` cannot stand here: see the indentation, or quote the text",
    "expected <block end>": "the indentation does not fit the lines above",
    "found character '\\t'": "a tab: indent with blanks",
    "could not find expected ':'": "a key without its `:`",
    "expected ',' or": "a bracket that is not closed, or a comma that is missing",
    "found unexpected end of stream": "a quote that is not closed",
}
"""What the parser says, by how it begins, and what it means to whoever wrote the file."""


def _in_words(error: MarkedYAMLError) -> str:
    said = _first_line(error.problem)
    for beginning, meaning in IN_WORDS.items():
        if said.startswith(beginning):
            return f"{meaning} ({said})"
    return said


def _first_line(text: str | None) -> str:
    return (text or "not YAML").strip().splitlines()[0]
