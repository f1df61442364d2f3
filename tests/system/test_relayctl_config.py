"""`relayctl config`: what was pushed, by version, and what dead letters say is missing from it."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from localrun.settings import DEMO
from localrun.template import STACK
from relay.aws.table import Conflict, Key, Table, Update
from relay.config.file import RelayYaml
from relay.config.model import Config, Door, Place, Source
from relay.config.store import ConfigStore, Configuration
from relay.config.versions import UnknownVersion, history, pull, push, rollback
from relayctl import relay_yaml
from relayctl.main import main
from tests.rig import Rig, sample
from tests.stack import deploy

Command = Callable[..., Result]

TWO_PLACES = (
    "sources: {kisi-sydney: {vendor: kisi}}\n"
    "places:\n"
    "  hq: {locationId: HQ, locationType: location}\n"
    "  l1: {locationId: L1, locationType: level, within: hq}\n"
)
ONE_PLACE = "sources: {kisi-sydney: {vendor: kisi}}\nplaces: {hq: {locationId: HQ, locationType: location}}\n"


@pytest.fixture
def command(rig: Rig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Command:
    """`relayctl config` on the rig's stack, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RELAY_CONFIG", raising=False)
    deploy(rig)

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(main, ("--stack", STACK, "config", *arguments))

    return run


def ledger(rig: Rig) -> Table:
    """The rig's table."""
    return Table(rig.aws.dynamodb, rig.resources.table)


def test_round_trip(rig: Rig, command: Command, tmp_path: Path) -> None:
    """What `pull` prints is what was pushed, and `push` takes it again."""
    pulled = command("pull")
    assert pulled.exit_code == 0
    (tmp_path / "relay.yaml").write_text(pulled.stdout)
    assert relay_yaml.load(tmp_path / "relay.yaml") == rig.config
    assert json.loads(command("push", "--json").stdout) == {"version": 1}
    assert "nothing changes: version 1 stays current" in command("push").stdout
    assert command("pull").stdout == pulled.stdout
    again = json.loads(command("pull", "--json").stdout)
    assert RelayYaml.model_validate(again) == rig.config


ODD = (
    "012",
    "yes",
    "null",
    "1e3",
    "~",
    "0x1F",
    "12:30:00",
    "a: b",
    "#x",
    " b",
    "é",
    "\x1b[31m",
    "a\nb",
    "?",
)


def test_odd_texts(tmp_path: Path) -> None:
    """Ids and names that YAML would read as something else, or a terminal obey, are written as texts."""
    relay = RelayYaml(
        sources={"k": Source(vendor="kisi"), "007": Source(vendor="brivo", securityActions=(1, 2))},
        places={
            "p": Place(locationId="0123", locationType="location", resetAt="05:30", timezone="Asia/Tokyo"),
            "q": Place(locationId="x y", locationType="level", within="p"),
        },
        doors={
            "k": {odd: Door(place="p", name=odd) for odd in (*ODD, "x" * 200)}
            | {"empty": Door(place="p", name="")}
        },
    )
    (tmp_path / "relay.yaml").write_text(relay_yaml.dump(relay))
    assert "\x1b" not in relay_yaml.dump(relay)
    assert relay_yaml.load(tmp_path / "relay.yaml") == relay


def test_pull_a_version(command: Command, tmp_path: Path) -> None:
    """An earlier version can be pulled by its number; one that is not there is exit code 1."""
    first = command("pull").stdout
    (tmp_path / "relay.yaml").write_text(ONE_PLACE)
    command("push")
    assert command("pull", "--version", "1").stdout == first
    assert set(json.loads(command("pull", "--json").stdout)["places"]) == {"hq"}
    result = command("pull", "--version", "3")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "Error: there is no version 3\n"
    assert command("pull", "--version", "0").exit_code == 2


def test_diff(command: Command, tmp_path: Path) -> None:
    """`diff` says what a push would change: exit code 1 if anything."""
    same = command("diff", str(DEMO / "relay.yaml"))
    assert (same.exit_code, same.output) == (0, "")
    text = (DEMO / "relay.yaml").read_text().replace("name: Lobby in,", "name: North lobby,", 1)
    (tmp_path / "relay.yaml").write_text(text)
    result = command("diff")
    assert result.exit_code == 1
    changed = [line for line in result.stdout.splitlines() if line[:1] in "+-"]
    assert changed == ["--- current", "+++ relay.yaml", "-      name: Lobby in", "+      name: North lobby"]
    found = json.loads(command("diff", "--json").stdout)
    assert (found["same"], found["diff"]) == (False, result.stdout.splitlines())
    (tmp_path / "relay.yaml").write_text("sources: []")
    assert command("diff").stderr.startswith("Error: relay.yaml:1: ")


