"""A table that conflicts as DynamoDB does, and counts what it is asked.

A transaction holds its items from its start to its end. Any other write of one of them is refused meanwhile:
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis.html#transaction-conflict-handling.
Single writes of an item take their turns. Reads wait for nobody, and see what has been written.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from simulate.clock import Timeline
from simulate.units import write_units
from simulate.values import Item

Key = tuple[str, str]
Written = Mapping[Key, Item]
Observe = Callable[[Written], None]


@dataclass(slots=True)
class Counts:
    """What a table was asked, and what of it AWS bills.

    `conflicts` are refused writes by what they were for: `settling` moves people, `noting` says what Calven
    was told.
    """

    requests: Counter[str] = field(default_factory=Counter)
    conflicts: Counter[str] = field(default_factory=Counter)
    read_units: float = 0
    write_units: float = 0
    tried_units: float = 0

    def since(self, before: "Counts") -> "Counts":
        """What came after."""
        return Counts(
            self.requests - before.requests,
            self.conflicts - before.conflicts,
            self.read_units - before.read_units,
            self.write_units - before.write_units,
            self.tried_units - before.tried_units,
        )

    def copy(self) -> "Counts":
        """The counts as they are now."""
        return Counts(Counter(self.requests), Counter(self.conflicts), *self._units())

    def _units(self) -> tuple[float, float, float]:
        return self.read_units, self.write_units, self.tried_units


@dataclass(frozen=True, slots=True)
class Action:
    """One write: an item's key, what is to hold, and what becomes of the item (None where it is deleted)."""

    key: Key
    check: Callable[[Item], bool]
    apply: Callable[[Item], Item | None] | None
    says_old: bool


class Table:
    """The items, who holds which, and the counts. `observe` is told what each write has written."""

    def __init__(self, timeline: Timeline, observe: Observe = lambda _: None) -> None:
        self.timeline = timeline
        self.counts = Counts()
        self._observe = observe
        self._partitions: defaultdict[str, dict[str, Item]] = defaultdict(dict)
        self._held: set[Key] = set()

    def read(self, key: Key) -> Item | None:
        """An item as it was written last."""
        return self._partitions[key[0]].get(key[1])

    def partition(self, pk: str) -> list[Item]:
        """A partition's items in order of their sort keys."""
        return [item for _, item in sorted(self._partitions[pk].items())]

    def count_request(self, kind: str, read_units: float = 0) -> None:
        """Count a request, and what it read."""
        self.counts.requests[kind] += 1
        self.counts.read_units += read_units

    def write(self, action: Action) -> tuple[str, Item | None]:
        """Carry out a single write; why it is refused, or nothing, and the item if that is to be said."""
        refused, units, after = self._judge(action)
        if action.key in self._held:
            refused = "TransactionConflict"
        self._count_write([action.key], units, done=not refused, conflict=bool(refused))
        if refused:
            old = self.read(action.key) if action.says_old and refused == "ConditionalCheckFailed" else None
            return refused, old
        self._store({action.key: after})
        return "", None

    def hold(self, actions: Sequence[Action]) -> list[str]:
        """Hold a transaction's items, or none: then the reason for each item that another one holds."""
        keys = [action.key for action in actions]
        reasons = ["TransactionConflict" if key in self._held else "None" for key in keys]
        if all(reason == "None" for reason in reasons):
            self._held.update(keys)
            return []
        self._count_write(keys, self._units(actions), done=False, conflict=True)
        return reasons

    def end(self, actions: Sequence[Action]) -> list[tuple[str, Item | None]]:
        """Carry out a transaction whose items are held; the reasons, where a condition does not hold."""
        keys = [action.key for action in actions]
        self._held.difference_update(keys)
        reasons: list[tuple[str, Item | None]] = []
        written: dict[Key, Item | None] = {}
        units = 0.0
        for action in actions:
            refused, cost, after = self._judge(action)
            units += 2 * cost
            reasons.append(
                (refused or "None", self.read(action.key) if refused and action.says_old else None)
            )
            if action.apply is not None:
                written[action.key] = after
        done = all(refused == "None" for refused, _ in reasons)
        self._count_write(keys, units, done=done, conflict=not done)
        if not done:
            return reasons
        self._store(written)
        return []

    def _judge(self, action: Action) -> tuple[str, float, Item | None]:
        """Whether a condition refuses a write, what it costs by itself, and the item after it."""
        before = self.read(action.key) or {}
        if not action.check(before):
            return "ConditionalCheckFailed", write_units(before), None
        after = action.apply(before) if action.apply else before
        return "", max(write_units(before), write_units(after or {})), after

    def _units(self, actions: Sequence[Action]) -> float:
        return 2 * sum(self._judge(action)[1] for action in actions)

    def _store(self, written: Mapping[Key, Item | None]) -> None:
        for (pk, sk), item in written.items():
            if item is None:
                self._partitions[pk].pop(sk, None)
            else:
                self._partitions[pk][sk] = item
        self._observe({key: item for key, item in written.items() if item is not None})

    def _count_write(self, keys: Sequence[Key], units: float, *, done: bool, conflict: bool) -> None:
        self.counts.tried_units += units
        if done:
            self.counts.write_units += units
        if conflict:
            self.counts.conflicts[purpose(keys)] += 1


def purpose(keys: Sequence[Key]) -> str:
    """What a write of these items is for."""
    if any(pk.startswith("people#") for pk, _ in keys):
        return "settling"
    return "noting" if all(pk.startswith("day#") for pk, _ in keys) else "other"
