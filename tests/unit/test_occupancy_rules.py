"""Headcount: what a badge makes of positions and counts, in memory."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.config.model import Door
from relay.events import BadgeEvent, Direction
from relay.occupancy.days import Day, operating_day
from relay.occupancy.rules import (
    Badge,
    Count,
    Fact,
    Position,
    through,
)
from relay.occupancy.settlement import Changes, Ledger, Settlement, settle
from tests.building import CONFIG, NOON_MS, PLACES, badge, badges, disordered, positions, truth

TODAY = operating_day(CONFIG, "hq", NOON_MS)
MINUTE = 60_000


class Memory:
    """A ledger of one day in two dictionaries. `told` is all that Calven has been told, in order."""

    def __init__(self, day: Day = TODAY, *, closed: bool = False, next_day: Iterable[str] = ()) -> None:
        self.day, self.closed_at, self.next_day = day, day.end if closed else None, frozenset(next_day)
        self.positions: dict[str, Position] = {}
        self.counts: dict[str, Count] = {}
        self.early: set[str] = set()
        self.told: list[Fact] = []

    def badge(self, badge: Badge, *, tell: bool = True) -> Settlement:
        """Settle a badge, and tell Calven."""
        [settled] = self.settle([badge], tell=tell).settlements
        return settled

    def settle(self, some: Sequence[Badge], apart: int = 0, *, tell: bool = True) -> Changes:
        """Settle badges together, and tell Calven."""
        positions = {one.person: self.positions.get(one.person, Position()) for one in some}
        paths = (*(CONFIG.path(one.place) for one in some), *(p.path for p in positions.values()))
        counts = {place: self.counts.get(place, Count()) for path in paths for place in path}
        ledger = Ledger(self.day, positions, counts, self.closed_at, self.next_day, frozenset(self.early))
        changes = settle(some, ledger, CONFIG, apart)
        self.early |= {one.id for one in some if one.early}
        self.positions |= changes.positions
        self.counts |= changes.counts
        if tell:
            self.tell([fact for settled in changes.settlements for fact in settled.facts])
        return changes

    def tell(self, facts: Sequence[Fact]) -> None:
        """Calven accepts these facts."""
        self.told += facts
        for fact in facts:
            count = self.counts[fact.place]
            self.counts[fact.place] = replace(count, reported=max(count.reported, fact.version))

    def people(self) -> Counter[str]:
        """The people in each place that has any."""
        return Counter({place: count.people for place, count in self.counts.items() if count.people})

    def where(self) -> dict[str, str | None]:
        """Where everybody is."""
        return {person: next(iter(position.path), None) for person, position in self.positions.items()}


def run(some: Iterable[Badge]) -> Memory:
    """What the ledger holds after these badges."""
    memory = Memory()
    for one in some:
        memory.badge(one)
    return memory


def counted(facts: Iterable[Fact]) -> dict[str, int | None]:
    """People by place, as the facts tell."""
    return {fact.place: fact.people for fact in facts}


@pytest.mark.parametrize(
    ("before", "passage", "told"),
    [
        (None, ("in", "l1-a"), {"l1-a": 1, "l1": 1, "hq": 1}),
        (None, ("in", "hq"), {"hq": 1}),
        ("l1-a", ("in", "l1-b"), {"l1-a": 0, "l1-b": 1}),
        ("l1-a", ("in", "l2-a"), {"l1-a": 0, "l1": 0, "l2-a": 1, "l2": 1}),
        ("l1-a", ("out", "l1-a"), {"l1-a": 0}),
        ("l1-a", ("out", "l1"), {"l1-a": 0, "l1": 0}),
        ("l1-a", ("out", "hq"), {"l1-a": 0, "l1": 0, "hq": 0}),
        ("l1-a", ("in", "l1"), {"l1-a": 0}),
        ("l1-a", ("in", "l1-a"), {}),
        ("hq", ("in", "l2-a"), {"l2-a": 1, "l2": 1}),
        (None, ("out", "l1-a"), {"l1": 1, "hq": 1}),
        (None, ("out", "hq"), {}),
        ("l2-a", ("out", "l1-a"), {"l2-a": 0, "l2": 0, "l1": 1}),
    ],
)
def test_who_is_counted_where(
    before: str | None, passage: tuple[Direction, str], told: dict[str, int]
) -> None:
    """The places left and entered change, each with its new count in one settlement, and no others."""
    memory = run([badge("e1", "ann", "in", before)] if before else [])
    changes = memory.settle([badge("e2", "ann", *passage, at=NOON_MS + 1)])
    [settled] = changes.settlements
    assert counted(settled.facts) == told
    assert settled.reason == ("" if told else "unchanged")
    assert set(changes.counts) == set(told)


def test_second_door() -> None:
    """Somebody who enters again without having left, through whatever door, is counted once."""
    memory = run(badge(f"e{n}", "ann", "in", place, NOON_MS + n) for n, place in enumerate(PLACES))
    assert memory.people() == {"l2-a": 1, "l2": 1, "hq": 1}


def test_several_people() -> None:
    """Counts are absolute: everybody inside is in them."""
    memory = run(badge(f"e{n}", f"person {n}", "in", "l1", NOON_MS + n) for n in range(5))
    assert [fact.people for fact in memory.told if fact.place == "hq"] == [1, 2, 3, 4, 5]


@given(badges())
def test_oracle(some: list[Badge]) -> None:
    """After any badges, the counts are those of people counted one by one where they badged last."""
    memory = run(some)
    assert memory.people() == truth(some)
    assert memory.where() == positions(some)


@given(badges().flatmap(lambda some: st.tuples(st.just(some), disordered(some))))
def test_disorder(runs: tuple[list[Badge], list[Badge]]) -> None:
    """Any order and any repetition of badges end in the same counts and positions as the ordered run."""
    ordered, other = (run(some) for some in runs)
    assert other.people() == ordered.people()
    assert other.where() == ordered.where()


@given(badges().flatmap(disordered))
def test_calven_is_told_the_end(some: list[Badge]) -> None:
    """What Calven was told last about a place, by time, is the count in the end."""
    memory = run(some)
    latest = {fact.place: fact.people for fact in sorted(memory.told, key=lambda fact: fact.at)}
    assert {place: people for place, people in latest.items() if people} == memory.people()


@given(badges(spread_ms=2000).flatmap(disordered))
def test_times_increase(some: list[Badge]) -> None:
    """The times told about a place strictly increase, none is before its badge, and none is told twice."""
    memory = Memory()
    for one in some:
        assert all(fact.at >= one.at for fact in memory.badge(one).facts)
    for place in PLACES:
        times = [fact.at for fact in memory.told if fact.place == place]
        assert times == sorted(set(times))
    ids = [fact.event_id for fact in memory.told]
    assert len(ids) == len(set(ids))


@st.composite
def batches(draw: st.DrawFn) -> tuple[list[Badge], list[list[Badge]]]:
    """Badges, and how they are settled: in any order, some of them repeated, several at a time."""
    some = draw(badges(spread_ms=30_000))
    left, parts = draw(disordered(some)), []
    while left:
        size = draw(st.integers(1, len(left)))
        parts.append(left[:size])
        left = left[size:]
    return some, parts


@given(batches(), st.sampled_from((0, 1, 10_000)))
def test_together(found: tuple[list[Badge], list[list[Badge]]], apart: int) -> None:
    """However badges are settled together, the end is that of one by one, and Calven is told it."""
    some, parts = found
    memory = Memory()
    for part in parts:
        memory.settle(part, apart)
    assert memory.people() == truth(some)
    assert memory.where() == positions(some)
    latest = {fact.place: fact.people for fact in sorted(memory.told, key=lambda fact: fact.at)}
    assert {place: people for place, people in latest.items() if people} == memory.people()
    ids = [fact.event_id for fact in memory.told]
    assert len(ids) == len(set(ids))


@given(batches(), st.sampled_from((1, 5000, 10_000)))
def test_thinned(found: tuple[list[Badge], list[list[Badge]]], apart: int) -> None:
    """Of one settlement a place is told at times so far apart; a merged badge is in what others tell."""
    memory = Memory()
    for part in found[1]:
        settled = memory.settle(part, apart).settlements
        facts = [fact for one in settled for fact in one.facts]
        for place in PLACES:
            times = sorted(fact.at for fact in facts if fact.place == place)
            assert all(after - before >= apart for before, after in pairwise(times))
        for one in settled:
            assert (one.reason == "merged") == bool(one.merged_into)
            assert one.merged_into <= {fact.event_id for fact in facts}
            assert bool(one.facts) != bool(one.reason)


@given(badges())
def test_every_change_is_told(some: list[Badge]) -> None:
    """With nothing asked to be apart, badges settled together tell what they tell one by one."""
    in_order = sorted(some, key=lambda one: one.order)
    together, one_by_one = Memory(), run(in_order)
    together.settle(in_order)
    assert sorted(together.told, key=str) == sorted(one_by_one.told, key=str)


def test_merged() -> None:
    """Of three entries within ten seconds only the last is told, for all three; one far before is too."""
    some = [
        badge(f"e{n}", f"p{n}", "in", "hq", NOON_MS + at) for n, at in enumerate((0, 20_000, 24_000, 29_999))
    ]
    settled = Memory().settle(some, apart=10_000).settlements
    assert [[fact.people for fact in one.facts] for one in settled] == [[1], [], [], [4]]
    assert [one.reason for one in settled] == ["", "merged", "merged", ""]
    assert settled[1].merged_into == settled[2].merged_into == {settled[3].facts[0].event_id}


@pytest.mark.parametrize("late", [False, True])
def test_together_into_a_closed_day(late: bool) -> None:
    """Badges that come late together tell each change, and the day's zero once, after the last."""
    memory = Memory(closed=True, next_day=("hq",) if late else ())
    memory.settle([badge(f"e{n}", f"p{n}", "in", "hq", NOON_MS + n) for n in range(3)])
    told = [(fact.people, fact.at) for fact in memory.told]
    assert told == [(1, NOON_MS), (2, NOON_MS + 1), (3, NOON_MS + 2), *([] if late else [(0, TODAY.end)])]


