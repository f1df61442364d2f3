"""A stand-in for Calven's API (apidocs.calven.com): enforces what its documentation says, fails when told to.

Under `/_sandbox` it tells what it received and takes orders:

- `GET /_sandbox/requests`: every request, its time, method, path, headers and body without credentials, and
  the status answered. `DELETE` forgets requests and events; what they amount to stays.
- `GET /_sandbox/events`: the accepted events, in order.
- `GET /_sandbox/state`: the latest occupancy of each location, and each person's days away.
- `POST /_sandbox/fail`, `{"mode", "count"?, "retryAfter"?, "endpoint"?}`: fails from now on, `count` times or
  until `DELETE /_sandbox/fail`, which also lets go of requests that hang.
- `POST /_sandbox/unknown`, `{"users"?: [], "locations"?: []}`: refuses these with result codes 1 and 2.
- `POST /_sandbox/locations`, `{"locations": […] or null}`: from now on knows these locations, null for any.
- `POST /_sandbox/users`, `{"users": […]}`: also knows these people, whose leave it never took.
- `DELETE /_sandbox/away`, `{"email", "day"}`: takes a day out of somebody's plan, as people do by hand.
- `POST /_sandbox/expire-tokens`: makes every token invalid.
- `POST /_sandbox/lose`, `{"vendor", "count"?}`: the next webhooks of that vendor never reach the relay.
  `DELETE` calls it off, `GET` says how many are still to be lost.
"""

import asyncio
import time
from collections.abc import Callable, Collection, Mapping

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from localrun import losses
from localrun.sandbox_analytics import Analytics
from localrun.sandbox_calls import Calls, Refused, key_of
from localrun.sandbox_orders import (
    AwayRequest,
    FailureRequest,
    LocationsRequest,
    UnknownRequest,
    UsersRequest,
)
from localrun.sandbox_rules import Malformed, parse
from localrun.sandbox_state import Failure, Failures, Known, Received, Tokens
from localrun.serve import disconnected

_LONGEST_HANG = 120.0
_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"]


