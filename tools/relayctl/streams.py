"""Standard input, output and error, where they are closed or cannot be written to."""

import os
import sys
from contextlib import suppress
from pathlib import Path

NOWHERE = Path(os.devnull)


def open_closed() -> None:
    """Have each stream that is closed (`<&-`) be empty, or lead nowhere: Python has None in its place."""
    if sys.stdin is None:
        sys.stdin = NOWHERE.open("r", encoding="utf-8")
    if sys.stdout is None:
        sys.stdout = NOWHERE.open("w", encoding="utf-8")
    if sys.stderr is None:
        sys.stderr = NOWHERE.open("w", encoding="utf-8")


def drop_unwritten() -> None:
    """Drop what standard output does not take, such as on a full disk: Python tries again as it ends."""
    try:
        sys.stdout.flush()
    except OSError:
        with NOWHERE.open("w", encoding="utf-8") as nowhere:
            os.dup2(nowhere.fileno(), sys.stdout.fileno())
        with suppress(OSError):
            sys.stdout.flush()
