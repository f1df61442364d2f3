"""A short run of `make chaos`: everything around the relay breaks, and no event that it took is lost."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[2] / "tools"


@pytest.mark.long(100)
def test_nothing_is_lost(tmp_path: Path) -> None:
    """Every acknowledged event is at Calven, ignored by rule or a dead letter, and the end is the truth."""
    log = tmp_path / "relay.log"
    # It takes the longest of all tests: each kind of fault has its share of these seconds, and then all that
    # waits has to come to rest.
    command = [sys.executable, "-m", "chaos", "--seconds", "24", "--rate", "6", "--log", str(log)]
    # Coverage of its processes would slow them down, and everything that they run is measured elsewhere.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    ended = subprocess.run(
        command, cwd=TOOLS, env=environment, capture_output=True, text=True, check=False, timeout=400
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stderr == ""
    assert "Traceback" not in log.read_text()
    assert "internal error" not in log.read_text()