def early(event_id: str, direction: Direction, ahead: int, received: int) -> Badge:
    """A badge of Ann's at the building's door, whose clock is some milliseconds ahead of the receipt."""
    at = datetime.fromtimestamp((NOON_MS + received + ahead) / 1000, UTC)
    event = BadgeEvent(event_id=event_id, at=at, door="door", person="ann")
    door = Door(place="hq", direction=direction)
    return through(event, door, "kisi", (NOON_MS + received) / 1000, CONFIG)


def test_early_badge_again() -> None:
    """A badge of a fast clock that comes again, received later, does not undo what happened in between."""
    memory = run([early("e1", "in", 60_000, 0), early("e2", "out", 0, 1000)])
    [settled] = memory.settle([early("e1", "in", 58_000, 2000)]).settlements
    assert settled == Settlement((), "duplicate")
    [settled] = memory.settle([early("e1", "in", 0, 60_000)]).settlements
    assert settled == Settlement((), "duplicate")
    assert memory.people() == {}


def test_early_badge_whose_marker_was_not_seen() -> None:
    """The badge that made the position is known again behind another one, without its marker too."""
    memory = run([early("e1", "in", 60_000, 0)])
    memory.early.clear()
    again = memory.settle([early("e2", "out", 0, 1000), early("e1", "in", 58_000, 2000)]).settlements
    assert again[1] == Settlement((), "duplicate")
    assert memory.people() == {}


