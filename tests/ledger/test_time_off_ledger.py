"""The ledger of leave, on DynamoDB as moto has it, and a Calven that keeps days."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.aws.table import Table
from relay.config.model import Source, TimeOffType
from relay.deadline import Deadline
from relay.errors import Contended, InvalidLeave
from relay.events import Amount, LeaveChange
from relay.time_off.days import span
from relay.time_off.ledger import Leaves, Recorded
from relay.time_off.rules import TimeOff
from relay.time_off.submission import LEASE_GRACE_SECONDS, Submission
from tests.moto_table import FEW, Ledger

pytestmark = pytest.mark.slow

TYPES = {"Vacation": "holiday", "Sick": "sick"}
SOURCE = Source.model_validate({"vendor": "deel", "timeOffTypes": TYPES})
SAM = "Sam@example.com"
FIRST = date(2027, 2, 1)
SECONDS = 5.0
Sent = tuple[int, int, TimeOffType | None]


def change(
    version: int,
    state: str = "approved",
    first: int | None = None,
    last: int | None = None,
    leave: str = "1",
    **fields: Any,
) -> LeaveChange:
    """What a leave became: by default approved, of Sam's, from the n-th to the m-th of February 2027."""
    dates = {name: day and _day(day).isoformat() for name, day in (("start", first), ("end", last))}
    return LeaveChange.model_validate(
        {
            "event_id": f"e{version}-{leave}",
            "leave_id": leave,
            "state": state,
            "version": f"{version:03}",
            "email": SAM,
            **dates,
            **fields,
        }
    )


HALF = Amount(value=0.5, unit="days")


def deleted(version: int, leave: str = "1") -> LeaveChange:
    """A deletion that carries nothing but the leave's id."""
    return change(version, "ended", leave=leave, email=None)


def _day(number: int) -> date:
    return FIRST + timedelta(days=number - 1)


def _number(day: date) -> int:
    return (day - FIRST).days + 1


def days(first: int, last: int, kind: TimeOffType = "leave") -> dict[int, TimeOffType]:
    """Days away, by number."""
    return dict.fromkeys(range(first, last + 1), kind)


@dataclass
class Calven:
    """Calven's side: days away by employee, and every event that it took."""

    away: dict[str, dict[int, TimeOffType]] = field(default_factory=dict)
    events: dict[str, set[tuple[str, TimeOff]]] = field(default_factory=dict)

    def take(self, submission: Submission) -> dict[str, bool]:
        """Take all that a submission sends."""
        email = submission.employee.email.lower()
        for event_id, time_off in submission.sending.items():
            self.events.setdefault(event_id, set()).add((email, replace(time_off, email="")))
            held = self.away.setdefault(email, {})
            for number in map(_number, span(time_off.start, time_off.end)):
                held.pop(number, None)
                if time_off.type:
                    held[number] = time_off.type
        return dict.fromkeys(submission.sending, True)


class Book(Ledger):
    """A ledger of leave with a Calven, and changes delivered as the pipeline does."""

    def __init__(self) -> None:
        super().__init__()
        self.calven = Calven()

    def leaves(self, table: Table | None = None) -> Leaves:
        """A new container's leave."""
        return Leaves(table or self.table, self.clock)

    def record(self, change: LeaveChange, source: str = "deel", table: Table | None = None) -> Recorded:
        """Record a change, and send nothing."""
        return self.leaves(table).record(change, source, SOURCE, SECONDS, self.deadline())

    def deliver(self, change: LeaveChange, source: str = "deel", table: Table | None = None) -> Recorded:
        """Record a change, and send whatever there is to send until nothing is."""
        recorded = self.record(change, source, table)
        for submission in recorded.submissions:
            self.send(submission)
        return recorded

    def send(self, submission: Submission) -> None:
        """Send what a submission has to send, and note it, until there is nothing more."""
        more: Submission | None = submission
        while more:
            more = self.finish(more, self.calven.take(more))

    def finish(
        self, submission: Submission, results: Mapping[str, bool], *, uncertain: bool = False
    ) -> Submission | None:
        """Note what Calven said of a submission."""
        return self.leaves().finish(submission, results, self.deadline(), uncertain=uncertain)

    def deadline(self) -> Deadline:
        """Time enough for a few conflicts."""
        return Deadline(self.clock() + SECONDS, self.clock)

    def away(self, email: str = SAM) -> dict[int, TimeOffType]:
        """The days that Calven has, by number."""
        return self.calven.away.get(email.lower(), {})

    def employee(self, email: str = SAM) -> Mapping[str, Any]:
        """The employee's item."""
        item = self.item((f"employee#{email.lower()}", "leave"))
        assert item
        return item


