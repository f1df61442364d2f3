"""A new version is let through by a signed synthetic event of its own, which records and sends nothing."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from functions.pre_traffic import app
from localrun.serve import Served
from relay.entrypoints import deployment, webhook
from relay.vendors.support.base import Family
from tests.rig import Rig

FAMILIES: dict[str, Family] = {"ACCESS_CONTROL_VERSION": "access-control", "HRIS_VERSION": "hris"}


def asked(rig: Rig, name: str, **changes: Any) -> tuple[int, dict[str, str]]:
    """What a version answers to a smoke test."""
    event = deployment.synthetic_event(deployment.BODIES[name], rig.clock()) | changes
    answer = webhook.handle(rig.relay, FAMILIES[name], event)
    return answer["statusCode"], json.loads(answer["body"])


@pytest.mark.parametrize("name", FAMILIES)
def test_passed(rig: Rig, name: str) -> None:
    """A version that works says so; nothing is recorded, counted, queued or sent."""
    before = rig.aws.dynamodb.scan(TableName=rig.resources.table)["Count"]
    assert asked(rig, name) == (200, {"status": "passed", "detail": "1"})
    assert rig.aws.dynamodb.scan(TableName=rig.resources.table)["Count"] == before
    assert rig.requests() == rig.waiting() == rig.dead_letters() == []


def test_failed(rig: Rig) -> None:
    """A version that cannot verify, read or reach what it needs says which kind of thing failed."""
    assert asked(rig, "HRIS_VERSION", body="{}")[0] == 401
    assert asked(rig, "HRIS_VERSION", smoke_test={}) == (500, {"status": "failed", "detail": "KeyError"})
    assert asked(rig, "HRIS_VERSION", smoke_test=None)[0] == 500
    rig.aws.dynamodb.delete_table(TableName=rig.resources.table)
    rig.relay = rig.built()
    assert asked(rig, "HRIS_VERSION") == (500, {"status": "failed", "detail": "TableUnavailable"})


def test_secret_that_nobody_has_put_yet(rig: Rig) -> None:
    """A stack without Calven's key can still get a new version."""
    rig.aws.secrets.delete_secret(
        SecretId=f"{rig.relay.settings.stack_name}/calven", ForceDeleteWithoutRecovery=True
    )
    assert asked(rig, "HRIS_VERSION")[0] == 200


class Aws:
    """Lambda and CodeDeploy as the hook calls them: what a version answers, and what was told CodeDeploy."""

    def __init__(self) -> None:
        self.answer: Any = {"statusCode": 200, "body": "{}"}
        self.invoked: list[tuple[str, dict[str, Any]]] = []
        self.told: list[dict[str, str]] = []

    async def invoke(self, request: Request) -> Response:
        """`Invoke`."""
        self.invoked.append((request.path_params["name"], await request.json()))
        return JSONResponse(self.answer)

    async def tell(self, request: Request) -> Response:
        """`PutLifecycleEventHookExecutionStatus`."""
        self.told.append(await request.json())
        return JSONResponse({})


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[Aws]:
    """The two services, and an environment that names them and two versions."""
    played = Aws()
    routes = [
        Route("/2015-03-31/functions/{name:path}/invocations", played.invoke, methods=["POST"]),
        Route("/", played.tell, methods=["POST"]),
    ]
    with Served(Starlette(routes=routes)) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        for name in FAMILIES:
            monkeypatch.setenv(name, f"arn:aws:lambda:us-east-1:123456789012:function:{name}:7")
        yield played


def shifted() -> str:
    """What the hook decides."""
    event = {"DeploymentId": "d-1", "LifecycleEventHookExecutionId": "e-1"}
    return app.handler(event, None)["status"]


def test_hook_lets_traffic_shift(aws: Aws) -> None:
    """Both versions are invoked with a signed event, and CodeDeploy hears that they passed."""
    assert shifted() == "Succeeded"
    told = {"deploymentId": "d-1", "lifecycleEventHookExecutionId": "e-1", "status": "Succeeded"}
    assert aws.told == [told]
    assert [name.rpartition(":function:")[2] for name, _ in aws.invoked] == [f"{name}:7" for name in FAMILIES]
    assert all(event["smoke_test"]["secret"].startswith("whsec_") for _, event in aws.invoked)


@pytest.mark.parametrize(
    "answer",
    [{"statusCode": 500, "body": "{}"}, {"errorMessage": "crash"}, None, []],
)
def test_hook_stops_a_broken_version(aws: Aws, answer: Any) -> None:
    """A version that answers anything but 200 gets no traffic."""
    aws.answer = answer
    assert shifted() == "Failed"
    assert aws.told[0]["status"] == "Failed"
