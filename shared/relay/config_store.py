"""The configuration in the table: versions, the pointer to the current one, doors read when needed.

`config` / `pointer` names the current version. `config#<version>` / `main` holds sources and places as one
JSON text; `config#<version>#<source>` / `door#<id>` and `sensor#<id>` hold one door or sensor each. A version
is written from its doors and sensors to its `main`, which comes with the pointer in one transaction: a push
that breaks off, or comes too late, leaves no `main`.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError

from relay.config import Config, Door, RelayYaml, Sensor
from relay.dynamo import Item, Key, Table, Update
from relay.errors import TableUnavailable

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

    from relay.deadline import Clock

POINTER: Key = ("config", "pointer")
M = TypeVar("M", bound=BaseModel)

MAX_AGE_SECONDS = 60.0
FRESH_SECONDS = 5.0
"""How old configuration may be when a door is about to be called unmapped, and the wait after a failure."""


class ConfigStore:
    """The current configuration, cached for a minute. Raises `TableUnavailable` while it has none."""

    def __init__(self, table: Table, clock: "Clock" = time.time) -> None:
        self._table = table
        self._clock = clock
        self._lock = Lock()
        self._read_at = self._failed_at = float("-inf")
        self._current: tuple[int, Config, dict[Key, Any]] = (0, Config(), {})

    def current(self, max_age: float = MAX_AGE_SECONDS) -> Config:
        """The configuration, at most that many seconds old.

        While it cannot be read the last one goes on being used, and is tried again every few seconds.
        """
        if self._is_due(max_age):
            with self._lock:
                if self._is_due(max_age):
                    self._try_refresh()
        return self._current[1]

    def _is_due(self, max_age: float) -> bool:
        now = self._clock()
        return now - self._read_at > max_age and now - self._failed_at > FRESH_SECONDS

    def _try_refresh(self) -> None:
        try:
            self._refresh()
        except TableUnavailable:
            if self._read_at == float("-inf"):
                raise
            self._failed_at = self._clock()

    def door(self, source: str, door: str) -> Door | None:
        """A door of the current version; one that is not there is looked for in fresh configuration."""
        return self._entry(Door, source, f"door#{door}")

    def sensor(self, source: str, sensor: str) -> Sensor | None:
        """A sensor of the current version, looked for as a door is."""
        return self._entry(Sensor, source, f"sensor#{sensor}")

    def _entry(self, model: type[M], source: str, entry: str) -> M | None:
        found = self._found(model, source, entry)
        if found is None and self._clock() - self._read_at > FRESH_SECONDS:
            self.current(FRESH_SECONDS)
            found = self._found(model, source, entry)
        return found

    def _found(self, model: type[M], source: str, entry: str) -> M | None:
        version, _, cached = self._current
        key = (_partition(version, source), entry)
        if key not in cached:
            item = self._table.get([key]).get(key)
            if item is None:
                return None
            cached[key] = _read(model, item)
        found: M = cached[key]
        return found

    def _refresh(self) -> None:
        pointer = self._table.get([POINTER]).get(POINTER)
        version = pointer.get("version", 0) if pointer else 0
        if version != self._current[0]:
            key = _main(version)
            self._current = (version, _read(Config, self._table.get([key]).get(key)), {})
        self._read_at = self._clock()


def _read(model: type[M], item: Item | None) -> M:
    """A stored record; keys that a newer version of the relay has written are passed over."""
    try:
        return model.model_validate_json(item["body"] if item else "", extra="ignore")
    except ValidationError:
        raise TableUnavailable(f"the stored {model.__name__.lower()} is unreadable") from None


@dataclass(frozen=True)
class Version:
    """A version that was pushed whole. `pushed_at` (Unix seconds) is None where that was not noted."""

    number: int
    pushed_at: int | None
    current: bool


class UnknownVersion(Exception):
    """There is no such version, or not all of it."""


def push(client: "DynamoDBClient", table_name: str, relay: RelayYaml) -> int:
    """Store a new version, whole, and point to it last. Returns its number, which it has to itself.

    Raises `relay.dynamo.Conflict` when somebody else pushed meanwhile.
    """
    table = Table(client, table_name)
    pointer = _pointer(table)
    newest, current = pointer.get("newest"), pointer.get("version")
    version = (newest or 0) + 1
    table.write([Update(key=POINTER, set={"newest": version}, expect={"newest": newest})])
    _write_all(client, table_name, version, relay)
    now = int(time.time())
    main = {"body": relay.config().model_dump_json(by_alias=True), "pushed_at": now}
    swap = Update(key=POINTER, set={"version": version, "pushed_at": now}, expect={"version": current})
    table.write([Update(key=_main(version), set=main, expect={"body": None}), swap])
    return version


def history(table: Table) -> list[Version]:
    """Every version that is there whole, the newest first. Raises `TableUnavailable`."""
    pointer = _pointer(table)
    current, newest = pointer.get("version"), pointer.get("newest") or 0
    found = table.get([_main(number) for number in range(1, newest + 1)])
    versions = (
        Version(number, found[_main(number)].get("pushed_at"), number == current)
        for number in range(newest, 0, -1)
        if _main(number) in found
    )
    return [version for version in versions if version.pushed_at is not None or version.current]


def pull(table: Table, version: int | None = None) -> RelayYaml:
    """A version as it was pushed, the current one by default. Raises `UnknownVersion`, `TableUnavailable`.

    What is as by default counts as left out: stored records have every field, which files need not.
    """
    current = _pointer(table).get("version")
    number = current if version is None else version
    if number is None:
        raise UnknownVersion("no configuration was pushed yet")
    main = table.get([_main(number)]).get(_main(number))
    if number != current and (main is None or "pushed_at" not in main):
        raise UnknownVersion(f"there is no version {number}")
    config = _read(Config, main)
    relay = RelayYaml(
        sources=config.sources,
        places=config.places,
        doors=_entries(table, number, config, Door, "door#"),
        sensors=_entries(table, number, config, Sensor, "sensor#"),
    )
    return RelayYaml.model_validate(relay.model_dump(by_alias=True, exclude_defaults=True))


def _entries(
    table: Table, version: int, config: Config, model: type[M], prefix: str
) -> dict[str, dict[str, M]]:
    """The doors or sensors of each source of a version; no source that has none."""
    found = {
        source: {
            str(item["sk"]).removeprefix(prefix): _read(model, item)
            for item in table.query(_partition(version, source), prefix)
        }
        for source in config.sources
    }
    return {source: entries for source, entries in found.items() if entries}


def rollback(table: Table, to: int | None = None) -> Version:
    """Make an earlier whole version current: that one, else the newest before the current one.

    Raises `UnknownVersion`, `TableUnavailable`, and `Conflict` when somebody else pushed meanwhile.
    """
    current = _pointer(table).get("version")
    whole = [version for version in history(table) if version.pushed_at is not None]
    earlier = [version for version in whole if current is not None and version.number < current]
    chosen = earlier[:1] if to is None else [version for version in whole if version.number == to]
    if not chosen:
        raise UnknownVersion("there is no earlier version" if to is None else f"there is no version {to}")
    number = chosen[0].number
    swap = {"version": number, "pushed_at": int(time.time())}
    table.write(
        [
            Update(key=POINTER, set=swap, expect={"version": current}),
            Update(key=_main(number), present=["body", "pushed_at"]),
        ]
    )
    return Version(number, chosen[0].pushed_at, current=True)


def _pointer(table: Table) -> Item:
    return table.get([POINTER]).get(POINTER) or {}


def _main(version: int) -> Key:
    return f"config#{version}", "main"


def _write_all(client: "DynamoDBClient", table_name: str, version: int, relay: RelayYaml) -> None:
    items = list(_items(version, relay))
    for start in range(0, len(items), 25):
        requests: Any = {table_name: [{"PutRequest": {"Item": item}} for item in items[start : start + 25]]}
        while requests:
            requests = client.batch_write_item(RequestItems=requests)["UnprocessedItems"]


def _items(version: int, relay: RelayYaml) -> Iterator[dict[str, Any]]:
    for kind, of_sources in (("door", relay.doors), ("sensor", relay.sensors)):
        for source, entries in of_sources.items():
            for entry, record in entries.items():
                body = record.model_dump_json(by_alias=True)
                yield _item(_partition(version, source), f"{kind}#{entry}", body)


def _item(pk: str, sk: str, body: str) -> dict[str, Any]:
    return {"pk": {"S": pk}, "sk": {"S": sk}, "body": {"S": body}}


def _partition(version: int, source: str) -> str:
    return f"config#{version}#{source}"
