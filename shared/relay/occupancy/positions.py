"""How positions are stored: their keys, their attributes, and what these say."""

from typing import Any

from relay.aws.table import Item, Key, Update
from relay.occupancy.days import KEPT_SECONDS, Day
from relay.occupancy.reported import shard
from relay.occupancy.rules import Position


def position_key(day: Day, person: str) -> Key:
    """Where a person's position in a day is."""
    return f"people#{day.key}#{shard(person)}", f"person#{person}"


def position_update(day: Day, person: str, position: Position) -> Update:
    """A person's position, where it still has the revision that was read."""
    values: dict[str, Any] = {
        "path": list(position.path),
        "at": position.at,
        "event": position.event,
        "moved": position.moved,
        "revision": position.revision + 1,
        "expires_at": day.end // 1000 + KEPT_SECONDS,
    }
    # What has no revision yet must not be there: somebody else may have made it since it was read.
    return Update(key=position_key(day, person), set=values, expect={"revision": position.revision or None})


def position_of(item: Item | None) -> Position:
    """A position as it is stored."""
    if item is None:
        return Position()
    return Position(
        path=tuple(item["path"]),
        at=item["at"],
        event=item["event"],
        moved=item.get("moved", False),
        revision=item["revision"],
    )
