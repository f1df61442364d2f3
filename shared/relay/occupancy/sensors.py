"""The ledger of sensor readings: passed on as they are, each once, none after a newer one of its place.

`readings#<shard>` / `place#<place>` is what the sensors of a place (by `locationId`) last said, and what
Calven was told; `shadow#<place>` is the same of shadowed sources. `left#<source>|<sensor>` says when a sensor
that has left a place was last read there, and which readings those were: whatever place it watches now, what
it said before is no news. All expire 16 days after. `relay.occupancy.readings` decides.
"""

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from relay.aws.conflicts import until_written
from relay.aws.early import marked, marker_key
from relay.aws.table import Item, Key, Table, Update
from relay.config.model import Config
from relay.deadline import Deadline
from relay.events import SensorReading, iso, milliseconds
from relay.occupancy.days import KEPT_SECONDS
from relay.occupancy.readings import (
    SensorState,
    WatchedPlace,
    after_changeover,
    after_reading,
    sensor_name,
    unqueued_facts,
    with_name,
)
from relay.occupancy.reported import MAX_ITEMS, SHARDS, left_key, reading_key, reading_prefix
from relay.occupancy.rules import Fact, PendingFact

if TYPE_CHECKING:
    from relay.deadline import Clock


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
        """Record a reading: what is pending of its place then, else why nothing is. One read and one write.

        The first one of a sensor at a place takes another read, as the sensor may have been elsewhere.
        `place` is a `locationId`. `watches` says whether a source's sensor is configured for it. Readings of
        shadowed sources are kept apart from those of live ones.
        """
        shadow = source in config.shadowed
        key = reading_key(place, shadow=shadow)
        name = sensor_name(source, reading.sensor)
        vendor_at = milliseconds(reading.at)
        marker = reading_marker(reading, source, shadow=shadow)

        def attempt() -> tuple[list[Fact], str]:
            found = self._table.get([key, marker])
            known = _watched_place(found.get(key))
            if marker in found:
                return known.pending_facts(place), "duplicate"
            configured = _configured(known.sensors, watches)
            elsewhere = None if name in known.sensors else self._left([name], shadow=shadow).get(name)
            newest, reason = after_reading(known, reading, source, place, received_at, configured, elsewhere)
            updates: list[Update] = []
            if newest != known:
                newest = with_name(newest, place, config)
                updates.append(_update(key, newest))
                self._note_leaving(known, newest.sensors, shadow=shadow)
            # Without the marker an early reading would count when it comes again, also one that did not now.
            if vendor_at > received_at * 1000:
                updates.append(marked(marker, iso(received_at), self._clock()))
            self._table.write(updates)
            return newest.pending_facts(place), reason

        return until_written(attempt, deadline)

    def of_places(self, places: Sequence[str], *, shadow: bool = False) -> dict[str, WatchedPlace]:
        """What is known of these places (by `locationId`)."""
        keys = {place: reading_key(place, shadow=shadow) for place in places}
        found = self._table.get(list(keys.values()))
        return {place: _watched_place(found.get(key)) for place, key in keys.items()}

    def latest(self, *, shadow: bool = False) -> Iterator[tuple[str, WatchedPlace]]:
        """What is known of each place (by `locationId`) that a sensor watches."""
        prefix = reading_prefix(shadow=shadow)
        for number in range(SHARDS):
            for item in self._table.query(f"readings#{number}", prefix):
                yield str(item["sk"]).removeprefix(prefix), _watched_place(item)

    def pending(self, shadowed: Collection[str] = ()) -> list[PendingFact]:
        """The readings that have been pending for a minute and are in no queue yet.

        What one of the `shadowed` sources said last waits until that is live again.
        """
        now = self._clock() * 1000
        pending: list[PendingFact] = []
        for place, known in self.latest():
            if known.source not in shadowed:
                pending += unqueued_facts(known, place, now)
        return pending

    def unwatch(
        self, place: str, kept: Collection[str], place_now: str, at: int, deadline: Deadline
    ) -> list[PendingFact]:
        """A place keeps only these sensors, from `at` (ms) on: what is then pending of it.

        `place_now` is the `locationId` that it has now, to which what is known moves.
        """
        key, key_now = reading_key(place), reading_key(place_now)

        def attempt() -> list[PendingFact]:
            found = self._table.get([key, key_now])
            known, there = _watched_place(found.get(key)), _watched_place(found.get(key_now))
            changes = after_changeover(known, there, kept, place, place_now, at)
            updates = [_update(reading_key(location), newest) for location, newest in changes.places.items()]
            self._note_leaving(known, kept)
            self._table.write(updates)
            return [(known.source, fact) for fact in changes.facts]

        return until_written(attempt, deadline)

    def _left(self, sensors: Sequence[str], *, shadow: bool) -> dict[str, SensorState]:
        """When those of these sensors were last read that have left a place, and which readings it were."""
        keys = {name: left_key(name, shadow=shadow) for name in sensors}
        found = self._table.get(list(keys.values()))
        items = {name: found[key] for name, key in keys.items() if key in found}
        return {name: SensorState(at=item["at"], ids=tuple(item["ids"])) for name, item in items.items()}

    def _note_leaving(self, place: WatchedPlace, kept: Collection[str], *, shadow: bool = False) -> None:
        """Keep the newest readings of the sensors that a place keeps no more, before it forgets them."""
        leaving = {name: sensor for name, sensor in place.sensors.items() if name not in kept}
        known = self._left(list(leaving), shadow=shadow)
        updates: list[Update] = []
        for name, sensor in leaving.items():
            before = known.get(name)
            # By a function that has the old configuration still, it may have been read there once more.
            if before is None or before.at <= sensor.at:
                expires_at = int(self._clock()) + KEPT_SECONDS
                values = {"at": sensor.at, "ids": list(sensor.ids), "expires_at": expires_at}
                expect = {"at": before.at if before else None}
                updates.append(Update(key=left_key(name, shadow=shadow), set=values, expect=expect))
        # Not with the place in one transaction, which takes no more: noted too early is as good.
        for start in range(0, len(updates), MAX_ITEMS):
            self._table.write(updates[start : start + MAX_ITEMS])