def test_early_badge_that_came_too_late() -> None:
    """A badge of a fast clock that was superseded is known when it comes again, too."""
    memory = run([early("e2", "out", 0, 1000), early("e1", "in", 60_000, 0)])
    [settled] = memory.settle([early("e1", "in", 58_000, 2000)]).settlements
    assert settled == Settlement((), "duplicate")
    assert memory.people() == {}


def test_same_id_from_two_sources() -> None:
    """Two systems may give two passages of one person the same id: each counts."""
    memory = run([badge("7", "ann", "in", "hq", source="kisi")])
    memory.badge(badge("7", "ann", "out", "hq", NOON_MS + 1, source="verkada"))
    assert memory.people() == {}


def test_own_time() -> None:
    """A fact has its event's own time where it can, else the next free millisecond."""
    memory = Memory()
    facts = [
        memory.badge(badge(f"e{n}", f"p{n}", "in", "hq", NOON_MS + at)).facts
        for n, at in enumerate((5, 9, 9, 7))
    ]
    assert [fact.at - NOON_MS for [fact] in facts] == [5, 9, 10, 11]


def test_end_of_the_day() -> None:
    """However many badges come in a day's last millisecond, none is told a time of the next day."""
    memory = run(badge(f"e{n}", f"p{n}", "in", "hq", TODAY.end - 1) for n in range(4))
    assert {fact.at for fact in memory.told} == {TODAY.end - 1}
    assert memory.people() == {"hq": 4}


def test_start_of_the_day() -> None:
    """A badge at the instant of the reset is told after the zero of the day before, not together with it."""
    memory = Memory(operating_day(CONFIG, "hq", TODAY.end))
    [fact] = memory.badge(badge("e1", "ann", "in", "hq", TODAY.end)).facts
    assert fact.at > TODAY.end


def test_duplicate() -> None:
    """An exact duplicate of a badge that has been told tells nothing."""
    memory = run([badge("e1", "ann", "in", "l1")])
    changes = memory.settle([badge("e1", "ann", "in", "l1")])
    assert changes == Changes({}, {}, [Settlement((), "duplicate")])


