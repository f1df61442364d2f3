"""Signals that end a command: they wait while it holds what it has to give back."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
STEP_SECONDS = 0.1


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
