"""What an operator sees of shadowed sources: in a push, in the ledger, in the report and in doctor."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from localrun.template import STACK
from relayctl.main import main
from tests.rig import Rig
from tests.shadowing import SAM, Trial
from tests.stack import deploy

pytestmark = pytest.mark.slow


class Operator(Trial):
    """Somebody who uses relayctl on the stack of the two sources."""

    def __init__(self, rig: Rig, folder: Path) -> None:
        deploy(rig)
        self.file = folder / "operator.yaml"
        super().__init__(rig, folder)

    def run(self, *arguments: str) -> Result:
        """Run a command of relayctl's."""
        return CliRunner().invoke(main, ["--stack", STACK, *arguments])

    def json(self, *arguments: str) -> Any:
        """What a command prints with --json."""
        result = self.run(*arguments, "--json")
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    def push_file(self, **shadow: bool) -> Result:
        """Push the sources with `config push`."""
        for name, is_shadowed in shadow.items():
            self.sources[name]["shadow"] = is_shadowed
        self.file.write_text(self.relay_yaml())
        return self.run("config", "push", str(self.file))


@pytest.fixture
def operator(rig: Rig, tmp_path: Path) -> Operator:
    """A source that is shadowed, and has told of a badge, a reading and leave."""
    someone = Operator(rig, tmp_path)
    someone.badge("trial", "ann")
    someone.badge("trial", "ben", door="nowhere")
    someone.reading("trial", 4)
    someone.leave("trial", "01", "05")
    someone.leave("trial", "01", "02", leave="2", email="ghost@example.com")
    rig.refuse(users=["ghost@example.com"])
    return someone


def test_report(operator: Operator) -> None:
    """The report has what would have been sent, and what stands in its way."""
    [report] = operator.json("shadow", "report")
    assert (report["source"], report["vendor"]) == ("trial", "generic")
    assert {row["place"]: row["people"] for row in report["occupancy"]} == {"site": 1, "level": 1, "room": 4}
    ranges = {(each["employee"], each["start"], each["end"], each["type"]) for each in report["leave"]}
    assert ranges == {
        (SAM, "2027-03-01", "2027-03-05", "leave"),
        ("ghost@example.com", "2027-03-01", "2027-03-02", "leave"),
    }
    assert [(entry["kind"], entry["id"]) for entry in report["unmapped"]] == [("door", "nowhere")]
    assert report["unread"] is None
    result = operator.run("shadow", "report", "trial")
    assert result.exit_code == 0
    for words in ("level", "nowhere", SAM, "2027-03-05", "leave that would be sent"):
        assert words in result.stdout


def test_report_without_a_reader(operator: Operator) -> None:
    """Where Calven cannot be asked whom it knows, the report says so, and all else."""
    operator.rig.aws.secrets.delete_secret(SecretId=f"{STACK}/calven-reader", ForceDeleteWithoutRecovery=True)
    [report] = operator.json("shadow", "report")
    assert (report["unknown_employees"], len(report["leave"])) == (None, 2)
    assert "calven-reader" in report["unread"]
    assert "whom Calven knows was not read: " in operator.run("shadow", "report").stdout


def test_report_of_another_source(operator: Operator) -> None:
    """A source that is not shadowed, or not configured, is no report."""
    assert operator.run("shadow", "report", "live").exit_code == 1
    result = operator.run("shadow", "report", "trail")
    assert (result.exit_code, "did you mean 'trial'?" in result.stderr) == (2, True)
    operator.push(trial=False)
    assert operator.json("shadow", "report") == []
    assert operator.run("shadow", "report").stdout == "no source is shadowed\n"


