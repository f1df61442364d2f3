"""Virtual time: what happens next happens at once, and the clock says that its time has come.

Whatever takes time runs in a thread of its own. One thread runs at a time: it has the baton until it sleeps or
ends, and hands it to whoever is due next. So a run is the same each time for the same seed, however slow the
machine is, and no stand-in needs a lock.
"""

import heapq
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from functools import partial
from itertools import count
from threading import Lock, RLock, Thread, get_ident
from typing import Any, Protocol, Self
from unittest.mock import patch

from relay.aws import clients
from relay.entrypoints import sites
from relay.invocation import Invocation

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

    def instead_of_waiting(self) -> AbstractContextManager[None]:
        """Have the relay's own waits take this time."""


class VirtualTime:
    """A clock that jumps to whatever is due next. Of what is due at once, the first asked for is first."""

    def __init__(self, begin: float) -> None:
        self.turn: AbstractContextManager[Any] = nullcontext()
        self._now = begin
        self._number = 0
        self._due: list[tuple[float, int, _Worker | Work]] = []
        self._idle: list[_Worker] = []
        self._workers: dict[int, _Worker] = {}
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

    @contextmanager
    def instead_of_waiting(self) -> Iterator[None]:
        """Have the relay's own waits take virtual time.

        `time.sleep` is that of the thread that has the baton, and calls to AWS are made in it: what a
        deadline's thread would wait for is over at a time that is known. Threads that look at several sites
        at once take virtual time too.
        """
        real = time.sleep

        def sleep(seconds: float) -> None:
            (self.sleep if get_ident() in self._workers else real)(seconds)

        with (
            patch.object(time, "sleep", sleep),
            patch.object(clients, "_threads", _AtOnce()),
            patch.object(sites, "ThreadPoolExecutor", partial(Pool, self)),
            as_processes(),
        ):
            yield

    def park(self, waiting: "list[_Worker]") -> None:
        """Wait until `wake` is told of those who wait for the same."""
        worker = self._workers[get_ident()]
        waiting.append(worker)
        self._hand_over(worker)

    def wake(self, waiting: "list[_Worker]") -> None:
        """Have those who wait go on now."""
        for worker in waiting:
            self._put(self._now, worker)
        waiting.clear()

    def _put(self, at: float, what: "_Worker | Work") -> None:
        self._number += 1
        heapq.heappush(self._due, (at, self._number, what))

    def _hand_over(self, worker: "_Worker") -> None:
        """Have the next one run, and come back when it is this one's turn."""
        if self._next(worker):
            worker.baton.acquire()

    def _next(self, current: "_Worker | None") -> bool:
        """Give the baton to whoever is due next; whether that is somebody else."""
        if self._error is not None or not self._due:
            self._over.release()
            return True  # and nobody is waked any more
        self._now, _, what = heapq.heappop(self._due)
        if what is current:
            return False
        worker = what if isinstance(what, _Worker) else self._worker(what)
        worker.baton.release()
        return True

    def _worker(self, work: Work) -> "_Worker":
        worker = self._idle.pop() if self._idle else _Worker(self)
        worker.work = work
        return worker

    def known(self, worker: "_Worker") -> None:
        """Take a worker's thread for one of ours."""
        self._workers[get_ident()] = worker

    def ended(self, worker: "_Worker", error: BaseException | None) -> None:
        """Go on without a worker that has done its work."""
        self._error = self._error or error
        self._idle.append(worker)
        self._next(None)


class _Worker:
    """A thread that does one thing after the other, whenever it has the baton."""

    def __init__(self, timeline: VirtualTime) -> None:
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


@contextmanager
def as_processes() -> Iterator[None]:
    """Have an invocation wait for no other one's lock, as each is in a process of its own at AWS.

    Until Python 3.12 all instances of a class share the lock of its cached properties.
    """
    with ExitStack() as replaced:
        for part in vars(Invocation).values():
            if hasattr(part, "lock"):
                replaced.enter_context(patch.object(part, "lock", nullcontext()))
        yield


class Pool:
    """In place of a pool of threads: so many calls at once, in virtual time."""

    def __init__(self, timeline: VirtualTime, most: int, **_: Any) -> None:
        self._timeline, self._most = timeline, most
        self._calls: deque[_Call] = deque()
        self._running = 0
        self._waiting: list[_Worker] = []

    def __enter__(self) -> Self:
        """Nothing to start."""
        return self

    def __exit__(self, *_: object) -> None:
        """Wait for every call."""
        while self._running:
            self._timeline.park(self._waiting)

    def map(self, call: Callable[..., Any], *arguments: Iterable[Any]) -> Iterator[Any]:
        """What calls give, in order. All are begun now."""
        calls = [self._begin(partial(call, *each)) for each in zip(*arguments, strict=False)]
        return (each.result(self._timeline) for each in calls)

    def _begin(self, work: Callable[[], Any]) -> "_Call":
        call = _Call(work)
        self._calls.append(call)
        if self._running < self._most:
            self._running += 1
            self._timeline.start(self._run)
        return call

    def _run(self) -> None:
        while self._calls:
            self._calls.popleft().make(self._timeline)
        self._running -= 1
        self._timeline.wake(self._waiting)


class _Call:
    """A call in a pool: to be made, or with what it gave."""

    def __init__(self, work: Callable[[], Any]) -> None:
        self._work = work
        self._done: _Done | None = None
        self._waiting: list[_Worker] = []

    def make(self, timeline: VirtualTime) -> None:
        """Make the call, and tell who waits for it."""
        self._done = _AtOnce().submit(self._work)
        timeline.wake(self._waiting)

    def result(self, timeline: VirtualTime) -> Any:
        """What it gave, or raised, once it is made."""
        while self._done is None:
            timeline.park(self._waiting)
        return self._done.result(0)


class _AtOnce:
    """In place of the threads that calls to AWS are made in: makes each in the thread that asks."""

    def submit(self, operation: Callable[..., Any], **parameters: Any) -> "_Done":
        """Make a call."""
        try:
            return _Done(operation(**parameters), None)
        except Exception as error:  # noqa: BLE001 - the caller gets it as from a future
            return _Done(None, error)


class _Done:
    """A call that has been made."""

    def __init__(self, answer: Any, error: Exception | None) -> None:
        self._answer, self._error = answer, error

    def result(self, _timeout: float) -> Any:
        """What it gave, or raised."""
        if self._error is not None:
            raise self._error
        return self._answer


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
