"""Rows of a badge's job as small services of Node.js do it, without a ledger: Express, and Node-RED.

They verify, count in memory and tell Calven. What a process of theirs has counted is gone with it, nothing is
tried again, and a delivery that comes twice at once counts twice: see the page about performance.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import httpx

from bench import artifacts
from bench.events import DOORS, SECRET, Events
from bench.figures import Figure, compared, interleaved
from bench.lambda_process import cpu_microseconds
from bench.stage import Stage, configuration
from e2e.checks import Failed
from localrun.serve import bind

SERVICES: Mapping[str, str] = {"Express": "express.js", "Node-RED": "node_red.js"}
PATH = "/webhooks/access-control/kisi"
EVENTS, WARM_UP = 300, 1_500
_START_SECONDS = 60.0
_STOP_SECONDS = 5.0


def services(stage: Stage, events: Events, badge: float) -> list[Figure]:
    """CPU of a badge of two counts in each service's process, next to a direct `badge` of the relay's (µs).

    None where Node.js is not installed, or what they need cannot be: a sentence says so.
    """
    try:
        folder = artifacts.services()
    except artifacts.NotHere as reason:
        print(f"skipped: {reason}", file=sys.stderr)
        return []
    with ExitStack() as started:
        running = {
            name: started.enter_context(_service(folder, file, stage)) for name, file in SERVICES.items()
        }
        for service in running.values():
            _cpu(*service, events, WARM_UP)  # meanwhile V8 compiles what is called often
        found = interleaved(
            {name: partial(_cpu, *service, events, EVENTS) for name, service in running.items()}
        )
    row = "services"
    return [
        compared(row, f"{name}, CPU of a badge", each, [badge] * len(each), "µs", None)
        for name, each in found.items()
    ]


def _cpu(process: "subprocess.Popen[bytes]", client: httpx.Client, events: Events, count: int) -> float:
    """CPU microseconds of a badge in that process, over so many; raises `Failed`."""
    badges = events.arrivals(count)
    before = cpu_microseconds(process.pid)
    for badge in badges:
        answer = client.post(PATH, content=badge["body"], headers=_headers(badge))
        if answer.status_code != httpx.codes.OK or answer.json() != {"events": 2}:
            raise Failed(f"a service answered {answer.status_code}: {answer.text[:200]}")
    return (cpu_microseconds(process.pid) - before) / count


def _headers(badge: Mapping[str, Any]) -> dict[str, str]:
    return {name: badge["headers"][name] for name in ("content-type", "user-agent", "x-signature")}


@contextmanager
def _service(
    folder: Path, file: str, stage: Stage
) -> Iterator[tuple["subprocess.Popen[bytes]", httpx.Client]]:
    """A service's process, and a client that keeps its connection."""
    with bind() as free:
        port = free.getsockname()[1]
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(folder),
        "NODE_ENV": "production",
        "PORT": str(port),
        "CALVEN_BASE_URL": stage.calven,
        "CALVEN_TOKEN": stage.calven_token(),
        "BENCH_FOLDER": str(folder / "node-red"),
        "BENCH_CONFIG": json.dumps(_configuration()),
    }
    log = artifacts.FOLDER / f"{file}.log"
    with log.open("wb") as said:
        process = subprocess.Popen(
            [artifacts.node(), file],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
        )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
            _wait_for(client, process, log)
            yield process, client
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_SECONDS)
        process.kill()
        process.wait()


def _configuration() -> dict[str, Any]:
    """What both know of the building."""
    there = configuration(DOORS).model_dump(mode="json", by_alias=True)
    [secret] = SECRET["signingSecrets"]
    return {"signingSecret": secret, "doors": there["doors"]["kisi"], "places": there["places"]}


def _wait_for(client: httpx.Client, process: "subprocess.Popen[bytes]", log: Path) -> None:
    until = time.monotonic() + _START_SECONDS
    while process.poll() is None and time.monotonic() < until:
        with suppress(httpx.HTTPError):
            # Node-RED listens before its flows are there. They refuse what is not signed.
            if client.post(PATH, json={}).status_code == httpx.codes.UNAUTHORIZED:
                return
        time.sleep(0.1)
    raise Failed(f"a service does not answer: see {log}")
