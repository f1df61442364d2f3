"""What the ledger holds around badges of one operating day: which items to read, and what they say."""

from collections.abc import Iterable, Sequence

from relay.aws.early import marker_key
from relay.aws.table import Key
from relay.config.model import Config
from relay.occupancy.closed import closed_key, closed_of
from relay.occupancy.counts import MOST_WITHIN, Found, count_in, is_within, site_key
from relay.occupancy.days import Day, operating_day
from relay.occupancy.positions import position_key, position_of
from relay.occupancy.reported import count_key, note_key
from relay.occupancy.rules import Badge, Count, Position, reported_places
from relay.occupancy.settlement import Ledger, other_places, places_around

NOTHING: Found = {}
NEAR_END_MS = 5_000
"""So long before its day ends, a badge begins to check that the day has not been closed."""


class Around:
    """The items around badges of one operating day at an instant (ms): read `keys`, then `more_keys`.

    `near_end` says that the day may be closed by then, and the next one reported. `places` are those whose
    counts are read: those around the doors, and `known` ones, where people were when it was tried before.
    """

    def __init__(
        self, day: Day, badges: Sequence[Badge], config: Config, now: float, known: Iterable[str] = ()
    ) -> None:
        self.day = day
        self.badges = badges
        # Checked by every badge, the note of the day would be one item for which all of a site contend.
        self.near_end = now >= day.end - NEAR_END_MS
        self._at_doors = places_around(badges, config)
        self._is_small = len(config.locations(day.site)) <= MOST_WITHIN + 1
        self.places = list(dict.fromkeys((*self._at_doors, *known)))
        self._next_days = [operating_day(config, day.site, day.end)] if self.near_end else []
        self._sites = [site_key(each.key) for each in self._days()]
        self._positions = {badge.person: position_key(day, badge.person) for badge in badges}
        self._markers = {badge.id: badge_marker(badge, day) for badge in badges}

    @property
    def keys(self) -> list[Key]:
        """What is to be read, as far as it is known."""
        notes = [note_key(day.key) for day in self._days()]
        closed = [closed_key(self.day.key)] if self.near_end else []
        markers = self._markers.values()
        # Of a small site all are within its one item, but for what is counted for the first time.
        own = [] if self._is_small else self._in_own_items(self.places)
        return [*self._positions.values(), *self._sites, *own, *notes, *markers, *closed]

    def more_keys(self, found: Found) -> list[Key]:
        """What is to be read as well, where somebody comes from other places; it is among `keys` then.

        That is every count: those that were read first may be others by now, and would be in the way.
        """
        others = other_places(self._where(found).values(), self.places)
        unread = [*self.places, *others] if self._is_small else others
        self.places += others
        if not self._in_own_items(unread, found):
            return []
        return [*self._sites, *self._in_own_items(self.places, found)]

    def ledger(self, found: Found) -> Ledger:
        """What all of these items say."""
        closed = closed_of(found.get(closed_key(self.day.key)))
        positions = self._where(found)
        # Somebody may have left the places that were known: they have nothing to do with the badges any more.
        places = [*self._at_doors, *other_places(positions.values(), self._at_doors)]
        return Ledger(
            day=self.day,
            positions=positions,
            counts=_counts(self.day, places, found),
            closed_at=closed.at if closed else None,
            reported_next_day=self._reported_next_day(places, found),
            early=frozenset(badge_id for badge_id, key in self._markers.items() if key in found),
        )

    def _days(self) -> list[Day]:
        return [self.day, *self._next_days]

    def _in_own_items(self, places: Iterable[str], found: Found = NOTHING) -> list[Key]:
        """Where the counts of places are that are in no site's item, by what was read."""
        return [
            count_key(day.key, place)
            for day in self._days()
            for place in places
            if place != day.site and not is_within(day, place, found)
        ]

    def _where(self, found: Found) -> dict[str, Position]:
        return {person: position_of(found.get(key)) for person, key in self._positions.items()}

    def _reported_next_day(self, places: Sequence[str], found: Found) -> frozenset[str]:
        """Those of the places of which something was reported in the next day."""
        reported: set[str] = set()
        for day in self._next_days:
            reported |= reported_places(_counts(day, places, found))
        return frozenset(reported)


def _counts(day: Day, places: Iterable[str], found: Found) -> dict[str, Count]:
    return {place: count_in(day, place, found) for place in places}


def badge_marker(badge: Badge, day: Day) -> Key:
    """Where it says that a badge came before its own time."""
    own = f"{badge.vendor_at}|{badge.event_id}"
    return marker_key(badge.source, f"badge#{badge.person}", own, shadow=day.shadow)
