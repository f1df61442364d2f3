"""Turns at a site's counts: one thread at a time, and a rest after they were contended."""

from collections.abc import Callable

import pytest

from relay.deadline import QUEUE_RESERVE_SECONDS, Deadline
from relay.errors import Contended
from relay.occupancy.turns import LONGEST_REST_SECONDS, Turns
from tests.rig import Clock

REST = 5.0


@pytest.fixture
def clock() -> Clock:
    """A clock that only the test moves."""
    return Clock()


def taken(turns: Turns, clock: Clock, site: str = "hq", rest: float = REST) -> bool:
    """Whether a turn comes."""
    try:
        with turns.at(site, Deadline(clock() + QUEUE_RESERVE_SECONDS, clock), rest):
            return True
    except Contended:
        return False


def contend(turns: Turns, clock: Clock, rest: float = REST) -> None:
    """Have a turn come to nothing."""
    with pytest.raises(Contended), turns.at("hq", Deadline(clock() + 1, clock), rest):
        raise Contended


def test_one_at_a_time(clock: Clock) -> None:
    """Who has a site's counts has them alone; another site's are free."""
    turns = Turns(clock)
    with turns.at("hq", Deadline(clock() + 1, clock), 0):
        assert not taken(turns, clock, rest=0)
        assert taken(turns, clock, "annex", rest=0)
    assert taken(turns, clock, rest=0)


def test_rest(clock: Clock) -> None:
    """A contended site rests, another does not, and who does not rest tries it all the same."""
    turns = Turns(clock)
    contend(turns, clock)
    clock.advance(REST / 2 - 0.1)
    assert not taken(turns, clock)
    assert taken(turns, clock, "annex")
    assert taken(turns, clock, rest=0)
    clock.advance(REST + 0.2)
    assert taken(turns, clock)


def test_longer_rests(clock: Clock) -> None:
    """A site that is contended after each rest rests longer each time; after a quiet while as at first."""
    turns = Turns(clock)
    rests: list[float] = []
    for pause in (0, 0, 0, 2 * LONGEST_REST_SECONDS):
        contend(turns, clock, 2)
        began = clock()
        while not taken(turns, clock):
            clock.advance(0.01)
        rests.append(clock() - began)
        clock.advance(pause)
    contend(turns, clock, 2)
    for rest, expected in zip(rests, (2, 4, 8, LONGEST_REST_SECONDS), strict=True):
        assert 0.5 * expected <= rest <= 1.5 * expected + 0.1
    clock.advance(3.1)
    assert taken(turns, clock)


def test_rested(clock: Clock) -> None:
    """Whoever comes soon after a rest is told so: a few tries show whether the rush is over."""
    turns = Turns(clock)
    seen: list[bool] = []

    def look(rest: float = REST) -> None:
        with turns.at("hq", Deadline(clock() + 1, clock), rest) as rested:
            seen.append(rested)

    look()
    contend(turns, clock)
    look(0)
    clock.advance(1.5 * REST)
    look()
    clock.advance(LONGEST_REST_SECONDS)
    look()
    assert seen == [False, False, True, False]


def test_who_does_not_rest_makes_nobody_rest(clock: Clock) -> None:
    """A batch that nobody waits for goes on trying: its conflicts send no webhook to the queue."""
    turns = Turns(clock)
    contend(turns, clock, rest=0)
    assert taken(turns, clock)


@pytest.mark.parametrize("fault", [KeyError, ValueError])
def test_other_faults(clock: Clock, fault: Callable[[], Exception]) -> None:
    """Any other fault gives the turn back, and no site rests for it."""
    turns = Turns(clock)
    with pytest.raises((KeyError, ValueError)), turns.at("hq", Deadline(clock() + 1, clock), REST):
        raise fault()
    assert taken(turns, clock)
