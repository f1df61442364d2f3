"""What is around the functions that are measured: an emulator of AWS, Calven's sandbox, and events.

The emulator is ministack: moto copies the whole table for each transaction, and its queues slow down with the
square of what they hold. Everything listens on 127.0.0.1.
"""

import base64
import json
import os
import subprocess
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from e2e.checks import Failed
from e2e.emulator import BIN, Emulator
from localrun.aws import Aws, create
from localrun.seed import seed
from localrun.template import STACK, Template
from localrun.world import World
from relay import config_versions, vendors
from relay.config_file import RelayYaml
from relay.dynamo import Table
from relay.events import BadgeEvent, iso
from relay.unprocessed import Envelope
from relayctl.samples import signed

PYTHON = BIN / "python"
INSIDE = Path(__file__).parent / "inside"
CALVEN: dict[str, Any] = {"apiKey": "bench", "apiSecret": "bench-secret"}
SECRET: dict[str, Any] = {"signingSecrets": ["whsec_" + base64.b64encode(b"bench" * 8).decode()]}
LEVELS = 5
"""How many levels the crowded building has; the quiet one has a single one."""
DOORS = 10
"""Through so many doors the measured badges pass, however many there are."""
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


class Stage:
    """The surroundings, for as long as the bench runs; `folder` takes their files.

    `path` is what the measured processes import from: the built package, and what the runtime has.
    """

    def __init__(self, folder: Path, path: Sequence[Path]) -> None:
        self._folder, self._path = folder, path

    def __enter__(self) -> Self:
        """Start everything, with a small configuration as version 1."""
        with ExitStack() as started:
            self._emulator = started.enter_context(Emulator(self._folder, self._folder / "emulator.log"))
            world = World(CALVEN)
            started.callback(world.stop)
            self._sandbox = str(world.start().sandbox)
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
                "CALVEN_BASE_URL": self._sandbox,
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

    def push(self, doors: int) -> int:
        """Push a configuration with so many doors; its version, which is current then."""
        return config_versions.push(self.aws.dynamodb, self.resources.table, configuration(doors))

    def point_to(self, version: int) -> None:
        """Make another version current."""
        config_versions.rollback(Table(self.aws.dynamodb, self.resources.table), version)

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
        state = httpx.get(f"{self._sandbox}/_sandbox/state", trust_env=False).json()
        return int(state["occupancy"].get(place, {}).get("occupancy", 0))

    def called(
        self, handler: str, events: Iterable[Mapping[str, Any]], *, skip: int = 0, **more: Any
    ) -> dict[str, Any]:
        """What a fresh process of a handler does with these events, as `probe` tells it.

        Raises `Failed` where an answer is not the one expected of all. `environment` adds variables.
        """
        environment = {**self.environment, **more.pop("environment", {})}
        wanted = more.pop("wanted", "200")
        file = self._folder / "events.jsonl"
        file.write_text("".join(json.dumps(event) + "\n" for event in events), "utf-8")
        order = {"handler": handler, "events": str(file), "skip": skip, **more}
        found = probe(order, self._path, environment)
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


