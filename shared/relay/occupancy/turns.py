"""Whose turn it is at a site's counts, among the threads and the invocations of one process."""

import random
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock

from relay.deadline import Clock, Deadline
from relay.errors import Contended

LONGEST_REST_SECONDS = 10.0
"""A site that is contended again within so long after a rest has one twice as long, up to this."""


@dataclass(frozen=True, slots=True)
class _Rest:
    """For about so many seconds, until an instant (Unix seconds), a site's badges go to the queue."""

    seconds: float = 0
    until: float = 0


class Turns:
    """The turns at every site. Between processes the conditions of the writes decide."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._locks: defaultdict[str, Lock] = defaultdict(Lock)
        self._rests: dict[str, _Rest] = {}

    @contextmanager
    def at(self, site: str, deadline: Deadline, rest_seconds: float) -> Iterator[bool]:
        """Have a site's counts alone in this process; whether the site has rested lately.

        Raises `Contended` where its turn does not come before the deadline. A site at which `Contended` is
        raised, here or within, rests: for `rest_seconds` at first, or not at all. While it rests, `Contended`
        is raised at once.
        """
        if not rest_seconds:
            with self._alone(site, deadline):
                yield False
            return
        now, last = self._clock(), self._rests.get(site, _Rest())
        if now < last.until:
            raise Contended
        try:
            with self._alone(site, deadline):
                yield now < last.until + LONGEST_REST_SECONDS
        except Contended:
            self._rests[site] = self._next_rest(last, rest_seconds)
            raise

    @contextmanager
    def _alone(self, site: str, deadline: Deadline) -> Iterator[None]:
        turn = self._locks[site]
        if not turn.acquire(timeout=max(deadline.left_for_work(), 0)):
            raise Contended
        try:
            yield
        finally:
            turn.release()

    def _next_rest(self, last: _Rest, seconds: float) -> _Rest:
        now = self._clock()
        if now < last.until + LONGEST_REST_SECONDS:
            seconds = min(2 * last.seconds, LONGEST_REST_SECONDS)
        # Containers that began to rest at once must not all come back at once.
        spread = random.uniform(0.5, 1.5)  # noqa: S311 - guards nothing
        return _Rest(seconds, now + seconds * spread)
