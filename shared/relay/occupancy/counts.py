"""How counts are stored: where each of them is, its attributes, and what these say.

`day#<day>` / `count#<place>` has a place's count. That of the site has room for five more counts, each a list
under `within#<place>`: a badge that changes the site's count and one of these writes one item, not two, for
each of which a transaction bills two units. All six are about a kilobyte, which is what a unit holds.

Which places these are is decided when each is first counted in a day. That write also checks that the place
is not counted in its other possible item, so nobody counts it in both.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from relay.aws.table import Item, Key, Update
from relay.occupancy.days import KEPT_SECONDS, Day
from relay.occupancy.reported import Told, count_key, note_key, told_of
from relay.occupancy.rules import Count

MOST_WITHIN = 5
"""So many places are counted in their site's item."""
WITHIN = "within#"
FIELDS = ("people", "version", "at", "event_id", "source", "ended", "late", "name", "type", "moved")
"""What is stored of a count: attributes of its item, or the entries of its list."""
VERSION = FIELDS.index("version")

Found = Mapping[Key, Item]
"""Items that were read, by their keys."""


def partition(day: Day) -> str:
    """Where the counts of a day are, and what is known of the day itself."""
    return f"day#{day.key}"


def site_key(day: str) -> Key:
    """Where the count of a site is in one of its days (by the day's key)."""
    site, _, _began = day.removesuffix("#shadow").rpartition("#")
    return count_key(day, site)


def is_within(day: Day, place: str, found: Found) -> bool:
    """Whether a place is counted in its site's item, by what was read."""
    return f"{WITHIN}{place}" in found.get(site_key(day.key), {})


def count_in(day: Day, place: str, found: Found) -> Count:
    """A place's count among the items that were read; the note of its day is one of them."""
    told = told_of(found.get(note_key(day.key)), place)
    listed = found.get(site_key(day.key), {}).get(f"{WITHIN}{place}")
    if listed is not None:
        return _count_of(dict(zip(FIELDS, listed, strict=True)), told)
    item = found.get(count_key(day.key, place))
    return Count() if item is None else _count_of(item, told)


def counts_in(day: Day, found: Found) -> Iterator[tuple[str, Count]]:
    """Each place's count, of all items of a day."""
    for (_, name), item in found.items():
        place = name.removeprefix("count#")
        # Two notes are there too: that the day is closed, and what has been reported of it.
        if place == name:
            continue
        yield place, count_in(day, place, found)
        for attribute in item:
            within = attribute.removeprefix(WITHIN)
            if within != attribute:
                yield within, count_in(day, within, found)


def count_updates(day: Day, counts: Mapping[str, Count], found: Found) -> list[Update]:
    """Write these counts, without what was reported of them. `found` has the items in which they may be.

    Refused where one of these items has another revision than was read.
    """
    site = site_key(day.key)
    new = [place for place in counts if _is_new(day, place, found)]
    entering = new[: _room(day, counts, found)]
    values: dict[Key, dict[str, Any]] = {}
    for place, count in counts.items():
        stored = {name: getattr(count, name) for name in FIELDS}
        if place in entering or is_within(day, place, found):
            values.setdefault(site, {})[f"{WITHIN}{place}"] = list(stored.values())
        else:
            values.setdefault(count_key(day.key, place), {}).update(stored)
    updates = [_versioned(day, key, some, found) for key, some in values.items()]
    # Who counts a place for the first time checks the other item as well, in which somebody else may do so.
    updates += [_unchanged(count_key(day.key, place), found) for place in entering]
    if len(new) > len(entering) and site not in values:
        updates.append(_unchanged(site, found))
    return updates


def next_version(day: str, place: str, version: int, found: Found) -> Update | None:
    """Raise the version of a count of a day (by its key); None where it has another version by now."""
    site, name = site_key(day), f"{WITHIN}{place}"
    listed = found.get(site, {}).get(name)
    if listed is not None:
        if listed[VERSION] != version:
            return None
        raised = [*listed[:VERSION], version + 1, *listed[VERSION + 1 :]]
        return Update(key=site, set={name: raised}, expect={name: listed})
    key = count_key(day, place)
    if key not in found or found[key]["version"] != version:
        return None
    return Update(key=key, set={"version": version + 1}, expect={"version": version})


def _is_new(day: Day, place: str, found: Found) -> bool:
    """Whether a place other than the site is not counted yet."""
    key = count_key(day.key, place)
    return key != site_key(day.key) and key not in found and not is_within(day, place, found)


def _room(day: Day, counts: Mapping[str, Count], found: Found) -> int:
    """For how many more places the site's item has room; it is there, or among the counts to be written."""
    item = found.get(site_key(day.key))
    if item is None and day.site not in counts:
        return 0
    return max(MOST_WITHIN - sum(name.startswith(WITHIN) for name in item or ()), 0)


def _versioned(day: Day, key: Key, values: Mapping[str, Any], found: Found) -> Update:
    revision = _revision(key, found)
    values = {**values, "revision": (revision or 0) + 1, "expires_at": day.end // 1000 + KEPT_SECONDS}
    return Update(key=key, set=values, expect={"revision": revision})


def _unchanged(key: Key, found: Found) -> Update:
    return Update(key=key, expect={"revision": _revision(key, found)})


def _revision(key: Key, found: Found) -> int | None:
    """The revision that was read; None where there was nothing, and must still be nothing."""
    item = found.get(key)
    return None if item is None else item["revision"]


def _count_of(stored: Mapping[str, Any], told: Told) -> Count:
    # Until there was a note of each day, it stood beside each count: of days that began then it still does.
    if stored.get("reported", 0) > told.reported:
        told = Told(stored["reported"], stored.get("reported_as"), told.queued)
    return Count(
        **{name: stored[name] for name in FIELDS},
        reported=told.reported,
        reported_as=told.reported_as,
        queued=max(stored.get("swept", 0), told.queued),
    )
