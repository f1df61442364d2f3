"""The doors and sensors that events named and the configuration did not: read from their dead letters."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ruamel.yaml.comments import CommentedMap

from relayctl import dead_letters, relay_yaml
from relayctl.dead_letters import Selection
from relayctl.target import Target

Section = Literal["doors", "sensors"]
FORMS: Mapping[str, tuple[Section, str]] = {"badge": ("doors", "door"), "reading": ("sensors", "sensor")}
"""Of each form of event: the section of relay.yaml, and the event's field that names the entry."""
PLACE = "?"
"""Stands for the place until somebody fills it in; no place is called so, and a push says so by its line."""


@dataclass(frozen=True)
class Unmapped:
    """A door or sensor: how many letters name it, and when the last of them was received."""

    section: Section
    source: str
    entry: str
    seen: int
    last: str


def unmapped(target: Target) -> list[Unmapped]:
    """What is unmapped, by section and source, the most frequent first."""
    found: dict[tuple[Section, str, str], list[str]] = {}
    unmapped_doors = Selection(reasons=frozenset({"unmapped_door"}))
    for letter in dead_letters.peek(target, unmapped_doors, ("source", "event")):
        event = letter.get("event")
        section, field = FORMS.get(event.get("form", ""), ("doors", "")) if event else ("doors", "")
        if event and field:
            key = (section, str(letter.get("source")), str(event.get(field)))
            found.setdefault(key, []).append(str(letter.get("received_at", "")))
    entries = [Unmapped(*key, len(times), max(times)) for key, times in found.items()]
    return sorted(entries, key=lambda entry: (entry.section, entry.source, -entry.seen, entry.entry))


def as_mapping(entries: list[Unmapped]) -> dict[str, dict[str, Any]]:
    """For `--json`: by section, source and id."""
    mapping: dict[str, dict[str, Any]] = {"doors": {}, "sensors": {}}
    for entry in entries:
        of_source = mapping[entry.section].setdefault(entry.source, {})
        of_source[entry.entry] = {"seen": entry.seen, "last": entry.last}
    return mapping


def as_yaml(entries: list[Unmapped]) -> str:
    """Sections of relay.yaml in which only the places are missing."""
    document = CommentedMap()
    for entry in entries:
        section = document.setdefault(entry.section, CommentedMap())
        of_source = section.setdefault(entry.source, CommentedMap())
        place = CommentedMap(place=PLACE)
        place.fa.set_flow_style()
        of_source[entry.entry] = place
        times = "once" if entry.seen == 1 else f"{entry.seen} times"
        of_source.yaml_add_eol_comment(f"seen {times}", key=entry.entry)
    return relay_yaml.text(document)
