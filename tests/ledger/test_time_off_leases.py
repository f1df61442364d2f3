"""Two who submit leave of one employee: leases, refusals, ends of processes, conflicts."""

from collections.abc import Iterator

import pytest

from relay.errors import Contended
from relay.events import LeaveChange
from relay.time_off.ledger import Recorded
from relay.time_off.submission import LEASE_GRACE_SECONDS
from tests.leave_book import APPROVED, OTHER, SECONDS, Book, change, days, sent

pytestmark = pytest.mark.slow


@pytest.fixture
def book() -> Iterator[Book]:
    """An empty ledger, and a Calven that knows of no leave."""
    with Book() as empty:
        yield empty


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


def test_unanswered_and_refused(book: Book) -> None:
    """What Calven refuses at last needs no cancellation either, however often it was sent before."""
    [submission] = book.record(APPROVED).submissions
    assert book.finish(submission, {}) is None
    refuse(book, APPROVED)
    assert book.employee()["held"] == []
    assert book.deliver(change(2, "ended", 1, 5)).submissions == ()


def test_unanswered_and_refused_change_of_type(book: Book) -> None:
    """Days that Calven had before are given back, also where their new type was refused at last."""
    book.deliver(APPROVED)
    again = change(2, "approved", 1, 5, type_name="Sick")
    [submission] = book.record(again).submissions
    assert book.finish(submission, {}) is None
    refuse(book, again)
    book.deliver(change(3, "ended", 1, 5))
    assert book.away() == {}


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
