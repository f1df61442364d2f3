"""The reconcile function: the schedule asks for the sources that are due, a message runs one of them."""

import json
from collections.abc import Iterator, Mapping
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


def handle(container: Container, event: Mapping[str, Any], seconds: float, request_id: str) -> dict[str, Any]:
    """Run what a message names, or ask for what is due; how many sources that were.

    What fails is done by the next run: no message is delivered twice for it.
    """
    deadline = Deadline(container.clock() + seconds, container.clock)
    invocation = Invocation(container, deadline, Telemetry(request_id), BATCH)
    if "Records" in event:
        names = [_source_named(record) for record in event["Records"]]
        for name in names:
            _run(name, invocation)
    else:
        names = _ask_for_due(invocation)
    invocation.telemetry.flush()
    return {"sources": len(names)}


def _source_named(record: Mapping[str, Any]) -> str:
    try:
        return str(json.loads(record["body"])["source"])
    except (ValueError, KeyError, TypeError):
        return ""


def _run(name: str, invocation: Invocation) -> None:
    telemetry = invocation.telemetry
    try:
        if name not in invocation.config.sources:
            telemetry.problem("no such source to reconcile", source=name[:100])
            return
        report = reconcile(invocation, name, Wishes())
    except (NotNow, QueueUnavailable, Conflict) as error:
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
        differences=report.found,
        listed=report.listed,
        queued=report.queued,
        ends=report.ends,
        unreadable=report.unreadable,
        unmapped=report.unmapped,
    )


def _ask_for_due(invocation: Invocation) -> list[str]:
    """Put a message for each source that is due into the queue, and say how old each one's last run is."""
    now = invocation.now()
    due: list[str] = []
    try:
        intervals = dict(_intervals(invocation))
        keys = {name: invocation.config.key(name) for name in intervals}
        states = Runs(invocation.table, invocation.now).states(list(keys.values()))
        for name, interval in intervals.items():
            state = states[keys[name]]
            _note_age(name, state, invocation)
            if is_due(state, interval, now):
                due.append(name)
        invocation.queues.ask_to_reconcile(due)
    except (NotNow, QueueUnavailable) as error:
        invocation.telemetry.problem(
            "sources not asked for, the next run does it", error=type(error).__name__, detail=str(error)
        )
    return due


def _intervals(invocation: Invocation) -> Iterator[tuple[str, float]]:
    """The sources that are reconciled, and how often in seconds."""
    for name, source in invocation.config.sources.items():
        interval = interval_of(source, vendors.load(source.vendor))
        if interval is not None and not hindrance(invocation, name):
            yield name, interval


def _note_age(name: str, state: State, invocation: Invocation) -> None:
    began = state.complete or state.since
    if began:
        vendor = invocation.config.sources[name].vendor
        age = invocation.now() - began / 1000
        invocation.telemetry.reconcile_age(age, source=name, vendor=vendor)
