"""Sensor readings: passed on as they are, each once, none after a newer one of its place.

`readings#<shard>` / `place#<place>` is what the sensors of a place (by `locationId`) last said, and what
Calven was told. It expires 16 days after. A place with several sensors is told the sum of their counts.
https://apidocs.calven.com describes the occupancy event.
"""

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from relay.aws.conflicts import until_written
from relay.aws.early import marked, marker_key
from relay.aws.table import Item, Key, Table, Update
from relay.config.model import Config, LocationType
from relay.deadline import Deadline
from relay.events import SensorReading, iso, milliseconds
from relay.occupancy.days import KEPT_SECONDS
from relay.occupancy.reported import SHARDS, reading_key
from relay.occupancy.rules import Fact, event_id

if TYPE_CHECKING:
    from relay.deadline import Clock

SWEEP_AFTER_MS = 60_000
MAX_IDS = 10
SILENT_AFTER_MS = 24 * 3600 * 1000
"""So long after its last reading one of several sensors counts no more."""
FIELDS = ("told", "people", "occupied", "event_id", "source", "version", "name", "type")


@dataclass(frozen=True, slots=True)
class Seen:
    """The newest reading of one sensor: when it was taken (ms), what it said, and the ids of the latest."""

    at: int = 0
    people: int | None = None
    occupied: bool = False
    ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Last:
    """What is known of a place that sensors watch, and what Calven was last told of it (`told`, ms).

    `sensors` holds the newest reading of each, by `<source>|<sensor>`. `version` counts what there was to
    tell, `reported` is the newest of it that Calven has accepted or is safe in a queue. `name` and `type` are
    what the place was when it was last read.
    """

    told: int = 0
    people: int | None = None
    occupied: bool = False
    event_id: str = ""
    source: str = ""
    sensors: Mapping[str, Seen] = field(default_factory=dict)
    version: int = 0
    reported: int = 0
    name: str = ""
    type: LocationType = "place"
    revision: int = 0

    def untold(self, place: str) -> list[Fact]:
        """What Calven is still to be told: what the sensors say together, or nothing."""
        if self.reported >= self.version:
            return []
        return [
            Fact(
                event_id=self.event_id,
                location_id=place,
                location_type=self.type,
                place=self.name,
                at=self.told,
                people=self.people,
                occupied=self.occupied,
                version=self.version,
            )
        ]


def together(sensors: Mapping[str, Seen], now: int) -> tuple[int | None, bool]:
    """What the sensors of a place say: their sum where all of them count, and whether any is occupied.

    Of several, one that has said nothing for a day says nothing about now (ms).
    """
    counted = list(sensors.values())
    if len(counted) > 1:
        counted = [seen for seen in counted if now - seen.at <= SILENT_AFTER_MS]
    numbers = [seen.people for seen in counted if seen.people is not None]
    occupied = any(seen.occupied for seen in counted)
    return (sum(numbers) if len(numbers) == len(counted) else None), occupied


def taken(
    last: Last,
    reading: SensorReading,
    source: str,
    place: str,
    received_at: float,
    configured: Collection[str] | None = None,
) -> tuple[Last, str]:
    """What is known of a place once this reading has been seen, or why it changes nothing.

    Of two readings of one sensor and instant the one that was received last counts: some vendors recompute
    what they said. A time later than the receipt counts as the receipt. `configured` are the sensors of the
    place; None for all that are known.
    """
    received, name = round(received_at * 1000), sensor_name(source, reading.sensor)
    at = min(milliseconds(reading.at), received)
    before = last.sensors.get(name, Seen())
    if reading.event_id in before.ids:
        return last, "duplicate"
    if at < before.at:
        return last, "superseded"
    # Of a count and a state that contradict each other the count decides.
    occupied = bool(reading.occupied) if reading.people is None else reading.people > 0
    seen = Seen(at, reading.people, occupied, (*before.ids, reading.event_id)[-MAX_IDS:])
    others = dict(last.sensors)
    if configured is not None:
        others = {known: others[known] for known in others if known in configured}
    sensors = {**others, name: seen}
    people, occupied = together(sensors, received)
    newest = replace(last, sensors=sensors, source=source)
    return _saying(newest, people, (source, reading.event_id), place, at, occupied=occupied), ""


def without(last: Last, left: Collection[str], place: str, at: int) -> Last:
    """What is known of a place of whose sensors only these are left (at `at`, ms): empty without any.

    Unchanged where it says the same as before.
    """
    sensors = {name: last.sensors[name] for name in last.sensors if name in left}
    if len(sensors) == len(last.sensors):
        return last
    rest = replace(last, sensors=sensors)
    people, occupied = together(sensors, at)
    if not sensors and last.people is None:
        people = None
    if (people, occupied) == (last.people, last.occupied):
        return rest
    return _saying(rest, people, (last.source, f"without:{last.version}"), place, at, occupied=occupied)


