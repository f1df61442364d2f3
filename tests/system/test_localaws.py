"""AWS on this machine: the declared resources, and the pollers that call functions."""

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from starlette.applications import Starlette

from localrun.aws import Aws, Resources, create
from localrun.background import Clock
from localrun.poller import Poller
from localrun.serve import Served
from localrun.template import EventSource, Function, Schedule, Template
from localrun.world import World
from tests.timed import Timed, slowness, wait_until

FUNCTION = Function("RetryFunction", "functions.retry.app.handler", 512, 60)
Event = dict[str, Any]


@pytest.fixture(scope="module")
def cloud() -> Iterator[tuple[Aws, Resources]]:
    """Clients of the child process's AWS, with what the template declares in it."""
    world = World(None)
    aws = Aws(world.start().aws)
    yield aws, create(Template(), aws)
    aws.close()
    world.stop()


def test_resources_follow_the_template(cloud: tuple[Aws, Resources]) -> None:
    """Table and queues have the keys, times and limits that the template declares."""
    aws, names = cloud
    template = Template()
    (table,) = template.of_type("AWS::DynamoDB::Table").values()
    described = aws.dynamodb.describe_table(TableName=names.table)["Table"]
    assert described["KeySchema"] == table["KeySchema"]
    lifetime = aws.dynamodb.describe_time_to_live(TableName=names.table)["TimeToLiveDescription"]
    assert lifetime["AttributeName"] == table["TimeToLiveSpecification"]["AttributeName"]
    declared = template.of_type("AWS::SQS::Queue")["UnprocessedQueue"]
    found = aws.sqs.get_queue_attributes(QueueUrl=names.unprocessed_queue_url, AttributeNames=["All"])[
        "Attributes"
    ]
    assert found["VisibilityTimeout"] == str(declared["VisibilityTimeout"])
    assert found["MessageRetentionPeriod"] == str(declared["MessageRetentionPeriod"])
    redrive = json.loads(found["RedrivePolicy"])
    assert redrive["maxReceiveCount"] == declared["RedrivePolicy"]["maxReceiveCount"]
    assert redrive["deadLetterTargetArn"].endswith(names.dead_letter_queue_url.rpartition("/")[2])


def test_transactions_are_atomic(cloud: tuple[Aws, Resources]) -> None:
    """Concurrent transactions on one item never lose an update."""
    aws, names = cloud

    def add(_: int) -> None:
        update: Any = {
            "TableName": names.table,
            "Key": {"pk": {"S": "count"}, "sk": {"S": "x"}},
            "UpdateExpression": "ADD headcount :one",
            "ExpressionAttributeValues": {":one": {"N": "1"}},
        }
        aws.dynamodb.transact_write_items(TransactItems=[{"Update": update}])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, range(80)))
    item = aws.dynamodb.get_item(TableName=names.table, Key={"pk": {"S": "count"}, "sk": {"S": "x"}})["Item"]
    assert item["headcount"] == {"N": "80"}


class Queue:
    """A queue of the test's own with a poller and a handler."""

    def __init__(self, aws: Aws, name: str) -> None:
        self.aws = aws
        self.url = aws.sqs.create_queue(QueueName=name, Attributes={"VisibilityTimeout": "0"})["QueueUrl"]
        self.batches: list[list[Event]] = []
        self.answer: Callable[[list[Event]], Any] = lambda _: {"batchItemFailures": []}
        source = EventSource("Queue", FUNCTION, 25, 2)
        self.poller = Poller(source, aws.sqs, self.url, lambda _: self._handle)

    def _handle(self, event: Event, _: Any) -> Any:
        self.batches.append(event["Records"])
        return self.answer(event["Records"])

    def send(self, *bodies: str) -> None:
        """Sends messages."""
        for body in bodies:
            self.aws.sqs.send_message(QueueUrl=self.url, MessageBody=body)

    def left(self) -> int:
        """How many messages the queue has."""
        names: Any = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self.aws.sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=names)["Attributes"]
        return sum(map(int, found.values()))


