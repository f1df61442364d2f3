"""The APIs of HR systems, with answers as a test says."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from datetime import date
from typing import Any

from pydantic import SecretStr
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from localrun.serve import Served
from relay import vendors
from relay.aws.secrets import SourceSecret
from relay.deadline import Deadline
from relay.events import Event, LeaveChange, ThinEvent
from relay.http import Http
from relay.vendors.support.api import VendorApis, VendorClient
from relay.vendors.support.listing import LeaveList, Page, Window
from relay.vendors.support.memory import VendorMemory
from tests import listing
from tests.memory import Memory
from tests.rig import NOON
from tests.scripted_api import all_pages, no_rotation
from tests.servers import http_of

CREDENTIALS: Mapping[str, Mapping[str, str]] = {
    "deel": {"apiToken": "a-token"},
    "factorial": {"apiKey": "a-key"},
    "gusto": {"accessToken": "a-token", "companyUuid": "company-1"},
    "hibob": {"serviceUserId": "user", "serviceUserToken": "a-token"},
    "personio": {"clientId": "client", "clientSecret": "a-secret"},
}
WINDOW = Window(first=date(2026, 10, 28), last=date(2027, 12, 9), began=NOON)
TOKEN = "/v2/auth/token"
FACTORIAL = "/api/2026-10-01/resources/timeoff/leaves"

Answer = Callable[[str, Mapping[str, str]], Any]
"""What an API answers to a path and a query; None is 404."""


class Vendors:
    """Vendors' APIs on one server: `app` answers, and `asked` is what was asked of it but tokens."""

    def __init__(self, url: Callable[[], str], http: Http) -> None:
        self._url = url
        self._http = http
        self.app: ASGIApp | None = None
        self.asked: list[tuple[str, dict[str, str]]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Note what is asked, and have the application answer it."""
        assert self.app is not None
        request = Request(scope)
        if request.url.path != TOKEN:
            self.asked.append((request.url.path, dict(request.query_params)))
        await self.app(scope, receive, send)

    def answering(self, answer: Answer) -> None:
        """Have the API answer so, and give tokens to whoever asks."""

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            request = Request(scope)
            found = answer(request.url.path, dict(request.query_params))
            if request.url.path == TOKEN:
                found = {"access_token": "token-1", "expires_in": 86400}
            response = JSONResponse(found, 404 if found is None else 200)
            await response(scope, receive, send)

        self.app = app

    def client(self, vendor: str, **credentials: str) -> VendorClient:
        """A vendor's API for a source with these credentials."""
        api = vendors.load(vendor).api
        assert api is not None
        given = {**CREDENTIALS[vendor], **credentials, "baseUrl": self._url()}
        secret = SourceSecret(api={name: SecretStr(value) for name, value in given.items() if value})
        memory = VendorMemory(Memory(), lambda: NOON)
        apis = VendorApis(self._http, memory, no_rotation, lambda: NOON)
        return VendorClient(apis, api, secret, Deadline(time.time() + 20), vendor)

    def page(self, vendor: str, following: str | None = None, window: Window = WINDOW) -> Page:
        """One page of a vendor's list."""
        return lists(vendor).page(self.client(vendor), window, following)

    def listed(self, vendor: str, window: Window = WINDOW) -> list[Event]:
        """All that a vendor's list has, page by page."""
        return all_pages(lambda following: self.page(vendor, following, window), most=9)


@contextmanager
def serving() -> Iterator[Vendors]:
    """One server for all tests of a module."""
    urls: list[str] = []
    with http_of() as http:
        server = Vendors(lambda: urls[0], http)
        with Served(server) as url:
            urls.append(url)
            yield server


def lists(vendor: str) -> LeaveList:
    """How a vendor's leave is listed."""
    found = vendors.load(vendor).lists
    assert isinstance(found, LeaveList)
    return found


def changes(found: Sequence[Event]) -> list[LeaveChange]:
    """The leave changes that were listed, with those that still lack an address."""
    read = []
    for event in found:
        change = event.change if isinstance(event, ThinEvent) else event
        assert isinstance(change, LeaveChange)
        read.append(change)
    return read


def first_sample(vendor: str) -> Any:
    """The list's entry of a vendor's first sample, to be altered."""
    return deepcopy(next(iter(listing.entries(vendor).values())))


def hibob(**fields: Any) -> Any:
    """The first sample of HiBob's changes, with other fields."""
    return first_sample("hibob") | fields
