"""The ledger of people and counts, on DynamoDB as moto has it."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from build import usage
from relay.aws.table import Table
from relay.config.model import Config
from relay.deadline import QUEUE_RESERVE_SECONDS, WAITED_FOR, Deadline
from relay.errors import Contended
from relay.occupancy.closing import Closing
from relay.occupancy.days import KEPT_SECONDS, operating_day
from relay.occupancy.items import position_key
from relay.occupancy.ledger import Headcount
from relay.occupancy.reported import Reports, note_key
from relay.occupancy.rules import Badge, Fact, PendingFact
from relay.occupancy.settlement import Settlement
from tests.building import CONFIG, NOON_MS, PLACES, badge, badges, config, disordered, positions, truth
from tests.moto_table import FEW, Crash, Ledger
from tests.rig import NOON

pytestmark = pytest.mark.slow

TODAY = operating_day(CONFIG, "hq", NOON_MS)
HOUR = 3600.0
RESET = TODAY.end / 1000


def settle(
    headcount: Headcount,
    some: Sequence[Badge],
    deadline: Deadline,
    there: Config = CONFIG,
    apart: int = 0,
) -> list[Settlement]:
    """Settle badges of one operating day."""
    day = operating_day(there, there.site(some[0].place), some[0].at)
    return headcount.settle(some, day, there, deadline, replace(WAITED_FOR, apart=apart))


class Counts(Ledger):
    """A ledger with a `Headcount`, another one as another container has it, and all that Calven was told."""

    def __init__(self, *, calven_answers: bool = True) -> None:
        super().__init__()
        self.told: list[Fact] = []
        self.calven_answers = calven_answers

    def headcount(self, table: Table | None = None) -> Headcount:
        """A new container's headcount."""
        return Headcount(table or self.table, self.clock)

    def badge(self, badge: Badge, table: Table | None = None, seconds: float = 20) -> Settlement:
        """Settle a badge, and tell Calven."""
        [settled] = self.badges([badge], table, seconds)
        return settled

    def badges(
        self, some: Sequence[Badge], table: Table | None = None, seconds: float = 20, apart: int = 0
    ) -> list[Settlement]:
        """Settle badges of one day together, and tell Calven."""
        headcount = self.headcount(table)
        settled = settle(headcount, some, Deadline(self.clock() + seconds, self.clock), apart=apart)
        self.tell([fact for one in settled for fact in one.facts])
        return settled

    def close(self, site: str = "hq", table: Table | None = None, there: Config = CONFIG) -> list[Fact]:
        """Run the schedule for a site, and tell Calven."""
        facts = [fact for _, fact in self.pending(site, table, there)]
        self.tell(facts)
        return facts

    def pending(
        self, site: str = "hq", table: Table | None = None, there: Config = CONFIG
    ) -> list[PendingFact]:
        """Run the schedule for a site, without telling Calven."""
        return self.closing(table).close_days(site, there, Deadline(self.clock() + 20, self.clock))

    def closing(self, table: Table | None = None) -> Closing:
        """What a new container closes days with."""
        return Closing(table or self.table, self.headcount(table), self.clock)

    @property
    def reports(self) -> Reports:
        """A new container's reports."""
        return Reports(self.table)

    def tell(self, facts: Sequence[Fact]) -> None:
        """Calven accepts these facts, unless it does not answer."""
        if self.calven_answers:
            self.told += facts
            self.reports.mark_reported(facts)

    def people(self) -> Counter[str]:
        """The people in each place that has any, as the ledger has them today."""
        items = self.other.query(f"day#{TODAY.key}", "count#")
        counts = {str(item["sk"]).removeprefix("count#"): item["people"] for item in items}
        return Counter({place: people for place, people in counts.items() if people})

    def noted(self) -> dict[str, int]:
        """The newest version of each place's count that today's note says Calven has."""
        note = self.item(note_key(TODAY.key)) or {}
        places = [name.removeprefix("place#") for name in note if name.startswith("place#")]
        return {place: note[f"place#{place}"][0] for place in places}

    def where(self, people: Iterable[str]) -> dict[str, str | None]:
        """Where these people are, as the ledger has them today."""
        found = {person: self.item(position_key(TODAY, person)) for person in people}
        return {person: next(iter(item["path"]), None) for person, item in found.items() if item}

    def shown(self) -> dict[str, int]:
        """What Calven shows: what it was told about each place with the latest time."""
        return {fact.place: fact.people or 0 for fact in sorted(self.told, key=lambda fact: fact.at)}


