"""Sensor readings: what each makes of the place that it watches, in memory."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from relay.events import SensorReading
from relay.occupancy.readings import (
    MAX_IDS,
    MAX_IDS_AT_ONCE,
    SILENT_AFTER_MS,
    Occupancy,
    PlaceChanges,
    SensorState,
    WatchedPlace,
    after_changeover,
    after_reading,
    occupancy_of,
    unqueued_facts,
    with_name,
    with_only_sensors,
)
from relay.occupancy.rules import REPORT_AFTER_MS
from tests.building import CONFIG, NOON_MS
from tests.rig import NOON


def read(
    *readings: tuple[str, int | None], known: WatchedPlace | None = None, place: str = "l1-a"
) -> WatchedPlace:
    """What is known of a place after readings of sensors, one a second from noon on."""
    found = known or WatchedPlace()
    for second, (sensor, people) in enumerate(readings):
        at = datetime.fromtimestamp(NOON + second, UTC)
        occupied = True if people is None else None
        reading = SensorReading(
            event_id=f"{sensor}{second}", at=at, sensor=sensor, people=people, occupied=occupied
        )
        found, reason = after_reading(found, reading, "kisi", place, NOON + 60)
        assert reason == ""
    return found


def seen(people: int | None, at: int = NOON_MS, *, occupied: bool = True) -> SensorState:
    """A sensor that said so last."""
    return SensorState(at, people, occupied)


@pytest.mark.parametrize(
    ("sensors", "together"),
    [
        ([], Occupancy(0, occupied=False)),
        ([seen(3)], Occupancy(3, occupied=True)),
        ([seen(3), seen(0, occupied=False)], Occupancy(3, occupied=True)),
        ([seen(3), seen(None, occupied=False)], Occupancy(None, occupied=True)),
        ([seen(None, occupied=False)], Occupancy(None, occupied=False)),
        ([seen(3), seen(4, NOON_MS - SILENT_AFTER_MS)], Occupancy(7, occupied=True)),
        ([seen(3), seen(4, NOON_MS - SILENT_AFTER_MS - 1)], Occupancy(3, occupied=True)),
        ([seen(4, NOON_MS - SILENT_AFTER_MS - 1)], Occupancy(4, occupied=True)),
    ],
)
def test_together(sensors: list[SensorState], together: Occupancy) -> None:
    """Counts add up, a state leaves no count, and of several a silent one says nothing."""
    assert occupancy_of({str(n): each for n, each in enumerate(sensors)}, NOON_MS) == together


def test_clock_that_stands_still() -> None:
    """A repeat changes nothing, also after many readings of one instant; then few ids are kept again."""

    def took(place: WatchedPlace, number: int, second: int = 0) -> tuple[WatchedPlace, str]:
        at = datetime.fromtimestamp(NOON + second, UTC)
        reading = SensorReading(event_id=f"e{number}", at=at, sensor="a", people=number)
        return after_reading(place, reading, "kisi", "l1-a", NOON + 60)

    place = WatchedPlace()
    for number in range(MAX_IDS_AT_ONCE):
        place, _ = took(place, number)
    assert took(place, 0) == (place, "duplicate")
    assert took(place, MAX_IDS_AT_ONCE - 1) == (place, "duplicate")
    assert len(place.sensors["kisi|a"].ids) == MAX_IDS_AT_ONCE
    later, _ = took(place, MAX_IDS_AT_ONCE, second=1)
    assert len(later.sensors["kisi|a"].ids) == MAX_IDS
    assert took(later, 0) == (later, "superseded")


def test_ids_of_before() -> None:
    """A reading whose id was stored whole is known when it comes again."""
    sensor = SensorState(NOON_MS, 3, occupied=True, ids=("a0",))
    place = WatchedPlace(sensors={"kisi|a": sensor}, version=1)
    reading = SensorReading(event_id="a0", at=datetime.fromtimestamp(NOON, UTC), sensor="a", people=3)
    assert after_reading(place, reading, "kisi", "l1-a", NOON + 60) == (place, "duplicate")


def test_pending() -> None:
    """The last report is pending until it is reported, the same each time."""
    place = read(("a", 3), ("b", 4))
    [fact] = place.pending_facts("l1-a")
    assert (fact.people, fact.occupied, fact.at, fact.version) == (7, True, NOON_MS + 1000, 2)
    assert place.pending_facts("l1-a") == [fact]
    assert replace(place, reported=2).pending_facts("l1-a") == []


@pytest.mark.parametrize(
    ("waited", "queued", "found"),
    [
        (REPORT_AFTER_MS + 1, 0, True),
        (REPORT_AFTER_MS, 0, False),
        (REPORT_AFTER_MS + 1, 1, False),
        (REPORT_AFTER_MS + 1, 2, False),
    ],
)
def test_unqueued(waited: int, queued: int, found: bool) -> None:
    """The schedule reports what is pending for a minute and was put into no queue."""
    place = replace(read(("a", 3)), queued=queued)
    facts = unqueued_facts(place, "l1-a", NOON_MS + waited)
    assert facts == ([("kisi", place.pending_facts("l1-a")[0])] if found else [])


def test_fewer_sensors() -> None:
    """A place that loses a sensor has what the others say; what says the same is not reported again."""
    place = read(("a", 3), ("b", 0))
    assert with_only_sensors(place, {"kisi|a", "kisi|b", "kisi|c"}, "l1-a", NOON_MS) is place
    assert with_only_sensors(place, {"kisi|a"}, "l1-a", NOON_MS).version == place.version
    empty = with_only_sensors(place, {"kisi|b"}, "l1-a", NOON_MS + 5000)
    assert (empty.people, empty.occupied, empty.at) == (0, False, NOON_MS + 5000)
    assert empty.version == place.version + 1


@pytest.mark.parametrize(("said", "left"), [(4, 0), (None, None)])
def test_no_sensors(said: int | None, left: int | None) -> None:
    """A place without sensors is empty; where they never counted, it has no count."""
    place = with_only_sensors(read(("a", said)), (), "l1-a", NOON_MS)
    [fact] = place.pending_facts("l1-a")
    assert (fact.people, fact.occupied, fact.at) == (left, False, NOON_MS + 1)


def test_changeover_of_nothing() -> None:
    """A place of which no sensor ever said anything has nothing to report, and stays unwritten."""
    nothing = after_changeover(WatchedPlace(), WatchedPlace(), (), "l1-a", "l1-a", NOON_MS)
    assert nothing == PlaceChanges()


def test_changeover_in_place() -> None:
    """A place that keeps its id is written only where its sensors changed."""
    place = read(("a", 3), ("b", 4))
    same = after_changeover(place, place, {"kisi|a", "kisi|b"}, "l1-a", "l1-a", NOON_MS)
    assert (same.places, same.facts) == ({}, place.pending_facts("l1-a"))
    fewer = after_changeover(place, place, {"kisi|b"}, "l1-a", "l1-a", NOON_MS)
    assert set(fewer.places) == {"l1-a"}
    assert [fact.people for fact in fewer.facts] == [4]


def test_changeover_to_another_id() -> None:
    """What is known goes on under the new id, behind what was reported under that; the old one forgets."""
    place = read(("a", 3), ("b", 4))
    there = replace(read(("a", 1), place="l1-b"), at=NOON_MS + 9000, reported=1, queued=1, revision=5)
    changes = after_changeover(place, there, {"kisi|a", "kisi|b"}, "l1-a", "l1-b", NOON_MS)
    assert changes.places["l1-a"].sensors == {}
    moved = changes.places["l1-b"]
    assert (moved.people, moved.at, moved.version, moved.revision) == (7, NOON_MS + 9001, 2, 5)
    assert changes.facts == moved.pending_facts("l1-b")
    # Once more changes nothing: the old id has no sensors any more.
    again = after_changeover(changes.places["l1-a"], moved, (), "l1-a", "l1-b", NOON_MS)
    assert again.places == {}


def test_changeover_to_an_id_that_is_read_already() -> None:
    """What a sensor has said under the new id meanwhile counts, where it is newer; another one's is kept."""
    place = read(("a", 3), ("b", 4))
    there = WatchedPlace(sensors={"kisi|a": seen(1, NOON_MS + 9000), "kisi|c": seen(2)})
    changes = after_changeover(place, there, {"kisi|a", "kisi|b"}, "l1-a", "l1-b", NOON_MS)
    moved = changes.places["l1-b"]
    assert {name: sensor.people for name, sensor in moved.sensors.items()} == {
        "kisi|a": 1,
        "kisi|b": 4,
        "kisi|c": 2,
    }
    assert [fact.people for fact in changes.facts] == [7]


def test_changeover_without_sensors_left() -> None:
    """A place of another id that keeps no sensor is reported empty under the one that it had."""
    changes = after_changeover(read(("a", 3)), WatchedPlace(), (), "l1-a", "l1-b", NOON_MS)
    assert [(fact.location_id, fact.people) for fact in changes.facts] == [("l1-a", 0)]
    assert set(changes.places) == {"l1-a"}


def test_name() -> None:
    """A place keeps the name that it had when it is gone."""
    named = with_name(read(("a", 3)), "l1-a", CONFIG)
    assert (named.name, named.type) == ("l1-a", "zone")
    assert with_name(named, "demolished", CONFIG) is named
