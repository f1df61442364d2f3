"""What vendors' APIs list, as `events/<vendor>/list.yaml` has it beside the samples."""

import json
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route

from localrun import vendor_api
from localrun.vendor_lists import ListCall, listings, resolved

EVENTS = Path(__file__).parents[1] / "events"


def entries(vendor: str) -> dict[str, Any]:
    """The list's entry of each sample whose thing is in the list."""
    found = {}
    for name, entry in listings(EVENTS)[vendor].entries.items():
        if entry is not None:
            sample = json.loads((EVENTS / vendor / f"{name}.json").read_bytes())
            found[name] = resolved(entry, sample)
    return found


def pages(vendor: str, listed: Sequence[Any]) -> Starlette:
    """The vendor's API, whose list has these entries, all on one page; other calls have recorded answers."""
    routes = [
        Route(call.path, _endpoint(call, list(listed)), methods=[call.method])
        for call in listings(EVENTS)[vendor].calls
    ]
    return Starlette(routes=[*routes, Mount("/", vendor_api.create())])


def _endpoint(call: ListCall, listed: list[Any]) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        if call.auth and not vendor_api.authenticated(request, call.auth):
            return JSONResponse({"error": "unauthorized"}, 401)
        return JSONResponse(call.answered(call.asked_for(listed, request.query_params)))

    return answer
