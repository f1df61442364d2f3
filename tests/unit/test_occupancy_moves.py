"""A changeover: who is where then, what counts become, and what is said of it before, in memory."""

from typing import Any

import pytest

from relay.config.model import Config, Sensor
from relay.occupancy.changeover import (
    Changeover,
    PlaceDay,
    SensorChange,
    Watched,
    lineage,
    watched_places,
)
from relay.occupancy.days import KEPT_SECONDS, Day, operating_day
from relay.occupancy.moves import (
    CountChange,
    Effect,
    PersonDay,
    count_changes,
    counts_after,
    counts_to_read,
    day_now,
    effects_on_people,
    effects_on_sensors,
    has_to_move,
    positions_after,
)
from relay.occupancy.readings import SensorState, WatchedPlace
from relay.occupancy.rules import Count, Position
from tests.building import NOON_MS

SITE: dict[str, Any] = {"locationId": "SITE", "locationType": "location"}
ANNEX: dict[str, Any] = {"locationId": "ANNEX", "locationType": "location"}
LEVEL: dict[str, Any] = {"locationId": "LEVEL", "locationType": "level", "within": "site"}
ROOM: dict[str, Any] = {"locationId": "ROOM", "locationType": "space", "within": "level"}
BEFORE = {"site": SITE, "annex": ANNEX, "level": LEVEL, "room": ROOM}
INSIDE = Position(("ROOM", "LEVEL", "SITE"), NOON_MS - 1000, "kisi|e1")


def tree(places: dict[str, Any]) -> Config:
    """A configuration of these places."""
    return Config.model_validate({"places": places})


def to(places: dict[str, Any], watched: Watched | None = None, now: Watched | None = None) -> Changeover:
    """From the site with a level and a room, and the annex, to these places."""
    return Changeover(tree(BEFORE), tree(places), NOON_MS, watched or {}, now or {})


def day(site: str) -> Day:
    """The day of a site in which the changeover lies."""
    return operating_day(tree(BEFORE), site, NOON_MS)


SAME = to(BEFORE)
WITHOUT_ROOM = to({"site": SITE, "annex": ANNEX, "level": LEVEL})
WITHOUT_SITE = to({"annex": ANNEX})
ROOM_IN_ANNEX = to({**BEFORE, "room": {**ROOM, "within": "annex"}})
ANNEX_IN_SITE = to({**BEFORE, "annex": {**ANNEX, "within": "site"}})
SITE_CORRECTED = to({**BEFORE, "site": {**SITE, "locationId": "RIGHT"}})
ROOM_WATCHED = to(BEFORE, now={"ROOM": frozenset({"kisi|one"})})


@pytest.mark.parametrize(
    ("change", "path", "site"),
    [
        (SAME, ("ROOM", "LEVEL", "SITE"), "SITE"),
        (WITHOUT_ROOM, ("LEVEL", "SITE"), "SITE"),
        (WITHOUT_SITE, (), "SITE"),
        (ROOM_IN_ANNEX, ("ROOM", "ANNEX"), "ANNEX"),
        (SITE_CORRECTED, ("ROOM", "LEVEL", "RIGHT"), "RIGHT"),
        (ROOM_WATCHED, ("LEVEL", "SITE"), "SITE"),
    ],
    ids=["same", "room removed", "site removed", "room moved", "site corrected", "room watched"],
)
def test_where_somebody_is(change: Changeover, path: tuple[str, ...], site: str) -> None:
    """Somebody is in the innermost place that is left, in the day that counts it now."""
    assert change.path_now(INSIDE.path) == path
    assert day_now(change, day("SITE"), INSIDE).site == site
    moves = path != INSIDE.path
    assert has_to_move(change, day("SITE"), INSIDE) == moves
    after = positions_after(change, {PersonDay(day("SITE"), "ann"): INSIDE})
    current = [(who.day.site, position.path) for who, position in after.items() if position.current]
    assert current == ([(site, path)] if moves else [])


