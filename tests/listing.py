"""What vendors' APIs list, as `events/<vendor>/list.yaml` has it beside the samples."""

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route

from localrun import vendor_api

EVENTS = Path(__file__).parents[1] / "events"
ENTRIES = "{{entries}}"
"""In a call's answer, the list of all entries."""


def entries(vendor: str) -> dict[str, Any]:
    """The list's entry of each sample whose thing is in the list."""
    found = {}
    for name, entry in _file(vendor)["entries"].items():
        if entry is not None:
            sample = json.loads((EVENTS / vendor / f"{name}.json").read_bytes())
            found[name] = _filled(entry, sample)
    return found


def pages(vendor: str, listed: Sequence[Any]) -> Starlette:
    """The vendor's API, whose list has these entries, all on one page; other calls have recorded answers."""
    routes = [
        Route(call["path"], _endpoint(call, list(listed)), methods=[call["method"]])
        for call in _file(vendor)["calls"]
    ]
    return Starlette(routes=[*routes, Mount("/", vendor_api.create())])


@cache
def _file(vendor: str) -> Mapping[str, Any]:
    content: Mapping[str, Any] = yaml.safe_load((EVENTS / vendor / "list.yaml").read_text("utf-8"))
    return content


def _filled(entry: Any, sample: Any) -> Any:
    """An entry in which each `{{path}}` is the sample's value there, of its own type."""
    match entry:
        case dict():
            return {name: _filled(value, sample) for name, value in entry.items()}
        case list():
            return [_filled(value, sample) for value in entry]
        case str() if entry.startswith("{{") and entry.endswith("}}"):
            return _at(sample, entry[2:-2].split("."))
    return entry


def _at(value: Any, path: Sequence[str]) -> Any:
    for part in path:
        value = value[int(part)] if isinstance(value, list) else value[part]
    return value


def _endpoint(call: Mapping[str, Any], listed: list[Any]) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        if call["auth"] and not _authenticated(request, call["auth"]):
            return JSONResponse({"error": "unauthorized"}, 401)
        # Behind the last page there is nothing, where that is how a list ends.
        is_first = request.query_params.get(call.get("paged_by", ""), "1") == "1"
        return JSONResponse(_with_entries(call["answer"], listed if is_first else []))

    return answer


def _authenticated(request: Request, auth: str) -> bool:
    """Whether a request carries something in that header, after that scheme."""
    header, _, scheme = auth.partition(":")
    wanted = f"{scheme.strip()} ".lstrip()
    given = request.headers.get(header, "")
    return given.startswith(wanted) and len(given) > len(wanted)


def _with_entries(answer: Any, listed: list[Any]) -> Any:
    if answer == ENTRIES:
        return listed
    if isinstance(answer, dict):
        return {name: _with_entries(value, listed) for name, value in answer.items()}
    return answer
