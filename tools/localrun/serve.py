"""Serves an ASGI application from a thread: the local run's servers and the tests' fakes alike."""

import asyncio
import socket
import struct
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any

import uvicorn
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

# Longer than any client here keeps an idle connection, so that none is closed under a client's next request.
_KEEP_ALIVE = 75
_START_TIMEOUT = 15.0


def bind(port: int = 0) -> socket.socket:
    """A socket bound to 127.0.0.1, not yet listening; port 0 takes a free one. Raises OSError when taken."""
    # asyncio turns Nagle's algorithm off, worth 40 ms a request, only where the protocol is spelt out.
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", port))
    except OSError:
        sock.close()
        raise
    return sock


class Served:
    """An ASGI application on a socket, served until stopped: `with Served(app) as url:`.

    Handles no signals and writes no access log. Two things are added to `request.state` for applications
    that play a faulty server: `abort()` breaks the TCP connection at once, and `stopping` (a
    `threading.Event`) is set when the server has begun to stop. `grace` is how many seconds a stop waits for
    requests in flight.
    """

    def __init__(self, app: ASGIApp, sock: socket.socket | None = None, *, grace: int = 5) -> None:
        self._sock = sock or bind()
        self._grace = grace
        self.url = "http://{}:{}".format(*self._sock.getsockname())
        self._server = _Server(_Application(app), grace)
        self._thread = threading.Thread(target=self._serve, name=f"serve {self.url}", daemon=True)

    def start(self) -> str:
        """Starts serving and returns the URL once connections are answered."""
        self._thread.start()
        if not self._server.settled.wait(_START_TIMEOUT) or not self._server.started:
            self.stop()
            raise RuntimeError(f"the server on {self.url} did not start")
        return self.url

    def stop(self) -> None:
        """Stops: no new connections, requests in flight finish within the grace, the rest are cut off."""
        if self._thread.ident is not None:
            self._server.should_exit = True
            self._thread.join(self._grace + 3)
        self._sock.close()

    def _serve(self) -> None:
        try:
            self._server.run(sockets=[self._sock])
        finally:
            self._server.settled.set()

    def __enter__(self) -> str:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class _Server(uvicorn.Server):
    """uvicorn's server, which says when it is listening and tells its application when it stops."""

    def __init__(self, app: "_Application", grace: int) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=_Protocol,
                ws="none",
                loop="asyncio",
                lifespan="off",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                timeout_keep_alive=_KEEP_ALIVE,
                timeout_graceful_shutdown=grace,
            )
        )
        self.settled = threading.Event()
        self._application = app

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.settled.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._application.stopping.set()
        await super().shutdown(sockets)


class _Protocol(H11Protocol):
    """uvicorn's HTTP/1.1 with a way for the application to break the connection."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.app_state = {**self.app_state, "abort": _reset(transport)}


def _reset(transport: asyncio.Transport) -> Callable[[], None]:
    def abort() -> None:
        # With a linger of zero the peer gets a reset, not an orderly end.
        peer = transport.get_extra_info("socket")
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()

    return abort


class _Application:
    """The served application, told of the stop; a request that outlives the grace loses its connection."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.stopping = threading.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        state: dict[str, Any] = scope.setdefault("state", {})
        state["stopping"] = self.stopping
        try:
            await self._app(scope, receive, send)
        except ClientDisconnect:
            return  # the client went away in the middle of its request: nobody waits for an answer
        except asyncio.CancelledError:
            state["abort"]()
            await _finally_gone(receive)


async def disconnected(receive: Receive) -> None:
    """Returns when the client is gone, reading away what it still sends."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _finally_gone(receive: Receive) -> None:
    """Waits for an aborted connection to end, even while the event loop, about to close, cancels again."""
    try:
        await disconnected(receive)
    except asyncio.CancelledError:
        await _finally_gone(receive)