class Sandbox:
    """The ASGI application, for an API key that may submit, and one that may read, if there is one.

    `credentials` and `reader` hold `apiKey` and `apiSecret`; `gateway` is where webhooks come in, to lose
    some of them. `locations` are the location ids that it knows, None for any; `token_lifetime` is in
    seconds; `now` tells the time in Unix seconds.
    """

    def __init__(
        self,
        credentials: Mapping[str, str],
        *,
        reader: Mapping[str, str] | None = None,
        gateway: str | None = None,
        locations: Collection[str] | None = None,
        token_lifetime: float = 3600,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._tokens = Tokens(token_lifetime, now)
        self._received = Received(now)
        self._failures = Failures()
        self._known = Known(locations)
        keys = [key_of(credentials, "submit")]
        if reader:
            keys.append(key_of(reader, "read"))
        self._calls = Calls(keys, self._tokens, self._known, self._received, now)
        self._analytics = Analytics(self._tokens, self._known)
        self._gateway = gateway
        self._app = Starlette(
            routes=[
                Route("/_sandbox/{order:path}", self._control, methods=["GET", "POST", "DELETE"]),
                Route("/{path:path}", self._calven, methods=_METHODS),
            ]
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request."""
        await self._app(scope, receive, send)

    async def _calven(self, request: Request) -> Response:
        body, path = await request.body(), _path(request)
        entry = self._received.open(request.method, path, request.headers.items(), body)
        failure = self._failures.take(path)
        response = await _fail(failure, request) if failure else None
        if response is None:
            response = self._answer(request, body, bool(failure and failure.mode == "missing-results"))
        if not isinstance(response, _NoResponse):
            entry["status"] = response.status_code
        return response

    def _answer(self, request: Request, body: bytes, lose_last: bool) -> Response:
        path = _path(request)
        try:
            if self._analytics.has(path):
                found = self._analytics.answer(request.method, path, request.headers, request.query_params)
                return JSONResponse(found)
            return JSONResponse(self._calls.answer(request.method, path, request.headers, body, lose_last))
        except Malformed as malformed:
            return JSONResponse({"message": "malformed request", "errors": malformed.problems}, 400)
        except Refused as refused:
            return JSONResponse({"message": refused.message}, refused.status)

    async def _control(self, request: Request) -> Response:
        body = await request.body()
        try:
            if request.path_params["order"] == "lose":
                return await self._lose(request.method, body)
            return self._inspect(request) if request.method == "GET" else self._order(request, body)
        except Malformed as malformed:
            return JSONResponse({"message": "malformed order", "errors": malformed.problems}, 400)
        except Refused as refused:
            return JSONResponse({"message": refused.message}, refused.status)

    def _inspect(self, request: Request) -> Response:
        match request.path_params["order"]:
            case "requests":
                return JSONResponse(list(self._received.requests))
            case "events":
                return JSONResponse(list(self._received.events))
            case "state":
                return JSONResponse(self._known.view())
            case _:
                raise Refused(404, "no such view")

    def _order(self, request: Request, body: bytes) -> Response:
        match request.method, request.path_params["order"]:
            case "DELETE", "requests":
                self._received.clear()
            case "POST", "fail":
                self._failures.set(parse(FailureRequest, body))
            case "DELETE", "fail":
                self._failures.clear()
            case "POST", "unknown":
                self._known.refused = parse(UnknownRequest, body)
            case "POST", "locations":
                self._known.locations = parse(LocationsRequest, body).locations
            case "POST", "users":
                self._known.add_users(parse(UsersRequest, body).users)
            case "DELETE", "away":
                day = parse(AwayRequest, body)
                if not self._known.take_out(day.email, day.day):
                    raise Refused(404, "no such day away")
            case "POST", "expire-tokens":
                self._tokens.expire_all()
            case _:
                raise Refused(404, "no such order")
        return Response(status_code=204)

    async def _lose(self, method: str, body: bytes) -> Response:
        """Passes the order on to where webhooks come in."""
        if self._gateway is None:
            raise Refused(404, "there is no relay here whose webhooks could be lost")
        try:
            async with httpx.AsyncClient(trust_env=False) as http:
                answer = await http.request(method, f"{self._gateway}{losses.PATH}", content=body)
        except httpx.HTTPError as error:
            raise Refused(502, f"the relay does not answer: {type(error).__name__}") from None
        return Response(answer.content, answer.status_code, media_type=answer.headers.get("content-type"))


def _path(request: Request) -> str:
    """The path as documented: Calven takes a slash at its end too, which its own SDK sends."""
    path: str = request.scope["path"]
    return path.rstrip("/") or "/"


class _NoResponse(Response):
    """For a client that is gone."""


async def _fail(failure: Failure, request: Request) -> Response | None:
    """The failing answer, or None when the request is to be handled after all."""
    match failure.mode:
        case "missing-results":
            return None
        case "hang":
            return await _hang(failure, request)
        case "reset":
            request.state.abort()
            await disconnected(request.receive)
            return _NoResponse()
        case "garbage":
            return Response(b'{"results": [', 200, media_type="application/json")
        case status:
            headers = {} if failure.retry_after is None else {"Retry-After": str(failure.retry_after)}
            return JSONResponse({"message": "the sandbox was told to fail"}, int(status), headers)


async def _hang(failure: Failure, request: Request) -> Response | None:
    """Waits until the failure is cleared (None: handle it), the server stops or two minutes have passed."""
    end = time.monotonic() + _LONGEST_HANG
    while not failure.cleared:
        if await request.is_disconnected():
            return _NoResponse()
        if request.state.stopping.is_set() or time.monotonic() > end:
            return JSONResponse({"message": "the sandbox was told to hang"}, 503)
        await asyncio.sleep(0.05)
    return None
