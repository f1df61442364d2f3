"""The guide from nothing to live, walked on a local relay: each of its commands, and what one sees."""

import json
import re
import shlex
import signal
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner, Result

from localrun.settings import DEMO
from relayctl.main import main
from tests.processes import killed_afterwards
from tests.rig import sample
from tests.system.test_end_to_end import RELAYCTL, Run
from tests.timed import wait_until

pytestmark = pytest.mark.slow

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "from-nothing-to-live.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMAND = ".venv/bin/relayctl "
STACK = "--stack calven-relay"
ON_AWS = ("export AWS_REGION=us-east-1", "make deploy STAGE=prod")
"""What `make run` stands for."""
EDITS = ("", "place: '?'", ", shadow: true")
"""What the reader has done away with in relay.yaml before each push."""


class Walk:
    """A reader who types what the guide says, and looks at what comes."""

    def __init__(self, run: Run, folder: Path) -> None:
        self.run = run
        self.folder = folder
        self.pushes = 0
        self.seen = ""
        self.secrets = json.loads((DEMO / "secrets.json").read_text("utf-8"))

    def save(self, yaml: str) -> None:
        """Save the file that the guide shows."""
        (self.folder / "relay.yaml").write_text(yaml, "utf-8")

    def type(self, line: str) -> None:
        """Type one line of the guide."""
        command, _, comment = line.partition(" #")
        if command.strip() in ON_AWS:
            return
        assert command.startswith(COMMAND), line
        arguments = shlex.split(command.removeprefix(COMMAND).replace(STACK, "--local"))
        if arguments[0] == "listen":
            self._listen(arguments)
            return
        if arguments[:2] == ["config", "push"]:
            self._edit()
        result = self._relayctl(arguments)
        self.seen += result.output
        expected = {1} if comment.strip() == "exits 1" else {0, 1} if "exits 1" in comment else {0}
        assert result.exit_code in expected, f"{line}\n{result.output}"

    def look(self, text: str) -> None:
        """Look for each line of what the guide says that one sees; `…` stands for anything."""
        self._wait_for_what_was_queued()
        for line in text.splitlines():
            pattern = ".*".join(re.escape(part.strip()) for part in line.split("…"))
            pattern = pattern.replace("calven\\-relay/", "calven\\-relay\\-local/").replace("\\ ", " +")
            assert re.search(pattern, self.seen), f"{line}\nis not in\n{self.seen}"
        self.seen = ""

    def _relayctl(self, arguments: list[str]) -> Result:
        answers = "\n".join(self._answers(arguments[2])) if arguments[:2] == ["secrets", "put"] else ""
        environment = {"PORT": str(self.run.port)}
        return CliRunner().invoke(main, arguments, input=f"{answers}\n", env=environment)

    def _answers(self, name: str) -> list[str]:
        """What the reader answers when asked for a secret; vendors' APIs are played by the local run."""
        secret: dict[str, Any] = self.secrets[name]
        if name.startswith("calven"):
            return [secret["apiKey"], secret["apiSecret"], "", ""]
        api = [str(value) for value in secret["api"].values()]
        return [secret["signingSecrets"][0], *api, self.run.about["vendor_api_url"]]

    def _edit(self) -> None:
        file = self.folder / "relay.yaml"
        gone = EDITS[self.pushes]
        self.pushes += 1
        if gone:
            text = file.read_text("utf-8")
            assert gone in text
            file.write_text(text.replace(gone, "place: sydney" if "?" in gone else ""), "utf-8")

    def _listen(self, arguments: list[str]) -> None:
        command: list[str | Path] = [RELAYCTL, *arguments]
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "text": True}
        with (
            subprocess.Popen(command, env=self.run.environment, **pipes) as process,
            killed_afterwards(process),
        ):
            assert process.stdout is not None
            for line in process.stdout:
                self.seen += line
                if "ignored: shadow" in line:
                    break
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 0

    def _wait_for_what_was_queued(self) -> None:
        wait_until(lambda: not self._waiting())

    def _waiting(self) -> int:
        result = self._relayctl(["--json", "doctor", "--local"])
        [check] = [one for one in json.loads(result.stdout) if one["check"] == "unprocessed"]
        return int(check["detail"].split()[0])


def approve(run: Run) -> None:
    """Somebody's leave is approved in HiBob before anybody has set up a webhook."""
    said = {"vendor": "hibob", "sample": "approved", "payload": sample("hibob", "approved")}
    url = f"{run.about['vendor_api_url']}/_vendors/happened"
    httpx.post(url, json=said, trust_env=False).raise_for_status()


@pytest.mark.long(20)
def test_guide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every command of the guide does what the guide says, from an empty relay to one that is live."""
    # It takes twenty seconds, as it waits as an operator would: for a start, for each push, for the queue.
    monkeypatch.chdir(tmp_path)
    nothing = tmp_path / "nothing.yaml"
    nothing.write_text("sources: {}\nplaces: {}\n", "utf-8")
    with Run(RELAY_CONFIG=str(nothing)) as run:
        approve(run)
        walk = Walk(run, tmp_path)
        for language, text in BLOCK.findall(GUIDE.read_text("utf-8")):
            match language:
                case "yaml":
                    walk.save(text)
                case "sh":
                    for line in text.splitlines():
                        walk.type(line)
                case "text":
                    walk.look(text)
        assert walk.pushes == len(EDITS)
        state = run.sandbox.get("/_sandbox/state").json()
        assert len(state["away"]) == 1