@pytest.fixture
def book() -> Iterator[Book]:
    """An empty ledger, and a Calven that knows of no leave."""
    with Book() as empty:
        yield empty


def sent(recorded: Recorded) -> list[Sent]:
    """What is sent at once, by number of day."""
    return sorted(
        (_number(t.start), _number(t.end), t.type)
        for submission in recorded.submissions
        for t in submission.sending.values()
    )


APPROVED = change(1, "approved", 1, 5)
OTHER = change(2, "approved", 3, 8, "2")


SICK: dict[str, Any] = {"type_name": "Sick"}
HOLIDAY: dict[str, Any] = {"type_name": "Vacation"}
DECLINED: dict[str, Any] = {"declined": True}
NOBODY: dict[str, Any] = {"email": None}
REPLACING = change(2, "approved", 3, 8, "2", replaces="1")
CASES: dict[str, tuple[list[LeaveChange], LeaveChange, list[Sent] | str]] = {
    "approved": ([], APPROVED, [(1, 5, "leave")]),
    "requested": ([], change(1, "requested", 1, 5), "requested"),
    "request approved": ([change(1, "requested", 1, 5)], change(2, "approved", 1, 5), [(1, 5, "leave")]),
    "moved": ([APPROVED], change(2, "approved", 3, 8), [(1, 2, None), (6, 8, "leave")]),
    "moved far": ([APPROVED], change(2, "approved", 11, 12), [(1, 5, None), (11, 12, "leave")]),
    "extended": ([APPROVED], change(2, "approved", 1, 7), [(6, 7, "leave")]),
    "shortened": ([APPROVED], change(2, "approved", 2, 4), [(1, 1, None), (5, 5, None)]),
    "other type": ([APPROVED], change(2, "approved", 1, 5, **SICK), [(1, 5, "sick")]),
    "other type that is none": ([APPROVED], change(2, "approved", 1, 5), "unchanged"),
    "changed without address": ([APPROVED], change(2, "approved", 2, 5, **NOBODY), [(1, 1, None)]),
    "approval withdrawn": ([APPROVED], change(2, "requested", 1, 5), [(1, 5, None)]),
    "cancelled": ([APPROVED], change(2, "ended", 1, 5), [(1, 5, None)]),
    "declined after approval": ([APPROVED], change(2, "ended", 1, 5, **DECLINED), [(1, 5, None)]),
    "approved once more": ([APPROVED, change(2, "ended")], change(3, "approved", 1, 5), [(1, 5, "leave")]),
    "deleted": ([APPROVED], deleted(2), [(1, 5, None)]),
    "declined request": ([change(1, "requested", 1, 5)], change(2, "ended", 1, 5, **DECLINED), "declined"),
    "cancelled request": ([change(1, "requested", 1, 5)], change(2, "ended", 1, 5), "not_approved"),
    "deleted request": ([change(1, "requested", 1, 5)], deleted(2), "not_approved"),
    "declined and never seen": ([], change(1, "ended", 1, 5, **DECLINED), "declined"),
    "cancelled and never seen": ([], change(1, "ended", 1, 5), [(1, 5, None)]),
    "cancelled, never seen, and covered": ([OTHER], change(3, "ended", 1, 5), [(1, 2, None)]),
    "part of a day": ([], change(1, "approved", 1, 1, first_day_part=True), "part_day"),
    "part of the last day": ([], change(1, "approved", 1, 5, last_day_part=True), [(1, 4, "leave")]),
    "part of every day": ([APPROVED], change(2, "approved", 1, 5, each_day=HALF), [(1, 5, None)]),
    "overlap": ([APPROVED], OTHER, [(6, 8, "leave")]),
    "overlap of types": ([APPROVED], change(2, "approved", 3, 4, "2", **HOLIDAY), [(3, 4, "holiday")]),
    "first of an overlap ends": ([APPROVED, OTHER], change(3, "ended"), [(1, 2, None)]),
    "second of an overlap ends": ([APPROVED, OTHER], change(3, "ended", leave="2"), [(6, 8, None)]),
    "newest type of an overlap": ([APPROVED, OTHER], change(3, "approved", 1, 4, **SICK), [(1, 4, "sick")]),
    "replaced": ([APPROVED], REPLACING, [(1, 2, None), (6, 8, "leave")]),
    "replaced by what ended": (
        [APPROVED],
        change(2, "ended", leave="2", replaces="1", **NOBODY),
        [(1, 5, None)],
    ),
    "replaced by a request": (
        [APPROVED],
        change(2, "requested", leave="2", replaces="1", **NOBODY),
        [(1, 5, None)],
    ),
    "older": ([change(2, "approved", 1, 5)], change(1, "approved", 1, 9), "superseded"),
    "older than the end": ([change(2, "ended", 1, 5)], APPROVED, "superseded"),
    "the same": ([APPROVED], APPROVED, "superseded"),
    "ended at the same time": ([APPROVED], change(1, "ended", 1, 5), [(1, 5, None)]),
    "approved when it ended": ([change(1, "ended", 1, 5)], APPROVED, "superseded"),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_sent(book: Book, case: str) -> None:
    """What is sent is the difference between what was approved and what is now, or the reason for nothing."""
    before, then, expected = CASES[case]
    for earlier in before:
        book.deliver(earlier)
    recorded = book.deliver(then)
    assert sent(recorded) == (expected if isinstance(expected, list) else [])
    assert recorded.busy is False
    if isinstance(expected, str):
        assert recorded.reason == expected
    again = book.deliver(then)
    assert (again.submissions, again.reason) == ((), "superseded")


def test_two_sources(book: Book) -> None:
    """Leave of two sources is one employee's, also under one id; the end of one keeps the other's days."""
    book.deliver(APPROVED, "deel")
    book.deliver(change(1, "approved", 4, 7, email="SAM@EXAMPLE.COM"), "hibob")
    assert book.away() == days(1, 7)
    assert sent(book.deliver(change(2, "ended", 1, 5), "deel")) == [(1, 3, None)]
    assert book.away() == days(4, 7)


def test_two_employees(book: Book) -> None:
    """One employee's leave is nothing to another."""
    book.deliver(APPROVED)
    book.deliver(change(1, "approved", 3, 4, "2", email="kim@example.com"))
    book.deliver(change(2, "ended", 1, 5))
    assert (book.away(), book.away("kim@example.com")) == ({}, days(3, 4))


@pytest.mark.parametrize("unknown", [deleted(2), change(2, "ended")], ids=["id only", "no dates"])
def test_unknown_deletion(book: Book, unknown: LeaveChange) -> None:
    """A deletion that is of no use is refused by name, and still outlasts an older approval."""
    with pytest.raises(InvalidLeave) as invalid:
        book.deliver(unknown)
    assert invalid.value.reason == "unknown_leave"
    assert book.deliver(APPROVED).reason == "superseded"
    with pytest.raises(InvalidLeave):
        book.deliver(unknown)
    assert sent(book.deliver(change(3, "approved", 1, 5))) == [(1, 5, "leave")]


def test_declined_by_id(book: Book) -> None:
    """A decline needs to know nobody: nothing is sent for it."""
    assert book.deliver(change(1, "ended", email=None, declined=True)).reason == "declined"


def test_no_email(book: Book) -> None:
    """Approved leave of nobody knows whom is refused by name, and comes right once the address is known."""
    with pytest.raises(InvalidLeave) as invalid:
        book.deliver(change(1, "approved", 1, 5, email=None))
    assert invalid.value.reason == "no_email"
    assert sent(book.deliver(APPROVED)) == [(1, 5, "leave")]


def test_requested_of_nobody(book: Book) -> None:
    """A request may name nobody yet."""
    assert book.deliver(change(1, "requested", email=None)).reason == "requested"
    assert sent(book.deliver(change(2, "approved", 1, 5))) == [(1, 5, "leave")]


@pytest.mark.parametrize(
    ("bad", "reason", "left"),
    [
        (change(2, "approved", 1, None, open_ended=True), "open_ended", days(1, 5)),
        (change(2, "approved", 4, None, open_ended=True), "open_ended", days(4, 5)),
        (change(2, "approved", 9, None, open_ended=True), "open_ended", {}),
        (change(2, "approved", 5, 1), "invalid_dates", {}),
        (change(2, "approved", 3, 403), "invalid_dates", days(3, 5)),
        (change(2, "approved", None, None), "invalid_dates", {}),
    ],
)
def test_invalid(book: Book, bad: LeaveChange, reason: str, left: dict[int, TimeOffType]) -> None:
    """What a change that cannot be told does not cover is given back; it says why it is refused."""
    book.deliver(APPROVED)
    for _ in range(2):
        recorded = book.deliver(bad)
        assert recorded.refused
        assert recorded.refused.reason == reason
        assert book.away() == left
    assert book.deliver(APPROVED).reason == "superseded"
    book.deliver(change(3, "ended", 1, 5))
    assert book.away() == {}


def test_longest(book: Book) -> None:
    """Four hundred days are sent, and kept as the one range that they are."""
    assert sent(book.deliver(change(1, "approved", 1, 400))) == [(1, 400, "leave")]
    assert len(book.employee()["held"]) == 1


def test_moved_address(book: Book) -> None:
    """Leave whose address changed moves: the old employee's days go, the new one's come."""
    book.deliver(APPROVED)
    recorded = book.deliver(change(2, "approved", 2, 6, email="sam.new@example.com"))
    assert {submission.employee.email for submission in recorded.submissions} == {SAM, "sam.new@example.com"}
    assert (book.away(), book.away("sam.new@example.com")) == ({}, days(2, 6))
    book.deliver(deleted(3))
    assert book.away("sam.new@example.com") == {}


@pytest.mark.parametrize("sent_in_between", [False, True])
def test_crash_of_a_moved_address(book: Book, sent_in_between: bool) -> None:
    """When an address changed and Calven did not answer, the old employee's days go with the next try."""
    book.deliver(APPROVED)
    moved = change(2, "approved", 2, 6, email="sam.new@example.com")
    for submission in book.record(moved).submissions:
        book.finish(submission, book.calven.take(submission) if sent_in_between else {}, uncertain=True)
    book.clock.advance(SECONDS + LEASE_GRACE_SECONDS)
    book.deliver(moved)
    assert (book.away(), book.away("sam.new@example.com")) == ({}, days(2, 6))


@pytest.mark.parametrize("sent_in_between", [False, True])
def test_crash_of_a_replacement_under_another_address(book: Book, sent_in_between: bool) -> None:
    """When a replacement names another address and Calven did not answer, the next try does all of it."""
    book.deliver(APPROVED)
    replacing = change(2, "approved", 3, 8, "2", replaces="1", email="sam.new@example.com")
    for submission in book.record(replacing).submissions:
        book.finish(submission, book.calven.take(submission) if sent_in_between else {}, uncertain=True)
    book.clock.advance(SECONDS + LEASE_GRACE_SECONDS)
    book.deliver(replacing)
    assert (book.away(), book.away("sam.new@example.com")) == ({}, days(3, 8))


def test_address_that_changed_twice(book: Book) -> None:
    """The days under the first address go even when the address changed again before they could."""
    book.deliver(APPROVED)
    second = change(2, "approved", 1, 5, email="kim@example.com")
    for submission in book.record(second).submissions:
        book.finish(submission, {})
    book.deliver(change(3, "approved", 1, 5, email="lee@example.com"))
    book.deliver(second)
    assert (book.away(), book.away("kim@example.com")) == ({}, {})
    assert book.away("lee@example.com") == days(1, 5)


def test_old_leave_cancelled_while_another_is_refused(book: Book) -> None:
    """Days of leave older than the relay are given back although a submission under way covers them."""
    book.calven.away[SAM.lower()] = days(4, 9)
    [submission] = book.record(change(2, "approved", 1, 4)).submissions
    old = change(1, "ended", 4, 9, "old")
    assert book.record(old).busy
    assert book.record(change(3, "ended")).busy
    more = book.finish(submission, dict.fromkeys(submission.sending, False))
    while more:
        more = book.finish(more, book.calven.take(more))
    book.deliver(change(3, "ended"))
    book.deliver(old)
    assert book.away() == {}


def test_event_id_is_not_used_again(book: Book) -> None:
    """What is sent anew after it was taken back is a new event, also for a Calven that drops repeated ids."""
    book.deliver(APPROVED)
    taken = set(book.calven.events)
    book.deliver(change(2, "ended"))
    for submission in book.record(change(3, "approved", 1, 5, "2")).submissions:
        book.finish(submission, {})
    [submission] = book.record(APPROVED).submissions
    assert not taken & set(submission.sending)


def test_leave_called_none(book: Book) -> None:
    """A leave's id may be any text."""
    book.deliver(change(1, "approved", 1, 2, "None"))
    book.deliver(change(2, "approved", 5, 6, "2"))
    assert book.away() == {**days(1, 2), **days(5, 6)}


def test_superseded_without_address(book: Book) -> None:
    """An approval that is superseded is ignored, whoever it may be of."""
    with pytest.raises(InvalidLeave):
        book.deliver(deleted(2))
    assert book.deliver(change(1, "approved", 1, 5, email=None)).reason == "superseded"


def test_moved_address_of_a_request(book: Book) -> None:
    """An address that changed before there was anything to send leaves nothing behind."""
    book.deliver(change(1, "requested", 1, 5))
    book.deliver(change(2, "approved", 1, 5, email="sam.new@example.com"))
    assert (book.away(), book.away("sam.new@example.com")) == ({}, days(1, 5))
    assert book.item((f"employee#{SAM.lower()}", "leave")) is None


def test_case_of_an_address(book: Book) -> None:
    """The same address in another case is the same employee; what is sent has the case that came last."""
    book.deliver(APPROVED)
    recorded = book.deliver(change(2, "approved", 1, 6, email="SAM@example.com"))
    assert sent(recorded) == [(6, 6, "leave")]
    assert [submission.employee.email for submission in recorded.submissions] == ["SAM@example.com"]


def test_replaced_under_another_address(book: Book) -> None:
    """A leave that is replaced by one under another address ends all the same."""
    book.deliver(APPROVED)
    book.deliver(change(2, "approved", 3, 8, "2", replaces="1", email="sam.new@example.com"))
    assert (book.away(), book.away("sam.new@example.com")) == ({}, days(3, 8))


@pytest.mark.parametrize(
    ("some", "expected"),
    [
        ([APPROVED, REPLACING], days(3, 8)),
        ([REPLACING, APPROVED], days(3, 8)),
        ([APPROVED, REPLACING, change(3, "approved", 3, 9, "2")], days(3, 9)),
        ([APPROVED, change(3, "approved", 3, 9, "2"), REPLACING], days(3, 9)),
        ([change(3, "approved", 1, 5), REPLACING], days(3, 8)),
        ([REPLACING, change(3, "approved", 1, 5)], days(3, 8)),
    ],
    ids=[
        "in order",
        "replacement first",
        "changed since",
        "changed since, before its news came",
        "heard of later, before its news came",
        "heard of later",
    ],
)
def test_replacement_in_any_order(
    book: Book, some: Sequence[LeaveChange], expected: dict[int, TimeOffType]
) -> None:
    """A replaced leave ends for good, whenever the news of it comes and whatever else is heard of it."""
    for one in some:
        book.deliver(one)
    assert book.away() == expected


def test_lease(book: Book) -> None:
    """While a submission is under way, another change is recorded and sends nothing itself."""
    [submission] = book.record(APPROVED).submissions
    assert submission.until == book.clock() + SECONDS
    recorded = book.deliver(change(2, "ended", 1, 5), table=book.other)
    assert (recorded.submissions, recorded.busy) == ((), True)


def test_holder_looks_again(book: Book) -> None:
    """Whoever holds the lease sends what was recorded meanwhile before letting go."""
    [submission] = book.record(APPROVED).submissions
    book.deliver(change(2, "approved", 3, 8), table=book.other)
    more = book.finish(submission, book.calven.take(submission))
    assert more
    assert sent(Recorded((more,), "")) == [(1, 2, None), (6, 8, "leave")]
    assert book.finish(more, book.calven.take(more)) is None
    assert book.away() == days(3, 8)
    assert book.employee()["lease"] == []
    assert sent(book.deliver(change(3, "ended"))) == [(3, 8, None)]


def test_nothing_more(book: Book) -> None:
    """A holder who finds changes that need nothing sent lets go."""
    [submission] = book.record(APPROVED).submissions
    book.deliver(change(2, "approved", 3, 4, "2"), table=book.other)
    assert book.finish(submission, book.calven.take(submission)) is None
    assert book.employee()["lease"] == []


def test_lease_runs_out(book: Book) -> None:
    """A lease that nobody let go of is taken over once it has run out; its holder then changes nothing."""
    [lost] = book.record(APPROVED).submissions
    book.clock.advance(SECONDS + LEASE_GRACE_SECONDS - 0.1)
    assert book.deliver(change(2, "ended", 1, 5)).busy
    book.clock.advance(0.2)
    [submission] = book.record(change(2, "ended", 1, 5)).submissions
    before = book.employee()
    assert book.finish(lost, dict.fromkeys(lost.sending, True)) is None
    assert book.employee() == before
    book.send(submission)
    assert book.finish(lost, dict.fromkeys(lost.sending, True)) is None
    assert book.away() == {}
    assert book.employee()["held"] == []


def test_uncertain(book: Book) -> None:
    """Where Calven may still take a request, the lease stays until it runs out; then it is sent again."""
    [submission] = book.record(APPROVED).submissions
    assert book.finish(submission, {}, uncertain=True) is None
    cancelled = change(2, "ended", 1, 5)
    assert book.deliver(cancelled).busy
    assert book.calven.take(submission)
    book.clock.advance(SECONDS + LEASE_GRACE_SECONDS)
    assert sent(book.deliver(cancelled)) == [(1, 5, None)]
    assert book.away() == {}


def test_uncertain_and_overtaken(book: Book) -> None:
    """A lease that stays is not used to send more."""
    [submission] = book.record(APPROVED).submissions
    book.deliver(change(2, "ended", 1, 5), table=book.other)
    assert book.finish(submission, dict.fromkeys(submission.sending, True), uncertain=True) is None
    assert book.deliver(change(2, "ended", 1, 5)).busy


def test_not_sent(book: Book) -> None:
    """What was not sent is sent again by the same change, at once and under the same ids."""
    [submission] = book.record(APPROVED).submissions
    assert book.finish(submission, {}) is None
    [again] = book.deliver(APPROVED).submissions
    assert again.sending == submission.sending
    assert book.deliver(APPROVED).submissions == ()


def test_sent_in_part(book: Book) -> None:
    """Only what Calven did not accept is sent again; meanwhile the holder sends nothing more."""
    book.deliver(APPROVED)
    [submission] = book.record(change(2, "approved", 3, 8)).submissions
    [cancelled] = [event_id for event_id, time_off in submission.sending.items() if time_off.type is None]
    book.deliver(change(3, "approved", 3, 9), table=book.other)
    assert book.finish(submission, {cancelled: True}) is None
    assert sent(book.deliver(change(3, "approved", 3, 9))) == [(6, 9, "leave")]


@pytest.mark.parametrize("arrived", [False, True])
def test_crash(book: Book, arrived: bool) -> None:
    """After a crash before or after sending, the same change sends the same once more."""
    [submission] = book.record(APPROVED).submissions
    if arrived:
        book.calven.take(submission)
    assert book.deliver(APPROVED).busy
    book.clock.advance(SECONDS + LEASE_GRACE_SECONDS)
    [again] = book.deliver(APPROVED).submissions
    assert again.sending == submission.sending
    assert book.away() == days(1, 5)


@pytest.mark.parametrize("arrived", [False, True])
def test_crash_and_change(book: Book, arrived: bool) -> None:
    """After a crash, another change takes back what Calven may hold, whether it does or not."""
    [submission] = book.record(APPROVED).submissions
    if arrived:
        book.calven.take(submission)
    book.clock.advance(SECONDS + LEASE_GRACE_SECONDS)
    assert sent(book.deliver(change(2, "approved", 4, 6))) == [(1, 3, None), (4, 6, "leave")]
    assert book.away() == days(4, 6)


def test_crash_of_a_cancellation_long_ago(book: Book) -> None:
    """Days to be taken back are not forgotten because they are long ago."""
    book.deliver(change(1, "approved", -200, -195))
    cancelled = change(2, "ended", -200, -195)
    [submission] = book.record(cancelled).submissions
    assert book.finish(submission, {}) is None
    book.deliver(cancelled)
    assert book.away() == {}


def refuse(book: Book, change: LeaveChange) -> None:
    """Deliver a change of which Calven refuses everything by result code."""
    for submission in book.record(change).submissions:
        assert book.finish(submission, dict.fromkeys(submission.sending, False)) is None


def test_refused(book: Book) -> None:
    """Days that Calven refused are not held; the same change sends them again."""
    refuse(book, APPROVED)
    assert book.employee()["held"] == []
    assert sent(book.deliver(APPROVED)) == [(1, 5, "leave")]


def test_refused_and_cancelled(book: Book) -> None:
    """What Calven refused needs no cancellation."""
    refuse(book, APPROVED)
    assert book.deliver(change(2, "ended", 1, 5)).submissions == ()


def test_refused_change_of_type(book: Book) -> None:
    """Days whose new type Calven refused are still given back when the leave is cancelled."""
    book.deliver(APPROVED)
    refuse(book, change(2, "approved", 1, 5, type_name="Sick"))
    book.deliver(change(3, "ended", 1, 5))
    assert book.away() == {}


def test_refused_cancellation(book: Book) -> None:
    """A cancellation that Calven refused is sent again when its dead letter comes back."""
    book.deliver(APPROVED)
    refuse(book, change(2, "ended", 1, 5))
    book.deliver(change(2, "ended", 1, 5))
    assert book.away() == {}


def test_one_id_for_one_fact(book: Book) -> None:
    """Two submissions share an id only if they say the same, also where the vendor's events share theirs."""
    book.deliver(change(1, "approved", 1, 5, event_id="approved"))
    book.deliver(change(2, "ended", 1, 5, event_id="cancelled"))
    [again] = book.deliver(change(3, "approved", 1, 5, event_id="approved")).submissions
    assert len(again.sending) == 1
    assert len(book.calven.events) == 3


def test_conflict(book: Book) -> None:
    """A change that another one overtakes between reading and writing is recorded on top of it."""
    book.before("TransactWriteItems", lambda: book.deliver(OTHER, table=book.other))
    assert sent(book.deliver(APPROVED)) == [(1, 2, "leave")]
    assert book.away() == days(1, 8)


def interfere(book: Book, operation: str) -> None:
    """Have another worker be faster in each of the seconds that there are."""
    versions = iter(range(2, 20))

    def write() -> None:
        book.deliver(change(next(versions), "approved", 3, 8, "2"), table=book.other)
        book.clock.advance(1)

    book.before(operation, write, times=int(SECONDS))
    book.requests.clear()


def test_contended(book: Book) -> None:
    """When others keep writing until no time is left, a change is for later; nothing of it is written."""
    interfere(book, "TransactWriteItems")
    with pytest.raises(Contended):
        book.deliver(APPROVED)
    assert book.requests.count("TransactWriteItems") == SECONDS
    assert book.away() == days(3, 8)


def test_finish_contended(book: Book) -> None:
    """When others keep writing, a holder gives up and its lease runs out; what it sent is sent again."""
    [submission] = book.record(APPROVED).submissions
    interfere(book, "UpdateItem")
    assert book.finish(submission, book.calven.take(submission)) is None
    assert book.requests.count("UpdateItem") == SECONDS
    assert book.employee()["lease"]
    book.clock.advance(SECONDS + LEASE_GRACE_SECONDS)
    assert sent(book.deliver(APPROVED)) == [(1, 8, "leave")]


def test_old_leave_is_dropped(book: Book) -> None:
    """Leave that ended over 60 days ago is dropped with the next change, and nothing is sent about it."""
    book.deliver(change(1, "approved", -95, -92, "old"))
    book.clock.advance(61 * 86400)
    assert sent(book.deliver(APPROVED)) == [(1, 5, "leave")]
    item = book.employee()
    assert set(item["leaves"]) == {"deel/1"}
    assert [held[:2] for held in item["held"]] == [["2027-02-01", "2027-02-05"]]


def test_items_expire(book: Book) -> None:
    """Items expire two months after the last day of leave, requested or not; else after the change."""
    month = 30 * 86400
    book.deliver(change(1, "approved", 1, 28))
    book.deliver(change(1, "requested", 1, 28, "2", email="kim@example.com"))
    end, now = 1803772800 + 60 * 86400, book.clock() + 60 * 86400
    leave, request = (book.item((f"leave#deel#{number}", "leave")) for number in (1, 2))
    assert leave
    assert request
    assert end <= leave["expires_at"] == book.employee()["expires_at"] < end + month
    assert request["expires_at"] == leave["expires_at"]
    with pytest.raises(InvalidLeave):
        book.deliver(deleted(2, "3"))
    tombstone = book.item(("leave#deel#3", "leave"))
    assert tombstone
    assert now <= tombstone["expires_at"] < now + month


def test_requests(book: Book) -> None:
    """A change takes two requests and one to note the result; one that names only an id, one more."""
    book.deliver(change(1, "approved", 11, 12, "2"))
    book.requests.clear()
    book.deliver(APPROVED)
    assert book.requests == ["BatchGetItem", "TransactWriteItems", "UpdateItem"]
    book.requests.clear()
    book.deliver(APPROVED)
    assert book.requests == ["BatchGetItem"]
    book.requests.clear()
    book.deliver(deleted(2))
    assert book.requests == ["BatchGetItem", "BatchGetItem", "TransactWriteItems", "UpdateItem"]


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
            first, end = (_number(date.fromisoformat(text)) for text in (one.start, one.end))
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
