"""`template.yaml`, read as SAM deploys it: what keeps events, secrets and the bill safe."""

import json

import pytest

from build import package
from localrun.template import Template
from relay.settings import Settings
from tests.template import (
    FOLDERS,
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
