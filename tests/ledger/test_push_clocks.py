"""Pushes that rename or remove sources, or change the clock of a site."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from localrun.template import STACK
from relay.config.store import MAX_AGE_SECONDS
from tests.operator import GENERIC, Operator
from tests.rig import Rig
from tests.stack import deploy

pytestmark = pytest.mark.slow


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


def leave(operator: Operator, source: str, state: str) -> tuple[int, Any]:
    """A change of leave 1 at a source."""
    operator.rig.clock.advance(1)
    at = datetime.fromtimestamp(operator.rig.clock(), UTC).isoformat()
    body = {"type": "leave", "id": at, "leave": "1", "state": state, "changedAt": at}
    days = {"email": "noa@example.com", "start": "2027-10-04", "end": "2027-10-08"}
    return operator.rig.post("generic", {**body, **days}, family="hris", source=source)


def copy_secret(rig: Rig, family: str, source: str, name: str) -> None:
    """Give a source to come the secret of another one."""
    secret = rig.aws.secrets.get_secret_value(SecretId=f"{STACK}/{family}/{source}")["SecretString"]
    rig.aws.secrets.create_secret(Name=f"{STACK}/{family}/{name}", SecretString=secret)


@pytest.fixture
def absent(operator: Operator) -> Operator:
    """Somebody is away, by a source of leave."""
    assert leave(operator, "generic", "approved")[1]["status"] == "forwarded"
    assert len(operator.rig.away("noa@example.com")) == 5
    return operator


def test_source_renamed(absent: Operator) -> None:
    """A source under another name goes on with its leave and its people, those known by an id of its too."""
    rig = absent.rig
    for family in ("hris", "access-control"):
        copy_secret(rig, family, "generic", "other")
    absent.sources, absent.doors = {"other": GENERIC}, {"other": absent.doors["generic"]}
    result = absent.push()
    assert (result.exit_code, result.stderr) == (0, "")
    absent.settle()
    assert leave(absent, "other", "ended")[1]["status"] == "forwarded"
    assert rig.away("noa@example.com") == {}
    assert absent.badge("ann", "level", "out", source="other")[1]["status"] == "forwarded"
    assert absent.shown()["LEVEL"] == 2


def test_undated_source_renamed(operator: Operator) -> None:
    """What has no time of its own is old when it is repeated, also after its source was renamed."""
    rig = operator.rig
    copy_secret(rig, "hris", "keypay", "other")
    operator.sources = {**operator.sources, "keypay": {"vendor": "keypay"}}
    operator.pushed()
    for event in ("approved", "cancelled"):
        rig.clock.advance(1)
        assert rig.post("keypay", event)[0] == 200
    operator.sources = {"generic": GENERIC, "other": {"vendor": "keypay"}}
    operator.pushed()
    assert rig.post("keypay", "approved", source="other")[1]["reason"] == "superseded"


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
    again = absent.run("leave", "end", "generic", "--yes")
    assert (again.exit_code, again.stdout) == (0, "generic has no approved leave that is not over\n")


def renamed(absent: Operator, **keys: Any) -> None:
    """Push the source of leave under another name."""
    for family in ("hris", "access-control"):
        copy_secret(absent.rig, family, "generic", "people")
    absent.sources = {"people": {**GENERIC, **keys}}
    absent.doors = {"people": absent.doors["generic"]}
    absent.pushed()


def end_leave(absent: Operator, source: str) -> tuple[int, str]:
    """Exit code and output of `relayctl leave end`."""
    result = absent.run("leave", "end", source, "--yes")
    absent.settle()
    return result.exit_code, result.output


@pytest.mark.parametrize(
    ("name", "said"),
    [("generic", "'generic' is now 'people', which is live"), ("people", "'people' is live")],
)
def test_end_of_leave_of_a_renamed_source(absent: Operator, name: str, said: str) -> None:
    """A live source keeps its leave, by whichever of its names somebody would end it."""
    renamed(absent)
    code, output = end_leave(absent, name)
    assert (code, said in output) == (1, True), output
    assert len(absent.rig.away("noa@example.com")) == 5


@pytest.mark.parametrize("name", ["generic", "people"])
def test_end_of_leave_of_a_renamed_and_shadowed_source(absent: Operator, name: str) -> None:
    """The leave of a shadowed source is ended by each of its names."""
    renamed(absent)
    absent.sources["people"]["shadow"] = True
    absent.pushed()
    code, output = end_leave(absent, name)
    assert (code, "1 leave" in output) == (0, True), output


def test_renamed_source_removed(absent: Operator) -> None:
    """A source that goes under another name than its first one leaves its leave behind no less."""
    renamed(absent)
    absent.sources, absent.doors = {}, {}
    pushed = absent.push("--yes")
    assert "people goes, and 1 of its leaves stays as it is: `relayctl leave end generic`" in pushed.stderr
    absent.settle()
    code, output = end_leave(absent, "people")
    assert (code, "leave is left of: generic" in output) == (1, True), output
    assert end_leave(absent, "generic")[0] == 0
    assert absent.rig.away("noa@example.com") == {}


def test_end_of_leave_of_nothing(absent: Operator) -> None:
    """A name that nothing knows is a mistake, and the command says what it may have meant."""
    code, output = end_leave(absent, "generik")
    assert code == 1
    assert output == "Error: nothing is known of a source 'generik': did you mean 'generic'?\n"


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
