"""`relayctl send` against a configuration, and what waits in the queue, in one process; then a local run."""

import json
import stat
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from localrun.seed import odd_secrets, usable
from localrun.settings import DEMO, read_secrets
from relay import vendors
from relayctl import fitting, relay_yaml
from relayctl.changes import Changes, NoField
from relayctl.main import main
from relayctl.send import Plan, Wanted, plan
from tests.rig import Rig
from tests.stack import deploy
from tests.system.test_end_to_end import Run

OWN = """\
sources:
  hr: {vendor: hibob}
  front: {vendor: kisi}
  back: {vendor: kisi}
  off: {vendor: verkada, enabled: false}
  deel: {vendor: deel}
  bob-only: {vendor: bamboohr}
places:
  hq: {locationId: A1, locationType: location, timezone: Asia/Tokyo}
  lab: {locationId: B1, locationType: location, timezone: Australia/Brisbane}
doors:
  front: {"777": {place: hq}}
  back: {"778": {place: lab}}
"""


@pytest.fixture
def own(rig: Rig, tmp_path: Path) -> Rig:
    """A relay with a configuration of somebody's own."""
    rig.push(OWN, tmp_path)
    return rig


def planned(rig: Rig, vendor: str, **wanted: Any) -> Plan:
    """What `send` makes of a wish."""
    return plan(rig.target(), Wanted(vendor=vendor, **wanted))


def warnings(rig: Rig, vendor: str, **wanted: Any) -> list[str]:
    """What does not fit."""
    return [str(misfit) for misfit in planned(rig, vendor, **wanted).misfits]


def command(*arguments: str) -> Result:
    """`relayctl` for a stack in moto."""
    return CliRunner().invoke(main, ["--stack", "relay", *arguments])


def test_what_does_not_fit(own: Rig) -> None:
    """A warning says what the configuration does not know, and which command fits."""
    assert warnings(own, "kisi") == [
        "the door '48211' of 'front' has no place; this fits: relayctl send kisi --door 777"
    ]
    assert warnings(own, "kisi", source="back") == [
        "the door '48211' of 'back' has no place; this fits: relayctl send kisi --source back --door 778"
    ]
    assert warnings(own, "kisi", changes=Changes(door="777")) == []
    disabled, no_door = warnings(own, "verkada")
    assert disabled == (
        "'off' has `enabled: false`: the answer is `ignored`; this fits: relayctl send kisi --door 777"
    )
    assert no_door.endswith("of 'off' has no place")
    assert warnings(own, "deel") == ["`timeOffTypes` of 'deel' has no 'Vacation': Calven is told `leave`"]
    assert warnings(own, "deel", source="front") == [
        "'front' is a source of kisi, not of deel; this fits: relayctl send kisi --source front"
    ]
    url = "https://api.example.com/webhooks/hris/front"
    assert warnings(own, "kisi", url=url, changes=Changes(door="777")) == [
        "Kisi is on the route access-control, not on hris"
    ]


def test_demo_fits(rig: Rig) -> None:
    """Each vendor's first sample fits the demo."""
    for name in vendors.NAMES:
        if vendors.load(name).sends_webhooks:
            assert [each for each in warnings(rig, name) if "has no place" in each] == [], name


def test_local_time_of_the_site(own: Rig) -> None:
    """A time of day is today's at the site of the door; a time with a zone is itself."""

    def at(source: str, door: str, when: datetime | time) -> datetime | None:
        return planned(own, "kisi", source=source, at=when, changes=Changes(door=door)).changes.at

    for source, door, zone in (("front", "777", 9), ("back", "778", 10)):
        found = at(source, door, datetime(2026, 11, 26, 9, 15))  # noqa: DTZ001 - without a zone on purpose
        assert found is not None
        assert found == datetime(2026, 11, 26, 9, 15, tzinfo=UTC) - timedelta(hours=zone)
        today = at(source, door, time(9, 15))
        assert today is not None
        assert (today.hour, today.minute, today.utcoffset()) == (9, 15, found.utcoffset())
    aware = datetime(2026, 11, 26, 9, 15, tzinfo=UTC)
    assert at("front", "777", aware) == aware


