"""The HTTP side: from an API Gateway event to the vendor's answer. Steps 1 to 3, and the table of answers."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from relay import vendors
from relay.aws.queues import QueueUnavailable
from relay.aws.secrets import SourceSecret
from relay.config.model import ForwardMode, Source
from relay.container import Container
from relay.deadline import Deadline
from relay.delivery import sightings
from relay.delivery.outcome import Outcome, log, store
from relay.delivery.pipeline import Pipeline
from relay.entrypoints import smoke_test
from relay.entrypoints.request import RawRequest, Unacceptable, admit, failed_check, read, verify
from relay.envelope import KINDS, Envelope, StoredRequest
from relay.errors import SecretUnreadable, TableUnavailable
from relay.events import Webhook
from relay.invocation import Invocation
from relay.observability import Telemetry
from relay.vendors.support.base import Family, Vendor

RETRY_AFTER_SECONDS = 30
SHORTEST_ACK_SECONDS = 2.0
"""How long the most impatient vendor waits: the deadline until it is known which one is waiting."""
CONFIG_SECONDS = 1.2
"""What reading the configuration gets at least: a slow cold start is no reason to give up on it."""

Answer = tuple[int, Mapping[str, object]]
"""Status and body."""


def handle(container: Container, family: Family, event: Mapping[str, Any]) -> dict[str, Any]:
    """Answer one webhook of a family's route. Every input has an answer; none is a 500."""
    telemetry = Telemetry(event["requestContext"].get("requestId", ""))
    if "smoke_test" in event:
        return smoke_test.answer(container, family, event)
    try:
        status, body = _answer(container, family, event, telemetry)
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


def _answer(container: Container, family: Family, event: Mapping[str, Any], telemetry: Telemetry) -> Answer:
    """What the request is answered before it is known to be its vendor's; then `_answer_vendor` goes on."""
    request = read(event)
    telemetry.passed("received", request.received_at)
    admit(request, container.settings.front_door_sha256)
    first = max(request.received_at + SHORTEST_ACK_SECONDS, container.clock() + CONFIG_SECONDS)
    invocation = Invocation(container, Deadline(first, container.clock), telemetry)
    source = invocation.configuration.source(request.source)
    vendor = _vendor(source)
    if source is None or vendor is None or family not in vendor.families:
        why = "not configured" if source is None else f"of the other route's family: {source.vendor}"
        telemetry.unknown_source(request.source, family=family, why=why)
        return 404, {"error": "unknown source"}
    if not source.enabled:
        telemetry.greeted("disabled", source=request.source, vendor=vendor.name)
        return _ignored("disabled")
    # GET is routed too, as some vendors try a URL with it.
    if request.method != "POST":
        return 405, {"error": "method not allowed"}
    # Before the signature, as nobody has confirmed that a ping has one.
    if vendor.is_ping(request.body):
        telemetry.greeted("ping", source=request.source, vendor=vendor.name)
        return _ignored("ping")
    deadline = Deadline(request.received_at + vendor.ack_seconds, container.clock)
    return _answer_vendor(request, family, vendor, invocation.until(deadline))


def _vendor(source: Source | None) -> Vendor | None:
    """The source's vendor; one that this version of the relay does not know may be known soon."""
    try:
        return vendors.load(source.vendor) if source else None
    except vendors.UnknownVendor:
        raise TableUnavailable("the configuration names a vendor that is not known yet") from None