def _configured(sensors: Iterable[str], watches: Callable[[str, str], bool]) -> list[str]:
    """Those of a place's sensors that are configured for it now."""
    configured: list[str] = []
    for name in sensors:
        source, _, sensor = name.partition("|")
        if watches(source, sensor):
            configured.append(name)
    return configured


def _update(key: Key, place: WatchedPlace) -> Update:
    """What is known of a place, where it still has the revision that was read."""
    values: dict[str, Any] = {
        "told": place.at,
        "people": place.people,
        "occupied": place.occupied,
        "event_id": place.event_id,
        "source": place.source,
        "version": place.version,
        "name": place.name,
        "type": place.type,
        "sensors": {name: _sensor_item(sensor) for name, sensor in place.sensors.items()},
        "revision": place.revision + 1,
        "expires_at": place.at // 1000 + KEPT_SECONDS,
    }
    return Update(key=key, set=values, expect={"revision": place.revision or None})


def _sensor_item(sensor: SensorState) -> list[Any]:
    return [sensor.at, sensor.people, sensor.occupied, list(sensor.ids)]


def _watched_place(item: Item | None) -> WatchedPlace:
    """What is known of a place, as it is stored."""
    if item is None:
        return WatchedPlace()
    sensors: dict[str, SensorState] = {}
    for name, (at, people, occupied, ids) in item["sensors"].items():
        sensors[name] = SensorState(at, people, occupied, tuple(ids))
    return WatchedPlace(
        at=item["told"],
        people=item["people"],
        occupied=item["occupied"],
        event_id=item["event_id"],
        source=item["source"],
        sensors=sensors,
        version=item["version"],
        reported=item.get("reported", 0),
        reported_as=item.get("reported_as"),
        queued=item.get("swept", 0),
        name=item["name"],
        type=item["type"],
        revision=item["revision"],
    )


def reading_marker(reading: SensorReading, source: str, *, shadow: bool) -> Key:
    """Where it says that a reading of a source (by its key) came before its own time."""
    own = f"{milliseconds(reading.at)}|{reading.event_id}"
    return marker_key(source, f"sensor#{reading.sensor}", own, shadow=shadow)
