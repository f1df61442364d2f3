"""The queues and the table of the template outlast what is done to them."""

import json
import re

import pytest

from relay.envelope import SCHEDULE
from tests.template import (
    RELAYING,
    ROOT,
    chosen,
    deployed,
    made,
    mapping_of,
    named,
    of_type,
    resource,
    statements,
)


def test_retry_takes_the_unprocessed_queue() -> None:
    """Batches fail message by message, and no more of them than Calven can take run at once."""
    mapping = mapping_of("RetryFunction")
    assert named(mapping["EventSourceArn"]) == "UnprocessedQueue"
    assert named(mapping["FunctionName"]) == "RetryFunctionAliaslive"
    assert mapping["BatchSize"] == 100
    assert mapping["MaximumBatchingWindowInSeconds"] >= 1
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    concurrency = deployed()["Parameters"][mapping["ScalingConfig"]["MaximumConcurrency"]["Ref"]]
    assert concurrency["Default"] == concurrency["MinValue"] == 2
    assert "FilterCriteria" not in mapping, "what a filter turns away is deleted"


def test_queues_outlast_the_schedule() -> None:
    """The queues keep an event, and give it out, longer and more often than its schedule asks for."""
    unprocessed, dead = resource("UnprocessedQueue"), resource("DeadLetterQueue")
    longest_hiding = 12 * 3600
    assert unprocessed["MessageRetentionPeriod"] >= 2 * SCHEDULE.max_age + longest_hiding
    assert dead["MessageRetentionPeriod"] > unprocessed["MessageRetentionPeriod"]
    waits = [SCHEDULE.wait(attempts) * (1 - SCHEDULE.jitter) for attempts in range(1000)]
    receives = next(number for number in range(1000) if sum(waits[:number]) > SCHEDULE.max_age)
    assert unprocessed["RedrivePolicy"]["maxReceiveCount"] >= 1.8 * receives


def test_receives_end_before_the_retention() -> None:
    """What comes back with each visibility timeout is a dead letter long before SQS forgets it.

    A message that SQS moves keeps the time at which it was sent, so the second queue's retention goes on from
    there: most of it has to be left.
    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/setting-up-dead-letter-queue-retention.html
    """
    unprocessed, dead = resource("UnprocessedQueue"), resource("DeadLetterQueue")
    ends = unprocessed["RedrivePolicy"]["maxReceiveCount"] * unprocessed["VisibilityTimeout"]
    assert unprocessed["RedrivePolicy"]["maxReceiveCount"] == 250
    assert ends < unprocessed["MessageRetentionPeriod"] / 2
    assert ends < dead["MessageRetentionPeriod"] / 2


def test_page_of_answers_shows_the_schedule() -> None:
    """The table of waits in docs/reference/answers.md is the schedule's."""
    page = (ROOT / "docs" / "reference" / "answers.md").read_text(encoding="utf-8")
    found = re.findall(r"^\| (\d+)(?: and on)? \| (\d+) (s|min) \|$", page, re.MULTILINE)
    told = {int(attempt): int(wait) * {"s": 1, "min": 60}[unit] for attempt, wait, unit in found}
    last = max(told)
    assert told == {attempt: SCHEDULE.wait(attempt - 1) for attempt in range(2, last + 1)}
    assert SCHEDULE.wait(last - 1) == SCHEDULE.longest > SCHEDULE.wait(last - 2)
    assert f"{SCHEDULE.max_age / 3600:.0f} hours" in page
    assert f"±{SCHEDULE.jitter:.0%}".replace("%", " %") in page


def test_visibility_outlasts_the_retry_function() -> None:
    """A message does not come back while the batch that holds it may still be tried, as AWS advises."""
    mapping = mapping_of("RetryFunction")
    tries = 6 * (resource("RetryFunction")["Timeout"] + mapping["MaximumBatchingWindowInSeconds"])
    assert tries <= resource("UnprocessedQueue")["VisibilityTimeout"] <= 2 * tries


def test_dead_letters_outlive_unprocessed_events() -> None:
    """A dead letter keeps the age that it had; the retry function gives up before both ends."""
    unprocessed, dead = resource("UnprocessedQueue"), resource("DeadLetterQueue")
    day = 86_400
    assert unprocessed["MessageRetentionPeriod"] == 4 * day
    assert dead["MessageRetentionPeriod"] == 14 * day
    assert named(unprocessed["RedrivePolicy"]["deadLetterTargetArn"]) == "DeadLetterQueue"
    assert unprocessed["RedrivePolicy"]["maxReceiveCount"] == 250
    assert "RedrivePolicy" not in dead