def _answer_vendor(request: RawRequest, family: Family, vendor: Vendor, invocation: Invocation) -> Answer:
    telemetry = invocation.telemetry
    # Before the signature: what is handed over is what later requests are signed with.
    if offered := vendor.handshake(request.body):
        telemetry.greeted("handshake", source=request.source, vendor=vendor.name)
        return _accept_secret(request.source, family, offered, invocation)
    webhook = _verify(request, family, vendor, invocation)
    if webhook is None:
        check = failed_check(request, vendor, invocation.now())
        telemetry.rejected(source=request.source, vendor=vendor.name, check=check)
        return 401, {"error": "invalid signature"}
    telemetry.passed("verified", invocation.now())
    pipeline = Pipeline(invocation)
    outcomes = _process(_envelope(webhook, request.source, family, vendor, invocation), pipeline, invocation)
    answer = _answer_outcomes(outcomes, vendor.queued_status)
    for outcome in outcomes:
        log(outcome, invocation, of=pipeline.received, answer=answer[0])
    if invocation.deadline.left_for_work() > 0:
        # The event is safe: this may fail, but not keep the vendor waiting.
        invocation.vendor_memory.heard(request.source)
        sightings.note(pipeline.seen, invocation)
    of_source = {"source": request.source, "vendor": vendor.name}
    telemetry.count("EventsReceived", by=pipeline.received, **of_source)
    telemetry.took("AckLatency", (invocation.now() - request.received_at) * 1000, **of_source)
    return answer


def _accept_secret(source: str, family: Family, offered: str, invocation: Invocation) -> Answer:
    """Keep what a vendor hands over as its secret, as long as the source has none."""
    try:
        known = invocation.secrets.source(family, source).signing_secrets
    except SecretUnreadable:
        known = None
    if not known:
        invocation.vendor_memory.offer(source, offered)
    return _ignored("handshake")


def _verify(request: RawRequest, family: Family, vendor: Vendor, invocation: Invocation) -> Webhook | None:
    """The verified webhook; on a mismatch once more with the secret as it is now."""
    if not vendor.sends_webhooks:
        return None
    secret: SourceSecret | None = invocation.secrets.source(family, request.source)
    # It ends with the second secret: one that was just fetched anew is not fetched again.
    while secret is not None:
        lists = secret.lists
        wanted = [scheme.credentials for scheme in vendor.schemes]
        if not any(name in lists for name in wanted):
            todo = f"relayctl secrets put {request.source}"
            raise SecretUnreadable(f"{family}/{request.source}: has no {' and no '.join(wanted)}: {todo}")
        webhook = verify(request, vendor, lists, invocation.now())
        if webhook is not None:
            return webhook
        secret = invocation.secrets.refetch_source(family, request.source)
    return None


def _envelope(
    webhook: Webhook, source: str, family: Family, vendor: Vendor, invocation: Invocation
) -> Envelope:
    return Envelope(
        source=source,
        vendor=vendor.name,
        kind=KINDS[family],
        received_at=datetime.fromtimestamp(webhook.received_at, UTC),
        correlation_id=invocation.telemetry.request_id,
        request=StoredRequest.of(webhook),
    )


def _process(envelope: Envelope, pipeline: Pipeline, invocation: Invocation) -> Sequence[Outcome]:
    """Process a verified webhook, and store what is not done with.

    Raises `QueueUnavailable` and `TableUnavailable`.
    """
    if _forward_mode(envelope.source, invocation) == "queued":
        outcomes = pipeline.store_first(envelope)
    else:
        [outcomes] = pipeline.process([envelope])
    store(outcomes, invocation)
    # After the store: a count that is noted as told, and whose letter is lost, is never sent again.
    pipeline.stored(outcomes)
    return outcomes


def _forward_mode(source: str, invocation: Invocation) -> ForwardMode:
    """The source's own, else that of all sources in `relay.yaml`, else the stack's."""
    config = invocation.config
    return config.sources[source].forward_mode or config.forward_mode or invocation.settings.forward_mode


def _answer_outcomes(outcomes: Sequence[Outcome], queued_status: int) -> Answer:
    kept = [outcome for outcome in outcomes if outcome.is_stored]
    if kept:
        return queued_status, {"status": "queued", "reason": kept[0].reason}
    forwarded = sum(outcome.events for outcome in outcomes)
    if forwarded:
        return 200, {"status": "forwarded", "events": forwarded}
    return _ignored(outcomes[0].reason if outcomes else "no_event")


def _ignored(reason: str) -> Answer:
    return 200, {"status": "ignored", "reason": reason}
