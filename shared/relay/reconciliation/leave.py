"""Reconciles leave: reads a source's list to its end, and queues what the ledger does not have like that.

What is queued takes the way of a webhook's event. A run that goes on after a crash queues again what its last
page held, and the ledger takes that as a repeat.
"""

from abc import abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from relay.aws.early import counted_as
from relay.aws.table import Item, Key
from relay.events import Event, LeaveChange, ThinEvent, iso, not_ahead
from relay.invocation import Invocation
from relay.reconciliation.queued import Queued
from relay.reconciliation.rules import (
    Difference,
    Versions,
    current_and_coming,
    differs,
    ends_too_many,
    first_day,
    inferred_ends,
    is_over,
    last_day,
    missing,
)
from relay.reconciliation.run import SourceRun
from relay.reconciliation.runs import Run, State
from relay.reconciliation.wishes import Wishes
from relay.time_off.decision import arrival_of
from relay.time_off.items import early_key, leaves_of
from relay.time_off.rules import Leave
from relay.vendors.support.base import Vendor, VendorApi
from relay.vendors.support.listing import LeaveList, Page, Window


@dataclass(frozen=True, slots=True)
class Listed:
    """A change that the list holds, and of whom it is, as far as the list says.

    `thin` is what is queued for it where the address is still to be asked of the vendor.
    """

    change: LeaveChange
    employee: str
    thin: ThinEvent | None = None


class LeaveRun(SourceRun):
    """One run over one source's list of leave; where its pages come from, a subclass says.

    `lists_ends` says that a leave which a complete list lacks may have ended, `changes_while_read` that
    reading the list once is not enough to be sure that it lacks one, `asks_by_id` that the vendor is asked
    about each one that it lacked, `has_only_ranges` that the list has only the first and the last day of a
    leave.

    Raises `TableUnavailable` and `QueueUnavailable`.
    """

    family = "hris"
    kind = "time_off"
    lists_ends: bool
    changes_while_read: bool
    asks_by_id: bool = False
    has_only_ranges: bool = False

    def __init__(self, invocation: Invocation, name: str, vendor: Vendor, wishes: Wishes) -> None:
        super().__init__(invocation, name, vendor, wishes)
        self._queued = Queued(invocation.table, self.key, invocation.now)

    @abstractmethod
    def page(self) -> Page:
        """The next page of the list."""

    @abstractmethod
    def versions(self, change: LeaveChange) -> Versions:
        """What tells an older change of the leave from this one."""

    @abstractmethod
    def still_has(self, leave_id: str) -> bool:
        """Whether there is a leave all the same, although a complete list lacked it."""

    def begun(self, run: Run, state: State) -> Run:
        """A run of the days around today, or of those that are wished."""
        del state
        today = self.invocation.utc_now().date()
        first = self.wishes.first or first_day(today)
        last = self.wishes.last or last_day(today)
        return replace(run, first=first.isoformat(), last=last.isoformat())

    def reconcile(self) -> None:
        """Read the list, queue what differs, end what it lacks."""
        known = self._known()
        self._read(known)
        if not self.current.is_read:
            self.pause()
            return
        self._end_what_is_missing(known)

    def _known(self) -> dict[str, Leave]:
        """All leave of the source in the ledger, by its id."""
        return leaves_of(self.invocation.table, self.key)

    def _read(self, known: Mapping[str, Leave]) -> None:
        """Read page after page, from where the run is, as long as there is time."""
        while self.may_read_on:
            page = self.page()
            listed = list(listed_changes(page.events, self.current.began))
            is_first_time = self.current.passes == 1
            differences = self._differences(listed, known, page.ranges) if is_first_time else []
            # Queued before the page is noted: a crash in between repeats the page, and loses nothing.
            if not self.changes_nothing:
                self._queue(differences)
            # The second time it is read only for what it may have passed over.
            if is_first_time:
                self.report.listed += len(listed)
                self.wishes.progress(self.report.listed)
            ids = [one.change.leave_id for one in listed]
            self.note_page(ids, page.following, events=page.events, found=len(differences))

    def _differences(
        self, listed: Sequence[Listed], known: Mapping[str, Leave], ranges: Collection[str]
    ) -> list[Difference]:
        found: list[Difference] = []
        source = self.invocation.config.sources[self.name]
        order, today = self.invocation.configuration.order, self.invocation.utc_now().date()
        markers = self._markers(listed, known)
        for one in listed:
            arrival = arrival_of(self._as_counted(one.change, markers), self.key, source, today, order)
            before = known.get(one.change.leave_id)
            if before is None and is_over(arrival.leave, self.current.first_day):
                # The ledger forgets what is over: else an old leave would be news in each run.
                continue
            only_ranges = self.has_only_ranges or one.change.leave_id in ranges
            if differs(arrival, before, self.versions(one.change), only_ranges=only_ranges):
                employee = one.employee or (before.email if before else "")
                event = one.thin or one.change
                reason = arrival.refused.reason if arrival.refused else ""
                listed_as = arrival.leave_beside(before)
                found.append(Difference(event, one.change, employee, before, listed_as, reason))
        self._show(found)
        return found

    def _markers(self, listed: Sequence[Listed], known: Mapping[str, Leave]) -> Mapping[Key, Item]:
        """What the ledger has noted of changes that were ahead of their time, of those that look newer."""
        keys: list[Key] = []
        for one in listed:
            before = known.get(one.change.leave_id)
            if before and one.change.version > before.version and self.versions(one.change) == "own":
                keys.append(early_key(self.key, one.change))
        return self.invocation.table.get(keys) if keys else {}

    def _as_counted(self, change: LeaveChange, markers: Mapping[Key, Item]) -> LeaveChange:
        """A change with the version that the ledger keeps of it: that of its receipt, if it came early."""
        version = counted_as(markers.get(early_key(self.key, change)))
        return change.model_copy(update={"version": version}) if version else change

    def _show(self, differences: Sequence[Difference]) -> None:
        """Keep differences for whoever looks; the function only counts them, as there may be many."""
        if self.wishes.by_hand:
            self.report.differences += differences
        if differences:
            self.wishes.look(differences)

    def _queue(self, differences: Sequence[Difference]) -> None:
        """Queue differences, but none a second time that nothing has come of."""
        order = self.invocation.configuration.order
        fresh = self._queued.new(differences, order)
        self.queue([difference.event for difference in fresh])
        self._queued.note(fresh, order)

    def _end_what_is_missing(self, known: Mapping[str, Leave]) -> None:
        """End what a complete list lacks, where that means something, and the list is to be trusted."""
        if self.is_unreadable:
            # Any of them may be the leave that seems to be missing, or one that the ledger has never seen.
            self.finish_unreadable(is_whole=self.is_whole)
            return
        run = self.current
        seen = self.seen(run)
        lacking = self._lacking(known, seen)
        today = self.invocation.utc_now().date()
        # A vendor that answers with half of its list must not end everybody's leave.
        if ends_too_many(lacking, known, today, len(seen)) and not self.wishes.accept_ends:
            ends, current = current_and_coming(lacking, today), current_and_coming(known, today)
            self._refuse(lacking, f"the list lacks {ends} of {current} leaves, and holds {len(seen)}")
            return
        if lacking and self.changes_while_read and run.passes == 1:
            # A list that changes while it is read may pass over an entry: it is read once more.
            self.read_again()
            # The ledger is read anew with it: what a webhook has told meanwhile is not lacking.
            self.reconcile()
            return
        if not self._end(lacking):
            self.pause()
            return
        self.report.ends = self.current.ends
        self.finish("complete", is_whole=self.is_whole)

    def _end(self, lacking: Mapping[str, Leave]) -> bool:
        """End leaves, those about which the vendor can be asked one by one; whether there was time for all.

        Each answer is noted as a page is: the next process asks about the rest only.
        """
        ends = list(inferred_ends(lacking, self.current.began))
        if not self.asks_by_id:
            self._end_now(ends)
            return True
        for end in ends:
            if not self.has_time:
                return False
            leave_id = end.change.leave_id
            self._end_now([] if self.still_has(leave_id) else [end], answered=[leave_id])
        return True

    def _end_now(self, ends: Sequence[Difference], answered: Sequence[str] = ()) -> None:
        self._show(ends)
        if not self.changes_nothing:
            # Not looked up in `queued`: an end that was settled is no difference, and one that is older than
            # the last complete run is dropped.
            self.queue([end.event for end in ends])
        self.note_page(answered, None, ends=len(ends))

    @property
    def is_whole(self) -> bool:
        """Whether the list says of everything what the vendor holds."""
        return self.wishes.first is None and self.wishes.last is None

    def _refuse(self, lacking: Mapping[str, Leave], detail: str) -> None:
        self.report.ends = len(lacking)
        self.wishes.look(list(inferred_ends(lacking, self.current.began)))
        self.finish("refused", detail, is_whole=self.is_whole)

    def _lacking(self, known: Mapping[str, Leave], seen: set[str]) -> dict[str, Leave]:
        run = self.current
        if not self.lists_ends:
            return {}
        if run.passes == 2:
            seen = seen | self.seen(replace(run, passes=1))
        return missing(known, seen, run.first_day, run.last_day, run.began)


