"""`relay.yaml` read and checked, every problem with its line."""

import re
from collections.abc import Iterator, Mapping
from io import StringIO
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap

from relay import vendors
from relay.config.file import Problem, RelayYaml, did_you_mean, meant_zone, problems, with_outer
from relay.config.model import Door, Place, Sensor, Source
from relayctl.yaml_reader import Entries, Malformed, read

KeyPath = tuple[str, ...]


class InvalidConfig(Exception):
    """A file that is no valid configuration. `problems` are lines of the form `relay.yaml:12: …`."""

    def __init__(self, found: list[str]) -> None:
        super().__init__("\n".join(found))
        self.problems = found


def load(path: Path) -> RelayYaml:
    """Read and check a configuration; raises `InvalidConfig` with all that is wrong with it."""
    try:
        document, found = read(path.read_text("utf-8"))
    except RecursionError:
        raise InvalidConfig([f"{path}: nested too deeply"]) from None
    except OSError as error:
        raise InvalidConfig([f"{path}: {error.strerror}"]) from None
    except UnicodeDecodeError:
        raise InvalidConfig([f"{path}: not UTF-8"]) from None
    except Malformed as error:
        where = path if error.line is None else f"{path}:{error.line}"
        raise InvalidConfig([f"{where}: {_in_words(error.said)}"]) from None
    if not isinstance(document, Entries):
        raise InvalidConfig([f"{path}:1: the top level must be a mapping with `sources` and `places`"])
    return _checked(path, document, found)


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
    found += _blanks(relay)
    fed = {door.place for doors in relay.doors.values() for door in doors.values()}
    fed |= {sensor.place for sensors in relay.sensors.values() for sensor in sensors.values()}
    around = with_outer(relay, fed)
    found += [f"no door or sensor leads to {name!r}" for name in relay.places if name not in around]
    return [*found, *_one_way(relay)]


def _blanks(relay: RelayYaml) -> Iterator[str]:
    """The ids of doors and sensors with blanks around them: not every vendor's are read with theirs."""
    for section in (relay.doors, relay.sensors):
        for name, entries in section.items():
            for entry in entries:
                if entry != entry.strip():
                    yield f"{entry!r} of {name!r} has blanks around it: only an id that is sent so fits"


def _one_way(relay: RelayYaml) -> Iterator[str]:
    """The places that people only come into, or only leave, by doors that have one direction each."""
    into, out_of = _directions(relay)
    left = {place for place in relay.places if out_of & set(relay.path(place))}
    entered = with_outer(relay, into)
    for name in relay.places:
        if name in into and name not in left:
            yield f"doors lead in to {name!r} and none leads out: whoever comes in counts until the day ends"
        if name in out_of and name not in entered:
            yield f"doors lead out of {name!r} and none leads in: nobody is ever counted in it"


def _directions(relay: RelayYaml) -> tuple[set[str], set[str]]:
    """The places that doors lead in to, and those that doors lead out of; where the event says it, both."""
    into: set[str] = set()
    out_of: set[str] = set()
    for source, doors in relay.doors.items():
        by_event = "event" in vendors.load(relay.sources[source].vendor).direction
        for door in doors.values():
            if by_event or door.direction == "in":
                into.add(door.place)
            if by_event or door.direction == "out":
                out_of.add(door.place)
    return into, out_of


def dump(relay: RelayYaml) -> str:
    """The configuration as YAML: what says no more than a default left out, everything in order of its name.

    `load` reads it as it was.
    """
    return text(as_mapping(relay))


def as_mapping(relay: RelayYaml) -> dict[str, Any]:
    """The same as a mapping."""
    said = relay.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    sections: dict[str, Any] = {}
    for name, entries in said.items():
        sections[name] = dict(sorted(entries.items())) if isinstance(entries, dict) else entries
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


def in_braces(value: Any) -> Any:
    """A value that is written on one line; only a mapping has to be told."""
    if not isinstance(value, Mapping):
        return value
    braces = CommentedMap({key: in_braces(part) for key, part in value.items()})
    braces.fa.set_flow_style()
    return braces


def flow(document: Mapping[str, Any]) -> str:
    """A mapping as YAML on one line, in braces."""
    return text(in_braces(document)).rstrip("\n")


def _texts(node: Any) -> Iterator[str]:
    """Every text in a document, keys included."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            yield str(key)
            yield from _texts(value)
    elif isinstance(node, str):
        yield node


def _checked(path: Path, document: Entries, found: list[tuple[int, str]]) -> RelayYaml:
    try:
        relay = RelayYaml.model_validate({key: part for key, part in document.items() if part is not None})
        found += [_of_line(document, problem) for problem in mistakes(relay)]
    except ValidationError as error:
        for one in error.errors(include_url=False):
            where, what = _problem(one["loc"], one["type"], one["msg"])
            if where[-1:] == ("timezone",):
                what += meant_zone(str(one["input"]))
            elif one["type"] == "literal_error":
                what += did_you_mean(str(one["input"]), re.findall(r"'([^']+)'", one["ctx"]["expected"]))
            found.append((document.line(where), what))
    if found:
        raise InvalidConfig([f"{path}:{line}: {what}" for line, what in sorted(found)])
    return relay


def _of_line(document: Entries, problem: Problem) -> tuple[int, str]:
    first = f", on line {document.line(problem.first)}" if problem.first else ""
    return document.line(problem.where), problem.what + first


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


IN_WORDS = {
    "mapping values are not allowed": "a `:` cannot stand here: see the indentation, or quote the text",
    "did not find expected key": "the indentation does not fit the lines above",
    "did not find expected '-' indicator": "the indentation does not fit the lines above",
    "found character '\\t'": "a tab: indent with blanks",
    "could not find expected ':'": "a key without its `:`",
    "did not find expected ','": "a bracket that is not closed, or a comma that is missing",
    "found unexpected end of stream": "a quote that is not closed",
    "exceeded maximum nesting depth": "nested too deeply",
}
"""What the parser says, by how it begins, and what it means to whoever wrote the file."""


def _in_words(said: str) -> str:
    for beginning, meaning in IN_WORDS.items():
        if said.startswith(beginning):
            return f"{meaning} ({said})"
    return said
