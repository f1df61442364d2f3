"""The vendors' APIs: what is asked when a webhook only says that something changed, and what they list.

`events/<vendor>/api/calls.yaml` lists the calls of the first kind; their recorded answers are files beside
it, and what has none is 404. What a vendor lists is what has happened: `relayctl send` tells of it before it
posts a webhook. `events/<vendor>/list.yaml` says how the vendor lists it.

- `POST /_vendors/happened`, `{"vendor", "sample", "payload"}`: this sample is posted next, as that payload.
- `GET /_vendors/happened`: all of them, in order. `DELETE` forgets them.
- `POST /_vendors/fail`: a list goes wrong; see `localrun.vendor_faults`.
"""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from urllib.parse import parse_qs
from uuid import uuid4

from ruamel.yaml import YAML
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, compile_path

from localrun.sandbox_rules import Malformed, parse
from localrun.vendor_faults import ListFaults
from localrun.vendor_lists import Happened, HappenedRequest, ListCall, listings

EVENTS = Path(__file__).parents[2] / "events"
ISSUED = "demo-refresh-"
SPENT = ISSUED + "that-was-used"
"""A refresh token that is refused from the start."""


@dataclass(frozen=True, kw_only=True)
class Call:
    """A call of a vendor's API: its route, the file that holds its answer, and the header that it must have.

    One that `rotates` is a token endpoint: each answer has the next refresh token, which is good for one use.
    `fresh` are the times in the answer that are those of now: what was recorded long ago would be stale.
    """

    vendor: str
    path: str
    answer: str
    method: str = "GET"
    auth: str = ""
    rotates: bool = False
    fresh: tuple[str, ...] = ()

    def file(self, events: Path, parameters: Mapping[str, str]) -> Path | None:
        """The file with the answer for these parameters of the path, None where there is none."""
        file = events / self.vendor / "api" / self.answer.format(**parameters)
        return file if file.is_file() else None


@cache
def recorded_calls(events: Path = EVENTS) -> tuple[Call, ...]:
    """Every call that `events/<vendor>/api/calls.yaml` lists."""
    yaml = YAML(typ="safe", pure=True)
    calls = []
    for path in sorted(events.glob("*/api/calls.yaml")):
        vendor = path.parents[1].name
        calls += [Call(vendor=vendor, **listed) for listed in yaml.load(path)]
    return tuple(calls)


def create(events: Path = EVENTS) -> Starlette:
    """The application. Of two vendors' calls with one path, such as `/oauth/token`, the first answers."""
    happened, faults = Happened(listings(events)), ListFaults()
    orders = ["GET", "POST", "DELETE"]
    routes = [
        Route("/_vendors/happened", _telling(happened), methods=orders),
        Route("/_vendors/fail", faults.serve, methods=orders),
    ]
    routes += [
        Route(call.path, _endpoint(call, events), methods=[call.method]) for call in recorded_calls(events)
    ]
    for vendor, listing in happened.listings.items():
        for listed in listing.calls:
            endpoint = _list_endpoint(vendor, listed, happened, faults)
            routes.append(Route(listed.path, endpoint, methods=[listed.method]))
    # One vendor's `/v1/timeoff/{id}` must not answer for another's `/v1/timeoff/whosout`.
    routes.sort(key=lambda route: route.path.count("{"))
    return Starlette(routes=routes)


def answer_file(vendor: str, path: str, events: Path = EVENTS) -> Path | None:
    """The file with the answer to a GET of one of a vendor's paths, None where there is none."""
    for call in recorded_calls(events):
        if call.vendor == vendor and call.method == "GET":
            pattern, _, _ = compile_path(call.path)
            if found := pattern.match(path):
                return call.file(events, found.groupdict())
    return None


def _endpoint(call: Call, events: Path) -> Callable[[Request], Awaitable[Response]]:
    used = {SPENT}

    async def answer(request: Request) -> Response:
        if call.auth and not authenticated(request, call.auth):
            return JSONResponse({"error": "unauthorized"}, 401)
        file = call.file(events, request.path_params)
        if file is None:
            return JSONResponse({"error": "not found"}, 404)
        if call.fresh:
            now = datetime.now(UTC).isoformat(timespec="seconds")
            return JSONResponse({**json.loads(file.read_bytes()), **dict.fromkeys(call.fresh, now)})
        if not call.rotates:
            return Response(file.read_bytes(), media_type="application/json")
        form = parse_qs((await request.body()).decode())
        [given] = form.get("refresh_token", [""])
        if given in used:
            return JSONResponse({"error": "invalid_grant"}, 400)
        if given.startswith(ISSUED):  # the one that the demo begins with is good for each new relay
            used.add(given)
        following = {"refresh_token": ISSUED + uuid4().hex} if given else {}
        return JSONResponse({**json.loads(file.read_bytes()), **following})

    return answer


def _list_endpoint(
    vendor: str, call: ListCall, happened: Happened, faults: ListFaults
) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        if call.auth and not authenticated(request, call.auth):
            return JSONResponse({"error": "unauthorized"}, 401)
        entries = happened.asked_for(vendor, call, request.query_params)
        if not call.lists:
            return JSONResponse(call.answered(entries))
        return faults.respond(vendor, call.answered, entries)

    return answer


def _telling(happened: Happened) -> Callable[[Request], Awaitable[Response]]:
    async def take(request: Request) -> Response:
        if request.method == "GET":
            return JSONResponse([said.model_dump() for said in happened.posted])
        if request.method == "DELETE":
            happened.clear()
            return Response(status_code=204)
        try:
            happened.take(parse(HappenedRequest, await request.body()))
        except Malformed as malformed:
            return JSONResponse({"message": "malformed", "errors": malformed.problems}, 400)
        return Response(status_code=204)

    return take


def authenticated(request: Request, auth: str) -> bool:
    """Whether a request carries something in that header, after that scheme."""
    header, _, scheme = auth.partition(":")
    given, wanted = request.headers.get(header, ""), f"{scheme} ".lstrip()
    return given[: len(wanted)].lower() == wanted.lower() and len(given) > len(wanted)