def test_history_and_rollback(rig: Rig, command: Command, tmp_path: Path) -> None:
    """Versions are listed with the current one marked; `rollback` makes an earlier one current."""
    for text in (ONE_PLACE, TWO_PLACES):
        (tmp_path / "relay.yaml").write_text(text)
        command("push")
    listed = json.loads(command("history", "--json").stdout)
    assert [(v["version"], v["current"]) for v in listed] == [(3, True), (2, False), (1, False)]
    assert all(v["pushed_at"] for v in listed)
    assert "version 2 is current" in command("rollback").stdout
    assert json.loads(command("rollback", "--to", "1", "--json").stdout) == {"version": 1}
    assert ConfigStore(ledger(rig)).current() == rig.config.config()
    assert Configuration(ConfigStore(ledger(rig))).door("kisi-sydney", "48211") is not None
    lines = command("history").stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["version", "3", "2", "1"]
    assert lines[3].split()[-1] == "current"
    result = command("rollback")
    assert (result.exit_code, result.stderr) == (
        1,
        "Error: there is no earlier version: see `config history`\n",
    )
    assert command("rollback", "--to", "7").exit_code == 1
    assert json.loads(command("push", "--json").stdout) == {"version": 4}


class Broken:
    """A DynamoDB that fails in an operation, at the n-th time."""

    def __init__(self, rig: Rig, operation: str, times: int = 1) -> None:
        self._client, self._operation, self._left = rig.aws.dynamodb, operation, times

    def __getattr__(self, operation: str) -> object:
        if operation == self._operation:
            self._left -= 1
            if not self._left:
                raise KeyboardInterrupt
        return getattr(self._client, operation)


@pytest.mark.parametrize("operation", ["update_item", "batch_write_item", "transact_write_items"])
def test_push_that_breaks_off(rig: Rig, command: Command, operation: str) -> None:
    """A push that is killed at any step leaves no version that could be rolled back to, or pulled."""
    table = rig.resources.table
    with pytest.raises(KeyboardInterrupt):
        push(Broken(rig, operation), table, rig.config)  # type: ignore[arg-type]
    assert [version.number for version in history(ledger(rig))] == [1]
    with pytest.raises(UnknownVersion):
        rollback(ledger(rig), 2)
    with pytest.raises(UnknownVersion):
        pull(ledger(rig), 2)
    assert push(rig.aws.dynamodb, table, rig.config) == 2 + (operation != "update_item")


def test_main_is_written_last(rig: Rig) -> None:
    """The doors are there when the version's main item comes, and it comes with the pointer."""
    order: list[str] = []

    class Watched(Broken):
        def __getattr__(self, operation: str) -> object:
            order.append(operation)
            return getattr(self._client, operation)

    push(Watched(rig, ""), rig.resources.table, rig.config)  # type: ignore[arg-type]
    assert order[-1] == "transact_write_items"
    assert "batch_write_item" in order[:-1]


def test_rollback_that_is_overtaken(rig: Rig) -> None:
    """A rollback does not undo what somebody has pushed since it looked."""

    class Overtaken(Table):
        def write(self, updates: object) -> None:
            push(rig.aws.dynamodb, rig.resources.table, rig.config)
            super().write(updates)  # type: ignore[arg-type]

    push(rig.aws.dynamodb, rig.resources.table, rig.config)
    with pytest.raises(Conflict):
        rollback(Overtaken(rig.aws.dynamodb, rig.resources.table))
    assert [version.number for version in history(ledger(rig)) if version.current] == [3]


