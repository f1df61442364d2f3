"""A thin vendor's API is asked at a known host, with the secret's credentials, and fails in two ways only."""

import base64
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from localrun.serve import Served, bind
from relay import vendors
from relay.aws.secrets import SourceSecret
from relay.aws.table import Table
from relay.deadline import Deadline
from relay.errors import VendorRefused, VendorUnavailable
from relay.http import MAX_ANSWER_BYTES, Http
from relay.vendors.support.api import VendorApis, VendorClient
from relay.vendors.support.base import Api
from relay.vendors.support.memory import VendorMemory
from relay.vendors.support.tokens import RotatingTokens
from tests.moto_table import SESSION
from tests.rig import NOON, Clock
from tests.servers import http_of, wire
from tests.timed import Timed, tolerance

CREDENTIALS = {"serviceUserId": "SERVICE-1", "serviceUserToken": "t0p:s\u00e9cret"}
BASIC = "Basic " + base64.b64encode("SERVICE-1:t0p:s\u00e9cret".encode()).decode()


def hibob() -> Api:
    """The one vendor so far whose API is asked."""
    api = vendors.load("hibob").api
    assert api is not None
    return api


def secret(**api: str) -> SourceSecret:
    """A source's secret with HiBob's credentials."""
    return SourceSecret(api={name: SecretStr(value) for name, value in (CREDENTIALS | api).items()})


def no_rotation() -> RotatingTokens:
    """None of these has a refresh token."""
    raise AssertionError


def asking(
    api: Api, credentials: SourceSecret, http: Http, deadline: Deadline, clock: Callable[[], float]
) -> VendorClient:
    """A client that needs no memory."""
    apis = VendorApis(
        http, VendorMemory(Table(SESSION.client("dynamodb"), "none"), clock), no_rotation, clock
    )
    return VendorClient(apis, api, credentials, deadline, "source-1")


@contextmanager
def client(
    reply: httpx.Response | Exception, asked: list[httpx.Request] | None = None, **api: str
) -> Iterator[VendorClient]:
    """A client of an API that has one answer."""

    def handler(request: httpx.Request) -> httpx.Response:
        if asked is not None:
            asked.append(request)
        if isinstance(reply, Exception):
            raise reply
        return reply

    clock = Clock()
    with http_of(handler) as http:
        yield asking(hibob(), secret(**api), http, Deadline(NOON + 5, clock), clock)


@pytest.mark.parametrize(
    ("api", "url"),
    [
        ({}, "https://api.hibob.com/v1/people/7"),
        ({"baseUrl": "http://127.0.0.1:9/"}, "http://127.0.0.1:9/v1/people/7"),
        ({"baseUrl": "https://eu.hibob.test:8443"}, "https://eu.hibob.test:8443/v1/people/7"),
        ({"baseUrl": ""}, "https://api.hibob.com/v1/people/7"),
    ],
)
def test_host(api: dict[str, str], url: str) -> None:
    """The host is the secret's `baseUrl`, and the vendor's own where none is given."""
    asked: list[httpx.Request] = []
    with client(httpx.Response(200, json={}), asked, **api) as vendor:
        vendor.get("/v1/people/7")
    assert str(asked[0].url) == url


def test_requests() -> None:
    """A question carries HiBob's Basic credentials and asks for JSON, with a body where there is one."""
    asked: list[httpx.Request] = []
    with client(httpx.Response(200, json={"a": [1]}), asked) as vendor:
        assert vendor.get("/v1/people/7") == {"a": [1]}
        assert vendor.post("/v1/people/7", {"fields": ["root.email"]}) == {"a": [1]}
    assert [(request.method, request.url.path) for request in asked] == [
        ("GET", "/v1/people/7"),
        ("POST", "/v1/people/7"),
    ]
    assert {request.headers["authorization"] for request in asked} == {BASIC}
    assert {request.headers["accept"] for request in asked} == {"application/json"}
    assert asked[0].content == b""
    assert json.loads(asked[1].content) == {"fields": ["root.email"]}


def test_time() -> None:
    """The time of asking is the relay's."""
    with client(httpx.Response(200)) as vendor:
        assert vendor.now() == NOON


@pytest.mark.parametrize("missing", CREDENTIALS)
def test_missing_credentials(missing: str) -> None:
    """A secret without a credential that the vendor needs is the operator's to mend: it names the field."""
    api = {name: SecretStr(value) for name, value in CREDENTIALS.items() if name != missing}
    with http_of() as http, pytest.raises(VendorRefused, match=rf"has no api\.{missing}$"):
        asking(hibob(), SourceSecret(api=api), http, Deadline(NOON, Clock()), Clock())


def test_no_credentials_at_all() -> None:
    """A secret without `api` is one without credentials."""
    with http_of() as http, pytest.raises(VendorRefused, match="serviceUserId"):
        asking(hibob(), SourceSecret(), http, Deadline(NOON, Clock()), Clock())


