"""What operators do to a relay that runs: change a parameter, go back, make the stack anew, hear an alarm.

These steps need a stack that may be deployed again, and Calven's sandbox.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from e2e.checks import Failed, Skipped, equal, until
from e2e.deploy import mapping_of, resources
from e2e.relay import Calven, Relay
from localrun.template import Template

FIRST_ANSWER_SECONDS = 30.0
SETTLE_SECONDS = 60.0
NOTICE_SECONDS = 10.0
ALIAS = "live"
LEVEL = "sydney-l3"
ALARM_QUEUE = "e2e-alarms"
VERSION_EXISTS = "A version for this Lambda function exists"


@dataclass(frozen=True)
class Live:
    """What the alias of a function points to: a version's number and its environment."""

    function: str
    version: int
    environment: Mapping[str, str]


@dataclass(frozen=True)
class Measurements:
    """Values of an alarm's metric that leave it green, and one more that turns it red."""

    quiet: float
    further: float


ALARMS = {
    "rejected-signatures": Measurements(quiet=19, further=1),
    "oldest-wait": Measurements(quiet=1799, further=1801),
    "calven-credentials": Measurements(quiet=0, further=1),
}
"""By the alarm's name. The first is about a sum, the second about a maximum, the third has a dimension."""


def change_parameter(relay: Relay) -> str:
    """A deploy that changes one parameter alone publishes versions that have it, and webhooks meet them."""
    calven = _operated(relay)
    _wait_for_answer(relay)
    before, people = _live(relay), _bring_in(relay, calven)
    relay.deploy(ForwardMode="queued")
    after = _live(relay)
    _expect_next(before, after, FORWARD_MODE="queued")
    _wait_for_answer(relay)
    equal("kisi badge-out", relay.send("kisi", "badge-out"), (202, "queued"))
    _wait_for_people(relay, calven, people - 1)
    return f"ForwardMode=queued, {_span(before, after)}, a badge waits and arrives"


def roll_back(relay: Relay) -> str:
    """The alias goes back to the versions before; then the same commit and parameters are deployed again."""
    calven = _operated(relay)
    newest, people = _live(relay), _people(relay, calven)
    for each in newest.values():
        _point_alias(relay, each.function, each.version - 1)
    earlier = _live(relay)
    equal("ForwardMode after the rollback", _modes(earlier), {"direct"})
    _wait_for_answer(relay)
    equal("kisi badge-in", relay.send("kisi", "badge-in"), (200, "forwarded"))
    equal("count after the rollback", _people(relay, calven), people + 1)
    relay.deploy()
    again = _live(relay)
    _expect_next(newest, again, FORWARD_MODE="queued")
    name = _retry_function()
    equal("what differs from the version before", _differing(newest[name], again[name]), {"REVISION"})
    return f"{_span(newest, earlier)}, forwarded at once; the same commit again is {_span(newest, again)}"


def repeat_version(relay: Relay) -> str:
    """Why a deploy changes every function: a version of one that is as it was fails, and nothing is changed.

    Lambda publishes none, and CloudFormation, which asked for one under a new id, takes it all back. The
    emulator counts each function of a deploy as changed, so that this asks for the version alone.
    https://docs.aws.amazon.com/lambda/latest/api/API_PublishVersion.html
    """
    _operated(relay)
    cloudformation, before = relay.target.client("cloudformation"), _live(relay)
    stack = f"{relay.stack}-version"
    version = {
        "Type": "AWS::Lambda::Version",
        "Properties": {"FunctionName": before[_retry_function()].function},
    }
    cloudformation.create_stack(StackName=stack, TemplateBody=json.dumps({"Resources": {"Version": version}}))
    reason = until("the version refused", SETTLE_SECONDS, lambda: _failure(cloudformation, stack))
    equal("the reason", reason.startswith(VERSION_EXISTS), True)
    cloudformation.delete_stack(StackName=stack)
    equal("what the aliases point to after the failure", _live(relay), before)
    return reason


