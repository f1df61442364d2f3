"""The time that is left for an answer."""

import time
from collections.abc import Callable

QUEUE_RESERVE_SECONDS = 0.5
"""Kept of every deadline, so that an event can still be stored when all else took too long."""

Clock = Callable[[], float]


class Deadline:
    """An instant (Unix seconds) by which the caller must have its answer."""

    def __init__(self, at: float, clock: Clock = time.time) -> None:
        self.at = at
        self._clock = clock

    def left(self) -> float:
        """Seconds until the instant; negative when it has passed."""
        return self.at - self._clock()

    def left_for_work(self) -> float:
        """Seconds that a step may take, so that the queue's reserve stays untouched."""
        return self.left() - QUEUE_RESERVE_SECONDS

    def at_most(self, seconds: float) -> "Deadline":
        """The same deadline, or the one that ends in that many seconds if it comes first."""
        return Deadline(min(self.at, self._clock() + seconds), self._clock)
