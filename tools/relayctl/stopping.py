"""Signals that end a command: they wait while it holds what it has to give back."""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
STEP_SECONDS = 0.1
AGAIN_SECONDS = 0.05


class Stopped(SystemExit):
    """A signal has told the command to end: its exit code is that of whatever a signal ends."""

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.number = number


@contextmanager
def at_once() -> Iterator[None]:
    """Have a signal raise `Stopped` within, also when the terminal closes, to give back what is held.

    What is ignored stays ignored, as after `nohup`.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    before = {number: handler for number, handler in before.items() if handler is not signal.SIG_IGN}
    for number in before:
        signal.signal(number, _stop)
    try:
        with _however_it_comes():
            yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _stop(number: int, _: Any) -> None:
    raise Stopped(number)


@contextmanager
def _however_it_comes() -> Iterator[None]:
    """Send a signal again that came where Python drops and prints whatever is raised, as in a destructor."""
    before, again = sys.unraisablehook, []

    def heard(dropped: Any) -> None:
        if not isinstance(dropped.exc_value, Stopped | KeyboardInterrupt):
            before(dropped)
            return
        number = getattr(dropped.exc_value, "number", signal.SIGINT)
        again.append(threading.Timer(AGAIN_SECONDS, os.kill, (os.getpid(), number)))
        again[-1].start()

    sys.unraisablehook = heard
    try:
        yield
    finally:
        sys.unraisablehook = before
        for timer in again:
            timer.cancel()


class Stop:
    """Which signal has come meanwhile, if any."""

    def __init__(self) -> None:
        self.signal: int | None = None

    @property
    def asked(self) -> bool:
        """Whether the command is to end."""
        return self.signal is not None

    def sleep(self, seconds: float) -> None:
        """Sleep so long, or until the command is to end."""
        until = time.monotonic() + seconds
        while not self.asked and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, STEP_SECONDS))


@contextmanager
def in_order() -> Iterator[Stop]:
    """Have signals only be noted within, however many come; the first acts afterwards as it would have.

    Whoever is within looks at `asked` between two steps. What is ignored stays ignored, as after `nohup`.
    """
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def note(number: int, _: Any) -> None:
        stop.signal = stop.signal or number

    before = {number: signal.getsignal(number) for number in SIGNALS}
    noted = {number: handler for number, handler in before.items() if handler not in (signal.SIG_IGN, None)}
    for number in noted:
        signal.signal(number, note)
    try:
        yield stop
    finally:
        for number, handler in noted.items():
            signal.signal(number, handler)
        if stop.signal is not None:
            signal.raise_signal(stop.signal)
