"""What is around the functions that are measured: an emulator of AWS, and Calven's sandbox.

The emulator is ministack: moto copies the whole table for each transaction, and its queues slow down with the
square of what they hold. Everything listens on 127.0.0.1.
"""

import hmac
import json
import os
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from bench.artifacts import FOLDER
from bench.events import DOORS, LEVELS, SECRET
from e2e.checks import Failed
from e2e.emulator import BIN, Emulator
from localrun.aws import Aws, create
from localrun.seed import seed
from localrun.template import STACK, Template
from localrun.world import World
from relay.aws.table import Table
from relay.config import versions
from relay.config.file import RelayYaml

PYTHON = BIN / "python"
INSIDE = Path(__file__).parent / "inside"
CALVEN: dict[str, Any] = {"apiKey": "bench", "apiSecret": "bench-secret", "region": "usce1"}
_PROBE_SECONDS = 120


def configuration(doors: int) -> RelayYaml:
    """Two buildings: a quiet one with so many doors, and a crowded one with an entrance on each level."""
    zone = {"locationType": "location", "timezone": "Australia/Sydney"}
    places = {"quiet": {"locationId": "quiet", **zone}, "crowded": {"locationId": "crowded", **zone}}
    levels = ["quiet-1", *(f"crowded-{level}" for level in range(1, LEVELS + 1))]
    within = {level: {"locationType": "level", "within": level.partition("-")[0]} for level in levels}
    entrances = {
        f"{level}-{way}": {"place": level, "direction": way} for level in levels[1:] for way in ("in", "out")
    }
    many = {
        f"d{door}": {"place": "quiet-1", "direction": "out" if door % 2 else "in"} for door in range(doors)
    }
    return RelayYaml.model_validate(
        {
            "sources": {vendor: {"vendor": vendor} for vendor in ("kisi", "deel", "generic")},
            "places": {**places, **{level: {"locationId": level, **within[level]} for level in levels}},
            "doors": {"kisi": {**many, **entrances}, "generic": {"d0": many["d0"]}},
        }
    )


def handler(function: str) -> str:
    """A function's handler, by its dotted name."""
    return f"functions.{function}.app.handler"


class Stage:
    """The surroundings, for as long as the bench runs; `folder` takes their files.

    `path` is what the measured processes import from: the built package, and what the runtime has.
    """

    def __init__(self, folder: Path, path: Sequence[Path]) -> None:
        self._folder, self._path = folder, path

    def __enter__(self) -> Self:
        """Start everything, with a small configuration as version 1."""
        with ExitStack() as started:
            self._emulator = started.enter_context(Emulator(self._folder, FOLDER / "emulator.log"))
            world = World(CALVEN)
            started.callback(world.stop)
            self.calven = str(world.start().sandbox)
            self.aws = Aws(self._emulator.url)
            started.callback(self.aws.close)
            self.resources = create(Template(), self.aws)
            secrets = {"calven": CALVEN, **dict.fromkeys(("kisi", "deel", "generic"), SECRET)}
            seed(self.aws, self.resources, configuration(DOORS), secrets)
            self.environment = {
                **self._emulator.client_environment,
                "PATH": os.defpath,
                "NO_PROXY": "127.0.0.1",
                "PYTHONDONTWRITEBYTECODE": "1",
                "STACK_NAME": STACK,
                "TABLE_NAME": self.resources.table,
                "UNPROCESSED_QUEUE_URL": self.resources.unprocessed_queue_url,
                "DEAD_LETTER_QUEUE_URL": self.resources.dead_letter_queue_url,
                "RECONCILE_QUEUE_URL": self.resources.reconcile_queue_url,
                "OCCUPANCY_RESET_QUEUE_URL": self.resources.occupancy_reset_queue_url,
                "CALVEN_BASE_URL": self.calven,
                "POWERTOOLS_METRICS_NAMESPACE": f"CalvenRelay/{STACK}",
                "POWERTOOLS_LOG_LEVEL": "INFO",
            }
            self._started = started.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it all."""
        self._started.close()

    def calven_token(self) -> str:
        """A token of Calven's, for who does not ask for one himself."""
        now = int(time.time())
        proof = hmac.new(CALVEN["apiSecret"].encode(), f"{CALVEN['apiKey']}{now}".encode(), "sha256")
        asked = {"apiKey": CALVEN["apiKey"], "timestamp": now, "hash": proof.hexdigest()}
        headers = {"x-calven-region": CALVEN["region"]}
        answer = httpx.post(f"{self.calven}/v1/auth", json=asked, headers=headers, trust_env=False)
        return str(answer.raise_for_status().json()["token"])

    def push(self, doors: int) -> int:
        """Push a configuration with so many doors; its version, which is current then."""
        return versions.push(self.aws.dynamodb, self.resources.table, configuration(doors))

    def point_to(self, version: int) -> None:
        """Make another version current."""
        versions.rollback(Table(self.aws.dynamodb, self.resources.table), version)

    def received(self, number: int) -> list[Any]:
        """So many messages of the Unprocessed queue, which keeps them, hidden; raises `Failed` for fewer."""
        queue: list[Any] = []
        while len(queue) < number:
            answer = self.aws.sqs.receive_message(
                QueueUrl=self.resources.unprocessed_queue_url,
                MaxNumberOfMessages=10,
                VisibilityTimeout=600,
                AttributeNames=["All"],
            )
            if "Messages" not in answer:
                raise Failed(f"{len(queue)} messages are in the queue, not {number}")
            queue += answer["Messages"]
        return queue

    def empty_queue(self) -> None:
        """Forget what is in the Unprocessed queue."""
        self.aws.sqs.purge_queue(QueueUrl=self.resources.unprocessed_queue_url)

    def people(self, place: str) -> int:
        """How many people are in a place, as Calven was told last."""
        state = httpx.get(f"{self.calven}/_sandbox/state", trust_env=False).json()
        return int(state["occupancy"].get(place, {}).get("occupancy", 0))

    def called(
        self, handler: str, events: Iterable[Mapping[str, Any]], *, skip: int = 0, **more: Any
    ) -> dict[str, Any]:
        """What a fresh process of a handler does with these events, as `probe` tells it.

        Raises `Failed` where an answer is not the one expected of all. `environment` adds variables, and
        `path` is what the process imports from, in the place of the relay's.
        """
        environment = {**self.environment, **more.pop("environment", {})}
        path = more.pop("path", self._path)
        wanted = more.pop("wanted", "200")
        file = self._folder / "events.jsonl"
        file.write_text("".join(json.dumps(event) + "\n" for event in events), "utf-8")
        order = {"handler": handler, "events": str(file), "skip": skip, **more}
        found = probe(order, path, environment)
        if set(found["answers"]) != {wanted}:
            raise Failed(f"{handler} answered {found['answers']}")
        return found


def probe(order: Mapping[str, Any], path: Sequence[Path], environment: Mapping[str, str]) -> dict[str, Any]:
    """What a process with the functions' Python says to an order; raises `Failed`."""
    try:
        done = subprocess.run(
            # Nothing of the environment that this Python is of: a deployed function has only its path.
            [PYTHON, "-S", INSIDE / "probe.py"],
            input=json.dumps(order) + "\n",
            env={**environment, "PYTHONPATH": os.pathsep.join(map(str, (*path, INSIDE)))},
            capture_output=True,
            text=True,
            timeout=_PROBE_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise Failed(f"{order} took over {_PROBE_SECONDS} s") from None
    if done.returncode:
        raise Failed(f"{order} failed: {done.stderr[-1500:]}")
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer
