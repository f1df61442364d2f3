"""Vendors' APIs that answer what a test has them answer."""

import atexit
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any

from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from localrun.serve import Served
from relay import vendors
from relay.aws.secrets import SourceSecret
from relay.aws.table import Table
from relay.deadline import Deadline
from relay.events import Event
from relay.vendors.support.api import VendorApis, VendorClient
from relay.vendors.support.base import VendorApi
from relay.vendors.support.listing import EventList, Page, Span
from relay.vendors.support.memory import VendorMemory
from relay.vendors.support.tokens import RotatingTokens
from tests.moto_table import SESSION
from tests.servers import http_of

SINCE = datetime.fromisoformat("2026-11-01T00:00:00Z").timestamp()
UNTIL = datetime.fromisoformat("2026-11-04T04:00:00Z").timestamp()
SPAN = Span(since=SINCE, until=UNTIL)
CREDENTIALS = {
    "kisi": {"apiKey": "k3y", "placeId": "5501"},
    "verkada": {"apiKey": "k3y"},
    "brivo": {
        "clientId": "client",
        "clientSecret": "s3cret",
        "apiKey": "k3y",
        "username": "root",
        "password": "p4ss",
    },
    "doorflow": {"clientId": "client", "clientSecret": "s3cret"},
    "disruptive": {"projectId": "project-1", "keyId": "key", "keySecret": "s3cret"},
}
LOCATIONS_CREDENTIALS = {"envoy": {"apiKey": "k3y"}}
HRIS_CREDENTIALS = {
    "bamboohr": {"company": "acme", "apiKey": "k3y"},
    "keypay": {"apiKey": "k3y", "businessId": "41"},
    "kombo": {"apiKey": "k3y", "integrationId": "personio:1"},
    "merge": {"apiKey": "k3y", "accountToken": "acc0unt"},
    "remote": {"token": "t0ken"},
    "vacationtracker": {"apiKey": "k3y"},
}


def no_rotation() -> RotatingTokens:
    """None of these has a refresh token."""
    raise AssertionError


class Current:
    """The application that a test has a server answer with."""

    app: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer as it does."""
        assert self.app is not None
        await self.app(scope, receive, send)


@cache
def server() -> tuple[str, Current]:
    """One server for all tests of a process: to start and stop one takes longer than most of them."""
    current = Current()
    served = Served(current)
    atexit.register(served.stop)
    return served.start(), current


@contextmanager
def client(vendor: str, app: ASGIApp) -> Iterator[VendorClient]:
    """A client of a vendor's API that is this application."""
    api = vendors.load(vendor).api
    assert api is not None
    url, current = server()
    current.app = app
    with http_of() as http:
        credentials = {**(CREDENTIALS | LOCATIONS_CREDENTIALS | HRIS_CREDENTIALS)[vendor], "baseUrl": url}
        secret = SourceSecret(api={name: SecretStr(value) for name, value in credentials.items()})
        memory = VendorMemory(Table(SESSION.client("dynamodb"), "none"), time.time)
        apis = VendorApis(http, memory, no_rotation, time.time)
        yield VendorClient(apis, api, secret, Deadline(time.time() + 20), vendor)


def all_pages(page: Callable[[str | None], Page], most: int) -> list[Event]:
    """The events of all pages, of which there are so many at most."""
    found: list[Event] = []
    following = None
    for _ in range(most):
        one = page(following)
        found += one.events
        following = one.following
        if following is None:
            return found
    raise AssertionError(f"a list of more than {most} pages")


def listing(vendor: str) -> EventList:
    """What a vendor's record says of its list."""
    found = vendors.load(vendor).lists
    assert isinstance(found, EventList)
    return found


def listed(vendor: str, api: VendorApi, span: Span = SPAN, most: int = 10) -> list[Event]:
    """The events of all pages."""
    return all_pages(lambda following: listing(vendor).page(api, span, following), most)


@dataclass
class Asked:
    """A request that a vendor's API got."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes


@dataclass
class Scripted:
    """A vendor's API that gives one answer after the other, and one for a token as often as it is asked."""

    answers: Sequence[Any]
    token: Any = field(default_factory=lambda: {"access_token": "t0ken", "token": "t0ken", "expires_in": 300})
    asked: list[Asked] = field(default_factory=list)
    tokens: list[Asked] = field(default_factory=list)

    def app(self) -> Starlette:
        """The application."""
        return Starlette(routes=[Route("/{path:path}", self._answer, methods=["GET", "POST"])])

    async def _answer(self, request: Request) -> Response:
        body = await request.body()
        query, headers = dict(request.query_params), dict(request.headers)
        asked = Asked(request.method, request.url.path, query, headers, body)
        if asked.path in ("/oauth/token", "/token"):
            self.tokens.append(asked)
            return JSONResponse(self.token)
        self.asked.append(asked)
        answer = self.answers[min(len(self.asked), len(self.answers)) - 1]
        return answer if isinstance(answer, Response) else JSONResponse(answer)

    @property
    def queries(self) -> list[dict[str, str]]:
        """What was asked, by the query's parameters."""
        return [one.query for one in self.asked]


def run(
    vendor: str, answers: Sequence[Any], span: Span = SPAN, most: int = 10
) -> tuple[list[Event], Scripted]:
    """What a vendor's list says whose API gives these answers, and what it was asked."""
    script = Scripted(answers)
    with client(vendor, script.app()) as api:
        return listed(vendor, api, span, most), script
