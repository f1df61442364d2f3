"""`make e2e`, as a whole: run by name, `pytest -m e2e`, once `make e2e` has set up what it needs."""

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.processes import killed_afterwards

pytestmark = pytest.mark.e2e


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """The command, against the emulator, with its temporary files where a test can see them."""
    monkeypatch.delenv("E2E_STACK", raising=False)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return [sys.executable, "-m", "e2e"]


def test_deployed_relay(command: list[str], tmp_path: Path) -> None:
    """Every step passes, none is skipped, and nothing is left behind."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "e2e: 22 steps passed in" in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted(command: list[str], tmp_path: Path, number: signal.Signals) -> None:
    """Interrupted while it deploys, it ends the emulator and removes its files."""
    pipes: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with subprocess.Popen(command, **pipes) as process, killed_afterwards(process):
        assert process.stdout is not None
        emulator = process.stdout.readline()
        assert emulator.startswith("ok   emulator"), emulator
        time.sleep(3)
        process.send_signal(number)
        rest = process.stdout.read()
        assert process.wait(30) == 130, rest
    assert rest == "e2e: interrupted\n"
    assert list(tmp_path.iterdir()) == []
    url = emulator.split()[2]
    assert subprocess.run(["curl", "-s", url], check=False).returncode == 7
