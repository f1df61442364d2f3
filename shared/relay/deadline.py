"""The time that is left for an answer."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from relay.errors import NotNow

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

QUEUE_RESERVE_SECONDS = 0.5
"""Kept of every deadline, so that an event can still be stored when all else took too long."""

FUNCTION_RESERVE_SECONDS = 5.0
"""Kept of a function's time-out, to store what is left."""

LEAST_STEP_SECONDS = 0.2
"""With less than this left for work, a step is not begun."""

LEAST_REQUEST_SECONDS = 0.1
"""With less than this left, a request to Calven or a vendor is not begun."""

LEAST_REFRESH_SECONDS = 2.0
"""With less left, a refresh is not begun: an answer that comes too late is a refresh token lost."""

LEAST_ATTEMPT_SECONDS = 0.1
"""With less than this left for work after the wait, a write that met a conflict is not attempted again."""

LEAST_AWS_SECONDS = 0.25
"""What a call to AWS gets even when its time is up: better an event stored late than one lost."""

Clock = Callable[[], float]


def of_function(context: "LambdaContext") -> float:
    """Seconds that an invocation may work, which no vendor waits for."""
    return context.get_remaining_time_in_millis() / 1000 - FUNCTION_RESERVE_SECONDS


class Deadline:
    """An instant (Unix seconds) by which the caller must have its answer."""

    # By the wall clock, as it is counted from the gateway's receipt, which another machine has noted.
    def __init__(self, at: float, clock: Clock = time.time) -> None:
        self.at = at
        self._clock = clock

    def left(self) -> float:
        """Seconds until the instant; negative when it has passed."""
        return self.at - self._clock()

    def left_for_work(self) -> float:
        """Seconds that a step may take, so that the queue's reserve stays untouched."""
        return self.left() - QUEUE_RESERVE_SECONDS

    def check(self) -> None:
        """Raise `NotNow` where too little is left to begin a step."""
        if self.left_for_work() < LEAST_STEP_SECONDS:
            raise NotNow(reason="no_time")

    def at_most(self, seconds: float) -> "Deadline":
        """The same deadline, or the one that ends in that many seconds if it comes first."""
        return Deadline(min(self.at, self._clock() + seconds), self._clock)


@dataclass(frozen=True, slots=True)
class Pace:
    """What there is time for.

    `call_seconds` bounds each request to Calven or a vendor. Of the counts of a place that change, those are
    told that lie `apart` milliseconds of event time from each other, and the last. A delivery of more than
    `most` events waits for the retry function as it is. `pauses` are the longest waits (seconds) after each
    conflict at a site's counts. Where these were not enough, the site rests for about `rest_seconds`: its
    badges go to the queue without a try.
    """

    call_seconds: float
    apart: int
    most: float
    pauses: Sequence[float]
    rest_seconds: float

    def probing(self) -> "Pace":
        """The pace at a site that has rested: few tries show whether the rush is over, and disturb nobody."""
        return replace(self, pauses=self.pauses[:PROBES])


PAUSES = (0.02, 0.05, *[0.1] * 16, 0.4, 0.8, 0.8, 0.8)
"""The longest waits (seconds) after conflicts, where nobody waits for an answer."""
SHORT_PAUSES = (0.01, 0.015, 0.02, 0.03, 0.04, 0.06, 0.08, *[0.1] * 3)
"""The same where somebody does. A transaction takes some 10 ms: what was in the way is done soon after."""
PROBES = 4
WAITED_FOR = Pace(
    call_seconds=float("inf"),
    apart=0,
    most=100,
    # Eleven tries, a second at most: at twenty badges a second and site one in thousands needs more.
    # Who fights longer is in the way of others, and of the queue, which settles them all together.
    pauses=SHORT_PAUSES,
    rest_seconds=2,
)
"""For a vendor that waits for its answer: its deadline bounds everything."""
# No site rests: its badges would go to the queue, which these come from.
BATCH = Pace(call_seconds=10, apart=10_000, most=float("inf"), pauses=PAUSES, rest_seconds=0)
"""For a batch that nobody waits for."""
