"""Roles of the template allow what is called and no more, and nothing secret stands in it."""

import json
from typing import Any

import pytest

from tests.template import FOLDERS, ROOT, Json, deployed, named, of_type, resource, statements

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


def listed(value: Any) -> list[Any]:
    """Return a policy's field, which may be one value or a list of them, as a list."""
    return value if isinstance(value, list) else [value]


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
