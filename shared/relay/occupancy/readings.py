"""What sensor readings make of the places that they watch: pure functions, no storage.

A place with several sensors has the sum of their counts. https://apidocs.calven.com describes the occupancy
event.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256

from relay.config.model import Config, LocationType
from relay.events import SensorReading, milliseconds
from relay.occupancy.rules import REPORT_AFTER_MS, Cause, Fact, PendingFact, event_id

MAX_IDS = 10
"""So many of a sensor's latest readings are known when they come again, once its clock has gone on."""
MAX_IDS_AT_ONCE = 500
"""So many are known while its clock stands still: else older ones are superseded, but these are not.

With 13 bytes each even forty such sensors of one place are within the 400 kB of an item. What comes again
after more readings than that counts once more, as nothing tells it from a new one.
"""
ID_CHARACTERS = 12
"""So much of an id's digest is kept: among five hundred, two that are alike are not to be expected."""
SILENT_AFTER_MS = 24 * 3600 * 1000
"""So long after its last reading one of several sensors counts no more."""


@dataclass(frozen=True, slots=True)
class Occupancy:
    """How many people sensors see, None where they do not count, and whether they see anybody."""

    people: int | None
    occupied: bool


@dataclass(frozen=True, slots=True)
class SensorState:
    """The newest reading of one sensor: when it was taken (ms), what it said, and the latest ones' digests.

    What was stored before has the ids themselves.
    """

    at: int = 0
    people: int | None = None
    occupied: bool = False
    ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class WatchedPlace:
    """What is known of a place that sensors watch, and what Calven has been told about it.

    `at` (ms), `people`, `occupied`, `event_id` and `source` are those of its last report. `sensors` holds the
    newest reading of each sensor, by `<source>|<sensor>`. Every report raises `version`. `reported` is the
    newest version that Calven has accepted or that is safe in a queue, and `reported_as` what that said (None
    where it is not known); `queued` is the newest that the schedule has put into a queue. `name` and `type`
    are the place's when it was last read.
    """

    at: int = 0
    people: int | None = None
    occupied: bool = False
    event_id: str = ""
    source: str = ""
    sensors: Mapping[str, SensorState] = field(default_factory=dict)
    version: int = 0
    reported: int = 0
    reported_as: int | bool | None = None
    queued: int = 0
    name: str = ""
    type: LocationType = "place"
    revision: int = 0

    @property
    def occupancy(self) -> Occupancy:
        """What was last reported of it."""
        return Occupancy(self.people, self.occupied)

    @property
    def people_at_least(self) -> int:
        """How many people are in it; one where its sensors only say that there is somebody."""
        return self.people or int(self.occupied)

    def pending_facts(self, place: str) -> list[Fact]:
        """The fact that Calven has not accepted yet: what the sensors say together; else nothing."""
        if self.reported >= self.version:
            return []
        fact = Fact(
            event_id=self.event_id,
            location_id=place,
            location_type=self.type,
            place=self.name,
            at=self.at,
            people=self.people,
            occupied=self.occupied,
            version=self.version,
        )
        return [fact]


def sensor_name(source: str, sensor: str) -> str:
    """A sensor among those of every source."""
    return f"{source}|{sensor}"


def digest(reading_id: str) -> str:
    """What is kept of a reading's id, which may have 200 characters."""
    return sha256(reading_id.encode()).hexdigest()[:ID_CHARACTERS]


def occupancy_of(sensors: Mapping[str, SensorState], now: int) -> Occupancy:
    """What the sensors of a place say together: their sum where all of them count, occupied if any is.

    Of several, one that has said nothing for a day says nothing about now (ms).
    """
    heard = list(sensors.values())
    if len(heard) > 1:
        heard = [sensor for sensor in heard if now - sensor.at <= SILENT_AFTER_MS]
    occupied = any(sensor.occupied for sensor in heard)
    people = 0
    # Where none is heard, nobody is there; but sensors that never count leave no count behind.
    for sensor in heard or sensors.values():
        if sensor.people is None:
            return Occupancy(None, occupied)
        people += sensor.people if heard else 0
    return Occupancy(people, occupied)


def after_reading(
    known: WatchedPlace,
    reading: SensorReading,
    source: str,
    place: str,
    received_at: float,
    configured: Collection[str] | None = None,
    elsewhere: SensorState | None = None,
) -> tuple[WatchedPlace, str]:
    """What is known of a place after a reading, or why the reading changes nothing.

    Of two readings of one sensor and instant the one that was received last counts: some vendors recompute
    what they said. `configured` are the sensors of the place; None for all that are known. `elsewhere` is the
    sensor's newest reading of another place, where it is not known of this one.
    """
    name = sensor_name(source, reading.sensor)
    received = round(received_at * 1000)
    # A wrong clock that is ahead must not freeze the place until then.
    at = min(milliseconds(reading.at), received)
    before = known.sensors.get(name) or elsewhere or SensorState()
    own_id = digest(reading.event_id)
    if own_id in before.ids or reading.event_id in before.ids:
        return known, "duplicate"
    if at < before.at:
        return known, "superseded"
    # Of a count and a state that contradict each other the count decides.
    occupied = bool(reading.occupied) if reading.people is None else reading.people > 0
    most = MAX_IDS if at > before.at else MAX_IDS_AT_ONCE
    ids = (*before.ids, own_id)[-most:]
    sensors = dict(known.sensors)
    if configured is not None:
        sensors = _only(sensors, configured)
    sensors[name] = SensorState(at, reading.people, occupied, ids)
    newest = replace(known, sensors=sensors, source=source)
    cause = Cause(source, reading.event_id)
    # What was received days ago and waited is reported behind what came since: it says nothing about that.
    now = max(received, known.at)
    return _with_report(newest, occupancy_of(sensors, now), cause, place, at), ""


