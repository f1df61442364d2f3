"""The schedule's side: closes each site's operating day, and tells Calven what is still to be told."""

from relay.aws.queues import QueueUnavailable
from relay.config.model import Config
from relay.container import Container
from relay.deadline import BATCH, Deadline
from relay.delivery.outcome import log, store
from relay.delivery.pipeline import Pipeline
from relay.envelope import in_envelopes
from relay.errors import NotNow
from relay.observability import Telemetry
from relay.occupancy.rules import Fact


def handle(container: Container, seconds: float, request_id: str) -> dict[str, int]:
    """Close and sweep every site; how many facts there were to tell."""
    telemetry = Telemetry(request_id)
    deadline = Deadline(container.clock() + seconds, container.clock)
    pipeline = Pipeline(container, deadline, telemetry, BATCH)
    told = 0
    try:
        config = container.config.current()
        pushed, found = _relocated(container, deadline, telemetry)
        for site in config.site_ids:
            found += container.headcount.close_days(site, config)
        found += container.readings.untold()
        found = list(dict.fromkeys(found))
        envelopes = in_envelopes(found, config, container.clock())
        outcomes = [outcome for of_envelope in pipeline.process(envelopes) for outcome in of_envelope]
        store(container, outcomes)
        pipeline.stored(outcomes)
        container.reports.swept(
            [f for outcome in outcomes if outcome.status == "queued" for f in outcome.envelope.calven or ()]
        )
        if pushed:
            container.relocation.finished(pushed)
        for outcome in outcomes:
            log(container, telemetry, outcome)
        told = len(found)
        telemetry.silent(_silent(container, config))
    except (NotNow, QueueUnavailable) as error:
        telemetry.problem("reset failed, the next run does it", error=type(error).__name__, detail=str(error))
    telemetry.flush()
    return {"facts": told}


def _relocated(
    container: Container, deadline: Deadline, telemetry: Telemetry
) -> tuple[int, list[tuple[str, Fact]]]:
    """The push for which people had to be moved once more, and what is then to be told.

    A fault there holds up nobody's end of the day: the next run tries again.
    """
    try:
        pushed = container.relocation.due()
        return pushed, container.relocation.carry_out(deadline) if pushed else []
    except NotNow as error:
        telemetry.problem("a push is not finished", error=type(error).__name__, detail=str(error))
        return 0, []


def _silent(container: Container, config: Config) -> dict[str, float]:
    """The sources that have been silent for longer than they may be, with hours."""
    watched = {name: s.silent_after_hours for name, s in config.sources.items() if s.enabled}
    watched = {name: hours for name, hours in watched.items() if hours}
    heard = container.vendor_memory.last_heard(list(watched))
    now = container.clock()
    hours_of = {name: (now - heard[name]) / 3600 for name in watched}
    return {name: hours for name, hours in hours_of.items() if hours > watched[name]}
