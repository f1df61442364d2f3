"""The HTTP API in front of the functions: the template's routes, one thread an invocation."""

import re
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import anyio
from anyio.to_thread import run_sync
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route as HttpRoute

from localrun.captures import Captures
from localrun.http_event import UnusableAnswer, to_event, to_response
from localrun.invoke import FAILED, Handler, call, load
from localrun.losses import PATH as LOSE
from localrun.losses import Losses
from localrun.template import Function, Route

_LARGEST_BODY = 10 * 1024 * 1024
_LONGEST_INTEGRATION = 30
_MOST_INVOCATIONS = 100
_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"]


def create(
    routes: Iterable[Route],
    about: Mapping[str, Any],
    loader: Callable[[Function], Handler] = load,
    vendor_of: Callable[[str], str | None] = lambda _: None,
    captures: Captures | None = None,
) -> Starlette:
    """The application. Loads every handler at once; `about` is what `GET /_local` tells the tools.

    `vendor_of` is the vendor of a source, for webhooks that are to be lost; `captures` keeps what comes in.
    """
    losses = Losses(vendor_of)
    gateway = _Gateway(routes, loader, losses, captures)

    async def local(_: Request) -> Response:
        return JSONResponse(dict(about))

    return Starlette(
        routes=[
            HttpRoute("/_local", local, methods=["GET"]),
            HttpRoute(LOSE, losses.serve, methods=["GET", "POST", "DELETE"]),
            HttpRoute("/{path:path}", gateway.serve, methods=_METHODS),
        ]
    )


class _Gateway:
    def __init__(
        self,
        routes: Iterable[Route],
        loader: Callable[[Function], Handler],
        losses: Losses,
        captures: Captures | None,
    ) -> None:
        self._routes = sorted(routes, key=lambda route: "+}" in route.path)
        self._patterns = [_pattern(route.path) for route in self._routes]
        self._handlers = {route.function: loader(route.function) for route in self._routes}
        self._losses, self._captures = losses, captures
        self._limiter = anyio.CapacityLimiter(_MOST_INVOCATIONS)

    async def serve(self, request: Request) -> Response:
        """Answers one request."""
        found = self._match(request.method, request.scope["path"])
        if found is None:
            return JSONResponse({"message": "Not Found"}, 404)
        body = await _body(request)
        if body is None:
            return JSONResponse({"message": "Request Entity Too Large"}, 413)
        route, parameters = found
        if _is_webhook(request, parameters):
            await self._capture(request, parameters["source"], body)
            lost = await self._losses.take(parameters["source"])
            if lost is not None:
                return lost
        event = to_event(request, body, f"{route.method} {route.path}", parameters)
        answer = await self._invoke(route.function, event)
        try:
            if answer is not FAILED:
                return to_response(answer)
        except UnusableAnswer as error:
            print(f"{route.function.handler}: unusable answer: {error}", file=sys.stderr, flush=True)
        return JSONResponse({"message": "Internal Server Error"}, 500)

    async def _capture(self, request: Request, source: str, body: bytes) -> None:
        if self._captures is None:
            return
        scope, headers = request.scope, dict(request.headers)
        query = scope["query_string"].decode("latin-1")
        await run_sync(self._captures.keep, source, request.method, scope["path"], query, headers, body)

    async def _invoke(self, function: Function, event: dict[str, Any]) -> Any:
        with anyio.move_on_after(min(function.timeout, _LONGEST_INTEGRATION)):
            return await run_sync(
                lambda: call(function, self._handlers[function], event),
                abandon_on_cancel=True,
                limiter=self._limiter,
            )
        print(f"{function.handler}: timed out", file=sys.stderr, flush=True)
        return FAILED

    def _match(self, method: str, path: str) -> tuple[Route, dict[str, str]] | None:
        for route, pattern in zip(self._routes, self._patterns, strict=True):
            found = pattern.fullmatch(path)
            if found and route.method in (method, "ANY"):
                return route, found.groupdict()
        return None


def _is_webhook(request: Request, parameters: Mapping[str, str]) -> bool:
    return request.method == "POST" and "source" in parameters


def _pattern(path: str) -> re.Pattern[str]:
    """`{name}` stands for one segment, `{name+}` for all that is left."""
    pattern = ""
    for part in re.split(r"(\{\w+\+?\})", path):
        if part.endswith("+}"):
            pattern += f"(?P<{part[1:-2]}>.+)"
        elif part.startswith("{"):
            pattern += f"(?P<{part[1:-1]}>[^/]+)"
        else:
            pattern += re.escape(part)
    return re.compile(pattern)


async def _body(request: Request) -> bytes | None:
    """The body, read to its end; None when it is too large."""
    body, size = bytearray(), 0
    async for chunk in request.stream():
        size += len(chunk)
        if size <= _LARGEST_BODY:
            body += chunk
    return bytes(body) if size <= _LARGEST_BODY else None
