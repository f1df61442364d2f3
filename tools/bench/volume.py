"""Rows of many events: through the queue, in one process's memory, and at once."""

import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from itertools import count
from pathlib import Path
from queue import SimpleQueue
from statistics import median, quantiles
from typing import Any

import httpx

from bench import artifacts, startup, warm
from bench.events import BADGES_A_MESSAGE, Events, batch
from bench.figures import RUNS, Figure
from bench.lambda_process import LambdaProcess
from bench.stage import PYTHON, Stage, handler
from e2e.checks import Failed
from localrun.serve import bind
from localrun.settings import DEMO
from relay import vendors
from relay.events import iso
from relayctl.samples import signed

QUEUED = 10_000
BATCH = 100
POSTS_AT_ONCE, BURST_SECONDS, BURST_RELAYS = 50, 20.0, 4
ACKNOWLEDGED = (200, 202)
_SETTLE_SECONDS = 60.0
_WORST_SECONDS = 300.0
RELAY_LOG = artifacts.FOLDER / "relay.log"


def queued(stage: Stage, events: Events, direct: float) -> list[Figure]:
    """Ten thousand people's badges, stored first and then drained, by ten processes each."""
    environment, part = {"FORWARD_MODE": "queued"}, QUEUED // RUNS
    there = stage.people("crowded")
    stored = [
        warm.each(
            stage.called(warm.BADGES, events.crowd(part), skip=20, environment=environment, wanted="202")
        )
        for _ in range(RUNS)
    ]
    messages = stage.received(QUEUED)
    drained, asked = [], 0
    for start in range(0, QUEUED, part):
        batches = [batch(messages[at : at + BATCH]) for at in range(start, start + part, BATCH)]
        found = stage.called(handler("retry"), batches, count=True, wanted="0 kept")
        drained.append(sum(found["us"]) / part)
        asked += found["requests"]["/v1/occupancy"]
    if (came := stage.people("crowded") - there) != QUEUED:
        raise Failed(f"{QUEUED} people came in, Calven was told {came}")
    stage.empty_queue()
    row, unit = "queued", "µs"
    both = median(stored) + median(drained)
    return [
        Figure(row=row, what="badges a Calven request", value=QUEUED / asked, unit="", at_least=50),
        Figure(row=row, what="CPU to drain a badge", value=median(drained), unit=unit, floor=direct),
        Figure(row=row, what="CPU to store and drain", value=both, unit=unit, floor=direct, at_most=0.5),
    ]


