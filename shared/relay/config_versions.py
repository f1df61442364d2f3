"""Versions of the configuration in the table, for operators: pushed, listed, read back, made current again.

`relay.config_store` says how they are stored, and reads the current one.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel

from relay.config import Config, Door, Sensor
from relay.config_file import RelayYaml
from relay.config_store import LAYOUT, POINTER, main_key, part_key, partition, read, read_main, readable
from relay.dynamo import Item, Table, Update

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

M = TypeVar("M", bound=BaseModel)
PART_CHARACTERS = 90_000


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
    parts = _parts(relay.config().model_dump_json(by_alias=True))
    _write_all(client, table_name, version, relay, parts)
    now = int(time.time())
    main = {"body": parts[0], "parts": len(parts), "pushed_at": now}
    current_one = {"version": version, "pushed_at": now, "layout": LAYOUT}
    swap = Update(key=POINTER, set=current_one, expect={"version": current})
    table.write([Update(key=main_key(version), set=main, expect={"body": None}), swap])
    return version


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
    if number != current and (main is None or "pushed_at" not in main):
        raise UnknownVersion(f"there is no version {number}")
    config = read_main(table, number, main)
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
            str(item["sk"]).removeprefix(prefix): read(model, item)
            for item in table.query(partition(version, source), prefix)
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
            Update(key=main_key(number), present=["body", "pushed_at"]),
        ]
    )
    return Version(number, chosen[0].pushed_at, current=True)


def _pointer(table: Table) -> Item:
    return readable(table.get([POINTER]).get(POINTER)) or {}


def _parts(text: str) -> list[str]:
    """A text in parts that fit into an item each, whatever their characters take as UTF-8."""
    return [text[start : start + PART_CHARACTERS] for start in range(0, len(text), PART_CHARACTERS)]


def _write_all(
    client: "DynamoDBClient", table_name: str, version: int, relay: RelayYaml, parts: Sequence[str]
) -> None:
    items = [_item(*part_key(version, number), body) for number, body in enumerate(parts) if number]
    items += _items(version, relay)
    for start in range(0, len(items), 25):
        requests: Any = {table_name: [{"PutRequest": {"Item": item}} for item in items[start : start + 25]]}
        while requests:
            requests = client.batch_write_item(RequestItems=requests)["UnprocessedItems"]


def _items(version: int, relay: RelayYaml) -> Iterator[dict[str, Any]]:
    for kind, of_sources in (("door", relay.doors), ("sensor", relay.sensors)):
        for source, entries in of_sources.items():
            for entry, record in entries.items():
                body = record.model_dump_json(by_alias=True)
                yield _item(partition(version, source), f"{kind}#{entry}", body)


def _item(pk: str, sk: str, body: str) -> dict[str, Any]:
    return {"pk": {"S": pk}, "sk": {"S": sk}, "body": {"S": body}}