def with_only_sensors(known: WatchedPlace, kept: Collection[str], place: str, at: int) -> WatchedPlace:
    """What is known of a place that keeps only these sensors, from `at` (ms) on: empty without any.

    There is something to report only where the others say something else than all did before.
    """
    sensors = _only(known.sensors, kept)
    if len(sensors) == len(known.sensors):
        return known
    remaining = replace(known, sensors=sensors)
    occupancy = occupancy_of(sensors, at)
    if not sensors and known.people is None:
        # Sensors that never counted leave no count behind.
        occupancy = replace(occupancy, people=None)
    if occupancy == known.occupancy:
        return remaining
    # With the version, as the same may happen to the place once more.
    cause = Cause(known.source, f"without:{known.version}")
    return _with_report(remaining, occupancy, cause, place, at)


@dataclass(frozen=True, slots=True)
class PlaceChanges:
    """The places to write, by `locationId`, and the facts that are then pending."""

    places: Mapping[str, WatchedPlace] = field(default_factory=dict)
    facts: Sequence[Fact] = ()


def after_changeover(
    known: WatchedPlace, there: WatchedPlace, kept: Collection[str], place: str, place_now: str, at: int
) -> PlaceChanges:
    """What a changeover at an instant (ms) makes of a place that keeps only some of its sensors.

    `place_now` is the `locationId` that it has now, under which `there` is known. What the sensors that are
    left say goes on under it; where none is left, the place is reported empty under the one that it had.
    """
    if not known.version:
        return PlaceChanges()
    newest = with_only_sensors(known, kept, place, at)
    if place_now == place or not newest.sensors:
        changed = {} if newest == known else {place: newest}
        return PlaceChanges(changed, newest.pending_facts(place))
    moved = _moved_to(there, newest, place_now, at)
    # Nothing is reported of the former id: Calven rarely knows one that had to be corrected.
    left_behind = replace(known, sensors={})
    return PlaceChanges({place_now: moved, place: left_behind}, moved.pending_facts(place_now))


def _moved_to(there: WatchedPlace, known: WatchedPlace, place: str, at: int) -> WatchedPlace:
    # Functions that had the new configuration before this may have read sensors under the new id.
    sensors = dict(known.sensors)
    for name, state in there.sensors.items():
        if name not in sensors or state.at > sensors[name].at:
            sensors[name] = state
    occupancy = known.occupancy
    if sensors != known.sensors:
        occupancy = occupancy_of(sensors, at)
    moved = replace(
        known,
        sensors=sensors,
        at=max(known.at, there.at),
        # What was noted of the item there speaks of its own versions.
        version=there.version,
        reported=there.reported,
        queued=there.queued,
        revision=there.revision,
    )
    cause = Cause(known.source, f"to:{known.version}")
    return _with_report(moved, occupancy, cause, place, at)


def with_name(known: WatchedPlace, place: str, config: Config) -> WatchedPlace:
    """What is known of a place, with its name and type, so that it can be reported when it is gone."""
    name = config.name_of(place)
    if name is None:
        return known
    return replace(known, name=name, type=config.places[name].location_type)


def unqueued_facts(known: WatchedPlace, place: str, now: float) -> list[PendingFact]:
    """What the schedule reports of a place now (ms): what is pending for a while, and in no queue."""
    if known.queued >= known.version or known.at >= now - REPORT_AFTER_MS:
        return []
    return [(known.source, fact) for fact in known.pending_facts(place)]


def _only(sensors: Mapping[str, SensorState], kept: Collection[str]) -> dict[str, SensorState]:
    return {name: state for name, state in sensors.items() if name in kept}


def _with_report(
    known: WatchedPlace, occupancy: Occupancy, cause: Cause, place: str, at: int
) -> WatchedPlace:
    """A place with something new to report. The times of its reports increase."""
    report_at = max(at, known.at + 1)
    said = "?" if occupancy.people is None else occupancy.people
    return replace(
        known,
        at=report_at,
        people=occupancy.people,
        occupied=occupancy.occupied,
        event_id=event_id(cause.source, f"{cause.event_id}|{occupancy.occupied}", place, report_at, said),
        version=known.version + 1,
    )
