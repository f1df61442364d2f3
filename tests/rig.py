"""A whole relay in one process: moto for AWS, the sandbox for Calven, a clock that only the test moves."""

import base64
import json
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from localrun.aws import Resources, create
from localrun.sandbox import Sandbox
from localrun.seed import seed, with_vendor_api
from localrun.settings import DEMO
from localrun.template import STACK
from relay import vendors
from relay.aws.clients import ClientMaker
from relay.container import Container
from relay.deadline import BATCH, Deadline
from relay.entrypoints import queue, reconcile, schedule, webhook
from relay.envelope import KINDS, Envelope, StoredRequest
from relay.http import Http
from relay.invocation import Invocation
from relay.observability import Telemetry
from relay.reconciliation.report import Report
from relay.reconciliation.source import reconcile as reconcile_source
from relay.reconciliation.wishes import Wishes
from relay.settings import Settings
from relay.vendors.support.proof import Signature
from relayctl import dead_letters, relay_yaml
from relayctl.target import Target
from tests.sandboxes import Sandboxes

NOON = 1793764800.0
"""2026-11-04T04:00:00Z, three in the afternoon in Sydney: far from every operating day's end."""

EVENTS = Path(__file__).parents[1] / "events"


class Clock:
    """Unix seconds, as the test says."""

    def __init__(self, now: float = NOON) -> None:
        self.now = now

    def __call__(self) -> float:
        """The time."""
        return self.now

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds


