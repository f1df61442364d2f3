"""`template.yaml`, read as SAM deploys it: what keeps events, secrets and the bill safe."""

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from build import lint_template, package
from localrun.template import Template
from relay.envelope import SCHEDULE
from relay.settings import Settings

ROOT = Path(__file__).parents[2]
TEMPLATE = (ROOT / "template.yaml").read_text(encoding="utf-8")

FOLDERS = {
    "AccessControlFunction": "access_control",
    "HrisFunction": "hris",
    "RetryFunction": "retry",
    "OccupancyResetFunction": "occupancy_reset",
    "ReconcileFunction": "reconcile",
    "PreTrafficFunction": "pre_traffic",
}
RELAYING = [name for name in FOLDERS if name != "PreTrafficFunction"]
"""The functions that handle events; the other one tests versions of them."""

READ_LEDGER, WRITE_LEDGER = {"dynamodb:BatchGetItem"}, {"dynamodb:UpdateItem"}
LEDGER_CALLS = READ_LEDGER | WRITE_LEDGER
CHECK = {"dynamodb:ConditionCheckItem"}

DEPLOYMENT_GROUPS = "arn:${AWS::Partition}:codedeploy:${AWS::Region}:${AWS::AccountId}:deploymentgroup:"
DEPLOYMENT_GROUPS += "${ServerlessDeploymentApplication}/*"
READ = {"secretsmanager:GetSecretValue"}
KEEP = READ | {"secretsmanager:PutSecretValue", "secretsmanager:CreateSecret"}
SEND = {"sqs:SendMessage"}
TAKE = {"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility", "sqs:GetQueueAttributes"}

# What each function may do beyond logs and traces: (resource, calls).
GRANTS: dict[str, list[tuple[str, set[str]]]] = {
    "AccessControlFunction": [
        ("CalvenSecret", READ),
        ("person-key-??????", READ),
        ("access-control/*", READ),
        ("tokens/*", KEEP),
        ("LedgerTable", READ_LEDGER),
        ("LedgerTable", WRITE_LEDGER | CHECK),
        ("UnprocessedQueue", SEND),
        ("DeadLetterQueue", SEND),
    ],
    "HrisFunction": [
        ("CalvenSecret", READ),
        ("hris/*", READ),
        ("tokens/*", KEEP),
        ("LedgerTable", READ_LEDGER),
        ("LedgerTable", WRITE_LEDGER),
        ("UnprocessedQueue", SEND),
        ("DeadLetterQueue", SEND),
        ("ReconcileQueue", SEND),
    ],
    "RetryFunction": [
        ("CalvenSecret", READ),
        ("person-key-??????", READ),
        ("access-control/*", READ),
        ("hris/*", READ),
        ("tokens/*", KEEP),
        ("LedgerTable", LEDGER_CALLS | CHECK | {"dynamodb:Query"}),
        ("UnprocessedQueue", TAKE),
        ("UnprocessedQueue", SEND),
        ("DeadLetterQueue", SEND),
        ("ReconcileQueue", SEND),
    ],
    "OccupancyResetFunction": [
        ("CalvenSecret", READ),
        ("LedgerTable", LEDGER_CALLS | CHECK | {"dynamodb:Query"}),
        ("OccupancyResetQueue", TAKE - {"sqs:ChangeMessageVisibility"}),
        ("UnprocessedQueue", SEND),
        ("DeadLetterQueue", SEND),
        ("OccupancyResetQueue", SEND),
    ],
    "ReconcileFunction": [
        ("person-key-??????", READ),
        ("access-control/*", READ),
        ("hris/*", READ),
        ("tokens/*", KEEP),
        ("LedgerTable", READ_LEDGER | {"dynamodb:Query"}),
        ("LedgerTable", WRITE_LEDGER),
        ("${LedgerTable.Arn}/index/leaves", {"dynamodb:Query"}),
        ("ReconcileQueue", TAKE - {"sqs:ChangeMessageVisibility"}),
        ("UnprocessedQueue", SEND),
        ("ReconcileQueue", SEND),
    ],
    "PreTrafficFunction": [
        ("${AccessControlFunction.Arn}:*", {"lambda:InvokeFunction"}),
        ("${HrisFunction.Arn}:*", {"lambda:InvokeFunction"}),
        (DEPLOYMENT_GROUPS, {"codedeploy:PutLifecycleEventHookExecutionStatus"}),
    ],
}

