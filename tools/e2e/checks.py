"""How a step says that it failed or cannot be done here, and how it waits."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
_POLL_SECONDS = 0.5


class Failed(Exception):
    """What was found is not what should be."""


class Skipped(Exception):
    """The step needs something that is not there; the message says what."""


def equal(what: str, found: object, expected: object) -> None:
    """Raise `Failed` where they differ."""
    if found != expected:
        raise Failed(f"{what}: {found!r}, not {expected!r}")


def until(what: str, seconds: float, look: Callable[[], T]) -> T:
    """Look until there is something; raises `Failed` when the seconds are over."""
    end = time.monotonic() + seconds
    while not (found := look()):
        if time.monotonic() > end:
            raise Failed(f"not within {seconds:g} s: {what}")
        time.sleep(_POLL_SECONDS)
    return found