class Rig:
    """The relay under test. Call its methods as a vendor, as AWS, as Calven or as an operator would."""

    def __init__(self, sandboxes: Sandboxes, clients: ClientMaker | None = None) -> None:
        self.clock = Clock()
        self.clients = clients or sandboxes.clients
        self.secrets = with_vendor_api(json.loads((DEMO / "secrets.json").read_text()), sandboxes.vendor_api)
        self.config = sandboxes.config
        reader = self.secrets["calven-reader"]
        sandboxes.current = Sandbox(self.secrets["calven"], reader=reader, now=self.clock)
        self.sandbox = httpx.Client(base_url=sandboxes.url, trust_env=False)
        self._vendor_api = sandboxes.vendor_api
        self.aws, self._template = sandboxes.aws, sandboxes.template
        self.resources = sandboxes.seeded.fill(self._make)
        self._relays: list[Container] = []
        self.relay = self.built()

    def _make(self) -> Resources:
        resources = create(self._template, self.aws)
        seed(self.aws, resources, self.config, self.secrets, self.clock)
        return resources

    @cached_property
    def vendors(self) -> httpx.Client:
        """What the test tells the vendors' APIs with."""
        return httpx.Client(base_url=self._vendor_api, trust_env=False)

    def built(self, clients: ClientMaker | None = None, /, **settings: str) -> Container:
        """Another relay on the same AWS and Calven: a fresh container, or one with other settings.

        It shares its AWS clients with all others. One whose calls are watched or fail has clients of its own.
        """
        return self._built(clients, None, settings)

    def beside(self, calven: httpx.BaseTransport) -> Container:
        """Another relay on the same AWS, with another Calven."""
        return self._built(None, Http(calven), {})

    def _built(
        self, clients: ClientMaker | None, http: Http | None, settings: Mapping[str, str]
    ) -> Container:
        environment = {
            "STACK_NAME": STACK,
            "TABLE_NAME": self.resources.table,
            "UNPROCESSED_QUEUE_URL": self.resources.unprocessed_queue_url,
            "DEAD_LETTER_QUEUE_URL": self.resources.dead_letter_queue_url,
            "RECONCILE_QUEUE_URL": self.resources.reconcile_queue_url,
            "OCCUPANCY_RESET_QUEUE_URL": self.resources.occupancy_reset_queue_url,
            "CALVEN_BASE_URL": str(self.sandbox.base_url),
            "RETRY_BASE_SECONDS": "0.001",
            **settings,
        }
        of_environment = Settings.model_validate(environment)
        self._relays.append(Container(of_environment, self.clock, aws=clients or self.clients, http=http))
        return self._relays[-1]

    def ticking(self) -> Container:
        """A relay whose clock goes on from the test's time by itself, for deadlines on real wires."""
        began = time.monotonic()
        relay = self.built()
        relay.clock = lambda: self.clock() + time.monotonic() - began
        return relay

    def __enter__(self) -> Self:
        """Nothing to start."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connections."""
        self.sandbox.delete("/_sandbox/fail")
        self.sandbox.close()
        if "vendors" in vars(self):
            self.vendors.delete("/_vendors/happened")
            self.vendors.delete("/_vendors/fail")
            self.vendors.close()
        for relay in self._relays:
            relay.http.close()

    def source(self, vendor: str) -> str:
        """The demo's source of a vendor."""
        of_vendor = [name for name, source in self.config.sources.items() if source.vendor == vendor]
        assert of_vendor, f"tools/localrun/demo/relay.yaml has no source of {vendor}: run `make docs`"
        return of_vendor[0]

    def signature(self, vendor: str, body: bytes, secret: str | None = None) -> Signature:
        """What the vendor would add to the request."""
        record = vendors.load(vendor)
        of_source = self.secrets[self.source(vendor)]
        scheme = next(scheme for scheme in record.schemes if secret or of_source.get(scheme.credentials))
        return scheme.sign(body, secret or of_source[scheme.credentials][0], self.clock())

    def post(
        self,
        vendor: str,
        event: str | bytes | Mapping[str, Any] | Sequence[Any],
        *,
        source: str | None = None,
        family: str | None = None,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
        relay: Container | None = None,
        **http: Any,
    ) -> tuple[int, Any]:
        """Post a sample by name, a body or a payload, signed unless `headers` says otherwise."""
        body = content(vendor, event)
        if headers is None:
            signature = self.signature(vendor, body)
            headers, query = signature.headers, signature.query
        family = family or vendors.load(vendor).family
        source = self.source(vendor) if source is None else source
        request = self.request(body, source, headers, query=query, **http)
        answer = webhook.handle(relay or self.relay, family, request)  # type: ignore[arg-type]
        assert answer["headers"]["content-type"] == "application/json"
        self.answer_headers = answer["headers"]
        return answer["statusCode"], json.loads(answer["body"])

    def request(
        self,
        body: bytes,
        source: str,
        headers: Mapping[str, str],
        *,
        query: Mapping[str, str] | None = None,
        topic: str | None = None,
        method: str = "POST",
        as_base64: bool = False,
        received_at: float | None = None,
    ) -> dict[str, Any]:
        """An API Gateway event as the HTTP API makes it."""
        as_base64 = as_base64 or not _is_text(body)
        epoch = int((self.clock() if received_at is None else received_at) * 1000)
        return {
            "version": "2.0",
            "headers": {"content-type": "application/json", **headers},
            "pathParameters": {"source": source, **({"topic": topic} if topic else {})},
            "queryStringParameters": dict(query or {}),
            "requestContext": {"http": {"method": method}, "timeEpoch": epoch, "requestId": "request-1"},
            "body": base64.b64encode(body).decode() if as_base64 else body.decode(),
            "isBase64Encoded": as_base64,
        }

    def calven(self) -> list[dict[str, Any]]:
        """The events that Calven has accepted, in order."""
        return [accepted["event"] for accepted in self.sandbox.get("/_sandbox/events").json()]

    def requests(self, path: str = "") -> list[dict[str, Any]]:
        """The requests that Calven has received, in order."""
        received = self.sandbox.get("/_sandbox/requests").json()
        return [request for request in received if request["path"].startswith(path)]

    def counts(self) -> dict[str, int]:
        """What Calven holds as the people in each place, by the names of the configuration."""
        latest = self.sandbox.get("/_sandbox/state").json()["occupancy"]
        names = {place.location_id: name for name, place in self.config.places.items()}
        return {names[location]: event["occupancy"] for location, event in latest.items()}

    def away(self, email: str) -> dict[str, str]:
        """What Calven holds as the person's days away."""
        days: dict[str, str] = self.sandbox.get("/_sandbox/state").json()["away"].get(email, {})
        return days

    def fail(self, mode: str, **order: Any) -> None:
        """Have Calven fail."""
        self.sandbox.post("/_sandbox/fail", json={"mode": mode, **order}).raise_for_status()

    def recover(self) -> None:
        """Have Calven work again."""
        self.sandbox.delete("/_sandbox/fail").raise_for_status()

    def refuse(self, *, users: Sequence[str] = (), locations: Sequence[str] = ()) -> None:
        """Have Calven not know some people or locations."""
        order = {"users": list(users), "locations": list(locations)}
        self.sandbox.post("/_sandbox/unknown", json=order).raise_for_status()

    def push(self, yaml: str, path: Path) -> None:
        """Push another configuration, as text."""
        file = path / "relay.yaml"
        file.write_text(yaml)
        self.config = relay_yaml.load(file)
        from relay.config.versions import push  # noqa: PLC0415 - only some tests push

        push(self.aws.dynamodb, self.resources.table, self.config, clock=self.clock)

    def waiting(self) -> list[dict[str, Any]]:
        """The envelopes in the Unprocessed queue, taken out of it."""
        return [json.loads(message["Body"]) for message in self._receive()]

    def retry(self, relay: Container | None = None, receive_count: int = 1, age: float = 0) -> dict[str, Any]:
        """Deliver what is in the Unprocessed queue to the retry function, as its mapping does."""
        messages = self._receive()
        records = [_record(message, receive_count, self.clock() - age) for message in messages]
        answer = queue.handle(relay or self.relay, {"Records": records}, 50, "request-2")
        failed = {failure["itemIdentifier"] for failure in answer["batchItemFailures"]}
        for message in messages:
            if message["MessageId"] not in failed:
                url = self.resources.unprocessed_queue_url
                self.aws.sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return answer

    def redrive(self, vendor: str, event: str) -> None:
        """Put a request into the Unprocessed queue, as a dead letter that was read wrongly before."""
        body = base64.b64encode(json.dumps(sample(vendor, event)).encode()).decode()
        envelope = Envelope(
            source=self.source(vendor),
            vendor=vendor,
            kind=KINDS[vendors.load(vendor).family],
            received_at=datetime.fromtimestamp(self.clock(), UTC),
            request=StoredRequest(body=body),
        )
        self.relay.queues.retry_later([(envelope, 0)])

    def reset(self, relay: Container | None = None) -> dict[str, int]:
        """Run the scheduled function."""
        return schedule.handle(relay or self.relay, {}, 50, "request-3")

    def happen(self, vendor: str, name: str, **changes: Any) -> None:
        """Have happen at a vendor what a sample says, with some fields changed, and no webhook tell of it."""
        said = {"vendor": vendor, "sample": name, "payload": sample(vendor, name, **changes)}
        self.vendors.post("/_vendors/happened", json=said).raise_for_status()

    def reconcile_by_hand(self, source: str) -> Report:
        """Reconcile a source as an operator does."""
        deadline = Deadline(self.clock() + 600, self.clock)
        invocation = Invocation(self.relay, deadline, Telemetry("by hand"), BATCH)
        return reconcile_source(invocation, source, Wishes(by_hand=True))

    def reconcile(self, relay: Container | None = None, seconds: float = 800) -> list[str]:
        """Run the reconcile function as its schedule does, then with each message that this made."""
        relay = relay or self.relay
        reconcile.handle(relay, {}, seconds, "request-4")
        return self.reconcile_asked(relay, seconds)

    def reconcile_asked(
        self, relay: Container | None = None, seconds: float = 800, age: float = 0
    ) -> list[str]:
        """Run the reconcile function with each message that waits for it, of that age; the messages."""
        url, messages = self.resources.reconcile_queue_url, []
        while found := self.aws.sqs.receive_message(QueueUrl=url).get("Messages", []):
            for message in found:
                messages.append(message)
                self.aws.sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        for message in messages:
            record = _record(message, 1, self.clock() - age)
            reconcile.handle(relay or self.relay, {"Records": [record]}, seconds, "request-5")
        return [message["Body"] for message in messages]

    def dead_letters(self) -> list[dict[str, Any]]:
        """The envelopes in the dead-letter queue."""
        return dead_letters.peek(self.target())

    def target(self) -> Target:
        """This relay as `relayctl` sees it."""
        resources = self.resources
        return Target(
            stack=STACK,
            api_url="http://127.0.0.1:1",
            table=resources.table,
            unprocessed_queue_url=resources.unprocessed_queue_url,
            dead_letter_queue_url=resources.dead_letter_queue_url,
            region="us-east-1",
            calven_url=str(self.sandbox.base_url),
        )

    def _receive(self) -> list[Any]:
        """All messages of the Unprocessed queue, each still there to be received."""
        url, sqs = self.resources.unprocessed_queue_url, self.aws.sqs
        found: list[Any] = []
        while some := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", []):
            found += some
        for message in found:
            receipt = message["ReceiptHandle"]
            sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=receipt, VisibilityTimeout=0)
        return found


def content(vendor: str, event: str | bytes | Mapping[str, Any] | Sequence[Any]) -> bytes:
    """A body: of a sample, as it is, or of a payload."""
    if isinstance(event, bytes):
        return event
    if isinstance(event, str):
        return (EVENTS / vendor / f"{event}.json").read_bytes()
    return json.dumps(event).encode()


def sample(vendor: str, name: str, **changes: Any) -> Any:
    """A sample's payload with some fields changed; `data__resource__id` names a nested one."""
    payload = json.loads((EVENTS / vendor / f"{name}.json").read_text())
    for path, value in changes.items():
        *outer, last = path.split("__")
        node = payload
        for key in outer:
            node = node[key]
        node[last] = value
    return payload


def _is_text(body: bytes) -> bool:
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True


def _record(message: Mapping[str, Any], receive_count: int, sent_at: float) -> dict[str, Any]:
    return {
        "messageId": message["MessageId"],
        "receiptHandle": message["ReceiptHandle"],
        "body": message["Body"],
        "attributes": {
            "ApproximateReceiveCount": str(receive_count),
            "SentTimestamp": str(int(sent_at * 1000)),
        },
    }