@pytest.fixture
def ledger() -> Iterator[Counts]:
    """An empty ledger at noon."""
    with Counts() as counts:
        yield counts


IN = badge("e1", "ann", "in", "l1")


def test_day_of_badges(ledger: Counts) -> None:
    """Badges of a day end in the right counts, in the ledger and at Calven."""
    for number, (person, direction, place) in enumerate(
        [
            ("ann", "in", "l1-a"),
            ("ben", "in", "l1"),
            ("ann", "in", "l2-a"),
            ("cat", "in", "hq"),
            ("ben", "out", "hq"),
            ("ann", "out", "l2-a"),
        ]
    ):
        ledger.badge(
            badge(f"e{number}", person, "in" if direction == "in" else "out", place, NOON_MS + number)
        )
    assert ledger.people() == {"hq": 2, "l2": 1}
    assert ledger.shown() == {"hq": 2, "l2": 1, "l2-a": 0, "l1": 0, "l1-a": 0}
    assert ledger.where(("ann", "ben", "cat")) == {"ann": "l2", "ben": None, "cat": "hq"}


def requests(ledger: Counts, act: Callable[[], object]) -> list[str]:
    """The requests that something makes."""
    before = len(ledger.requests)
    act()
    return ledger.requests[before:]


@pytest.mark.parametrize(
    ("passage", "made"),
    [
        (badge("e2", "ben", "in", "l1"), ["BatchGetItem", "TransactWriteItems"]),
        (badge("e2", "ann", "in", "l1-a", NOON_MS + 1), ["BatchGetItem", "TransactWriteItems"]),
        (badge("e2", "ann", "in", "l2", NOON_MS + 1), ["BatchGetItem", "BatchGetItem", "TransactWriteItems"]),
        (IN, ["BatchGetItem"]),
        (badge("e0", "ann", "out", "l2"), ["BatchGetItem", "BatchGetItem"]),
        (badge("e2", "ann", "in", "l1", NOON_MS + 1), ["BatchGetItem", "UpdateItem"]),
    ],
    ids=["entry", "deeper", "move", "duplicate", "superseded", "unchanged"],
)
def test_requests(ledger: Counts, passage: Badge, made: list[str]) -> None:
    """A badge takes at most three requests and one more to note the report; a duplicate takes one or two."""
    ledger.badge(IN)
    counted = requests(ledger, partial(ledger.badge, passage))
    reports = counted[len(made) :]
    assert counted[: len(made)] == made
    assert len(reports) == (1 if "TransactWriteItems" in made else 0)


def test_units(ledger: Counts) -> None:
    """The units that docs/explanations/cost.md is computed from: one badge, and three together."""
    used: Counter[str] = Counter()

    def count(params: Mapping[str, Any], **_: object) -> None:
        for of_table in params.get("RequestItems", {}).values():
            used["reads"] += len(of_table["Keys"])
        used["writes"] += 2 * len(params.get("TransactItems", ())) + ("UpdateExpression" in params)

    ledger.badge(IN)
    ledger.client.meta.events.register("provide-client-params.dynamodb", count)
    for number in (1, 3):
        people = [f"{number} {n}" for n in range(number)]
        ledger.badges([badge(f"e {person}", person, "in", "l1", NOON_MS + number) for person in people])
        counted = usage.badge_settlement(number)
        assert used == {"reads": counted.reads, "writes": counted.writes}
        used.clear()


