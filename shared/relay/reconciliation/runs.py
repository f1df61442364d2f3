"""The ledger of reconciliations: what a source's run has listed so far, and what the last one found.

`reconcile#<source>` / `state` holds the lease of whoever runs, where the run is, and the results of the last
one. `reconcile#<source>` / `seen#<run>#<pass>#<page>` has the ids of one page, so that a run which ran out of
time goes on in another process; it expires after two days.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import TYPE_CHECKING, Any, Literal
from uuid import uuid4

from relay.aws.table import Conflict, Item, Key, Table, Update
from relay.time_off.items import complete_key

if TYPE_CHECKING:
    from relay.deadline import Clock

LEASE_SECONDS = 660.0
"""Longer than a page may take with all its tries: each page renews it."""
SEEN_SECONDS = 2 * 24 * 3600
RESUMED_SECONDS = 6 * 3600.0
"""A run that began longer ago begins anew: its first pages say nothing about now."""

Status = Literal["never", "complete", "incomplete", "refused"]


@dataclass(frozen=True, slots=True)
class Run:
    """A run under way: its id, when it began (Unix milliseconds), what it lists, and where it is.

    `first` and `last` are the days of which leave is listed, or the instants between which events are (Unix
    milliseconds).
    `passes` is 1 while the list is read, 2 while it is read again to make sure of what it lacks.
    `following` names the next page, "" for the first one and after the last. `unreadable` and `found` count
    entries that cannot be read, and those of which the ledger says something else; `fault` says what is wrong
    with the first that cannot be read. `ends` counts leaves that the list lacked. `by_hand` is somebody's own
    run, which nobody else goes on with.
    """

    id: str
    began: int
    first: str = ""
    last: str = ""
    passes: int = 1
    page: int = 0
    following: str = ""
    unreadable: int = 0
    fault: str = ""
    found: int = 0
    ends: int = 0
    by_hand: bool = False

    @property
    def first_day(self) -> date:
        """The first day of which leave is listed."""
        return date.fromisoformat(self.first)

    @property
    def last_day(self) -> date:
        """The last day of which leave is listed."""
        return date.fromisoformat(self.last)

    @property
    def is_read(self) -> bool:
        """Whether the list has been read to its end."""
        return self.page > 0 and not self.following


@dataclass(frozen=True, slots=True)
class State:
    """What is known of a source's reconciliations. Times are Unix milliseconds, 0 for never.

    `by_hand` is when somebody first reconciled it by hand: until then the schedule changes nothing.
    `since` is when the source was first run, `complete` when the last complete run began, `read` when the
    last one began that read the list to its end, `began` when the last run began that the schedule counts
    from.
    """

    status: Status = "never"
    detail: str = ""
    by_hand: int = 0
    since: int = 0
    complete: int = 0
    read: int = 0
    began: int = 0
    listed: int = 0
    differences: int = 0
    ends: int = 0
    run: Run | None = None
    holder: str = ""
    until: int = 0
    revision: int = 0

    @property
    def last_read(self) -> int:
        """When the last run began that read the list to its end."""
        # A version that does not know `read` may have finished a run since.
        return max(self.read, self.complete)


class Runs:
    """Keeps the states. Raises `TableUnavailable`."""

    def __init__(self, table: Table, clock: "Clock" = time.time) -> None:
        self._table = table
        self._clock = clock

    def state(self, source: str) -> State:
        """What is known of a source (by its key in the ledger)."""
        key = state_key(source)
        return _state(self._table.get([key]).get(key))

    def states(self, sources: Sequence[str]) -> dict[str, State]:
        """What is known of several sources."""
        found = self._table.get([state_key(source) for source in sources])
        return {source: _state(found.get(state_key(source))) for source in sources}

    def begin(
        self, source: str, begun: Callable[[Run, State], Run], *, by_hand: bool = False
    ) -> State | None:
        """Take the lease of a source, to go on with its run or begin one; None while another has it.

        `begun` says of a run that begins what it lists. A run by hand lists what somebody wished: it always
        begins anew, and is not gone on with.
        """
        now = self._now()
        before = self.state(source)
        if before.until > now:
            return None
        run = before.run
        # What somebody wished to list says nothing of what the schedule has to.
        if run is None or by_hand or run.by_hand or run.began < now - RESUMED_SECONDS * 1000:
            run = begun(Run(uuid4().hex, now, by_hand=by_hand), before)
        until = now + round(LEASE_SECONDS * 1000)
        mine = replace(before, run=run, since=before.since or now, holder=uuid4().hex, until=until)
        return self._write(source, mine)

    def note_page(self, source: str, state: State, ids: Sequence[str], run: Run) -> State:
        """Note what a page held and where the run goes on; raises `Conflict` where the lease was lost."""
        until = self._now() + round(LEASE_SECONDS * 1000)
        following = replace(state, run=run, until=until)
        page = Update(
            key=(_partition(source), f"{_prefix(run)}{run.page:05}"),
            set={"ids": list(ids), "expires_at": int(self._clock()) + SEEN_SECONDS},
        )
        # The ids and where the run goes on in one write: a page is never noted by half.
        written = self._write(source, following, *([page] if ids else []))
        if written is None:
            raise Conflict
        return written

    def seen(self, source: str, run: Run) -> set[str]:
        """The ids that a run's pass has listed so far."""
        found: set[str] = set()
        for item in self._table.query(_partition(source), _prefix(run)):
            found.update(item["ids"])
        return found

    def go_on(self, source: str, state: State, run: Run) -> State:
        """Note where a run goes on without a page; raises `Conflict` where the lease was lost."""
        until = self._now() + round(LEASE_SECONDS * 1000)
        written = self._write(source, replace(state, run=run, until=until))
        if written is None:
            raise Conflict
        return written

    def let_go(self, source: str, state: State) -> None:
        """Let go of the lease of a run that is not over."""
        self._write(source, replace(state, holder="", until=0))

    def finish(self, source: str, state: State, *, all_seen: bool) -> None:
        """Write the results of a run and let go of the lease; where another has it by now it is theirs.

        `all_seen` says that the ledger has been told of all leave of the source, as of the run's beginning.
        """
        also = []
        if all_seen:
            also.append(Update(key=complete_key(source), set={"at": state.complete}))
        self._write(source, replace(state, run=None, holder="", until=0), *also)

    def _write(self, source: str, state: State, *also: Update) -> State | None:
        values = {**_values(state), "revision": state.revision + 1}
        expect = {"revision": state.revision or None}
        try:
            self._table.write([Update(key=state_key(source), set=values, expect=expect), *also])
        except Conflict:
            return None
        return replace(state, revision=state.revision + 1)

    def _now(self) -> int:
        return round(self._clock() * 1000)


