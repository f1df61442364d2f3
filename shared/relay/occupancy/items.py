"""How positions and counts are stored: their keys, their attributes, and what these say."""

from collections.abc import Mapping
from typing import Any

from relay.aws.table import Item, Key, Update
from relay.occupancy.days import KEPT_SECONDS, Day
from relay.occupancy.reported import Told, count_key, note_key, shard, told_of
from relay.occupancy.rules import Count, Position

NOTHING_TOLD = Told()


def partition(day: Day) -> str:
    """Where the counts of a day are, and what is known of the day itself."""
    return f"day#{day.key}"


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
    }
    return _versioned(position_key(day, person), values, position.revision, day)


def count_update(day: Day, place: str, count: Count) -> Update:
    """A place's count, where it still has the revision that was read; without what was reported of it."""
    values: dict[str, Any] = {
        "people": count.people,
        "version": count.version,
        "at": count.at,
        "event_id": count.event_id,
        "source": count.source,
        "ended": count.ended,
        "late": count.late,
        "name": count.name,
        "type": count.type,
        "moved": count.moved,
    }
    return _versioned(count_key(day.key, place), values, count.revision, day)


def _versioned(key: Key, values: Mapping[str, Any], revision: int, day: Day) -> Update:
    values = {**values, "revision": revision + 1, "expires_at": day.end // 1000 + KEPT_SECONDS}
    # What has no revision yet must not be there: somebody else may have made it since it was read.
    return Update(key=key, set=values, expect={"revision": revision or None})


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


def count_in(day: Day, place: str, found: Mapping[Key, Item]) -> Count:
    """A place's count among the items that were read; the note of its day is one of them."""
    told = told_of(found.get(note_key(day.key)), place)
    return count_of(found.get(count_key(day.key, place)), told)


def count_of(item: Item | None, told: Told = NOTHING_TOLD) -> Count:
    """A count as it is stored, with what Calven has been told of it."""
    if item is None:
        return Count()
    # Until there was a note of each day, it stood beside each count: of days that began then it still does.
    if item.get("reported", 0) > told.reported:
        told = Told(item["reported"], item.get("reported_as"), told.queued)
    return Count(
        people=item["people"],
        version=item["version"],
        reported=told.reported,
        reported_as=told.reported_as,
        queued=max(item.get("swept", 0), told.queued),
        at=item["at"],
        event_id=item["event_id"],
        source=item["source"],
        ended=item["ended"],
        late=item["late"],
        name=item["name"],
        type=item["type"],
        moved=item["moved"],
        revision=item["revision"],
    )