def test_requests_of_a_late_badge(ledger: Counts) -> None:
    """A badge into a closed day takes no request more than any other."""
    ledger.badge(badge("e0", "ben", "in", "l2"))
    ledger.clock.now = RESET + 100
    ledger.close()
    made = requests(ledger, partial(ledger.badge, badge("e1", "ben", "in", "l1", NOON_MS + 1)))
    assert made == ["BatchGetItem", "BatchGetItem", "TransactWriteItems", "UpdateItem"]


def test_items_expire(ledger: Counts) -> None:
    """Everything of a day expires 16 days after it, and a person is there as what the badge names only."""
    ledger.badge(IN)
    ledger.clock.now = RESET + 100
    ledger.close()
    keys = [(f"day#{TODAY.key}", f"count#{place}") for place in ("l1", "hq")]
    for key in (*keys, (f"day#{TODAY.key}", "closed"), position_key(TODAY, "ann")):
        item = ledger.item(key)
        assert item
        assert item["expires_at"] == TODAY.end // 1000 + KEPT_SECONDS


def run(some: Iterable[Badge]) -> tuple[Counter[str], dict[str, str | None], dict[str, int]]:
    """People and positions in the ledger after these badges, and what Calven shows."""
    with Counts() as ledger:
        for one in some:
            ledger.badge(one)
        return ledger.people(), ledger.where(("ann", "ben", "cat")), ledger.shown()


@pytest.mark.no_cover
@FEW
@given(badges(max_size=6).flatmap(lambda some: st.tuples(st.just(some), disordered(some))))
def test_disorder(runs: tuple[list[Badge], list[Badge]]) -> None:
    """Any order and any repetition of badges end in the truth: in the ledger and at Calven."""
    some, other = runs
    people, where, shown = run(other)
    assert people == truth(some)
    assert where == positions(some)
    assert Counter({place: count for place, count in shown.items() if count}) == people


@pytest.mark.no_cover
@FEW
@given(
    badges(max_size=4),
    badges(max_size=4, prefix="f"),
    st.lists(st.sampled_from(("get", "write", "after")), max_size=4),
)
def test_two_workers(mine: list[Badge], theirs: list[Badge], moments: list[str]) -> None:
    """However two workers' requests interleave, the counts are the truth, in the ledger and at Calven."""
    with Counts() as ledger:
        waiting = list(theirs)

        def other_worker() -> None:
            if waiting:
                ledger.badge(waiting.pop(0), ledger.other)

        operations = {"get": ("BatchGetItem",), "write": ("TransactWriteItems", "UpdateItem"), "after": ()}
        for moment in moments:
            for operation in operations[moment]:
                ledger.before(operation, other_worker)
        for one in mine:
            ledger.badge(one)
        while waiting:
            other_worker()
        assert ledger.people() == truth([*mine, *theirs])
        assert Counter({p: n for p, n in ledger.shown().items() if n}) == ledger.people()


@pytest.mark.no_cover
@FEW
@given(badges(max_size=5), st.integers(1, 16))
def test_crash(some: list[Badge], requests_until: int) -> None:
    """After a crash at any request, delivering the badge again ends in the truth, and Calven shows it."""
    with Counts() as ledger:
        left = iter(range(requests_until - 1, -1, -1))

        def crash_at_last(**_: object) -> None:
            if next(left, None) == 0:
                raise Crash

        ledger.client.meta.events.register("before-call.dynamodb", crash_at_last)
        for one in some:
            try:
                ledger.badge(one)
            except Crash:
                ledger.badge(one)
        ledger.clock.advance(100)
        ledger.close(table=ledger.other)
        assert ledger.people() == truth(some)
        assert Counter({p: n for p, n in ledger.shown().items() if n}) == ledger.people()


