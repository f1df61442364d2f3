"""Pushes while people are inside: what is said, what is asked, and what Calven is told."""

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from localrun.template import STACK
from relay.config.store import MAX_AGE_SECONDS, TAKEN_UP_SECONDS
from relayctl.main import main
from tests.rig import Rig
from tests.stack import deploy

pytestmark = pytest.mark.slow

SITE: dict[str, Any] = {"locationId": "SITE", "locationType": "location", "timezone": "Australia/Sydney"}
LEVEL: dict[str, Any] = {"locationId": "LEVEL", "locationType": "level", "within": "site"}
OTHER: dict[str, Any] = {"locationId": "OTHER", "locationType": "level", "within": "site"}
ROOM: dict[str, Any] = {"locationId": "ROOM", "locationType": "space", "within": "level"}
GENERIC = {"vendor": "generic"}


class Operator:
    """Somebody who pushes configurations, and people who pass doors meanwhile."""

    def __init__(self, rig: Rig, folder: Path) -> None:
        self.rig, self.file = rig, folder / "relay.yaml"
        self.secret = rig.secrets["generic"]
        self.places: dict[str, Any] = {"site": SITE, "level": LEVEL, "other": OTHER}
        self.sources: dict[str, Any] = {"generic": GENERIC}
        self.doors: dict[str, Any] = {"generic": {name: {"place": name} for name in self.places}}
        self.sensors: dict[str, Any] = {}
        rig.clock.now = time.time()

    def push(self, *options: str, typed: str | None = None) -> Result:
        """Push the configuration as it is now."""
        sections = {"sources": self.sources, "places": self.places, "doors": self.doors}
        self.file.write_text(json.dumps({**sections, "sensors": self.sensors}))
        return self.run("config", "push", str(self.file), *options, typed=typed)

    def run(self, *arguments: str, typed: str | None = None) -> Result:
        """Run a command of relayctl's on the stack."""
        return CliRunner().invoke(main, ["--stack", STACK, *arguments], input=typed)

    def pushed(self) -> None:
        """Push, and let the functions take it up, the queue drain, and the schedule run."""
        result = self.push("--yes")
        assert result.exit_code == 0, result.output
        self.settle()

    def settle(self) -> None:
        """Functions take the configuration up, the queue drains, the schedule runs."""
        self.rig.clock.advance(MAX_AGE_SECONDS + 1)
        self.rig.retry()
        self.rig.clock.advance(TAKEN_UP_SECONDS)
        self.rig.reset()

    def badge(self, person: str, door: str, direction: str = "in") -> tuple[int, Any]:
        """Somebody passes a door."""
        self.rig.clock.advance(1)
        at = datetime.fromtimestamp(self.rig.clock(), UTC).isoformat()
        body = {"type": "badge", "id": f"{person} {at}", "at": at, "person": person}
        return self.rig.post("generic", {**body, "door": door, "direction": direction})

    def reading(self, people: int, sensor: str = "one") -> tuple[int, Any]:
        """A sensor counts."""
        self.rig.clock.advance(1)
        at = datetime.fromtimestamp(self.rig.clock(), UTC).isoformat()
        body = {"type": "reading", "id": at, "at": at, "sensor": sensor, "people": people}
        return self.rig.post("generic", body)

    def shown(self) -> dict[str, int]:
        """What Calven shows, by location."""
        state = self.rig.sandbox.get("/_sandbox/state").json()["occupancy"]
        return {location: event["occupancy"] for location, event in state.items()}


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


def leave(operator: Operator, source: str, state: str) -> tuple[int, Any]:
    """A change of leave 1 at a source."""
    operator.rig.clock.advance(1)
    at = datetime.fromtimestamp(operator.rig.clock(), UTC).isoformat()
    body = {"type": "leave", "id": at, "leave": "1", "state": state, "changedAt": at}
    days = {"email": "noa@example.com", "start": "2027-10-04", "end": "2027-10-08"}
    return operator.rig.post("generic", {**body, **days}, family="hris", source=source)


@pytest.fixture
def absent(operator: Operator) -> Operator:
    """Somebody is away, by a source of leave."""
    assert leave(operator, "generic", "approved")[1]["status"] == "forwarded"
    assert len(operator.rig.away("noa@example.com")) == 5
    return operator


