"""What `relayctl` does where its streams are closed, full or a terminal, and where it is stopped early."""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from io import StringIO
from pathlib import Path

import pytest

from localrun.template import STACK
from relayctl.main import main
from tests.letters import letter
from tests.rig import Rig
from tests.stack import deploy

PROGRAM = "from relayctl.entry import run; run()"
STOPPED_EARLY = """
import signal, sys

class Stopped:
    def find_spec(self, name, *_):
        if name == "relayctl.main":
            signal.raise_signal(signal.SIGINT)

signal.signal(signal.SIGINT, signal.default_int_handler)
sys.meta_path.insert(0, Stopped())
"""
FULL = Path("/dev/full")


@pytest.fixture
def closed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Standard input is closed."""
    monkeypatch.setattr(sys, "stdin", None)
    yield
    if sys.stdin is not None:
        sys.stdin.close()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("import", "generic", "-"), "nothing is imported"),
        (("secrets", "put", "generic", "--from-file", "-"), "the secret of generic"),
        (("dlq", "purge"), "Delete 1 dead letter for good?"),
    ],
)
@pytest.mark.usefixtures("closed")
def test_closed_input(
    rig: Rig, capsys: pytest.CaptureFixture[str], arguments: Sequence[str], said: str
) -> None:
    """A closed standard input is an empty one: exit code 1, with what is missing, and nothing is changed."""
    deploy(rig)
    letter(rig, 1)
    with pytest.raises(SystemExit) as ended:
        main(["--stack", STACK, *arguments])
    assert (ended.value.code, said in capsys.readouterr().err) == (1, True)
    assert len(rig.dead_letters()) == 1


def run(program: str, *arguments: str, output: Path) -> subprocess.CompletedProcess[str]:
    """Run a program, with its output in a file."""
    with output.open("w") as stdout:
        return subprocess.run(
            [sys.executable, "-c", program, *arguments],
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )


@pytest.mark.skipif(not FULL.exists(), reason="this machine has no /dev/full")
@pytest.mark.parametrize("arguments", [("vendors", "--json"), ("vendors",), ("--help",)])
def test_full_disk(arguments: Sequence[str]) -> None:
    """Output that cannot be written is one line on standard error, and exit code 1."""
    result = run(PROGRAM, *arguments, output=FULL)
    assert (result.returncode, result.stderr) == (1, "Error: No space left on device\n")


def test_stopped_while_it_loads(tmp_path: Path) -> None:
    """Ctrl-C before a command is loaded ends it quietly, as a signal does: exit code 130."""
    result = run(STOPPED_EARLY + PROGRAM, "vendors", output=tmp_path / "output")
    assert (result.returncode, result.stderr) == (130, "")


class Terminal(StringIO):
    """Standard error as it is on a terminal."""

    def isatty(self) -> bool:
        """It is one."""
        return True


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("secrets", "check"), "reading the secrets"),
        (("doctor",), "checking: front door"),
        (("calven", "check"), "asking Calven"),
        (("leave", "end", "deel", "--yes"), "reading the ledger"),
        (("occupancy",), "reading the ledger"),
        (("config", "pull"), "reading the configuration"),
        (("dlq", "redrive"), "waiting for what becomes of them"),
    ],
)
def test_signs_of_life(
    rig: Rig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: Sequence[str],
    said: str,
) -> None:
    """What may take a while says on a terminal what it does; standard output has JSON alone."""
    deploy(rig)
    rig.push("sources: {deel: {vendor: deel, shadow: true}}", tmp_path)
    terminal = Terminal()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", terminal)
    with pytest.raises(SystemExit):
        main(["--stack", STACK, *arguments, "--json"])
    assert said in terminal.getvalue()
    assert json.loads(capsys.readouterr().out) is not None