class LeaveReconciliation(LeaveRun):
    """A run over what the vendor's API lists."""

    def __init__(
        self, invocation: Invocation, name: str, vendor: Vendor, lists: LeaveList, wishes: Wishes
    ) -> None:
        super().__init__(invocation, name, vendor, wishes)
        self._lists = lists
        self.lists_ends = lists.lacks == "ended" or lists.knows is not None
        # A leave that the list has passed over is found when it is asked for by its id.
        self.changes_while_read = lists.knows is None
        self.asks_by_id = lists.knows is not None
        self.has_only_ranges = lists.days == "range"

    def page(self) -> Page:
        """The next page, from the vendor."""
        run = self.current
        window = Window(first=run.first_day, last=run.last_day, began=run.began / 1000)
        following = run.following or None

        def ask(api: VendorApi) -> Page:
            return self._lists.page(api, window, following)

        return self.pages.page(ask, following)

    def versions(self, change: LeaveChange) -> Versions:
        """What the vendor's list has; an entry without a time of its own is as of when it was asked for."""
        has_own_time = change.version != iso(self.current.began / 1000)
        return self._lists.version if has_own_time else "asked"

    def still_has(self, leave_id: str) -> bool:
        """Whether the vendor knows the leave; one that cannot be asked by id does not."""
        knows = self._lists.knows
        if knows is None:
            return False
        return self.pages.ask(lambda api: knows(api, leave_id))


def listed_changes(events: Sequence[Event], began: int) -> Iterator[Listed]:
    """The changes among what a page holds, as of when the listing began (Unix milliseconds)."""
    listed_at = datetime.fromtimestamp(began / 1000, UTC)
    for event in events:
        if isinstance(event, LeaveChange):
            change = not_ahead(event.model_copy(update={"listed_at": listed_at}), began / 1000)
            yield Listed(change, change.email or "")
        elif isinstance(event, ThinEvent) and event.change is not None:
            change = not_ahead(event.change.model_copy(update={"listed_at": listed_at}), began / 1000)
            yield Listed(change, event.employee or "", event.model_copy(update={"change": change}))