def test_older() -> None:
    """A badge that is older than the person's last one moves nobody."""
    memory = run([badge("e2", "ann", "in", "l1", NOON_MS + 1)])
    changes = memory.settle([badge("e1", "ann", "out", "hq")])
    assert changes == Changes({}, {}, [Settlement((), "superseded")])


@pytest.mark.parametrize("again", [badge("e1", "ann", "in", "l1"), badge("e0", "ann", "out", "hq")])
def test_unreported_is_told_again(again: Badge) -> None:
    """What has not been reported is told again, under the same id, by a duplicate and by an older badge."""
    memory = Memory()
    first = memory.badge(badge("e1", "ann", "in", "l1"), tell=False)
    assert {fact.event_id for fact in memory.badge(again).facts} >= {
        fact.event_id for fact in first.facts if fact.place in CONFIG.path(again.place)
    }


def test_unreported_on_the_path() -> None:
    """A badge tells the unreported counts around its door too, as they are now."""
    memory = Memory()
    memory.badge(badge("e1", "ann", "in", "l1-a"), tell=False)
    assert counted(memory.badge(badge("e2", "ben", "in", "l1")).facts) == {"l1": 2, "hq": 2}
    assert counted(memory.badge(badge("e3", "ben", "in", "l1-a", NOON_MS + 1)).facts) == {"l1-a": 2}


def test_never_below_zero() -> None:
    """A count that was lost does not become negative."""
    memory = run([badge("e1", "ann", "in", "l1")])
    memory.counts.clear()
    assert counted(memory.badge(badge("e2", "ann", "out", "l1", NOON_MS + 1)).facts) == {"l1": 0}


def test_place_that_is_gone() -> None:
    """Who was in a place that the configuration has no more still leaves it."""
    memory = Memory()
    memory.positions["ann"] = Position(("demolished", "hq"), NOON_MS, "e1")
    memory.counts |= {place: Count(people=1, name=place) for place in ("demolished", "hq")}
    told = counted(memory.badge(badge("e2", "ann", "in", "l1", NOON_MS + 1)).facts)
    assert told == {"demolished": 0, "l1": 1}


def test_late_into_a_closed_day() -> None:
    """A late badge into a day that was reported empty is told with its own time, then the zero once more."""
    memory = Memory(closed=True)
    facts = memory.badge(badge("e1", "ann", "in", "l1")).facts
    assert sorted((fact.at, fact.place, fact.people) for fact in facts) == [
        (NOON_MS, "hq", 1),
        (NOON_MS, "l1", 1),
        (TODAY.end, "hq", 0),
        (TODAY.end, "l1", 0),
    ]
    assert len({fact.event_id for fact in facts}) == 4
    assert memory.badge(badge("e1", "ann", "in", "l1")).facts == ()


def test_late_into_a_closed_day_and_told_since() -> None:
    """The zero of a closed day is not told where something newer was told already."""
    memory = Memory(closed=True, next_day=["hq"])
    facts = memory.badge(badge("e1", "ann", "in", "l1")).facts
    assert [(fact.place, fact.people) for fact in facts if fact.at == TODAY.end] == [("l1", 0)]
    assert sorted(fact.place for fact in facts if fact.at == NOON_MS) == ["hq", "l1"]
    assert memory.badge(badge("e1", "ann", "in", "l1")).facts == ()


@pytest.mark.parametrize("next_day", [[], ["hq"]])
def test_late_badge_is_told_again(next_day: list[str]) -> None:
    """What a late badge made is told until it is reported, under the same ids."""
    memory = Memory(closed=True, next_day=next_day)
    first = memory.badge(badge("e1", "ann", "in", "hq"), tell=False).facts
    assert memory.badge(badge("e1", "ann", "in", "hq")).facts == first
    assert memory.badge(badge("e1", "ann", "in", "hq")).facts == ()


@given(st.lists(st.tuples(st.sampled_from(("ann", "ben")), st.sampled_from(PLACES), st.integers(0, 5))))
def test_late_badges_in_any_order(found: list[tuple[str, str, int]]) -> None:
    """Whatever comes late into a closed day, the last thing told about each place is that it is empty."""
    memory = Memory(closed=True)
    for number, (person, place, minute) in enumerate(found):
        memory.badge(badge(f"e{number}", person, "in", place, NOON_MS + MINUTE * minute))
    latest = counted(sorted(memory.told, key=lambda fact: fact.at))
    assert set(latest.values()) <= {0}
