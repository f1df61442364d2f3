"""What of the relay waits for time or for threads of its own, while it runs in virtual time."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from functools import partial
from threading import get_ident
from typing import Any, Self
from unittest.mock import patch

from relay import at_once
from relay.aws import clients
from relay.entrypoints import sites
from relay.invocation import Invocation
from simulate.clock import Parked, Scheduler


class VirtualTime(Scheduler):
    """Virtual time, in which the relay's own waits pass as well."""

    @contextmanager
    def instead_of_waiting(self) -> Iterator[None]:
        """Have the relay's own waits take virtual time.

        `time.sleep` is that of the thread that has the baton, and calls to AWS are made in it: what a
        deadline's thread would wait for is over at a time that is known. Threads that look at several sites
        at once, or make several requests, take virtual time too.
        """
        real = time.sleep

        def sleep(seconds: float) -> None:
            (self.sleep if get_ident() in self._workers else real)(seconds)

        with (
            patch.object(time, "sleep", sleep),
            patch.object(clients, "_threads", _AtOnce()),
            patch.object(sites, "ThreadPoolExecutor", partial(Pool, self)),
            patch.object(at_once, "ThreadPoolExecutor", partial(Pool, self)),
            as_processes(),
        ):
            yield


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
        self._waiting: list[Parked] = []

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
        self._waiting: list[Parked] = []

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
