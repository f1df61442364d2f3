"""Stand-ins that several tests share: AWS clients that fail when told to, servers that send as they like."""

import socketserver
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any

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
def wire(script: Callable[[], Iterable[bytes | float]]) -> Iterator[str]:
    """The URL of a server that meets a request with bytes as they are, and with pauses in seconds."""
    over = threading.Event()

    class Script(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with suppress(OSError):
                self.request.recv(65536)
                for piece in script():
                    if isinstance(piece, bytes):
                        self.request.sendall(piece)
                    elif over.wait(piece):
                        return

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Script) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield "http://{}:{}".format(*server.server_address)
        finally:
            over.set()
            server.shutdown()
            thread.join()