BY_SOURCE = {"early#*", "vendor#*", "seen#*"}
# The partitions of the table that a function may read and write, where it may not all: (read, written).
PARTITIONS: dict[str, tuple[set[str], set[str]]] = {
    name: ({"config", "config#*", *BY_SOURCE, *own, *only_read}, {"heard", *BY_SOURCE, *own})
    for name, own, only_read in (
        ("AccessControlFunction", {"day#*", "people#*", "readings#*"}, set[str]()),
        # Whether the ledger knows all leave of a source.
        ("HrisFunction", {"employee#*", "leave#*"}, {"reconcile#*"}),
    )
}
# Whoever reconciles compares with everything, and changes no count and no leave.
PARTITIONS["ReconcileFunction"] = ({"*"}, {"reconcile#*", "vendor#*"})

Json = dict[str, Any]


@cache
def deployed() -> Json:
    """Return the CloudFormation template that a deploy creates the stack from."""
    return lint_template.transform(TEMPLATE)


def resource(name: str) -> Json:
    """Return the deployed properties of a resource."""
    properties: Json = deployed()["Resources"][name]["Properties"]
    return properties


def mapping_of(function: str) -> Json:
    """Return what feeds a function from a queue."""
    mappings = of_type("AWS::Lambda::EventSourceMapping").values()
    (mapping,) = (each for each in mappings if named(each["FunctionName"]) == f"{function}Aliaslive")
    return mapping


def of_type(kind: str) -> dict[str, Json]:
    """Return the deployed properties of the resources of a type, by logical id."""
    found = deployed()["Resources"].items()
    return {name: each["Properties"] for name, each in found if each["Type"] == kind}


def named(reference: Any) -> str:
    """Return the logical id that a reference names, the end of a secret's name, or the text itself."""
    match reference:
        case {"Ref": str(name)} | {"Fn::GetAtt": [str(name), "Arn"]}:
            return name
        case {"Fn::Sub": str(arn)}:
            return arn.rpartition(":${AWS::StackName}/")[2] or arn
        case _:
            return str(reference)


def listed(value: Any) -> list[Any]:
    """Return a policy's field, which may be one value or a list of them, as a list."""
    return value if isinstance(value, list) else [value]


def chosen(value: Any, **parameters: str) -> Any:
    """Return a value of the template with its parameters, or their defaults, and conditions put in."""
    match value:
        case {"Ref": str(name)} if name in deployed()["Parameters"]:
            return parameters.get(name, deployed()["Parameters"][name].get("Default"))
        case {"Ref": "AWS::NoValue"}:
            return None
        case {"Fn::If": [condition, true, false]}:
            return chosen(true if holds(condition, **parameters) else false, **parameters)
        case dict():
            return {key: chosen(each, **parameters) for key, each in value.items()}
        case list():
            return [chosen(each, **parameters) for each in value]
        case _:
            return value


def holds(condition: Any, **parameters: str) -> bool:
    """Whether a condition holds, named or written out."""
    match condition:
        case str(name) | {"Condition": str(name)}:
            return holds(deployed()["Conditions"][name], **parameters)
        case {"Fn::Equals": [left, right]}:
            return str(chosen(left, **parameters)) == str(chosen(right, **parameters))
        case {"Fn::Not": [inner]}:
            return not holds(inner, **parameters)
        case {"Fn::And": inner}:
            return all(holds(each, **parameters) for each in inner)
        case {"Fn::Or": inner}:
            return any(holds(each, **parameters) for each in inner)
        case _:
            raise AssertionError(condition)


def statements(function: str, **parameters: str) -> list[Json]:
    """Return what a function's role allows."""
    role = resource(named(resource(function)["Role"]))
    written = [each for policy in role["Policies"] for each in policy["PolicyDocument"]["Statement"]]
    found = [each for each in chosen(written, **parameters) if each is not None]
    assert "ManagedPolicyArns" not in role
    return found


