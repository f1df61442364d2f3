"""`relayctl doors` and `config suggest`: doors by name, from all that knows of them, and into relay.yaml."""

import json
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from starlette.responses import JSONResponse

from localrun.serve import Served
from localrun.template import STACK
from relay.aws.table import Update
from relay.config.versions import pull
from relay.vendors.support.seen import MOST_NEW, count_key
from relayctl import known_doors
from relayctl.in_process import invocation_of
from relayctl.main import main
from relayctl.target import deployed
from tests.rig import Rig, sample
from tests.scripted_api import Scripted
from tests.stack import deploy

pytestmark = pytest.mark.slow

Command = Callable[..., Result]
EXIT = {"id": 48213, "name": "L3 – Exit"}


@pytest.fixture
def command(rig: Rig) -> Command:
    """`relayctl` on the rig's stack."""
    deploy(rig)

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(main, ("--stack", STACK, *arguments))

    return run


@contextmanager
def kisi(rig: Rig, *answers: Any) -> Iterator[Scripted]:
    """A Kisi that gives these answers."""
    script = Scripted(answers)
    with Served(script.app()) as url:
        put_api(rig, {"apiKey": "example", "placeId": "1", "baseUrl": url})
        yield script


def put_api(rig: Rig, api: dict[str, str]) -> None:
    """Give Kisi's secret this `api`."""
    secret = json.dumps({**rig.secrets["kisi-sydney"], "api": api})
    rig.aws.secrets.put_secret_value(SecretId=f"{STACK}/access-control/kisi-sydney", SecretString=secret)


def rows(result: Result) -> list[list[str]]:
    """The cells of a table, without its head; cells have two blanks between them at least."""
    lines = result.stdout.splitlines()[1:]
    return [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in lines]


def test_doors(rig: Rig, command: Command) -> None:
    """All origins together: unmapped first, with the vendor's name, when it was seen, and where it leads."""
    rig.post("kisi", "badge-in")
    rig.post("kisi", "unmapped-door")
    listed = [EXIT, {"id": 48212, "name": "Lobby, way out"}]
    with kisi(rig, listed, []):
        result = command("doors", "kisi-sydney")
    with kisi(rig, listed, []):
        found = json.loads(command("doors", "kisi-sydney", "--json").stdout)
    assert result.exit_code == 0
    assert rows(result) == [
        ["48213", "L3 – Exit", "never", "unmapped"],
        ["99001", "Loading dock", "2026-11-04 04:00", "unmapped"],
        ["48211", "Lobby in", "2026-11-04 04:00", "sydney-l3", "in"],
        ["48212", "Lobby, way out", "never", "sydney-l3", "out"],
    ]
    assert (found["source"], found["missing"]) == ("kisi-sydney", [])
    assert found["doors"][1] == {
        "kind": "door",
        "id": "99001",
        "name": "Loading dock",
        "last_seen": "2026-11-04T04:00:00Z",
        "place": None,
        "direction": None,
        "dead_letters": 1,
    }


@pytest.mark.parametrize(
    ("answers", "known"),
    [([JSONResponse({}, 403)], []), ([[EXIT], {"error": "no"}], ["48213"])],
    ids=["refused", "second page"],
)
def test_vendor_does_not_list(rig: Rig, command: Command, answers: Sequence[Any], known: list[str]) -> None:
    """What is known is shown, what is missing is said, and the exit code is 1."""
    with kisi(rig, *answers):
        result = command("doors", "kisi-sydney")
    with kisi(rig, *answers):
        suggested = command("config", "suggest", "--source", "kisi-sydney", "--json")
    assert result.exit_code == suggested.exit_code == 1
    assert [row[0] for row in rows(result)] == [*known, "48211", "48212"]
    assert result.stderr.startswith("missing: Kisi did not list all doors of kisi-sydney: ")
    assert list(json.loads(suggested.stdout)["doors"].get("kisi-sydney", {})) == known
    assert suggested.stderr == result.stderr


def test_vendor_cannot_be_asked(rig: Rig, command: Command) -> None:
    """Without `api` a list of doors is not complete; suggestions are made of what there is."""
    put_api(rig, {})
    why = "Kisi was not asked for the doors of kisi-sydney: its secret has no `api`\n"
    result = command("doors", "kisi-sydney")
    assert (result.exit_code, result.stderr) == (1, f"missing: {why}")
    assert len(rows(result)) == 2
    suggested = command("config", "suggest", "--source", "kisi-sydney")
    assert (suggested.exit_code, suggested.stdout) == (0, "")
    assert why in suggested.stderr


def test_vendor_without_a_list(rig: Rig, command: Command) -> None:
    """A vendor that lists no doors leaves nothing out; what was configured and never seen is there."""
    assert rows(command("doors", "unifi")) == [
        ["d2b87427-7efa-43c1-aa52-b00d40d99ecf", "North door", "never", "sydney-l3", "in"]
    ]
    rig.post("vergesense", "space-report")
    [row] = rows(command("doors", "vergesense"))
    assert row == ["EG7859.43", "2026-11-04 04:00", "boardroom"]


def test_usage(command: Command) -> None:
    """An HR system has no doors, and a source that there is not may have been meant otherwise."""
    hr, unknown = command("doors", "hibob"), command("doors", "kisi-sidney")
    assert (hr.exit_code, unknown.exit_code) == (2, 2)
    assert "'hibob' is an HR system: it has no doors" in hr.stderr
    assert "did you mean 'kisi-sydney'?" in unknown.stderr
    assert command("config", "suggest", "--source", "nope").exit_code == 2