def test_place_that_the_old_configuration_never_had() -> None:
    """Somebody who was counted by a configuration between the two is where the changeover from that says."""
    between = Position(("TYPO", "SITE"), NOON_MS, "kisi|e1")
    assert not has_to_move(WITHOUT_ROOM, day("SITE"), between)
    assert day_now(WITHOUT_ROOM, day("SITE"), between) == day("SITE")
    before = {PersonDay(day("SITE"), "ann"): between, PersonDay(day("ANNEX"), "ann"): INSIDE}
    after = positions_after(WITHOUT_ROOM, before)
    assert PersonDay(day("SITE"), "ann") not in after


KEPT_MS = KEPT_SECONDS * 1000


@pytest.mark.parametrize(
    ("places", "later", "taken"),
    [
        ({"room": {**ROOM, "locationId": "RIGHT"}}, 0, {}),
        ({"hall": LEVEL}, 0, {}),
        ({"room": LEVEL}, 0, {"room": {"ROOM": NOON_MS}}),
        ({"room": LEVEL}, KEPT_MS - 1, {"room": {"ROOM": NOON_MS}}),
        ({"room": LEVEL}, KEPT_MS, {}),
        ({"room": LEVEL, "level": ROOM}, 0, {"room": {"ROOM": NOON_MS}, "level": {"LEVEL": NOON_MS}}),
    ],
    ids=["corrected", "renamed", "taken", "known", "forgotten", "swapped"],
)
def test_taken_names(places: dict[str, Any], later: int, taken: dict[str, dict[str, int]]) -> None:
    """A name that goes to a place that was there before is known as another's while a queue may hold it."""
    old, new = tree(BEFORE), tree({"site": SITE, "annex": ANNEX, **places})
    new = new.model_copy(update={"lineage": lineage(old, new, 2, NOON_MS)})
    assert lineage(new, new, 3, NOON_MS + later).taken == taken


def test_name_given_back() -> None:
    """A place that has its name again is told under it as before."""
    old, new = tree(BEFORE), tree({**BEFORE, "room": LEVEL, "level": ROOM})
    new = new.model_copy(update={"lineage": lineage(old, new, 2, NOON_MS)})
    assert lineage(new, old, 3, NOON_MS).taken == {"room": {"LEVEL": NOON_MS}, "level": {"ROOM": NOON_MS}}


def test_removed() -> None:
    """What leaves the configuration is removed, not what is renamed or corrected."""
    assert SAME.removed == SITE_CORRECTED.removed == set()
    assert WITHOUT_ROOM.removed == {"ROOM"}
    assert to({"site": SITE, "annex": ANNEX, "room": LEVEL}).removed == {"ROOM"}


def test_position_left_behind() -> None:
    """Where another day counts somebody, the position that is left behind says so, and is not moved again."""
    who = PersonDay(day("SITE"), "ann")
    after = positions_after(ROOM_IN_ANNEX, {who: INSIDE})
    assert (after[who].path, after[who].moved) == ((), True)
    assert not has_to_move(ROOM_IN_ANNEX, who.day, after[who])
    assert positions_after(ROOM_IN_ANNEX, after) == {}


def test_outside_of_a_site_that_joins_another() -> None:
    """Whoever is outside a site is outside of what it is part of now."""
    outside = Position((), NOON_MS - 500, "kisi|e2")
    assert has_to_move(ANNEX_IN_SITE, day("ANNEX"), outside)
    assert day_now(ANNEX_IN_SITE, day("ANNEX"), outside) == day("SITE")
    assert day_now(WITHOUT_SITE, day("SITE"), outside) == day("SITE")


