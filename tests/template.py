"""The deployed form of the template, and how to read it."""

from functools import cache
from pathlib import Path
from typing import Any

from build import lint_template

ROOT = Path(__file__).parents[1]
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


def made(name: str, **parameters: str) -> bool:
    """Whether a resource or an output is there, given these parameters."""
    found = deployed()["Resources"].get(name) or deployed()["Outputs"][name]
    return "Condition" not in found or holds(found["Condition"], **parameters)
