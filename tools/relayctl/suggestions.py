"""What relay.yaml lacks: doors and sensors that something tells of, and kinds of leave that no table maps.

Of each door, the place and the direction that its name says; where it says none, a placeholder that no push
takes. What is lacking is decided by pure functions; `relayctl config suggest` reads and writes.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from relay import vendors
from relay.config.file import TO_FILL_IN
from relay.vendors.support.base import Vendor
from relay.vendors.support.seen import Found
from relayctl.known_doors import Known, Section
from relayctl.naming import direction_in, place_in
from relayctl.output import printable
from relayctl.yaml_insert import Leaf, Tree

TYPE_COMMENT = "no table maps it, so that it is leave: or holiday, or sick?"


@dataclass(frozen=True)
class Written:
    """What a relay.yaml says, as far as it matters here; half of it may be wrong."""

    document: Mapping[str, Any]

    def section(self, *path: str) -> Mapping[str, Any]:
        """The mapping at a path of keys; empty where there is none."""
        found: Any = self.document
        for key in path:
            found = found.get(key) if isinstance(found, Mapping) else None
        return found if isinstance(found, Mapping) else {}

    @property
    def sources(self) -> Mapping[str, Any]:
        """The sources by name."""
        return self.section("sources")

    def vendor(self, source: str) -> Vendor | None:
        """The vendor of a source; None where neither is known."""
        name = self.section("sources", source).get("vendor")
        return vendors.load(name) if name in vendors.NAMES else None

    def places_it(self, known: Known) -> bool:
        """Whether a door or sensor is in it."""
        return known.id in self.section(known.section, known.source)

    def maps(self, source: str, name: str) -> bool:
        """Whether the source's table has a kind of leave."""
        table = self.section("sources", source, "timeOffTypes")
        return name.strip().casefold() in {str(key).strip().casefold() for key in table}


@dataclass(frozen=True)
class Suggestion:
    """A door or sensor that relay.yaml lacks, with what its name says, or `TO_FILL_IN`.

    A direction is None where none is needed, or the place is to be filled in anyway.
    """

    known: Known
    place: str = TO_FILL_IN
    direction: str | None = None

    @property
    def lacks(self) -> list[str]:
        """The keys that somebody has to fill in."""
        values = {"place": self.place, "direction": self.direction}
        return [key for key, value in values.items() if value == TO_FILL_IN]

    @property
    def value(self) -> dict[str, str]:
        """The entry of relay.yaml."""
        named = {"name": self.known.name} if self.known.name and self.known.section == "doors" else {}
        led = {"direction": self.direction} if self.direction else {}
        return {**named, "place": self.place, **led}

    @property
    def comment(self) -> str:
        """A sensor's name, which has no key of its own, and when it was seen."""
        name = self.known.name if self.known.section == "sensors" else None
        return ", ".join(filter(None, (printable(name or ""), _seen(self.known))))

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        known = self.known
        proposed = {"place": self.place, "direction": self.direction}
        said = {key: value for key, value in proposed.items() if value not in (None, TO_FILL_IN)}
        named = {"name": known.name} if known.name else {}
        return {"seen": known.letters, "last": known.last_seen, **named, **said}


@dataclass(frozen=True)
class Suggestions:
    """All that a relay.yaml lacks. `types` are kinds of leave, by source."""

    doors: Sequence[Suggestion]
    types: Mapping[str, Sequence[str]]

    def __bool__(self) -> bool:
        """Whether anything is lacking."""
        return bool(self.doors or self.types)

    def count(self, section: Section) -> int:
        """How many doors, or sensors, are lacking."""
        return sum(one.known.section == section for one in self.doors)

    @property
    def count_types(self) -> int:
        """How many kinds of leave no table maps."""
        return sum(map(len, self.types.values()))


def lacking(known: Iterable[Known], written: Written) -> list[Suggestion]:
    """The doors and sensors that a relay.yaml lacks, by section and source, the most frequent first."""
    missing = [one for one in known if not written.places_it(one)]
    missing.sort(key=lambda one: (one.section, one.source, -one.letters, one.id))
    return [suggested(one, written) for one in missing]


def suggested(known: Known, written: Written) -> Suggestion:
    """What a door's or a sensor's name says of it."""
    name = known.name or known.id
    place = place_in(name, written.section("places")) or TO_FILL_IN
    if known.section == "sensors":
        return Suggestion(known, place)
    direction = direction_in(name)
    vendor = written.vendor(known.source)
    # Without a direction a door leads in: where nobody would look at the line again, that is to be said.
    if direction is None and place != TO_FILL_IN and vendor is not None and vendor.direction == "door":
        return Suggestion(known, place, TO_FILL_IN)
    return Suggestion(known, place, direction)


def unmapped_types(source: str, found: Iterable[Found], written: Written) -> list[str]:
    """The kinds of leave of a source that its table lacks, each once, however it is written."""
    by_plain = {one.id.strip().casefold(): one.id for one in found if not written.maps(source, one.id)}
    return sorted(by_plain.values())


def as_mapping(found: Suggestions) -> dict[str, Any]:
    """For `--json`: doors and sensors by section, source and id; kinds of leave by source, if any."""
    mapping: dict[str, Any] = {"doors": {}, "sensors": {}}
    for one in found.doors:
        of_source = mapping[one.known.section].setdefault(one.known.source, {})
        of_source[one.known.id] = one.as_dict()
    if found.types:
        types = {source: dict.fromkeys(names, "leave") for source, names in found.types.items()}
        mapping["timeOffTypes"] = types
    return mapping


def as_tree(found: Suggestions) -> Tree:
    """What is to be put into a relay.yaml."""
    tree: dict[str, dict[str, Any]] = {}
    for source, types in found.types.items():
        table = {name: Leaf("leave", TYPE_COMMENT) for name in types}
        tree.setdefault("sources", {})[source] = {"timeOffTypes": table}
    for one in found.doors:
        of_source = tree.setdefault(one.known.section, {}).setdefault(one.known.source, {})
        of_source[one.known.id] = Leaf(one.value, one.comment)
    return tree


def to_fill_in(found: Suggestions) -> Iterator[Suggestion]:
    """Those of which something is left to be filled in."""
    return (one for one in found.doors if one.lacks)


def _seen(known: Known) -> str:
    """When a door or sensor was seen, in words."""
    if known.letters:
        return "seen once" if known.letters == 1 else f"seen {known.letters} times"
    return f"last seen {known.last_seen[:10]}" if known.last_seen else "not seen yet"
