"""Has Calven told what it was not told while a source was shadowed: its pending leave, each once.

The push that takes the shadow away puts it into the Unprocessed queue. The schedule does so once more when
every function has taken the push up, as one of them may have recorded a change in shadow meanwhile, and the
push may have been cut off. `reconcile#<source>` / `resumed#<leave id>` notes which leave was queued, with its
last news, `reconcile#<source>` / `resumed` that all is done.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from relay.aws.queues import Queues
from relay.aws.table import Conflict, Key, Table, Update
from relay.config.model import Config
from relay.config.store import TAKEN_UP_SECONDS
from relay.deadline import Deadline
from relay.envelope import Envelope
from relay.events import LeaveChange
from relay.time_off.items import employees_of, leaves_of
from relay.time_off.pending import by_person, pending_leaves
from relay.time_off.rules import Leave

if TYPE_CHECKING:
    from relay.deadline import Clock

AT_ONCE = 100
"""So many leaves are queued, and noted, at a time."""
KEPT_SECONDS = 16 * 24 * 3600
"""As long as the configuration knows when a source's shadow was taken away."""


@dataclass(frozen=True, slots=True)
class _Resumed:
    """A source that is live again: its key in the ledger, and since when (Unix milliseconds)."""

    source: str
    since: int


class Resumption:
    """Queues pending leave. Raises `TableUnavailable`, `QueueUnavailable`, and `NotNow` when time is up."""

    def __init__(self, table: Table, queues: Queues, clock: "Clock" = time.time) -> None:
        self._table = table
        self._queues = queues
        self._clock = clock

    def queue_pending(self, config: Config, deadline: Deadline) -> dict[str, int]:
        """Queue what is pending of each source that is live again, by its name, with how many leaves."""
        queued: dict[str, int] = {}
        for resumed in self._unfinished(config):
            name = config.named(resumed.source)
            pending = self._unnoted(resumed, self._pending(resumed.source, config))
            for start in range(0, len(pending), AT_ONCE):
                deadline.check()
                self._queue(resumed, name, config, pending[start : start + AT_ONCE])
            queued[name] = len(pending)
            if self._clock() * 1000 >= resumed.since + TAKEN_UP_SECONDS * 1000:
                self._write([Update(key=_done_key(resumed.source), set=self._noted(resumed))])
        return queued

    def _unfinished(self, config: Config) -> Iterator[_Resumed]:
        since = config.lineage.live_since
        found = self._table.get([_done_key(source) for source in since])
        for source, at in since.items():
            done = found.get(_done_key(source))
            if done is None or done["since"] < at:
                yield _Resumed(source, at)

    def _pending(self, source: str, config: Config) -> dict[str, Leave]:
        """The leaves of a source of which Calven has not been told everything, by their ids."""
        leaves = leaves_of(self._table, source)
        found: dict[str, Leave] = {}
        people = by_person(leaves)
        for person, employee in employees_of(self._table, list(people)):
            for leave_id in pending_leaves(source, people[person], employee, config.shadowed):
                found[leave_id] = leaves[leave_id]
        return found

    def _unnoted(self, resumed: _Resumed, pending: Mapping[str, Leave]) -> list[tuple[str, Leave]]:
        """Those that are in no queue yet, or have changed since they came there."""
        notes = self._table.get([_note_key(resumed.source, leave_id) for leave_id in pending])
        unnoted: list[tuple[str, Leave]] = []
        for leave_id, leave in pending.items():
            note = notes.get(_note_key(resumed.source, leave_id))
            if note is None or note["since"] < resumed.since or note["received"] != leave.received:
                unnoted.append((leave_id, leave))
        return unnoted

    def _queue(
        self, resumed: _Resumed, name: str, config: Config, leaves: Sequence[tuple[str, Leave]]
    ) -> None:
        vendor = config.sources[name].vendor if name in config.sources else "unknown"
        now = self._clock()
        envelopes = [(_envelope(name, vendor, leave_id, leave, now), 0.0) for leave_id, leave in leaves]
        # Queued, then noted: a crash in between queues it once more, and then nothing is left to send.
        self._queues.retry_later(envelopes)
        notes: list[Update] = []
        for leave_id, leave in leaves:
            values = {**self._noted(resumed), "received": leave.received}
            notes.append(Update(key=_note_key(resumed.source, leave_id), set=values))
        self._write(notes)

    def _noted(self, resumed: _Resumed) -> dict[str, int]:
        return {"since": resumed.since, "expires_at": int(self._clock()) + KEPT_SECONDS}

    def _write(self, updates: Sequence[Update]) -> None:
        # Two that queue the same at the same time: a repeat has nothing more to send.
        with suppress(Conflict):
            self._table.write(updates)


def _envelope(name: str, vendor: str, leave_id: str, leave: Leave, now: float) -> Envelope:
    """A leave with nothing new: what Calven lacks of it is sent."""
    return Envelope(
        source=name,
        vendor=vendor,
        kind="time_off",
        reason="resumed",
        received_at=datetime.fromtimestamp(now, UTC),
        event=LeaveChange(
            event_id=f"resumed:{leave_id}"[:200],
            leave_id=leave_id,
            # Nobody looks at the state; an end is read without dates and without an address.
            state="ended",
            version=leave.version,
            resumed=True,
        ),
    )


def _note_key(source: str, leave_id: str) -> Key:
    return f"reconcile#{source}", f"resumed#{leave_id}"


def _done_key(source: str) -> Key:
    return f"reconcile#{source}", "resumed"
