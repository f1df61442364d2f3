"""Pushes while people are inside: what is said, what is asked, and what Calven is told."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from relay.config.store import MAX_AGE_SECONDS, TAKEN_UP_SECONDS
from tests.operator import GENERIC, LEVEL, OTHER, SITE, Operator
from tests.rig import Rig
from tests.stack import deploy

pytestmark = pytest.mark.slow

ROOM: dict[str, Any] = {"locationId": "ROOM", "locationType": "space", "within": "level"}


@pytest.fixture
def operator(rig: Rig, tmp_path: Path) -> Operator:
    """A site with two levels, and three people on one of them."""
    deploy(rig)
    someone = Operator(rig, tmp_path)
    someone.pushed()
    for person in ("ann", "ben", "cat"):
        assert someone.badge(person, "level")[1]["status"] == "forwarded"
    assert someone.shown() == {"SITE": 3, "LEVEL": 3}
    return someone


def test_place_renamed(operator: Operator) -> None:
    """A place is its locationId: under another name nobody is lost."""
    operator.places = {"site": SITE, "third floor": LEVEL, "other": OTHER}
    operator.doors["generic"]["level"] = {"place": "third floor"}
    result = operator.push()
    assert (result.exit_code, result.stderr) == (0, ""), "a new name needs no question"
    operator.badge("dan", "level")
    assert operator.shown() == {"SITE": 4, "LEVEL": 4}
    operator.settle()
    operator.badge("ann", "level", "out")
    assert operator.shown() == {"SITE": 4, "LEVEL": 3}
    assert operator.rig.dead_letters() == []


def test_site_renamed(operator: Operator) -> None:
    """The same of a site."""
    operator.places = {"hq": SITE, "level": {**LEVEL, "within": "hq"}, "other": {**OTHER, "within": "hq"}}
    operator.doors["generic"]["site"] = {"place": "hq"}
    operator.pushed()
    operator.badge("ann", "site", "out")
    assert operator.shown() == {"SITE": 2, "LEVEL": 2}


def test_id_corrected(operator: Operator) -> None:
    """The same name with another id is the same place: its people stay, under the new id."""
    operator.places = {**operator.places, "level": {**LEVEL, "locationId": "RIGHT"}}
    operator.pushed()
    assert operator.shown()["RIGHT"] == 3
    operator.badge("ann", "level", "out")
    assert (operator.shown()["RIGHT"], operator.shown()["SITE"]) == (2, 3)
    assert operator.rig.dead_letters() == []


@pytest.mark.parametrize("minutes", [1, 10])
def test_id_corrected_soon(operator: Operator, minutes: int) -> None:
    """A new place whose id is corrected before the schedule has finished its first push keeps its people."""
    operator.places = {**operator.places, "room": ROOM}
    operator.sensors = {"generic": {"one": {"place": "room"}}}
    operator.pushed()
    operator.places = {**operator.places, "lab": {**LEVEL, "locationId": "TYPO"}}
    operator.doors["generic"]["lab"] = {"place": "lab"}
    assert operator.push("--yes").exit_code == 0
    operator.rig.clock.advance(61)
    operator.badge("ann", "lab")
    operator.badge("dan", "lab")
    operator.rig.clock.advance(60 * (minutes - 1))
    operator.places = {**operator.places, "lab": {**LEVEL, "locationId": "LAB"}}
    operator.pushed()
    shown = {"SITE": 4, "LEVEL": 2, "LAB": 2}
    assert {name: operator.shown()[name] for name in shown} == shown
    operator.badge("ann", "lab", "out")
    assert operator.shown()["LAB"] == 1


def test_pushes_cut_off(operator: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two pushes that were cut off leave nobody behind under an id that the first one corrected."""
    monkeypatch.setattr("relayctl.pushing.carry_out", lambda _target: 0)
    operator.places = {**operator.places, "level": {**LEVEL, "locationId": "RIGHT"}}
    assert operator.push("--yes").exit_code == 0
    del operator.places["other"], operator.doors["generic"]["other"]
    operator.pushed()
    assert (operator.shown()["SITE"], operator.shown()["RIGHT"]) == (3, 3)


def test_site_id_corrected(operator: Operator) -> None:
    """A site with another id keeps its people, and so does all within it."""
    operator.places = {**operator.places, "site": {**SITE, "locationId": "RIGHT"}}
    operator.pushed()
    operator.badge("ann", "site", "out")
    assert (operator.shown()["RIGHT"], operator.shown()["LEVEL"]) == (2, 2)