def _saying(
    last: Last, people: int | None, cause: tuple[str, str], place: str, at: int, *, occupied: bool
) -> Last:
    told = max(at, last.told + 1)
    said = "?" if people is None else people
    return replace(
        last,
        told=told,
        people=people,
        occupied=occupied,
        event_id=event_id(cause[0], f"{cause[1]}|{occupied}", place, told, said),
        version=last.version + 1,
    )


def called(last: Last, place: str, config: Config) -> Last:
    """What is known of a place, with what it is called now, so that it can be told when it is gone."""
    name = config.name_of(place)
    if name is None:
        return last
    return replace(last, name=name, type=config.places[name].location_type)


def sensor_name(source: str, sensor: str) -> str:
    """A sensor among those of every source."""
    return f"{source}|{sensor}"


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
        watches: Callable[[str, str], bool],
        deadline: Deadline,
    ) -> tuple[list[Fact], str]:
        """Record a reading: what is to be told for it, else why nothing is. One read and one write.

        `place` is a `locationId`; `watches` says whether a source's sensor is configured for it.
        """
        key = reading_key(place)
        own = f"{milliseconds(reading.at)}|{reading.event_id}"
        marker = marker_key(source, f"sensor#{reading.sensor}", own)
        early = milliseconds(reading.at) > received_at * 1000

        def attempt() -> tuple[list[Fact], str]:
            found = self._table.get([key, marker])
            last = _last(found.get(key))
            if marker in found:
                return last.untold(place), "duplicate"
            configured = [name for name in last.sensors if watches(*name.split("|", 1))]
            newest, reason = taken(last, reading, source, place, received_at, configured)
            if newest != last:
                newest = called(newest, place, config)
                updates = [_update(key, newest)]
                if early:
                    updates.append(marked(marker, iso(received_at), self._clock()))
                self._table.write(updates)
            return newest.untold(place), reason

        return until_written(attempt, deadline)

    def latest(self) -> Iterator[tuple[str, Last]]:
        """The newest reading of each place (by `locationId`) that a sensor watches."""
        for place, last, _ in self._all():
            yield place, last

    def untold(self) -> list[tuple[str, Fact]]:
        """The readings that nobody has told Calven for a minute, each with its source."""
        before = self._clock() * 1000 - SWEEP_AFTER_MS
        return [
            (last.source, fact)
            for place, last, swept in self._all()
            if swept < last.version and last.told < before
            for fact in last.untold(place)
        ]

    def _all(self) -> Iterator[tuple[str, Last, int]]:
        """Each place's readings, and the version that the last sweep put into a queue."""
        for number in range(SHARDS):
            for item in self._table.query(f"readings#{number}", "place#"):
                yield str(item["sk"]).removeprefix("place#"), _last(item), item.get("swept", 0)

    def unwatch(self, place: str, left: Collection[str], to: str, at: int, deadline: Deadline) -> list[Fact]:
        """A place keeps only these sensors, from `at` (ms) on: what is to be told for it.

        `to` is the `locationId` that it has now, to which what is known moves.
        """

        def attempt() -> list[Fact]:
            found = self._table.get([reading_key(place), reading_key(to)])
            last = _last(found.get(reading_key(place)))
            if not last.version:
                return []
            newest = without(last, left, place, at)
            if to == place or not newest.sensors:
                if newest != last:
                    self._table.write([_update(reading_key(place), newest)])
                return newest.untold(place)
            cause = newest.source, f"to:{newest.version}"
            there = _last(found.get(reading_key(to)))
            moved = replace(
                newest,
                told=max(newest.told, there.told),
                version=there.version,
                reported=there.reported,
                revision=there.revision,
            )
            moved = _saying(moved, newest.people, cause, to, at, occupied=newest.occupied)
            gone = replace(last, sensors={})
            self._table.write([_update(reading_key(to), moved), _update(reading_key(place), gone)])
            return moved.untold(to)

        return until_written(attempt, deadline)


def _update(key: Key, newest: Last) -> Update:
    values: dict[str, Any] = {name: getattr(newest, name) for name in FIELDS}
    values["sensors"] = {
        name: [seen.at, seen.people, seen.occupied, list(seen.ids)] for name, seen in newest.sensors.items()
    }
    values |= {"revision": newest.revision + 1, "expires_at": newest.told // 1000 + KEPT_SECONDS}
    return Update(key=key, set=values, expect={"revision": newest.revision or None})


def _last(item: Item | None) -> Last:
    if item is None:
        return Last()
    sensors = {
        name: Seen(at, people, occupied, tuple(ids))
        for name, (at, people, occupied, ids) in item["sensors"].items()
    }
    values = {name: item[name] for name in (*FIELDS, "revision")}
    return Last(**values, sensors=sensors, reported=item.get("reported", 0))
