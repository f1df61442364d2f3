"""The time that is left for an answer."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

QUEUE_RESERVE_SECONDS = 0.5
"""Kept of every deadline, so that an event can still be stored when all else took too long."""

FUNCTION_RESERVE_SECONDS = 5.0
"""Kept of a function's time-out, to store what is left."""

Clock = Callable[[], float]


def of_function(context: "LambdaContext") -> float:
    """Seconds that an invocation may work, which no vendor waits for."""
    return context.get_remaining_time_in_millis() / 1000 - FUNCTION_RESERVE_SECONDS


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
