"""The APIs of vendors whose webhooks only say that something changed, played from recorded answers.

The answers are `events/<vendor>/api/*.json`; what has none is 404.
"""

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qs
from uuid import uuid4

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, compile_path

EVENTS = Path(__file__).parents[2] / "events"


BEARER = "authorization: Bearer"
ISSUED = "demo-refresh-"
SPENT = ISSUED + "that-was-used"
"""A refresh token that is refused from the start."""


@dataclass(frozen=True)
class Call:
    """A call of a vendor's API: its route, the file that holds its answer, and how it is authenticated.

    One that `rotates` is a token endpoint: each answer has the next refresh token, which is good for one use.
    `fresh` are the times in the answer that are those of now: what was recorded long ago would be stale.
    """

    vendor: str
    path: str
    file: str
    auth: str = "authorization: Basic"
    method: str = "GET"
    rotates: bool = False
    fresh: tuple[str, ...] = ()


CALLS = (
    # https://apidocs.hibob.com/reference/get_timeoff-employees-id-requests-requestid
    Call("hibob", "/v1/timeoff/employees/{employee}/requests/{request}", "request-{request}.json"),
    # https://apidocs.hibob.com/reference/get_people-identifier
    Call("hibob", "/v1/people/{employee}", "person-{employee}.json"),
    # https://developer.personio.de/reference/get_v2-absence-periods
    Call("personio", "/v2/auth/token", "token.json", auth="", method="POST"),
    Call("personio", "/v2/absence-periods/{absence}", "absence-{absence}.json", BEARER),
    Call("personio", "/v2/absence-periods/{absence}/breakdowns", "breakdowns-{absence}.json", BEARER),
    Call("personio", "/v2/absence-types", "absence-types.json", BEARER),
    Call("personio", "/v2/persons/{person}", "person-{person}.json", BEARER),
    # https://apidoc.factorialhr.com/docs/manage-webhooks
    Call(
        "factorial",
        "/api/{version}/resources/employees/employees/{employee}",
        "employee-{employee}.json",
        auth="x-api-key:",
    ),
    # https://docs.merge.dev/hris/employees
    Call("merge", "/api/hris/v1/employees/{employee}", "employee-{employee}.json", BEARER),
    # https://developer.peopleforce.io
    Call("peopleforce", "/api/public/v3/employees/{employee}", "employee-{employee}.json", auth="x-api-key:"),
    # https://docs.gusto.com/embedded-payroll/docs/time-off-requests
    Call("gusto", "/v1/time_off/requests/{request}", "request-{request}.json", BEARER),
    Call("gusto", "/v1/employees/{employee}", "employee-{employee}.json", BEARER),
    # https://api.keypay.com.au
    Call(
        "keypay",
        "/api/v2/business/{business}/employee/unstructured/{employee}",
        "employee-{employee}.json",
    ),
    # https://github.com/doorflow/doorflow-sdk-typescript
    # https://docs.gusto.com/embedded-payroll has the same path for its tokens.
    Call("doorflow", "/oauth/token", "token.json", auth="", method="POST", rotates=True),
    Call("doorflow", "/api/3/events/{event}", "event-{event}.json", BEARER, fresh=("created_at",)),
)


def create(events: Path = EVENTS, calls: tuple[Call, ...] = CALLS) -> Starlette:
    """The application."""
    return Starlette(
        routes=[Route(call.path, _endpoint(call, events), methods=[call.method]) for call in calls]
    )


def answer_file(vendor: str, path: str, events: Path = EVENTS) -> Path | None:
    """The file with the answer to a GET of one of a vendor's paths, None where there is none."""
    for call in CALLS:
        pattern, _, _ = compile_path(call.path)
        found = pattern.match(path) if call.vendor == vendor and call.method == "GET" else None
        if found:
            file = events / vendor / "api" / call.file.format(**found.groupdict())
            return file if file.is_file() else None
    return None


def _endpoint(call: Call, events: Path) -> Callable[[Request], Awaitable[Response]]:
    used = {SPENT}

    async def answer(request: Request) -> Response:
        if call.auth and not _authenticated(request, call.auth):
            return JSONResponse({"error": "unauthorized"}, 401)
        file = events / call.vendor / "api" / call.file.format(**request.path_params)
        if not file.is_file():
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


def _authenticated(request: Request, auth: str) -> bool:
    """Whether a request carries something in that header, after that scheme."""
    header, _, scheme = auth.partition(":")
    given, wanted = request.headers.get(header, ""), f"{scheme} ".lstrip()
    return given[: len(wanted)].lower() == wanted.lower() and len(given) > len(wanted)
