"""An AWS that fails when it is told to, in front of moto's server.

`POST /_aws/fail` has a service fail (`{"service": "dynamodb", "mode": "hang", "share": 0.2}`), `DELETE` ends
all of it, and lets what hangs go on. Only the functions' requests fail: those of the local run itself, which
plays AWS's own part, say so in their user agent.
"""

import asyncio
import random
import time
from threading import Lock
from typing import Annotated, Literal

from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from localrun.sandbox_rules import Body, Malformed, parse
from localrun.serve import disconnected

OWN_AGENT = "localrun"
_LONGEST_HANG = 60.0
_TARGETS = {"dynamodb": "DynamoDB_", "sqs": "AmazonSQS", "secretsmanager": "secretsmanager"}
_WRITES = (".UpdateItem", ".TransactWriteItems")
_THROTTLED = {
    "dynamodb": "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException",
    "sqs": "com.amazonaws.sqs#RequestThrottled",
    "secretsmanager": "ThrottlingException",
}


class FailRequest(Body):
    """How a service fails: `share` of its requests, those of an operation if one is named.

    Only writes conflict.
    """

    service: Literal["dynamodb", "sqs", "secretsmanager"]
    mode: Literal["throttle", "conflict", "500", "hang", "reset"]
    share: Annotated[float, Field(gt=0, le=1)] = 1.0
    operation: str | None = None


class AwsFaults:
    """moto's server, or any other application that speaks AWS's JSON protocol, with failures on order."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._lock = Lock()
        self._orders: list[FailRequest] = []
        self._cleared = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request."""
        if scope["type"] == "http" and scope["path"] == "/_aws/fail":
            await (await self._order(Request(scope, receive)))(scope, receive, send)
            return
        order = self._taken(scope)
        response = await self._fail(order, Request(scope, receive)) if order else None
        await (response or self._app)(scope, receive, send)

    async def _order(self, request: Request) -> Response:
        with self._lock:
            if request.method == "DELETE":
                self._orders.clear()
                self._cleared += 1
                return Response(status_code=204)
        try:
            order = parse(FailRequest, await request.body())
        except Malformed as malformed:
            return JSONResponse({"message": "malformed order", "errors": malformed.problems}, 400)
        with self._lock:
            self._orders.append(order)
        return Response(status_code=204)

    def _taken(self, scope: Scope) -> FailRequest | None:
        headers = {name: value.decode("latin-1") for name, value in scope.get("headers", ())}
        target = headers.get(b"x-amz-target", "")
        if OWN_AGENT in headers.get(b"user-agent", ""):
            return None
        with self._lock:
            for order in self._orders:
                fits = target.startswith(_TARGETS[order.service])
                named = order.operation is None or target.endswith(f".{order.operation}")
                written = order.mode != "conflict" or target.endswith(_WRITES)
                if fits and named and written and random.random() < order.share:  # noqa: S311 - plays chance
                    return order
        return None

    async def _fail(self, order: FailRequest, request: Request) -> Response | None:
        match order.mode:
            case "hang":
                await self._hang(request)
                return None
            case "reset":
                request.state.abort()
                await disconnected(request.receive)
                return Response()
            case "500":
                return _error(500, "InternalServerError")
            case "throttle":
                return _error(400, _THROTTLED[order.service])
        return _conflict(request.headers.get("x-amz-target", ""))

    async def _hang(self, request: Request) -> None:
        """Waits until the failures are cleared or the client is gone: the request is then carried out."""
        cleared, end = self._cleared, time.monotonic() + _LONGEST_HANG
        while not request.state.stopping.is_set() and time.monotonic() < end:
            if cleared != self._cleared:
                return
            await asyncio.sleep(0.05)


def _error(status: int, kind: str, **more: object) -> Response:
    headers = {"x-amzn-query-error": f"{kind.rpartition('#')[2]};Sender"}
    content = {"__type": kind, "message": "told to fail", **more}
    return JSONResponse(content, status, headers, media_type="application/x-amz-json-1.0")


def _conflict(target: str) -> Response:
    prefix = "com.amazonaws.dynamodb.v20120810#"
    if target.endswith(".TransactWriteItems"):
        reasons = [{"Code": "TransactionConflict", "Message": "told to fail"}]
        return _error(400, f"{prefix}TransactionCanceledException", CancellationReasons=reasons)
    return _error(400, f"{prefix}TransactionConflictException")
