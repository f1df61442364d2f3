"""Leave: what is submitted for an employee, and what Calven's results mean, without a table."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.config.model import TimeOffType
from relay.time_off.days import span
from relay.time_off.rules import Held, Leave, TimeOff, to_send
from relay.time_off.submission import (
    LEASE_GRACE_SECONDS,
    Cause,
    Employee,
    Lease,
    Submission,
    Term,
    employee_after,
    new_submission,
    next_submission,
)
from tests.unit.test_time_off_rules import HELD, KINDS, day, leave, without_attempts

SAM = "Sam@example.com"
NOW = 1793764800.0
TERM = Term("mine", NOW, 5)
LATER = Term("later", NOW + 1, 5)
CAUSE = Cause("deel", "e1@1")
AWAY = Employee(SAM, leaves={"deel/1": leave(1, 5)}, revision=3)

LEAVES: st.SearchStrategy[dict[str, Leave]] = st.dictionaries(
    st.sampled_from(("deel/1", "hibob/1", "deel/2")),
    st.builds(
        lambda first, length, kind, version: leave(first, first + length, kind, version),
        st.integers(1, 9),
        st.integers(0, 4),
        KINDS,
        st.sampled_from("123"),
    ),
)
EMPLOYEES = st.builds(Employee, st.just(SAM), LEAVES, HELD, round=st.integers(0, 3))


def submitted(employee: Employee = AWAY, term: Term = TERM) -> Submission:
    """The submission that there is."""
    submission = new_submission(employee, CAUSE, term)
    assert submission
    return submission


def answered(submission: Submission, *, accepted: bool = True) -> dict[str, bool]:
    """One answer to all of it."""
    return dict.fromkeys(submission.sending, accepted)


def test_submission() -> None:
    """A submission has its time and the lease for it, which lasts a little longer."""
    submission = submitted()
    assert submission.until == NOW + 5
    assert submission.employee.lease == Lease("mine", NOW + 5 + LEASE_GRACE_SECONDS)
    assert submission.held_before == {}
    assert (submission.employee.round, submission.employee.revision) == (1, 3)


def test_event_ids() -> None:
    """The ids that Calven is sent stay the same for ever: it tells repeats by them."""
    assert submitted().sending == {"dfb0d136-18bf-54d4-8531-81c4b7209f66": TimeOff(day(1), day(5), "leave")}


@given(EMPLOYEES)
def test_event_ids_of_one_submission(employee: Employee) -> None:
    """What is sent again is the same event; what is sent anew, after something else, is another one."""
    submission = new_submission(employee, CAUSE, TERM)
    if submission is None:
        assert employee.to_send() == []
        return
    assert list(submission.sending.values()) == employee.to_send()
    unanswered = replace(submission.employee, lease=None)
    assert set(submitted(unanswered, LATER).sending) == set(submission.sending)
    later_round = submitted(replace(unanswered, round=unanswered.round + 1))
    assert not set(later_round.sending) & set(submission.sending)


@pytest.mark.parametrize(("ends_at", "is_free"), [(NOW + 0.001, False), (NOW, True)])
def test_lease(ends_at: float, is_free: bool) -> None:
    """Nothing is submitted while another submission may be under way."""
    leased = replace(AWAY, lease=Lease("other", ends_at))
    assert leased.is_leased(NOW) != is_free
    assert (new_submission(leased, CAUSE, TERM) is not None) == is_free


@given(EMPLOYEES)
def test_accepted(employee: Employee) -> None:
    """Once all is accepted Calven holds what is wanted, nobody has the lease, and nothing is left to send."""
    if submission := new_submission(employee, CAUSE, TERM):
        after = employee_after(submission, submission.employee, answered(submission), uncertain=False)
        wanted: dict[date, TimeOffType] = {
            on: each.type for each in sorted(employee.leaves.values(), key=Leave.rank) for on in each.days()
        }
        assert {on: held.type for on, held in after.held.items()} == wanted
        assert all(held.confirmed for held in after.held.values())
        assert after.holder == ""
        assert new_submission(after, CAUSE, LATER) is None


@pytest.mark.parametrize("when", ["before", "while it is sent"])
def test_leave_that_ended_unseen_keeps_no_day(when: str) -> None:
    """A day that is told is held for who told it, not for leave of a shadowed source that ended unseen."""
    shadowed = frozenset({"trial"})
    ended = replace(leave(4, 8), state="ended", unseen=True)
    before = AWAY.assumed_away(ended, "trial") if when == "before" else AWAY
    submission = new_submission(before, CAUSE, TERM, shadowed)
    assert submission
    now = submission.employee
    if when != "before":
        now = now.assumed_away(ended, "trial")
    after = employee_after(submission, now, answered(submission), uncertain=False)
    assert {on: held.origins for on, held in after.held.items() if held.type} == dict.fromkeys(
        AWAY.leaves["deel/1"].days(), frozenset({"deel"})
    )
    assert after.without({"deel/1"}).to_send(shadowed) == [TimeOff(day(1), day(5), None, SAM)]


@given(EMPLOYEES)
def test_refused(employee: Employee) -> None:
    """What Calven refused leaves its days as they were, and is sent again with the next change."""
    if submission := new_submission(employee, CAUSE, TERM):
        results = answered(submission, accepted=False)
        after = employee_after(submission, submission.employee, results, uncertain=False)
        assert after.held_alike() == without_attempts(_by_day(submission.sending.values()), employee.held)
        assert after.to_send() == employee.to_send()


@given(EMPLOYEES, st.data())
def test_answered_in_part(employee: Employee, data: st.DataObject) -> None:
    """An event of which Calven said nothing is sent again with the next change, the others are not."""
    if submission := new_submission(employee, CAUSE, TERM):
        known = data.draw(st.sets(st.sampled_from(sorted(submission.sending))))
        after = employee_after(submission, submission.employee, dict.fromkeys(known, True), uncertain=False)
        left = [sent for event_id, sent in submission.sending.items() if event_id not in known]
        assert _by_day(after.to_send()) == _by_day(left)


def _by_day(sending: Iterable[TimeOff]) -> dict[date, TimeOffType | None]:
    return {on: sent.type for sent in sending for on in span(sent.start, sent.end)}


def test_uncertain() -> None:
    """Where Calven may still take a request the lease stays, and nothing more is submitted under it."""
    submission = submitted()
    changed = replace(submission.employee, leaves={"deel/1": leave(1, 7)}, revision=4)
    after = employee_after(submission, changed, answered(submission), uncertain=True)
    assert after.lease == submission.employee.lease
    assert next_submission(submission, after, answered(submission), LATER) is None
    much_later = Term("later", NOW + 5 + LEASE_GRACE_SECONDS, 5)
    assert next_submission(submission, after, answered(submission), much_later)


def test_nothing_recorded_meanwhile() -> None:
    """Who finds the employee as they left them lets go, also when something was refused."""
    submission = submitted()
    for accepted in (True, False):
        results = answered(submission, accepted=accepted)
        after = employee_after(submission, submission.employee, results, uncertain=False)
        assert next_submission(submission, after, results, LATER) is None


def test_recorded_meanwhile() -> None:
    """What was recorded during a submission is sent by its holder, as an event of its own."""
    submission = submitted()
    changed = replace(submission.employee, leaves={"deel/1": leave(2, 7)}, revision=4)
    results = answered(submission)
    after = employee_after(submission, changed, results, uncertain=False)
    following = next_submission(submission, after, results, LATER)
    assert following
    assert list(following.sending.values()) == [
        TimeOff(day(1), day(1), None, SAM),
        TimeOff(day(6), day(7), "leave"),
    ]
    assert following.cause == Cause("deel", "e1@1+4")
    assert (following.until, following.employee.holder) == (NOW + 6, "later")


def test_recorded_meanwhile_and_not_answered() -> None:
    """While an event has no answer its holder sends nothing more: the vendor's event comes again."""
    submission = submitted()
    changed = replace(submission.employee, leaves={"deel/1": leave(1, 7)}, revision=4)
    after = employee_after(submission, changed, {}, uncertain=False)
    assert next_submission(submission, after, {}, LATER) is None


def test_to_send() -> None:
    """What an employee is sent is the difference of wanted and held."""
    held = {day(1): Held("leave", confirmed=True)}
    assert replace(AWAY, held=held).to_send() == to_send(dict.fromkeys(map(day, range(1, 6)), "leave"), held)
