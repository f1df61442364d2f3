"""Which messages of the Unprocessed queue are under way, so that one that ends its process is found out.

`retry` / `batch#<id>` is a process's slot: `ids` are the messages that it works on, `until` is when its
invocation is over at the latest (Unix seconds), `alone` how often the one message in `ids` is then tried by
itself, 0 for a batch. A slot is written before a batch and emptied after it. So a slot whose time is over and
that still names messages was left behind by a process that ended: one of them may have ended it.

While the table does not answer, nothing is noted and nothing suspected: the messages come first.
"""

import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from relay.aws.table import Conflict, Key, Table, Update
from relay.errors import TableUnavailable

if TYPE_CHECKING:
    from relay.deadline import Clock

PARTITION, PREFIX = "retry", "batch#"
KEPT_SECONDS = 24 * 3600
MOST_ALONE = 2
"""A message that was tried so often by itself, and never survived, is not tried again."""


@dataclass(frozen=True, slots=True)
class Slot:
    """What a process works on, or worked on when it ended."""

    sk: str
    ids: frozenset[str]
    alone: int
    until: int

    @property
    def key(self) -> Key:
        """Its key in the table."""
        return PARTITION, self.sk


def left_behind(slots: Iterable[Slot], own: str, now: float) -> list[Slot]:
    """The slots of processes that ended in the middle of their work."""
    return [slot for slot in slots if slot.sk != own and slot.ids and slot.until <= now]


def tried_alone(ids: Collection[str], slots: Sequence[Slot]) -> dict[str, int]:
    """How often each message that these slots name was tried by itself; the others are not suspected."""
    found: dict[str, int] = {}
    for slot in slots:
        for message_id in slot.ids.intersection(ids):
            found[message_id] = max(found.get(message_id, 0), slot.alone)
    return found


class UnderWay:
    """The slot of this process, and those that others left behind. Raises nothing."""

    def __init__(self, table: Table, clock: "Clock" = time.time) -> None:
        self._table = table
        self._clock = clock
        self._own = _new()
        self._over = True
        self._answers = True
        self._left: list[Slot] = []

    def suspects(self, ids: Collection[str]) -> dict[str, int]:
        """The messages of a new batch that may have ended a process, and how often each was tried alone."""
        if not self._over:  # an exception ended the batch before: its slot stays as it was
            self._own, self._over = _new(), True
        now = self._clock()
        try:
            items = list(self._table.query(PARTITION, PREFIX))
        except TableUnavailable:
            self._answers, self._left = False, []
        else:
            self._answers = True
            # An expired item is there until DynamoDB gets round to deleting it, which may take days.
            slots = [_slot(item) for item in items if item["expires_at"] > now]
            self._left = left_behind(slots, self._own, now)
        return tried_alone(ids, self._left)

    def begin(self, ids: Collection[str], until: float, alone: int = 0) -> None:
        """Note what is worked on from now on, in place of what was before."""
        self._over = False
        # A set, out of which DynamoDB takes a message without a read.
        values = {"ids": set(ids), "alone": alone, "until": round(until)}
        expires_at = int(self._clock()) + KEPT_SECONDS
        self._write(Update(key=(PARTITION, self._own), set={**values, "expires_at": expires_at}))

    def survived(self, message_id: str) -> None:
        """Suspect a message no longer."""
        for slot in self._left:
            if message_id in slot.ids:
                self._write(Update(key=slot.key, delete={"ids": frozenset([message_id])}, present=("ids",)))

    def end(self) -> None:
        """Note that nothing is worked on."""
        self._write(Update(key=(PARTITION, self._own), remove=("ids",), present=("ids",)))
        self._over = True

    def _write(self, update: Update) -> None:
        if not self._answers:
            return
        try:
            self._table.write([update])
        except Conflict:
            return  # it names nothing any more
        except TableUnavailable:
            self._answers = False


def _new() -> str:
    return PREFIX + uuid4().hex


def _slot(item: Mapping[str, Any]) -> Slot:
    return Slot(item["sk"], frozenset(item.get("ids", ())), item["alone"], item["until"])
