"""A server in a thread starts and stops cleanly."""

import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from localrun.serve import Served, bind
from tests.timed import Timed, slowness


def serve(endpoint: Callable[[Request], Any], grace: int = 5) -> Served:
    """A server with one endpoint."""
    return Served(Starlette(routes=[Route("/", endpoint)]), grace=grace)


def test_served_answers_until_stopped() -> None:
    """A server answers from the moment when it has started, and refuses connections once stopped."""
    with serve(lambda _: PlainTextResponse("here")) as url:
        assert httpx.get(url).text == "here"
    with pytest.raises(httpx.ConnectError):
        httpx.get(url)


def test_bound_socket_refuses_until_served() -> None:
    """A bound port is taken, and refuses connections until it is served."""
    sock = bind()
    url = "http://{}:{}".format(*sock.getsockname())
    with pytest.raises(httpx.ConnectError):
        httpx.get(url)
    with Served(Starlette(), sock) as served:
        assert served == url
        assert httpx.get(url).status_code == 404
        with pytest.raises(OSError, match="in use"):
            bind(int(url.rpartition(":")[2]))


def test_stop_lets_requests_finish() -> None:
    """A request in flight is answered before the server stops."""
    begun = threading.Event()

    def slow(_: Request) -> Response:
        begun.set()
        time.sleep(0.4)
        return PlainTextResponse("done")

    server = serve(slow)
    url = server.start()
    with ThreadPoolExecutor() as pool:
        answer = pool.submit(httpx.get, url)
        begun.wait(5)
        server.stop()
        assert answer.result().text == "done"


def test_client_that_goes_away(capfd: pytest.CaptureFixture[str]) -> None:
    """A client that breaks off in the middle of its request is no fault of the server's: it says nothing."""
    begun, ended = threading.Event(), threading.Event()

    async def read(request: Request) -> Response:
        begun.set()
        try:
            return Response(await request.body())
        finally:
            ended.set()

    with serve(read) as url:
        host, _, port = url.removeprefix("http://").partition(":")
        with socket.create_connection((host, int(port))) as client:
            client.sendall(b"GET / HTTP/1.1\r\nhost: here\r\ncontent-length: 100\r\n\r\nhalf")
            assert begun.wait(5)
        assert ended.wait(5)
        assert httpx.get(url).status_code == 200
    assert capfd.readouterr().err == ""


def test_stop_cuts_off_what_outlives_the_grace(capfd: pytest.CaptureFixture[str]) -> None:
    """A request that does not finish in time loses its connection, and does not hold up the stop."""
    begun, release = threading.Event(), threading.Event()

    async def endless(request: Request) -> Response:
        begun.set()
        while not release.is_set():
            await request.is_disconnected()
        return Response()

    server = serve(endless, grace=1)
    url = server.start()
    with ThreadPoolExecutor() as pool:
        answer = pool.submit(httpx.get, url)
        begun.wait(5)
        with Timed() as timed:
            server.stop()
            assert timed.seconds < 3 * slowness()
        assert isinstance(answer.exception(5), httpx.TransportError)
    release.set()
    assert "Traceback" not in capfd.readouterr().err
