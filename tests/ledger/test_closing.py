"""The end of the operating day: who is still in, and badges that come around it."""

from collections import Counter
from collections.abc import Iterator
from functools import partial
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from relay.deadline import QUEUE_RESERVE_SECONDS, Deadline
from relay.errors import Contended
from relay.occupancy.days import operating_day
from relay.occupancy.rules import Badge, Fact
from tests.building import CONFIG, NOON_MS, PLACES, badge, config, truth
from tests.counts import IN, RESET, TODAY, Counts, settle
from tests.moto_table import FEW
from tests.rig import NOON

pytestmark = pytest.mark.slow

HOUR = 3600.0


@pytest.fixture
def ledger() -> Iterator[Counts]:
    """An empty ledger at noon."""
    with Counts() as counts:
        yield counts


def test_closing(ledger: Counts) -> None:
    """A day's end is told of each place that held somebody, at the reset's instant, by its last source."""
    ledger.badge(badge("e1", "ann", "in", "l1", source="kisi"))
    ledger.badge(badge("e2", "ben", "in", "l2", NOON_MS + 1, source="verkada"))
    ledger.badge(badge("e3", "ben", "out", "l2", NOON_MS + 2, source="verkada"))
    ledger.clock.now = RESET + 60
    told = ledger.pending()
    assert sorted((source, fact.place, fact.people, fact.at) for source, fact in told) == [
        ("kisi", "l1", 0, TODAY.end),
        ("verkada", "hq", 0, TODAY.end),
    ]
    assert ledger.pending() == told
    ledger.reports.mark_reported([fact for _, fact in told])
    assert ledger.pending() == []


@pytest.mark.parametrize("after", [-1.0, 0.0, 59.9])
def test_not_yet(ledger: Counts, after: float) -> None:
    """A day is closed one minute after its end: badges that are just being written are in by then."""
    ledger.badge(IN)
    ledger.clock.now = RESET + after
    assert ledger.close() == []
    ledger.badge(badge("e2", "ben", "in", "l1", TODAY.end - 1))
    assert ledger.people() == {"l1": 2, "hq": 2}
    ledger.clock.now = RESET + 60
    assert {fact.people for fact in ledger.close()} == {0}


def test_only_its_site(ledger: Counts) -> None:
    """Each site's day is closed by itself."""
    ledger.badge(IN)
    ledger.badge(badge("e2", "ben", "in", "annex"))
    ledger.clock.now = RESET + 60
    assert {fact.place for fact in ledger.close("annex")} == {"annex"}
    assert {fact.place for fact in ledger.close("hq")} == {"l1", "hq"}


@pytest.mark.parametrize("runs", [1, 3])
@pytest.mark.parametrize("days_late", [0, 1, 12, 14])
def test_run_late_or_not_at_all(ledger: Counts, days_late: int, runs: int) -> None:
    """Days of the last fifteen on which nothing ran are closed by the next run, however often it runs."""
    for back in range(3):
        ledger.clock.now = NOON + back * 24 * HOUR
        ledger.badge(badge(f"e{back}", "ann", "in", "l1", int(ledger.clock() * 1000)))
    ledger.clock.now = RESET + 2 * 24 * HOUR + days_late * 24 * HOUR + 60
    told = [fact for _ in range(runs) for fact in ledger.close()]
    closed = [operating_day(CONFIG, "hq", NOON_MS + back * 24 * 3600_000) for back in range(3)]
    expected = [(place, 0, day.end) for day in closed for place in ("hq", "l1")]
    too_old = 2 * max(days_late - 12, 0)
    assert sorted((fact.place, fact.people, fact.at) for fact in told) == sorted(expected[too_old:])


