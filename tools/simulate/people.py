"""Who badges where and when, drawn from a seed, and how many people must then be in each place."""

from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

from relay.config.file import RelayYaml

APART_SECONDS = 120.0
"""Nobody badges twice within so long."""
LEAVING = 0.25
"""So many of the badges are of people who leave, as soon as there are people who have been in for a while.

The others are so many once half of all people are in.
"""
VENDOR = "kisi"


@dataclass(frozen=True, slots=True)
class Badge:
    """Somebody passes a door at an instant (Unix seconds), by which two counts change."""

    id: str
    at: float
    person: str
    source: str
    door: str
    places: tuple[str, str]
    entered: bool


@dataclass(frozen=True, slots=True)
class Building:
    """Sites with floors and doors that lead to them, all alike; `doors` and `people` are those of a site.

    `sources` are the systems that have the doors.
    """

    sites: int = 1
    sources: int = 1
    floors: int = 5
    doors: int = 10
    people: int = 10_000

    def relay_yaml(self, reset_at: str) -> RelayYaml:
        """The configuration."""
        places: dict[str, object] = {}
        doors: dict[str, dict[str, object]] = {}
        for site in range(self.sites):
            place = {"locationId": f"s{site}", "locationType": "location", "timezone": "UTC"}
            places[f"s{site}"] = {**place, "resetAt": reset_at}
            for floor in range(self.floors):
                name = f"s{site}-f{floor}"
                places[name] = {"locationId": name, "locationType": "level", "within": f"s{site}"}
            of_source = doors.setdefault(self.source(site), {})
            for door in range(self.doors):
                # Out of a floor one is still in the site: whoever leaves passes a door of the site's.
                entrance = {"place": f"s{site}-f{self.floor(door)}", "direction": "in"}
                of_source[f"{site}.{door}"] = (
                    {"place": f"s{site}", "direction": "out"} if door % 2 else entrance
                )
        sources = {name: {"vendor": VENDOR} for name in doors}
        return RelayYaml.model_validate({"sources": sources, "places": places, "doors": doors})

    def source(self, site: int) -> str:
        """The system that a site's doors belong to."""
        return f"kisi-{site % self.sources}"

    def floor(self, door: int) -> int:
        """The floor that a door leads to: as many doors in as out on each."""
        return door // 2 % self.floors

    def door(self, floor: int, *, entered: bool, draw: Random) -> int:
        """A door in to or out of a floor."""
        pairs = range(floor, self.doors // 2, self.floors)
        return 2 * draw.choice(pairs) + (0 if entered else 1)


class People:
    """Everybody: they come in, and some of those who have been in for a while leave again."""

    def __init__(self, building: Building, seed: int) -> None:
        self._building = building
        self._draw = Random(seed)  # noqa: S311 - a simulation, which guards nothing
        self._inside: deque[tuple[int, int]] = deque()
        """Who came in first is first: a person and a floor."""
        self._since: dict[int, float] = {}
        self._left_at: dict[int, float] = {}
        self._number = 0

    def badges(self, rate: float, since: float, seconds: float) -> Iterator[Badge]:
        """So many badges a second on average, whenever they come."""
        at = since
        while (at := at + self._draw.expovariate(rate)) < since + seconds:
            yield (
                self._leave(at)
                if self._may_leave(at) and self._draw.random() < self._leaving
                else self.enter(at)
            )

    @property
    def _leaving(self) -> float:
        building = self._building
        return LEAVING if len(self._inside) < building.sites * building.people / 2 else 1 - LEAVING

    def enter(self, at: float, site: int | None = None) -> Badge:
        """Somebody comes in at an instant; anywhere, or at a site."""
        people = self._building.people
        while True:
            anybody = self._draw.randrange(people * (self._building.sites if site is None else 1))
            person = anybody + people * (site or 0)
            if person not in self._since and at - self._left_at.get(person, 0.0) >= APART_SECONDS:
                break
        floor = self._draw.randrange(self._building.floors)
        self._inside.append((person, floor))
        self._since[person] = at
        return self._badge(person, floor, at, entered=True)

    def _may_leave(self, at: float) -> bool:
        return bool(self._inside) and at - self._since[self._inside[0][0]] >= APART_SECONDS

    def _leave(self, at: float) -> Badge:
        person, floor = self._inside.popleft()
        del self._since[person]
        self._left_at[person] = at
        return self._badge(person, floor, at, entered=False)

    def _badge(self, person: int, floor: int, at: float, *, entered: bool) -> Badge:
        building, draw = self._building, self._draw
        site = person // building.people
        self._number += 1
        door = building.door(floor, entered=entered, draw=draw)
        return Badge(
            # In no order, as vendors' ids are.
            id=f"{draw.getrandbits(64):016x}-{self._number}",
            at=at,
            person=f"p{person}",
            source=building.source(site),
            door=f"{site}.{door}",
            places=(f"s{site}", f"s{site}-f{floor}"),
            entered=entered,
        )


def counts(badges: Sequence[Badge]) -> dict[str, int]:
    """How many people are in each place that somebody passed, once all of this has happened."""
    last = {badge.person: badge for badge in sorted(badges, key=lambda badge: badge.at)}
    people = Counter({place: 0 for badge in badges for place in badge.places})
    for badge in last.values():
        if badge.entered:
            people.update(badge.places)
    return dict(people)
