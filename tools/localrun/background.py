"""Threads that run until they are told to stop, and the clock that calls a function on schedule."""

import threading
import time
import uuid
from collections.abc import Callable, Iterable
from typing import Any

from localrun.invoke import Handler, call, load
from localrun.template import ACCOUNT, REGION, Function, Schedule


class Background:
    """Threads that share one word to stop."""

    def __init__(self, targets: Iterable[Callable[[threading.Event], None]]) -> None:
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=target, args=(self._stopping,), daemon=True) for target in targets
        ]

    def start(self) -> None:
        """Starts them."""
        for thread in self._threads:
            thread.start()

    def ask_to_stop(self) -> None:
        """Tells them to begin nothing new."""
        self._stopping.set()

    def stop(self, timeout: float = 5.0) -> None:
        """Tells them, and lets each finish what it is at within the seconds given for all of them."""
        self.ask_to_stop()
        end = time.monotonic() + timeout
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(max(0.0, end - time.monotonic()))


class Clock(Background):
    """Calls a function at its schedule's interval, for the first time after one interval."""

    def __init__(self, schedule: Schedule, loader: Callable[[Function], Handler] = load) -> None:
        super().__init__([self._tick])
        self._schedule = schedule
        self._handler = loader(schedule.function)

    def _tick(self, stopping: threading.Event) -> None:
        while not stopping.wait(self._schedule.interval):
            call(self._schedule.function, self._handler, _event())


def _event() -> dict[str, Any]:
    """What an EventBridge schedule sends."""
    return {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": ACCOUNT,
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "region": REGION,
        "resources": [],
        "detail": {},
    }
