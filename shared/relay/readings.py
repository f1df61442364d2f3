"""Sensor readings: passed on as they are, each once, none after a newer one of its place.

`readings#<site>` / `place#<place>` is what Calven was last told of a place that sensors watch. It expires 16
days after. A place has one sensor; where it has several, the newest reading of any of them counts.
https://apidocs.calven.com describes the occupancy event.
"""

import time
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from relay.config import Config
from relay.contention import until_written
from relay.deadline import Deadline
from relay.dynamo import Item, Key, Table, Update
from relay.events import SensorReading, milliseconds
from relay.occupancy import Fact, event_id
from relay.reports import reading_key

if TYPE_CHECKING:
    from relay.deadline import Clock

KEPT_SECONDS = 16 * 24 * 3600
SWEEP_AFTER_MS = 60_000
MAX_IDS = 10


@dataclass(frozen=True, slots=True)
class Last:
    """The newest reading of a place: when it was taken (`at`) and the instant that Calven was told (ms).

    The two differ where another reading of the same instant was told before. `ids` are those of the latest
    readings, `version` counts them, `reported` is the newest that Calven has accepted or is safe in a queue.
    """

    at: int = 0
    told: int = 0
    people: int | None = None
    occupied: bool = False
    event_id: str = ""
    source: str = ""
    ids: tuple[str, ...] = ()
    version: int = 0
    reported: int = 0
    revision: int = 0

    def untold(self, site: str, place: str) -> list[Fact]:
        """What Calven is still to be told: the newest reading, or nothing."""
        if self.reported >= self.version:
            return []
        return [
            Fact(
                event_id=self.event_id,
                place=place,
                at=self.told,
                people=self.people,
                occupied=self.occupied,
                site=site,
                version=self.version,
            )
        ]


def taken(
    last: Last, reading: SensorReading, source: str, place: str, received_at: float
) -> tuple[Last, str]:
    """The place's newest reading once this one has been seen, or why it is not this one.

    Of two readings of one instant the one that was received last counts: some vendors recompute what they
    said. A time later than the receipt counts as the receipt.
    """
    reading_id = f"{source}|{reading.event_id}"
    at = min(milliseconds(reading.at), round(received_at * 1000))
    if reading_id in last.ids:
        return last, "duplicate"
    if at < last.at:
        return last, "superseded"
    occupied = bool(reading.people) if reading.occupied is None else reading.occupied
    told = max(at, last.told + 1)
    said = "?" if reading.people is None else reading.people
    newest = replace(
        last,
        at=at,
        told=told,
        people=reading.people,
        occupied=occupied,
        event_id=event_id(source, f"{reading.event_id}|{occupied}", place, told, said),
        source=source,
        ids=(*last.ids, reading_id)[-MAX_IDS:],
        version=last.version + 1,
    )
    return newest, ""


class Readings:
    """The ledger of what sensors saw. Raises `TableUnavailable` and `Contended`."""

    def __init__(self, table: Table, clock: "Clock" = time.time) -> None:
        self._table = table
        self._clock = clock

    def settle(
        self,
        reading: SensorReading,
        source: str,
        place: str,
        received_at: float,
        config: Config,
        deadline: Deadline,
    ) -> tuple[list[Fact], str]:
        """Record a reading: what is to be told for it, else why nothing is. One read and one write."""
        site = config.site(place)
        key = reading_key(site, place)

        def attempt() -> tuple[list[Fact], str]:
            last = _last(self._table.get([key]).get(key))
            newest, reason = taken(last, reading, source, place, received_at)
            if newest != last:
                self._table.write([_update(key, newest)])
            return newest.untold(site, place), reason

        return until_written(attempt, deadline)

    def latest(self, site: str) -> list[tuple[str, Last]]:
        """The newest reading of each place of a site that a sensor watches."""
        items = self._table.query(f"readings#{site}", "place#")
        return [(str(item["sk"]).removeprefix("place#"), _last(item)) for item in items]

    def untold(self, site: str) -> list[tuple[str, Fact]]:
        """The readings of a site that nobody has told Calven for a minute, each with its source."""
        items = self._table.query(f"readings#{site}", "place#")
        before = self._clock() * 1000 - SWEEP_AFTER_MS
        return [
            (last.source, fact)
            for item in items
            for last in [_last(item)]
            if item.get("swept", 0) < last.version and last.told < before
            for fact in last.untold(site, str(item["sk"]).removeprefix("place#"))
        ]


def _update(key: Key, newest: Last) -> Update:
    values: dict[str, Any] = asdict(newest)
    del values["reported"]
    values |= {"ids": list(newest.ids), "revision": newest.revision + 1}
    values["expires_at"] = newest.told // 1000 + KEPT_SECONDS
    return Update(key=key, set=values, expect={"revision": newest.revision or None})


def _last(item: Item | None) -> Last:
    if item is None:
        return Last()
    names = Last.__dataclass_fields__.keys() - {"ids", "reported"}
    values = {name: item[name] for name in names}
    return Last(**values, ids=tuple(item["ids"]), reported=item.get("reported", 0))