def test_at_where_there_is_no_time(own: Rig) -> None:
    """An option for which there is no field is refused before anything is posted."""
    with pytest.raises(NoField, match="--person"):
        planned(own, "hibob", changes=Changes(person="x@example.com")).content(0, datetime.now(UTC))


@pytest.mark.parametrize(
    "arguments",
    [
        ("hibob", "--person", "x@example.com"),
        ("hibob", "--count", "2"),
        ("kisi", "--at", "noon"),
        ("kisi", "--at", "25:00"),
        ("kisi", "--at", "0001-01-01T00:00:00+14:00"),
        ("kisi", "--door", ""),
        ("deel", "--person", " "),
        ("kisi", "--source", ""),
        ("kisi", "--url", ""),
        ("kisi", ""),
        ("kisi", "--set", "nothing"),
        ("kisi", "--set", "object_id.x=1"),
        ("kisi", "--count", "0"),
        ("kisi", "--as-is", "--count", "2"),
        ("kisi", "--file", "nothing.json"),
    ],
)
def test_usage(own: Rig, arguments: tuple[str, ...]) -> None:
    """What cannot be asked for is wrong usage, and says why."""
    deploy(own, "relay")
    result = command("send", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Error: " in result.stderr


def test_nothing_configured_of_that_vendor(own: Rig) -> None:
    """Without a source of the vendor another command is suggested; a mistyped source is guessed."""
    deploy(own, "relay")
    result = command("send", "genea")
    assert result.exit_code == 1
    assert (
        "no source of vendor genea is configured; this fits: relayctl send kisi --door 777" in result.stderr
    )
    assert "did you mean 'front'?" in command("send", "kisi", "--source", "frnt").stderr


@pytest.mark.parametrize("vendor", ["deel", "butlr"])
def test_source_of_another_vendor(own: Rig, vendor: str) -> None:
    """Where a source's secret signs nothing, as it is another vendor's, that is said: none is missing."""
    deploy(own, "relay")
    result = command("send", vendor, "--source", "front")
    assert result.exit_code == 1
    assert result.stderr.endswith(
        f"Error: 'front' is a source of kisi: its secret signs no webhook of {vendor}\n"
    )


def test_vendor_without_webhooks(own: Rig) -> None:
    """Of a vendor that sends none, nothing can be sent, and no secret would change that."""
    deploy(own, "relay")
    result = command("send", "bamboohr")
    assert (result.exit_code, result.stderr) == (
        1,
        "Error: BambooHR sends no webhooks: relayctl reconcile asks it what happened\n",
    )


def test_suggestion(own: Rig, tmp_path: Path) -> None:
    """What is suggested is at a door that has a place, of a source with a secret that can be right."""
    relay = relay_yaml.load(tmp_path / "relay.yaml")
    secrets = {"front": {"signingSecrets": ["short"]}, "back": {"signingSecrets": ["long enough a secret"]}}
    found = fitting.first_command(relay, lambda name: usable(relay, secrets, name))
    assert found == "relayctl send kisi --source back --door 778"
    assert fitting.first_command(relay, lambda name: name == "hr") == "relayctl send hibob"
    assert fitting.first_command(relay, lambda name: name in ("off", "bob-only")) is None


def test_odd_secrets(tmp_path: Path) -> None:
    """Each secret that is missing, malformed or nobody's is named; its value is not."""
    (tmp_path / "relay.yaml").write_text(OWN)
    relay = relay_yaml.load(tmp_path / "relay.yaml")
    secrets: dict[str, Any] = {
        "calven": {},
        "front": {"signingSecrets": ["s3cr3t"]},
        "back": {"signingSecrets": ["s3cr3t-s3cr3t"]},
        "deel": {"signingSecrets": "s3cr3t"},
        "of": {"tokens": ["s3cr3t"]},
        "hr": {"signingSecrets": ["s3cr3t-s3cr3t"], "api": {"baseUrl": "s3cr3t"}},
    }
    found = list(odd_secrets(relay, secrets))
    assert [sentence.partition(":")[0] for sentence in found] == [
        "the secret of 'hr' cannot be right",
        "the secret of 'front' cannot be right",
        "no secret for source 'off'",
        "the secret of 'deel' cannot be right",
        "a secret for 'of', which is no source",
    ]
    assert "s3cr3t" not in "".join(found)
    assert list(odd_secrets(relay_yaml.load(DEMO / "relay.yaml"), read_secrets(DEMO / "secrets.json"))) == []


def test_queue_list(rig: Rig) -> None:
    """What waits is listed by reason and source; what cannot be looked at is said, with exit code 1."""
    deploy(rig, "relay")
    assert command("queue", "list").stdout == "nothing that can be looked at waits\n"
    url = rig.resources.unprocessed_queue_url
    for source, reason in (("a", "contended"), ("a", "contended"), ("b", "vendor_unavailable")):
        body = json.dumps(
            {"id": "1", "source": source, "reason": reason, "received_at": "2026-11-04T00:00:00Z"}
        )
        rig.aws.sqs.send_message(QueueUrl=url, MessageBody=body)
    for _ in range(2):
        result = command("--json", "queue", "list")
        assert result.exit_code == 0
        waiting = json.loads(result.stdout)
        assert waiting["unseen"] == 0
        assert [(each["reason"], each["source"], each["count"]) for each in waiting["waiting"]] == [
            ("contended", "a", 2),
            ("vendor_unavailable", "b", 1),
        ]
    rig.aws.sqs.send_message(QueueUrl=url, MessageBody="{}", DelaySeconds=60)
    result = command("queue", "list")
    assert result.exit_code == 1
    assert "contended" in result.stdout
    assert "about 1 event cannot be looked at" in result.stderr


def test_version() -> None:
    """The version is that of the package."""
    result = CliRunner().invoke(main, ["--version"])
    assert result.exit_code == 0
    assert "0.1.0" in result.output


@pytest.mark.slow
def test_capture_and_replay(tmp_path: Path) -> None:
    """A local run keeps what it receives, and `send --file` posts it again, as it was or changed."""
    folder = tmp_path / "captures"
    (tmp_path / "relay.yaml").write_text(OWN)
    secret = {"signingSecrets": ["a secret that is long enough"]}
    demo = json.loads((DEMO / "secrets.json").read_text())
    (tmp_path / "secrets.json").write_text(json.dumps({"calven": demo["calven"], "front": secret}))
    environment = {"RELAY_CONFIG": "relay.yaml", "RELAY_SECRETS": "secrets.json"}
    paths = {name: str(tmp_path / file) for name, file in environment.items()}
    with Run(CAPTURE=str(folder), **paths) as run:
        output = "".join(run.output)
        assert "with the personal data in it" in output
        assert "warning: no secret for source 'hr'" in output
        assert output.rstrip().endswith("relayctl send kisi --door 777\n\nready")
        sent = run.send("kisi", "--door", "777", "--count", "3")
        assert sum(answer["times"] for answer in sent["answers"]) == 3
        [last] = run.send("kisi", "--door", "777", "--person", "81")["calven"]
        assert last["body"]["occupancyEvents"][0]["occupancy"] == 4
        files = sorted(folder.iterdir())
        assert len(files) == 4
        assert stat.S_IMODE(files[-1].stat().st_mode) == 0o600
        again = run.send("--file", str(files[-1]))
        assert again["answer"] == {"status": "ignored", "reason": "duplicate"}
        other = run.send("--file", str(files[-1]), "--person", "82", "--set", "uuid=another")
        assert other["answer"] == {"status": "forwarded", "events": 1}
        unsigned = run.command("send", "deel")
        assert unsigned.exit_code == 1
        assert "relayctl secrets put deel" in unsigned.stderr
        counted = run.command("--local", "occupancy").stdout
        assert [line.split()[3:5] for line in counted.splitlines() if " hq " in line] == [["5", "5"]]
