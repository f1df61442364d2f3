"""Another try for a write that another writer has overtaken."""

import random
import time
from collections.abc import Callable
from typing import TypeVar

from relay.aws.table import Conflict
from relay.deadline import LEAST_ATTEMPT_SECONDS, Deadline
from relay.errors import Contended

PAUSES = (0.02, 0.05, 0.1, 0.2, 0.4, 0.8, 0.8, 0.8, 0.8, 0.8)
"""The longest wait (seconds) after each conflict; the actual one is drawn at random."""

T = TypeVar("T")


def until_written(attempt: Callable[[], T], deadline: Deadline) -> T:
    """What the attempt returns once no `Conflict` stops it; raises `Contended` when no time is left."""
    for longest in PAUSES:
        try:
            return attempt()
        except Conflict:
            # Drawn from the whole range: writers that have met once would else meet again after each pause.
            pause = random.uniform(0, longest)  # noqa: S311 - spreads retries, guards nothing
            if deadline.left_for_work() < pause + LEAST_ATTEMPT_SECONDS:
                break
            time.sleep(pause)
    raise Contended
