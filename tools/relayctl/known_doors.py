"""The doors and sensors of a source, as configuration, events, dead letters and the vendor tell of them."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from relay import vendors
from relay.config.file import RelayYaml
from relay.errors import Stop
from relay.events import Direction, iso
from relay.invocation import Invocation
from relay.reconciliation.pages import Pages
from relay.reconciliation.run import MOST_PAGES
from relay.reconciliation.source import without_api
from relay.vendors.support.base import VendorApi
from relay.vendors.support.listing import DoorList, DoorPage, Listed
from relay.vendors.support.seen import MOST_NEW, Found
from relayctl import dead_letters
from relayctl.dead_letters import Selection
from relayctl.target import Target

Section = Literal["doors", "sensors"]
SECTIONS: dict[str, Section] = {"door": "doors", "sensor": "sensors"}
FORMS: dict[str, tuple[Section, str]] = {"badge": ("doors", "door"), "reading": ("sensors", "sensor")}
"""Of each form of event: the section of relay.yaml, and the event's field that names the entry."""

Progress = Callable[[int], None]


@dataclass(frozen=True, kw_only=True)
class Known:
    """A door or sensor that something tells of.

    `name` is the vendor's for it, else the configuration's. `last_seen` is when an event named it last (ISO
    8601), to a day; None where none did. `letters` counts the dead letters that name it. `place` and
    `direction` are those of the configuration.
    """

    section: Section
    source: str
    id: str
    name: str | None = None
    last_seen: str | None = None
    letters: int = 0
    place: str | None = None
    direction: Direction | None = None

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "kind": self.section.removesuffix("s"),
            "id": self.id,
            "name": self.name,
            "last_seen": self.last_seen,
            "place": self.place,
            "direction": self.direction,
            "dead_letters": self.letters,
        }

    @property
    def order(self) -> tuple[bool, str, str, str]:
        """What is unmapped first, then by name."""
        return self.place is not None, self.section, (self.name or "").casefold(), self.id


@dataclass(frozen=True)
class Letters:
    """The dead letters of what is unmapped: what they name, and how many cannot be seen just now."""

    named: Sequence[Known]
    hidden: int = 0

    @property
    def missing(self) -> list[str]:
        """What they leave out, as sentences."""
        return [f"{self.hidden} dead letters that somebody else is reading"] if self.hidden else []


@dataclass(frozen=True)
class Asked:
    """What a vendor listed, and why that is not all that it has.

    `cannot` says that it was not asked, and why; `failed` what went wrong.
    """

    listed: Sequence[Listed] = ()
    cannot: str = ""
    failed: str = ""


def read_letters(target: Target) -> Letters:
    """What dead letters name that was not configured when they were received, the most frequent first."""
    reading = dead_letters.read(
        target, Selection(reasons=frozenset({"unmapped_door"})), fields=("source", "event")
    )
    times: dict[tuple[Section, str, str], list[str]] = {}
    for letter in reading.letters:
        event = letter.get("event") or {}
        section, field = FORMS.get(event.get("form", ""), ("doors", ""))
        if field:
            key = (section, str(letter.get("source")), str(event.get(field)))
            times.setdefault(key, []).append(str(letter.get("received_at", "")))
    named = [
        Known(section=section, source=source, id=entry, last_seen=max(received), letters=len(received))
        for (section, source, entry), received in times.items()
    ]
    named.sort(key=lambda known: (known.section, known.source, -known.letters, known.id))
    return Letters(named, reading.hidden)


def seen_by(invocation: Invocation, source: str) -> list[Known]:
    """What events of a source named. Raises `TableUnavailable`."""
    key = invocation.config.key(source)
    found = [*invocation.seen.of(key, "door"), *invocation.seen.of(key, "sensor")]
    return [_seen(source, one) for one in found]


def cut_off(invocation: Invocation, source: str) -> list[str]:
    """What is missing of what a source's events named, as sentences. Raises `TableUnavailable`."""
    if not invocation.seen.is_full(invocation.config.key(source)):
        return []
    return [f"what events of {source} named beyond {MOST_NEW} new ids in 90 days"]


def configured(relay: RelayYaml, source: str) -> list[Known]:
    """What the configuration places."""
    doors = [
        Known(
            section="doors", source=source, id=entry, name=one.name, place=one.place, direction=one.direction
        )
        for entry, one in relay.doors.get(source, {}).items()
    ]
    sensors = [
        Known(section="sensors", source=source, id=entry, place=one.place)
        for entry, one in relay.sensors.get(source, {}).items()
    ]
    return [*doors, *sensors]


def ask_vendor(invocation: Invocation, source: str, progress: Progress = lambda _: None) -> Asked:
    """What the vendor of a configured source lists, page by page; where it fails, what it listed before."""
    vendor = vendors.load(invocation.config.sources[source].vendor)
    if vendor.doors is None:
        return Asked()
    if why := without_api(invocation, source, vendor):
        return Asked(cannot=f"{vendor.title} was not asked for the doors of {source}: {why}")
    pages = Pages(invocation, source, "access-control", vendor)
    listed: list[Listed] = []
    following: str | None = None
    try:
        for _ in range(MOST_PAGES):
            page = pages.ask(_question(vendor.doors, following))
            listed += page.listed
            progress(len(listed))
            following = page.following
            if following is None:
                return Asked(listed)
    except Stop as error:
        return Asked(listed, failed=f"{vendor.title} did not list all doors of {source}: {error}")
    return Asked(listed, failed=f"{vendor.title} lists the doors of {source} without an end")


def listed_as(source: str, listed: Iterable[Listed]) -> list[Known]:
    """What a vendor listed."""
    return [Known(section=SECTIONS[one.kind], source=source, id=one.id, name=one.name) for one in listed]


def merged(*origins: Iterable[Known]) -> list[Known]:
    """Each door and sensor once, with what any origin knows of it; a later one's name counts."""
    found: dict[tuple[str, str, str], Known] = {}
    for known in (one for origin in origins for one in origin):
        key = known.source, known.section, known.id
        found[key] = _both(found[key], known) if key in found else known
    return sorted(found.values(), key=lambda known: known.order)


def seen_without_place(
    invocation: Invocation, relay: RelayYaml, source: str, letters: Letters
) -> list[Known]:
    """The doors and sensors that events of a source named and the configuration does not place.

    Raises `TableUnavailable`.
    """
    of_source = [known for known in letters.named if known.source == source]
    seen = seen_by(invocation, source)
    placed = {(known.section, known.id) for known in configured(relay, source)}
    return [known for known in merged(of_source, seen) if (known.section, known.id) not in placed]


def _question(doors: DoorList, following: str | None) -> Callable[[VendorApi], DoorPage]:
    def ask(api: VendorApi) -> DoorPage:
        return doors.page(api, following)

    return ask


def _seen(source: str, one: Found) -> Known:
    return Known(section=SECTIONS[one.kind], source=source, id=one.id, name=one.name, last_seen=iso(one.at))


def _both(one: Known, other: Known) -> Known:
    """What two origins know of the same thing."""
    return replace(
        one,
        name=other.name or one.name,
        last_seen=max(filter(None, (one.last_seen, other.last_seen)), default=None),
        letters=one.letters + other.letters,
        place=one.place or other.place,
        direction=one.direction or other.direction,
    )
