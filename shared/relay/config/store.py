"""The configuration in the table: versions, the pointer to the current one, doors read when needed.

`config` / `pointer` names the current version, and keeps what it has of those before it: their `lineage`, and
in `behind` the versions whose people may not all be where the current one has them. `config#<version>` /
`main` holds sources and places as one JSON text, which may be larger than an item: then `main#1` and so on
hold its further `parts`. `config#<version>#<source>` / `door#<id>` and `sensor#<id>` hold one door or sensor
each. A version is written from its doors and sensors to its `main`, which comes with the pointer in one
transaction: a push that breaks off, or comes too late, leaves no `main`.
"""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError

from relay.at_once import each
from relay.aws.table import Item, Key, Table
from relay.config.model import Config, Door, Lineage, Sensor, Source, Tree
from relay.errors import TableUnavailable

if TYPE_CHECKING:
    from relay.deadline import Clock, Deadline

POINTER: Key = ("config", "pointer")
M = TypeVar("M", bound=BaseModel)

LAYOUT = 3
"""Of all items in the table: raised where what is stored is not read by the version before any more."""
MAX_AGE_SECONDS = 60.0
TAKEN_UP_SECONDS = 90
"""So long after a push every function has taken the configuration up, and has ended what it began before."""
FRESH_SECONDS = 5.0
"""How old configuration may be when a door is called unmapped or a source shadowed.

It is the wait after a failure as well.
"""
NEWEST_SECONDS = 1.0
"""How old it may be when a source is called unknown: some vendors do not send again after a 404."""
MOST_LOOKED_FOR = 1000
"""So many unknown sources are looked for within a minute: whoever asks for more makes names up."""


@dataclass(frozen=True)
class Snapshot:
    """The configuration at one instant: its version, its sources and places, the doors and sensors looked up.

    `order` tells it from earlier ones: when it was made the current one, Unix milliseconds.
    """

    version: int = 0
    order: int = 0
    config: Config = field(default_factory=Config)
    entries: dict[Key, Any] = field(default_factory=dict)


@dataclass(slots=True)
class _Known:
    """What a container knows: the newest snapshot, when it was read, and when that failed last.

    `looked_for` is when each unknown source was last looked for.
    """

    lock: Lock = field(default_factory=Lock)
    snapshot: Snapshot = field(default_factory=Snapshot)
    read_at: float = float("-inf")
    failed_at: float = float("-inf")
    looked_for: dict[str, float] = field(default_factory=dict)


class ConfigStore:
    """The current configuration, cached for a minute. Raises `TableUnavailable` while it has none."""

    def __init__(self, table: Table, clock: "Clock" = time.time, known: _Known | None = None) -> None:
        self._table = table
        self._clock = clock
        self._known = known or _Known()

    def until(self, deadline: "Deadline") -> "ConfigStore":
        """The store, with what is known; each call ends by that deadline."""
        return ConfigStore(self._table.until(deadline), self._clock, self._known)

    def current(self) -> Config:
        """The sources and places, at most a minute old."""
        return self.snapshot().config

    def snapshot(self, max_age: float = MAX_AGE_SECONDS) -> Snapshot:
        """The configuration, at most that many seconds old.

        While it cannot be read the last one goes on being used, and is tried again every few seconds.
        """
        if self._is_due(max_age):
            # Several threads find it due at once: the first one reads for all, and the others look again.
            with self._known.lock:
                if self._is_due(max_age):
                    self._try_refresh()
        return self._known.snapshot

    @property
    def is_doubtful(self) -> bool:
        """Whether the last attempt to read it failed: a push that is known elsewhere may be missing."""
        return self._known.failed_at > self._known.read_at

    def look_again(self, source: str) -> Snapshot:
        """The configuration, read anew for a source that it lacked: once a minute for each."""
        if self._is_due(NEWEST_SECONDS) and self._may_look_for(source):
            return self.snapshot(NEWEST_SECONDS)
        return self._known.snapshot

    def _may_look_for(self, source: str) -> bool:
        now = self._clock()
        recent = {name: at for name, at in self._known.looked_for.items() if now - at < MAX_AGE_SECONDS}
        # Otherwise a stranger who makes names up could have the table read at each request.
        may = source not in recent and len(recent) < MOST_LOOKED_FOR
        self._known.looked_for = {**recent, source: now} if may else recent
        return may

    def entry(self, snapshot: Snapshot, model: type[M], key: Key) -> M | None:
        """A door or sensor of a snapshot's version; None where it has none under that key."""
        if key not in snapshot.entries:
            item = self._table.get([key]).get(key)
            if item is None:
                return None
            # A version never changes, so that what was read of it stays true.
            snapshot.entries[key] = read(model, item)
        found: M = snapshot.entries[key]
        return found

    def read_entries(self, snapshot: Snapshot, model: type[M], keys: Sequence[Key]) -> None:
        """Read doors or sensors of a snapshot's version together, those that are not known yet."""
        unknown = [key for key in keys if key not in snapshot.entries]
        for key, item in self._table.get(unknown).items():
            snapshot.entries[key] = read(model, item)

    def _is_due(self, max_age: float) -> bool:
        now = self._clock()
        return now - self._known.read_at > max_age and now - self._known.failed_at > FRESH_SECONDS

    def _try_refresh(self) -> None:
        try:
            self._refresh()
        except TableUnavailable:
            # Without any configuration there is nothing to go on with.
            if self._known.read_at == float("-inf"):
                raise
            self._known.failed_at = self._clock()

    def _refresh(self) -> None:
        pointer = readable(self._table.get([POINTER]).get(POINTER))
        known = self._known.snapshot
        if pointer:
            version, order = pointer.get("version", 0), int(pointer.get("swapped_at", 0))
            # A rollback makes an earlier version the current one again, with another lineage.
            if (version, order) != (known.version, known.order):
                self._known.snapshot = Snapshot(version, order, self._read_config(version, pointer))
        # Noted last: what could not be read whole counts as not read.
        self._known.read_at = self._clock()

    def _read_config(self, version: int, pointer: Item) -> Config:
        key = main_key(version)
        config = read_main(self._table, version, self._table.get([key]).get(key))
        return config.model_copy(update={"lineage": lineage_of(pointer)})