@pytest.fixture
def queue(cloud: tuple[Aws, Resources], request: pytest.FixtureRequest) -> Iterator[Queue]:
    """A queue that the test has for itself."""
    queue = Queue(cloud[0], f"queue-{abs(hash(request.node.name))}")
    yield queue
    cloud[0].sqs.delete_queue(QueueUrl=queue.url)


def test_queue_event_is_lambdas(queue: Queue) -> None:
    """A message becomes a record as Lambda's event source mapping makes it."""
    queue.aws.sqs.send_message(
        QueueUrl=queue.url,
        MessageBody="hello",
        MessageAttributes={
            "reason": {"DataType": "String", "StringValue": "calven_unavailable"},
            "bytes": {"DataType": "Binary", "BinaryValue": b"\x00\xff"},
        },
    )
    assert queue.poller.poll_once() == 1
    ((record,),) = queue.batches
    attributes = record.pop("attributes")
    assert attributes["ApproximateReceiveCount"] == "1"
    assert abs(int(attributes["SentTimestamp"]) / 1000 - time.time()) < 60
    assert record.pop("messageId")
    assert record.pop("receiptHandle")
    empty: Event = {"stringListValues": [], "binaryListValues": []}
    assert record == {
        "body": "hello",
        "md5OfBody": "5d41402abc4b2a76b9719d911017c592",
        "messageAttributes": {
            "reason": {**empty, "dataType": "String", "stringValue": "calven_unavailable"},
            "bytes": {**empty, "dataType": "Binary", "binaryValue": "AP8="},
        },
        "eventSource": "aws:sqs",
        "eventSourceARN": f"arn:aws:sqs:us-east-1:123456789012:{queue.url.rpartition('/')[2]}",
        "awsRegion": "us-east-1",
    }


def test_batches_fill_up(queue: Queue) -> None:
    """A batch has as many messages as the event source allows, and every one of them is deleted."""
    queue.aws.sqs.set_queue_attributes(QueueUrl=queue.url, Attributes={"VisibilityTimeout": "60"})
    queue.send(*map(str, range(30)))
    assert [queue.poller.poll_once() for _ in range(3)] == [25, 5, 0]
    assert queue.left() == 0
    assert sorted(int(record["body"]) for batch in queue.batches for record in batch) == list(range(30))


def test_partial_batch(queue: Queue) -> None:
    """What the function names as failed stays in the queue, the rest is deleted."""
    queue.send("good", "bad", "good")
    queue.answer = lambda records: {
        "batchItemFailures": [
            {"itemIdentifier": record["messageId"]} for record in records if record["body"] == "bad"
        ]
    }
    queue.poller.poll_once()
    assert queue.left() == 1
    queue.poller.poll_once()
    assert [record["body"] for record in queue.batches[1]] == ["bad"]
    assert queue.batches[1][0]["attributes"]["ApproximateReceiveCount"] == "2"


@pytest.mark.parametrize("answer", [None, {}, {"batchItemFailures": []}, {"batchItemFailures": None}])
def test_whole_batch_succeeds(queue: Queue, answer: Any) -> None:
    """An answer that names no failure deletes the batch."""
    queue.send("a", "b")
    queue.answer = lambda _: answer
    queue.poller.poll_once()
    assert queue.left() == 0


@pytest.mark.parametrize(
    "answer",
    [
        "done",
        {"batchItemFailures": "a"},
        {"batchItemFailures": ["a"]},
        {"batchItemFailures": [{"itemIdentifier": ""}]},
        {"batchItemFailures": [{"itemIdentifier": None}]},
        {"batchItemFailures": [{"itemIdentifier": "unknown"}]},
        {"batchItemFailures": [{"id": "unknown"}]},
    ],
)
def test_whole_batch_stays(queue: Queue, answer: Any) -> None:
    """A malformed answer, or one that names a message of another batch, deletes nothing."""
    queue.send("a", "b")
    queue.answer = lambda _: answer
    queue.poller.poll_once()
    assert queue.left() == 2