def test_gone() -> None:
    """What is not there is None, in whichever way the vendor is known to say so."""
    with client(httpx.Response(404, json={"error": "no"})) as vendor:
        assert vendor.get("/v1/people/7") is None
        assert vendor.post("/v1/people/7", {}) is None
    with client(httpx.Response(405)) as vendor:
        assert vendor.get("/v1/people/7", absent=(404, 405)) is None


@pytest.mark.parametrize("status", [301, 302, 307, 308, 400, 401, 403, 405, 410, 422])
def test_refused(status: int) -> None:
    """Wrong credentials, missing permissions and malformed questions do not heal by asking again."""
    moved = {"location": "https://elsewhere.test/"}
    with client(httpx.Response(status, headers=moved)) as vendor, pytest.raises(VendorRefused) as refused:
        vendor.get("/v1/people/7")
    assert str(refused.value).endswith(f"answered {status}")


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
@pytest.mark.parametrize(("header", "wait"), [({"retry-after": "90"}, 90), ({}, None)])
def test_unavailable(status: int, header: dict[str, str], wait: float | None) -> None:
    """A vendor that is busy or broken is asked again later, after the wait that it asks for."""
    reply = httpx.Response(status, headers=header)
    with client(reply) as vendor, pytest.raises(VendorUnavailable) as unavailable:
        vendor.get("/v1/people/7")
    assert unavailable.value.retry_after == wait


@pytest.mark.parametrize(
    "reply",
    [
        httpx.ConnectError(""),
        httpx.ReadTimeout(""),
        httpx.ReadError(""),
        httpx.Response(200, content=b"x" * (MAX_ANSWER_BYTES + 1)),
        httpx.Response(200, content=b"<html>"),
        httpx.Response(200, content=b""),
        httpx.Response(204),
        httpx.Response(200, content=b'{"email": NaN}'),
        httpx.Response(200, content=b" null "),
    ],
)
def test_no_usable_answer(reply: httpx.Response | Exception) -> None:
    """No answer, one of over 1 MiB, one that is no JSON and one that is null may be another one later."""
    with client(reply) as vendor:
        with pytest.raises(VendorUnavailable) as unavailable:
            vendor.get("/v1/people/7")
        assert unavailable.value.retry_after is None
        with pytest.raises(VendorUnavailable):
            vendor.post("/v1/people/7", {})


@pytest.mark.parametrize(
    "base_url", ["api.hibob.com", "://", "https://[", "http://h\u00e9llo w\u00f6rld", "ftp://x"]
)
def test_base_url_that_is_none(base_url: str) -> None:
    """A `baseUrl` that is no URL fails as an API does that cannot be reached."""
    with http_of() as http, pytest.raises(VendorUnavailable):
        asking(hibob(), secret(baseUrl=base_url), http, Deadline(time.time() + 2), time.time).get("/x")


def test_on_the_wire() -> None:
    """On a wire too, credentials go to the configured host, and not where it redirects to."""
    seen: list[tuple[str, str]] = []

    def people(request: Request) -> Response:
        seen.append((request.url.path, request.headers["authorization"]))
        if request.path_params["id"] == "7":
            return JSONResponse({"email": "bob@example.com"})
        return RedirectResponse("/v1/people/7")

    app = Starlette(routes=[Route("/v1/people/{id}", people)])
    with Served(app) as url, http_of() as http:
        vendor = asking(hibob(), secret(baseUrl=url), http, Deadline(time.time() + 5), time.time)
        assert vendor.get("/v1/people/7") == {"email": "bob@example.com"}
        with pytest.raises(VendorRefused, match="307"):
            vendor.get("/v1/people/8")
    assert seen == [("/v1/people/7", BASIC), ("/v1/people/8", BASIC)]


def test_deadline() -> None:
    """A vendor's API that hangs takes no more than the time that is left."""
    with wire(lambda: [60.0]) as url, http_of() as http, Timed() as timed:
        vendor = asking(hibob(), secret(baseUrl=url), http, Deadline(time.time() + 0.4), time.time)
        with pytest.raises(VendorUnavailable):
            vendor.get("/v1/people/7")
        assert timed.seconds < 0.4 + tolerance()


@pytest.mark.parametrize(
    "reply", [401, 500, httpx.ReadTimeout("t0p:s\u00e9cret"), httpx.Response(200, content="t0p:s\u00e9cret")]
)
def test_no_secret_shows(reply: Any) -> None:
    """No failure and no `repr` tells a credential."""
    reply = httpx.Response(reply, text="t0p:s\u00e9cret") if isinstance(reply, int) else reply
    with client(reply) as vendor, pytest.raises((VendorRefused, VendorUnavailable)) as failed:
        vendor.get("/v1/people/7")
    for text in (repr(failed.value), str(failed.value), repr(vendor), repr(secret())):
        assert "s\u00e9cret" not in text
        assert BASIC not in text


def test_nobody_listens() -> None:
    """An API that cannot be reached is asked again later."""
    with bind() as unheard, http_of() as http:
        url = "http://{}:{}".format(*unheard.getsockname())
        vendor = asking(hibob(), secret(baseUrl=url), http, Deadline(time.time() + 2), time.time)
        with pytest.raises(VendorUnavailable, match="ConnectError"):
            vendor.get("/v1/people/7")


