"""Whatever becomes of leave, in whatever order: Calven shows in the end what was approved."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.config.model import TimeOffType
from relay.errors import InvalidLeave
from relay.events import LeaveChange
from relay.time_off.submission import LEASE_GRACE_SECONDS, Submission
from tests.leave_book import SAM, SECONDS, SOURCE, Book, change, days, deleted, number_of
from tests.moto_table import FEW

pytestmark = pytest.mark.slow


@pytest.fixture
def book() -> Iterator[Book]:
    """An empty ledger, and a Calven that knows of no leave."""
    with Book() as empty:
        yield empty


PEOPLE = (SAM, "SAM@example.com", "kim@example.com")
Fate = str
FATES = ("ok", "ok", "ok", "slow", "crash before", "crash after", "no answer", "not now")


@st.composite
def histories(draw: st.DrawFn) -> list[LeaveChange]:
    """Changes of a few leaves, each with a version of its own, or an ending with that of another."""
    some: list[LeaveChange] = []
    for version in range(1, draw(st.integers(2, 6))):
        first = draw(st.integers(1, 6))
        leave = draw(st.sampled_from("12"))
        fields: dict[str, Any] = {
            "email": draw(st.sampled_from(PEOPLE)),
            "type_name": draw(st.sampled_from(("Vacation", "Sick", None))),
        }
        if draw(st.integers(0, 5)) == 0:
            fields["replaces"] = draw(st.sampled_from("12"))
        state = draw(st.sampled_from(("approved", "approved", "ended", "requested")))
        some.append(change(version, state, first, first + draw(st.integers(0, 4)), leave, **fields))
        if draw(st.booleans()):
            some.append(deleted(version, leave))
    return some


@st.composite
def deliveries(draw: st.DrawFn) -> tuple[list[LeaveChange], list[tuple[LeaveChange, Fate]]]:
    """A history, and how it arrives: in any order, some of it twice, with whatever may happen to each."""
    some = draw(histories())
    order = draw(st.permutations([*some, *draw(st.lists(st.sampled_from(some), max_size=2))]))
    return some, [(one, draw(st.sampled_from(FATES))) for one in order]


def approved_days(some: Sequence[LeaveChange]) -> dict[str, dict[int, TimeOffType]]:
    """The truth: the days of leave whose last change is an approval and that nothing replaced."""
    last: dict[str, LeaveChange] = {}
    for one in sorted(some, key=lambda one: (one.version, one.state == "ended")):
        last[one.leave_id] = one
    for one in some:
        if one.replaces != one.leave_id:
            last.pop(one.replaces or "", None)
    away: dict[str, dict[int, TimeOffType]] = {}
    for one in sorted(last.values(), key=lambda one: one.version):
        if one.state == "approved" and one.email and one.start and one.end:
            first, end = (number_of(date.fromisoformat(text)) for text in (one.start, one.end))
            away.setdefault(one.email.lower(), {}).update(
                days(first, end, SOURCE.time_off_type(one.type_name))
            )
    return away


def deliver_all(book: Book, arriving: Sequence[tuple[LeaveChange, Fate]]) -> list[LeaveChange]:
    """Deliver changes to their fates; those that the queue or the vendor then delivers again."""
    slow: list[Callable[[], None]] = []
    again: list[LeaveChange] = []
    for one, fate in arriving:
        try:
            recorded = book.record(one)
        except InvalidLeave:
            continue
        if recorded.busy or (recorded.submissions and fate not in ("ok", "slow")):
            again.append(one)
        if fate == "ok" and slow:
            slow.pop(0)()
        for submission in recorded.submissions:
            _suffer(book, submission, fate, slow)
    for send in slow:
        send()
    return again


def _suffer(book: Book, submission: Submission, fate: Fate, slow: list[Callable[[], None]]) -> None:
    if fate in ("crash after", "no answer"):
        book.calven.take(submission)
    match fate:
        case "ok":
            book.send(submission)
        case "slow":
            slow.append(lambda: book.send(submission))
        case "no answer":
            book.finish(submission, {}, uncertain=True)
        case "not now":
            book.finish(submission, {})


@FEW
@given(deliveries())
def test_oracle(found: tuple[list[LeaveChange], list[tuple[LeaveChange, Fate]]]) -> None:
    """In any order, repeated, side by side, interrupted anywhere: Calven has the approved days in the end."""
    some, arriving = found
    with Book() as book:
        while arriving:
            again = deliver_all(book, arriving)
            book.clock.advance(SECONDS + LEASE_GRACE_SECONDS)
            arriving = [(one, "ok") for one in again]
        assert {email: held for email, held in book.calven.away.items() if held} == approved_days(some)
        assert all(len(facts) == 1 for facts in book.calven.events.values())
        for one in some:
            with suppress(InvalidLeave):
                assert book.record(one).submissions == ()
