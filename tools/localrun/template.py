"""What the local run needs of `template.yaml`, so that both run the same functions, routes and queues."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from localrun import cfn_yaml

PATH = Path(__file__).parents[2] / "template.yaml"
STACK = "calven-relay-local"
REGION = "us-east-1"
ACCOUNT = "123456789012"

_PSEUDO = {"AWS::StackName": STACK, "AWS::Region": REGION, "AWS::AccountId": ACCOUNT, "AWS::Partition": "aws"}
_UNITS = {"minute": 60, "hour": 3_600, "day": 86_400}
_DEFAULT_MEMORY, _DEFAULT_TIMEOUT = 128, 3
_DEFAULT_BATCH, _DEFAULT_CONCURRENCY = 10, 2

Json = dict[str, Any]


@dataclass(frozen=True)
class Function:
    """A function: its logical id, its handler's dotted name, memory in MB, timeout in seconds, log group."""

    logical_id: str
    handler: str
    memory: int
    timeout: int
    log_group: str = ""


@dataclass(frozen=True)
class Route:
    """A route of the HTTP API, such as `POST` `/webhooks/hris/{source}`."""

    method: str
    path: str
    function: Function


@dataclass(frozen=True)
class EventSource:
    """A queue that feeds a function."""

    queue: str
    function: Function
    batch_size: int
    concurrency: int


@dataclass(frozen=True)
class Schedule:
    """A function called every so many seconds."""

    function: Function
    interval: int


class Template:
    """`template.yaml`, read. Values that only a deployment knows are left out."""

    def __init__(self, path: Path = PATH) -> None:
        document = cfn_yaml.load(path)
        self.resources: Json = document["Resources"]
        self._globals: Json = document.get("Globals", {}).get("Function", {})
        parameters = document.get("Parameters", {})
        self._names = {
            name: each["Default"] for name, each in parameters.items() if "Default" in each
        } | _PSEUDO

    @cached_property
    def functions(self) -> dict[str, Function]:
        """The functions by logical id."""
        return {name: self._function(name) for name in self.of_type("AWS::Serverless::Function")}

    @cached_property
    def environment(self) -> dict[str, str]:
        """The functions' environment variables, as far as their values are known before a deployment."""
        found: dict[str, str] = {}
        for name in ["", *self.functions]:
            properties = self.resources[name]["Properties"] if name else self._globals
            for key, value in properties.get("Environment", {}).get("Variables", {}).items():
                resolved = self.resolve(value)
                if isinstance(resolved, str | int):
                    found[key] = str(resolved)
        return found

    @property
    def routes(self) -> list[Route]:
        """The HTTP API's routes."""
        return [
            Route(each["Method"].upper(), each["Path"], function)
            for function, each in self._events("HttpApi")
        ]

    @property
    def event_sources(self) -> list[EventSource]:
        """The queues that feed functions."""
        return [
            EventSource(
                queue=self.target(each["Queue"]),
                function=function,
                batch_size=self._int(each.get("BatchSize"), _DEFAULT_BATCH),
                concurrency=self._int(
                    each.get("ScalingConfig", {}).get("MaximumConcurrency"), _DEFAULT_CONCURRENCY
                ),
            )
            for function, each in self._events("SQS")
        ]

    @property
    def schedules(self) -> list[Schedule]:
        """The functions called by the clock."""
        return [
            Schedule(function, interval(self.resolve(each.get("Schedule") or each["ScheduleExpression"])))
            for kind in ("Schedule", "ScheduleV2")
            for function, each in self._events(kind)
        ]

    def of_type(self, resource_type: str) -> Json:
        """The properties of the resources of a type, by logical id."""
        return {
            name: each.get("Properties", {})
            for name, each in self.resources.items()
            if each["Type"] == resource_type
        }

    def resolve(self, value: Any) -> Any:
        """A value with references to parameters with a default, and to the stack's name, replaced."""
        match value:
            case {"Ref": name}:
                return self._names.get(name, value)
            case {"Fn::Sub": str(text)}:
                return re.sub(r"\$\{([\w:]+)\}", lambda found: str(self._names.get(found[1], found[0])), text)
            case _:
                return value

    def target(self, reference: Any) -> str:
        """The logical id that a `!Ref` or `!GetAtt` names."""
        match reference:
            case {"Ref": name}:
                return str(name)
            case {"Fn::GetAtt": [name, *_]}:
                return str(name)
            case {"Fn::GetAtt": str(dotted)}:
                return dotted.partition(".")[0]
            case _:
                raise ValueError(f"not a reference to a resource: {reference}")

    def _function(self, logical_id: str) -> Function:
        properties = self._globals | self.resources[logical_id]["Properties"]
        return Function(
            logical_id=logical_id,
            handler=properties["Handler"],
            memory=self._int(properties.get("MemorySize"), _DEFAULT_MEMORY),
            timeout=self._int(properties.get("Timeout"), _DEFAULT_TIMEOUT),
            log_group=self._log_group(logical_id, properties),
        )

    def _log_group(self, logical_id: str, properties: Json) -> str:
        """The name of a function's log group: its own one, or else Lambda's."""
        named = properties.get("LoggingConfig", {}).get("LogGroup")
        if named is None:
            return f"/aws/lambda/{logical_id}"
        return str(self.resolve(self.resources[self.target(named)]["Properties"]["LogGroupName"]))

    def _events(self, kind: str) -> Iterator[tuple[Function, Json]]:
        for name, function in self.functions.items():
            for event in self.resources[name]["Properties"].get("Events", {}).values():
                if event["Type"] == kind:
                    yield function, event["Properties"]

    def _int(self, value: Any, default: int) -> int:
        resolved = self.resolve(value)
        return int(resolved) if isinstance(resolved, str | int) else default


def interval(expression: str) -> int:
    """The seconds between two calls of a `rate(…)` or a simple `cron(…)` expression."""
    if rate := re.fullmatch(r"rate\((\d+) (minute|hour|day)s?\)", expression):
        return int(rate[1]) * _UNITS[rate[2]]
    cron = re.fullmatch(r"cron\((\S+) (\S+) .*\)", expression)
    if not cron:
        raise ValueError(f"not a schedule: {expression}")
    minutes, hours = cron[1], cron[2]
    if step := re.fullmatch(r"(?:\*|\d+)/(\d+)", minutes):
        return int(step[1]) * 60
    if minutes == "*":
        return 60
    return 3_600 // (minutes.count(",") + 1) if hours == "*" else 86_400