def test_cut_off(rig: Rig, command: Command) -> None:
    """Where a source named more than is kept, that is said."""
    counted = {"new": MOST_NEW, "expires_at": 2**40}
    rig.relay.table.write([Update(key=count_key("unifi"), set=counted)])
    result = command("doors", "unifi")
    assert result.exit_code == 1
    assert result.stderr == "missing: what events of unifi named beyond 10000 new ids in 90 days\n"


FILE = """\
# Ours. Do not sort.
sources:
  kisi-sydney: {vendor: kisi}   # the old building
  generic: {vendor: generic, timeOffTypes: {"Vacation": holiday}}
places:
  sydney-l3: {locationId: L3, locationType: level, timezone: Australia/Sydney}
doors:
  kisi-sydney:
    "48212": {place: 'sydney-l3', direction: out}  # quotes as they are

# the end
"""


def test_merge(rig: Rig, command: Command, tmp_path: Path) -> None:
    """What a file lacks is put into it, all else stays, and what is left to be said is named by its line."""
    file, link = tmp_path / "relay.yaml", tmp_path / "link.yaml"
    file.write_text(FILE)
    file.chmod(0o640)
    link.symlink_to(file)
    for door in ("99001", "99001", "7"):
        name = "Gate" if door == "7" else "Dock out"
        rig.post("kisi", sample("kisi", "unmapped-door", object_id=door, object_name=name))
    rig.post("generic", sample("generic", "leave-approved", leaveType="Jury duty"), family="hris")
    rig.post("butlr", "room-occupancy")
    with kisi(rig, [EXIT, {"id": 48212, "name": "Lobby out"}], []):
        result = command("config", "suggest", "--merge", str(link))
        merged = file.read_text()
        again = command("config", "suggest", "--merge", str(link), "--json")
    assert result.exit_code == 0
    assert merged == FILE.replace(
        "holiday}}",
        "holiday, Jury duty: leave}}  # Jury duty: no table maps it, so "
        "that it is leave: or holiday, or sick?",
    ).replace(
        "# quotes as they are\n",
        "# quotes as they are\n"
        "    '99001': {name: Dock out, place: '?', direction: out}  # seen 2 times\n"
        "    '7': {name: Gate, place: '?'}  # seen once\n"
        "    '48213': {name: L3 – Exit, place: sydney-l3, direction: out}  # not seen yet\n",
    )
    assert result.stdout.splitlines() == [
        f"{link}: added 3 doors, 1 kind of leave: 2 of them to be filled in",
        f"{link}:10: kisi-sydney 99001: fill in the place of 'Dock out'",
        f"{link}:11: kisi-sydney 7: fill in the place of 'Gate'",
    ]
    assert "is not among the sources of" in result.stderr
    assert link.is_symlink()
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link.yaml", "relay.yaml"]
    told = json.loads(again.stdout)
    assert told["added"] == {"doors": 0, "sensors": 0, "timeOffTypes": 0}
    assert file.read_text() == merged
    refused = CliRunner().invoke(main, ("config", "validate", str(file)))
    assert refused.exit_code == 1
    assert f"{file}:10: unknown place '?': fill in one of `places`" in refused.stderr


def test_merged_pushed_redriven(rig: Rig, command: Command, tmp_path: Path) -> None:
    """The whole way: a badge at a door that nobody knows counts once its place is filled in."""
    file = tmp_path / "relay.yaml"
    file.write_text(command("config", "pull").stdout)
    rig.post("kisi", sample("kisi", "unmapped-door", object_name="Side door L3 in"))
    command("config", "suggest", "--merge", str(file))
    assert "{name: Side door L3 in, place: sydney-l3, direction: in}" in file.read_text()
    assert command("config", "push", "--yes", str(file)).exit_code == 0
    [row] = [row for row in rows(command("doors", "kisi-sydney")) if row[0] == "99001"]
    assert row[3:] == ["sydney-l3", "in"]
    assert command("config", "suggest").stdout == ""
    command("dlq", "redrive", "--reason", "unmapped_door", "--wait", "0")
    rig.clock.advance(60)
    rig.retry()
    assert rig.counts()["sydney-l3"] == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("doors: none\nsources: {kisi-sydney: {vendor: kisi}}\n", "line 1: no mapping"),
        ("doors: [\n", "relay.yaml:"),
        ("- 1\n", "relay.yaml:1: the top level must be a mapping"),
    ],
)
def test_file_at_fault(rig: Rig, command: Command, tmp_path: Path, text: str, said: str) -> None:
    """A file that cannot be extended is named, and stays as it is."""
    file = tmp_path / "relay.yaml"
    file.write_text(text)
    rig.post("kisi", "unmapped-door")
    result = command("config", "suggest", "--merge", str(file))
    assert (result.exit_code, result.stdout) == (1, "")
    assert said in result.stderr
    assert file.read_text() == text
    assert command("config", "suggest", "--merge", str(tmp_path / "none.yaml")).exit_code == 1


def test_seen_without_place(rig: Rig) -> None:
    """What a source's events named and the configuration does not place, for whoever reports on it."""
    deploy(rig)
    rig.post("kisi", "badge-in")
    rig.post("kisi", "unmapped-door")
    rig.post("brivo", sample("brivo", "access-granted", eventObject__id=7))
    target = deployed(STACK)
    letters = known_doors.read_letters(target)
    with invocation_of(target) as invocation:
        relay = pull(invocation.table)
        [found] = known_doors.seen_without_place(invocation, relay, "kisi-sydney", letters)
    assert (found.id, found.name, found.letters, found.place) == ("99001", "Loading dock", 1, None)