class Events:
    """Events that nobody has sent before, signed as their vendors sign them."""

    def __init__(self) -> None:
        self._number = self._days = 0

    def badges(self, count: int, people: int = 10) -> list[dict[str, Any]]:
        """Badges of so many people, who come in to the quiet building and leave it, by turns."""
        ways = ((turn // people) % 2 for turn in range(count))
        return [
            self.badge(f"person-{turn % people}", f"d{way + turn % DOORS // 2 * 2}")
            for turn, way in enumerate(ways)
        ]

    def crowd(self, count: int, *, of: int) -> list[dict[str, Any]]:
        """Badges of one of several parts of a crowd, each person's first, into the crowded building."""
        return [self.badge(f"crowd-{of}-{turn}", f"crowded-{turn % LEVELS + 1}-in") for turn in range(count)]

    def guests(self, count: int) -> list[dict[str, Any]]:
        """Badges of ten people, who come in to the crowded building and leave it, by turns."""
        ways = ("out" if (turn // 10) % 2 else "in" for turn in range(count))
        return [self.badge(f"guest-{turn % 10}", f"crowded-1-{way}") for turn, way in enumerate(ways)]

    def badge(self, person: str, door: str) -> dict[str, Any]:
        """A badge of Kisi's, now."""
        content = {
            "uuid": self._id(),
            "actor_type": "User",
            "actor_id": person,
            "actor_name": "Robin Example",
            "object_type": "Lock",
            "object_id": door,
            "object_name": "Lobby in",
            "organization_id": 3120,
            "place_id": 5501,
            "success": True,
            "type": "lock.unlock",
            "error_code": None,
            "error_message": None,
            "created_at": iso(time.time()),
        }
        return webhook("access-control", "kisi", content)

    def leave(self, employee: int) -> dict[str, Any]:
        """An approved leave of Deel's, of one day that nobody has taken yet."""
        self._days += 1
        day = (datetime.now(UTC).date() + timedelta(days=self._days)).isoformat()
        resource = {
            "id": self._id(),
            "type": "Vacation",
            "status": "APPROVED",
            "start_date": day,
            "end_date": day,
            "updated_at": iso(time.time()),
            "requester": {"work_email": f"employee-{employee}@example.com"},
        }
        meta = {"event_type": "time-off.reviewed", "tracking_id": self._id()}
        content = {"data": {"meta": meta, "resource": resource}, "timestamp": iso(time.time())}
        return webhook("hris", "deel", content)

    def badges_together(self, count: int) -> dict[str, Any]:
        """One delivery of so many badges, of the generic vendor's."""
        return webhook("access-control", "generic", [self._generic_badge(number) for number in range(count)])

    def leaves_together(self, count: int) -> dict[str, Any]:
        """One delivery of so many leave requests, of the generic vendor's."""
        return webhook("hris", "generic", [self._generic_leave(number) for number in range(count)])

    def message(self, person: str) -> dict[str, Any]:
        """A message of the Unprocessed queue with a badge that has waited there."""
        now = datetime.now(UTC)
        badge = BadgeEvent(event_id=self._id(), at=now, door="d0", person=person)
        envelope = Envelope(source="kisi", vendor="kisi", kind="occupancy", received_at=now, event=badge)
        attributes = {"ApproximateReceiveCount": "1", "SentTimestamp": str(time.time_ns() // 1_000_000)}
        message_id = str(uuid.uuid4())
        return {
            "MessageId": message_id,
            "ReceiptHandle": message_id,
            "Body": envelope.body(),
            "Attributes": attributes,
        }

    def _generic_badge(self, number: int) -> dict[str, Any]:
        at = iso(time.time())
        return {"type": "badge", "id": self._id(), "at": at, "door": "d0", "person": f"person-{number}"}

    def _generic_leave(self, number: int) -> dict[str, Any]:
        change = {"id": self._id(), "leave": self._id(), "state": "requested", "changedAt": iso(time.time())}
        day = datetime.now(UTC).date().isoformat()
        about = {"email": f"employee-{number}@example.com", "start": day, "end": day, "leaveType": "Vacation"}
        return {"type": "leave", **change, **about}

    def _id(self) -> str:
        self._number += 1
        return f"{time.time_ns()}-{self._number}"


def webhook(family: str, vendor: str, content: Any) -> dict[str, Any]:
    """What API Gateway makes of a vendor's signed request."""
    body = json.dumps(content)
    signature = signed(vendors.load(vendor), body.encode(), SECRET, time.time())
    headers = {
        "accept": "*/*",
        "content-length": str(len(body)),
        "content-type": "application/json",
        "host": "example.execute-api.us-east-1.amazonaws.com",
        "user-agent": vendor,
        "x-amzn-trace-id": "Root=1-67891233-abcdef012345678912345678",
        "x-forwarded-for": "203.0.113.7",
        "x-forwarded-port": "443",
        "x-forwarded-proto": "https",
    }
    return {
        "version": "2.0",
        "routeKey": f"POST /webhooks/{family}/{{source}}",
        "rawPath": f"/webhooks/{family}/{vendor}",
        "rawQueryString": "",
        "headers": {**headers, **signature.headers},
        "pathParameters": {"source": vendor},
        "requestContext": {
            "http": {"method": "POST", "path": f"/webhooks/{family}/{vendor}", "sourceIp": "203.0.113.7"},
            "stage": "$default",
            "requestId": f"bench-{time.time_ns()}",
            "timeEpoch": int(time.time() * 1000),
        },
        "body": body,
        "isBase64Encoded": False,
    }


def batch(messages: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What the event source mapping makes of messages."""
    return {"Records": [_record(message) for message in messages]}


def _record(message: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "messageId": message["MessageId"],
        "receiptHandle": message["ReceiptHandle"],
        "body": message["Body"],
        "attributes": dict(message["Attributes"]),
        "messageAttributes": {},
        "eventSource": "aws:sqs",
    }
