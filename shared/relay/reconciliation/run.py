"""What every run of a source does, whatever is listed: take the lease, note each page, write the results."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace

from relay.aws.queues import QueueUnavailable
from relay.aws.table import Conflict
from relay.envelope import Envelope, Kind
from relay.errors import NotNow, Stop, Unparseable
from relay.events import Event, MalformedEvent
from relay.invocation import Invocation
from relay.reconciliation.pages import Pages
from relay.reconciliation.report import Report, Status
from relay.reconciliation.runs import DryRuns, Run, Runs, State
from relay.reconciliation.wishes import Wishes
from relay.vendors.support.base import Family, Vendor

PAGE_RESERVE_SECONDS = 30.0
"""With less than this left, another page is not begun: the next process goes on."""
MOST_PAGES = 10_000
"""A list of more pages names some of them again and again."""
OUT_OF_TIME = "out of time: the next run goes on"


class SourceRun(ABC):
    """One run of one source; what is listed, and how, a subclass says in `reconcile`.

    Raises `TableUnavailable` and `QueueUnavailable`.
    """

    family: Family
    kind: Kind

    def __init__(self, invocation: Invocation, name: str, vendor: Vendor, wishes: Wishes) -> None:
        self.invocation = invocation
        self.name = name
        self.vendor = vendor
        self.wishes = wishes
        self.key = invocation.config.key(name)
        self.pages = Pages(invocation, name, self.family, vendor)
        self.report = Report(name, vendor.name)
        # A dry run leaves nothing in the table, no lease either.
        kept = DryRuns if wishes.dry else Runs
        self._runs = kept(invocation.table, invocation.now)
        self._state = State()
        self._found_before = 0

    def run(self) -> Report:
        """Read the list, and queue what differs from the ledger; what was found."""
        state = self._runs.begin(self.key, self.begun, by_hand=self.wishes.by_hand)
        if state is None:
            self.report.status, self.report.detail = "busy", "another run of this source is under way"
            return self.report
        self._state = state
        self._found_before = self._found
        try:
            self.reconcile()
        except Conflict:
            # The lease was lost in the middle of a page: what was queued of it is queued again, as a repeat.
            self.report.status, self.report.detail = "busy", "another run of this source has taken over"
        except Stop as error:
            # What the list did show is taken; what it did not show says nothing.
            self._break_off(error)
        except (QueueUnavailable, KeyboardInterrupt, SystemExit):
            # Another one may go on at once: nothing of this one is under way.
            self._runs.let_go(self.key, self._state)
            raise
        return self.report

    @abstractmethod
    def begun(self, run: Run, state: State) -> Run:
        """A run that begins, with what it is to list."""

    @abstractmethod
    def reconcile(self) -> None:
        """Read the list from where the run is, and `finish`."""

    @property
    def current(self) -> Run:
        """The run, as far as it has come."""
        assert self._state.run is not None, "a run has begun"  # noqa: S101 - `begin` makes one
        return self._state.run

    @property
    def changes_nothing(self) -> bool:
        """Nobody's plans change unasked: the schedule only reports until somebody has reconciled by hand."""
        return self.wishes.dry or not (self.wishes.by_hand or self._state.by_hand)

    @property
    def has_time(self) -> bool:
        """Whether another page may be begun."""
        return self.invocation.deadline.left_for_work() > PAGE_RESERVE_SECONDS

    @property
    def may_read_on(self) -> bool:
        """Whether the list goes on, and there is time for it; for a first page there always is."""
        run = self.current
        return not run.is_read and (run.page == 0 or self.has_time)

    def seen(self, run: Run) -> set[str]:
        """The ids that a run's pass has listed so far."""
        return self._runs.seen(self.key, run)

    def note_page(
        self,
        ids: Sequence[str],
        following: str | None,
        *,
        events: Sequence[Event] = (),
        found: int = 0,
        ends: int = 0,
    ) -> None:
        """Note what a page held; raises `Conflict` where another process has the run now."""
        run = self.current
        faults = [_fault(event) for event in events if isinstance(event, MalformedEvent)]
        if run.page == MOST_PAGES:
            # It would never end, and each page takes room in the table.
            raise Unparseable(f"the vendor's list has more than {MOST_PAGES} pages")
        after = replace(
            run,
            page=run.page + 1,
            following=following or "",
            unreadable=run.unreadable + len(faults),
            fault=run.fault or next(iter(faults), ""),
            found=run.found + found,
            ends=run.ends + ends,
        )
        self._state = self._runs.note_page(self.key, self._state, ids, after)

    def read_again(self) -> None:
        """Have the list read once more from its first page."""
        again = replace(self.current, passes=2, page=0, following="")
        self._state = self._runs.go_on(self.key, self._state, again)

    def queue(self, events: Sequence[Event]) -> None:
        """Put events into the Unprocessed queue, where they take the way of a webhook's."""
        now = self.invocation.utc_now()
        envelopes = [
            Envelope(
                source=self.name,
                vendor=self.vendor.name,
                kind=self.kind,
                reason="reconciled",
                received_at=now,
                correlation_id=self.invocation.telemetry.request_id,
                event=event,
            )
            for event in events
        ]
        if envelopes:
            self.invocation.queues.retry_later([(envelope, 0) for envelope in envelopes])
        self.report.queued += len(envelopes)

    @property
    def is_unreadable(self) -> bool:
        """Whether something in the list cannot be read: nobody knows what that says."""
        return self.current.unreadable > 0

    def finish_unreadable(self, *, is_whole: bool = True) -> None:
        """Write the results of a run whose list has entries that cannot be read: it is not complete."""
        run = self.current
        detail = f"entries of the list that cannot be read: {run.unreadable}; the first: {run.fault}"
        self.finish("incomplete", detail, is_whole=is_whole)

    def pause(self) -> None:
        """Let the next process go on."""
        self._fill(self.report.status, OUT_OF_TIME)
        self._runs.let_go(self.key, self._state)

    def finish(self, status: Status, detail: str = "", *, is_whole: bool = True) -> None:
        """Write the results. A run that `is_whole` says of everything what the vendor holds."""
        began = self.current.began
        is_complete = status == "complete" and is_whole
        # Somebody's own look at some days is no reason for the schedule to wait.
        counts = is_complete or not self.wishes.by_hand
        self._fill(status, detail)
        state = replace(
            self._state,
            run=None,
            status="complete" if status == "complete" else "refused" if status == "refused" else "incomplete",
            detail=detail[:500],
            by_hand=began if self._is_looked_through(status, is_whole=is_whole) else self._state.by_hand,
            complete=began if is_complete else self._state.complete,
            read=began if is_whole and self.current.is_read else self._state.read,
            began=began if counts else self._state.began,
            listed=self.report.listed,
            differences=self.current.found,
            ends=self.report.ends,
        )
        self._runs.finish(self.key, state, all_seen=is_complete and not self.changes_nothing)

    def _is_looked_through(self, status: Status, *, is_whole: bool) -> bool:
        """Whether somebody has seen all that the vendor lists, and it was to be trusted."""
        return self.wishes.by_hand and is_whole and self.current.is_read and status != "refused"

    def _break_off(self, error: Stop) -> None:
        detail = f"{error.reason}: {error}"
        if not isinstance(error, NotNow):
            self.finish("incomplete", detail, is_whole=False)
            return
        # It may answer soon: then the run goes on where it was.
        self._fill("incomplete", detail)
        self._runs.let_go(self.key, replace(self._state, status="incomplete", detail=detail[:500]))

    @property
    def _found(self) -> int:
        """What the run has found, be it in this process or in one before."""
        return self.current.found + self.current.ends

    def _fill(self, status: Status, detail: str) -> None:
        self.report.status, self.report.detail = status, detail
        self.report.found = self._found
        self.report.found_now = self._found - self._found_before
        self.report.unreadable = self.current.unreadable


def _fault(event: MalformedEvent) -> str:
    """Which entry cannot be read, as far as it has an id, and why."""
    return f"{event.event_id}: {event.detail}" if event.event_id else event.detail
