"""Lints the template as it will be deployed: transformed by SAM first, since linters do not see through that.

Before the transform, a reference to nothing, a batch that is too large and a queue whose messages reappear
while the function still works on them all pass.
"""

import json
import logging
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import boto3
from samtranslator.model.exceptions import InvalidDocumentException
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator
from samtranslator.yaml_helper import yaml_parse

# Where the transform asks which AWS partition it writes ARNs for.
REGION = "us-east-1"

# It warns of features that it has not switched on.
logging.getLogger("samtranslator").setLevel(logging.ERROR)


def transform(
    template: str, parameters: Mapping[str, str] | None = None, *, packaged: bool = False
) -> dict[str, Any]:
    """Return the CloudFormation template that SAM makes of this one, `packaged` if its code is uploaded.

    `parameters` are values for those that are not to have their defaults.

    Raises `InvalidDocumentException` where SAM refuses it.
    """
    source = yaml_parse(template)
    for resource in source["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function" and not packaged:
            # A deploy uploads the package first.
            resource["Properties"]["CodeUri"] = "s3://bucket/package.zip"
    session = boto3.Session(region_name=REGION)
    transformed: dict[str, Any] = Translator({}, Parser(), boto_session=session).translate(
        source, dict(parameters or {})
    )
    return transformed


def lint(template: str) -> list[str]:
    """Return what is wrong with the transformed template, one line a finding."""
    try:
        transformed = transform(template)
    except InvalidDocumentException as error:
        return [cause.message for cause in error.causes]
    # It takes a second to load, and who only transforms does not need it.
    from cfnlint import api  # noqa: PLC0415

    findings = api.lint(json.dumps(transformed), regions=[REGION])
    return [f"{found.rule.id} {found.message} ({'/'.join(map(str, found.path or ()))})" for found in findings]


def main() -> int:
    """Lint the template that the command line names; its findings go to standard error.

    The transformed template goes into the second file that it names, for other linters.
    """
    template = Path(sys.argv[1]).read_text(encoding="utf-8")
    findings = lint(template)
    if sys.argv[2:] and not findings:
        Path(sys.argv[2]).parent.mkdir(exist_ok=True)
        Path(sys.argv[2]).write_text(json.dumps(transform(template), indent=1), encoding="utf-8")
    for finding in findings:
        print(finding, file=sys.stderr)
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