def test_conflicts(rig: Rig, command: Command, tmp_path: Path) -> None:
    """Whoever pushes while somebody else does is told so, and so is a rollback to half a version."""
    (tmp_path / "relay.yaml").write_text(ONE_PLACE)
    command("push")
    main_of_first = {"pk": {"S": "config#1"}, "sk": {"S": "main"}}
    table = rig.resources.table
    for number in (3, 4):
        item = {"pk": {"S": f"config#{number}"}, "sk": {"S": "main"}, "body": {"S": "{}"}}
        rig.aws.dynamodb.put_item(TableName=table, Item=item)
    (tmp_path / "relay.yaml").write_text(TWO_PLACES)
    result = command("push")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("Error: somebody else pushed meanwhile")
    rig.aws.dynamodb.update_item(TableName=table, Key=main_of_first, UpdateExpression="REMOVE body")
    result = command("rollback")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "unreadable" in result.stderr
    assert [v["version"] for v in json.loads(command("history", "--json").stdout) if v["current"]] == [2]


def test_version_of_an_older_relay(rig: Rig) -> None:
    """A version of which it is not noted that it is whole is current as long as it is, and nothing after."""
    main: Key = ("config#1", "main")
    ledger(rig).write([Update(key=main, remove=["pushed_at"])])
    [only] = history(ledger(rig))
    assert (only.number, only.pushed_at, only.current) == (1, None, True)
    assert pull(ledger(rig)) == rig.config
    push(rig.aws.dynamodb, rig.resources.table, rig.config)
    assert [version.number for version in history(ledger(rig))] == [2]
    with pytest.raises(UnknownVersion, match="no earlier version"):
        rollback(ledger(rig))


def test_nothing_pushed(rig: Rig, command: Command) -> None:
    """Before the first push there is nothing to pull, list or take back."""
    key = {"pk": {"S": "config"}, "sk": {"S": "pointer"}}
    rig.aws.dynamodb.delete_item(TableName=rig.resources.table, Key=key)
    assert command("pull").stderr == "Error: no configuration was pushed yet\n"
    assert json.loads(command("history", "--json").stdout) == []
    assert command("rollback").exit_code == 1
    assert ConfigStore(ledger(rig)).current() == Config()


def test_suggest(rig: Rig, command: Command, tmp_path: Path) -> None:
    """Unmapped doors and sensors become YAML in which only the places are to be filled in."""
    for door in ("99001", "0x1F", "99001", "\x1b[31m"):
        rig.post("kisi", sample("kisi", "unmapped-door", object_id=door))
    reading = {"type": "reading", "id": "r-1", "at": "2026-11-04T03:00:00Z", "sensor": "cam-1", "people": 3}
    rig.post("generic", reading)
    rig.post("deel", "deleted")
    found = json.loads(command("suggest", "--json").stdout)
    assert {door: each["seen"] for door, each in found["doors"]["kisi-sydney"].items()} == {
        "99001": 2,
        "0x1F": 1,
        "\x1b[31m": 1,
    }
    assert found["sensors"]["generic"]["cam-1"]["seen"] == 1
    assert found["sensors"]["generic"]["cam-1"]["last"].startswith("2026-11-04T04:00")
    yaml = command("suggest").stdout
    assert "\x1b" not in yaml
    named = r"""^    '99001': \{name: Loading dock, place: '\?'\} +# seen 2 times$"""
    assert re.search(named, yaml, re.MULTILINE)
    (tmp_path / "relay.yaml").write_text(
        "sources: {kisi-sydney: {vendor: kisi}, generic: {vendor: generic}}\n" + yaml
    )
    refused = command("validate").stderr.splitlines()
    assert len(refused) == 4
    assert all("unknown place '?'" in line for line in refused)
    lines = (tmp_path / "relay.yaml").read_text().splitlines()
    assert all("place: '?'" in lines[int(line.split(":")[1]) - 1] for line in refused)
    assert len(rig.dead_letters()) == 6


def test_nothing_to_suggest(command: Command) -> None:
    """Without such letters nothing is on standard output."""
    result = command("suggest")
    assert (result.exit_code, result.stdout) == (0, "")
    assert json.loads(command("suggest", "--json").stdout) == {"doors": {}, "sensors": {}}


@given(st.dictionaries(st.text(min_size=1, max_size=8), st.just({"place": "p"}), max_size=5))
def test_strange_ids_round_trip(entries: dict[str, Any]) -> None:
    """Ids of whatever characters are written so that no terminal obeys them, and read as they were."""
    text = relay_yaml.text({"doors": {"kisi": entries}})
    assert YAML(typ="safe", pure=True).load(text) == {"doors": {"kisi": entries}}
    assert all(letter.isprintable() or letter == "\n" for letter in text)
