"""Takes the functions' log lines to their log groups, as Lambda does, beside printing them."""

import logging
import sys
import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from localrun.background import Background
from localrun.invoke import log_group

_MOST_WAITING = 20_000
_MOST_A_CALL = 1_000
_PAUSE_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class _Line:
    group: str
    event: dict[str, Any]


class LogDelivery(Background):
    """Delivers what functions log, some lines together; the oldest are dropped where nobody takes them."""

    def __init__(self, logs: Any, logger: logging.Logger, formatter: logging.Formatter) -> None:
        super().__init__([self._deliver])
        self._logs = logs
        self._lines: deque[_Line] = deque(maxlen=_MOST_WAITING)
        handler = _Handler(self._lines)
        handler.setFormatter(formatter)
        logger.addHandler(handler)

    def _deliver(self, stopping: threading.Event) -> None:
        while not stopping.wait(_PAUSE_SECONDS):
            try:
                self._put(self._taken())
            except (BotoCoreError, ClientError) as error:
                if not stopping.is_set():
                    print(f"log: {type(error).__name__}: {error}", file=sys.stderr, flush=True)

    def _taken(self) -> dict[str, list[dict[str, Any]]]:
        """What waits, by its group."""
        taken: dict[str, list[dict[str, Any]]] = {}
        for _ in range(min(len(self._lines), _MOST_A_CALL)):
            line = self._lines.popleft()
            taken.setdefault(line.group, []).append(line.event)
        return taken

    def _put(self, taken: dict[str, list[dict[str, Any]]]) -> None:
        for group, events in taken.items():
            self._logs.put_log_events(logGroupName=group, logStreamName="local", logEvents=events)


class _Handler(logging.Handler):
    """Keeps the lines that a function writes in the thread of its invocation."""

    def __init__(self, lines: deque[_Line]) -> None:
        super().__init__()
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line; what no function wrote is in no group."""
        if group := log_group():
            event = {"timestamp": round(time.time() * 1000), "message": self.format(record)}
            self._lines.append(_Line(group, event))