def test_deployed_form_lints_clean() -> None:
    """What SAM deploys has no finding."""
    assert lint_template.lint(TEMPLATE) == []


@pytest.mark.parametrize(
    ("written", "broken", "rule"),
    [
        ("QUEUE_URL: !Ref UnprocessedQueue", "QUEUE_URL: !Ref Nothing", "E1020"),
        ("BatchSize: 100 ", "BatchSize: 99999 ", "E3034"),
        ("Handler: functions.hris.app.handler", "Handlr: functions.hris.app.handler", "Handlr not defined"),
    ],
)
def test_lint_finds_what_only_the_deployed_form_shows(written: str, broken: str, rule: str) -> None:
    """A reference to nothing, limits of AWS and properties unknown to SAM are findings."""
    assert TEMPLATE.count(written) == 1
    findings = lint_template.lint(TEMPLATE.replace(written, broken))
    assert any(rule in finding for finding in findings)


def test_lint_command_fails_with_its_findings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command's exit code is what stops `make lint`."""
    path = tmp_path / "template.yaml"
    monkeypatch.setattr("sys.argv", ["lint_template.py", str(path)])
    path.write_text(TEMPLATE, encoding="utf-8")
    assert lint_template.main() == 0
    path.write_text(TEMPLATE.replace("BatchSize: 100 ", "BatchSize: 99999 "), encoding="utf-8")
    assert lint_template.main() == 1
    assert "E3034" in capsys.readouterr().err


def test_functions_are_the_folders() -> None:
    """Each folder of functions is deployed, from the one package, under its own handler."""
    folders = sorted(path.parent.name for path in (ROOT / "functions").glob("*/app.py"))
    assert sorted(FOLDERS.values()) == folders
    written = {
        name: each
        for name, each in Template().resources.items()
        if each["Type"] == "AWS::Serverless::Function"
    }
    assert set(written) == set(FOLDERS)
    for name, function in written.items():
        assert function["Properties"]["Handler"] == f"functions.{FOLDERS[name]}.app.handler"
        assert function["Properties"]["CodeUri"] == "build/package"
        assert function["Metadata"]["SkipBuild"] is True


@pytest.mark.parametrize("name", FOLDERS)
def test_function_runs_as_the_package_was_built(name: str) -> None:
    """The package's bytecode and binaries fit one runtime and one processor."""
    function = resource(name)
    assert function["Runtime"] == {"Fn::Sub": "python${PythonVersion}"}
    versions = deployed()["Parameters"]["PythonVersion"]
    assert versions["Default"] == "3.13"
    assert package.RUNTIME in versions["AllowedValues"]
    assert versions["AllowedValues"] == ["3.13", "3.14"]
    assert function["Architectures"] == ["arm64"]


@pytest.mark.parametrize("name", FOLDERS)
def test_function_states_its_limits(name: str) -> None:
    """Memory and timeout are chosen, not Lambda's defaults of 128 MB and 3 s."""
    written = Template().resources[name]["Properties"]
    assert written["MemorySize"] >= 256
    assert written["Timeout"] >= 15
    mode = resource(name)["TracingConfig"]["Mode"]
    assert [chosen(mode, XRay=asked) for asked in ("off", "on")] == ["PassThrough", "Active"]


@pytest.mark.parametrize("name", ["AccessControlFunction", "HrisFunction"])
def test_webhook_function_ends_before_the_api_gives_up(name: str) -> None:
    """The HTTP API waits 30 s, and answers for a function that takes longer."""
    assert resource(name)["Timeout"] < 30


@pytest.mark.parametrize("name", FOLDERS)
def test_function_logs_to_a_group_that_forgets(name: str) -> None:
    """Logs are JSON, in a group of the function's own with a retention."""
    logging = resource(name)["LoggingConfig"]
    assert logging["LogFormat"] == "JSON"
    assert resource(named(logging["LogGroup"]))["RetentionInDays"] == 30
    others = [resource(other)["LoggingConfig"]["LogGroup"] for other in FOLDERS if other != name]
    assert logging["LogGroup"] not in others


