"""Outgoing HTTP: one pooled client a container, and timeouts that end with a deadline."""

import ssl
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any

import httpcore
import httpx

from relay.deadline import LEAST_REQUEST_SECONDS, Deadline

RETRIED_STATUSES = frozenset({408, 425, 429})
"""Below 500, what asks to be tried again."""
NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)
"""After these nobody has received the request."""
MAX_ANSWER_BYTES = 1024 * 1024
MAX_RETRY_AFTER_SECONDS = 11 * 3600.0


class NoAnswer(Exception):
    """No usable answer. `sent` tells whether the other side may have received the request."""

    def __init__(self, reason: str, *, sent: bool) -> None:
        super().__init__(reason)
        self.sent = sent


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer: status, headers, body."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def retry_after(self, now: float) -> float | None:
        """The wait in seconds that `Retry-After` asks for, as a number or as a date; at most 11 hours."""
        text = self.headers.get("retry-after", "").strip()
        if text.isascii() and text.isdigit():
            return min(float(text[:9]), MAX_RETRY_AFTER_SECONDS)
        try:
            wait = parsedate_to_datetime(text).timestamp() - now
        except (ValueError, OverflowError):
            return None
        return min(max(wait, 0.0), MAX_RETRY_AFTER_SECONDS)


class _Current(threading.local):
    """The deadline of the request that this thread is making."""

    deadline = Deadline(float("inf"))

    def left(self) -> float:
        """Seconds left; raises httpcore's time-out when there are none."""
        left = self.deadline.left()
        if left <= 0:
            raise httpcore.ReadTimeout
        return left


_current = _Current()


class _Stream(httpcore.NetworkStream):
    """A connection, each of whose reads and writes gets what is left of the thread's deadline.

    httpx's own time-outs bound each read, so that an answer which drips never ends.
    """

    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002
        return self._stream.read(max_bytes, _current.left())

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002
        self._stream.write(buffer, _current.left())

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ARG002
    ) -> httpcore.NetworkStream:
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, _current.left()))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class _Backend(httpcore.SyncBackend):
    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ARG002
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        return _Stream(super().connect_tcp(host, port, _current.left(), local_address, socket_options))


class _Transport(httpx.HTTPTransport):
    def __init__(self) -> None:
        super().__init__(trust_env=False)
        # httpx has no way to name a backend; its version is pinned, and a test drips.
        self._pool._network_backend = _Backend()  # noqa: SLF001


class Http:
    """A client that follows no redirect, keeps no cookie, reads no proxy settings and at most 1 MiB."""

    def __init__(self, transport: httpx.BaseTransport | None = None) -> None:
        self._client = httpx.Client(
            transport=transport or _Transport(),
            follow_redirects=False,
            trust_env=False,
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        )

    def close(self) -> None:
        """Close every pooled connection."""
        self._client.close()

    def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        deadline: Deadline,
        json: Any = None,
        form: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send one request and read its answer before the deadline; raises `NoAnswer`."""
        if deadline.left() < LEAST_REQUEST_SECONDS:
            raise NoAnswer("no time left", sent=False)
        _current.deadline = deadline
        try:
            timeouts = {"timeout": {"pool": deadline.left()}}
            request = self._client.build_request(
                method, url, headers=headers, json=json, data=form, extensions=timeouts
            )
        except (httpx.InvalidURL, ValueError) as error:
            raise NoAnswer(type(error).__name__, sent=False) from None
        try:
            return self._read(request, deadline)
        except NOT_SENT as error:
            raise NoAnswer(type(error).__name__, sent=False) from None
        except (httpx.HTTPError, httpx.StreamError) as error:
            raise NoAnswer(type(error).__name__, sent=True) from None

    def _read(self, request: httpx.Request, deadline: Deadline) -> Answer:
        response = self._client.send(request, stream=True)
        try:
            body = b""
            for chunk in response.iter_bytes():
                body += chunk
                if len(body) > MAX_ANSWER_BYTES:
                    raise NoAnswer("answer too large", sent=True)
                if deadline.left() <= 0:
                    raise NoAnswer("ReadTimeout", sent=True)
        finally:
            response.close()
        return Answer(response.status_code, response.headers, body)
