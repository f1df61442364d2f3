"""Another try for a write that another writer has overtaken."""

import random
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from relay.aws.table import Conflict
from relay.deadline import LEAST_ATTEMPT_SECONDS, PAUSES, Deadline
from relay.errors import Contended

T = TypeVar("T")


def until_written(attempt: Callable[[], T], deadline: Deadline, pauses: Sequence[float] = PAUSES) -> T:
    """What the attempt returns once no `Conflict` stops it.

    Raises `Contended` after as many conflicts as there are pauses and one more, or when no time is left.
    `pauses` are the longest waits (seconds); the actual ones are drawn at random.
    """
    for longest in pauses:
        try:
            return attempt()
        except Conflict:
            # Drawn from the whole range: writers that have met once would else meet again after each pause.
            pause = random.uniform(0, longest)  # noqa: S311 - spreads retries, guards nothing
            if deadline.left_for_work() < pause + LEAST_ATTEMPT_SECONDS:
                raise Contended from None
            time.sleep(pause)
    try:
        return attempt()
    except Conflict:
        raise Contended from None