class Configuration:
    """The configuration that one invocation works with: read once.

    A source, door or sensor that it does not know may have been pushed since, and a shadowed source may be
    live by now: then, and only then, it is read anew.
    Raises `TableUnavailable`.
    """

    def __init__(self, store: ConfigStore, snapshot: Snapshot | None = None) -> None:
        self._store = store
        self._snapshot = snapshot or store.snapshot()

    def until(self, deadline: "Deadline") -> "Configuration":
        """The same, with another deadline for what is still to be read."""
        return Configuration(self._store.until(deadline), self._snapshot)

    @property
    def config(self) -> Config:
        """Sources and places."""
        return self._snapshot.config

    @property
    def order(self) -> int:
        """Which configuration this is: the later one is the greater."""
        return self._snapshot.order

    @property
    def is_doubtful(self) -> bool:
        """Whether there may be a later one, as it could not be read anew."""
        return self._store.is_doubtful

    def source(self, name: str) -> Source | None:
        """A source by its name now. One that is unknown may have been pushed since."""
        if name not in self.config.sources:
            self._snapshot = self._store.look_again(name)
        return self.config.sources.get(name)

    def is_shadowed(self, source: str, max_age: float = FRESH_SECONDS) -> bool:
        """Whether nothing of a source is sent to Calven.

        One that is shadowed may be live by now: what says so is that many seconds old at most.
        """
        if not self.config.is_shadowed(source):
            return False
        # While it cannot be read, nothing is sent of what was shadowed last: that can be made good.
        return not self._renew(max_age) or self.config.is_shadowed(source)

    def door(self, source: str, door: str) -> Door | None:
        """A door of a source (by its name now)."""
        return self._entry(Door, source, f"door#{door}")

    def read_doors(self, doors: Iterable[tuple[str, str]]) -> None:
        """Have the doors of some sources (by their names now) at hand: in one request for all."""
        version = self._snapshot.version
        keys = [(partition(version, source), f"door#{door}") for source, door in doors]
        self._store.read_entries(self._snapshot, Door, keys)

    def sensor(self, source: str, sensor: str) -> Sensor | None:
        """A sensor of a source (by its name now)."""
        return self._entry(Sensor, source, f"sensor#{sensor}")

    def _entry(self, model: type[M], source: str, entry: str) -> M | None:
        found = self._look_up(model, source, entry)
        if found is None and self._renew():
            found = self._look_up(model, source, entry)
        return found

    def _renew(self, max_age: float = FRESH_SECONDS) -> bool:
        """Read what is older than that many seconds once more; whether it is another configuration now."""
        before, self._snapshot = self._snapshot, self._store.snapshot(max_age)
        return self._snapshot is not before

    def _look_up(self, model: type[M], source: str, entry: str) -> M | None:
        key = partition(self._snapshot.version, source), entry
        return self._store.entry(self._snapshot, model, key)


def read(model: type[M], item: Item | None) -> M:
    """A stored record; keys that a newer version of the relay has written are passed over."""
    try:
        return model.model_validate_json(item.get("body", "") if item else "", extra="ignore")
    except ValidationError:
        raise TableUnavailable(f"the stored {model.__name__.lower()} is missing or unreadable") from None


def readable(pointer: Item | None) -> Item | None:
    """The pointer, if the table is laid out as this version reads it. Raises `TableUnavailable`."""
    # To go on with items that are laid out otherwise would miscount in silence.
    layout = pointer.get("layout", LAYOUT) if pointer else LAYOUT
    if layout != LAYOUT:
        raise TableUnavailable(
            f"the table has the layout {layout}, and this version of the relay reads {LAYOUT}: "
            "deploy the version that wrote it, or begin with a new table"
        )
    return pointer


def lineage_of(pointer: Item) -> Lineage:
    """What the configuration in force keeps of those before it."""
    return read(Lineage, {"body": pointer.get("lineage", "{}")})


def entries(table: Table, version: int, tree: Tree, model: type[M], prefix: str) -> dict[str, dict[str, M]]:
    """The doors or sensors of each source of a version; no source that has none."""

    def of_one(source: str) -> dict[str, M]:
        items = table.query(partition(version, source), prefix)
        return {str(item["sk"]).removeprefix(prefix): read(model, item) for item in items}

    sources = list(tree.sources)
    found = zip(sources, each(of_one, sources), strict=True)
    return {source: of_source for source, of_source in found if of_source}


def read_main(table: Table, version: int, main: Item | None) -> Config:
    """The sources and places of a version. Raises `TableUnavailable` where a part of them is missing."""
    if main is None or main.get("parts", 1) == 1:
        return read(Config, main)
    keys = [part_key(version, number) for number in range(1, main["parts"])]
    found = table.get(keys)
    further = "".join(found[key]["body"] for key in keys if key in found)
    return read(Config, {"body": main["body"] + further})


def part_key(version: int, number: int) -> Key:
    """Where a part of a version's sources and places is."""
    return f"config#{version}", f"main#{number}"


def main_key(version: int) -> Key:
    """Where a version has its sources and places."""
    return f"config#{version}", "main"


def partition(version: int, source: str) -> str:
    """Where a version has a source's doors and sensors."""
    return f"config#{version}#{source}"
