"""A relay with everything around it: the functions, the table, the queues, Calven, and who sends badges."""

import json
import logging
import os
import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from unittest.mock import patch

from relay import vendors
from relay.config import versions
from relay.container import Container
from relay.entrypoints import queue, schedule, webhook
from relay.events import iso_ms
from relay.observability import logger
from relay.settings import Settings
from simulate.calven import Calven
from simulate.clock import Timeline
from simulate.dynamodb import DynamoDB
from simulate.lambdas import Account, Function, Surroundings, Throttle, Throttled
from simulate.people import VENDOR, Badge, Building
from simulate.real_time import RealTime
from simulate.sqs import EventSource, Queue
from simulate.table import Counts, Table
from simulate.waits import VirtualTime
from simulate.watch import Watch

NOON = 1793793600.0
"""2026-11-04T12:00:00Z, the beginning of a virtual run."""
STACK, TABLE = "calven-relay", "simulated"
UNPROCESSED, DEAD = "simulated:unprocessed", "simulated:dead-letters"
SECRET = {"signingSecrets": ["simulated"]}
CALVEN_SECRET = {"apiKey": "simulated", "apiSecret": "simulated"}
WEBHOOK_MB, RETRY_MB, SCHEDULE_MB = 1024, 512, 512
RATE, BURST = 200, 400
FUNCTION_SECONDS = 55.0
"""What the functions that no vendor waits for may take, by their time-out."""
AGAIN_SECONDS = 10.0
"""After which a vendor sends again what was answered 429 or 5xx."""
SWEEP_AFTER_SECONDS, MOST_SWEEPS = 90.0, 3
"""When all is over the schedule runs: counts that changed within a minute are not its business."""


class NotExact(Exception):
    """A count is wrong, or Calven does not know of a badge: a fault of the relay, or of the simulation."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What was counted up to an instant."""

    counts: Counts
    known: int
    invocations: Mapping[str, int]
    seconds: Mapping[str, float]
    calven_requests: int
    queue_requests: int


