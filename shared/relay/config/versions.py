"""Versions of the configuration in the table, for operators: pushed, listed, read back, made current again.

`relay.config.store` says how they are stored, and reads the current one.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from relay.aws.table import Item, Table, Update
from relay.config.file import RelayYaml
from relay.config.model import Config, Door, Sensor, Tree
from relay.config.store import (
    LAYOUT,
    POINTER,
    entries,
    lineage_of,
    main_key,
    part_key,
    partition,
    read_main,
    readable,
)
from relay.occupancy.changeover import Changeover, lineage, watched_places

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

    from relay.deadline import Clock

# An item holds 400 kB, and a character takes up to four bytes.
PART_CHARACTERS = 90_000
AT_ONCE = 25
"""So many items DynamoDB stores in a request."""
WRITERS = 8
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Version:
    """A version that was pushed whole. `pushed_at` (Unix seconds) is None where that was not noted."""

    number: int
    pushed_at: int | None
    current: bool


class UnknownVersion(Exception):
    """There is no such version, or not all of it."""


def push(
    client: "DynamoDBClient",
    table_name: str,
    relay: RelayYaml,
    progress: Progress | None = None,
    clock: "Clock" = time.time,
) -> int:
    """Store a new version, whole, and point to it last. Returns its number, which it has to itself.

    `progress` is told how many items were stored, and of how many. Who is inside stays where the version
    before had them until `relay.occupancy.relocation` has moved them.

    Raises `relay.aws.table.Conflict` when somebody else pushed meanwhile.
    """
    table = Table(client, table_name)
    pointer = _pointer(table)
    newest = pointer.get("newest")
    version = (newest or 0) + 1
    # The number is taken before anything is stored under it: two pushes never write into one version.
    table.write([Update(key=POINTER, set={"newest": version}, expect={"newest": newest})])
    parts = _parts(relay.config().model_dump_json(by_alias=True, exclude={"lineage"}))
    _write_all(client, table_name, version, relay, parts, progress)
    now = clock()
    # What was written so far is in no version that anybody reads: `main` makes it one.
    main = {"body": parts[0], "parts": len(parts), "pushed_at": int(now)}
    whole = Update(key=main_key(version), set=main, expect={"body": None})
    table.write([whole, _swapped(table, pointer, relay, version, now)])
    return version


def in_force(table: Table) -> Config | None:
    """The configuration that functions use, without doors and sensors; None before the first push."""
    pointer = _pointer(table)
    number = pointer.get("version")
    if number is None:
        return None
    config = read_main(table, number, table.get([main_key(number)]).get(main_key(number)))
    return config.model_copy(update={"lineage": lineage_of(pointer)})


def planned(table: Table, relay: RelayYaml, now: float) -> Changeover | None:
    """What a push of a configuration would change for who is inside; None before the first push."""
    old = in_force(table)
    if old is None:
        return None
    at = int(now * 1000)
    # No number has been taken yet; it is part of a new source's key at most.
    kept = lineage(old, relay, 0, at)
    new = relay.config().model_copy(update={"lineage": kept})
    old = old.model_copy(update={"lineage": kept})
    pointer = _pointer(table)
    before = watched_places(old, entries(table, pointer["version"], old, Sensor, "sensor#"))
    return Changeover(old, new, at, before, watched_places(new, relay.sensors))


def _swapped(table: Table, pointer: Item, tree: Tree, version: int, now: float) -> Update:
    """The pointer as it is once this version is the current one."""
    # Configurations are ordered by this time, even where an operator's clock goes backwards.
    at = max(int(now * 1000), pointer.get("swapped_at", 0) + 1)
    old = in_force(table) or Config()
    # People may still be where any of these had them, until the schedule has moved them all.
    behind = [*pointer.get("behind", ()), *([pointer["version"]] if "version" in pointer else [])]
    values = {
        "version": version,
        "pushed_at": int(now),
        "swapped_at": at,
        "layout": LAYOUT,
        # Without what says nothing: functions of the version before know no more than they have to.
        "lineage": lineage(old, tree, version, at).model_dump_json(exclude_defaults=True),
        "behind": [number for number in dict.fromkeys(behind) if number != version],
    }
    # By its version alone, a pointer that went away and came back would look untouched.
    expect = {name: pointer.get(name) for name in ("version", "swapped_at")}
    return Update(key=POINTER, set=values, expect=expect)


def history(table: Table) -> list[Version]:
    """Every version that is there whole, the newest first. Raises `TableUnavailable`."""
    pointer = _pointer(table)
    current, newest = pointer.get("version"), pointer.get("newest") or 0
    found = table.get([main_key(number) for number in range(1, newest + 1)])
    versions = (
        Version(number, found[main_key(number)].get("pushed_at"), number == current)
        for number in range(newest, 0, -1)
        if main_key(number) in found
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
    main = table.get([main_key(number)]).get(main_key(number))
    # The current one is whole, also where it was pushed before `pushed_at` was noted.
    if number != current and (main is None or "pushed_at" not in main):
        raise UnknownVersion(f"there is no version {number}")
    config = read_main(table, number, main)
    relay = RelayYaml(
        sources=config.sources,
        places=config.places,
        doors=entries(table, number, config, Door, "door#"),
        sensors=entries(table, number, config, Sensor, "sensor#"),
    )
    return RelayYaml.model_validate(relay.model_dump(by_alias=True, exclude_defaults=True))


def earlier_version(table: Table, to: int | None = None) -> Version:
    """An earlier whole version: that one, else the newest before the current one.

    Raises `UnknownVersion` and `TableUnavailable`.
    """
    current = _pointer(table).get("version")
    whole = [version for version in history(table) if version.pushed_at is not None]
    earlier = [version for version in whole if current is not None and version.number < current]
    chosen = earlier[:1] if to is None else [version for version in whole if version.number == to]
    if not chosen:
        raise UnknownVersion("there is no earlier version" if to is None else f"there is no version {to}")
    return chosen[0]


def rollback(table: Table, to: int | None = None) -> Version:
    """Make an earlier whole version current: that one, else the newest before the current one.

    Raises `UnknownVersion`, `TableUnavailable`, and `Conflict` when somebody else pushed meanwhile.
    """
    chosen = earlier_version(table, to)
    number = chosen.number
    tree = read_main(table, number, table.get([main_key(number)]).get(main_key(number)))
    swap = _swapped(table, _pointer(table), tree, number, time.time())
    # The version must be whole still when the pointer comes to name it.
    table.write([swap, Update(key=main_key(number), present=["body", "pushed_at"])])
    return Version(number, chosen.pushed_at, current=True)


def _pointer(table: Table) -> Item:
    return readable(table.get([POINTER]).get(POINTER)) or {}


def _parts(text: str) -> list[str]:
    """A text in parts that fit into an item each, whatever their characters take as UTF-8."""
    return [text[start : start + PART_CHARACTERS] for start in range(0, len(text), PART_CHARACTERS)]


def _write_all(
    client: "DynamoDBClient",
    table_name: str,
    version: int,
    relay: RelayYaml,
    parts: Sequence[str],
    progress: Progress | None,
) -> None:
    # The first part is `main` itself, which is written last.
    items = [_item(*part_key(version, number), body) for number, body in enumerate(parts) if number]
    items += _items(version, relay)

    def store(start: int) -> int:
        some = items[start : start + AT_ONCE]
        requests: Any = {table_name: [{"PutRequest": {"Item": item}} for item in some]}
        while requests:
            # What DynamoDB throttles comes back unwritten.
            requests = client.batch_write_item(RequestItems=requests)["UnprocessedItems"]
        return len(some)

    done = 0
    with ThreadPoolExecutor(WRITERS) as pool:
        for stored in pool.map(store, range(0, len(items), AT_ONCE)):
            done += stored
            if progress:
                progress(done, len(items))


def _items(version: int, relay: RelayYaml) -> Iterator[dict[str, Any]]:
    for kind, of_sources in (("door", relay.doors), ("sensor", relay.sensors)):
        for source, of_source in of_sources.items():
            for entry, record in of_source.items():
                body = record.model_dump_json(by_alias=True)
                yield _item(partition(version, source), f"{kind}#{entry}", body)


def _item(pk: str, sk: str, body: str) -> dict[str, Any]:
    return {"pk": {"S": pk}, "sk": {"S": sk}, "body": {"S": body}}
