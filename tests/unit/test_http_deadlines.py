"""A request over HTTP ends with its deadline, wherever the other side hangs or drips."""

import asyncio
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from localrun.serve import Served, bind
from relay.deadline import Deadline
from relay.http import MAX_CONNECTIONS, Http, NoAnswer
from tests.servers import http_of, wire
from tests.timed import Timed, tolerance, wait_until
from tests.unit.test_http import HEAD

pytestmark = pytest.mark.slow
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
HANDSHAKE_OF_16_KIB = b"\x16\x03\x03\x40\x00"
"""How a server begins its part of a TLS handshake."""


def dripping(head: bytes, drop: bytes) -> Callable[[], Iterable[bytes | float]]:
    """A server that sends a little at a time, for ten seconds."""

    def script() -> Iterator[bytes | float]:
        yield head
        yield from (drop, 0.1) * 100

    return script


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(lambda: [60.0], id="before the headers"),
        pytest.param(dripping(b"HTTP/1.1 200 OK\r\n", b"a: b\r\n"), id="dripping headers"),
        pytest.param(lambda: [HEAD, 60.0], id="after the headers"),
        pytest.param(dripping(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), id="dripping interim answers"),
        pytest.param(dripping(HEAD, b"x"), id="dripping body"),
        pytest.param(dripping(CHUNKED, b"1\r\nx\r\n"), id="dripping chunks"),
        pytest.param(lambda: [HEAD, 0.45, b"x", 60.0], id="after a late piece of the body"),
    ],
)
def test_deadline_ends_a_request(script: Callable[[], Iterable[bytes | float]]) -> None:
    """A server that hangs or drips, wherever it does so, costs no more than the time that is left."""
    with wire(script) as url, http_of() as http, Timed() as timed:
        with pytest.raises(NoAnswer) as failed:
            http.request("GET", url, {}, Deadline(time.time() + 0.5))
        assert timed.seconds < 0.5 + tolerance()
    assert failed.value.sent


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(lambda: [60.0], id="hanging"),
        pytest.param(dripping(HANDSHAKE_OF_16_KIB, b"\x00"), id="dripping"),
    ],
)
def test_deadline_ends_a_handshake(script: Callable[[], Iterable[bytes | float]]) -> None:
    """Nor does one that hangs or drips in the TLS handshake, and it has not got the request."""
    with wire(script) as url, http_of() as http, Timed() as timed:
        with pytest.raises(NoAnswer, match="ConnectTimeout") as failed:
            http.request("GET", url.replace("http:", "https:"), {}, Deadline(time.time() + 0.5))
        assert timed.seconds < 0.5 + tolerance()
    assert not failed.value.sent


@contextmanager
def deaf() -> Iterator[int]:
    """The port of a server that lets nobody in, as more are waiting already than it has room for."""
    with ExitStack() as stack:
        listening = stack.enter_context(bind())
        listening.listen(0)
        for _ in range(8):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listening.getsockname())
        time.sleep(0.1)
        yield listening.getsockname()[1]


@pytest.fixture
def resolve(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Have the name `several.test` stand for these addresses."""
    look_up = socket.getaddrinfo

    def resolve(*addresses: str) -> None:
        def found(host: str, *arguments: Any, **options: Any) -> list[Any]:
            hosts = addresses if host == "several.test" else (host,)
            return [each for one in hosts for each in look_up(one, *arguments, **options)]

        monkeypatch.setattr(socket, "getaddrinfo", found)

    return resolve


def test_deadline_ends_connecting(resolve: Callable[..., None]) -> None:
    """All addresses of a host together cost no more than the time that is left."""
    resolve("127.0.0.1", "127.0.0.1", "127.0.0.1")
    with deaf() as port, http_of() as http, Timed() as timed:
        with pytest.raises(NoAnswer, match="ConnectTimeout") as failed:
            http.request("GET", f"http://several.test:{port}", {}, Deadline(time.time() + 0.5))
        assert timed.seconds < 0.5 + tolerance()
    assert not failed.value.sent


def test_next_address(resolve: Callable[..., None]) -> None:
    """Where an address refuses, the host's next one is tried."""
    resolve("127.0.0.9", "127.0.0.1")
    with wire(lambda: [b"HTTP/1.1 204 No Content\r\n\r\n"]) as url, http_of() as http:
        named = url.replace("127.0.0.1", "several.test")
        assert http.request("GET", named, {}, Deadline(time.time() + 5)).status == 204


class Slow:
    """A server that answers after the `seconds` of the query, with the port that it was asked from."""

    def __init__(self) -> None:
        self.url = ""
        self.asked = 0
        self.hurry = False

    async def answer(self, request: Request) -> Response:
        """Wait as long as is asked for, unless nobody does any more, or the test has seen enough."""
        assert request.client is not None
        self.asked += 1
        for _ in range(round(float(request.query_params["seconds"]) / 0.02)):
            if self.hurry or await request.is_disconnected():
                break
            await asyncio.sleep(0.02)
        return PlainTextResponse(str(request.client.port))


@pytest.fixture
def slow() -> Iterator[Slow]:
    """The slow server."""
    server = Slow()
    with Served(Starlette(routes=[Route("/", server.answer)])) as server.url:
        yield server


def ask(http: Http, slow: Slow, deadline: float, answer_after: float) -> bytes:
    """What the slow server answers to a request that has so many seconds."""
    return http.request(
        "GET", f"{slow.url}?seconds={answer_after}", {}, Deadline(time.time() + deadline)
    ).body


def test_reused_connection(slow: Slow) -> None:
    """On a connection that is used again the deadline of the second request counts, be it later or sooner."""
    with http_of() as http:
        port = ask(http, slow, 0.5, 0)
        assert ask(http, slow, 20, 0.8) == port
        with Timed() as timed, pytest.raises(NoAnswer, match="ReadTimeout") as failed:
            ask(http, slow, 0.5, 10)
        assert timed.seconds < 0.5 + tolerance()
        assert failed.value.sent
        assert ask(http, slow, 20, 0) != port


def test_threads_keep_their_deadlines(slow: Slow) -> None:
    """Each thread's request ends by its own deadline: by turns on one connection, and side by side."""

    def give_up(deadline: float) -> float:
        with Timed() as timed:
            with pytest.raises(NoAnswer, match="ReadTimeout"):
                ask(http, slow, deadline, 10)
            return timed.seconds

    with http_of() as http, ThreadPoolExecutor(1) as hasty, ThreadPoolExecutor(1) as patient:
        port = hasty.submit(ask, http, slow, 0.5, 0).result()
        assert patient.submit(ask, http, slow, 20, 0.8).result() == port
        assert hasty.submit(ask, http, slow, 0.5, 0).result() == port
        answered = patient.submit(ask, http, slow, 20, 0.8)
        given_up = hasty.submit(give_up, 0.5)
        assert answered.result()
        assert given_up.result() < 0.5 + tolerance()


def test_no_free_connection(slow: Slow) -> None:
    """Whoever waits for a connection waits no longer than its own deadline, and has sent nothing."""
    with http_of() as http, ThreadPoolExecutor(MAX_CONNECTIONS) as pool:
        busy = [pool.submit(ask, http, slow, 30, 20) for _ in range(MAX_CONNECTIONS)]
        wait_until(lambda: slow.asked == MAX_CONNECTIONS)
        with Timed() as timed, pytest.raises(NoAnswer, match="PoolTimeout") as failed:
            ask(http, slow, 0.3, 0)
        assert timed.seconds < 0.3 + tolerance()
        slow.hurry = True
        assert len({each.result() for each in busy}) == MAX_CONNECTIONS
    assert not failed.value.sent
