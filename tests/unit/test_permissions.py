"""Each function's role allows exactly the calls that its code makes: both are collected and compared.

The calls are those of the relay's own boto3 clients while it works through everything that it can meet. IAM
knows some under other names: a transaction is its updates and checks, a batch its messages. What the event
source mapping calls in the retry function's name is added by hand.
"""

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
from moto import mock_aws

from localrun.template import STACK
from relay.aws.clients import Clients
from relay.container import Container
from relay.entrypoints import schedule as run_of_schedule
from tests.rig import NOON, Rig, sample
from tests.sandboxes import Sandboxes
from tests.system.test_template_roles import GRANTS, PARTITIONS

pytestmark = [pytest.mark.no_cover, pytest.mark.slow]

Calls = set[tuple[str, str]]
"""What may be called on which resource of the template, as in `GRANTS`."""

TAKEN = ("ReceiveMessage", "DeleteMessage", "GetQueueAttributes")
MAPPINGS: Mapping[str, Calls] = {
    "RetryFunction": {("UnprocessedQueue", f"sqs:{call}") for call in TAKEN},
    "OccupancyResetFunction": {("OccupancyResetQueue", f"sqs:{call}") for call in TAKEN},
    "ReconcileFunction": {("ReconcileQueue", f"sqs:{call}") for call in TAKEN},
}
"""What Lambda itself calls with the role of a function that a queue feeds."""
QUEUES = {
    "unprocessed": "UnprocessedQueue",
    "dead-letter": "DeadLetterQueue",
    "occupancy-reset": "OccupancyResetQueue",
}
"""The queues that get several messages at once, by the end of their name."""
NEXT_MORNING = NOON + 13 * 3600
"""04:00 in Sydney, when the demo's day ends."""


class Collected(Clients):
    """Clients that note each call."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: Calls = set()
        self.partitions: dict[str, set[str]] = {"read": set(), "written": set()}

    def client(self, service: Any) -> Any:
        """A service's client."""
        client = super().client(service)
        client.meta.events.register("provide-client-params", self._note)
        return client

    def _note(self, params: Mapping[str, Any], model: Any, **_: Any) -> None:
        self.calls |= set(_granted(model.name, params))
        for use, key in _partitions(model.name, params):
            self.partitions[use].add(key)