def test_site_removed(operator: Operator) -> None:
    """A site that leaves the configuration is told empty by the push, which says so before."""
    operator.places, operator.doors = {"annex": {**SITE, "locationId": "ANNEX"}}, {}
    result = operator.push("--yes")
    assert set(result.stderr.splitlines()) == {
        "site goes, with 3 people in it: Calven is told that it is empty",
        "level goes, with 3 people in it: Calven is told that it is empty",
    }
    operator.rig.retry()
    assert operator.shown() == {"SITE": 0, "LEVEL": 0}
    operator.settle()
    assert operator.shown() == {"SITE": 0, "LEVEL": 0}
    assert operator.rig.dead_letters() == []


def test_place_removed(operator: Operator) -> None:
    """The people of a place that goes are in the nearest one around it, and can leave that."""
    del operator.places["level"], operator.doors["generic"]["level"]
    assert operator.push("--yes").stdout.splitlines()[-1] == "1 place is told anew"
    operator.settle()
    assert operator.shown() == {"SITE": 3, "LEVEL": 0}
    operator.badge("ann", "site", "out")
    assert operator.shown() == {"SITE": 2, "LEVEL": 0}


def test_push_cut_off(operator: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a push that was cut off had not told yet, the schedule tells."""
    del operator.places["level"], operator.doors["generic"]["level"]
    with monkeypatch.context() as patch:
        patch.setattr("relayctl.pushing.carry_out", lambda _target: 0)
        assert operator.push("--yes").exit_code == 0
    operator.rig.clock.now = time.time()
    operator.rig.reset()
    assert operator.shown() == {"SITE": 3, "LEVEL": 3}, "functions may not have taken it up"
    operator.rig.clock.advance(TAKEN_UP_SECONDS + 1)
    operator.rig.reset()
    assert operator.shown() == {"SITE": 3, "LEVEL": 0}
    assert operator.rig.reset() == {"facts": 0}


def test_place_moved(operator: Operator) -> None:
    """A place that moves in the tree takes its people along."""
    operator.places = {**operator.places, "room": ROOM}
    operator.doors["generic"]["room"] = {"place": "room"}
    operator.pushed()
    operator.badge("dan", "room")
    assert operator.shown() == {"SITE": 4, "LEVEL": 4, "ROOM": 1}
    operator.places = {**operator.places, "room": {**ROOM, "within": "other"}}
    result = operator.push("--yes")
    assert set(result.stderr.splitlines()) == {
        "level: 4 inside now, Calven is told 3",
        "other: 0 inside now, Calven is told 1",
    }
    operator.settle()
    assert operator.shown() == {"SITE": 4, "LEVEL": 3, "ROOM": 1, "OTHER": 1}


def test_site_joins_another(operator: Operator) -> None:
    """A site that moves into another joins its open day; the newer position of a person wins."""
    operator.places = {**operator.places, "annex": {**SITE, "locationId": "ANNEX"}}
    operator.doors["generic"]["annex"] = {"place": "annex"}
    operator.pushed()
    operator.badge("ann", "annex")
    operator.badge("dan", "annex")
    assert operator.shown() == {"SITE": 3, "LEVEL": 3, "ANNEX": 2}
    operator.places["annex"] = {"locationId": "ANNEX", "locationType": "location", "within": "site"}
    result = operator.push("--yes")
    assert set(result.stderr.splitlines()) == {
        "site: 3 inside now, Calven is told 4",
        "level: 3 inside now, Calven is told 2",
    }
    operator.settle()
    assert operator.shown() == {"SITE": 4, "LEVEL": 2, "ANNEX": 2}
    operator.badge("ann", "site", "out")
    assert operator.shown() == {"SITE": 3, "LEVEL": 2, "ANNEX": 1}


def test_handed_to_a_sensor(operator: Operator) -> None:
    """A place handed from doors to a sensor keeps no number of the doors, at the reset neither."""
    operator.places = {**operator.places, "room": ROOM}
    operator.doors["generic"]["room"] = {"place": "room"}
    operator.pushed()
    operator.badge("dan", "room")
    del operator.doors["generic"]["room"]
    operator.sensors = {"generic": {"one": {"place": "room"}}}
    result = operator.push("--yes")
    assert "room: 1 inside now, Calven is told 0" in result.stderr
    operator.settle()
    assert operator.shown() == {"SITE": 4, "LEVEL": 4, "ROOM": 0}
    operator.reading(4)
    operator.rig.clock.advance(2 * 24 * 3600)
    operator.rig.reset()
    assert operator.shown() == {"SITE": 0, "LEVEL": 0, "ROOM": 4}


def test_site_handed_to_a_sensor(operator: Operator) -> None:
    """Who is in a place whose site a sensor watches now stays in the site's day, and is out with its end."""
    operator.doors, operator.sensors = {}, {"generic": {"one": {"place": "site"}}}
    operator.pushed()
    assert operator.shown() == {"SITE": 0, "LEVEL": 3}
    operator.reading(7)
    operator.rig.clock.advance(2 * 24 * 3600)
    operator.rig.reset()
    assert operator.shown() == {"SITE": 7, "LEVEL": 0}


def test_handed_to_doors(operator: Operator) -> None:
    """A place handed from a sensor to doors keeps no number of the sensor."""
    operator.places = {**operator.places, "room": ROOM}
    operator.sensors = {"generic": {"one": {"place": "room"}}}
    operator.pushed()
    operator.reading(4)
    operator.sensors = {}
    operator.doors["generic"]["room"] = {"place": "room"}
    result = operator.push("--yes")
    assert "room: 4 inside now, Calven is told 0" in result.stderr
    operator.settle()
    assert operator.shown()["ROOM"] == 0
    operator.badge("ann", "room")
    assert operator.shown()["ROOM"] == 1


def test_sensor_moved(operator: Operator) -> None:
    """A sensor that watches another place leaves no number behind; of two, the other one's stays."""
    operator.places = {**operator.places, "room": ROOM, "hall": {**ROOM, "locationId": "HALL"}}
    operator.sensors = {"generic": {"one": {"place": "room"}, "two": {"place": "room"}}}
    operator.pushed()
    operator.reading(4)
    operator.reading(2, "two")
    assert operator.shown()["ROOM"] == 6
    operator.sensors = {"generic": {"one": {"place": "hall"}, "two": {"place": "room"}}}
    operator.pushed()
    assert operator.shown()["ROOM"] == 2
    operator.sensors = {"generic": {"one": {"place": "hall"}, "two": {"place": "hall"}}}
    operator.pushed()
    assert operator.shown()["ROOM"] == 0
    operator.reading(5)
    assert operator.shown()["HALL"] == 5


def test_source_of_a_watched_place_that_goes(operator: Operator) -> None:
    """A place's zero goes out under the source that last reported it, whatever other sensors it has."""
    operator.sources["silent"] = GENERIC
    operator.places = {**operator.places, "room": ROOM}
    silent = {f"silent-{number}": {"place": "room"} for number in range(8)}
    operator.sensors = {"generic": {"one": {"place": "room"}}, "silent": silent}
    operator.pushed()
    operator.reading(4)
    del operator.places["room"]
    operator.sensors = {}
    operator.pushed()
    assert operator.shown()["ROOM"] == 0
    assert operator.rig.requests("/v1/occupancy")[-1]["body"]["sourceId"] == "generic"


@pytest.mark.parametrize("kept", ["level", "other"])
def test_name_taken_by_another_place(operator: Operator, kept: str) -> None:
    """A place whose name another one takes is told empty under its own id; the other keeps its number."""
    operator.badge("dan", "other")
    assert operator.shown() == {"SITE": 4, "LEVEL": 3, "OTHER": 1}
    stays = {"level": LEVEL, "other": OTHER}[kept]
    goes = "other" if kept == "level" else "level"
    operator.places = {"site": SITE, goes: stays}
    del operator.doors["generic"][kept]
    operator.pushed()
    left = {"LEVEL": 3, "OTHER": 0} if kept == "level" else {"LEVEL": 0, "OTHER": 1}
    assert operator.shown() == {"SITE": 4, **left}


def test_name_of_a_watched_place_taken(operator: Operator) -> None:
    """The same where sensors watched the place that goes."""
    operator.places = {**operator.places, "room": ROOM}
    operator.sensors = {"generic": {"one": {"place": "room"}}}
    operator.pushed()
    operator.reading(4)
    operator.places = {"site": SITE, "other": OTHER, "room": LEVEL}
    operator.doors["generic"]["level"], operator.sensors = {"place": "room"}, {}
    operator.pushed()
    assert operator.shown() == {"SITE": 3, "LEVEL": 3, "ROOM": 0}


def test_name_taken_while_counts_wait(operator: Operator) -> None:
    """What waited while another place took its name goes to the place that it is of."""
    operator.badge("eve", "other")
    operator.rig.fail("503")
    operator.badge("dan", "level")
    operator.places = {"site": SITE, "level": OTHER}
    del operator.doors["generic"]["other"]
    assert operator.push("--yes").exit_code == 0
    operator.rig.clock.advance(61)
    operator.rig.recover()
    operator.settle()
    assert operator.shown() == {"SITE": 5, "LEVEL": 0, "OTHER": 1}
    told = [event["occupancy"] for event in operator.rig.calven() if event["locationId"] == "OTHER"]
    assert told == [1]


def test_zero_that_waits_while_its_name_is_used_again(operator: Operator) -> None:
    """The zero of a place that went is no other's, also where a new place has its name by then."""
    operator.rig.fail("503")
    del operator.places["level"]
    level = operator.doors["generic"].pop("level")
    assert operator.push("--yes").exit_code == 0
    operator.places = {**operator.places, "level": {**LEVEL, "locationId": "NEW"}}
    operator.doors["generic"]["level"] = level
    assert operator.push("--yes").exit_code == 0
    operator.rig.clock.advance(61)
    operator.rig.recover()
    operator.settle()
    assert operator.shown() == {"SITE": 3, "LEVEL": 0}


@pytest.mark.parametrize("cut_off", [False, True])
def test_repeat_of_a_moved_sensor(operator: Operator, monkeypatch: pytest.MonkeyPatch, cut_off: bool) -> None:
    """What a sensor said at one place is no news at another, also where it comes again there."""
    operator.places = {**operator.places, "room": ROOM, "hall": {**ROOM, "locationId": "HALL"}}
    operator.sensors = {"generic": {"one": {"place": "room"}, "two": {"place": "room"}}}
    operator.pushed()
    operator.reading(5)
    first = operator.rig.clock()
    operator.reading(0)
    last = operator.rig.clock()
    if cut_off:
        # Before the schedule carries the push out, the other sensor's reading makes the room forget this one.
        monkeypatch.setattr("relayctl.pushing.carry_out", lambda _target: 0)
    for place in ("hall", "room"):
        operator.sensors = {"generic": {"one": {"place": place}, "two": {"place": "room"}}}
        operator.push("--yes")
        operator.rig.clock.advance(MAX_AGE_SECONDS + 1)
        operator.reading(1, "two")
        operator.settle()
        for people, at in ((5, first), (0, last)):
            assert operator.reading(people, at=at)[1]["reason"] == "duplicate"
    assert operator.shown() == {"SITE": 3, "LEVEL": 3, "ROOM": 1}
    operator.reading(2)
    assert operator.shown()["ROOM"] == 3


def test_id_corrected_of_a_watched_place(operator: Operator) -> None:
    """What sensors said of a place goes on under its new id, once."""
    operator.places = {**operator.places, "room": ROOM}
    operator.sensors = {"generic": {"one": {"place": "room"}, "two": {"place": "room"}}}
    operator.pushed()
    operator.reading(4)
    operator.reading(2, "two")
    operator.places = {**operator.places, "room": {**ROOM, "locationId": "RIGHT"}}
    operator.pushed()
    assert operator.shown()["RIGHT"] == 6
    told = len(operator.rig.calven())
    operator.rig.reset()
    assert len(operator.rig.calven()) == told
    operator.reading(5)
    assert operator.shown()["RIGHT"] == 7
    assert operator.rig.dead_letters() == []


def test_clock_changed(operator: Operator) -> None:
    """A site's open day goes on to the next reset of its new clock; its end is told behind its reports."""
    operator.places = {**operator.places, "site": {**SITE, "timezone": "America/New_York"}}
    operator.pushed()
    assert operator.shown() == {"SITE": 3, "LEVEL": 3}
    operator.badge("ann", "site", "out")
    assert operator.shown() == {"SITE": 2, "LEVEL": 2}
    operator.rig.clock.advance(26 * 3600)
    operator.rig.reset()
    assert operator.shown() == {"SITE": 0, "LEVEL": 0}


@pytest.mark.parametrize(("typed", "code", "version"), [("y\n", 0, 3), ("n\n", 1, 2)])
def test_question(
    operator: Operator, monkeypatch: pytest.MonkeyPatch, typed: str, code: int, version: int
) -> None:
    """On a terminal it is asked, and an answer of no pushes nothing."""
    del operator.places["level"], operator.doors["generic"]["level"]
    monkeypatch.setattr("relayctl.pushing.on_a_terminal", lambda: True)
    result = operator.push(typed=typed)
    assert result.exit_code == code
    assert "Push it?" in result.stderr
    assert json.loads(operator.run("config", "history", "--json").stdout)[0]["version"] == version


def test_no_terminal(operator: Operator) -> None:
    """Without a terminal and without --yes nothing is pushed."""
    del operator.places["level"], operator.doors["generic"]["level"]
    result = operator.push()
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.splitlines() == [
        "level goes, with 3 people in it: Calven is told that it is empty",
        "Error: somebody is inside, so nothing was pushed: --yes pushes it",
    ]
    assert json.loads(operator.run("config", "history", "--json").stdout)[0]["version"] == 2
    assert json.loads(operator.push("--yes", "--json").stdout) == {"version": 3}


def test_rollback(operator: Operator) -> None:
    """A rollback does to people what a push does, and asks as it does."""
    operator.places = {**operator.places, "room": ROOM}
    operator.doors["generic"]["room"] = {"place": "room"}
    operator.pushed()
    operator.badge("ann", "room")
    refused = operator.run("config", "rollback")
    assert refused.exit_code == 1
    assert "room goes, with 1 person in it" in refused.stderr
    assert operator.run("config", "rollback", "--yes").exit_code == 0
    operator.settle()
    assert operator.shown() == {"SITE": 3, "LEVEL": 3, "ROOM": 0}
