"""What is read for all open pages at once: nothing while nobody looks, and never all the time."""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from relay.observability import whereabouts

R = TypeVar("R")
T = TypeVar("T")

SHARE = 30.0
"""A read that takes a second of the processor is followed by so many seconds without."""
LEAST_SHARE = 10.0
"""So many seconds without follow it even where something is known to have happened,"""
LONGEST_LEAST_SECONDS = 1.0
"""but never more than this."""
AGAIN_SECONDS = 10.0
"""What could not be read is read again after so many seconds, however seldom it is read else."""
BEHIND_SECONDS = 3.0
"""A read that takes longer is said to be behind, and how long it has been so each so many seconds."""


@dataclass(frozen=True, slots=True)
class Snapshot(Generic[T]):
    """What was read last, and when (Unix seconds); `error` is why the last read failed.

    `behind` is for how many seconds the next read has been under way, where that is long.
    """

    value: T | None = None
    at: float = 0.0
    error: str = ""
    behind: float = 0.0


Hear = Callable[[Snapshot[T]], object]


class Feed(Generic[R, T]):
    """Calls `read` in a thread every so many seconds while somebody listens, and `take` in the event loop.

    `read` raises `ReadFailed`; what it returns `take` makes a value of. The first to listen has it read at
    once, unless that was done within so many seconds as it is `kept`.
    """

    def __init__(
        self, read: Callable[[], R], take: Callable[[R], T], seconds: float, *, kept: float = 0.0
    ) -> None:
        self._read = read
        self._kept = kept
        self._take = take
        self._seconds = seconds
        # Of the last two reads the cheaper one counts: the first makes clients, which is not done again.
        self._costs = deque([0.0], maxlen=2)
        self._listeners: list[Hear[T]] = []
        self._woken = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self.last: Snapshot[T] = Snapshot()

    def listen(self, hear: Hear[T]) -> Callable[[], None]:
        """Call `hear` with each snapshot from now on; what is returned ends that."""
        self._listeners.append(hear)
        self._loop = asyncio.get_running_loop()
        if self._task is None or self._task.done():
            self._task = self._loop.create_task(self._run())
        elif not self._is_kept():
            self.wake()

        def stop() -> None:
            if hear in self._listeners:
                self._listeners.remove(hear)
            if not self._listeners:
                self.wake()

        return stop

    def wake(self) -> None:
        """Read now."""
        self._woken.set()

    def show_so_far(self, value: T) -> None:
        """Show what a first read has come to so far; for its thread to call while it reads."""
        if self._loop is not None and not self.last.at:
            self._loop.call_soon_threadsafe(self._publish_so_far, value)

    def _publish_so_far(self, value: T) -> None:
        # What was read whole meanwhile is not replaced.
        if not self.last.at:
            self._publish(replace(self.last, value=value))

    def _is_kept(self) -> bool:
        """Whether what was read last is young enough for whoever listens from now on."""
        return time.time() - self.last.at < self._kept

    async def _run(self) -> None:
        if self._is_kept():
            await self._pause(0.0)
        while self._listeners:
            self._woken.clear()
            reading = asyncio.ensure_future(asyncio.to_thread(self._measured))
            began = time.monotonic()
            while not (await asyncio.wait({reading}, timeout=BEHIND_SECONDS))[0]:
                self._publish(replace(self.last, behind=time.monotonic() - began))
            self._publish(self._snapshot(reading))
            await self._pause(min(self._costs))
        # The last to leave has set it: whoever comes next need not read for that.
        self._woken.clear()

    def _snapshot(self, reading: "asyncio.Future[R]") -> Snapshot[T]:
        try:
            return Snapshot(self._take(reading.result()), time.time())
        except ReadFailed as failure:
            return replace(self.last, error=str(failure), behind=0.0)
        except Exception as error:  # noqa: BLE001 - one answer that nobody foresaw must not end the feed
            said = f"internal error: {whereabouts(error)}"
            return replace(self.last, error=said, behind=0.0)

    async def _pause(self, busy: float) -> None:
        """Wait until the next read is due or somebody asks for it, but not so short as to be always busy."""
        least = min(LEAST_SHARE * busy, LONGEST_LEAST_SECONDS)
        await asyncio.sleep(least)
        try:
            await asyncio.wait_for(self._woken.wait(), max(self._due, SHARE * busy) - least)
        except TimeoutError:
            return

    @property
    def _due(self) -> float:
        """In how many seconds it is to be read again, whatever that costs."""
        return min(self._seconds, AGAIN_SECONDS) if self.last.error else self._seconds

    def _measured(self) -> R:
        """A read; notes how many seconds of the processor it took."""
        before = time.thread_time()
        try:
            return self._read()
        finally:
            self._costs.append(time.thread_time() - before)

    def _publish(self, snapshot: Snapshot[T]) -> None:
        self.last = snapshot
        for hear in list(self._listeners):
            # One page that cannot take it must not keep it from the others.
            asyncio.get_running_loop().call_soon(hear, snapshot)


class ReadFailed(Exception):
    """What is to be read cannot be: the text says why, and what to do."""
