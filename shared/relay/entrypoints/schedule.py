"""The schedule's side: closes each site's operating day, and tells Calven what is still to be told."""

from relay.aws.queues import QueueUnavailable
from relay.config.model import Config
from relay.container import Relay
from relay.deadline import BATCH, Deadline
from relay.delivery.outcome import log, store
from relay.delivery.pipeline import Pipeline
from relay.envelope import in_envelopes
from relay.errors import NotNow
from relay.observability import Telemetry
from relay.occupancy.rules import Fact


def handle(relay: Relay, seconds: float, request_id: str) -> dict[str, int]:
    """Close and sweep every site; how many facts there were to tell."""
    telemetry = Telemetry(request_id)
    deadline = Deadline(relay.clock() + seconds, relay.clock)
    pipeline = Pipeline(relay, deadline, telemetry, BATCH)
    told = 0
    try:
        config = relay.config.current()
        pushed, found = _relocated(relay, deadline, telemetry)
        for site in config.site_ids:
            found += relay.headcount.close_days(site, config)
        found += relay.readings.untold()
        found = list(dict.fromkeys(found))
        envelopes = in_envelopes(found, config, relay.clock())
        fates = [fate for of_envelope in pipeline.process(envelopes) for fate in of_envelope]
        store(relay, fates)
        pipeline.stored(fates)
        relay.reports.swept(
            [f for fate in fates if fate.outcome == "queued" for f in fate.envelope.calven or ()]
        )
        if pushed:
            relay.relocation.finished(pushed)
        for fate in fates:
            log(relay, telemetry, fate)
        told = len(found)
        telemetry.silent(_silent(relay, config))
    except (NotNow, QueueUnavailable) as error:
        telemetry.problem("reset failed, the next run does it", error=type(error).__name__, detail=str(error))
    telemetry.flush()
    return {"facts": told}


def _relocated(relay: Relay, deadline: Deadline, telemetry: Telemetry) -> tuple[int, list[tuple[str, Fact]]]:
    """The push for which people had to be moved once more, and what is then to be told.

    A fault there holds up nobody's end of the day: the next run tries again.
    """
    try:
        pushed = relay.relocation.due()
        return pushed, relay.relocation.carry_out(deadline) if pushed else []
    except NotNow as error:
        telemetry.problem("a push is not finished", error=type(error).__name__, detail=str(error))
        return 0, []


def _silent(relay: Relay, config: Config) -> dict[str, float]:
    """The sources that have been silent for longer than they may be, with hours."""
    watched = {name: s.silent_after_hours for name, s in config.sources.items() if s.enabled}
    watched = {name: hours for name, hours in watched.items() if hours}
    heard = relay.vendor_memory.last_heard(list(watched))
    now = relay.clock()
    hours_of = {name: (now - heard[name]) / 3600 for name in watched}
    return {name: hours for name, hours in hours_of.items() if hours > watched[name]}