@pytest.mark.parametrize("name", RELAYING)
def test_environment_names_every_setting(name: str) -> None:
    """What the settings read is there, and no secret is."""
    variables = resource(name)["Environment"]["Variables"]
    wanted = {field.alias for field in Settings.model_fields.values()}
    powertools = {f"POWERTOOLS_{name}" for name in ("METRICS_NAMESPACE", "LOG_LEVEL")}
    assert set(variables) == wanted | powertools | {"REVISION"}
    assert chosen(variables["TABLE_NAME"]) == {"Ref": "LedgerTable"}
    assert variables["UNPROCESSED_QUEUE_URL"] == {"Ref": "UnprocessedQueue"}
    assert variables["DEAD_LETTER_QUEUE_URL"] == {"Ref": "DeadLetterQueue"}
    assert variables["RECONCILE_QUEUE_URL"] == {"Ref": "ReconcileQueue"}
    assert variables["OCCUPANCY_RESET_QUEUE_URL"] == {"Ref": "OccupancyResetQueue"}


def test_routes() -> None:
    """Both families take webhooks by POST and handshakes by GET; topics are for HRIS."""
    routes = {(route.method, route.path, route.function.logical_id) for route in Template().routes}
    assert routes == {
        (method, path, function)
        for method in ("GET", "POST")
        for path, function in (
            ("/webhooks/access-control/{source}", "AccessControlFunction"),
            ("/webhooks/hris/{source}", "HrisFunction"),
            ("/webhooks/hris/{source}/{topic}", "HrisFunction"),
        )
    }


def test_warnings_of_the_import_fail_no_deploy() -> None:
    """The first create goes through whatever API Gateway's importer warns of.

    The definition that SAM writes has path parameters without a schema.
    https://docs.aws.amazon.com/apigatewayv2/latest/api-reference/apis.html (`failOnWarnings`)
    """
    (api,) = of_type("AWS::ApiGatewayV2::Api").values()
    assert "{source}" in json.dumps(api["Body"]["paths"])
    assert "FailOnWarnings" not in api


def made(name: str, **parameters: str) -> bool:
    """Whether a resource or an output is there, given these parameters."""
    found = deployed()["Resources"].get(name) or deployed()["Outputs"][name]
    return "Condition" not in found or holds(found["Condition"], **parameters)


def test_domain_of_ones_own() -> None:
    """With a domain the URLs are the domain's, whichever stack is behind it; else there is none.

    https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-custom-domain-names.html
    """
    domain = {"DomainName": "relay.example.com", "CertificateArn": "arn:aws:acm:us-east-1:1:certificate/1"}
    zone = {**domain, "HostedZoneId": "Z123"}
    parts = ("Domain", "DomainMapping", "DomainRecord", "DomainTarget")
    assert [made(part) for part in parts] == [False, False, False, False]
    assert [made(part, **domain) for part in parts] == [True, True, False, True]
    assert [made(part, **zone) for part in parts] == [True, True, True, True]
    assert not made("DomainRecord", HostedZoneId="Z123")
    outputs = deployed()["Outputs"]
    for name, path in (("ApiUrl", ""), ("HrisUrl", "/webhooks/hris")):
        assert chosen(outputs[name]["Value"], **domain) == {"Fn::Sub": f"https://${{DomainName}}{path}"}
        assert "${WebhookApi}.execute-api." in chosen(outputs[name]["Value"])["Fn::Sub"]
    mapping = resource("DomainMapping")
    assert mapping["ApiId"] == {"Ref": "WebhookApi"}
    assert deployed()["Resources"][named(mapping["Stage"])]["Type"] == "AWS::ApiGatewayV2::Stage"
    [assertion] = deployed()["Rules"]["DomainHasCertificate"]["Assertions"]
    assert assertion["Assert"] == {"Fn::Not": [{"Fn::Equals": [{"Ref": "CertificateArn"}, ""]}]}


