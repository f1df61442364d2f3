"""The ledger of people and counts, on DynamoDB as moto has it."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from build import usage
from relay.deadline import Deadline
from relay.occupancy.days import KEPT_SECONDS
from relay.occupancy.positions import position_key
from relay.occupancy.rules import Badge
from relay.occupancy.settlement import Settlement
from tests.building import NOON_MS, badge, badges, disordered, positions, truth
from tests.counts import IN, RESET, TODAY, Counts, settle
from tests.moto_table import FEW, Crash

pytestmark = pytest.mark.slow


@pytest.fixture
def ledger() -> Iterator[Counts]:
    """An empty ledger at noon."""
    with Counts() as counts:
        yield counts


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


@pytest.mark.parametrize(
    ("passage", "made"),
    [
        (badge("e2", "ben", "in", "l1"), ["BatchGetItem", "TransactWriteItems"]),
        (badge("e2", "ben", "in", "l2"), ["BatchGetItem", "TransactWriteItems"]),
        (badge("e2", "ann", "in", "l1-a", NOON_MS + 1), ["BatchGetItem", "TransactWriteItems"]),
        (badge("e2", "ann", "in", "l2", NOON_MS + 1), ["BatchGetItem", "TransactWriteItems"]),
        (badge("e2", "dan", "in", "l1", NOON_MS + 1), ["BatchGetItem", "BatchGetItem", "TransactWriteItems"]),
        (IN, ["BatchGetItem"]),
        (badge("e0", "ann", "out", "l2"), ["BatchGetItem"]),
        (badge("e0", "dan", "out", "l1"), ["BatchGetItem", "BatchGetItem"]),
        (badge("e2", "ann", "in", "l1", NOON_MS + 1), ["BatchGetItem", "UpdateItem"]),
    ],
    ids=[
        "entry",
        "entry of a place with an item of its own",
        "deeper",
        "move from a place within the site's item",
        "move from a place with an item of its own",
        "duplicate",
        "superseded",
        "superseded by one elsewhere",
        "unchanged",
    ],
)
def test_requests(ledger: Counts, passage: Badge, made: list[str]) -> None:
    """A badge takes at most three requests and one more to note the report; a duplicate takes one or two."""
    ledger.fill()
    ledger.badge(IN)
    ledger.badge(badge("e1", "dan", "in", "l2-a"))
    counted = ledger.made_by(partial(ledger.badge, passage))
    reports = counted[len(made) :]
    assert counted[: len(made)] == made
    assert len(reports) == (1 if "TransactWriteItems" in made else 0)


@pytest.mark.parametrize(
    "passage",
    [badge("e2", "ben", "in", "annex-1"), badge("e2", "ann", "out", "annex-1", NOON_MS + 1)],
    ids=["entry", "move"],
)
def test_requests_at_a_small_site(ledger: Counts, passage: Badge) -> None:
    """Where the site's item has room for all its places, only the first badge to each is read for twice."""
    first = ledger.made_by(partial(ledger.badge, badge("e1", "ann", "in", "annex-1")))
    assert first == ["BatchGetItem", "BatchGetItem", "TransactWriteItems", "UpdateItem"]
    assert ledger.made_by(partial(ledger.badge, passage)) == [
        "BatchGetItem",
        "TransactWriteItems",
        "UpdateItem",
    ]


def test_units(ledger: Counts) -> None:
    """The units that docs/explanations/cost.md is computed from: one badge at a small site, and three."""
    used: Counter[str] = Counter()

    def count(params: Mapping[str, Any], **_: object) -> None:
        for of_table in params.get("RequestItems", {}).values():
            used["reads"] += len(of_table["Keys"])
        used["writes"] += 2 * len(params.get("TransactItems", ())) + ("UpdateExpression" in params)

    ledger.badge(badge("e1", "ann", "in", "annex-1"))
    ledger.client.meta.events.register("provide-client-params.dynamodb", count)
    for number in (1, 3):
        people = [f"{number} {n}" for n in range(number)]
        ledger.badges([badge(f"e {person}", person, "in", "annex-1", NOON_MS + number) for person in people])
        counted = usage.badge_settlement(number)
        assert used == {"reads": counted.reads, "writes": counted.writes}
        used.clear()


def test_requests_of_a_late_badge(ledger: Counts) -> None:
    """A badge into a closed day takes no request more than any other."""
    ledger.fill()
    ledger.badge(badge("e0", "ben", "in", "l2"))
    ledger.clock.now = RESET + 100
    ledger.close()
    made = ledger.made_by(partial(ledger.badge, badge("e1", "ben", "in", "l1", NOON_MS + 1)))
    assert made == ["BatchGetItem", "BatchGetItem", "TransactWriteItems", "UpdateItem"]


def test_items_expire(ledger: Counts) -> None:
    """Everything of a day expires 16 days after it, and a person is there as what the badge names only."""
    ledger.fill()
    ledger.badge(IN)
    ledger.badge(badge("e2", "ben", "in", "l2"))
    ledger.clock.now = RESET + 100
    ledger.close()
    keys = [(f"day#{TODAY.key}", f"count#{place}") for place in ("l2", "hq")]
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


def test_together(ledger: Counts) -> None:
    """Badges of several people are one transaction, and as many reads as one badge."""
    ledger.fill()
    ledger.badge(badge("e0", "ann", "in", "l2-a"))
    some = [
        badge(f"e{n}", person, "in", "l1", NOON_MS + n) for n, person in enumerate(("ann", "ben", "cat"), 1)
    ]
    made = ledger.made_by(lambda: ledger.badges(some))
    assert made == ["BatchGetItem", "BatchGetItem", "TransactWriteItems", "UpdateItem"]
    assert ledger.people() == {"l1": 3, "hq": 3}
    assert {place: people for place, people in ledger.shown().items() if people} == {"l1": 3, "hq": 3}


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
    assert ledger.made_by(partial(ledger.reports.mark_reported, [])) == []


def test_report_of_a_count_that_has_expired(ledger: Counts) -> None:
    """A report that comes after its count has expired leaves no half of an item behind."""
    [fact] = ledger.badge(badge("e1", "ann", "in", "hq")).facts
    ledger.forget((f"day#{TODAY.key}", "count#hq"))
    ledger.reports.mark_reported([fact])
    assert ledger.item((f"day#{TODAY.key}", "count#hq")) is None
    assert ledger.badge(badge("e2", "ben", "in", "hq", NOON_MS + 1)).facts


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
