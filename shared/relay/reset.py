"""The schedule's side: closes each site's operating day, and tells Calven what is still to be told."""

from datetime import UTC, datetime

from relay.config import Config
from relay.deadline import BATCH, Deadline
from relay.errors import TableUnavailable
from relay.fates import log, store
from relay.observability import Telemetry
from relay.occupancy import Fact
from relay.pipeline import Pipeline
from relay.runtime import Relay
from relay.unprocessed import Envelope, QueueUnavailable


def handle(relay: Relay, seconds: float, request_id: str) -> dict[str, int]:
    """Close and sweep every site; how many facts there were to tell."""
    telemetry = Telemetry(request_id)
    deadline = Deadline(relay.clock() + seconds, relay.clock)
    pipeline = Pipeline(relay, deadline, telemetry, BATCH)
    told = 0
    try:
        config = relay.config.current()
        by_source: dict[str, list[Fact]] = {}
        for site in config.sites:
            for source, fact in [*relay.headcount.close_days(site, config), *relay.readings.untold(site)]:
                by_source.setdefault(source, []).append(fact)
        envelopes = [_envelope(source, facts, config, relay.clock()) for source, facts in by_source.items()]
        fates = [fate for of_envelope in pipeline.process(envelopes) for fate in of_envelope]
        store(relay, fates)
        pipeline.stored(fates)
        relay.reports.swept(
            [f for fate in fates if fate.outcome == "queued" for f in fate.envelope.calven or ()]
        )
        for fate in fates:
            log(relay, telemetry, fate)
        told = sum(map(len, by_source.values()))
        telemetry.silent(_silent(relay, config))
    except (TableUnavailable, QueueUnavailable) as error:
        telemetry.problem("reset failed, the next run does it", error=type(error).__name__, detail=str(error))
    telemetry.flush()
    return {"facts": told}


def _silent(relay: Relay, config: Config) -> dict[str, float]:
    """The sources that have been silent for longer than they may be, with hours."""
    watched = {name: s.silent_after_hours for name, s in config.sources.items() if s.enabled}
    watched = {name: hours for name, hours in watched.items() if hours}
    heard = relay.vendor_memory.last_heard(list(watched))
    now = relay.clock()
    hours_of = {name: (now - heard[name]) / 3600 for name in watched}
    return {name: hours for name, hours in hours_of.items() if hours > watched[name]}


def _envelope(source: str, facts: list[Fact], config: Config, now: float) -> Envelope:
    known = config.sources.get(source)
    return Envelope(
        source=source,
        vendor=known.vendor if known else "unknown",
        kind="occupancy",
        received_at=datetime.fromtimestamp(now, UTC),
        calven=tuple(facts),
    )
