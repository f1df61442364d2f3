"""What events named: doors, sensors, and kinds of leave that no table maps, for operators. Nobody is in it.

`seen#<source>` / `<kind>#<id>` is one of them: what the vendor calls it, and when it was last seen, to a day.
It is forgotten 90 days later. `seen#<source>` / `new` counts those that were new within 90 days, so that a
source whose ids never end fills no table.
"""

import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from relay.aws.table import Conflict, Item, Key, Table, Update

if TYPE_CHECKING:
    from relay.deadline import Clock, Deadline

DAY_SECONDS = 24 * 3600
KEPT_SECONDS = 90 * DAY_SECONDS
MOST_NEW = 10_000
"""So many a source may have that are new within `KEPT_SECONDS`; those beyond are not kept."""
MOST_AT_ONCE = 50
"""So many are noted in one transaction; the others, when they are seen again."""
AGAIN_SECONDS = 300.0
"""How long a container leaves alone what it could not note."""
MOST_KNOWN = 20_000
"""How many a container remembers to have noted, before it begins anew."""

Kind = Literal["door", "sensor", "leave-type"]


@dataclass(frozen=True, slots=True)
class Sighting:
    """Something that an event named, by the vendor's id of it; of a kind of leave that is its name."""

    kind: Kind
    id: str
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """Something that was seen. `at` is when last, in Unix seconds, and up to a day too early."""

    kind: Kind
    id: str
    name: str | None
    at: float


_Known: TypeAlias = dict[tuple[str, Sighting], float]


class Seen:
    """Sources go by their key in the ledger. Raises `TableUnavailable`."""

    def __init__(self, table: Table, clock: "Clock" = time.time, known: _Known | None = None) -> None:
        self._table = table
        self._clock = clock
        # When each sighting was noted last.
        self._known: _Known = {} if known is None else known

    def until(self, deadline: "Deadline") -> "Seen":
        """The same, each of whose calls ends by that deadline."""
        return Seen(self._table.until(deadline), self._clock, self._known)

    def note(self, source: str, sightings: Collection[Sighting]) -> None:
        """Note what was seen: what is new to this container, and what was noted a day ago or longer.

        Where another container notes the same just now, it is looked at again some minutes later.
        """
        now = self._clock()
        due = [one for one in sightings if now - self._known.get((source, one), 0.0) >= DAY_SECONDS]
        due = due[:MOST_AT_ONCE]
        if not due:
            return
        # To forget them costs a read of each, no more.
        if len(self._known) > MOST_KNOWN:
            self._known.clear()
        for one in due:
            # Before the write: while the table fails, events must not try it one after the other.
            self._known[source, one] = now - DAY_SECONDS + AGAIN_SECONDS
        with suppress(Conflict):
            keys = [item_key(source, one) for one in due]
            items = self._table.get([count_key(source), *keys])
            self._table.write(list(_updates(source, due, items, now)))
            self._known.update(((source, one), now) for one in due)

    def of(self, source: str, kind: Kind) -> list[Found]:
        """All of one kind that a source's events named and that is not forgotten, by their ids."""
        prefix, now = f"{kind}#", self._clock()
        return [
            Found(kind, item["sk"].removeprefix(prefix), item.get("name"), item["at"] / 1000)
            for item in self._table.query(_partition(source), prefix)
            if item["expires_at"] > now
        ]

    def is_full(self, source: str) -> bool:
        """Whether a source has named so many new ones that those beyond were not kept."""
        key = count_key(source)
        return _count(self._table.get([key]).get(key), self._clock()) >= MOST_NEW


def item_key(source: str, one: Sighting) -> Key:
    """Where something that was seen is noted."""
    return _partition(source), f"{one.kind}#{one.id}"


def count_key(source: str) -> Key:
    """Where it is counted how many were new."""
    return _partition(source), "new"


def _partition(source: str) -> str:
    return f"seen#{source}"


def _count(counter: Item | None, now: float) -> int:
    """How many were new, in the period that is not over."""
    return int(counter["new"]) if counter and counter["expires_at"] > now else 0


def _updates(
    source: str, sightings: Collection[Sighting], items: Mapping[Key, Item], now: float
) -> Iterator[Update]:
    """What is to be written, where the table has these items."""
    counter = items.get(count_key(source))
    count, new = _count(counter, now), 0
    # Of two with one id the last stays, which is one with a name.
    by_key = {item_key(source, one): one for one in sorted(sightings, key=lambda one: one.name or "")}
    for key, one in by_key.items():
        item = items.get(key)
        if item is None and count + new < MOST_NEW:
            new += 1
            yield Update(key=key, set=_said(one, now), expect={"at": None})
        elif item is not None and _is_news(one, item, now):
            yield Update(key=key, set=_said(one, now), expect={"at": item["at"]})
    if new:
        # Its time begins with the first one that is new, and is not put off by others.
        period = {} if count else {"expires_at": int(now) + KEPT_SECONDS}
        before = counter["new"] if counter else None
        yield Update(key=count_key(source), set={"new": count + new, **period}, expect={"new": before})


def _is_news(one: Sighting, item: Item, now: float) -> bool:
    """Whether an item is a day old, or has not the vendor's name."""
    is_old = now * 1000 - item["at"] >= DAY_SECONDS * 1000
    return is_old or (one.name is not None and one.name != item.get("name"))


def _said(one: Sighting, now: float) -> dict[str, object]:
    """What is kept; a name that is known stays, where an event says none."""
    said: dict[str, object] = {"at": round(now * 1000), "expires_at": int(now) + KEPT_SECONDS}
    return {**said, "name": one.name} if one.name else said