def test_dead_letter_queue_takes_from_one_queue_only() -> None:
    """The allowed ARN is the one that the Unprocessed queue's name makes."""
    allowed = resource("DeadLetterQueue")["RedriveAllowPolicy"]
    assert allowed["redrivePermission"] == "byQueue"
    (arn,) = allowed["sourceQueueArns"]
    name = resource("UnprocessedQueue")["QueueName"]["Fn::Sub"]
    assert arn["Fn::Sub"] == f"arn:${{AWS::Partition}}:sqs:${{AWS::Region}}:${{AWS::AccountId}}:{name}"


@pytest.mark.parametrize(
    "name", ["UnprocessedQueue", "DeadLetterQueue", "ReconcileQueue", "OccupancyResetQueue"]
)
def test_queue_is_encrypted_at_rest_and_on_the_way(name: str) -> None:
    """Events wait encrypted, and plain HTTP is refused."""
    assert resource(name)["SqsManagedSseEnabled"] is True
    policies = of_type("AWS::SQS::QueuePolicy").values()
    (policy,) = [each for each in policies if each["Queues"] == [{"Ref": name}]]
    (statement,) = policy["PolicyDocument"]["Statement"]
    assert (statement["Effect"], statement["Principal"], statement["Action"]) == ("Deny", "*", "sqs:*")
    assert named(statement["Resource"]) == name
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_table_keys_and_expiry() -> None:
    """The table has the keys and the expiry attribute that the ledger writes."""
    table = resource("LedgerTable")
    assert {key["KeyType"]: key["AttributeName"] for key in table["KeySchema"]} == {
        "HASH": "pk",
        "RANGE": "sk",
    }
    assert {each["AttributeType"] for each in table["AttributeDefinitions"]} == {"S"}
    assert table["BillingMode"] == "PAY_PER_REQUEST"
    expiry = table["TimeToLiveSpecification"]
    assert expiry["Enabled"] is True
    attribute = re.compile(rf'"{re.escape(expiry["AttributeName"])}"')
    sources = (ROOT / "shared" / "relay").rglob("*.py")
    assert any(attribute.search(path.read_text(encoding="utf-8")) for path in sources)


def test_table_outlives_mistakes() -> None:
    """Neither a deleted stack nor a bad write loses the ledger, nor the key of its people.

    A stack that could not be created leaves nothing that would be in the way of the next try.
    https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/aws-attribute-deletionpolicy.html
    """
    for name in ("LedgerTable", "PersonKeySecret"):
        kept = deployed()["Resources"][name]
        assert kept["DeletionPolicy"] == "RetainExceptOnCreate"
        assert kept["UpdateReplacePolicy"] == "Retain"
    table = deployed()["Resources"]["LedgerTable"]
    assert table["Properties"]["DeletionProtectionEnabled"] == {"Ref": "ProtectLedger"}
    # A protected table cannot be deleted when a stack's creation is rolled back.
    assert deployed()["Parameters"]["ProtectLedger"]["Default"] == "false"
    assert table["Properties"]["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"] is True
    assert table["Properties"]["SSESpecification"]["SSEEnabled"] is True


def test_existing_table_is_taken_over() -> None:
    """With a table of an earlier stack or a restored one, everything is that table's and none is made."""
    restored = {"ExistingTable": "restored"}
    assert made("LedgerTable")
    assert not made("LedgerTable", **restored)
    arn = "arn:${AWS::Partition}:dynamodb:${AWS::Region}:${AWS::AccountId}:table/${ExistingTable}"
    for name in RELAYING:
        assert chosen(resource(name)["Environment"]["Variables"]["TABLE_NAME"], **restored) == "restored"
        ledger = [each for each in statements(name, **restored) if each["Sid"].endswith("Ledger")]
        assert ledger
        assert all(each["Resource"] == {"Fn::Sub": arn} for each in ledger)
    assert chosen(deployed()["Outputs"]["TableName"]["Value"], **restored) == "restored"
    properties = chosen({**deployed()["Resources"], "LedgerTable": None}, **restored)
    assert "LedgerTable" not in re.findall(r"\w+", json.dumps(properties).replace('"LedgerTable": null', ""))


def test_existing_person_key_is_taken_over() -> None:
    """With the key of an earlier stack none is made; functions know it by its name either way."""
    assert made("PersonKeySecret")
    assert not made("PersonKeySecret", ExistingPersonKey="true")
    everything = {name: each for name, each in deployed()["Resources"].items() if name != "PersonKeySecret"}
    assert "PersonKeySecret" not in json.dumps(everything)
