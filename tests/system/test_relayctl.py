"""The command, by its exit codes and output, against files and against moto."""

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from localrun.settings import DEMO
from relay import vendors
from relayctl import ages, samples, target
from relayctl.main import main
from tests.rig import Rig, sample
from tests.stack import deploy

Command = Callable[..., Result]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Command:
    """`relayctl` with some arguments, in an empty folder, with no relay running."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PORT", "9")
    monkeypatch.delenv("RELAY_CONFIG", raising=False)

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(main, arguments)

    return run


def test_validate(command: Command) -> None:
    """A valid file is exit code 0."""
    result = command("config", "validate", str(DEMO / "relay.yaml"))
    assert result.exit_code == 0
    assert result.output.startswith(f"{DEMO / 'relay.yaml'}: valid ({len(vendors.NAMES)} sources, ")


def test_validate_invalid(command: Command, tmp_path: Path) -> None:
    """A file at fault is exit code 1, each problem with its line on standard error."""
    (tmp_path / "relay.yaml").write_text("sources:\n  a: {vendor: kisi, odd: 1}\nplaces:\n  b: {}\n")
    result = command("config", "validate")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.splitlines() == [
        "relay.yaml:2: unknown key 'odd'",
        "relay.yaml:4: 'locationId' is missing",
        "relay.yaml:4: 'locationType' is missing",
    ]
    result = command("--json", "config", "validate")
    assert json.loads(result.stdout)["valid"] is False
    assert result.stderr == ""


@pytest.mark.parametrize(
    "arguments",
    [
        ("dlq", "list"),
        ("config", "push"),
        ("--local", "dlq", "list", "--stack", "x"),
        ("nonsense",),
        ("send",),
    ],
)
def test_usage(command: Command, arguments: Sequence[str]) -> None:
    """Wrong usage, such as naming no relay or two, is exit code 2."""
    assert command(*arguments).exit_code == 2


@pytest.mark.parametrize(
    "arguments", [("--local", "dlq", "list"), ("send", "kisi"), ("config", "push", "--local")]
)
def test_nothing_runs(command: Command, arguments: Sequence[str]) -> None:
    """Where no relay runs, the command says how to start one: exit code 1, no traceback."""
    result = command(*arguments)
    assert result.exit_code == 1
    assert "no local relay answers at http://127.0.0.1:9: start one with `make run`" in result.stderr


def test_api_of_a_stack(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stack's API is where its outputs say, or where `RELAY_API_URL` says instead."""
    deploy(rig, "relay")
    assert target.deployed("relay").api_url == "https://api.example.com"
    monkeypatch.setenv("RELAY_API_URL", "https://webhooks.example.com")
    assert target.deployed("relay").api_url == "https://webhooks.example.com"
    assert target.deployed("relay").table == rig.resources.table


