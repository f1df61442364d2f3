"""Badges of several sites and days settled together: in few requests, and as if each were alone."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from relay.aws.table import Table
from relay.config.model import Config
from relay.deadline import BATCH, WAITED_FOR, Deadline, Pace
from relay.errors import Contended
from relay.occupancy.days import Day, operating_day
from relay.occupancy.ledger import Headcount
from relay.occupancy.rules import Badge
from relay.occupancy.settlement import Settlement
from relay.occupancy.turns import Turns
from tests.building import NOON_MS, badge
from tests.memory import Memory
from tests.moto_table import Ledger, many
from tests.rig import Clock

pytestmark = pytest.mark.slow

SITES = 40
CLOCK = {"locationType": "location", "timezone": "UTC", "resetAt": "04:00"}
CONFIG = Config.model_validate(
    {
        "places": {
            **{f"s{n}": {"locationId": f"s{n}", **CLOCK} for n in range(SITES)},
            **{
                f"s{n}-l1": {"locationId": f"s{n}-l1", "locationType": "zone", "within": f"s{n}"}
                for n in range(SITES)
            },
        }
    }
)


def at_site(number: int, event: str, person: str, direction: str = "in", at: int = NOON_MS) -> Badge:
    """A badge at the door of a site's first level, or of the site itself, out of it."""
    site, level = f"s{number}", f"s{number}-l1"
    one = badge(event, person, "in", "annex", at)
    entered = direction == "in"
    return replace(one, place=level if entered else site, target=level if entered else None)


def day_of(one: Badge) -> Day:
    """The operating day of a badge."""
    return operating_day(CONFIG, CONFIG.site(one.place), one.at)


def by_day(some: Iterable[Badge]) -> list[tuple[Day, Sequence[Badge]]]:
    """Badges by their days, in order of time."""
    days: dict[Day, list[Badge]] = {}
    for one in sorted(some, key=lambda one: one.order):
        days.setdefault(day_of(one), []).append(one)
    return [*days.items()]


def together(
    headcount: Headcount, some: Iterable[Badge], clock: Clock, pace: Pace = BATCH
) -> list[Sequence[Settlement] | None]:
    """Settle badges of several days at once."""
    return headcount.settle_together(by_day(some), CONFIG, Deadline(clock() + 20, clock), pace)


def people(table: Table, days: Iterable[Day]) -> Counter[str]:
    """The people in each place that has any, in all of these days."""
    counts = {place: count.people for day in days for place, count in Headcount(table).counts(day)}
    return Counter({place: number for place, number in counts.items() if number})


def inside(*numbers: int) -> Counter[str]:
    """One person on the level of each of these sites."""
    return Counter([place for number in numbers for place in (f"s{number}", f"s{number}-l1")])


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    """An empty ledger at noon."""
    with Ledger() as empty:
        yield empty


ONE_EACH = [at_site(number, f"e{number}", f"p{number}") for number in range(SITES)]


def test_requests(ledger: Ledger) -> None:
    """Badges of forty sites are read a hundred items at a time, and written in as few transactions."""
    together(
        Headcount(ledger.table, ledger.clock),
        [at_site(n, f"f{n}", "other") for n in range(SITES)],
        ledger.clock,
    )
    ledger.requests.clear()
    settled = together(Headcount(ledger.table, ledger.clock), ONE_EACH, ledger.clock)
    # A person, a marker, a site's counts and a note are four items a site to read, and two to write.
    assert ledger.requests == ["BatchGetItem"] * 2 + ["TransactWriteItems"]
    assert all(part is not None and part[0].facts for part in settled)
    assert people(ledger.table, map(day_of, ONE_EACH)) == inside(*range(SITES), *range(SITES))


def test_one_conflict(ledger: Ledger) -> None:
    """Where another container was at one of the sites, that one is left, and the others are written."""
    other = Headcount(ledger.other, ledger.clock)
    theirs = at_site(3, "f", "other")
    ledger.before("TransactWriteItems", lambda: together(other, [theirs], ledger.clock))
    settled = together(Headcount(ledger.table, ledger.clock), ONE_EACH[:8], ledger.clock)
    assert [number for number, part in enumerate(settled) if part is None] == [3]
    # The places of small sites are looked for in items of their own when they are first counted.
    assert ledger.requests == ["BatchGetItem"] * 2 + ["TransactWriteItems"] * 2
    assert people(ledger.table, map(day_of, ONE_EACH)) == inside(*range(8))


def test_held(ledger: Ledger) -> None:
    """What another transaction holds is left, and all of it where DynamoDB does not say what that is."""
    answers = [["None"] * 3 + ["TransactionConflict"] + ["None"] * 2, None]
    for codes, left in zip(answers, ([1], [0, 1]), strict=True):
        reasons = {"CancellationReasons": [{"Code": code} for code in codes]} if codes else {}
        code = "TransactionCanceledException" if codes else "TransactionInProgressException"
        ledger.fail("TransactWriteItems", {"Error": {"Code": code, "Message": ""}, **reasons})
        some = [at_site(number, f"{code} {number}", f"{code} {number}") for number in range(2)]
        settled = together(Headcount(ledger.table, ledger.clock), some, ledger.clock)
        assert [number for number, part in enumerate(settled) if part is None] == left


