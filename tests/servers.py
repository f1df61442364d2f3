"""Stand-ins that several tests share: AWS clients that fail when told to, servers that send as they like."""

import socket
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import boto3
import httpx
from botocore.exceptions import ClientError

from relay.http import Http

Handler = Callable[[httpx.Request], httpx.Response]


@cache
def aws_client(service: Any) -> Any:
    """A client for moto, to be used within `mock_aws`. Making one takes longer than most tests."""
    return boto3.client(service, region_name="us-east-1")


def aws_error(code: str) -> ClientError:
    """AWS's refusal of a request."""
    return ClientError({"Error": {"Code": code, "Message": "hush"}}, "Operation")


class Faulty:
    """An AWS client that notes its calls and, while `error` is set, fails with it."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.error: Exception | None = None
        self.calls: list[str] = []

    def __getattr__(self, operation: str) -> Any:
        def call(**parameters: Any) -> Any:
            self.calls.append(operation)
            if self.error:
                raise self.error
            return getattr(self._client, operation)(**parameters)

        return call


@contextmanager
def http_of(handler: Handler | None = None) -> Iterator[Http]:
    """The relay's HTTP client: on the wire, or with a function for a network."""
    http = Http(httpx.MockTransport(handler) if handler else None)
    try:
        yield http
    finally:
        http.close()


@contextmanager
def wire(script: Callable[[], Iterable[bytes | float]], tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """The URL of a server that meets a request with bytes as they are, and with pauses in seconds."""
    over = threading.Event()

    class Script(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with suppress(OSError), self._connection() as connection:
                connection.recv(65536)
                for piece in script():
                    if isinstance(piece, bytes):
                        connection.sendall(piece)
                    elif over.wait(piece):
                        return

        def _connection(self) -> socket.socket:
            connection: socket.socket = self.request
            return tls.wrap_socket(connection, server_side=True) if tls else connection

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Script) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield "{}://{}:{}".format("https" if tls else "http", *server.server_address)
        finally:
            over.set()
            server.shutdown()
            thread.join()


class Proxy:
    """What a proxy was asked for, such as `GET http://example.com/x` or `CONNECT example.com:443`.

    `behind` has the URLs of the servers that answer for the hosts of the world.
    """

    def __init__(self, url: str, behind: Mapping[str, str]) -> None:
        self.url = url
        self.behind = behind
        self.asked: list[str] = []


@contextmanager
def proxy(behind: Mapping[str, str] | None = None) -> Iterator[Proxy]:
    """A forward proxy for plain HTTP. It answers 502 for tunnels, and where nobody stands behind a host."""

    class Forward(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            noted.asked.append(f"{self.command} {self.path}")
            url = urlsplit(self.path)
            server = noted.behind.get(url.hostname or "")
            content = self.rfile.read(int(self.headers.get("content-length") or 0))
            if server is None:
                self.send_error(502)
                return
            headers = {name: value for name, value in self.headers.items() if name.lower() != "host"}
            answer = httpx.request(
                self.command, f"{server}{url.path}", headers=headers, content=content, trust_env=False
            )
            self.send_response(answer.status_code)
            self.send_header("content-type", answer.headers.get("content-type", ""))
            self.end_headers()
            self.wfile.write(answer.content)

        do_POST = do_CONNECT = do_GET  # noqa: N815 - http.server's own names

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Forward) as server:
        noted = Proxy("http://{}:{}".format(*server.server_address), behind or {})
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield noted
        finally:
            server.shutdown()
            thread.join()
