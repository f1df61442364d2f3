"""The relay's own logic, with stand-ins in memory where its wire begins: a handler for `probe`.

A badge's event is read, verified, parsed, mapped, settled and forwarded as the function does it. The table
and Calven are dictionaries; left out are the log line and the figures, which `whole` has too.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from relay import container, vendors
from relay.aws.table import Conflict, Item, Key, Update
from relay.config.file import RelayYaml
from relay.deadline import Deadline
from relay.delivery.pipeline import Pipeline
from relay.entrypoints import request as inbound
from relay.entrypoints import webhook
from relay.envelope import Envelope, StoredRequest
from relay.http import Answer
from relay.invocation import Invocation
from relay.observability import Telemetry

SECRETS: Mapping[str, str] = json.loads(os.environ["BENCH_SECRETS"])
CONFIG = RelayYaml.model_validate_json(os.environ["BENCH_CONFIG"])


class Table:
    """The ledger as a dictionary."""

    def __init__(self, _client: Any, _name: str) -> None:
        self.items: dict[Key, dict[str, Any]] = {}
        self.items[("config", "pointer")] = {"version": 1}
        self.items[("config#1", "main")] = {"body": CONFIG.config().model_dump_json(by_alias=True)}
        for source, doors in CONFIG.doors.items():
            for name, door in doors.items():
                body = door.model_dump_json(by_alias=True)
                self.items[(f"config#1#{source}", f"door#{name}")] = {"body": body}

    def until(self, _deadline: Deadline) -> "Table":
        """Itself: it answers at once."""
        return self

    def get(self, keys: Sequence[Key]) -> dict[Key, Item]:
        """The items that exist under these keys."""
        return {key: self.items[key] for key in keys if key in self.items}

    def write(self, updates: Sequence[Update]) -> None:
        """Carry out every update, or none."""
        if not all(map(self._holds, updates)):
            raise Conflict
        for update in updates:
            self.items[update.key] = {**self.items.get(update.key, {}), **update.set}

    def _holds(self, update: Update) -> bool:
        item = self.items.get(update.key, {})
        return (
            all(item.get(name) == value for name, value in update.expect.items())
            and all(name not in item or item[name] < value for name, value in update.below.items())
            and all(name in item for name in update.present)
        )


class Clients:
    """AWS, of which only Secrets Manager is asked."""

    def client(self, _service: str) -> "Clients":
        """Itself."""
        return self

    def get_secret_value(self, SecretId: str) -> Mapping[str, str]:  # noqa: N803 - AWS's name
        """A secret."""
        return {"SecretString": SECRETS[SecretId]}


class Http:
    """Calven, which accepts everything."""

    def request(
        self, _method: str, url: str, _headers: Any, _deadline: Deadline, json: Any = None, form: Any = None
    ) -> Answer:
        """A token, or a result for each event."""
        del form
        if url.endswith("/v1/auth"):
            return Answer(200, {}, b'{"token": "token", "expiration": 1e12}')
        return Answer(200, {}, b'{"results": [' + b", ".join(_accepted(json["occupancyEvents"])) + b"]}")


def _accepted(events: Sequence[Mapping[str, Any]]) -> Iterator[bytes]:
    for event in events:
        yield b'{"resultCode": 0, "eventId": "' + event["eventId"].encode() + b'"}'


for stand_in in (Table, Clients, Http):
    setattr(container, stand_in.__name__, stand_in)
RELAY = container.container()
VENDOR = vendors.load("kisi")


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Read, verify, parse, map, settle and forward one badge."""
    request = inbound.read(event)
    secrets = RELAY.secrets.source("access-control", request.source).lists
    found = inbound.verify(request, VENDOR, secrets, RELAY.clock())
    if found is None:
        return {"statusCode": 401}
    envelope = Envelope(
        source=request.source,
        vendor=VENDOR.name,
        kind="occupancy",
        received_at=datetime.fromtimestamp(request.received_at, UTC),
        request=StoredRequest.of(found),
    )
    deadline = Deadline(request.received_at + VENDOR.ack_seconds, RELAY.clock)
    [[outcome]] = Pipeline(Invocation(RELAY, deadline, Telemetry(""))).process([envelope])
    return {"statusCode": 200 if outcome.status == "forwarded" else 202}


def whole(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """The whole function: with its log line, its figures and its answer."""
    return webhook.handle(RELAY, "access-control", event)