def make_anew(relay: Relay) -> str:
    """The stack is deleted and made anew: its table and person key were kept, and it knows who is inside."""
    calven, secrets = _operated(relay), relay.target.client("secretsmanager")
    people, held, table = _people(relay, calven), _held(relay), relay.target.table
    key, items = _person_key(relay, secrets), _items(relay, table)
    equal("positions in the table", any(pk.startswith("people#") for pk, _ in items), True)
    relay.deployed_here.delete()
    equal("items of the table that was kept", _items(relay, table), items)
    equal("the key that was kept", _person_key(relay, secrets) == key, True)

    relay.make_anew(ExistingTable=table, ExistingPersonKey="true")
    # Calven's secret goes with the stack; those of the sources are not the stack's.
    relay.put_secret("calven", (relay.secrets or {})["calven"])
    equal("the stack's table", relay.target.table, table)
    equal("what the ledger holds", _held(relay), held)
    _wait_for_answer(relay)
    # With another key this would be somebody who has never come in.
    equal("kisi badge-out", relay.send("kisi", "badge-out"), (202, "queued"))
    _wait_for_people(relay, calven, people - 1)
    return f"table with {len(items)} items and key taken over, who was inside badges out: {people - 1:g} left"


def restore_ledger(relay: Relay) -> str:
    """The operator's drill: a restored table takes over, and every count and leave is still there."""
    calven = _operated(relay)
    equal("ForwardMode", _modes(_live(relay)), {"queued"})
    people = _bring_in(relay, calven)
    _switch_retries(relay, on=False)
    equal("kisi badge-out", relay.send("kisi", "badge-out"), (202, "queued"))
    held, former = _held(relay), relay.target.table
    restored = _restore(relay, former)
    equal("items of the restored table", _items(relay, restored), _items(relay, former))

    relay.deploy(ExistingTable=restored, ForwardMode="direct")
    tables = {each.environment["TABLE_NAME"] for each in _live(relay).values()}
    equal("tables of the functions and the stack", tables | {relay.target.table}, {restored})
    equal("what the ledger holds", _held(relay), held)
    items = _items(relay, former)
    if not relay.waiting(relay.target.unprocessed_queue_url):
        raise Failed("the badge did not wait for the restored ledger")
    _switch_retries(relay, on=True)
    _wait_for_people(relay, calven, people - 1)
    _wait_for_answer(relay)
    equal("kisi badge-in", relay.send("kisi", "badge-in"), (200, "forwarded"))
    equal("count with the restored ledger", _people(relay, calven), people)
    # The stack has let go of its own table: it is still there, and nothing writes to it.
    equal("items of the former table", _items(relay, former), items)
    return (
        f"{len(items)} items taken over, counts and leave as before, a badge that waited is counted "
        "(the emulator restores the present, whatever time is asked for)"
    )


def hear_alarms(relay: Relay) -> str:
    """Values turn alarms of the stack red, and the topic tells whoever has subscribed."""
    _operated(relay)
    cloudwatch, sqs = relay.target.client("cloudwatch"), relay.target.client("sqs")
    topic = resources(relay.target.client("cloudformation"), relay.stack)["AlarmTopic"]
    queue = _subscribe(relay, topic)
    for name, values in ALARMS.items():
        alarm = f"{relay.stack}-{name}"
        _measure(cloudwatch, alarm, values.quiet)
        equal(f"{alarm} below its threshold", _state(cloudwatch, alarm), "OK")
        _measure(cloudwatch, alarm, values.further)
        equal(f"{alarm} above its threshold", _state(cloudwatch, alarm), "ALARM")
    told: set[str] = set()

    def all_told() -> bool:
        told.update(_told(sqs, queue))
        return told >= {f"{relay.stack}-{name}" for name in ALARMS}

    until("the topic tells of each alarm", NOTICE_SECONDS, all_told)
    return (
        f"{', '.join(ALARMS)}: OK, then ALARM, and the topic tells (the emulator adds up windows, looks at "
        "no dimension, takes no metric from logs, has no alarms with arithmetic: tests/unit/test_alarms.py)"
    )