@pytest.mark.parametrize(("at", "path"), [(-2000, ("ROOM", "LEVEL", "SITE")), (-500, ("ANNEX", "SITE"))])
def test_newest_position_counts(at: int, path: tuple[str, ...]) -> None:
    """Of two positions of a person in what is one day now, the newer one counts."""
    in_annex = Position(("ANNEX",), NOON_MS + at, "kisi|e2", revision=7)
    here, there = PersonDay(day("SITE"), "ann"), PersonDay(day("ANNEX"), "ann")
    after = positions_after(ANNEX_IN_SITE, {here: INSIDE, there: in_annex})
    assert (after.get(here, INSIDE).path, after[there].moved) == (path, True)
    assert after.get(here, INSIDE).revision == INSIDE.revision


def test_one_badge_in_two_days() -> None:
    """Of one badge in two days the position that is inside is meant."""
    empty = Position((), INSIDE.at, INSIDE.event)
    here, there = PersonDay(day("SITE"), "ann"), PersonDay(day("ANNEX"), "ann")
    assert here not in positions_after(ANNEX_IN_SITE, {here: INSIDE, there: empty})


def test_counts_of_a_place_that_moves() -> None:
    """The old places around it lose its people, the new ones gain them, and it is reported by its new day."""
    here, there = PersonDay(day("SITE"), "ann"), PersonDay(day("ANNEX"), "ann")
    before = {here: INSIDE, there: Position()}
    changes = count_changes(ROOM_IN_ANNEX, before, positions_after(ROOM_IN_ANNEX, before))
    room, room_then = PlaceDay(day("ANNEX"), "ROOM"), PlaceDay(day("SITE"), "ROOM")
    assert set(changes) == {
        CountChange(room_then, -1, "kisi"),
        CountChange(PlaceDay(day("SITE"), "LEVEL"), -1, "kisi"),
        CountChange(PlaceDay(day("SITE"), "SITE"), -1, "kisi"),
        CountChange(room, 0, "kisi", room_then),
        CountChange(room, 1, "kisi"),
        CountChange(PlaceDay(day("ANNEX"), "ANNEX"), 1, "kisi"),
    }
    places = counts_to_read(changes)
    assert len(places) == len(set(places)) == 5
    people = {place: Count(people=3) for place in places if place.day == day("SITE")}
    counts = counts_after(ROOM_IN_ANNEX, changes, {**dict.fromkeys(places, Count()), **people}, ())
    assert {(place.day.site, place.place): count.people for place, count in counts.items()} == {
        ("SITE", "ROOM"): 2,
        ("SITE", "LEVEL"): 2,
        ("SITE", "SITE"): 2,
        ("ANNEX", "ROOM"): 1,
        ("ANNEX", "ANNEX"): 1,
    }
    assert {place for place, count in counts.items() if count.moved} == {room_then}
    assert counts[room_then].pending_facts("ROOM", day("SITE")) == []


def test_times_of_a_place_that_moves() -> None:
    """The day that takes a place over reports it behind what was last reported of it."""
    room, room_then = PlaceDay(day("ANNEX"), "ROOM"), PlaceDay(day("SITE"), "ROOM")
    before = {room: Count(), room_then: Count(people=3, at=NOON_MS + 5000, version=1)}
    changes = [CountChange(room, 0, "kisi", room_then)]
    counts = counts_after(ROOM_IN_ANNEX, changes, before, ())
    assert [fact.at for fact in counts[room].pending_facts("ROOM", room.day)] == [NOON_MS + 5001]


def test_name_of_a_place_that_goes() -> None:
    """A place that leaves the configuration is reported empty, with the name that it had."""
    who, room = PersonDay(day("SITE"), "ann"), PlaceDay(day("SITE"), "ROOM")
    after = positions_after(WITHOUT_ROOM, {who: INSIDE})
    changes = count_changes(WITHOUT_ROOM, {who: INSIDE}, after)
    assert changes == [CountChange(room, -1, "kisi")]
    [fact] = counts_after(WITHOUT_ROOM, changes, {room: Count(people=1)}, ())[room].pending_facts(
        "ROOM", room.day
    )
    assert (fact.place, fact.location_type, fact.people) == ("room", "space", 0)