def test_batch_of_a_handler_that_raises(queue: Queue, capfd: pytest.CaptureFixture[str]) -> None:
    """A handler that raises keeps its whole batch in the queue, and the traceback is shown."""
    queue.send("a")
    queue.answer = lambda records: records[1]
    queue.poller.poll_once()
    assert queue.left() == 1
    assert "IndexError" in capfd.readouterr().err


def test_poller_runs_until_stopped(queue: Queue) -> None:
    """A started poller takes messages as they come, and stops at once."""
    queue.aws.sqs.set_queue_attributes(QueueUrl=queue.url, Attributes={"VisibilityTimeout": "60"})
    queue.poller.start()
    queue.send("a")
    wait_until(lambda: not queue.left())
    queue.send("b")
    wait_until(lambda: not queue.left())
    with Timed() as timed:
        queue.poller.stop()
        assert timed.seconds < 1 * slowness()
    assert [record["body"] for batch in queue.batches for record in batch] == ["a", "b"]


def test_poller_survives_an_outage(capfd: pytest.CaptureFixture[str]) -> None:
    """A queue that does not answer is reported in one line, and tried again."""
    said: list[str] = []

    def complains() -> bool:
        said.append(capfd.readouterr().err)
        return said[-1].endswith("\n")

    with Served(Starlette()) as url:
        aws = Aws(url)
        poller = Poller(
            EventSource("Queue", FUNCTION, 10, 1), aws.sqs, f"{url}/1/q", lambda _: lambda *_: None
        )
        poller.start()
        wait_until(complains)
        poller.stop()
        aws.close()
    error = "".join(said)
    assert error.startswith("poller: ")
    assert "Traceback" not in error


def test_clock_ticks_after_each_interval() -> None:
    """A scheduled function is called after each interval, never at once, until the clock is stopped."""
    called: list[tuple[float, Event]] = []
    clock = Clock(Schedule(FUNCTION, 1), lambda _: lambda event, _: called.append((time.monotonic(), event)))
    began = time.monotonic()
    clock.start()
    wait_until(lambda: called)
    clock.stop()
    (at, event), *_ = called
    assert at - began >= 1
    assert (event["source"], event["detail-type"]) == ("aws.events", "Scheduled Event")


def test_clock_stops_at_once() -> None:
    """A clock that is stopped does not wait for its interval's end."""
    clock = Clock(Schedule(FUNCTION, 60), lambda _: lambda *_: None)
    clock.start()
    with Timed() as timed:
        clock.stop()
        assert timed.seconds < 1 * slowness()


def test_cancelled_transaction_changes_nothing(cloud: tuple[Aws, Resources]) -> None:
    """A cancelled transaction leaves every item as it was, whatever was to be done to it, and says why."""
    aws, names = cloud

    def key(name: str) -> dict[str, Any]:
        return {"pk": {"S": "cancelled"}, "sk": {"S": name}}

    for name in ("updated", "put", "deleted"):
        aws.dynamodb.put_item(TableName=names.table, Item={**key(name), "n": {"N": "1"}})
    change = {"UpdateExpression": "SET n = :n", "ExpressionAttributeValues": {":n": {"N": "2"}}}
    steps: Any = [
        {"Update": {"TableName": names.table, "Key": key("updated"), **change}},
        {"Put": {"TableName": names.table, "Item": {**key("put"), "n": {"N": "2"}}}},
        {"Delete": {"TableName": names.table, "Key": key("deleted")}},
        {"Update": {"TableName": names.table, "Key": key("new"), **change}},
    ]
    check: Any = {"TableName": names.table, "Key": key("none"), "ConditionExpression": "attribute_exists(pk)"}
    with pytest.raises(aws.dynamodb.exceptions.TransactionCanceledException) as caught:
        aws.dynamodb.transact_write_items(TransactItems=[*steps, {"ConditionCheck": check}])
    reasons = caught.value.response["CancellationReasons"]
    assert [reason["Code"] for reason in reasons] == ["None"] * 4 + ["ConditionalCheckFailed"]

    def left() -> dict[str, str]:
        found = aws.dynamodb.query(
            TableName=names.table,
            KeyConditionExpression="pk = :pk",
            ExpressionAttributeValues={":pk": {"S": "cancelled"}},
        )
        return {item["sk"]["S"]: item["n"]["N"] for item in found["Items"]}

    assert left() == {"updated": "1", "put": "1", "deleted": "1"}
    aws.dynamodb.transact_write_items(TransactItems=steps)
    assert left() == {"updated": "2", "put": "2", "new": "2"}


