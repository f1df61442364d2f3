"""Ends of processes and lost answers in histories that nobody has thought of, and in some that were found."""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.machine import Moment, Step, Taken
from tests.moto_table import FEW
from tests.rig import Rig
from tests.scenarios import (
    ANN,
    APPROVED,
    BEN,
    BROKEN,
    CAT,
    KIM,
    MOMENTS,
    NEW,
    SAM,
    TAKEN,
    New,
    badge,
    days,
    deleted,
    leave,
    relays,
)

pytestmark = [pytest.mark.no_cover, pytest.mark.slow]
"""They visit the same lines thousands of times, which other tests measure."""


@pytest.fixture(scope="module")
def new() -> Iterator[New]:
    """Makes a relay of its own for each run."""
    with relays() as make:
        yield make


Trouble = tuple[Moment, int] | Taken | None
"""The moment and the request at which the process ends, or the loss of Calven's answers, or nothing."""
TROUBLES: st.SearchStrategy[Trouble] = (
    st.none() | st.sampled_from(TAKEN) | st.tuples(st.sampled_from(MOMENTS), st.integers(1, 12))
)
REQUESTED = [
    leave(1, "REQUESTED", 1, 4, leave="1"),
    leave(2, "REQUESTED", 1, 4, leave="2"),
    leave(3, "REQUESTED", 1, 4, KIM, leave="3"),
]


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[Step, Trouble, bool]]:
    """What happens, the trouble with it, and whether it comes again, if it must, after all the others."""
    numbers = range(10, 10 + draw(st.integers(3, 7)))
    return [(draw(_steps(number)), draw(TROUBLES), draw(st.booleans())) for number in numbers]


def _steps(number: int) -> st.SearchStrategy[Step]:
    """A badge of one of three people, or a change of one of three leaves of two employees."""
    doors = st.sampled_from(("in l1", "out l1", "in l1-a", "out l1-a", "in l2-a", "out hq"))
    badges = st.builds(badge, st.just(number), st.sampled_from((ANN, BEN, CAT)), doors)
    leaves = st.sampled_from("123")
    changes = st.builds(
        lambda status, first, email, kind, name: leave(number, status, first, first + 3, email, kind, name),
        st.sampled_from(("APPROVED", "APPROVED", "CANCELED", "REQUESTED")),
        st.integers(1, 4),
        st.sampled_from((SAM, KIM)),
        st.sampled_from(("Vacation", "Sick leave")),
        leaves,
    )
    return badges | changes | st.builds(deleted, st.just(number), leaves)


def apart(end: Mapping[str, Any]) -> dict[str, Any]:
    """An end without what the order of arrival decides: places where nobody is, what an ended leave was."""
    return {
        **end,
        "counts": {place: people for place, people in end["counts"].items() if people},
        "places": {key: place for key, place in end["places"].items() if place["people"]},
        "leaves": {key: leave["state"] for key, leave in end["leaves"].items()},
    }


@FEW
@given(history=histories())
def test_any_history(new: New, history: list[tuple[Step, Trouble, bool]]) -> None:
    """Whatever happens, with whatever trouble, in whatever order it comes again: the end is the same.

    Calven need not be told every count in between: the order of arrival decides on those.
    """
    with new() as site:
        site.deliver([*REQUESTED, *(step for step, *_ in history)])
        site.drain()
        end = site.end()
    with new() as site:
        site.deliver(REQUESTED)
        last: list[Step] = []
        for step, trouble, is_last in history:
            site.machine.loss = (BROKEN, trouble) if isinstance(trouble, str) else None
            site.machine.count(*(trouble if isinstance(trouble, tuple) else ()))
            if not site.machine.survives(partial(site.take, step)):
                site.restart()
                (last.append if is_last else site.take)(step)
        site.machine.count()
        site.recover_late()
        site.deliver(last)
        site.drain()
        site.sweep()
        assert apart(site.end()) == apart(end)


def test_two_changes_of_address_during_an_outage(new: New) -> None:
    """The first address has its days back, however often the address changed until Calven was back."""
    with new() as site:
        site.deliver([APPROVED])
        site.fail_submissions("503")
        site.leave_to_queue(
            [leave(2, "APPROVED", 1, 5, NEW), leave(3, "APPROVED", 1, 5, "sam.third@example.com")]
        )
        site.recover()
        site.drain()
        assert site.end()["away"] == {"sam.third@example.com": days(1, 5)}


def test_two_changes_of_address_and_a_crash(new: New) -> None:
    """The same after a crash between recording the first change and telling Calven."""
    with new() as site:
        site.deliver([APPROVED])
        site.machine.count("after", 3)
        assert not site.machine.survives(partial(site.take, leave(2, "APPROVED", 1, 5, NEW)))
        assert site.machine.requests[-1] == "TransactWriteItems"
        site.restart()
        site.deliver([leave(3, "APPROVED", 1, 5, "sam.third@example.com"), leave(2, "APPROVED", 1, 5, NEW)])
        site.drain()
        assert site.end()["away"] == {"sam.third@example.com": days(1, 5)}


def test_unknown_leave_while_no_queue_answers(rig: Rig) -> None:
    """A deletion that is of no use is answered 202 only once it is in the dead-letter queue."""
    rig.aws.sqs.delete_queue(QueueUrl=rig.resources.dead_letter_queue_url)
    assert rig.post("deel", "deleted")[0] == 503
    assert rig.post("deel", "deleted")[0] == 503


def test_unknown_leave_and_a_crash(new: New) -> None:
    """The same where the process ends between its tombstone and its dead letter."""
    with new() as site:
        site.machine.count("after", 5)
        assert not site.machine.survives(partial(site.take, deleted(1)))
        assert site.machine.requests[-1] == "UpdateItem"
        site.restart()
        site.deliver([deleted(1)])
        assert site.end()["dead"] == {"unknown_leave"}