def _granted(operation: str, params: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The calls that IAM sees in one operation."""
    match operation:
        case "TransactWriteItems":
            kinds = {kind for item in params["TransactItems"] for kind in item}
            names = {"Update": "UpdateItem", "ConditionCheck": "ConditionCheckItem"}
            yield from (("LedgerTable", f"dynamodb:{names[kind]}") for kind in kinds)
        case "GetSecretValue":
            name = params["SecretId"].removeprefix(f"{STACK}/")
            known = {"calven": "CalvenSecret", "person-key": "person-key-??????"}
            yield known.get(name, f"{name.partition('/')[0]}/*"), "secretsmanager:GetSecretValue"
        case "PutSecretValue" | "CreateSecret":
            name = params.get("SecretId") or params["Name"]
            yield f"{name.removeprefix(f'{STACK}/').partition('/')[0]}/*", f"secretsmanager:{operation}"
        case (
            "SendMessageBatch"
            | "ChangeMessageVisibility"
            | "ChangeMessageVisibilityBatch"
            | "DeleteMessageBatch"
        ):
            queue = QUEUES[params["QueueUrl"].rpartition(f"{STACK}-")[2]]
            yield queue, f"sqs:{operation.removesuffix('Batch')}"
        case "SendMessage":
            yield "ReconcileQueue", "sqs:SendMessage"
        case "Query" if "IndexName" in params:
            yield f"${{LedgerTable.Arn}}/index/{params['IndexName']}", "dynamodb:Query"
        case _:
            yield "LedgerTable", f"dynamodb:{operation}"


def _partitions(operation: str, params: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The partitions of the table that an operation reads or writes; a check is made with a write."""
    match operation:
        case "BatchGetItem":
            tables = params["RequestItems"].values()
            yield from (("read", key["pk"]["S"]) for table in tables for key in table["Keys"])
        case "UpdateItem":
            yield "written", params["Key"]["pk"]["S"]
        case "TransactWriteItems":
            items = [each for item in params["TransactItems"] for each in item.values()]
            yield from (("written", each["Key"]["pk"]["S"]) for each in items)


def occupancy(rig: Rig, relay: Container) -> None:
    """Badges and readings: forwarded, waiting, dead, and in the last seconds of a day."""
    rig.post("kisi", "badge-in", relay=relay)
    rig.post("kisi", "unmapped-door", relay=relay)
    rig.post("vergesense", "space-report", relay=relay)
    rig.post("doorflow", "admitted", relay=relay)
    tokens(rig, relay, lambda one: rig.post("doorflow", "admitted", relay=one))
    rig.fail("503")
    rig.post("kisi", sample("kisi", "badge-out"), relay=relay)
    rig.recover()
    rig.clock.now = NEXT_MORNING - 1
    rig.post("kisi", sample("kisi", "badge-in", uuid="late", created_at="2026-11-04T16:59:58Z"), relay=relay)


def leave(rig: Rig, relay: Container) -> None:
    """Leave: forwarded, asked about, waiting and dead."""
    rig.post("deel", "approved", relay=relay)
    rig.post("hibob", "approved", relay=relay)
    rig.post("keypay", "approved", relay=relay)
    rig.post("deel", sample("deel", "requested", data__resource__type="Jury duty"), relay=relay)
    tokens(rig, relay, lambda one: rig.post("gusto", "approved", relay=one))
    rig.post("deel", sample("deel", "deleted", data__resource__id="never seen"), relay=relay)
    rig.fail("503")
    rig.post("deel", "rescheduled", relay=relay)
    rig.recover()
    rig.post("kombo", "absences-changed", relay=relay)


def tokens(rig: Rig, relay: Container, deliver: Callable[[Container], object]) -> None:
    """A pair of tokens is stored for the first time, read as another stored it, and stored again."""
    deliver(relay)
    rig.clock.advance(4000)
    deliver(rig.relay)
    deliver(relay)
    rig.clock.advance(4000)
    deliver(relay)


def queue(rig: Rig, relay: Container) -> None:
    """What waits, of both families: it fails again, is forwarded, or is dead."""
    stored = rig.built(FORWARD_MODE="queued")
    for vendor, event in (
        ("kisi", "badge-in"),
        ("kisi", "unmapped-door"),
        ("hibob", "approved"),
        ("doorflow", "admitted"),
    ):
        rig.post(vendor, event, relay=stored)
    rig.redrive("kombo", "absences-changed")
    rig.post("deel", sample("deel", "approved", data__resource=[1] * 101), relay=stored)

    def later(one: Container) -> None:
        rig.post("gusto", "approved", relay=stored)
        rig.retry(one)

    tokens(rig, relay, later)
    rig.clock.now = NEXT_MORNING - 1
    late = sample("kisi", "badge-in", uuid="late", created_at="2026-11-04T16:59:58Z", actor_id=5)
    rig.post("kisi", late, relay=stored)
    rig.fail("503")
    for _ in range(2):
        rig.retry(relay)
        rig.clock.advance(60)
    rig.recover()
    rig.retry(relay)
    suspected(rig, relay, stored)


def suspected(rig: Rig, relay: Container, stored: Container) -> None:
    """A message that was under way when another process ended."""
    rig.post("hibob", "approved", relay=stored)
    url = rig.resources.unprocessed_queue_url
    [message] = rig.aws.sqs.receive_message(QueueUrl=url, VisibilityTimeout=0)["Messages"]
    stored.under_way.begin([message["MessageId"]], until=0)
    rig.retry(relay)


def schedule(rig: Rig, relay: Container) -> None:
    """A day ends while Calven is down, and once more when it is back; a push moves people."""
    rig.post("kisi", "badge-in")
    rig.clock.now = NEXT_MORNING + 120
    rig.fail("503")
    rig.reset(relay)
    rig.recover()
    rig.refuse(locations=[place.location_id for place in rig.config.places.values()])
    rig.clock.advance(24 * 3600)
    rig.post("kisi", sample("kisi", "badge-in", uuid="next", created_at="2026-11-05T20:00:00Z"))
    rig.clock.advance(24 * 3600)
    rig.reset(relay)
    run_of_schedule.handle(relay, {}, 50, "many sites", most_sites=0)
    at = f"{datetime.fromtimestamp(rig.clock(), UTC):%FT%TZ}"
    rig.post("kisi", sample("kisi", "badge-in", uuid="moved", created_at=at))
    sydney = f"{{locationId: {rig.config.places['sydney'].location_id}, locationType: location}}"
    with tempfile.TemporaryDirectory() as folder:
        rig.push(
            f"{{sources: {{kisi-sydney: {{vendor: kisi}}}}, places: {{sydney: {sydney}}}}}", Path(folder)
        )
    rig.clock.advance(120)
    rig.reset(relay)


def reconciled(rig: Rig, relay: Container) -> None:
    """Every source that can be asked, of both families; after it was done by hand, what differs is queued."""
    for source in ("kisi-sydney", "factorial", "doorflow"):
        rig.reconcile_by_hand(source)
    rig.happen("kisi", "badge-in", created_at="2026-11-04T03:59:58Z")
    rig.clock.advance(900)
    rig.reconcile(relay)
    for _ in range(2):
        rig.clock.advance(24 * 3600)
        rig.reconcile(relay)


WORK = {
    "AccessControlFunction": occupancy,
    "HrisFunction": leave,
    "RetryFunction": queue,
    "OccupancyResetFunction": schedule,
    "ReconcileFunction": reconciled,
}


@pytest.mark.parametrize("function", WORK)
def test_role_is_what_the_code_calls(sandboxes: Sandboxes, function: str) -> None:
    """Nothing is called that the role does not allow, and nothing allowed that is never called."""
    collected = Collected()
    with mock_aws(), Rig(sandboxes) as rig:
        WORK[function](rig, rig.built(collected))
    assert flat(GRANTS[function]) == collected.calls | MAPPINGS.get(function, set())
    if function in PARTITIONS:
        for allowed, touched in zip(PARTITIONS[function], collected.partitions.values(), strict=True):
            assert not [key for key in touched if not any(fnmatchcase(key, pattern) for pattern in allowed)]
            assert not [
                pattern for pattern in allowed if not any(fnmatchcase(key, pattern) for key in touched)
            ]


def flat(grants: Sequence[tuple[str, set[str]]]) -> Calls:
    """Grants as pairs."""
    return {(resource, call) for resource, calls in grants for call in calls}