def test_families_are_throttled_apart() -> None:
    """Every route has a limit of its own, by its family's parameters: what floods one leaves the other alone.

    https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-throttling.html
    """
    (stage,) = of_type("AWS::ApiGatewayV2::Stage").values()
    settings = stage["RouteSettings"]
    assert set(settings) == {f"{route.method} {route.path}" for route in Template().routes}
    for route, limits in settings.items():
        family = "AccessControl" if "/access-control/" in route else "Hris"
        wanted = {"Rate": "ThrottlingRateLimit", "Burst": "ThrottlingBurstLimit"}
        assert limits == {limit: {"Ref": f"{family}{kind}"} for kind, limit in wanted.items()}
    assert stage["DefaultRouteSettings"] == {"ThrottlingRateLimit": 10, "ThrottlingBurstLimit": 20}


def test_access_log_holds_no_credentials() -> None:
    """The access log is one JSON object a line, without query strings, headers and bodies."""
    (stage,) = of_type("AWS::ApiGatewayV2::Stage").values()
    log = stage["AccessLogSettings"]
    assert resource(named(log["DestinationArn"]))["RetentionInDays"] == 30
    fields = json.loads(log["Format"])
    assert "\n" not in log["Format"]
    assert set(fields.values()) <= {
        "$context.requestId",
        "$context.requestTime",
        "$context.identity.sourceIp",
        "$context.routeKey",
        "$context.path",
        "$context.status",
        "$context.responseLatency",
        "$context.integrationLatency",
        "$context.integration.status",
        "$context.integration.integrationStatus",
        "$context.error.message",
        "$context.integrationErrorMessage",
    }
    assert fields["integrationError"] == "$context.integrationErrorMessage"


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


@pytest.mark.parametrize("name", FOLDERS)
def test_role_allows_what_the_function_calls_and_no_more(name: str) -> None:
    """Each role names single resources; only X-Ray, which has none, gets a `*`, where it is asked for."""
    found = statements(name, XRay="on")
    assert [each for each in found if each["Sid"] != "WriteTraces"] == statements(name)
    logs = resource(name)["LoggingConfig"]["LogGroup"]["Ref"]
    grants = [
        (named(each), set(listed(statement["Action"])))
        for statement in found
        for each in listed(statement["Resource"])
    ]
    expected = [
        (logs, {"logs:CreateLogStream", "logs:PutLogEvents"}),
        ("*", {"xray:PutTraceSegments", "xray:PutTelemetryRecords"}),
        *GRANTS[name],
    ]
    assert {statement["Effect"] for statement in found} == {"Allow"}
    assert sorted(grants, key=str) == sorted(expected, key=str)


def leading_keys(statement: Json) -> set[str]:
    """Return the partitions that a statement is about; what has no key is refused where they are limited.

    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/specifying-conditions.html
    """
    if "Condition" not in statement:
        return {"*"}
    condition = statement["Condition"]
    assert condition["Null"] == {"dynamodb:LeadingKeys": "false"}
    return set(condition["ForAllValues:StringLike"]["dynamodb:LeadingKeys"])


@pytest.mark.parametrize("name", PARTITIONS)
def test_functions_keep_to_their_partitions(name: str) -> None:
    """A function reads and writes its own part of the table."""
    found = {each["Sid"]: each for each in statements(name)}
    assert (leading_keys(found["ReadLedger"]), leading_keys(found["WriteLedger"])) == PARTITIONS[name]


def test_families_share_what_is_kept_by_source() -> None:
    """Neither webhook function touches the other family's counts or leave."""
    badges, leave = [set.union(*PARTITIONS[name]) for name in ("AccessControlFunction", "HrisFunction")]
    assert badges & leave == BY_SOURCE | {"config", "config#*", "heard"}


def test_hook_answers_its_own_deployments_only() -> None:
    """The application is the one that SAM makes for the stack's two functions."""
    for name in ("AccessControlFunction", "HrisFunction"):
        group = resource(f"{name}DeploymentGroup")
        assert group["ApplicationName"] == {"Ref": "ServerlessDeploymentApplication"}


