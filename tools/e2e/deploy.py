"""`sam deploy` of the built template to the emulator, and what the emulator needs besides."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import boto3
from ruamel.yaml import YAML

from e2e import package
from e2e.checks import Failed
from e2e.emulator import ROOT
from localrun.template import Template

STACK = "calven-relay-e2e"
BUCKET = "calven-relay-e2e"
_HTTP_TOO = "https?://[^/?#]+"
_LEFT_OUT = (
    "AWS::CloudWatch::Alarm",
    "AWS::CloudWatch::CompositeAlarm",
    "AWS::CloudWatch::Dashboard",
    "AWS::Logs::MetricFilter",
    "AWS::Budgets::Budget",
    "AWS::Logs::QueryDefinition",
)
"""What watches the relay: the emulator has some of these types not at all, and alarms without arithmetic."""
_DEPLOY_SECONDS = 180.0


def deploy(calven_url: str, folder: Path, log: Path) -> None:
    """Deploy a copy of what `make build` has made; raises `Failed`."""
    template = _copy(folder)
    boto3.client("s3").create_bucket(Bucket=BUCKET)
    sam = ROOT / ".venv-sam" / "bin" / "sam"
    where = ("--template-file", template, "--stack-name", STACK, "--s3-bucket", BUCKET)
    how = ("--capabilities", "CAPABILITY_IAM", "--no-confirm-changeset", "--no-progressbar")
    parameters = ("--parameter-overrides", f"CalvenBaseUrl={calven_url}")
    environment = {**os.environ, "SAM_CLI_TELEMETRY": "0", "TMPDIR": str(folder)}
    _run([sam, "deploy", *where, *how, *parameters], environment, log)


def _copy(folder: Path) -> Path:
    """The built template and package as they are, but for what this machine cannot do.

    Calven's sandbox speaks no TLS, hence plain http passes as its URL. The emulator has neither CodeDeploy,
    so that new versions get all traffic at once, nor all of what watches the relay, which is left out.
    """
    built = ROOT / ".aws-sam" / "build" / "template.yaml"
    yaml, template = YAML(), folder / built.relative_to(ROOT)
    document = yaml.load(built)
    document["Parameters"]["CalvenBaseUrl"]["AllowedPattern"] = _HTTP_TOO
    resources = document["Resources"]
    for name in [name for name, each in resources.items() if each["Type"] in _LEFT_OUT]:
        del resources[name]
    for resource in resources.values():
        resource.get("Properties", {}).pop("DeploymentPreference", None)
    template.parent.mkdir(parents=True)
    yaml.dump(document, template)
    package.copy(folder / "build" / "package")
    return template


def _run(command: Sequence[str | Path], environment: Mapping[str, str], log: Path) -> None:
    """Run a command; raises `Failed`, after the end of what it said."""
    with log.open("wb") as output:
        try:
            done = subprocess.run(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=_DEPLOY_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise Failed(f"sam deploy took over {_DEPLOY_SECONDS:g} s: see {log}") from None
    if done.returncode:
        print(log.read_text("utf-8", "replace")[-2000:], file=sys.stderr)
        raise Failed(f"sam deploy failed: see {log}")


def add_routes(stack: str, emulator_url: str) -> str:
    """Give the API its routes, and return the URL where the emulator serves it.

    SAM writes the routes of an HTTP API into the API's `Body`, which the emulator does not read.
    """
    template = Template()
    api, functions = boto3.client("apigatewayv2"), boto3.client("lambda")
    names = resources(boto3.client("cloudformation"), stack)
    [api_id] = [names[name] for name in template.of_type("AWS::Serverless::HttpApi")]
    for route in template.routes:
        integration = api.create_integration(
            ApiId=api_id,
            IntegrationType="AWS_PROXY",
            IntegrationUri=_invoked(functions, names[route.function.logical_id]),
            PayloadFormatVersion="2.0",
        )
        target = f"integrations/{integration['IntegrationId']}"
        api.create_route(ApiId=api_id, RouteKey=f"{route.method} {route.path}", Target=target)
    if "$default" not in {stage["StageName"] for stage in api.get_stages(ApiId=api_id)["Items"]}:
        api.create_stage(ApiId=api_id, StageName="$default", AutoDeploy=True)
    return f"{emulator_url}/_aws/execute-api/{api_id}/$default"


def enable_queues() -> None:
    """Have the emulator poll the queues.

    It takes a mapping's greatest concurrency as the text that every parameter is, and compares numbers.
    """
    functions = boto3.client("lambda")
    # Each may have the smallest of them: the emulator's queues are short.
    concurrency = min(source.concurrency for source in Template().event_sources)
    for mapping in functions.list_event_source_mappings()["EventSourceMappings"]:
        functions.update_event_source_mapping(
            UUID=mapping["UUID"], ScalingConfig={"MaximumConcurrency": concurrency}
        )


def _invoked(functions: Any, name: str) -> str:
    """The ARN that the API calls: of the function's alias, if it has one."""
    aliases = functions.list_aliases(FunctionName=name)["Aliases"]
    found = (
        aliases[0]["AliasArn"]
        if aliases
        else functions.get_function_configuration(FunctionName=name)["FunctionArn"]
    )
    return str(found)


def resources(cloudformation: Any, stack: str) -> dict[str, str]:
    """What the stack's resources are called, by their names in the template."""
    found = cloudformation.describe_stack_resources(StackName=stack)["StackResources"]
    return {each["LogicalResourceId"]: each["PhysicalResourceId"] for each in found}
