"""Virtual time: what happens next happens at once, and the clock says that its time has come.

Whatever takes time runs in a thread of its own. One thread runs at a time: it has the baton until it sleeps
or ends, and hands it to whoever is due next. So a run is the same each time for the same seed, however slow
the machine is, and no stand-in needs a lock.
"""

import heapq
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from threading import Lock, Thread, get_ident
from typing import Any, Protocol

Work = Callable[[], None]


class Timeline(Protocol):
    """Time that passes, virtually or really. Instants are Unix seconds."""

    turn: AbstractContextManager[Any]
    """What a stand-in holds while it changes what others look at."""

    def now(self) -> float:
        """The time."""

    def sleep(self, seconds: float) -> None:
        """Let time pass for whoever calls."""

    def start(self, work: Work, at: float | None = None) -> None:
        """Have something done beside everything else, at an instant or at once."""

    def run(self) -> None:
        """Return when all is done; raises what went wrong."""


class Scheduler:
    """A clock that jumps to whatever is due next. Of what is due at once, the first asked for is first."""

    def __init__(self, begin: float) -> None:
        self.turn: AbstractContextManager[Any] = nullcontext()
        self._now = begin
        self._number = 0
        self._due: list[tuple[float, int, Parked | Work]] = []
        self._idle: list[Parked] = []
        self._workers: dict[int, Parked] = {}
        self._over = Lock()
        self._over.acquire()
        self._error: BaseException | None = None

    def now(self) -> float:
        """The time."""
        return self._now

    def sleep(self, seconds: float) -> None:
        """Park the thread that has the baton until the time has come."""
        at = self._now + max(seconds, 0.0)
        if not self._due or self._due[0][0] > at:
            self._now = at  # nobody else is due before
            return
        worker = self._workers[get_ident()]
        self._put(at, worker)
        self._hand_over(worker)

    def start(self, work: Work, at: float | None = None) -> None:
        """Have something done in a thread of its own."""
        self._put(self._now if at is None else max(at, self._now), work)

    def run(self) -> None:
        """Return when nothing is due any more; raises what went wrong in a thread."""
        self._next(None)
        self._over.acquire()
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """End the threads that wait for work."""
        for worker in self._idle:
            worker.work = None
            worker.baton.release()
        self._idle.clear()

    def park(self, waiting: "list[Parked]") -> None:
        """Wait until `wake` is told of those who wait for the same."""
        worker = self._workers[get_ident()]
        waiting.append(worker)
        self._hand_over(worker)

    def wake(self, waiting: "list[Parked]") -> None:
        """Have those who wait go on now."""
        for worker in waiting:
            self._put(self._now, worker)
        waiting.clear()

    def _put(self, at: float, what: "Parked | Work") -> None:
        self._number += 1
        heapq.heappush(self._due, (at, self._number, what))

    def _hand_over(self, worker: "Parked") -> None:
        """Have the next one run, and come back when it is this one's turn."""
        if self._next(worker):
            worker.baton.acquire()

    def _next(self, current: "Parked | None") -> bool:
        """Give the baton to whoever is due next; whether that is somebody else."""
        if self._error is not None or not self._due:
            self._over.release()
            return True  # and nobody is waked any more
        self._now, _, what = heapq.heappop(self._due)
        if what is current:
            return False
        worker = what if isinstance(what, Parked) else self._worker(what)
        worker.baton.release()
        return True

    def _worker(self, work: Work) -> "Parked":
        worker = self._idle.pop() if self._idle else Parked(self)
        worker.work = work
        return worker

    def known(self, worker: "Parked") -> None:
        """Take a worker's thread for one of ours."""
        self._workers[get_ident()] = worker

    def ended(self, worker: "Parked", error: BaseException | None) -> None:
        """Go on without a worker that has done its work."""
        self._error = self._error or error
        self._idle.append(worker)
        self._next(None)


class Parked:
    """A thread that does one thing after the other, whenever it has the baton."""

    def __init__(self, timeline: Scheduler) -> None:
        self.work: Work | None = None
        self.baton = Lock()
        self.baton.acquire()
        self._timeline = timeline
        Thread(target=self._loop, daemon=True).start()

    def _loop(self) -> None:
        self._timeline.known(self)
        while True:
            self.baton.acquire()
            if self.work is None:
                return
            error: BaseException | None = None
            try:
                self.work()
            except BaseException as failure:  # noqa: BLE001 - `run` raises it
                error = failure
            self._timeline.ended(self, error)
