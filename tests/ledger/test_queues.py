"""What is not forwarded waits in an envelope that survives its queue, and is never lost on the way there."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ConnectTimeoutError
from hypothesis import strategies as st
from moto import mock_aws

from relay.aws.queues import Queues, QueueUnavailable
from relay.envelope import Envelope, StoredRequest, wait_seconds
from relay.events import (
    Amount,
    BadgeEvent,
    DayOff,
    Ignored,
    LeaveChange,
    SensorReading,
    ThinEvent,
    Webhook,
)
from relay.occupancy.rules import Fact
from tests.rig import NOON
from tests.servers import Faulty, aws_client, aws_error

RECEIVED = datetime.fromtimestamp(NOON, UTC)
BADGE = BadgeEvent(event_id="e-1", at=RECEIVED, door="48211", person="hash", direction="in")


def envelope(**changes: Any) -> Envelope:
    """A badge's envelope."""
    fields = {"source": "kisi-sydney", "vendor": "kisi", "kind": "occupancy", "received_at": RECEIVED}
    return Envelope.model_validate(
        {**fields, **({} if "request" in changes else {"event": BADGE}), **changes}
    )


# The envelope

words = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30)
maybe = st.none() | words
units = st.sampled_from(("hours", "days"))
times = st.datetimes(datetime(2000, 1, 1), datetime(2099, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
badges = st.builds(
    BadgeEvent,
    event_id=words,
    at=times,
    door=words,
    person=maybe,
    direction=st.sampled_from(["in", "out", None]),
)
leaves = st.builds(
    LeaveChange,
    event_id=words,
    leave_id=words,
    state=st.sampled_from(["requested", "approved", "ended"]),
    version=words,
    email=maybe,
    start=maybe,
    end=maybe,
    open_ended=st.booleans(),
    type_name=maybe,
    first_day_part=st.booleans(),
    days=st.lists(st.builds(DayOff, on=words, value=st.floats(0, 24), unit=units), max_size=2).map(tuple),
    each_day=st.none() | st.builds(Amount, value=st.floats(0, 24), unit=units),
    replaces=maybe,
)
notices = st.builds(ThinEvent, event_id=words, subject=words, employee=words, replaces=maybe)
people = st.integers(0, 1_000_000)
readings = st.builds(
    SensorReading, event_id=words, at=times, sensor=words, people=people, occupied=st.none() | st.booleans()
) | st.builds(SensorReading, event_id=words, at=times, sensor=words, occupied=st.booleans())
events = badges | readings | leaves | notices | st.builds(Ignored, event_id=words, reason=words)
facts = st.builds(Fact, event_id=words, place=words, site=words, day=maybe)
requests = st.builds(
    StoredRequest.of,
    st.builds(
        Webhook,
        body=st.binary(),
        received_at=st.just(NOON),
        topic=maybe,
        headers=st.dictionaries(words, words, max_size=2),
    ),
)
forms: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.builds(dict, event=events),
    st.builds(dict, calven=st.lists(facts, min_size=1, max_size=3).map(tuple)),
    st.builds(dict, request=requests),
)


@st.composite
def envelopes(draw: st.DrawFn) -> Envelope:
    """Any envelope, in any of its forms, some of them failed."""
    found = Envelope(
        source=draw(words),
        vendor=draw(words),
        kind=draw(st.sampled_from(["occupancy", "time_off"])),
        received_at=draw(times),
        **draw(forms),
    )
    for _ in range(draw(st.integers(0, 2))):
        found = found.failed(draw(words), draw(words), draw(times))
    return found


# The wait


@pytest.mark.parametrize(
    ("attempts", "seconds"),
    [(0, 0), (1, 30), (2, 60), (3, 120), (4, 240), (5, 480), (6, 900), (7, 900), (100, 900), (10_000, 900)],
)
@pytest.mark.parametrize("base", [30, 1, 0.001])
def test_wait(attempts: int, seconds: float, base: float) -> None:
    """The wait doubles from the base up to thirty times it, give or take a fifth; there is none at first."""
    scaled = seconds * base / 30
    waits = [wait_seconds(attempts, base) for _ in range(300)]
    assert all(scaled * 0.8 <= wait <= scaled * 1.2 for wait in waits)
    if scaled:
        assert min(waits) < scaled * 0.9 < scaled * 1.1 < max(waits)


@pytest.mark.parametrize(("attempts", "seconds"), [(0, 0), (1, 1), (2, 2), (10, 512), (11, 900), (100, 900)])
def test_wait_after_a_conflict(attempts: int, seconds: float) -> None:
    """What others' writes were in the way of is tried again after a second: they are through by then."""
    waits = [wait_seconds(attempts, reason="contended") for _ in range(100)]
    assert all(seconds * 0.8 <= wait <= seconds * 1.2 for wait in waits)


def test_default_base() -> None:
    """Where nothing else is said, the first wait is about half a minute."""
    assert 24 <= wait_seconds(1) <= 36


# The queues


class Sqs:
    """Both queues in moto, and the relay's view of them."""

    def __init__(self) -> None:
        self.aws = Faulty(aws_client("sqs"))
        urls = [aws_client("sqs").create_queue(QueueName=name)["QueueUrl"] for name in ("todo", "dead")]
        self.queues = Queues(self.aws, *urls)  # type: ignore[arg-type]

    def take(self, url: str) -> list[Any]:
        """Take every message that a queue shows."""
        found: list[Any] = []
        while True:
            answer = aws_client("sqs").receive_message(
                QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"], AttributeNames=["All"]
            )
            if "Messages" not in answer:
                return found
            found += answer["Messages"]


@pytest.fixture
def sqs() -> Iterator[Sqs]:
    """Two empty queues."""
    with mock_aws():
        yield Sqs()


def bodies(messages: Sequence[Any]) -> list[Envelope]:
    """The envelopes in some messages."""
    return [Envelope.model_validate_json(message["Body"]) for message in messages]


def test_dead_letter(sqs: Sqs) -> None:
    """A dead letter is the envelope, with ids and reason repeated as attributes."""
    dead = envelope().failed("unmapped_door", "door 1", RECEIVED)
    sqs.queues.dead_letter([dead])
    [message] = sqs.take(sqs.queues.dead_letter_url)
    assert bodies([message]) == [dead]
    attributes = {name: value["StringValue"] for name, value in message["MessageAttributes"].items()}
    assert attributes == {
        "id": dead.id,
        "source": "kisi-sydney",
        "vendor": "kisi",
        "kind": "occupancy",
        "reason": "unmapped_door",
    }
    assert sqs.take(sqs.queues.unprocessed_url) == []


def test_retry_later(sqs: Sqs) -> None:
    """An envelope without a wait is there at once, one with a wait is not; without a reason there is none."""
    now, later = envelope(), envelope()
    sqs.queues.retry_later([(now, 0.4), (later, 600)])
    [message] = sqs.take(sqs.queues.unprocessed_url)
    assert bodies([message]) == [now]
    assert "reason" not in message["MessageAttributes"]
    assert sqs.take(sqs.queues.dead_letter_url) == []


def test_batches(sqs: Sqs) -> None:
    """Ten messages go into a request, and none is lost between them."""
    sent = [envelope() for _ in range(25)]
    sqs.queues.dead_letter(sent)
    assert len(sqs.aws.calls) == 3
    assert sorted(e.id for e in bodies(sqs.take(sqs.queues.dead_letter_url))) == sorted(e.id for e in sent)


def test_large_batches(sqs: Sqs) -> None:
    """Messages of more than 1 MiB together go in several requests, as SQS takes no more in one."""
    largest = StoredRequest.of(Webhook(body=b"x" * 256 * 1024, received_at=NOON))
    sqs.queues.dead_letter([envelope(request=largest) for _ in range(5)])
    assert len(sqs.aws.calls) == 3
    assert len(sqs.take(sqs.queues.dead_letter_url)) == 5


def test_nothing_to_store(sqs: Sqs) -> None:
    """Without envelopes no request is made."""
    sqs.queues.dead_letter([])
    sqs.queues.retry_later([])
    assert sqs.aws.calls == []


class Refusing:
    """An SQS that refuses some messages of each request, and notes what it was sent."""

    def __init__(self, *refused: Sequence[str]) -> None:
        self._refused = list(refused)
        self.sent: list[list[Any]] = []

    def send_message_batch(self, *, QueueUrl: str, Entries: list[Any]) -> dict[str, Any]:  # noqa: N803
        """Take a batch, but for what is to be refused this time."""
        self.sent.append(Entries)
        refused = self._refused.pop(0) if self._refused else ()
        return {"Failed": [{"Id": entry_id, "Code": "InternalError"} for entry_id in refused]}


def test_partial_failure() -> None:
    """What SQS refuses of a batch is sent once more, and nothing else is."""
    aws = Refusing(["1", "2"])
    sent = [envelope() for _ in range(3)]
    Queues(aws, "todo", "dead").dead_letter(sent)  # type: ignore[arg-type]
    again = [Envelope.model_validate_json(entry["MessageBody"]) for entry in aws.sent[1]]
    assert (len(aws.sent), again) == (2, sent[1:])


@pytest.mark.parametrize("refused", [["0"], ["0", "1"]])
def test_refused_twice(refused: list[str]) -> None:
    """What SQS refuses twice is stored nowhere, and that is said."""
    aws = Refusing(["0", "1"], refused)
    with pytest.raises(QueueUnavailable):
        Queues(aws, "todo", "dead").dead_letter([envelope(), envelope()])  # type: ignore[arg-type]
    assert len(aws.sent) == 2


@pytest.mark.parametrize(("seconds", "delay"), [(0, 0), (0.6, 1), (899.4, 899), (900, 900), (39600, 900)])
def test_delay(seconds: float, delay: int) -> None:
    """A first wait is in whole seconds, a quarter of an hour at most, as SQS has it."""
    aws = Refusing()
    Queues(aws, "todo", "dead").retry_later([(envelope(), seconds)])  # type: ignore[arg-type]
    assert aws.sent[0][0]["DelaySeconds"] == delay


OUTAGES = [
    (aws_error("KmsThrottled"), "KmsThrottled"),
    (ConnectTimeoutError(endpoint_url="x"), "ConnectTimeoutError"),
]


@pytest.mark.parametrize(("error", "code"), OUTAGES)
def test_outage(sqs: Sqs, error: Exception, code: str) -> None:
    """A queue that cannot be reached is one exception, with the cause's name and nothing else."""
    sqs.aws.error = error
    with pytest.raises(QueueUnavailable, match=f"^{code}$"):
        sqs.queues.dead_letter([envelope()])
    with pytest.raises(QueueUnavailable, match=f"^{code}$"):
        sqs.queues.retry_later([(envelope(), 0)])
    with pytest.raises(QueueUnavailable, match=f"^{code}$"):
        sqs.queues.hide("receipt", 1)
    with pytest.raises(QueueUnavailable, match=f"^{code}$"):
        sqs.queues.hide_all(["receipt"], 1)
    with pytest.raises(QueueUnavailable, match=f"^{code}$"):
        sqs.queues.done(["receipt"])


def test_done_and_hidden(sqs: Sqs) -> None:
    """More messages than a request takes are hidden together, or taken out of the queue for good."""
    sqs.queues.retry_later([(envelope(), 0)] * 23)
    url, receipts = sqs.queues.unprocessed_url, []
    for wait in (-1, 600):
        receipts = [message["ReceiptHandle"] for message in sqs.take(url)]
        assert len(receipts) == 23
        sqs.queues.hide_all(receipts, wait)
    assert sqs.take(url) == []
    sqs.queues.done(receipts)
    counts = "ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"
    left = aws_client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    assert [left[name] for name in counts] == ["0", "0"]
    sqs.queues.done([])
    sqs.queues.hide_all([], 1)


def test_hide(sqs: Sqs) -> None:
    """A message that waits for its next attempt does not show until then."""
    sqs.queues.retry_later([(envelope(), 0)])
    [message] = sqs.take(sqs.queues.unprocessed_url)
    sqs.queues.hide(message["ReceiptHandle"], 0.2)
    [message] = sqs.take(sqs.queues.unprocessed_url)
    sqs.queues.hide(message["ReceiptHandle"], 600)
    assert sqs.take(sqs.queues.unprocessed_url) == []


@pytest.mark.parametrize(("seconds", "visibility"), [(0.6, 1), (39600, 39600), (1e6, 43200)])
def test_longest_hiding(seconds: float, visibility: int) -> None:
    """A later wait is in whole seconds, twelve hours at most, as SQS has it."""
    asked: list[dict[str, Any]] = []

    class Noting:
        def change_message_visibility(self, **parameters: Any) -> None:
            asked.append(parameters)

    Queues(Noting(), "todo", "dead").hide("receipt", seconds)  # type: ignore[arg-type]
    assert asked == [{"QueueUrl": "todo", "ReceiptHandle": "receipt", "VisibilityTimeout": visibility}]
