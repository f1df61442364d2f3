"""When Calven knows of each badge, found out from the outside: from what is written, and what Calven is told.

A badge is in the ledger once the position that it makes is written, or a later one of the same person. The
counts of that write say with which time they are reported. Calven knows of the badge when it has accepted a
report of each count with that time or a later one: times of a place only ever increase.
"""

import heapq
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from relay.aws.attributes import deserialize
from relay.occupancy.counts import FIELDS, WITHIN
from simulate.calven import Calven
from simulate.people import Badge, counts
from simulate.table import Written


@dataclass(slots=True)
class Fate:
    """What became of a badge: how it was answered, and when Calven knew of it (Unix seconds)."""

    badge: Badge
    status: int = 0
    answered_at: float = 0.0
    known_at: float | None = None
    open: int = 0
    """So many of its counts are not reported yet."""
    others: list[int] = field(default_factory=list)
    """Answers before the last one, after each of which the vendor sent it again."""


class Watch:
    """Everything that was sent, and what became of it."""

    def __init__(self, now: Callable[[], float]) -> None:
        self.fates: dict[str, Fate] = {}
        self.known = 0
        self._now = now
        self._by_person: defaultdict[str, list[Fate]] = defaultdict(list)
        self._waiting: defaultdict[str, list[tuple[int, int, Fate]]] = defaultdict(list)
        self._numbers = count()

    def sent(self, badge: Badge) -> Fate:
        """A badge is on its way."""
        fate = Fate(badge)
        self.fates[badge.id] = fate
        self._by_person[badge.person].append(fate)
        return fate

    def written(self, items: Written) -> None:
        """Something was written to the table."""
        reported_at: dict[str, int] = {}
        for (pk, sk), item in items.items():
            if pk.startswith("day#") and sk.startswith("count#"):
                reported_at |= _times(sk.removeprefix("count#"), deserialize(item))
        for (pk, _), item in items.items():
            if pk.startswith("people#"):
                self._settled(item["event"]["S"].rpartition("|")[2], reported_at)

    def _settled(self, badge_id: str, reported_at: Mapping[str, int]) -> None:
        latest = self.fates[badge_id]
        waiting = self._by_person[latest.badge.person]
        settled = [fate for fate in waiting if fate.badge.at <= latest.badge.at]
        self._by_person[latest.badge.person] = [fate for fate in waiting if fate not in settled]
        for fate in settled:
            places = [place for place in fate.badge.places if place in reported_at]
            fate.open = len(places)
            for place in places:
                heapq.heappush(self._waiting[place], (reported_at[place], next(self._numbers), fate))
            if not places:
                self._know(fate)

    def told(self, place: str, at: int) -> None:
        """Calven has accepted a report of a place."""
        waiting = self._waiting[place]
        while waiting and waiting[0][0] <= at:
            _, _, fate = heapq.heappop(waiting)
            fate.open -= 1
            if not fate.open:
                self._know(fate)

    def _know(self, fate: Fate) -> None:
        fate.known_at = self._now()
        self.known += 1

    @property
    def all_known(self) -> bool:
        """Whether Calven knows of everything."""
        return self.known == len(self.fates)

    def problems(self, calven: Calven) -> list[str]:
        """What is not as it must be in the end: Calven knows of every badge, and every count is right."""
        found = [
            f"{fate.badge} is unknown to Calven" for fate in self.fates.values() if fate.known_at is None
        ]
        wanted = counts([fate.badge for fate in self.fates.values()])
        for place, people in wanted.items():
            told = calven.latest.get(place)
            if told is None or told.people != people:
                found.append(f"{place} has {people} people, and Calven was told {told}")
        return found


def _times(place: str, item: Mapping[str, Any]) -> dict[str, int]:
    """With which times the counts of an item are reported: a place's own, and those of others within."""
    found = {place: item["at"]} if "at" in item else {}
    for name, listed in item.items():
        if name.startswith(WITHIN):
            found[name.removeprefix(WITHIN)] = listed[FIELDS.index("at")]
    return found
