"""Where counts are stored: in their site's item as far as it has room, and nowhere twice."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.aws.attributes import serialize
from relay.aws.table import Conflict, Item, Key
from relay.occupancy.counts import (
    MOST_WITHIN,
    WITHIN,
    count_in,
    count_updates,
    counts_in,
    next_version,
    site_key,
)
from relay.occupancy.days import Day, operating_day
from relay.occupancy.reported import count_key
from relay.occupancy.rules import Count
from tests.building import CONFIG, NOON_MS, PLACES, badge
from tests.counts import IN, TODAY, Counts
from tests.memory import Memory

SITE = site_key(TODAY.key)
SOME = Count(people=1, version=1, at=NOON_MS, event_id="e", source="kisi", name="here")


@pytest.fixture
def ledger() -> Iterator[Counts]:
    """An empty ledger at noon."""
    with Counts() as counts:
        yield counts


def within(items: Mapping[Key, Item]) -> set[str]:
    """The places that are counted in the site's item."""
    return {name.removeprefix(WITHIN) for name in items.get(SITE, {}) if name.startswith(WITHIN)}


def own(items: Mapping[Key, Item]) -> set[str]:
    """The places that are counted in an item of their own."""
    return {place for place in PLACES if place != "hq" and count_key(TODAY.key, place) in items}


def write(table: Memory, counts: Mapping[str, Count], found: Mapping[Key, Item]) -> None:
    """Write counts by what was read."""
    table.write(count_updates(TODAY, counts, found))


@pytest.mark.parametrize(
    "day", [TODAY, TODAY.for_source(shadowed=True), operating_day(CONFIG, "annex", NOON_MS)]
)
def test_site(day: Day) -> None:
    """The item of a day's site is that of the site's own count, in its shadow too."""
    assert site_key(day.key) == count_key(day.key, day.site)


def test_first_come() -> None:
    """The first five places are counted in the site's item, further ones in items of their own."""
    table = Memory()
    for number, place in enumerate(PLACES[1:], 1):
        write(table, {place: SOME, "hq": SOME}, dict(table.items))
        assert len(within(table.items)) == min(number, MOST_WITHIN)
    assert own(table.items) == {*PLACES[1 + MOST_WITHIN :]}


def test_without_the_site() -> None:
    """Where a site is not counted, as a sensor watches it, its places have items of their own."""
    table = Memory()
    write(table, {"l1": SOME}, {})
    assert (within(table.items), own(table.items)) == (set(), {"l1"})
    write(table, {"l1": SOME, "hq": SOME}, dict(table.items))
    assert (within(table.items), own(table.items)) == (set(), {"l1"})


@pytest.mark.parametrize("first", [["l1"], ["l1", "hq"]], ids=["without the site", "with the site"])
def test_first_badges_at_once(first: Sequence[str]) -> None:
    """Of two that count a place for the first time, each in another item, one is refused and reads again."""
    table = Memory()
    second = ["l1"] if "hq" in first else ["l1", "hq"]
    write(table, dict.fromkeys(first, SOME), {})
    with pytest.raises(Conflict):
        write(table, dict.fromkeys(second, SOME), {})


KEPT = [st.lists(st.sampled_from(PLACES), min_size=1, max_size=4, unique=True), st.integers(0, 3)]


@given(st.lists(st.tuples(*KEPT), max_size=30))
def test_nowhere_twice(writes: list[tuple[list[str], int]]) -> None:
    """Whatever is written by whatever was read before, each place is counted once, and as it was written."""
    table, truth = Memory(), dict[str, Count]()
    read: list[Mapping[Key, Item]] = [{}]
    for number, (places, ago) in enumerate(writes, 1):
        counts = {place: Count(people=number, version=number) for place in places}
        try:
            write(table, counts, read[-1 - min(ago, len(read) - 1)])
        except Conflict:
            assert ago, "what was read last is as it is"
        else:
            truth |= counts
        read.append(dict(table.items))
        assert within(table.items).isdisjoint(own(table.items))
        assert len(within(table.items)) <= MOST_WITHIN
        assert dict(counts_in(TODAY, table.items)) == truth


@pytest.mark.parametrize("place", ["hq", "l1", "l2"], ids=["the site", "within", "of its own"])
def test_next_version(place: str) -> None:
    """A version is raised wherever its count is, and nothing else; never where it is another by now."""
    table = Memory()
    for other in ("l1", "l3", "l4", "l1-a", "l1-b", "l2"):
        write(table, {other: SOME, "hq": SOME}, dict(table.items))
    update = next_version(TODAY.key, place, 1, table.items)
    assert update is not None
    table.write([update])
    counts = dict(counts_in(TODAY, table.items))
    assert {name for name, count in counts.items() if count != SOME} == {place}
    assert counts[place].version == 2
    assert next_version(TODAY.key, place, 1, table.items) is None
    with pytest.raises(Conflict):
        table.write([update])


def test_next_version_of_nothing() -> None:
    """What has expired has no next version."""
    assert next_version(TODAY.key, "l1", 1, {}) is None


def test_forgotten(ledger: Counts) -> None:
    """When a site's item is gone, its counts begin anew, and nobody is counted below nothing."""
    ledger.badge(IN)
    ledger.forget(SITE)
    ledger.badge(badge("e2", "ben", "in", "l1", NOON_MS + 1))
    ledger.badge(badge("e3", "ann", "out", "hq", NOON_MS + 2))
    assert ledger.people() == {}
    assert count_in(TODAY, "l1", {key: ledger.item(key) or {} for key in [SITE]}).version == 2


def test_a_kilobyte(ledger: Counts) -> None:
    """A site's item with all its places is written for one unit, with ids and names as customers have."""
    location = "d0fa9f18-6f0a-4f0e-9a43-1d1b6f3a77c{}"
    site = location.format("s")
    day = Day(site, TODAY.date, TODAY.start, TODAY.end)
    count = Count(
        people=1_234,
        version=12_345,
        at=NOON_MS,
        event_id="0a03da5a-a46c-5d3a-ade1-2e08940ef436",
        source="kisi-sydney",
        name="sydney-level-3",
        type="level",
    )
    places = [site, *map(location.format, range(MOST_WITHIN))]
    [update, *checks] = count_updates(day, dict.fromkeys(places, count), {})
    assert len(checks) == MOST_WITHIN
    assert size({"pk": update.key[0], "sk": update.key[1], **update.set}) <= 1_024


def size(item: Mapping[str, Any]) -> int:
    """What DynamoDB counts for an item, in bytes: `CapacityUnitCalculations` in its guide for developers."""
    return sum(len(name) + _size(value) for name, value in serialize(item).items())


def _size(attribute: Mapping[str, Any]) -> int:
    [(kind, value)] = attribute.items()
    match kind:
        case "S":
            return len(value.encode())
        case "N":
            return (len(value) + 1) // 2 + 1
        case "L":
            return 3 + sum(1 + _size(entry) for entry in value)
        case _:
            return 1