def memory(stage: Stage, events: Events, package: Path) -> list[Figure]:
    """The most memory of each function after one event, and after ten thousand in deliveries of a hundred.

    The schedules have no events: each runs a hundred times.
    """
    deliveries: Mapping[str, Callable[[], dict[str, Any]]] = {
        "access_control": partial(events.badges_together, BATCH),
        "hris": partial(events.leaves_together, BATCH),
        "retry": partial(events.messages, BATCH),
        "occupancy_reset": partial(startup.first_event, "occupancy_reset", events),
        "reconcile": partial(startup.first_event, "reconcile", events),
    }
    path = [package, artifacts.runtime()]

    def measured(function: str) -> list[Figure]:
        with LambdaProcess(PYTHON, handler(function), path, stage.environment) as process:
            startup.check(function, process.invoke(startup.first_event(function, events)))
            after_one = process.peak_memory()
            for _ in range(QUEUED // BATCH):
                startup.check(function, process.invoke(deliveries[function]()))
            peak = process.peak_memory()
        row, grown = "memory", peak - after_one
        return [
            Figure(row=row, what=function, value=peak, unit="MB", at_most=110),
            Figure(row=row, what=f"{function}: growth", value=grown, unit="MB", at_most=5),
        ]

    # A process that waits for a processor does not answer a badge in time.
    with ThreadPoolExecutor(os.cpu_count()) as several_at_once:
        found = [figure for figures in several_at_once.map(measured, deliveries) for figure in figures]
    return [*found, _worst_batch(stage, events, path)]


def _worst_batch(stage: Stage, events: Events, path: Sequence[Path]) -> Figure:
    """The most memory of the retry function with a batch of a hundred messages of 250 kB each.

    They hold a hundred badges each, and Calven is told of everybody.
    """
    there = stage.people("quiet")
    with LambdaProcess(PYTHON, handler("retry"), path, stage.environment) as process:
        startup.check("retry", process.invoke(events.large_messages(BATCH), _WORST_SECONDS))
        peak = process.peak_memory()
    if (came := stage.people("quiet") - there) != BATCH * BADGES_A_MESSAGE:
        raise Failed(f"{BATCH * BADGES_A_MESSAGE} people came in, Calven was told {came}")
    return Figure(row="memory", what="retry, worst batch", value=peak, unit="MB", at_most=200)


def burst() -> list[Figure]:
    """Fifty posts at a time to the local relay for twenty seconds: answers, times, and what is lost.

    Four relays take five seconds each, and the times are the quickest one's: everything runs on this
    machine's processors, AWS and Calven included, and what else they do only adds to it.
    """
    taken: list[tuple[int, float]] = []
    parts: list[list[float]] = []
    lost = 0
    for _ in range(BURST_RELAYS):
        with _local_relay() as url:
            answers = _posted(url, BURST_SECONDS / BURST_RELAYS)
            sandbox = httpx.get(f"{url}/_local", trust_env=False).json()["sandbox_url"]
            lost += _lost(sandbox, sum(status in ACKNOWLEDGED for status, _ in answers))
            taken += answers
            parts.append(quantiles([seconds * 1000 for _, seconds in answers], n=100))
    statuses = Counter(status for status, _ in taken)
    others = sum(number for status, number in statuses.items() if status not in ACKNOWLEDGED)
    cuts = min(parts, key=lambda part: part[49])
    row = "burst"
    return [
        Figure(row=row, what="answers", value=len(taken), unit="", note=_said(statuses)),
        *(Figure(row=row, what=f"p{at}", value=cuts[at - 1], unit="ms") for at in (50, 95, 99)),
        Figure(row=row, what="not 200 or 202", value=others, unit="", at_most=0),
        Figure(row=row, what="lost", value=lost, unit="", at_most=0),
    ]


def _posted(url: str, seconds: float) -> list[tuple[int, float]]:
    """The status of each post, and its seconds; 0 where there was no answer."""
    answers: SimpleQueue[tuple[int, float]] = SimpleQueue()
    numbers, until = count(), time.monotonic() + seconds
    posters = [
        threading.Thread(target=_post, args=(url, numbers, until, answers)) for _ in range(POSTS_AT_ONCE)
    ]
    for poster in posters:
        poster.start()
    for poster in posters:
        poster.join()
    return [answers.get() for _ in range(answers.qsize())]


def _said(statuses: Mapping[int, int]) -> str:
    return ", ".join(f"{number} × {status}" for status, number in sorted(statuses.items()))


@contextmanager
def _local_relay() -> Iterator[str]:
    """The relay as `make run` starts it."""
    with bind() as free:
        port = free.getsockname()[1]
    environment = {**os.environ, "PORT": str(port), "CONSOLE_PORT": "off", "RETRY_BASE_SECONDS": "1"}
    command: list[str | Path] = [Path(sys.executable).with_name("relayctl"), "local"]
    with RELAY_LOG.open("wb") as log:
        process = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
        )
        try:
            url = f"http://127.0.0.1:{port}"
            _wait_for(url, process)
            yield url
        finally:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(_SETTLE_SECONDS)
            process.kill()
            process.wait()


def _wait_for(url: str, process: "subprocess.Popen[bytes]") -> None:
    until = time.monotonic() + _SETTLE_SECONDS
    while process.poll() is None and time.monotonic() < until:
        try:
            httpx.get(f"{url}/_local", timeout=2, trust_env=False).raise_for_status()
        except httpx.HTTPError:
            time.sleep(0.1)
        else:
            return
    raise Failed(f"the local relay does not answer: see {RELAY_LOG}")


def _post(url: str, numbers: "count[int]", until: float, answers: "SimpleQueue[tuple[int, float]]") -> None:
    """Post one person's first badge after the other."""
    secret = json.loads((DEMO / "secrets.json").read_text("utf-8"))["kisi-sydney"]
    with httpx.Client(trust_env=False, timeout=30) as client:
        while time.monotonic() < until:
            number = next(numbers)
            content = {
                "uuid": f"burst-{number}",
                "type": "lock.unlock",
                "success": True,
                "actor_id": number,
                "object_id": 48211,
                "created_at": iso(time.time()),
            }
            body = json.dumps(content).encode()
            signature = signed(vendors.load("kisi"), body, secret, time.time())
            headers = {"content-type": "application/json", **signature.headers}
            began = time.perf_counter()
            try:
                response = client.post(
                    f"{url}/webhooks/access-control/kisi-sydney", content=body, headers=headers
                )
                status = response.status_code
            except httpx.HTTPError:
                status = 0
            answers.put((status, time.perf_counter() - began))


def _lost(sandbox: str, acknowledged: int) -> int:
    """How many people who were acknowledged Calven does not know of, once the queue is empty."""
    level = "5C2D9A37-84E6-4B0B-8B1F-2F7C1D6E3B03"
    until, told = time.monotonic() + _SETTLE_SECONDS, 0
    while told < acknowledged and time.monotonic() < until:
        state = httpx.get(f"{sandbox}/_sandbox/state", trust_env=False).json()
        told = state["occupancy"].get(level, {}).get("occupancy", 0)
        time.sleep(0.2)
    return max(acknowledged - told, 0)