def test_source_renamed(absent: Operator) -> None:
    """A source under another name goes on with its leave and its people."""
    rig = absent.rig
    for family in ("hris", "access-control"):
        secret = rig.aws.secrets.get_secret_value(SecretId=f"{STACK}/{family}/generic")["SecretString"]
        rig.aws.secrets.create_secret(Name=f"{STACK}/{family}/other", SecretString=secret)
    absent.sources, absent.doors = {"other": GENERIC}, {"other": absent.doors["generic"]}
    result = absent.push()
    assert (result.exit_code, result.stderr) == (0, "")
    absent.settle()
    assert leave(absent, "other", "ended")[1]["status"] == "forwarded"
    assert rig.away("noa@example.com") == {}


def test_source_removed(absent: Operator) -> None:
    """A source that goes leaves its leave behind: the push says so, and a command ends it."""
    absent.sources, absent.doors = {}, {}
    result = absent.push("--yes")
    assert "generic goes, and 1 of its leaves stays as it is" in result.stderr
    assert "`relayctl leave end generic`" in result.stderr
    absent.settle()
    assert len(absent.rig.away("noa@example.com")) == 5
    ended = absent.run("leave", "end", "generic", "--yes")
    assert ended.exit_code == 0, ended.output
    assert "1 leave" in ended.stdout
    absent.settle()
    assert absent.rig.away("noa@example.com") == {}
    assert absent.run("leave", "end", "generic", "--yes", "--json").stdout.strip() == '{\n  "ended": 0\n}'


CLOCKED = """
sources: {generic: {vendor: generic}}
places:
  site: {locationId: SITE, locationType: location, CLOCK}
doors: {generic: {front: {place: site}}}
"""


def instant(text: str) -> float:
    """Unix seconds of an instant of November 2026, in UTC."""
    return datetime.fromisoformat(f"2026-11-{text}:00+00:00").timestamp()


def clocked(rig: Rig, folder: Path, clock: str, at: str) -> None:
    """Push a site with a clock at an instant, and have the functions take it up."""
    rig.clock.now = instant(at)
    rig.push(CLOCKED.replace("CLOCK", clock), folder)
    rig.clock.advance(MAX_AGE_SECONDS + 1)


def enter(rig: Rig, *people: str) -> None:
    """People come in, a second apart."""
    for person in people:
        rig.clock.advance(1)
        at = datetime.fromtimestamp(rig.clock(), UTC).isoformat()
        rig.post("generic", {"type": "badge", "id": person + at, "at": at, "door": "front", "person": person})


def test_zone_set_at_last(rig: Rig, tmp_path: Path) -> None:
    """A site that gets its time zone while people are in it keeps them until the zone's next reset."""
    clocked(rig, tmp_path, "resetAt: '04:00'", "10T01:20")
    rig.clock.now = instant("10T01:29")
    enter(rig, "ann", "ben", "cat")
    clocked(rig, tmp_path, "timezone: Australia/Sydney", "10T01:34")
    rig.clock.now = instant("10T01:36")
    rig.reset()
    assert [event["occupancy"] for event in rig.calven()] == [1, 2, 3]
    rig.clock.now = instant("10T05:00")
    rig.reset()
    enter(rig, "dan")
    assert rig.counts() == {"site": 4}, "04:00 UTC is no reset any more"
    rig.clock.now = instant("10T17:02")
    rig.reset()
    last = rig.calven()[-1]
    assert (last["occupancy"], last["timestamp"]) == (0, "2026-11-10T17:00:00.000Z")
    enter(rig, "ann")
    assert rig.counts() == {"site": 1}


def test_later_reset(rig: Rig, tmp_path: Path) -> None:
    """Nobody of a day that is over revives when the reset is put to a later hour."""
    clocked(rig, tmp_path, "timezone: UTC", "10T08:00")
    enter(rig, "ann", "ben", "cat")
    rig.clock.now = instant("11T04:02")
    rig.reset()
    assert rig.counts() == {"site": 0}
    clocked(rig, tmp_path, "resetAt: '10:00'", "11T09:00")
    rig.reset()
    enter(rig, "dan")
    assert rig.counts() == {"site": 1}
    rig.clock.now = instant("11T10:02")
    rig.reset()
    last = rig.calven()[-1]
    assert (last["occupancy"], last["timestamp"]) == (0, "2026-11-11T10:00:00.000Z")
    rig.clock.now = instant("12T10:02")
    assert rig.reset() == {"facts": 0}
