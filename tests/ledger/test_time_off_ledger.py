"""The ledger of leave, on DynamoDB as moto has it, and a Calven that keeps days."""

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from relay.config.model import Source, TimeOffType
from relay.errors import InvalidLeave
from relay.events import Amount, LeaveChange
from relay.time_off.submission import LEASE_GRACE_SECONDS
from tests.leave_book import (
    APPROVED,
    OTHER,
    SAM,
    SECONDS,
    SOURCE,
    Book,
    Sent,
    as_arrival,
    change,
    days,
    deleted,
    sent,
)

pytestmark = pytest.mark.slow

HALF = Amount(value=0.5, unit="days")


@pytest.fixture
def book() -> Iterator[Book]:
    """An empty ledger, and a Calven that knows of no leave."""
    with Book() as empty:
        yield empty


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


def test_older_configuration(book: Book) -> None:
    """A later configuration that reads leave alike is noted once: no older one reads it otherwise again."""
    part = change(1, "approved", 1, 5, first_day_part=True)

    def record(config: int, part_days: str = "skip") -> list[Sent]:
        source = Source(vendor="deel", partDays=part_days)
        now = book.clock()
        arrival = as_arrival(part, "deel", source, now, config)
        return sent(book.leaves().record(arrival, now, SECONDS, book.deadline()))

    arrival = as_arrival(part, "deel", SOURCE, book.clock(), 1)
    for submission in book.leaves().record(arrival, book.clock(), SECONDS, book.deadline()).submissions:
        book.send(submission)
    book.requests.clear()
    assert [record(3), record(3), record(1), record(2, "whole")] == [[], [], [], []]
    assert book.requests == ["BatchGetItem", "UpdateItem", *["BatchGetItem"] * 3]
    assert record(4, "whole") == [(1, 1, "leave")]


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