def _operated(relay: Relay) -> Calven:
    if relay.deployment is None or relay.calven is None:
        raise Skipped("deploys the stack again: on the emulator only")
    return relay.calven


def _live(relay: Relay) -> dict[str, Live]:
    """What the functions' aliases point to, by the functions' logical ids."""
    functions = relay.target.client("lambda")
    names = resources(relay.target.client("cloudformation"), relay.stack)
    found = {}
    for logical_id in Template().functions:
        name = names[logical_id]
        version = functions.get_alias(FunctionName=name, Name=ALIAS)["FunctionVersion"]
        configuration = functions.get_function_configuration(FunctionName=name, Qualifier=version)
        found[logical_id] = Live(name, int(version), configuration["Environment"]["Variables"])
    return found


def _expect_next(before: Mapping[str, Live], after: Mapping[str, Live], **environment: str) -> None:
    """Raise `Failed` unless every alias points to the next version, which has this in its environment."""
    for logical_id, live in after.items():
        equal(f"version of {logical_id}", live.version, before[logical_id].version + 1)
        # The copied template's default begins with zeros: then `make deploy` has named no revision.
        equal(f"{logical_id} without a revision", live.environment["REVISION"].startswith("0"), False)
        for name, value in environment.items():
            equal(f"{name} of {logical_id}", live.environment.get(name), value)


def _modes(live: Mapping[str, Live]) -> set[str]:
    return {each.environment["FORWARD_MODE"] for each in live.values()}


def _differing(one: Live, other: Live) -> set[str]:
    names = {*one.environment, *other.environment}
    return {name for name in names if one.environment.get(name) != other.environment.get(name)}


def _span(before: Mapping[str, Live], after: Mapping[str, Live]) -> str:
    """Which versions the aliases went from and to, in a few words."""
    name = _retry_function()
    return f"{ALIAS} from version {before[name].version} to {after[name].version}"


def _retry_function() -> str:
    """The function that takes what waits from the Unprocessed queue."""
    [found] = [each.function for each in Template().event_sources if each.queue == "UnprocessedQueue"]
    return found.logical_id


def _point_alias(relay: Relay, function: str, version: int) -> None:
    functions = relay.target.client("lambda")
    functions.update_alias(FunctionName=function, Name=ALIAS, FunctionVersion=str(version))


def _wait_for_answer(relay: Relay) -> None:
    """A new version starts with its first request, for which a vendor might not wait."""
    until("a first answer", FIRST_ANSWER_SECONDS, lambda: relay.send("kisi", "denied")[0] in (200, 202))


def _people(relay: Relay, calven: Calven) -> float:
    """How many people Calven sees on the level where Kisi's samples come and go."""
    location = relay.settings.places[LEVEL].location_id
    occupancy: Mapping[str, Mapping[str, float]] = calven.state()["occupancy"]
    return occupancy.get(location, {}).get("occupancy", 0)


def _bring_in(relay: Relay, calven: Calven) -> float:
    """Have the person of Kisi's samples be on the level; how many Calven sees there then."""
    equal("kisi badge-in", relay.send("kisi", "badge-in")[0] in (200, 202), True)
    _wait_until_drained(relay)
    return _people(relay, calven)


def _wait_for_people(relay: Relay, calven: Calven, number: float) -> None:
    until(f"{number:g} on {LEVEL}", SETTLE_SECONDS, lambda: _people(relay, calven) == number)
    _wait_until_drained(relay)


def _wait_until_drained(relay: Relay) -> None:
    queue = relay.target.unprocessed_queue_url
    until("the Unprocessed queue drained", SETTLE_SECONDS, lambda: relay.waiting(queue) == 0)