@pytest.mark.parametrize(
    ("zone", "days_before", "hours"), [("Australia/Sydney", 33, 23), ("America/New_York", 5, 25)]
)
def test_closing_around_a_clock_change(ledger: Counts, zone: str, days_before: int, hours: int) -> None:
    """Days across a clock change are closed at the reset hour of the wall clock."""
    there = config(zone, "04:00")
    headcount = ledger.headcount()
    ledger.clock.now = NOON - days_before * 24 * HOUR
    ends = []
    for number in range(5):
        one = badge(f"e{number}", "ann", "in", "hq", int(ledger.clock() * 1000))
        settle(headcount, [one], Deadline(ledger.clock() + 20, ledger.clock), there)
        ledger.clock.advance(24 * HOUR)
        ends += [fact.at for fact in ledger.close(there=there)]
    lengths = [(after - before) // 3_600_000 for before, after in pairwise(ends)]
    assert sorted(lengths) == sorted([24, 24, 24, hours])


def test_new_day(ledger: Counts) -> None:
    """A new day starts from zero: who forgot to badge out is counted once in it."""
    ledger.badge(IN)
    ledger.clock.now = RESET + 60
    ledger.close()
    ledger.clock.advance(4 * HOUR)
    settled = ledger.badge(badge("e2", "ann", "in", "l1", int(ledger.clock() * 1000)))
    assert {fact.people for fact in settled.facts} == {1}
    assert ledger.shown() == {"l1": 1, "hq": 1}


def test_late_into_a_closed_day(ledger: Counts) -> None:
    """A late badge counts in its own closed day: its history is told, and then the zero once more."""
    ledger.clock.now = RESET + 60
    ledger.close()
    facts = ledger.badge(badge("e1", "ann", "in", "hq")).facts
    assert [(fact.people, fact.at) for fact in facts] == [(1, NOON_MS), (0, TODAY.end)]
    assert ledger.close() == []
    assert ledger.shown() == {"hq": 0}


def test_late_into_a_closed_day_and_told_since(ledger: Counts) -> None:
    """After something newer was told of a place, a late badge tells its history only."""
    ledger.clock.now = RESET + 60
    ledger.close()
    ledger.badge(badge("e2", "ben", "in", "hq", TODAY.end + 30_000))
    facts = ledger.badge(badge("e1", "ann", "in", "l1")).facts
    assert sorted((f.place, f.people, f.at) for f in facts) == [
        ("hq", 1, NOON_MS),
        ("l1", 0, TODAY.end),
        ("l1", 1, NOON_MS),
    ]
    assert ledger.close() == []
    assert ledger.shown() == {"hq": 1, "l1": 0}


@pytest.mark.parametrize("before", [0, 1])
def test_closed_between_reading_and_writing(ledger: Counts, before: int) -> None:
    """A badge that was read before the day was closed, and is written after, tells the zero all the same."""
    for number in range(before):
        ledger.badge(badge(f"e{number}", "ben", "in", "hq"))
    ledger.clock.now = RESET + 60
    ledger.before("TransactWriteItems", partial(ledger.close, table=ledger.other))
    facts = ledger.badge(badge("e9", "ann", "in", "hq", NOON_MS + 1)).facts
    assert [(fact.people, fact.at) for fact in facts] == [(before + 1, NOON_MS + 1), (0, TODAY.end)]
    assert ledger.shown() == {"hq": 0}


def test_badge_between_closing_and_zero(ledger: Counts) -> None:
    """A badge that comes in while its day is being closed is told, and the zero after it."""
    ledger.badge(badge("e0", "ben", "in", "hq"))
    ledger.clock.now = RESET + 60
    late = badge("e1", "ann", "in", "hq", NOON_MS + 1)

    def badge_once_closed() -> None:
        if ledger.item((f"day#{TODAY.key}", "closed")):
            ledger.badge(late, ledger.other)

    ledger.before("Query", badge_once_closed, times=16)
    assert ledger.close() == []
    assert [(fact.people, fact.at) for fact in ledger.told[1:]] == [(2, NOON_MS + 1), (0, TODAY.end)]


def test_badge_between_reading_and_zero(ledger: Counts) -> None:
    """A zero that a badge overtakes is made of the count as it is then."""
    ledger.badge(badge("e0", "ben", "in", "hq"))
    ledger.close()
    ledger.clock.now = RESET + 60
    late = partial(ledger.badge, badge("e1", "ann", "in", "hq", NOON_MS + 1), ledger.other)
    ledger.before("UpdateItem", lambda: ledger.item((f"day#{TODAY.key}", "closed")) and late(), times=2)
    assert ledger.close() == []
    assert [(fact.people, fact.at) for fact in ledger.told[1:]] == [(2, NOON_MS + 1), (0, TODAY.end)]


@pytest.mark.parametrize(("seconds", "conflicts"), [(20.0, 1), (20.0, 3), (0.1, 2)])
def test_zero_in_conflict(ledger: Counts, seconds: float, conflicts: int) -> None:
    """A zero that others hold up is tried again while there is time; then the next run reports it."""
    ledger.badge(badge("e0", "ben", "in", "hq"))
    ledger.close()
    ledger.clock.now = RESET + 60
    held_up = {"Error": {"Code": "TransactionConflictException"}}

    def hold_up() -> None:
        for _ in range(conflicts):
            ledger.fail("UpdateItem", held_up)

    # The first update notes that the day is closed, those after it end the count.
    ledger.before("UpdateItem", hold_up)
    deadline = Deadline(ledger.clock() + QUEUE_RESERVE_SECONDS + seconds, ledger.clock)
    if seconds < 1:
        with pytest.raises(Contended):
            ledger.closing().close_days("hq", CONFIG, deadline)
        assert [fact.people for fact in ledger.close()] == [0]
    else:
        [(_, fact)] = ledger.closing().close_days("hq", CONFIG, deadline)
        assert (fact.people, fact.at) == (0, TODAY.end)


def test_two_runs_at_once(ledger: Counts) -> None:
    """Two runs at the same time close a day once, and tell the same facts."""
    ledger.badge(badge("e0", "ben", "in", "hq"))
    ledger.clock.now = RESET + 60
    ledger.calven_answers = False
    others: list[Fact] = []
    ledger.before("UpdateItem", lambda: others.extend(ledger.close(table=ledger.other)))
    assert [fact.people for fact in ledger.close()] == [0]
    assert ledger.close() == others


@pytest.mark.no_cover
@FEW
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("badge"), st.integers(0, 2), st.sampled_from(PLACES)),
            st.tuples(st.just("close"), st.integers(0, 30), st.just("hq")),
        ),
        max_size=6,
    )
)
@example(
    [("close", 30, "hq"), ("close", 30, "hq"), ("badge", 0, "hq"), ("close", 1, "hq"), ("badge", 0, "hq")]
)
def test_whatever_the_schedule_does(steps: list[tuple[str, int, str]]) -> None:
    """However often and late days are closed among late badges, Calven shows who badged in the last day."""
    with Counts() as ledger:
        done: list[Badge] = []
        for number, (step, argument, place) in enumerate(steps):
            if step == "badge":
                hours_ago = 20 * argument
                at = int((ledger.clock() - hours_ago * HOUR) * 1000)
                done.append(badge(f"e{number}", "ann", "in", place, at))
                ledger.badge(done[-1])
            else:
                ledger.clock.advance(argument * HOUR)
                ledger.close()
        ledger.clock.advance(100)
        ledger.close()
        today = operating_day(CONFIG, "hq", int(ledger.clock() * 1000))
        of_today = [one for one in done if today.start <= one.at < today.end]
        assert Counter({p: n for p, n in ledger.shown().items() if n}) == truth(of_today)