def test_hook_has_room_for_the_stacks_name() -> None:
    """The hook's prefix is the one that CodeDeploy may invoke, and a function's name has 64 characters.

    https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/automating-updates-to-serverless-apps.html
    """
    name = resource("PreTrafficFunction")["FunctionName"]["Fn::Sub"]
    room = 64 - len(name.removesuffix("${AWS::StackName}"))
    assert name == "CodeDeployHook_${AWS::StackName}"
    assert f"a stack's name has {room} characters at most" in (
        ROOT / "docs" / "guides" / "deploy.md"
    ).read_text("utf-8")


SERVICES = {
    "Lambda": "lambda",
    "IAM": "iam",
    "SQS": "sqs",
    "DynamoDB": "dynamodb",
    "SecretsManager": "secretsmanager",
    "SNS": "sns",
    "KMS": "kms",
    "CloudWatch": "cloudwatch",
    "Logs": "logs",
    "Events": "events",
    "ApiGatewayV2": "apigateway",
    "CodeDeploy": "codedeploy",
    "Budgets": "budgets",
    "Route53": "route53",
}
"""What IAM calls the services of CloudFormation's types."""


def test_deployers_policy() -> None:
    """The guide's policy names every service of the template, roles by the stack's name, and is not too long.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
    """
    policy = json.loads((ROOT / "docs" / "guides" / "deploy-policy.json").read_text("utf-8"))
    assert len(json.dumps(policy, separators=(",", ":"))) <= 6144
    by_sid = {each["Sid"]: each for each in policy["Statement"]}
    actions = {action for each in by_sid.values() for action in listed(each["Action"])}
    wanted = {SERVICES[each["Type"].split("::")[1]] for each in deployed()["Resources"].values()}
    assert wanted | {"cloudformation", "s3", "acm"} == {action.partition(":")[0] for action in actions}
    assert "*" not in actions
    roles = [each for each in by_sid.values() if any(a.startswith("iam:") for a in listed(each["Action"]))]
    assert {each["Resource"] for each in roles} == {"arn:aws:iam::*:role/calven-relay*"}
    assert by_sid["GiveRolesToServices"]["Condition"]["StringEquals"]
    every = [each for each in by_sid.values() if each["Resource"] == "*"]
    assert [each["Sid"] for each in every] == ["WithoutNames"]
    assert not [action for action in every[0]["Action"] if "*" in action]


def test_roles_are_not_shared() -> None:
    """One role a function, assumed by Lambda alone."""
    roles = [named(resource(name)["Role"]) for name in FOLDERS]
    assert len(set(roles)) == len(FOLDERS)
    assert set(roles) == set(of_type("AWS::IAM::Role")) - {"CodeDeployServiceRole"}
    for role in roles:
        (statement,) = resource(role)["AssumeRolePolicyDocument"]["Statement"]
        assert statement["Principal"] == {"Service": "lambda.amazonaws.com"}


def test_template_carries_no_secret() -> None:
    """Calven's secret is made empty, the person key by AWS, and no parameter is for a secret."""
    assert not {"SecretString", "GenerateSecretString"} & set(resource("CalvenSecret"))
    assert resource("CalvenSecret")["Name"] == {"Fn::Sub": "${AWS::StackName}/calven"}
    assert resource("PersonKeySecret")["Name"] == {"Fn::Sub": "${AWS::StackName}/person-key"}
    assert resource("PersonKeySecret")["GenerateSecretString"]["PasswordLength"] >= 32
    assert set(deployed()["Parameters"]) == {
        "CalvenBaseUrl",
        "ForwardMode",
        "RetryConcurrency",
        "ReservedConcurrency",
        "LogLevel",
        "Stage",
        "AlarmEmail",
        "AccessControlRate",
        "AccessControlBurst",
        "HrisRate",
        "HrisBurst",
        "FrontDoorSha256",
        "XRay",
        "PythonVersion",
        "ProtectLedger",
        "ExistingTable",
        "ExistingPersonKey",
        "DomainName",
        "CertificateArn",
        "HostedZoneId",
        "MonthlyBudget",
        "Revision",
    }


