"""Functions as Lambda runs them: a container serves one request at a time, and is used again."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from relay.container import Container
from relay.http import Http
from relay.settings import Settings
from simulate.calven import Calven, Wire
from simulate.clock import Timeline
from simulate.dynamodb import DynamoDB
from simulate.sqs import SQS, Queue
from simulate.table import Table

# Processor seconds of one whole processor, by docs/explanations/performance.md: what storing a badge takes is
# an invocation and one request, what a direct badge takes is an invocation and four.
INVOCATION_SECONDS, REQUEST_SECONDS = 0.00027, 0.00077
MESSAGE_SECONDS = 0.00014
"""What the retry function takes for each badge of a batch beside its requests."""
FIRST_REQUEST_SECONDS = 0.07
"""What the first request of a container takes more: TLS with four hosts, secrets and configuration."""
INIT_SECONDS = 0.3
"""How long a new container takes to load, with a whole processor."""
SECRET_SECONDS = 0.01
A_PROCESSOR_MB = 1769
"""With so much memory a function has one whole processor, with less its share."""
MOST_AT_ONCE = 1000
"""The account's concurrency."""

T = TypeVar("T")


class Throttled(Exception):
    """The account has as many functions running as it may have."""


@dataclass(slots=True)
class Account:
    """What all functions of an account share: how many run, and how long they ran."""

    running: int = 0
    invocations: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a function calls, and its environment."""

    timeline: Timeline
    table: Table
    queues: dict[str, Queue]
    calven: Calven
    secrets: dict[str, str]
    settings: Settings


class Processor:
    """A container's share of a processor. Work takes longer than on a whole one; threads take turns at it."""

    def __init__(self, timeline: Timeline, memory: int) -> None:
        self._timeline = timeline
        self._share = min(memory / A_PROCESSOR_MB, 1.0)
        self._free_at = 0.0

    def work(self, seconds: float, then: float = 0.0) -> None:
        """Compute for so long; `then` is a wait after it."""
        now = self._timeline.now()
        self._free_at = max(self._free_at, now) + seconds / self._share
        self._timeline.sleep(self._free_at - now + then)

    def ask(self, seconds: float) -> None:
        """Half of a request: its processor time, and the wait for the other side."""
        self.work(REQUEST_SECONDS / 2, seconds)


class _Clients:
    """Makes a container's clients."""

    def __init__(self, around: Surroundings, processor: Processor) -> None:
        self._around, self._processor = around, processor

    def client(self, service: Any) -> Any:
        """A service's client."""
        match service:
            case "dynamodb":
                return DynamoDB(self._around.table, self._processor.ask)
            case "sqs":
                return SQS(self._around.queues, self._around.timeline, self._processor.ask)
            case "secretsmanager":
                return _Secrets(self._around.secrets, self._processor.ask)
        raise NotImplementedError(service)


class _Secrets:
    """A client of Secrets Manager."""

    def __init__(self, secrets: dict[str, str], wait: Callable[[float], None]) -> None:
        self._secrets, self._wait = secrets, wait

    def get_secret_value(self, **parameters: Any) -> dict[str, Any]:
        """A secret's value."""
        self._wait(SECRET_SECONDS)
        return {"SecretString": self._secrets[parameters["SecretId"]]}


class Function:
    """A function's containers: the one that was used last is used next, and where all are busy a new one."""

    def __init__(self, name: str, memory: int, around: Surroundings, account: Account) -> None:
        self.name = name
        self._memory, self._around, self._account = memory, around, account
        self._idle: list[tuple[Container, Processor]] = []

    def invoke(self, handler: Callable[[Container], T], messages: int = 0) -> T:
        """What a handler makes of a request, in a container. Raises `Throttled`."""
        timeline = self._around.timeline
        with timeline.turn:
            if self._account.running >= MOST_AT_ONCE:
                raise Throttled
            self._account.running += 1
            idle = self._idle.pop() if self._idle else None
        try:
            container, processor = idle or self._new()
            began = timeline.now()
            processor.work(
                INVOCATION_SECONDS + messages * MESSAGE_SECONDS + (0 if idle else FIRST_REQUEST_SECONDS)
            )
            answer = handler(container)
            self._count(timeline.now() - began)
            with timeline.turn:
                self._idle.append((container, processor))
            return answer
        finally:
            with timeline.turn:
                self._account.running -= 1

    def _new(self) -> tuple[Container, Processor]:
        """Another container, once it has loaded. AWS bills that too."""
        around = self._around
        around.timeline.sleep(INIT_SECONDS)
        processor = Processor(around.timeline, self._memory)
        clients = _Clients(around, processor)
        http = Http(Wire(around.calven, around.timeline, processor.ask))
        self._count(INIT_SECONDS, invocations=0)
        return Container(around.settings, around.timeline.now, aws=clients, http=http), processor

    def _count(self, seconds: float, invocations: int = 1) -> None:
        account = self._account
        with self._around.timeline.turn:
            account.seconds[self.name] = account.seconds.get(self.name, 0.0) + seconds
            account.invocations[self.name] = account.invocations.get(self.name, 0) + invocations


class Throttle:
    """What an API lets through: so many requests a second for long, and so many at once."""

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate, self._burst = rate, burst
        self._left, self._at = float(burst), now

    def admits(self, now: float) -> bool:
        """Whether a request goes through now."""
        self._left = min(self._left + (now - self._at) * self._rate, self._burst)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True
