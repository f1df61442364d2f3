"""The last step: `relayctl calven audit` misses nothing, and of a day taken out by hand exactly that day."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from chaos.lists import NOOR
from chaos.stage import Stage


def audit_problems(stage: Stage) -> Iterator[str]:
    """What the audit says otherwise than it should."""
    missing = _missing(stage)
    if missing:
        yield f"relayctl calven audit: missing at Calven: {missing[:3]}"
        return
    day = min(stage.state()["away"][NOOR])
    stage.take_out(NOOR, day)
    found = [(days["employee"], days["start"], days["end"]) for days in _missing(stage)]
    if found != [(NOOR, day, day)]:
        yield f"relayctl calven audit: {NOOR} lacks {day}, and it finds {found[:3]}"


def _missing(stage: Stage) -> list[Any]:
    """What the command finds missing at Calven."""
    command = [str(Path(sys.executable).with_name("relayctl")), "--local", "--json", "calven", "audit"]
    environment = {**os.environ, "PORT": str(stage.port)}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    try:
        missing: list[Any] = json.loads(ended.stdout)["missing"]
    except ValueError:
        return [ended.stderr.strip()]
    return missing
