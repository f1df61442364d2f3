"""Reconciles leave with a file, for a system that cannot be asked: as with a list, whose pages it holds."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date

from relay.events import LeaveChange, MalformedEvent
from relay.invocation import Invocation
from relay.reconciliation.leave import LeaveRun
from relay.reconciliation.rules import Versions, last_day
from relay.reconciliation.runs import Run, State
from relay.reconciliation.wishes import Wishes
from relay.vendors.support.base import Vendor
from relay.vendors.support.listing import Page

ENTRIES_A_PAGE = 200


@dataclass(frozen=True, slots=True)
class LeaveFile:
    """What a file says of leave, as it was read on the day `today` of whoever read it.

    A change whose version is `read_at` has no time of its own. With `is_snapshot` the file holds all leave
    that is not over: what it lacks has ended.
    """

    entries: Sequence[LeaveChange | MalformedEvent]
    read_at: str
    today: date
    is_snapshot: bool


class LeaveImport(LeaveRun):
    """A run over what a file holds."""

    changes_while_read = False
    # A file is not the system itself: the schedule still has nobody's word for what the vendor lists.
    is_whole = False

    def __init__(
        self, invocation: Invocation, name: str, vendor: Vendor, file: LeaveFile, wishes: Wishes
    ) -> None:
        super().__init__(invocation, name, vendor, wishes)
        self._file = file
        self.lists_ends = file.is_snapshot

    def begun(self, run: Run, state: State) -> Run:
        """A run of the leave that is not over."""
        del state
        # Not a day earlier: what is over leaves such a file by itself, and has not been cancelled.
        today = self._file.today
        return replace(run, first=today.isoformat(), last=last_day(today).isoformat())

    def page(self) -> Page:
        """The next of the file's entries."""
        start = int(self.current.following or 0)
        end = start + ENTRIES_A_PAGE
        entries = self._file.entries
        return Page(entries[start:end], str(end) if end < len(entries) else None)

    def versions(self, change: LeaveChange) -> Versions:
        """Whether the file has a time of this change."""
        return "asked" if change.version == self._file.read_at else "own"

    def still_has(self, leave_id: str) -> bool:
        """Nobody can be asked."""
        del leave_id
        return False