class World:
    """One run. `now` begins at noon in virtual time, and is the machine's in real time."""

    def __init__(
        self,
        timeline: Timeline,
        building: Building,
        seed: int,
        *,
        forward_mode: str = "direct",
        concurrency: int = 2,
        retry_seconds: float = 30.0,
    ) -> None:
        random.seed(seed)  # the relay draws its pauses from there
        self.timeline = timeline
        self.watch = Watch(timeline.now)
        self.table = Table(timeline, self.watch.written)
        self.calven = Calven(self.watch.told)
        self.queues = {UNPROCESSED: Queue(), DEAD: Queue()}
        self.account = Account()
        self.complaints: Counter[str] = Counter()
        self._around = Surroundings(
            timeline,
            self.table,
            self.queues,
            self.calven,
            _secrets(building),
            _settings(forward_mode, retry_seconds),
        )
        self.webhooks = self._function("access_control", WEBHOOK_MB)
        stored = replace(self._around, settings=_settings("queued", retry_seconds))
        self._storing = Function("access_control", WEBHOOK_MB, stored, self.account)
        self.retry = self._function("retry", RETRY_MB)
        self.schedule = self._function("occupancy_reset", SCHEDULE_MB)
        self.event_source = EventSource(self.queues[UNPROCESSED], timeline, self._retry, concurrency)
        self._throttle = Throttle(RATE, BURST, timeline.now())
        self._sending = 0
        self.before_sweeps = self.measured()
        # It is noon somewhere at any time: the day ends in about twelve hours.
        hour = (int(timeline.now() // 3600) + 12) % 24
        operator = DynamoDB(self.table, lambda _: None)
        config = building.relay_yaml(f"{hour:02}:00")
        versions.push(operator, TABLE, config, clock=timeline.now)  # type: ignore[arg-type]
        self.table.counts = Counts()

    def _function(self, name: str, memory: int) -> Function:
        return Function(name, memory, self._around, self.account)

    def expect(self, badges: Iterable[Badge], *, stored: bool = False) -> None:
        """Have badges sent when they happen, to the webhook function, or to one that stores them first."""
        for badge in badges:
            self._sending += 1
            function = self._storing if stored else self.webhooks
            self.timeline.start(partial(self._send, badge, function), badge.at)

    @property
    def is_busy(self) -> bool:
        """Whether something is on its way or waits."""
        return bool(self._sending or self.queues[UNPROCESSED].messages)

    def drain(self) -> None:
        """Wait until nothing is on its way."""
        while self.is_busy:
            self.timeline.sleep(1)
        self.event_source.end()
        self.before_sweeps = self.measured()

    def settle(self) -> None:
        """Wait until nothing is on its way; then report what is pending, and check that all is exact.

        Raises `NotExact`.
        """
        self.drain()
        for _ in range(MOST_SWEEPS):
            self.timeline.sleep(SWEEP_AFTER_SECONDS)
            self.sweep()
            while self.is_busy:
                self.timeline.sleep(1)
            if self.watch.all_known:
                break
        self.check()

    def check(self) -> None:
        """Raise `NotExact` where something is not as it must be."""
        problems = self.watch.problems(self.calven)
        problems += [f"dead letter: {message.body}" for message in self.queues[DEAD].messages.values()]
        if problems:
            raise NotExact("; ".join(problems[:5]) + (f"; {len(problems)} in all" if problems[5:] else ""))

    def sweep(self) -> dict[str, int]:
        """Run the schedule once; how many facts it reported."""
        return self.schedule.invoke(_swept)

    def measured(self) -> Measured:
        """What was counted until now."""
        with self.timeline.turn:
            return Measured(
                self.table.counts.copy(),
                self.watch.known,
                dict(self.account.invocations),
                dict(self.account.seconds),
                self.calven.requests,
                self.queues[UNPROCESSED].requests,
            )

    def _send(self, badge: Badge, function: Function) -> None:
        """Post a badge, until it is taken."""
        with self.timeline.turn:
            fate = self.watch.sent(badge)
        while True:
            status = self._post(badge, function)
            fate.status, fate.answered_at = status, self.timeline.now()
            if status < 300:
                break
            fate.others.append(status)
            self.timeline.sleep(AGAIN_SECONDS)
        with self.timeline.turn:
            self._sending -= 1

    def _post(self, badge: Badge, function: Function) -> int:
        """The answer's status to one request."""
        with self.timeline.turn:
            if not self._throttle.admits(self.timeline.now()):
                return 429
        event = _request(badge, self.timeline.now())
        try:
            answer = function.invoke(partial(_handled, event))
        except Throttled:
            return 503
        return int(answer["statusCode"])

    def _retry(self, records: Sequence[Mapping[str, Any]]) -> list[str]:
        def handle(container: Container) -> dict[str, Any]:
            return queue.handle(container, {"Records": records}, FUNCTION_SECONDS, "retry")

        answer = self.retry.invoke(handle, len(records))
        return [failure["itemIdentifier"] for failure in answer["batchItemFailures"]]


def _handled(event: Mapping[str, Any], container: Container) -> dict[str, Any]:
    return webhook.handle(container, "access-control", event)


def _swept(container: Container) -> dict[str, int]:
    return schedule.handle(container, {}, FUNCTION_SECONDS, "schedule")


@contextmanager
def passing(
    timeline: VirtualTime | RealTime, building: Building, seed: int, **settings: Any
) -> Iterator[World]:
    """A world whose time passes when the block is over. Raises `NotExact`."""
    with quiet() as complaints, timeline.instead_of_waiting():
        world = World(timeline, building, seed, **settings)
        world.complaints = complaints
        yield world
        timeline.run()


@contextmanager
def virtual(building: Building, seed: int, **settings: Any) -> Iterator[World]:
    """A world in virtual time, which passes when the block is over. Raises `NotExact`."""
    timeline = VirtualTime(NOON)
    with passing(timeline, building, seed, **settings) as world:
        yield world
    timeline.close()


@contextmanager
def quiet() -> Iterator[Counter[str]]:
    """Have the relay write no log and no figures; what it would warn of is counted."""
    inner = logging.getLogger(logger.name)
    kept, level = list(inner.handlers), inner.level
    complaints: Counter[str] = Counter()
    inner.handlers[:] = [_Complaints(complaints)]
    inner.setLevel(logging.WARNING)
    try:
        with patch.dict(os.environ, POWERTOOLS_METRICS_DISABLED="true", POWERTOOLS_METRICS_NAMESPACE=STACK):
            yield complaints
    finally:
        inner.handlers[:] = kept
        inner.setLevel(level)


class _Complaints(logging.Handler):
    """Counts what is logged."""

    def __init__(self, complaints: Counter[str]) -> None:
        super().__init__()
        self._complaints = complaints

    def emit(self, record: logging.LogRecord) -> None:
        """Count a line."""
        said = {name: value for name, value in vars(record).items() if name in ("error", "detail")}
        self._complaints[f"{record.getMessage()} {said or ''}".strip()] += 1


def _settings(forward_mode: str, retry_seconds: float) -> Settings:
    return Settings.model_validate(
        {
            "STACK_NAME": STACK,
            "TABLE_NAME": TABLE,
            "UNPROCESSED_QUEUE_URL": UNPROCESSED,
            "DEAD_LETTER_QUEUE_URL": DEAD,
            "CALVEN_BASE_URL": "https://calven.example.com",
            "FORWARD_MODE": forward_mode,
            "RETRY_BASE_SECONDS": retry_seconds,
        }
    )


def _secrets(building: Building) -> dict[str, str]:
    sources = {building.source(site) for site in range(building.sites)}
    secrets = {f"{STACK}/access-control/{source}": json.dumps(SECRET) for source in sources}
    return {**secrets, f"{STACK}/calven": json.dumps(CALVEN_SECRET), f"{STACK}/person-key": "simulated"}


def _request(badge: Badge, now: float) -> dict[str, Any]:
    """The event that API Gateway makes of a badge."""
    body = json.dumps(
        {
            "uuid": badge.id,
            "type": "lock.unlock",
            "success": True,
            "object_id": badge.door,
            "actor_type": "User",
            "actor_id": badge.person,
            "created_at": iso_ms(int(badge.at * 1000)),
        }
    )
    scheme = vendors.load(VENDOR).scheme
    signature = scheme.sign(body.encode(), SECRET["signingSecrets"][0], now)
    return {
        "version": "2.0",
        "headers": {"content-type": "application/json", **signature.headers},
        "pathParameters": {"source": badge.source},
        "queryStringParameters": {},
        "requestContext": {"http": {"method": "POST"}, "timeEpoch": int(now * 1000), "requestId": badge.id},
        "body": body,
        "isBase64Encoded": False,
    }
