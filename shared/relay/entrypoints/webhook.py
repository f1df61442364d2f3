"""The HTTP side: from an API Gateway event to the vendor's answer. Steps 1 to 3, and the table of answers."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from relay import vendors
from relay.aws.clients import until
from relay.aws.queues import QueueUnavailable
from relay.aws.secrets import SourceSecret
from relay.config.model import Source
from relay.container import Container
from relay.deadline import Deadline
from relay.delivery.outcome import Outcome, log, store
from relay.delivery.pipeline import Pipeline
from relay.entrypoints import smoke_test
from relay.entrypoints.request import RawRequest, Unacceptable, failed_check, read, verify
from relay.envelope import KINDS, Envelope, StoredRequest
from relay.errors import SecretUnreadable, TableUnavailable
from relay.events import Webhook
from relay.observability import Telemetry
from relay.vendors.base import Family, Vendor

RETRY_AFTER_SECONDS = 30
SHORTEST_ACK_SECONDS = 2.0
"""How long the most impatient vendor waits: the deadline until it is known which one is waiting."""
CONFIG_SECONDS = 1.2
"""What reading the configuration gets at least: a slow cold start is no reason to give up on it."""

Answer = tuple[int, Mapping[str, object]]


def handle(container: Container, family: Family, event: Mapping[str, Any]) -> dict[str, Any]:
    """Answer one webhook of a family's route. Every input has an answer; none is a 500."""
    if "rehearsal" in event:
        return smoke_test.answer(container, family, event)
    telemetry = Telemetry(event["requestContext"].get("requestId", ""))
    try:
        status, body = _answered(container, family, event, telemetry)
    except Unacceptable as refused:
        status, body = refused.status, {"error": refused.error}
    except (TableUnavailable, SecretUnreadable, QueueUnavailable) as error:
        telemetry.problem("unavailable", error=type(error).__name__, detail=str(error))
        status, body = 503, {"error": "try again later"}
    finally:
        telemetry.flush()
    headers = {"content-type": "application/json", "x-correlation-id": telemetry.request_id}
    if status == 503:
        headers["retry-after"] = str(RETRY_AFTER_SECONDS)
    return {"statusCode": status, "headers": headers, "body": json.dumps(body)}


def _answered(container: Container, family: Family, event: Mapping[str, Any], telemetry: Telemetry) -> Answer:
    request = read(event)
    first = max(request.received_at + SHORTEST_ACK_SECONDS, container.clock() + CONFIG_SECONDS)
    with until(Deadline(first, container.clock)):
        source = container.config.current().sources.get(request.source)
    vendor = _vendor(source)
    if source is None or vendor is None or family not in vendor.families:
        why = "not configured" if source is None else f"of the other route's family: {source.vendor}"
        telemetry.unknown_source(request.source, family=family, why=why)
        return 404, {"error": "unknown source"}
    if not source.enabled:
        return _ignored("disabled")
    if request.method != "POST":
        return 405, {"error": "method not allowed"}
    if vendor.is_ping(request.body):
        return _ignored("ping")
    deadline = Deadline(request.received_at + vendor.ack_seconds, container.clock)
    with until(deadline):
        if offered := vendor.handshake(request.body):
            return _offered(container, family, request.source, offered)
        webhook = _verified(container, family, vendor, request)
        if webhook is None:
            check = failed_check(request, vendor, container.clock())
            telemetry.rejected(source=request.source, vendor=vendor.name, check=check)
            return 401, {"error": "invalid signature"}
        pipeline = Pipeline(container, deadline, telemetry)
        answer = _relayed(container, family, vendor, request.source, webhook, pipeline)
        if deadline.left_for_work() > 0:  # the event is safe: this may fail, but not keep the vendor waiting
            container.vendor_memory.heard(request.source)
    of_source = {"source": request.source, "vendor": vendor.name}
    telemetry.count("EventsReceived", by=pipeline.received, **of_source)
    telemetry.took("AckLatency", (container.clock() - request.received_at) * 1000, **of_source)
    return answer


def _vendor(source: Source | None) -> Vendor | None:
    """The source's vendor; one that this version of the relay does not know may be known soon."""
    try:
        return vendors.load(source.vendor) if source else None
    except vendors.UnknownVendor:
        raise TableUnavailable("the configuration names a vendor that is not known yet") from None


def _offered(container: Container, family: Family, source: str, secret: str) -> Answer:
    """Keep what a vendor hands over as its secret, as long as the source has none."""
    try:
        known = container.secrets.source(family, source).signing_secrets
    except SecretUnreadable:
        known = None
    if not known:
        container.vendor_memory.offer(source, secret)
    return _ignored("handshake")


def _verified(container: Container, family: Family, vendor: Vendor, request: RawRequest) -> Webhook | None:
    """The verified webhook; on a mismatch once more with the secret as it is now."""
    secret: SourceSecret | None = container.secrets.source(family, request.source)
    while secret is not None:
        lists = secret.lists
        wanted = [scheme.credentials for scheme in vendor.schemes]
        if not any(name in lists for name in wanted):
            raise SecretUnreadable(f"{family}/{request.source}: has no {' and no '.join(wanted)}")
        webhook = verify(request, vendor, lists, container.clock())
        if webhook is not None:
            return webhook
        secret = container.secrets.refetch_source(family, request.source)
    return None


def _relayed(
    container: Container, family: Family, vendor: Vendor, source: str, webhook: Webhook, pipeline: Pipeline
) -> Answer:
    """Process a verified webhook, and store what is not done with. Raises `QueueUnavailable`."""
    envelope = Envelope(
        source=source,
        vendor=vendor.name,
        kind=KINDS[family],
        received_at=datetime.fromtimestamp(webhook.received_at, UTC),
        correlation_id=pipeline.telemetry.request_id,
        request=StoredRequest.of(webhook),
    )
    if container.settings.forward_mode == "queued":
        outcomes = pipeline.store_first(envelope)
    else:
        [outcomes] = pipeline.process([envelope])
    store(container, outcomes)
    pipeline.stored(outcomes)
    for outcome in outcomes:
        log(container, pipeline.telemetry, outcome)
    return _answer(outcomes, vendor.queued_status)


def _answer(outcomes: Sequence[Outcome], queued_status: int) -> Answer:
    kept = [outcome for outcome in outcomes if outcome.status in ("queued", "dead-lettered")]
    if kept:
        return queued_status, {"status": "queued", "reason": kept[0].reason}
    if events := sum(outcome.events for outcome in outcomes):
        return 200, {"status": "forwarded", "events": events}
    return _ignored(outcomes[0].reason if outcomes else "no_event")


def _ignored(reason: str) -> Answer:
    return 200, {"status": "ignored", "reason": reason}