def test_conflict(ledger: Counts) -> None:
    """A badge that another one overtakes between reading and writing is settled again."""
    ledger.before("TransactWriteItems", partial(ledger.badge, badge("e2", "ben", "in", "l1-a"), ledger.other))
    settled = ledger.badge(badge("e3", "cat", "in", "l1"))
    assert {fact.place: fact.people for fact in settled.facts} == {"l1": 2, "hq": 2}
    assert ledger.people() == {"l1-a": 1, "l1": 2, "hq": 2}


def test_together(ledger: Counts) -> None:
    """Badges of several people are one transaction, and as many reads as one badge."""
    ledger.badge(badge("e0", "ann", "in", "l2-a"))
    some = [
        badge(f"e{n}", person, "in", "l1", NOON_MS + n) for n, person in enumerate(("ann", "ben", "cat"), 1)
    ]
    made = requests(ledger, lambda: ledger.badges(some))
    assert made == ["BatchGetItem", "BatchGetItem", "TransactWriteItems", "UpdateItem"]
    assert ledger.people() == {"l1": 3, "hq": 3}
    assert ledger.shown() == {"l1": 3, "hq": 3, "l2": 0, "l2-a": 0}


@pytest.mark.no_cover
def test_too_many_for_one_transaction(ledger: Counts) -> None:
    """Badges that change more than a hundred items are settled in several transactions."""
    places = ("l1-a", "l1-b", "l2-a")
    some = [badge(f"e{n}", f"p{n}", "in", places[n % 3], NOON_MS + n) for n in range(120)]
    settled = ledger.badges(some)
    assert ledger.requests.count("TransactWriteItems") >= 2
    assert all(one.facts for one in settled)
    assert ledger.people() == truth(some)


@pytest.mark.no_cover
@FEW
@given(badges(max_size=6).flatmap(disordered), st.integers(1, 6), st.sampled_from((0, 10_000)))
def test_together_in_any_order(some: list[Badge], size: int, apart: int) -> None:
    """However many badges are settled at a time, the counts are the truth, in the ledger and at Calven."""
    with Counts() as ledger:
        for start in range(0, len(some), size):
            ledger.badges(some[start : start + size], apart=apart)
        assert ledger.people() == truth(some)
        assert ledger.where({one.person for one in some}) == positions(some)
        assert Counter({p: n for p, n in ledger.shown().items() if n}) == ledger.people()


def test_early_badge_again(ledger: Counts) -> None:
    """A badge of a fast clock is known again after the person has moved on, from the ledger too."""
    fast = replace(badge("e1", "ann", "in", "l1"), vendor_at=NOON_MS + 3600_000)
    ledger.badge(fast)
    ledger.badge(badge("e2", "ann", "out", "hq", NOON_MS + 1))
    again = ledger.badge(replace(fast, at=NOON_MS + 2))
    assert (again.facts, again.reason) == ((), "duplicate")
    assert ledger.people() == {}


def test_early_badge_again_the_next_day(ledger: Counts) -> None:
    """What came ahead of the day's end is no badge of the next day when it comes again."""
    fast = replace(badge("e1", "ann", "in", "l1", TODAY.end - 1000), vendor_at=TODAY.end + 60_000)
    ledger.badge(fast)
    again = replace(fast, at=fast.vendor_at)
    [settled] = settle(ledger.headcount(), [again], Deadline(ledger.clock() + 20, ledger.clock))
    assert settled == Settlement((), "duplicate")


def test_contended(ledger: Counts) -> None:
    """When others keep writing until no time is left, the badge is for later; nothing of it is written."""
    others = (badge(f"f{n}", f"other {n}", "in", "hq") for n in range(9))
    ledger.before("TransactWriteItems", lambda: ledger.badge(next(others), ledger.other), times=9)
    with pytest.raises(Contended):
        ledger.badge(badge("e1", "ann", "in", "hq"), seconds=QUEUE_RESERVE_SECONDS + 0.1)
    assert ledger.people() == {"hq": 1}