def test_reset_runs_two_minutes_after_every_quarter() -> None:
    """Reset times lie on quarters; two minutes later the day's last events have settled."""
    rule = of_type("AWS::Events::Rule")["OccupancyResetFunctionSchedule"]
    assert rule["ScheduleExpression"] == "cron(2/15 * * * ? *)"
    assert [named(target["Arn"]) for target in rule["Targets"]] == ["OccupancyResetFunctionAliaslive"]
    assert {schedule.interval for schedule in Template().schedules} == {15 * 60}


def test_reset_takes_ten_sites_at_once() -> None:
    """Where each site has a message, what fails is not given out again: the schedule asks again by then."""
    mapping = mapping_of("OccupancyResetFunction")
    assert named(mapping["EventSourceArn"]) == "OccupancyResetQueue"
    assert (mapping["BatchSize"], mapping["ScalingConfig"]["MaximumConcurrency"]) == (10, 2)
    function, queue = resource("OccupancyResetFunction"), resource("OccupancyResetQueue")
    assert (function["Timeout"], function["MemorySize"]) == (60, 512)
    [interval] = {schedule.interval for schedule in Template().schedules}
    assert queue["MessageRetentionPeriod"] == interval
    assert queue["VisibilityTimeout"] > max(queue["MessageRetentionPeriod"], 6 * function["Timeout"])
    assert "RedrivePolicy" not in queue
    assert "FunctionResponseTypes" not in mapping


def test_reconcile_runs_one_source_a_message() -> None:
    """Each quarter of an hour it asks what is due; two sources at most run at once, each by itself."""
    rule = of_type("AWS::Events::Rule")["ReconcileFunctionSchedule"]
    assert [named(target["Arn"]) for target in rule["Targets"]] == ["ReconcileFunctionAliaslive"]
    mapping = mapping_of("ReconcileFunction")
    assert named(mapping["EventSourceArn"]) == "ReconcileQueue"
    assert (mapping["BatchSize"], mapping["ScalingConfig"]["MaximumConcurrency"]) == (1, 2)
    function, queue = resource("ReconcileFunction"), resource("ReconcileQueue")
    assert (function["Timeout"], function["MemorySize"]) == (900, 512)
    # What fails is not given out again, as the schedule asks again: hidden for longer than it is kept.
    assert queue["VisibilityTimeout"] == 6 * function["Timeout"] > queue["MessageRetentionPeriod"]
    assert "RedrivePolicy" not in queue
    assert "FunctionResponseTypes" not in mapping


def test_reconcile_finds_leave_of_a_table_that_is_taken_over() -> None:
    """The role reads the index of whichever table the stack has."""
    allowed = {each["Sid"]: each for each in statements("ReconcileFunction", ExistingTable="old")}
    assert allowed["FindLeave"]["Resource"]["Fn::Sub"].endswith(":table/${ExistingTable}/index/leaves")
    [index] = resource("LedgerTable")["GlobalSecondaryIndexes"]
    assert index["IndexName"] == "leaves"


def test_deploy_explains_itself_and_asks_for_nothing() -> None:
    """A guided deploy shows the parameters, which all have defaults, and the console the outputs."""
    parameters, outputs = deployed()["Parameters"], deployed()["Outputs"]
    assert all(each["Description"] for each in [*parameters.values(), *outputs.values()])
    assert all("Default" in each for each in parameters.values())


def test_outputs_name_what_an_operator_needs() -> None:
    """Vendors' consoles take the URLs, relayctl the queues and the table."""
    outputs = {name: chosen(each["Value"]) for name, each in deployed()["Outputs"].items()}
    assert outputs["AccessControlUrl"]["Fn::Sub"].endswith("/webhooks/access-control")
    assert outputs["HrisUrl"]["Fn::Sub"].endswith("/webhooks/hris")
    assert outputs["UnprocessedQueueUrl"] == {"Ref": "UnprocessedQueue"}
    assert outputs["DeadLetterQueueUrl"] == {"Ref": "DeadLetterQueue"}
    assert outputs["TableName"] == {"Ref": "LedgerTable"}


