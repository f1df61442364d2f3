"""How long something took, less what the machine itself held this process up for."""

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

TICK_SECONDS = 0.01
TURNS = 100_000
USUAL_SECONDS = 0.0065
"""So long an empty loop of that many turns takes where the bounds of the tests were set."""


def slowness() -> float:
    """How many times as long this machine takes just now for the same work; 1 at least."""
    found: list[float] = []
    for _ in range(3):
        began = time.thread_time()
        number = 0
        for turn in range(TURNS):
            number += turn * turn % 7
        found.append(time.thread_time() - began)
    return max(1.0, min(found) / USUAL_SECONDS)


def tolerance() -> float:
    """Seconds that a busy machine may add just now. What hangs for a test does so for five and more."""
    return 0.35 * slowness()


def wait_until(done: Callable[[], object], seconds: float = 30) -> None:
    """Wait until something is so, and fail the test where it does not become so."""
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, f"not so after {seconds} s"
        time.sleep(TICK_SECONDS)


class Timed:
    """Measures a block. `seconds` is its time so far without the stalls in it.

    A stall is what a sleep of a hundredth of a second took over that: on a busy machine a process waits for
    its turn, and what the code under test did not take must not fail its test.
    """

    def __enter__(self) -> Self:
        """Begin."""
        self._over = threading.Event()
        self._stalled = 0.0
        self._began = time.monotonic()
        self._watch = threading.Thread(target=self._watched, daemon=True)
        self._watch.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End."""
        self._over.set()
        self._watch.join()

    @property
    def seconds(self) -> float:
        """What it has taken so far."""
        return time.monotonic() - self._began - self._stalled

    def _watched(self) -> None:
        while not self._over.is_set():
            began = time.monotonic()
            time.sleep(TICK_SECONDS)
            self._stalled += max(time.monotonic() - began - 2 * TICK_SECONDS, 0)
