"""The schedule's side: closes each site's operating day, and reports what Calven has not been told yet.

A run does it for every site; where there are too many for it, it puts a message for each into a queue. What
fails is done by the next run: no message is delivered twice for it.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from relay import vendors
from relay.aws.queues import QueueUnavailable
from relay.config.model import Source
from relay.container import Container
from relay.deadline import BATCH, Deadline
from relay.delivery.outcome import Outcome, log, store
from relay.delivery.pipeline import Pipeline
from relay.entrypoints.sites import close_days
from relay.envelope import in_envelopes
from relay.errors import NotNow
from relay.invocation import Invocation
from relay.observability import Telemetry
from relay.occupancy.rules import Fact, PendingFact

MOST_SITES = 1_000
"""So many sites a run looks at itself; where there are more, each gets a message."""
TOGETHER = 1_000
"""So many facts are collected before they are reported."""
PUSH_SECONDS = 20.0
"""So long a run works at what a push has left. The next run goes on where it was."""
REPORT_SECONDS = 10.0
"""Kept of a run for what is pending of the last sites."""


def handle(
    container: Container,
    event: Mapping[str, Any],
    seconds: float,
    request_id: str,
    most_sites: int = MOST_SITES,
) -> dict[str, int]:
    """Close the days of every site, or of those that messages name; how many facts were pending."""
    telemetry = Telemetry(request_id)
    deadline = Deadline(container.clock() + seconds, container.clock)
    invocation = Invocation(container, deadline, telemetry, BATCH)
    run = _Run(invocation)
    try:
        if "Records" in event:
            run.close_days(_asked_for(event["Records"], invocation))
        else:
            _all(run, invocation, most_sites)
    except (NotNow, QueueUnavailable) as error:
        telemetry.problem("reset failed, the next run does it", error=type(error).__name__, detail=str(error))
    telemetry.flush()
    return {"facts": run.facts}


def _all(run: "_Run", invocation: Invocation, most_sites: int) -> None:
    """All that the schedule does: the push first, as it may move people into a day that is over."""
    sites = invocation.config.site_ids
    run.carry_out_push()
    if len(sites) > most_sites:
        invocation.queues.ask_to_close(sites)
    else:
        run.close_days(sites)
    run.report(invocation.readings.pending(invocation.config.shadowed))
    if not run.failed:
        # An alarm goes by this figure: where no run says it, some site's days are not closed.
        invocation.telemetry.silent(_silent_sources(invocation))


class _Run:
    """One run: how many facts it found pending, and how many sites it could not close."""

    def __init__(self, invocation: Invocation) -> None:
        self.facts = 0
        self.failed = 0
        self._invocation = invocation
        self._pipeline = Pipeline(invocation)

    def carry_out_push(self) -> None:
        """Move people once more for the last push, where that is due, and report what is then pending.

        A fault there holds up nobody's end of the day: the next run tries again.
        """
        own = self._invocation.until(self._invocation.deadline.at_most(PUSH_SECONDS))
        try:
            pushed = own.relocation.due()
            if pushed:
                self.report(own.relocation.carry_out(own.deadline))
                own.relocation.finish(pushed)
        except NotNow as error:
            self._problem("a push is not finished", error=type(error).__name__, detail=str(error))

    def close_days(self, sites: Sequence[str]) -> None:
        """Close the days of some sites (by `locationId`) that are over, and report what is pending."""
        config, deadline = self._invocation.config, self._invocation.deadline
        looking = self._invocation.until(deadline.at_most(max(deadline.left() - REPORT_SECONDS, 0)))
        pending: list[PendingFact] = []
        for looked in close_days(sites, looking):
            if looked.error:
                self.failed += 1
                name = config.name_of(looked.site)
                self._problem("a site is not closed", site=name, error=looked.error, detail=looked.detail)
            pending += looked.pending
            if len(pending) >= TOGETHER:
                self.report(pending)
                pending = []
        self.report(pending)

    def report(self, pending: Sequence[PendingFact]) -> None:
        """Tell Calven, and store what it does not take."""
        pending = list(dict.fromkeys(pending))
        self.facts += len(pending)
        envelopes = in_envelopes(pending, self._invocation.config, self._invocation.now())
        of_envelopes = self._pipeline.process(envelopes) if envelopes else []
        outcomes = [outcome for of_envelope in of_envelopes for outcome in of_envelope]
        store(outcomes, self._invocation)
        self._pipeline.stored(outcomes)
        # Once they are stored: a run that ends before this queues them again, as the same events.
        self._invocation.reports.mark_queued(_queued_facts(outcomes))
        for outcome in outcomes:
            log(outcome, self._invocation)

    def _problem(self, message: str, **fields: Any) -> None:
        self._invocation.telemetry.problem(message, **fields)


def _asked_for(records: Sequence[Mapping[str, Any]], invocation: Invocation) -> list[str]:
    """The sites that messages name, as far as they are still configured."""
    known = set(invocation.config.site_ids)
    sites: list[str] = []
    for record in records:
        try:
            site = str(json.loads(record["body"])["site"])
        except (ValueError, KeyError, TypeError):
            site = ""
        if site in known:
            sites.append(site)
        else:
            invocation.telemetry.problem("no such site to close", site=site[:100])
    # SQS may give a message out twice, and a run may have asked before.
    return list(dict.fromkeys(sites))


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