def _switch_retries(relay: Relay, *, on: bool) -> None:
    functions = relay.target.client("lambda")
    name = resources(relay.target.client("cloudformation"), relay.stack)[_retry_function()]
    functions.update_event_source_mapping(UUID=mapping_of(functions, name), Enabled=on)


def _held(relay: Relay) -> dict[str, Any]:
    """What an operator looks at to see whether the ledger is what it was."""
    return {
        "occupancy": relay.command("occupancy"),
        "history": relay.command("config", "history"),
        "leave": relay.command("leave", "show", "Sam@example.com"),
    }


def _restore(relay: Relay, table: str) -> str:
    """Restore a table as the guide says, and set anew what is not restored; the new table's name."""
    dynamodb, restored = relay.target.client("dynamodb"), f"{relay.stack}-restored"
    dynamodb.restore_table_to_point_in_time(
        SourceTableName=table, TargetTableName=restored, RestoreDateTime=datetime.now(UTC)
    )
    dynamodb.get_waiter("table_exists").wait(TableName=restored, WaiterConfig={"Delay": 1})
    dynamodb.update_time_to_live(
        TableName=restored, TimeToLiveSpecification={"Enabled": True, "AttributeName": "expires_at"}
    )
    dynamodb.update_continuous_backups(
        TableName=restored, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True}
    )
    dynamodb.update_table(TableName=restored, DeletionProtectionEnabled=True)
    description = dynamodb.describe_table(TableName=restored)["Table"]
    indexes = [each["IndexName"] for each in description.get("GlobalSecondaryIndexes", [])]
    equal("indexes of the restored table", indexes, ["leaves"])
    return restored


def _failure(cloudformation: Any, stack: str) -> str:
    """Why a resource of a stack could not be made, as soon as it is known."""
    events = cloudformation.describe_stack_events(StackName=stack)["StackEvents"]
    failed = [each for each in events if each["ResourceStatus"] == "CREATE_FAILED"]
    return str(failed[-1].get("ResourceStatusReason", "")) if failed else ""


def _person_key(relay: Relay, secrets: Any) -> str:
    return str(secrets.get_secret_value(SecretId=f"{relay.stack}/person-key")["SecretString"])


def _items(relay: Relay, table: str) -> dict[tuple[str, str], Any]:
    """All items of a table, by their keys."""
    pages = relay.target.client("dynamodb").get_paginator("scan").paginate(TableName=table)
    return {(item["pk"]["S"], item["sk"]["S"]): item for page in pages for item in page["Items"]}


def _subscribe(relay: Relay, topic: str) -> str:
    """A queue that gets what a topic tells; its URL."""
    sqs = relay.target.client("sqs")
    url = str(sqs.create_queue(QueueName=ALARM_QUEUE)["QueueUrl"])
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    relay.target.client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    return url


def _measure(cloudwatch: Any, alarm: str, value: float) -> None:
    """Put a value of the metric that an alarm of the stack looks at."""
    described = _described(cloudwatch, alarm)
    data = {
        "MetricName": described["MetricName"],
        "Dimensions": described.get("Dimensions", []),
        "Value": value,
    }
    cloudwatch.put_metric_data(Namespace=described["Namespace"], MetricData=[data])


def _state(cloudwatch: Any, alarm: str) -> str:
    return str(_described(cloudwatch, alarm)["StateValue"])


def _described(cloudwatch: Any, alarm: str) -> Mapping[str, Any]:
    found = cloudwatch.describe_alarms(AlarmNames=[alarm])["MetricAlarms"]
    if len(found) != 1:
        raise Failed(f"the stack has {len(found)} alarms {alarm}")
    described: Mapping[str, Any] = found[0]
    return described


def _told(sqs: Any, queue: str) -> set[str]:
    """The alarms that the topic has told of as red since the last look."""
    told = set()
    received = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, WaitTimeSeconds=1)
    for message in received.get("Messages", []):
        sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
        notice = json.loads(json.loads(message["Body"])["Message"])
        if notice["NewStateValue"] == "ALARM":
            told.add(notice["AlarmName"])
    return told
