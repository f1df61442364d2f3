"""Reconciles leave: reads a source's list to its end, and queues what the ledger does not have like that.

What is queued takes the way of a webhook's event. A run that goes on after a crash queues again what its last
page held, and the ledger takes that as a repeat.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial

from relay.aws.table import Conflict
from relay.envelope import Envelope
from relay.errors import Stop
from relay.events import Event, LeaveChange, MalformedEvent, ThinEvent, not_ahead
from relay.invocation import Invocation
from relay.reconciliation.pages import Pages
from relay.reconciliation.queued import Queued
from relay.reconciliation.report import Report
from relay.reconciliation.rules import (
    Difference,
    current_and_coming,
    differs,
    ends_too_many,
    first_day,
    inferred_ends,
    last_day,
    missing,
)
from relay.reconciliation.runs import DryRuns, Run, Runs, State
from relay.reconciliation.wishes import Wishes
from relay.time_off.decision import arrival_of
from relay.time_off.items import INDEX, SOURCE, leave_from
from relay.time_off.rules import Leave
from relay.vendors.support.base import Vendor
from relay.vendors.support.listing import LeaveList, Window

PAGE_RESERVE_SECONDS = 30.0
"""With less than this left, another page is not begun: the next process goes on."""


@dataclass(frozen=True, slots=True)
class _Listed:
    """A change that the list holds, and of whom it is, as far as the list says."""

    change: LeaveChange
    employee: str
    thin: ThinEvent | None = None

    @property
    def event(self) -> Event:
        """What is queued: the thin event where the address is still to be asked."""
        return self.thin or self.change


class LeaveReconciliation:
    """One run of one source. Raises `TableUnavailable` and `QueueUnavailable`."""

    def __init__(
        self, invocation: Invocation, name: str, vendor: Vendor, lists: LeaveList, wishes: Wishes
    ) -> None:
        self._invocation = invocation
        self._vendor = vendor
        self._lists = lists
        self._wishes = wishes
        self._name = name
        self._key = invocation.config.key(name)
        runs = DryRuns if wishes.dry else Runs
        self._runs = runs(invocation.table, invocation.now)
        self._queued = Queued(invocation.table, self._key, invocation.now)
        self._pages = Pages(invocation, name, "hris", vendor)
        self.report = Report(name, vendor.name)

    def run(self) -> Report:
        """Read the list, queue what differs, end what it lacks; what was found."""
        today = self._invocation.utc_now().date()
        first = self._wishes.first or first_day(today)
        last = self._wishes.last or last_day(today)
        state = self._runs.begin(self._key, first, last, anew=self._wishes.by_hand)
        if state is None or state.run is None:
            self.report.status, self.report.detail = "busy", "another run of this source is under way"
            return self.report
        try:
            self._reconcile(state, state.run)
        except Conflict:
            self.report.status, self.report.detail = "busy", "another run of this source has taken over"
        return self.report

    def _changes_nothing(self, state: State) -> bool:
        """Nobody's plans change unasked: the schedule only reports until somebody has reconciled by hand."""
        return self._wishes.dry or not (self._wishes.by_hand or state.by_hand)

    def _reconcile(self, state: State, run: Run) -> None:
        known = self._known()
        try:
            state, run = self._read(state, run, known)
            if not run.is_read:
                self.report.detail = "out of time: the next run goes on"
                self._runs.let_go(self._key, state)
                return
            self._end_what_is_missing(state, run, known)
        except Stop as error:
            # What the list did show is taken; what it did not show says nothing.
            self._finish(state, "incomplete", f"{error.reason}: {error}")

    def _known(self) -> dict[str, Leave]:
        """All leave of the source in the ledger, by its id."""
        prefix = f"leave#{self._key}#"
        found: dict[str, Leave] = {}
        for item in self._invocation.table.query_index(INDEX, SOURCE, self._key):
            leave = leave_from(item)
            if leave is not None:
                found[str(item["pk"]).removeprefix(prefix)] = leave
        return found

    def _read(self, state: State, run: Run, known: Mapping[str, Leave]) -> tuple[State, Run]:
        """Read page after page, from where the run is, as long as there is time."""
        while not run.is_read and (run.page == 0 or self._has_time()):
            window = Window(first=run.first, last=run.last, began=run.began / 1000)
            following = run.following or None
            page = self._pages.page(partial(self._lists.page, window=window, following=following), following)
            listed = list(self._listed(page.events, run))
            differences = self._differences(listed, known) if run.passes == 1 else []
            if not self._changes_nothing(state):
                self._queue(differences)
            unreadable = sum(isinstance(event, MalformedEvent) for event in page.events)
            after = replace(
                run,
                page=run.page + 1,
                following=page.following or "",
                unreadable=run.unreadable + unreadable,
                found=run.found + len(differences),
            )
            ids = [one.change.leave_id for one in listed]
            state = self._runs.note_page(self._key, state, ids, after)
            run = after
            self.report.listed += len(ids) if run.passes == 1 else 0
            self._wishes.progress(self.report.listed)
        return state, run

    def _has_time(self) -> bool:
        return self._invocation.deadline.left_for_work() > PAGE_RESERVE_SECONDS

    def _listed(self, events: Sequence[Event], run: Run) -> Iterator[_Listed]:
        """The changes among what a page holds, as of when the listing began."""
        began = run.began / 1000
        at = datetime.fromtimestamp(began, UTC)
        for event in events:
            if isinstance(event, LeaveChange):
                change = not_ahead(event.model_copy(update={"listed_at": at}), began)
                yield _Listed(change, change.email or "")
            elif isinstance(event, ThinEvent) and event.change is not None:
                change = not_ahead(event.change.model_copy(update={"listed_at": at}), began)
                thin = event.model_copy(update={"change": change})
                yield _Listed(change, event.employee or "", thin)

    def _differences(self, listed: Sequence[_Listed], known: Mapping[str, Leave]) -> list[Difference]:
        found: list[Difference] = []
        source = self._invocation.config.sources[self._name]
        order, today = self._invocation.configuration.order, self._invocation.utc_now().date()
        for one in listed:
            arrival = arrival_of(one.change, self._key, source, today, order)
            before = known.get(one.change.leave_id)
            if differs(arrival, before, self._lists.version):
                employee = one.employee or (before.email if before else "")
                found.append(Difference(one.event, one.change, employee, before, arrival.leave))
        self.report.differences += found
        return found

    def _queue(self, differences: Sequence[Difference]) -> None:
        """Put differences into the queue; by the schedule none a second time that nothing has come of."""
        order = self._invocation.configuration.order
        if not self._wishes.by_hand:
            differences = self._queued.new(differences, order)
        now = self._invocation.utc_now()
        envelopes = [
            Envelope(
                source=self._name,
                vendor=self._vendor.name,
                kind="time_off",
                reason="reconciled",
                received_at=now,
                correlation_id=self._invocation.telemetry.request_id,
                event=difference.event,
            )
            for difference in differences
        ]
        if envelopes:
            self._invocation.queues.retry_later([(envelope, 0) for envelope in envelopes])
        if not self._wishes.by_hand:
            self._queued.note(differences, order)
        self.report.queued += len(envelopes)

    def _end_what_is_missing(self, state: State, run: Run, known: Mapping[str, Leave]) -> None:
        """End what a complete list lacked, where that means something, and the list is to be trusted."""
        seen = self._runs.seen(self._key, run)
        self.report.unreadable = run.unreadable
        if run.unreadable:
            self._finish(state, "incomplete", f"{run.unreadable} entries of the list cannot be read")
            return
        lacking = missing(known, seen, run.first, run.last, run.began)
        if self._lists.lacks == "nothing" and self._lists.knows is None:
            lacking = {}
        current = current_and_coming(known, self._invocation.utc_now().date())
        if ends_too_many(len(lacking), current, len(seen)) and not self._wishes.accept_ends:
            self.report.ends = len(lacking)
            detail = f"the list lacks {len(lacking)} of {current} leaves, and holds {len(seen)}"
            self._finish(state, "refused", detail)
            return
        if lacking and self._lists.knows is not None:
            lacking = {leave_id: leave for leave_id, leave in lacking.items() if not self._knows(leave_id)}
        elif lacking and run.passes == 1:
            # A list that changes while it is read may pass over an entry: it is read once more.
            again = replace(run, passes=2, page=0, following="")
            state, run = self._read(self._runs.go_on(self._key, state, again), again, known)
            if not run.is_read:
                self.report.detail = "out of time: the next run goes on"
                self._runs.let_go(self._key, state)
                return
            self._end_what_is_missing(state, run, known)
            return
        elif run.passes == 2:
            first = self._runs.seen(self._key, replace(run, passes=1))
            lacking = {leave_id: leave for leave_id, leave in lacking.items() if leave_id not in first}
        ends = list(inferred_ends(lacking, run.began))
        self.report.differences += ends
        self.report.ends = len(ends)
        if not self._changes_nothing(state):
            self._queue(ends)
        self._finish(replace(state, run=replace(run, found=run.found + len(ends))), "complete", "")

    def _knows(self, leave_id: str) -> bool:
        knows = self._lists.knows
        return knows is None or self._pages.ask(lambda api: knows(api, leave_id))

    def _finish(self, state: State, status: str, detail: str) -> None:
        report, run = self.report, state.run
        changed = not self._changes_nothing(state)
        is_complete = status == "complete"
        # Of other days than usual: that says nothing about all leave of the source.
        is_whole = is_complete and self._wishes.first is None and self._wishes.last is None
        report.status = "complete" if is_complete else "refused" if status == "refused" else "incomplete"
        report.detail = detail
        report.found = run.found if run else len(report.differences)
        began = run.began if run else 0
        by_hand = began if self._wishes.by_hand and is_whole else state.by_hand
        ended = replace(
            state,
            status=report.status,
            detail=detail[:500],
            by_hand=by_hand,
            complete=began if is_whole else state.complete,
            listed=report.listed,
            differences=report.found,
            ends=report.ends,
        )
        self._runs.finish(self._key, ended, all_seen=is_whole and changed)