def test_turns(ledger: Counts) -> None:
    """Within a process badges of one site take turns: who gets none in time is for later."""
    headcount = ledger.headcount()
    soon, late = Deadline(NOON + 0.55, ledger.clock), Deadline(NOON + 20, ledger.clock)

    def second() -> None:
        with pytest.raises(Contended):
            settle(headcount, [badge("e2", "ben", "in", "hq")], soon)
        settle(headcount, [badge("e3", "cat", "in", "annex")], soon)

    ledger.before("TransactWriteItems", second)
    settle(headcount, [IN], late)
    assert ledger.people() == {"l1": 1, "hq": 1}


def test_unreported_is_told_again(ledger: Counts) -> None:
    """A badge that was recorded and never told is told by its duplicate, under the same ids."""
    ledger.calven_answers = False
    first = ledger.badge(IN).facts
    ledger.calven_answers = True
    assert sorted(ledger.badge(IN).facts, key=str) == sorted(first, key=str)
    assert ledger.badge(IN) == Settlement((), "duplicate")


def test_reported_never_lowers(ledger: Counts) -> None:
    """An older report that comes in late does not make a newer one unreported."""
    ledger.calven_answers = False
    first = ledger.badge(badge("e1", "ann", "in", "hq")).facts
    second = ledger.badge(badge("e2", "ben", "in", "hq", NOON_MS + 1)).facts
    ledger.reports.mark_reported([*second, *first])
    ledger.reports.mark_reported(first)
    assert ledger.noted() == {"hq": 2}


def test_one_old_report_among_new_ones(ledger: Counts) -> None:
    """Reports are noted place by place where one of them is old already."""
    ledger.calven_answers = False
    first = ledger.badge(badge("e1", "ann", "in", "l1")).facts
    ledger.reports.mark_reported([fact for fact in first if fact.place == "hq"])
    ledger.reports.mark_reported(first)
    assert ledger.noted() == {"hq": 1, "l1": 1}


def test_nothing_to_report(ledger: Counts) -> None:
    """Where nothing was told, nothing is noted."""
    assert requests(ledger, partial(ledger.reports.mark_reported, [])) == []


def test_report_of_a_count_that_has_expired(ledger: Counts) -> None:
    """A report that comes after its count has expired leaves no half of an item behind."""
    [fact] = ledger.badge(badge("e1", "ann", "in", "hq")).facts
    ledger.forget((f"day#{TODAY.key}", "count#hq"))
    ledger.reports.mark_reported([fact])
    assert ledger.item((f"day#{TODAY.key}", "count#hq")) is None
    assert ledger.badge(badge("e2", "ben", "in", "hq", NOON_MS + 1)).facts


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


@pytest.mark.parametrize(("waited", "reported"), [(59, False), (61, True)])
def test_pending(ledger: Counts, waited: float, reported: bool) -> None:
    """What was recorded and never told is told by the schedule after a minute."""
    ledger.calven_answers = False
    first = ledger.badge(IN).facts
    ledger.clock.advance(waited)
    facts = ledger.close()
    assert sorted(facts, key=str) == (sorted(first, key=str) if reported else [])


def test_queued(ledger: Counts) -> None:
    """What the schedule has put into a queue is not put there again, until there is something new to tell."""
    ledger.calven_answers = False
    ledger.badge(IN)
    ledger.clock.advance(61)
    facts = ledger.close()
    ledger.reports.mark_queued(facts)
    assert ledger.close() == []
    assert len(ledger.badge(IN).facts) == 2
    ledger.badge(badge("e2", "ben", "in", "hq", NOON_MS + 61_000))
    ledger.clock.advance(61)
    assert [(fact.place, fact.people) for fact in ledger.close()] == [("hq", 2)]


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
