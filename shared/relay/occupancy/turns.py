"""Whose turn it is at a site's counts, among the threads and the invocations of one process."""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

from relay.deadline import Clock, Deadline
from relay.errors import Contended


class Turns:
    """The turns at every site. Between processes the conditions of the writes decide."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._locks: defaultdict[str, Lock] = defaultdict(Lock)
        self._rests_until: dict[str, float] = {}

    @contextmanager
    def at(self, site: str, deadline: Deadline, rest_seconds: float) -> Iterator[None]:
        """Have a site's counts alone in this process. Raises `Contended` where that takes until the deadline.

        A site whose counts were contended rests: for so long, `Contended` is raised at once.
        """
        if rest_seconds and self._clock() < self._rests_until.get(site, 0):
            raise Contended
        turn = self._locks[site]
        try:
            if not turn.acquire(timeout=max(deadline.left_for_work(), 0)):
                raise Contended
            try:
                yield
            finally:
                turn.release()
        except Contended:
            if rest_seconds:
                self._rests_until[site] = self._clock() + rest_seconds
            raise