class Ask:
    """A client of DoorFlow's API, whose token endpoint and events answer what they are told."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, str]] = []
        self.tokens: list[Any] = [{"access_token": f"token-{n}", "expires_in": 3600} for n in range(9)]
        self.refused: set[str] = set()
        self.clock = Clock()

    def answer(self, request: httpx.Request) -> httpx.Response:
        """The answer of a request, which is remembered with its authorization and its body."""
        sent = (request.url.path, request.headers.get("authorization", ""), request.content.decode())
        self.asked.append(sent)
        if request.url.path == "/oauth/token":
            found = self.tokens.pop(0)
            return found if isinstance(found, httpx.Response) else httpx.Response(200, json=found)
        return httpx.Response(401 if sent[1] in self.refused else 200, json={"id": 1})

    @contextmanager
    def clients(self) -> Iterator[Callable[..., VendorClient]]:
        """Makes clients of one container, by source and credentials."""
        api = vendors.load("doorflow").api
        assert api is not None
        known = {"clientId": "c", "clientSecret": "s3cret"}
        with http_of(self.answer) as http:
            memory = VendorMemory(Table(SESSION.client("dynamodb"), "none"), self.clock)
            apis = VendorApis(http, memory, no_rotation, self.clock)
            yield lambda **credentials: VendorClient(
                apis,
                api,
                SourceSecret(api={n: SecretStr(v) for n, v in {**known, **credentials}.items()}),
                Deadline(self.clock() + 5, self.clock),
                "doorflow",
            )

    def paths(self) -> list[str]:
        """What was asked, by path."""
        return [path for path, *_ in self.asked]


def test_token() -> None:
    """A token is asked for once, with the secret's credentials, and used until shortly before it ends."""
    ask = Ask()
    with ask.clients() as client:
        assert client().get("/api/3/events/1") == {"id": 1}
        assert client().get("/api/3/events/1") == {"id": 1}
        ask.clock.advance(3541)
        client().get("/api/3/events/1")
    event = "/api/3/events/1"
    assert ask.paths() == ["/oauth/token", event, event, "/oauth/token", event]
    assert ask.asked[0][2] == "client_id=c&client_secret=s3cret&grant_type=client_credentials"
    assert [sent for _, sent, _ in ask.asked if sent] == ["Bearer token-0"] * 2 + ["Bearer token-1"]


def test_token_of_other_credentials() -> None:
    """Other credentials get a token of their own."""
    ask = Ask()
    with ask.clients() as client:
        client().get("/x")
        client(clientId="other").get("/x")
        client().get("/x")
    assert [sent for path, sent, _ in ask.asked if path == "/x"] == [
        "Bearer token-0",
        "Bearer token-1",
        "Bearer token-0",
    ]
    assert ask.asked[2][2].startswith("client_id=other&")


def test_token_refused() -> None:
    """A token that is refused is renewed once; a second refusal is the operator's to mend."""
    ask = Ask()
    ask.refused = {"Bearer token-0"}
    with ask.clients() as client:
        assert client().get("/x") == {"id": 1}
        ask.refused = {f"Bearer token-{n}" for n in range(9)}
        with pytest.raises(VendorRefused, match="401"):
            client().get("/x")
    assert ask.paths() == ["/oauth/token", "/x", "/oauth/token", "/x", "/x", "/oauth/token", "/x"]


@pytest.mark.parametrize(
    ("answer", "failure"),
    [
        (httpx.Response(400, json={"error": "invalid_grant"}), VendorRefused),
        (httpx.Response(401), VendorRefused),
        (httpx.Response(503), VendorUnavailable),
        (httpx.Response(200, text="no JSON"), VendorUnavailable),
        ({"token": "x"}, VendorUnavailable),
        ({"access_token": 7}, VendorUnavailable),
        ({"access_token": "line\nbreak"}, VendorUnavailable),
        ([], VendorUnavailable),
    ],
)
def test_no_token(answer: Any, failure: type[Exception]) -> None:
    """Without a token nothing is asked."""
    ask = Ask()
    ask.tokens = [answer]
    with ask.clients() as client, pytest.raises(failure):
        client().get("/x")
    assert ask.paths() == ["/oauth/token"]


def test_token_without_an_end() -> None:
    """A token that does not say when it ends is used for some minutes."""
    ask = Ask()
    ask.tokens = [{"access_token": "a"}, {"access_token": "b", "expires_in": -1}, {"access_token": "c"}]
    with ask.clients() as client:
        for _ in range(2):
            client().get("/x")
            client().get("/x")
            ask.clock.advance(300)
    assert ask.paths() == ["/oauth/token", "/x", "/x"] * 2


def test_setting() -> None:
    """A value for a path is quoted; one that is missing is named."""
    with Ask().clients() as client:
        assert client(businessId="4/1").setting("businessId") == "4%2F1"
        with pytest.raises(VendorRefused, match=r"has no api\.businessId$"):
            client().setting("businessId")
