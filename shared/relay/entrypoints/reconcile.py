"""The reconcile function: the schedule asks for the sources that are due, a message runs one of them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from relay import vendors
from relay.aws.queues import QueueUnavailable
from relay.aws.table import Conflict
from relay.container import Container
from relay.deadline import BATCH, Deadline
from relay.errors import NotNow
from relay.invocation import Invocation
from relay.observability import Telemetry, whereabouts
from relay.reconciliation.runs import Runs, State
from relay.reconciliation.schedule import interval_of, is_due
from relay.reconciliation.source import hindrance, reconcile
from relay.reconciliation.wishes import Wishes

CLOCKS_APART_MS = 5_000
"""How much the clocks of SQS and of a function may differ."""


def handle(container: Container, event: Mapping[str, Any], seconds: float, request_id: str) -> dict[str, Any]:
    """Run what a message names, or ask for what is due; how many sources that were.

    What fails is done by the next run: no message is delivered twice for it.
    """
    deadline = Deadline(container.clock() + seconds, container.clock)
    invocation = Invocation(container, deadline, Telemetry(request_id), BATCH)
    if "Records" in event:
        asked = [_asked(record) for record in event["Records"]]
        for one in asked:
            _run(one, invocation)
        sources = len(asked)
    else:
        _resume(invocation)
        sources = len(_ask_for_due(invocation))
    invocation.telemetry.flush()
    return {"sources": sources}


@dataclass(frozen=True, slots=True)
class _Asked:
    """A source that somebody asked for, and when (Unix milliseconds)."""

    name: str
    at: int


def _asked(record: Mapping[str, Any]) -> _Asked:
    at = int(record["attributes"]["SentTimestamp"])
    try:
        return _Asked(str(json.loads(record["body"])["source"]), at)
    except (ValueError, KeyError, TypeError):
        return _Asked("", at)


def _run(asked: _Asked, invocation: Invocation) -> None:
    telemetry, name = invocation.telemetry, asked.name
    try:
        if name not in invocation.config.sources:
            telemetry.problem("no such source to reconcile", source=name[:100])
            return
        if why := hindrance(invocation, name):
            telemetry.problem("not reconciled", source=name, detail=why)
            return
        if _is_done(asked, invocation):
            return
        report = reconcile(invocation, name, Wishes())
    except (NotNow, QueueUnavailable, Conflict, vendors.UnknownVendor) as error:
        telemetry.problem("not reconciled", source=name, error=type(error).__name__, detail=str(error))
        return
    except Exception as error:  # noqa: BLE001 - one source's fault ends no other's run, and is told
        telemetry.problem("internal error", source=name, error=whereabouts(error))
        return
    telemetry.reconciled(
        source=name,
        vendor=report.vendor,
        status=report.status,
        detail=report.detail,
        differences=report.found_now,
        listed=report.listed,
        queued=report.queued,
        ends=report.ends,
        unreadable=report.unreadable,
        unmapped=report.unmapped,
    )


def _is_done(asked: _Asked, invocation: Invocation) -> bool:
    """Whether a run has begun since a source was asked for that read the list to its end.

    It has seen what this one would. Webhooks may ask often, and the schedule asks again for what still waits.
    """
    state = Runs(invocation.table, invocation.now).state(invocation.config.key(asked.name))
    return state.last_read > asked.at + CLOCKS_APART_MS


def _resume(invocation: Invocation) -> None:
    """Queue what Calven was not told while a source was shadowed, where the push could not."""
    try:
        invocation.resumption.queue_pending(invocation.config, invocation.deadline)
    except (NotNow, QueueUnavailable) as error:
        invocation.telemetry.problem(
            "pending leave not queued, the next run does it", error=type(error).__name__, detail=str(error)
        )


def _ask_for_due(invocation: Invocation) -> list[str]:
    """Put a message for each source that is due into the queue, and say how old each one's last run is."""
    now = invocation.now()
    due: list[str] = []
    try:
        intervals = _intervals(invocation)
        keys = {name: invocation.config.key(name) for name in intervals}
        states = Runs(invocation.table, invocation.now).states(list(keys.values()))
        news = invocation.vendor_memory.last_news(list(intervals))
        for name, interval in intervals.items():
            state = states[keys[name]]
            _note_age(name, state, invocation)
            if is_due(state, interval, now, news.get(name, 0.0)) and not hindrance(invocation, name):
                due.append(name)
        invocation.queues.ask_to_reconcile(due)
        # Only now: where no run says so, an alarm does.
        invocation.telemetry.asked_to_reconcile(len(due))
    except (NotNow, QueueUnavailable) as error:
        invocation.telemetry.problem(
            "sources not asked for, the next run does it", error=type(error).__name__, detail=str(error)
        )
    return due


def _intervals(invocation: Invocation) -> dict[str, float]:
    """The sources that are to be reconciled, and how often in seconds."""
    intervals: dict[str, float] = {}
    for name, source in invocation.config.sources.items():
        if source.vendor not in vendors.NAMES:
            # A newer version of the relay will know it; the others are not to wait for that.
            continue
        interval = interval_of(source, vendors.load(source.vendor))
        if interval is not None:
            intervals[name] = interval
    return intervals


def _note_age(name: str, state: State, invocation: Invocation) -> None:
    """Say how old a source's last complete run is, also where its secret has lost what it is asked with."""
    began = state.complete or state.since
    if began:
        vendor = invocation.config.sources[name].vendor
        age = invocation.now() - began / 1000
        invocation.telemetry.reconcile_age(age, source=name, vendor=vendor)