def test_region_of_a_stack(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """`AWS_REGION` alone says where the stack is, as it does for SAM."""
    deploy(rig, "relay")
    monkeypatch.setenv("AWS_REGION", os.environ["AWS_DEFAULT_REGION"])
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    found = target.deployed("relay")
    assert found.client("sqs").meta.region_name == "us-east-1"


def test_dead_letters_of_a_stack(rig: Rig, command: Command) -> None:
    """`dlq list` shows a deployed stack's dead letters, as a table and as one JSON array."""
    deploy(rig, "relay")
    rig.post("kisi", "unmapped-door")
    rig.post("deel", "deleted")
    result = command("--stack", "relay", "dlq", "list")
    assert result.exit_code == 0
    assert "unmapped_door" in result.output
    assert result.output.endswith("2 dead letters\n")
    listed = json.loads(command("dlq", "list", "--json", "--stack", "relay").stdout)
    assert [letter["reason"] for letter in listed] == ["unmapped_door", "unknown_leave"]


def test_no_such_stack(rig: Rig, command: Command) -> None:
    """A stack that is not there, or is none of the relay's, is said so: exit code 1."""
    result = command("--stack", "nothing", "dlq", "list")
    assert result.exit_code == 1
    assert "cannot read the stack 'nothing'" in result.stderr
    assert rig.dead_letters() == []


def test_listing_takes_nothing(rig: Rig) -> None:
    """Listing gives messages back at once: so many that it takes several reads, and all of them again."""
    for number in range(25):
        body = json.dumps({"id": str(number), "reason": "rejected", "received_at": "2026-11-04T00:00:00Z"})
        rig.aws.sqs.send_message(QueueUrl=rig.resources.dead_letter_queue_url, MessageBody=body)
    for _ in range(2):
        assert {letter["id"] for letter in rig.dead_letters()} == {str(number) for number in range(25)}


def test_message_that_is_no_envelope(rig: Rig) -> None:
    """What somebody else put into the queue is shown as the text that it is."""
    rig.aws.sqs.send_message(QueueUrl=rig.resources.dead_letter_queue_url, MessageBody="hello")
    [letter] = rig.dead_letters()
    assert (letter["reason"], letter["detail"]) == ("unreadable", "hello")
    assert ages.age(letter, ages.now()) == "?"


@pytest.mark.parametrize(("seconds", "text"), [(5, "5 s"), (120, "2 m"), (7200, "2 h"), (2 * 86400, "2 d")])
def test_age(seconds: int, text: str) -> None:
    """An age is said in one unit."""
    from datetime import timedelta  # noqa: PLC0415

    now = ages.now()
    assert ages.age({"received_at": (now - timedelta(seconds=seconds)).isoformat()}, now) == text


def test_push(rig: Rig, command: Command, tmp_path: Path) -> None:
    """`config push` stores a version that the functions take up."""
    deploy(rig, "relay")
    (tmp_path / "relay.yaml").write_text("sources: {kisi-sydney: {vendor: kisi, enabled: false}}")
    result = command("--stack", "relay", "--json", "config", "push")
    assert json.loads(result.stdout) == {"version": 2}
    assert rig.post("kisi", "badge-in", relay=rig.built())[1]["reason"] == "disabled"
    assert "version 2 stays current" in command("--stack", "relay", "config", "push").stdout
    (tmp_path / "relay.yaml").write_text("sources: []")
    assert command("--stack", "relay", "config", "push").exit_code == 1


def test_terminal_is_obeyed_by_nobody(rig: Rig, command: Command) -> None:
    """Text from a payload reaches the terminal without what a terminal would act upon."""
    deploy(rig, "relay")
    rig.post("kisi", sample("kisi", "unmapped-door", object_id="\x1b[31mred\x1b]0;title\x07"))
    shown = command("--stack", "relay", "dlq", "list").output
    assert "\x1b" not in shown
    assert "\x07" not in shown
    assert "\\u001b[31mred" in shown


@pytest.mark.parametrize("vendor", ["deel", "hibob", "kisi", "verkada"])
def test_samples(vendor: str) -> None:
    """Every sample can be renewed, and stays what it was but for ids and times; the first is forwarded."""
    record = samples.vendor_named(vendor)
    for name in samples.names(vendor):
        recorded = samples.body(vendor, name)
        renewed = json.loads(samples.renewed(record, recorded, ages.now()))
        assert _keys(renewed) == _keys(json.loads(recorded))
    assert samples.names(vendor)[0] in ("approved", "approved-v1", "badge-in")


def _keys(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _keys(entry) for key, entry in value.items()}
    return [_keys(entry) for entry in value] if isinstance(value, list) else type(value)


def test_unknown_samples() -> None:
    """A sample or a vendor that is not there is answered with those that are."""
    with pytest.raises(samples.UnknownSample, match="kisi has the sample events badge-in, badge-out"):
        samples.body("kisi", "nothing")
    with pytest.raises(samples.UnknownSample, match=r"there are .*brivo, .*, verkada"):
        samples.vendor_named("acme")
