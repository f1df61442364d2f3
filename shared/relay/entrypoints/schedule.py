"""The schedule's side: closes each site's operating day, and reports what Calven has not been told yet."""

from collections.abc import Sequence

from relay import vendors
from relay.aws.queues import QueueUnavailable
from relay.config.model import Source
from relay.container import Container
from relay.deadline import BATCH, Deadline
from relay.delivery.outcome import Outcome, log, store
from relay.delivery.pipeline import Pipeline
from relay.envelope import in_envelopes
from relay.errors import NotNow
from relay.invocation import Invocation
from relay.observability import Telemetry
from relay.occupancy.rules import Fact

Pending = list[tuple[str, Fact]]
"""Facts that Calven has not been told yet, each with the key of the source that it is told for."""


def handle(container: Container, seconds: float, request_id: str) -> dict[str, int]:
    """Close every site's day, and report what is pending; how many facts that were."""
    telemetry = Telemetry(request_id)
    deadline = Deadline(container.clock() + seconds, container.clock)
    invocation = Invocation(container, deadline, telemetry, BATCH)
    reported = 0
    try:
        reported = _close_days(invocation)
        telemetry.silent(_silent_sources(invocation))
    except (NotNow, QueueUnavailable) as error:
        telemetry.problem("reset failed, the next run does it", error=type(error).__name__, detail=str(error))
    telemetry.flush()
    return {"facts": reported}


def _close_days(invocation: Invocation) -> int:
    config = invocation.config
    pushed, pending = _carry_out_push(invocation)
    for site in config.site_ids:
        pending += invocation.headcount.close_days(site, config, invocation.deadline)
    pending += invocation.readings.pending(config.shadowed)
    pending = list(dict.fromkeys(pending))
    pipeline = Pipeline(invocation)
    envelopes = in_envelopes(pending, config, invocation.now())
    outcomes = [outcome for of_envelope in pipeline.process(envelopes) for outcome in of_envelope]
    store(outcomes, invocation)
    pipeline.stored(outcomes)
    invocation.reports.mark_queued(_queued_facts(outcomes))
    if pushed:
        invocation.relocation.finish(pushed)
    for outcome in outcomes:
        log(outcome, invocation)
    return len(pending)


def _carry_out_push(invocation: Invocation) -> tuple[int, Pending]:
    """The push for which people had to be moved once more, and what is then to be reported.

    A fault there holds up nobody's end of the day: the next run tries again.
    """
    try:
        pushed = invocation.relocation.due()
        if not pushed:
            return 0, []
        return pushed, invocation.relocation.carry_out(invocation.deadline)
    except NotNow as error:
        invocation.telemetry.problem("a push is not finished", error=type(error).__name__, detail=str(error))
        return 0, []


def _queued_facts(outcomes: Sequence[Outcome]) -> list[Fact]:
    facts: list[Fact] = []
    for outcome in outcomes:
        if outcome.status == "queued":
            facts += outcome.envelope.calven or ()
    return facts


def _silent_sources(invocation: Invocation) -> dict[str, float]:
    """The sources that have been silent for longer than they may be, with hours."""
    allowed: dict[str, float] = {}
    for name, source in invocation.config.sources.items():
        if source.enabled and source.silent_after_hours:
            allowed[name] = source.silent_after_hours
    heard = invocation.vendor_memory.last_heard(list(allowed))
    silent: dict[str, float] = {}
    for name, hours in allowed.items():
        silent_for = (invocation.now() - heard[name]) / 3600
        if silent_for > hours and _sends_webhooks(invocation.config.sources[name]):
            silent[name] = silent_for
    return silent


def _sends_webhooks(source: Source) -> bool:
    """Whether a source can be heard of at all. Only of a silent one: that loads its vendor's module."""
    try:
        return vendors.load(source.vendor).sends_webhooks
    except vendors.UnknownVendor:
        return True
