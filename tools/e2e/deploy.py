"""The built template on the emulator, deployed as by `make deploy`, and what the emulator needs besides."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import boto3
from ruamel.yaml import YAML

from e2e import package
from e2e.checks import Failed
from e2e.emulator import ROOT
from localrun.settings import Secrets
from localrun.template import Template

STACK = "calven-relay-e2e"
BUCKET = "calven-relay-e2e"
STAGE = "e2e"
_HTTP_TOO = "https?://[^/?#]+"
_LEFT_OUT = (
    "AWS::CloudWatch::CompositeAlarm",
    "AWS::CloudWatch::Dashboard",
    "AWS::Logs::MetricFilter",
    "AWS::Budgets::Budget",
    "AWS::Logs::QueryDefinition",
)
"""What watches the relay, of types that the emulator has not at all or not as the template uses them."""
_DEPLOY_SECONDS = 180.0


class Deployment:
    """The stack, deployed from one commit as often as steps need; `folder` takes files, `log` what SAM says.

    It keeps its parameters as `samconfig.toml` does: what a deploy does not change stays.
    """

    def __init__(self, calven_url: str, emulator_url: str, folder: Path, log: Path) -> None:
        self._emulator_url, self._folder, self._log = emulator_url, folder, log
        self._parameters = {"CalvenBaseUrl": calven_url}
        self._deploys = 0

    def deploy(self, **changed: str) -> None:
        """Deploy a copy of what `make build` has made, with parameters changed; raises `Failed`."""
        if not self._deploys:
            package.copy(self._folder / "build" / "package")
            boto3.client("s3").create_bucket(Bucket=BUCKET)
        self._deploys += 1
        self._parameters |= changed
        template = _copy(self._folder, f"{self._deploys:010}")
        config = self._folder / "samconfig.toml"
        config.write_text(_samconfig(self._parameters), "utf-8")
        where = ("--config-file", config, "--template-file", template, "--s3-bucket", BUCKET)
        how = ("--stack-name", STACK, "--capabilities", "CAPABILITY_IAM", "--no-confirm-changeset")
        sam = ROOT / ".venv-sam" / "bin" / "sam"
        # The very script of `make deploy`, which names each deploy's revision.
        command = [sys.executable, ROOT / "tools" / "build" / "deploy.py", sam, STAGE, *where, *how]
        environment = {**os.environ, "SAM_CLI_TELEMETRY": "0", "TMPDIR": str(self._folder)}
        _run([*map(str, command), "--no-progressbar"], environment, self._log)

    def delete(self) -> None:
        """Delete the stack."""
        cloudformation = boto3.client("cloudformation")
        cloudformation.delete_stack(StackName=STACK)
        waiter = cloudformation.get_waiter("stack_delete_complete")
        waiter.wait(StackName=STACK, WaiterConfig={"Delay": 1, "MaxAttempts": 60})

    def complete(self) -> str:
        """Do what the emulator leaves out of a stack that is new; the API's URL."""
        enable_queues()
        url = add_routes(STACK, self._emulator_url)
        os.environ["RELAY_API_URL"] = url
        return url


def _samconfig(parameters: Mapping[str, str]) -> str:
    """A `samconfig.toml` with one stage, which has these parameters."""
    overrides = [f"{name}={value}" for name, value in parameters.items()]
    return f"version = 0.1\n[{STAGE}.deploy.parameters]\nparameter_overrides = {json.dumps(overrides)}\n"


def _copy(folder: Path, revision: str) -> Path:
    """The built template as it is, but for what this machine cannot do.

    Calven's sandbox speaks no TLS, hence plain http passes as its URL. The emulator has no CodeDeploy, so
    new versions get all traffic at once. Of what watches the relay it has alarms without arithmetic.
    SAM's transform, which names versions, sees no parameters there but their defaults: so the default
    revision is another one with each deploy, as the real one is.
    """
    built = ROOT / ".aws-sam" / "build" / "template.yaml"
    yaml, template = YAML(), folder / built.relative_to(ROOT)
    document = yaml.load(built)
    document["Parameters"]["CalvenBaseUrl"]["AllowedPattern"] = _HTTP_TOO
    document["Parameters"]["Revision"]["Default"] = revision
    resources = document["Resources"]
    for name in [name for name, each in resources.items() if _left_out(each)]:
        del resources[name]
    for resource in resources.values():
        resource.get("Properties", {}).pop("DeploymentPreference", None)
    template.parent.mkdir(parents=True, exist_ok=True)
    yaml.dump(document, template)
    return template


def _left_out(resource: Mapping[str, Any]) -> bool:
    with_arithmetic = resource["Type"] == "AWS::CloudWatch::Alarm" and "Metrics" in resource["Properties"]
    return with_arithmetic or resource["Type"] in _LEFT_OUT


def _run(command: list[str], environment: Mapping[str, str], log: Path) -> None:
    """Run a command and add what it says to a log; raises `Failed`, after the end of that."""
    with (
        log.open("ab") as output,
        subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            # A group of its own, to end SAM with the script that started it.
            start_new_session=True,
        ) as process,
    ):
        try:
            code = process.wait(_DEPLOY_SECONDS)
        except subprocess.TimeoutExpired:
            raise Failed(f"the deploy took over {_DEPLOY_SECONDS:g} s: see {log}") from None
        finally:
            # However this ends, by Ctrl-C too, no deploy goes on behind it.
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    if code:
        print(log.read_text("utf-8", "replace")[-2000:], file=sys.stderr)
        raise Failed(f"the deploy failed: see {log}")


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


def make_token_secrets(stack: str, secrets: Secrets) -> None:
    """Make the secrets in which the relay keeps tokens that change with each use.

    It would make them itself, under a version's id that the emulator forgets when it makes a secret.
    """
    client = boto3.client("secretsmanager")
    for source, content in secrets.items():
        if "refreshToken" in content.get("api", {}):
            client.create_secret(Name=f"{stack}/tokens/{source}", SecretString="{}")


def mapping_of(functions: Any, name: str) -> str:
    """The id of the mapping that feeds a function from its queue."""
    mappings = functions.list_event_source_mappings()["EventSourceMappings"]
    [found] = [each["UUID"] for each in mappings if f":function:{name}" in each["FunctionArn"]]
    return str(found)


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
