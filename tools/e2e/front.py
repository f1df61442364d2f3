"""What stands between a command and the emulator: it denies what it is told to, as AWS's IAM would."""

import hashlib
import json
from typing import Any

import httpx
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

FILTER_LOG_EVENTS = "Logs_20140328.FilterLogEvents"
_SECONDS = 20.0
_NOT_PASSED_ON = {"content-length", "content-encoding", "transfer-encoding", "connection"}


class Front:
    """Passes requests of AWS's JSON protocols on to the emulator at a URL, but for the operation `denied`.

    The emulator checks no permission. It also gives the lines of a log no ids, which AWS does: they get some.
    """

    def __init__(self, url: str) -> None:
        self.denied = ""
        self._emulator = httpx.AsyncClient(base_url=url, timeout=_SECONDS, trust_env=False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http":
            await (await self._answer(Request(scope, receive)))(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        operation = request.headers.get("x-amz-target", "")
        if operation and operation == self.denied:
            return _denial(operation)
        answer = await self._emulator.request(
            request.method, str(request.url.path), headers=request.headers.raw, content=await request.body()
        )
        if operation == FILTER_LOG_EVENTS and answer.is_success:
            return JSONResponse(_with_ids(answer.json()))
        headers = {name: value for name, value in answer.headers.items() if name not in _NOT_PASSED_ON}
        return Response(answer.content, answer.status_code, headers)


def _denial(operation: str) -> Response:
    said = f"User: arn:aws:iam::000000000000:user/e2e is not authorized to perform: {operation}"
    return JSONResponse({"__type": "com.amazon.coral.service#AccessDeniedException", "message": said}, 400)


def _with_ids(page: dict[str, Any]) -> dict[str, Any]:
    """A page of a log whose lines have ids: the same ones whenever they are read."""
    for event in page["events"]:
        event.setdefault("eventId", hashlib.sha256(json.dumps(event, sort_keys=True).encode()).hexdigest())
    return page