def test_marked(operator: Operator) -> None:
    """Counts, readings and leave of a shadowed source are marked, others are not."""
    operator.badge("live", "cat")
    operator.leave("live", "09", "09", leave="L")
    shown = operator.json("occupancy")
    assert {(row["place"], row["people"], row["shadow"]) for row in shown["counts"]} == {
        ("site", 1, False),
        ("level", 1, False),
        ("site", 1, True),
        ("level", 1, True),
    }
    assert [(row["place"], row["shadow"]) for row in shown["readings"]] == [("room", True)]
    assert "shadow" in operator.run("occupancy").stdout
    leave = operator.json("leave", "show", SAM)
    assert {each["leave"]: each["shadow"] for each in leave["leaves"]} == {"live/L": False, "trial/1": True}
    assert [(each["start"], each["shadow"]) for each in leave["held"]] == [("2027-03-09", False)]
    assert "approved, shadow" in operator.run("leave", "show", SAM).stdout
    operator.push(live=True)
    assert "confirmed, stays while shadowed" in operator.run("leave", "show", SAM).stdout


def test_push_says_so(operator: Operator) -> None:
    """A push says which sources are shadowed, which are live again, and what of these is on its way."""
    result = operator.push_file(live=True)
    assert result.exit_code == 0, result.output
    assert result.stderr.splitlines() == [
        "live is shadowed from now on: nothing of it is sent to Calven, and nothing taken back",
        "trial stays shadowed: nothing of it is sent to Calven",
    ]
    result = operator.push_file(live=False, trial=False)
    assert result.stderr.splitlines() == [
        "live is live from now on: its events count, and its pending leave is sent to Calven",
        "trial is live from now on: its events count, and its pending leave is sent to Calven",
    ]
    assert "trial is live: 2 of its leaves are on the way to Calven" in result.stdout
    operator.rig.clock.advance(61)
    operator.rig.retry()
    assert len(operator.away()) == 5


def test_rollback_says_so(operator: Operator) -> None:
    """So does a rollback, which queues what a push would."""
    operator.push_file(live=False, trial=False)
    operator.push_file(trial=True)
    operator.leave("trial", "20", "20", leave="3")
    result = operator.run("config", "rollback", "--yes")
    assert result.exit_code == 0, result.output
    assert "trial is live from now on" in result.stderr
    assert "of its leaves" in result.stdout or "1 leave of it" in result.stdout


def test_pulled_and_doctor(operator: Operator) -> None:
    """What is pulled has the key, and doctor has a note, which is no problem."""
    assert operator.json("config", "pull")["sources"]["trial"]["shadow"] is True
    result = operator.run("doctor", "--json")
    notes = {found["check"]: found for found in json.loads(result.stdout)}
    assert notes["shadow trial"]["ok"] is True
    assert "shadow live" not in notes


def test_end_of_leave_of_a_removed_source(operator: Operator) -> None:
    """A source that was removed in shadow keeps its days at Calven until somebody ends its leave."""
    operator.push(trial=False)
    operator.resume()
    operator.rig.retry()
    assert len(operator.away()) == 5
    operator.push(trial=True)
    operator.sources.pop("trial")
    operator.push()
    result = operator.run("leave", "end", "trial", "--yes")
    assert result.exit_code == 0, result.output
    operator.rig.retry()
    assert operator.away() == {}


def test_end_of_leave_of_a_live_source(operator: Operator) -> None:
    """A source that is live keeps its leave: its name may be a mistake."""
    operator.push(trial=False)
    operator.resume()
    operator.rig.retry()
    result = operator.run("leave", "end", "trial", "--yes")
    assert (result.exit_code, "'trial' is live" in result.stderr) == (1, True)
    operator.rig.retry()
    assert len(operator.away()) == 5


def test_audit_leaves_shadow_alone(operator: Operator) -> None:
    """What is not sent is not missed, and days that were told before are not told again."""
    operator.push(trial=False)
    operator.resume()
    operator.rig.retry()
    operator.push(trial=True)
    before = len(operator.rig.requests("/v1/timeoff"))
    result = operator.run("calven", "audit", "--resubmit", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["days"] == 0
    assert len(operator.rig.requests("/v1/timeoff")) == before