def test_malformed_transaction_is_refused(cloud: tuple[Aws, Resources]) -> None:
    """A transaction that names no table, a part of a key or an item twice is refused, as ever."""
    aws, names = cloud
    whole = {"pk": {"S": "malformed"}, "sk": {"S": "x"}}
    check: Any = {"TableName": names.table, "Key": whole, "ConditionExpression": "attribute_not_exists(pk)"}
    cases: list[Any] = [
        [{"ConditionCheck": {**check, "TableName": "nothing"}}],
        [{"ConditionCheck": {**check, "Key": {"pk": {"S": "malformed"}}}}],
        [{"ConditionCheck": check}, {"Delete": {"TableName": names.table, "Key": whole}}],
    ]
    for steps in cases:
        with pytest.raises(aws.dynamodb.exceptions.ClientError):
            aws.dynamodb.transact_write_items(TransactItems=steps)


def test_large_queue(cloud: tuple[Aws, Resources]) -> None:
    """Of hundreds of messages each is delivered once, counted where it is, given back and deleted."""
    sqs = cloud[0].sqs
    url = sqs.create_queue(QueueName="large", Attributes={"VisibilityTimeout": "60"})["QueueUrl"]

    def count() -> list[int]:
        kinds = ("", "NotVisible", "Delayed")
        names: Any = [f"ApproximateNumberOfMessages{kind}" for kind in kinds]
        found: Any = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
        return [int(found[name]) for name in names]

    def receive() -> list[Any]:
        messages: list[Any] = []
        while some := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
            messages += some
        return messages

    for start in range(0, 300, 10):
        bodies = [str(number) for number in range(start, start + 10)]
        sqs.send_message_batch(
            QueueUrl=url, Entries=[{"Id": body, "MessageBody": body, "DelaySeconds": 0} for body in bodies]
        )
    sqs.send_message(QueueUrl=url, MessageBody="later", DelaySeconds=60)
    assert count() == [300, 0, 1]
    first = receive()
    assert [message["Body"] for message in first] == [str(number) for number in range(300)]
    assert count() == [0, 300, 1]
    for message in first[100:]:
        receipt = message["ReceiptHandle"]
        sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=receipt, VisibilityTimeout=0)
    assert count() == [200, 100, 1]
    assert [message["MessageId"] for message in receive()] == [one["MessageId"] for one in first[100:]]
    for message in first:
        sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    assert count() == [0, 0, 1]
    with pytest.raises(sqs.exceptions.ReceiptHandleIsInvalid):
        sqs.delete_message(QueueUrl=url, ReceiptHandle="nothing")


def test_old_messages_go(cloud: tuple[Aws, Resources]) -> None:
    """What is older than its queue keeps messages is not delivered."""
    sqs = cloud[0].sqs
    url = sqs.create_queue(QueueName="short", Attributes={"MessageRetentionPeriod": "60"})["QueueUrl"]
    sqs.send_message(QueueUrl=url, MessageBody="young")
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"MessageRetentionPeriod": "0"})
    assert "Messages" not in sqs.receive_message(QueueUrl=url)
    sqs.delete_queue(QueueUrl=url)
