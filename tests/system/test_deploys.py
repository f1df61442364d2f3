"""What a deploy publishes: a new version of each function, whatever has changed, and never one that fails."""

import io
import json
import re
import zipfile
from functools import cache
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from build import deploy, lint_template
from tests.template import FOLDERS, TEMPLATE, chosen, deployed, resource

REGION = "us-east-1"


@cache
def versions(template: str = TEMPLATE, **parameters: str) -> frozenset[str]:
    """Return the logical ids of the functions' versions: one that is new is published."""
    written = template.replace("CodeUri: build/package", "CodeUri: s3://bucket/package.zip")
    found = lint_template.transform(written, parameters, packaged=True)["Resources"]
    names = frozenset(name for name, each in found.items() if each["Type"] == "AWS::Lambda::Version")
    assert len(names) == len(FOLDERS)
    return names


ANOTHER = {
    "CalvenBaseUrl": "https://calven.example",
    "ForwardMode": "queued",
    "LogLevel": "WARN",
    "Stage": "prod",
    "AlarmEmail": "operator@example.com",
    "FrontDoorSha256": "0" * 64,
    "XRay": "on",
    "PythonVersion": "3.14",
    "ProtectLedger": "true",
    "ExistingTable": "restored",
    "ExistingPersonKey": "true",
    "DomainName": "relay.example.com",
    "CertificateArn": "arn:aws:acm:us-east-1:123456789012:certificate/1",
    "HostedZoneId": "Z123",
}
"""Values that are not the defaults, where a parameter has no number."""


@pytest.mark.parametrize("name", sorted(set(deployed()["Parameters"]) - {"Revision"}))
def test_a_changed_parameter_takes_effect(name: str) -> None:
    """A deploy publishes versions for a parameter's new value: its revision is new, and so are the ids.

    SAM does not see the value itself, as the first two lines show.
    https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/sam-resource-function.html
    """
    change = {name: ANOTHER.get(name, "7")}
    before = versions(Revision="1795716000-abc")
    assert versions(Revision="1795716000-abc", **change) == before
    assert not versions(Revision="1795716001-abc", **change) & before


def test_a_change_of_code_publishes_a_version() -> None:
    """Without a revision a version's logical id follows from the package."""
    first = TEMPLATE.replace("CodeUri: build/package", "CodeUri: s3://bucket/a.zip")
    second = TEMPLATE.replace("CodeUri: build/package", "CodeUri: s3://bucket/b.zip")
    assert not versions(first) & versions(second)


class Functions:
    """Lambda with one function, and a deploy of it as CloudFormation goes about it."""

    def __init__(self, properties: dict[str, Any]) -> None:
        self._lambda = boto3.client("lambda", REGION)
        self._properties = properties
        self._deployed: dict[str, str] = {}
        trusted = {"Version": "2012-10-17", "Statement": []}
        roles = boto3.client("iam", REGION)
        role = roles.create_role(RoleName="function", AssumeRolePolicyDocument=json.dumps(trusted))["Role"]
        code = io.BytesIO()
        with zipfile.ZipFile(code, "w") as archive:
            archive.writestr("app.py", "")
        self._lambda.create_function(
            FunctionName="function",
            Runtime="python3.13",
            Role=role["Arn"],
            Handler=properties["Handler"],
            Code={"ZipFile": code.getvalue()},
        )

    def deploy(self, revision: str) -> str:
        """Update the function if its properties are others, and publish a version: its number."""
        variables = chosen(self._properties["Environment"]["Variables"], Revision=revision)
        environment = {name: str(value) for name, value in variables.items()}
        if environment != self._deployed:
            self._lambda.update_function_configuration(
                FunctionName="function", Environment={"Variables": environment}
            )
            self._deployed = environment
        return str(self._lambda.publish_version(FunctionName="function")["Version"])


def test_a_deploy_changes_every_function() -> None:
    """The revision is in each function's environment, so that Lambda publishes a version of each."""
    for name in FOLDERS:
        assert resource(name)["Environment"]["Variables"]["REVISION"] == {"Ref": "Revision"}


@mock_aws(config={"lambda": {"use_docker": False}})
def test_a_deploy_after_a_rollback_goes_through() -> None:
    """The same commit and parameters again are another version, as each deploy changes every function.

    Lambda publishes no version of a function that is as it was: it answers with the one that is there, and
    CloudFormation, which asked for a new one, fails with "A version for this Lambda function exists".
    `make e2e` provokes that too.
    https://docs.aws.amazon.com/lambda/latest/api/API_PublishVersion.html
    https://github.com/aws/serverless-application-model/issues/3281
    """
    first, second = "1795716000-0a1b2c3", "1795716001-0a1b2c3"
    assert not versions(Revision=first) & versions(Revision=second), "CloudFormation asks for new ones"
    functions = Functions(resource("AccessControlFunction"))
    assert [functions.deploy(first), functions.deploy(second)] == ["1", "2"]
    assert functions.deploy(second) == "2", "it exists"


def test_versions_of_unchanged_functions_would_be_asked_for() -> None:
    """Without the revision in a function's environment its versions get new ids all the same."""
    without = TEMPLATE.replace("        REVISION: !Ref Revision\n", "")
    assert without != TEMPLATE
    assert not versions(without, Revision="1795716000") & versions(without, Revision="1795716001")


def test_revisions_differ_in_what_sam_looks_at() -> None:
    """Deploys a second apart have other logical ids, which hold ten characters of the revision."""
    revisions = [deploy.revision(now, "0a1b2c3") for now in (1_795_716_000.9, 1_795_716_001.0)]
    assert revisions == ["1795716000-0a1b2c3", "1795716001-0a1b2c3"]
    assert deploy.revision(1_795_716_000, "") == "1795716000"
    pattern = deployed()["Parameters"]["Revision"]["AllowedPattern"]
    assert all(re.fullmatch(pattern, each) for each in [*revisions, ""])
    assert not versions(Revision=revisions[0]) & versions(Revision=revisions[1])


@pytest.mark.parametrize("written", ['"Stage=prod Revision=\\"1\\""', '["Stage=prod", "Revision=1"]'])
def test_deploy_passes_the_answers_and_a_new_revision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: str
) -> None:
    """What samconfig.toml has is passed on, and the revision last: of two values SAM takes the last."""
    told, sam = tmp_path / "arguments", tmp_path / "sam"
    sam.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {told}\nexit 3\n', "utf-8")
    sam.chmod(0o755)
    configuration = tmp_path / "samconfig.toml"
    configuration.write_text(f"[prod.deploy.parameters]\nparameter_overrides = {written}\n", "utf-8")
    arguments = [str(sam), "prod", "--config-file", str(configuration), "--guided"]
    monkeypatch.setattr("sys.argv", ["deploy.py", *arguments])
    monkeypatch.setenv("RUNTIME", "3.14")
    assert deploy.main() == 3
    arguments = told.read_text("utf-8").splitlines()
    assert arguments[:3] == ["deploy", "--config-file", str(configuration)]
    assert arguments[3:6] == ["--config-env", "prod", "--parameter-overrides"]
    assert arguments[6].startswith("Stage=prod")
    assert arguments[-3] == "PythonVersion=3.14"
    assert re.fullmatch(r"Revision=\d{10}(-[0-9a-f]+)?", arguments[-2])
    assert arguments[-1] == "--guided"