@pytest.mark.parametrize("name", ["AccessControlFunction", "HrisFunction"])
def test_new_version_is_tested_before_it_takes_traffic(name: str) -> None:
    """The alias shifts by and by in production, after the hook, and back when an alarm goes off."""
    alias = deployed()["Resources"][f"{name}Aliaslive"]
    shift = alias["UpdatePolicy"]["CodeDeployLambdaAliasUpdate"]
    assert shift["BeforeAllowTrafficHook"] == {"Ref": "PreTrafficFunction"}
    group = resource(shift["DeploymentGroupName"]["Ref"])
    kind = chosen(group["DeploymentConfigName"], Stage="prod")["Fn::Sub"][1]["ConfigName"]
    assert kind == "Canary10Percent15Minutes"
    assert group["AutoRollbackConfiguration"]["Enabled"] is True
    hook = resource("PreTrafficFunction")
    assert json.dumps(hook["FunctionName"]).count("CodeDeployHook_") == 1
    versions = {each["Ref"] for each in hook["Environment"]["Variables"].values() if "Version" in str(each)}
    assert resource(f"{name}Aliaslive")["FunctionVersion"]["Fn::GetAtt"][0] in versions


@pytest.mark.parametrize("name", ["AccessControlFunction", "HrisFunction"])
def test_canary_sees_faults(name: str) -> None:
    """What takes a version back sees every fault within minutes of the canary's quarter of an hour.

    A fault of the relay's own is answered 202 `internal_error`, what cannot be stored 503: neither is one of
    Lambda's errors. An alarm that is red when a deploy begins stops it: so the retry function's faults, which
    come again until a mended version is there, are in none of these.
    https://docs.aws.amazon.com/codedeploy/latest/userguide/monitoring-create-alarms.html
    """
    prefix = name.removesuffix("Function")
    group = resource(f"{name}DeploymentGroup")
    alarms = [named(alarm["Name"]) for alarm in group["AlarmConfiguration"]["Alarms"]]
    kinds = ("Errors", "Throttles", "InternalErrors", "ServerErrors")
    assert sorted(alarms) == sorted(f"{prefix}{kind}Alarm" for kind in kinds)
    for alarm in map(resource, alarms):
        assert (alarm["Period"], alarm["EvaluationPeriods"], alarm["Threshold"]) == (60, 1, 1)
    logs = resource(name)["LoggingConfig"]["LogGroup"]
    for kind, group in (("InternalErrors", logs), ("ServerErrors", {"Ref": "AccessLogs"})):
        assert resource(f"{prefix}{kind}")["LogGroupName"] == group
        [made] = resource(f"{prefix}{kind}")["MetricTransformations"]
        watched = resource(f"{prefix}{kind}Alarm")
        assert (made["MetricNamespace"], made["MetricName"]) == (watched["Namespace"], watched["MetricName"])


def test_guide_says_when_the_hook_does_not_run() -> None:
    """CodeDeploy shifts an alias that is there: nothing tests the first version of a new stack.

    https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/aws-attribute-updatepolicy.html
    """
    alias = deployed()["Resources"]["HrisFunctionAliaslive"]
    assert "BeforeAllowTrafficHook" in alias["UpdatePolicy"]["CodeDeployLambdaAliasUpdate"]
    assert "CreationPolicy" not in alias
    page = (ROOT / "docs" / "guides" / "deploy.md").read_text("utf-8")
    assert "The hook does not run when the stack is created" in page


@pytest.mark.parametrize("name", FOLDERS)
def test_every_function_is_watched(name: str) -> None:
    """Errors, throttles and runs near the timeout each have an alarm."""
    prefix = name.removesuffix("Function")
    for metric in ("Errors", "Throttles", "Duration"):
        alarm = resource(f"{prefix}{metric}Alarm")
        assert (alarm["Namespace"], alarm["MetricName"]) == ("AWS/Lambda", metric)
        assert alarm["Dimensions"] == [{"Name": "FunctionName", "Value": {"Ref": name}}]
    assert resource(f"{prefix}DurationAlarm")["Threshold"] == resource(name)["Timeout"] * 800
