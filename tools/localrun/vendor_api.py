"""The APIs of vendors whose webhooks only say that something changed, played from recorded answers.

The answers are `events/<vendor>/api/*.json`; what has none is 404.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

EVENTS = Path(__file__).parents[2] / "events"


@dataclass(frozen=True)
class Call:
    """A call of a vendor's API: its route, the file that holds its answer, and how it is authenticated."""

    vendor: str
    path: str
    file: str
    scheme: str = "Basic"


CALLS = (
    # https://apidocs.hibob.com/reference/get_timeoff-employees-id-requests-requestid
    Call("hibob", "/v1/timeoff/employees/{employee}/requests/{request}", "request-{request}.json"),
    # https://apidocs.hibob.com/reference/get_people-identifier
    Call("hibob", "/v1/people/{employee}", "person-{employee}.json"),
)


def create(events: Path = EVENTS, calls: tuple[Call, ...] = CALLS) -> Starlette:
    """The application."""
    return Starlette(routes=[Route(call.path, _endpoint(call, events), methods=["GET"]) for call in calls])


def _endpoint(call: Call, events: Path) -> Callable[[Request], Response]:
    def answer(request: Request) -> Response:
        scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != call.scheme.lower() or not credentials:
            return JSONResponse({"error": "unauthorized"}, 401)
        file = events / call.vendor / "api" / call.file.format(**request.path_params)
        if not file.is_file():
            return JSONResponse({"error": "not found"}, 404)
        return Response(file.read_bytes(), media_type="application/json")

    return answer