@pytest.mark.parametrize("code", ["ThrottlingException", "ValidationException"])
def test_a_fault_is_left_to_each_alone(ledger: Ledger, code: str) -> None:
    """Where DynamoDB refuses all of them, none is settled: one of them may be at fault."""
    ledger.fail("TransactWriteItems", {"Error": {"Code": code, "Message": ""}})
    assert together(Headcount(ledger.table, ledger.clock), ONE_EACH[:3], ledger.clock) == [None] * 3
    assert people(ledger.table, map(day_of, ONE_EACH)) == Counter()


def test_too_many_items_for_one_transaction() -> None:
    """A day that changes more than a transaction takes goes by itself; the others do not wait for it."""
    clock = Clock()
    crowd = [at_site(0, f"e{number}", f"p{number}", at=NOON_MS + number) for number in range(120)]
    headcount = Headcount(Memory(), clock)
    first, second = together(headcount, [*crowd, at_site(1, "f", "ann", at=NOON_MS + 500)], clock)
    assert first is None
    assert second is not None


def test_a_badge_that_was_early_twice() -> None:
    """Two receipts of one early badge, in two days, share a marker: the second is settled after the first."""
    clock = Clock()
    end = day_of(ONE_EACH[0]).end
    early = replace(ONE_EACH[0], at=end - 1000, vendor_at=end + 60_000)
    again = replace(early, at=end + 1000)
    headcount = Headcount(Memory(), clock)
    first, second = together(headcount, [early, again], clock)
    assert first is not None
    assert second is None
    [settled] = headcount.settle([again], day_of(again), CONFIG, Deadline(clock() + 20, clock))
    assert settled == Settlement((), "duplicate")


def test_a_resting_site() -> None:
    """Where one of the sites rests, the others are settled, and do not rest for it."""
    clock = Clock()
    turns = Turns(clock)
    with suppress(Contended), turns.at("s1", Deadline(clock() + 1, clock), WAITED_FOR.rest_seconds):
        raise Contended
    headcount = Headcount(Memory(), clock, turns)
    settled = together(headcount, ONE_EACH[:3], clock, WAITED_FOR)
    assert [part is None for part in settled] == [False, True, False]
    assert None not in together(headcount, [ONE_EACH[0], ONE_EACH[2]], clock, WAITED_FOR)


STEPS = st.tuples(
    st.integers(0, 2),
    st.sampled_from(("ann", "ben")),
    st.sampled_from(("in", "out")),
    st.integers(-2, 2),
    st.booleans(),
)


class Busy(Memory):
    """A table in which, before each request, the next of some badges of another container is settled."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(self._others)
        self.clock = clock
        self.theirs: list[Badge] = []

    def _others(self) -> None:
        if self.theirs:
            one = self.theirs.pop()
            waiting, self.theirs = self.theirs, []
            alone(Headcount(self, self.clock), [one], self.clock)
            self.theirs = waiting


def alone(headcount: Headcount, some: Sequence[Badge], clock: Clock) -> None:
    """Settle badges day by day."""
    pace = replace(BATCH, pauses=[0] * 20)
    for day, of_day in by_day(some):
        headcount.settle(of_day, day, CONFIG, Deadline(clock() + 20, clock), pace)


@many(300)
@given(st.lists(st.lists(STEPS, min_size=1, max_size=8), max_size=4))
@example([[(0, "ann", "in", -1, False), (0, "ann", "in", 1, False), (1, "ben", "in", 0, True)]])
def test_as_if_each_were_alone(batches: list[list[Any]]) -> None:
    """However sites, days and containers meet, every day ends with the people that its badges say."""
    clock = Clock()
    end = day_of(ONE_EACH[0]).end
    clock.now = end / 1000
    table = Busy(clock)
    known: list[Badge] = []
    for number, steps in enumerate(batches):
        ours: list[Badge] = []
        for index, (site, person, direction, seconds, is_theirs) in enumerate(steps):
            one = at_site(site, f"e{number}.{index}", person, direction, end + 1000 * seconds)
            (table.theirs if is_theirs else ours).append(one)
            known.append(one)
        headcount = Headcount(table, clock)
        settled = together(headcount, ours, clock) if ours else []
        for (_, of_day), part in zip(by_day(ours), settled, strict=True):
            if part is None:
                alone(headcount, of_day, clock)
        waiting, table.theirs = table.theirs, []
        alone(headcount, waiting, clock)
    for day, of_day in by_day(known):
        last = {one.person: one.target for one in of_day}
        expected = Counter(place for target in last.values() if target for place in CONFIG.path(target))
        assert people(table, [day]) == expected


def test_the_others_do_meet_ours() -> None:
    """What the property plays does come in between: else it would prove nothing."""
    clock = Clock()
    table = Busy(clock)
    # One before the read, one after it, and one before the write.
    table.theirs = [at_site(0, f"f{number}", f"other {number}") for number in range(3)]
    settled = together(Headcount(table, clock), ONE_EACH[:2], clock)
    assert [part is None for part in settled] == [True, False]