@pytest.mark.parametrize(("by", "source"), [(-1, "kisi"), (1, "verkada")])
def test_source_of_a_count(by: int, source: str) -> None:
    """A place's zero goes out under the source that last reported it, whoever was moved out of it last."""
    room = PlaceDay(day("SITE"), "ROOM")
    before = {room: Count(people=1, version=1, source="kisi")}
    counts = counts_after(WITHOUT_ROOM, [CountChange(room, by, "verkada")], before, ())
    assert counts[room].source == source


def test_moved_in_a_closed_day() -> None:
    """What a changeover makes of a day that is closed is late: the zero follows it."""
    room = PlaceDay(day("SITE"), "ROOM")
    counts = counts_after(WITHOUT_ROOM, [CountChange(room, -1, "kisi")], {room: Count(people=3)}, {room.day})
    assert [fact.people for fact in counts[room].pending_facts("ROOM", room.day)] == [2, 0]


def test_effects_on_people() -> None:
    """What a push says before: the places that have other people in them after it."""
    before = {PersonDay(day("SITE"), person): INSIDE for person in ("ann", "ben")}
    assert effects_on_people(SAME, before) == []
    assert effects_on_people(SITE_CORRECTED, before) == []
    assert effects_on_people(WITHOUT_ROOM, before) == [Effect("room", 2, 0, gone=True)]
    assert set(effects_on_people(ROOM_IN_ANNEX, before)) == {
        Effect("level", 2, 0, gone=False),
        Effect("site", 2, 0, gone=False),
        Effect("annex", 0, 2, gone=False),
    }


ONE, TWO = "kisi|one", "kisi|two"


@pytest.mark.parametrize(
    ("kept", "people", "effects"),
    [
        ({ONE, TWO}, (3, 4), []),
        ({ONE}, (3, 4), [Effect("room", 7, 3, gone=False)]),
        ({ONE}, (3, 0), []),
        ((), (3, 4), [Effect("room", 7, 0, gone=False)]),
        ((), (0, 0), []),
        ((), (None, None), [Effect("room", 1, 0, gone=False)]),
    ],
)
def test_effects_on_sensors(
    kept: set[str], people: tuple[int | None, int | None], effects: list[Effect]
) -> None:
    """The same of the places that sensors watch; one that only says that there is somebody counts as one."""
    change = to(
        BEFORE, watched={"ROOM": frozenset({ONE, TWO})}, now={"ROOM": frozenset(kept)} if kept else {}
    )
    sensors = {
        name: SensorState(NOON_MS, number, number is None or number > 0)
        for name, number in zip((ONE, TWO), people, strict=True)
    }
    total = None if None in people else sum(filter(None, people))
    place = WatchedPlace(people=total, occupied=total is None or total > 0, sensors=sensors, version=1)
    assert effects_on_sensors(change, {"ROOM": place}) == effects
    assert effects_on_sensors(change, {}) == []


def test_watched_places() -> None:
    """Sensors by the place that they watch, under the key that the ledger has for their source."""
    sensors = {"kisi": {"one": Sensor(place="room"), "two": Sensor(place="room"), "x": Sensor(place="none")}}
    assert watched_places(tree(BEFORE), sensors) == {"ROOM": {ONE, TWO}}


def test_sensor_changes() -> None:
    """A watched place is changed by other sensors and by another id, and not by another name."""
    watched = {"ROOM": frozenset({ONE, TWO})}
    renamed = to({"site": SITE, "annex": ANNEX, "level": LEVEL, "hall": ROOM}, watched, watched)
    assert list(renamed.sensor_changes) == []
    corrected = to({**BEFORE, "room": {**ROOM, "locationId": "RIGHT"}}, watched, {"RIGHT": watched["ROOM"]})
    assert list(corrected.sensor_changes) == [SensorChange("ROOM", "RIGHT", watched["ROOM"])]
    fewer = to(BEFORE, watched, {"ROOM": frozenset({ONE})})
    assert list(fewer.sensor_changes) == [SensorChange("ROOM", "ROOM", frozenset({ONE}))]