class DryRuns(Runs):
    """Runs of which nothing is written: of one process, and in nobody's way."""

    def __init__(self, table: Table, clock: "Clock" = time.time) -> None:
        super().__init__(table, clock)
        self._ids: dict[str, Sequence[str]] = {}

    def seen(self, source: str, run: Run) -> set[str]:
        """The ids that a run's pass has listed so far."""
        del source
        found: set[str] = set()
        for page, ids in self._ids.items():
            if page.startswith(_prefix(run)):
                found.update(ids)
        return found

    def _write(self, source: str, state: State, *also: Update) -> State:
        del source
        for update in also:
            self._ids[update.key[1]] = update.set.get("ids", ())
        return state


def state_key(source: str) -> Key:
    """Where the state of a source is."""
    return _partition(source), "state"


def _partition(source: str) -> str:
    return f"reconcile#{source}"


def _prefix(run: Run) -> str:
    return f"seen#{run.id}#{run.passes}#"


def _values(state: State) -> dict[str, Any]:
    run = state.run
    return {
        "status": state.status,
        "detail": state.detail,
        "by_hand": state.by_hand,
        "since": state.since,
        "complete": state.complete,
        "read": state.read,
        "began": state.began,
        "listed": state.listed,
        "differences": state.differences,
        "ends": state.ends,
        "run": {
            "id": run.id,
            "began": run.began,
            "first": run.first,
            "last": run.last,
            "passes": run.passes,
            "page": run.page,
            "following": run.following,
            "unreadable": run.unreadable,
            "fault": run.fault,
            "found": run.found,
            "ends": run.ends,
            "by_hand": run.by_hand,
        }
        if run
        else {},
        "holder": state.holder,
        "until": state.until,
    }


def _state(item: Item | None) -> State:
    """A state as it is stored, also by a version that kept less of it."""
    if item is None:
        return State()
    run = item["run"]
    return State(
        status=item["status"],
        detail=item["detail"],
        by_hand=item["by_hand"],
        since=item["since"],
        complete=item["complete"],
        read=item.get("read", 0),
        began=item.get("began", 0),
        listed=item["listed"],
        differences=item["differences"],
        ends=item["ends"],
        run=Run(
            id=run["id"],
            began=run["began"],
            first=run["first"],
            last=run["last"],
            passes=run["passes"],
            page=run["page"],
            following=run["following"],
            unreadable=run["unreadable"],
            fault=run.get("fault", ""),
            found=run["found"],
            ends=run.get("ends", 0),
            by_hand=run.get("by_hand", False),
        )
        if run
        else None,
        holder=item["holder"],
        until=item["until"],
        revision=item["revision"],
    )
