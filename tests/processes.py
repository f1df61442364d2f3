"""Processes that tests start."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import Popen


@contextmanager
def killed_afterwards(process: Popen[str] | Popen[bytes]) -> Iterator[None]:
    """Kill a process in the end that has not ended by itself: after a failure nobody would ever end it."""
    try:
        yield
    finally:
        process.kill()


def gone(pid: int) -> bool:
    """Whether a process ends within half a minute."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return True
        if state == "Z":
            return True
        time.sleep(0.02)
    return False
