"""Badges that others overtake: what a refused write says, how often one is tried, and whose turn it is."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from relay.deadline import PROBES, QUEUE_RESERVE_SECONDS, Deadline
from relay.errors import Contended
from relay.occupancy.days import operating_day
from relay.occupancy.ledger import Headcount
from relay.occupancy.rules import Badge
from relay.occupancy.settlement import Settlement
from relay.occupancy.turns import Turns
from tests.building import CONFIG, NOON_MS, badge, truth
from tests.counts import IN, RESET, TODAY, Counts, settle
from tests.rig import NOON

pytestmark = pytest.mark.slow

MINE = badge("e3", "ann", "in", "l1-a", NOON_MS + 1)
WRITTEN = ["TransactWriteItems", "UpdateItem"]
HELD = {"Error": {"Code": "TransactionInProgressException", "Message": "held"}}


@pytest.fixture
def ledger() -> Iterator[Counts]:
    """An empty ledger at noon."""
    with Counts() as counts:
        yield counts


def by_another(ledger: Counts, passage: Badge) -> list[Settlement]:
    """Have another container settle a badge, and end before it has told Calven."""
    return settle(ledger.headcount(ledger.other), [passage], Deadline(NOON + 20, ledger.clock))


def test_conflict(ledger: Counts) -> None:
    """A badge that another one overtakes between reading and writing is settled again."""
    ledger.before("TransactWriteItems", partial(ledger.badge, badge("e2", "ben", "in", "l1-a"), ledger.other))
    settled = ledger.badge(badge("e3", "cat", "in", "l1"))
    assert {fact.place: fact.people for fact in settled.facts} == {"l1": 2, "hq": 2}
    assert ledger.people() == {"l1-a": 1, "l1": 2, "hq": 2}


@pytest.mark.parametrize(
    ("meanwhile", "made"),
    [
        (badge("e2", "ben", "in", "l1"), WRITTEN),
        (badge("e2", "ann", "in", "l1"), ["BatchGetItem", *WRITTEN]),
        (badge("e2", "ann", "in", "l3"), ["BatchGetItem", *WRITTEN]),
        (badge("e2", "ann", "in", "l2"), ["BatchGetItem", "BatchGetItem", *WRITTEN]),
        (badge("e2", "ann", "in", "l1", NOON_MS + 2), ["BatchGetItem", "UpdateItem"]),
        (MINE, ["BatchGetItem", "UpdateItem"]),
    ],
    ids=[
        "counts",
        "the person too",
        "the person elsewhere",
        "the person in an item of its own",
        "the person later",
        "the same badge",
    ],
)
def test_what_a_conflict_says(ledger: Counts, meanwhile: Badge, made: list[str]) -> None:
    """Counts that have changed are in the refusal: they are not read again, and nothing is waited for."""
    ledger.fill()
    ledger.before("TransactWriteItems", partial(by_another, ledger, meanwhile))
    assert ledger.made_by(partial(ledger.badge, MINE)) == ["BatchGetItem", "TransactWriteItems", *made]
    assert ledger.people() == truth([meanwhile, MINE])
    # The note says of each place that it was told as it is, also where the other container did not.
    assert {fact.place: fact.people for fact in ledger.told} == {
        p: ledger.people()[p] for p in ledger.noted()
    }


def test_reported_meanwhile(ledger: Counts) -> None:
    """A badge that another container settles and reports meanwhile is its duplicate: nothing is sent."""

    def settle_and_report() -> None:
        ledger.reports.mark_reported([fact for one in by_another(ledger, MINE) for fact in one.facts])

    ledger.before("TransactWriteItems", settle_and_report)
    assert ledger.badge(MINE) == Settlement((), "duplicate")


def test_early_meanwhile(ledger: Counts) -> None:
    """A second delivery is known although its first one, which came early, is settled only meanwhile."""
    first = replace(badge("x", "ann", "in", "l1-a"), vendor_at=NOON_MS + 100)
    onward = badge("y", "ann", "in", "l2-a", NOON_MS + 50)

    def settle_both() -> None:
        by_another(ledger, first)
        by_another(ledger, onward)

    ledger.before("TransactWriteItems", settle_both)
    ledger.badge(badge("x", "ann", "in", "l1-a", NOON_MS + 100))
    assert ledger.where(["ann"]) == {"ann": "l2-a"}
    assert ledger.people() == {"l2-a": 1, "l2": 1, "hq": 1}


def test_next_day_reported_meanwhile(ledger: Counts) -> None:
    """The zero behind a late badge is no news where the next day is reported meanwhile."""
    ledger.badge(badge("e1", "ben", "in", "hq"))
    ledger.clock.now = RESET + 100
    ledger.close()
    next_day = operating_day(CONFIG, "hq", TODAY.end)

    def settle_both() -> None:
        fresh = badge("e2", "cat", "in", "hq", TODAY.end + 1000)
        ledger.headcount(ledger.other).settle([fresh], next_day, CONFIG, Deadline(RESET + 120, ledger.clock))
        settle(
            ledger.headcount(ledger.other),
            [badge("e3", "dan", "in", "hq")],
            Deadline(RESET + 120, ledger.clock),
        )

    ledger.before("TransactWriteItems", settle_both)
    settled = ledger.badge(badge("e4", "ann", "in", "hq", NOON_MS + 1))
    assert [(fact.place, fact.people) for fact in settled.facts] == [("hq", 3)]


def test_gone(ledger: Counts) -> None:
    """A count that has expired between reading and writing begins anew, read once more."""
    ledger.badge(badge("e1", "ben", "in", "hq"))
    ledger.before("TransactWriteItems", partial(ledger.forget, (f"day#{TODAY.key}", "count#hq")))
    made = ledger.made_by(partial(ledger.badge, badge("e2", "ann", "in", "hq", NOON_MS + 1)))
    assert made == ["BatchGetItem", "TransactWriteItems", "BatchGetItem", *WRITTEN]
    assert ledger.people() == {"hq": 1}


SOME_HELD = {
    "Error": {"Code": "TransactionCanceledException", "Message": "conflict"},
    "CancellationReasons": [{"Code": "ConditionalCheckFailed"}, {"Code": "TransactionConflict"}],
}


@pytest.mark.parametrize("refusal", [HELD, SOME_HELD], ids=["under way", "some held"])
def test_held(ledger: Counts, refusal: dict[str, Any]) -> None:
    """What another write holds is read anew, with one request for all that the first attempt has found."""
    ledger.fill()
    ledger.badge(badge("e1", "ann", "in", "l2-a"))
    ledger.fail("TransactWriteItems", refusal)
    made = ledger.made_by(partial(ledger.badge, badge("e2", "ann", "in", "l1", NOON_MS + 1)))
    assert made == ["BatchGetItem", "BatchGetItem", "BatchGetItem", *WRITTEN]
    assert ledger.people() == {"l1": 1, "hq": 1}


def test_changed_between_two_reads(ledger: Counts) -> None:
    """Where a second read is needed, it reads the counts of the first one too: they may have changed."""
    ledger.fill()
    ledger.badge(badge("e1", "ann", "in", "l2-a"))
    overtake = partial(by_another, ledger, badge("e2", "ben", "in", "l1"))
    reads = 0

    def before_the_second() -> None:
        nonlocal reads
        reads += 1
        if reads == 2:
            overtake()

    ledger.before("BatchGetItem", before_the_second, times=2)
    made = ledger.made_by(partial(ledger.badge, badge("e3", "ann", "in", "l1", NOON_MS + 1)))
    assert made == ["BatchGetItem", "BatchGetItem", *WRITTEN]
    assert ledger.people() == {"l1": 2, "hq": 2}


def test_gone_elsewhere(ledger: Counts) -> None:
    """A badge that is tried again has nothing to do with places that its person has left meanwhile."""
    ledger.badge(badge("e1", "ann", "in", "l2-a"))
    leave = badge("e2", "ann", "out", "hq", NOON_MS + 1)
    ledger.before("TransactWriteItems", partial(by_another, ledger, leave))
    ledger.fail("TransactWriteItems", HELD)
    settled = ledger.badge(badge("e3", "ann", "in", "l1", NOON_MS + 2))
    assert {fact.place: fact.people for fact in settled.facts} == {"l1": 1, "hq": 1}
    assert ledger.people() == {"l1": 1, "hq": 1}


@pytest.mark.parametrize(("rested", "tries"), [(False, 11), (True, PROBES + 1)])
def test_tries(ledger: Counts, rested: bool, tries: int) -> None:
    """A badge that a vendor waits for is tried eleven times, and five soon after its site has rested."""
    turns = Turns(ledger.clock)
    if rested:
        with suppress(Contended), turns.at("hq", Deadline(ledger.clock() + 20, ledger.clock), 2):
            raise Contended
        ledger.clock.advance(3.1)
    for _ in range(20):
        ledger.fail("TransactWriteItems", HELD)
    headcount = Headcount(ledger.table, ledger.clock, turns)
    with pytest.raises(Contended):
        settle(headcount, [IN], Deadline(ledger.clock() + 20, ledger.clock))
    assert ledger.requests == ["BatchGetItem"] * tries


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
