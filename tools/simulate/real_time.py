"""Real threads that really sleep: what virtual time is checked against."""

import heapq
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from itertools import count
from threading import RLock, Thread
from typing import Any
from unittest.mock import patch

from simulate.clock import Work
from simulate.waits import as_processes


class RealTime:
    """Real threads that really sleep: what virtual time is checked against.

    Time passes so many times more slowly, so that it tells little how busy the machine is.
    """

    def __init__(self, slowed: float = 1.0) -> None:
        self.turn: AbstractContextManager[Any] = RLock()
        self._slowed = slowed
        self._sleep = time.sleep
        self._began, self._monotonic = time.time(), time.monotonic()
        self._due: list[tuple[float, int, Work]] = []
        self._numbers = count()
        self._running: list[Thread] = []
        self._errors: list[BaseException] = []

    def now(self) -> float:
        """The time."""
        return self._began + (time.monotonic() - self._monotonic) / self._slowed

    def sleep(self, seconds: float) -> None:
        """Really wait."""
        self._sleep(max(seconds, 0.0) * self._slowed)

    def start(self, work: Work, at: float | None = None) -> None:
        """Have something done in a thread of its own."""
        with self.turn:
            heapq.heappush(self._due, (at or self.now(), next(self._numbers), work))

    def run(self) -> None:
        """Return when all is done; raises what went wrong in a thread."""
        while self._due or any(thread.is_alive() for thread in self._running):
            with self.turn:
                work = heapq.heappop(self._due)[2] if self._due and self._due[0][0] <= self.now() else None
            if work is None:
                self._sleep(0.001)
                continue
            thread = Thread(target=self._done, args=[work], daemon=True)
            self._running.append(thread)
            thread.start()
        if self._errors:
            raise self._errors[0]

    @contextmanager
    def instead_of_waiting(self) -> Iterator[None]:
        """Have the relay's own waits take as many times longer."""
        with patch.object(time, "sleep", self.sleep), as_processes():
            yield

    def _done(self, work: Work) -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - `run` raises it
            self._errors.append(error)
