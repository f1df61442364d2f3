"""Outgoing HTTP: one pooled client a container, and timeouts that end with a deadline."""

import socket
import ssl
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Any

import httpcore
import httpx

from relay.deadline import LEAST_REQUEST_SECONDS, Deadline

RETRIED_STATUSES = frozenset({408, 425, 429})
"""Below 500, what asks to be tried again."""
NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)
"""After these nobody has received the request."""
ERRORS: Mapping[type[Exception], type[httpx.TransportError]] = {
    httpcore.PoolTimeout: httpx.PoolTimeout,
    httpcore.ConnectTimeout: httpx.ConnectTimeout,
    httpcore.WriteTimeout: httpx.WriteTimeout,
    httpcore.ReadTimeout: httpx.ReadTimeout,
    httpcore.ConnectError: httpx.ConnectError,
    httpcore.WriteError: httpx.WriteError,
    httpcore.ReadError: httpx.ReadError,
    httpcore.LocalProtocolError: httpx.LocalProtocolError,
    httpcore.RemoteProtocolError: httpx.RemoteProtocolError,
    httpcore.UnsupportedProtocol: httpx.UnsupportedProtocol,
}
"""What httpcore raises, by the names that httpx gives it."""
# These three are httpx's own defaults.
MAX_CONNECTIONS = 100
MAX_IDLE_CONNECTIONS = 20
IDLE_SECONDS = 5.0
"""How long a connection is kept for the next request."""
MAX_ANSWER_BYTES = 1024 * 1024
# httpx's client, which is not used, would add them.
COMMON_HEADERS: Mapping[str, str] = {
    "accept": "*/*",
    "accept-encoding": "gzip, deflate",
    "connection": "keep-alive",
    "user-agent": f"python-httpx/{httpx.__version__}",
}
"""What every request says that says nothing else there."""
# SQS hides a message for twelve hours at most.
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
            # Nine digits are beyond the longest wait already, and a header may hold thousands.
            return min(float(text[:9]), MAX_RETRY_AFTER_SECONDS)
        try:
            wait = parsedate_to_datetime(text).timestamp() - now
        except (ValueError, OverflowError):
            return None
        return min(max(wait, 0.0), MAX_RETRY_AFTER_SECONDS)


class _Stream(httpcore.NetworkStream):
    """A connection on which every step ends by an instant, however many steps an answer takes.

    Time-outs in seconds bound each read, so that an answer which drips never ends. What is called `timeout`
    here is therefore the instant (of the monotonic clock) that `_Transport` has handed in.
    """

    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream
        self._unsent = b""

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        if self._unsent:
            unsent, self._unsent = self._unsent, b""
            # As httpcore does itself: who closes while we write may have answered before.
            with suppress(httpcore.WriteError):
                self._stream.write(unsent, _seconds_until(timeout, httpcore.WriteTimeout))
        return self._stream.read(max_bytes, _seconds_until(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        # A request comes in three parts, the answer is read after the last: they go out together.
        # Nothing is written yet; a request whose time is up ends here all the same.
        _seconds_until(timeout, httpcore.WriteTimeout)
        self._unsent += buffer

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        seconds = _seconds_until(timeout, httpcore.ConnectTimeout)
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, seconds))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class _Backend(httpcore.SyncBackend):
    """Makes such connections."""

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        failure = httpcore.ConnectError("no address")
        # One address at a time: of several, Python would grant each the whole time-out.
        for address in _addresses(host, port):
            seconds = _seconds_until(timeout, httpcore.ConnectTimeout)
            try:
                return _Stream(super().connect_tcp(address, port, seconds, local_address, socket_options))
            except httpcore.ConnectError as error:
                failure = error
        raise failure


def _addresses(host: str, port: int) -> list[str]:
    """The addresses of a host, in the order in which they are to be tried."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    # A label of more than 63 characters is a UnicodeError of Python's IDNA codec.
    except (OSError, UnicodeError) as error:
        raise httpcore.ConnectError(str(error)) from error
    return [str(address[0]) for _, _, _, _, address in found]


def _seconds_until(instant: float | None, too_late: type[Exception]) -> float:
    """The seconds that are left until an instant; raises `too_late` when there are none."""
    # Without an instant no time is left: nothing waits unbounded.
    left = (instant or 0.0) - time.monotonic()
    if left <= 0:
        raise too_late
    return left


class _Body(httpx.SyncByteStream):
    """The body of an answer, as it comes."""

    def __init__(self, response: httpcore.Response) -> None:
        self._response = response

    def __iter__(self) -> Iterator[bytes]:
        with _errors_of_httpx():
            yield from self._response.iter_stream()

    def close(self) -> None:
        self._response.close()


class _Transport(httpx.BaseTransport):
    """Pooled connections by HTTP/1.1, on which a request ends when its time-out is over."""

    def __init__(self) -> None:
        self._pool = httpcore.ConnectionPool(
            # A variable such as SSL_CERT_FILE must not choose whom to trust.
            ssl_context=httpx.create_ssl_context(trust_env=False),
            max_connections=MAX_CONNECTIONS,
            max_keepalive_connections=MAX_IDLE_CONNECTIONS,
            keepalive_expiry=IDLE_SECONDS,
            http2=False,
            # It connects once: what is tried again, and when, is for the caller to say.
            retries=0,
            network_backend=_Backend(),
        )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request; its body is read while it comes."""
        # All four times of `httpx.Timeout(seconds)` are the same.
        seconds: float = request.extensions["timeout"]["read"]
        over_at = time.monotonic() + seconds
        # httpcore hands these on to `_Backend` and `_Stream` as they are. Only the pool waits itself.
        timeouts = {"pool": seconds, "connect": over_at, "write": over_at, "read": over_at}
        sent = httpcore.Request(
            request.method,
            httpcore.URL(
                scheme=request.url.raw_scheme,
                host=request.url.raw_host,
                port=request.url.port,
                target=request.url.raw_path,
            ),
            headers=request.headers.raw,
            content=request.read(),
            extensions={"timeout": timeouts},
        )
        with _errors_of_httpx():
            response = self._pool.handle_request(sent)
        return httpx.Response(
            response.status,
            headers=response.headers,
            stream=_Body(response),
            extensions=response.extensions,
        )

    def close(self) -> None:
        """Close every connection."""
        self._pool.close()


@contextmanager
def _errors_of_httpx() -> Iterator[None]:
    """Raise httpx's error for each of httpcore's."""
    try:
        yield
    except tuple(ERRORS) as error:
        raise ERRORS[type(error)](str(error)) from error


# A process asks the same few URLs again and again.
_url = lru_cache(maxsize=64)(httpx.URL)


class Http:
    """Sends requests through one transport, and reads at most `most_bytes` of an answer.

    It is httpx without its client: no redirect is followed, no cookie kept, no proxy and no .netrc of the
    machine looked for. Those would have a say in where credentials go, or take one source's cookie along with
    another's request.
    """

    def __init__(
        self, transport: httpx.BaseTransport | None = None, most_bytes: int = MAX_ANSWER_BYTES
    ) -> None:
        self._most_bytes = most_bytes
        self._transport = transport or _Transport()

    def close(self) -> None:
        """Close every pooled connection."""
        self._transport.close()

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
        seconds = deadline.left()
        if seconds < LEAST_REQUEST_SECONDS:
            raise NoAnswer("no time left", sent=False)
        try:
            request = httpx.Request(
                method,
                _url(url),
                headers=_with_common(headers),
                json=json,
                data=form,
                extensions={"timeout": httpx.Timeout(seconds).as_dict()},
            )
        # A header's value that is not ASCII is a UnicodeEncodeError, which is a ValueError.
        except (httpx.InvalidURL, ValueError) as error:
            # The class alone: the text may quote the URL or a header.
            raise NoAnswer(type(error).__name__, sent=False) from None
        try:
            return self._read(request, deadline)
        except NOT_SENT as error:
            raise NoAnswer(type(error).__name__, sent=False) from None
        except (httpx.HTTPError, httpx.StreamError) as error:
            raise NoAnswer(type(error).__name__, sent=True) from None

    def _read(self, request: httpx.Request, deadline: Deadline) -> Answer:
        # Read piece by piece, an answer without an end costs neither memory nor time beyond the bounds.
        response = self._transport.handle_request(request)
        try:
            body = bytearray()
            # It is unpacked here, so that the bound holds for what a small answer unpacks to.
            for chunk in response.iter_bytes():
                body += chunk
                if len(body) > self._most_bytes:
                    raise NoAnswer("answer too large", sent=True)
                # A server may send a little at a time, each piece in time, for ever.
                if deadline.left() <= 0:
                    raise NoAnswer("ReadTimeout", sent=True)
        finally:
            response.close()
        return Answer(response.status_code, response.headers, bytes(body))


def _with_common(headers: Mapping[str, str]) -> Mapping[str, str]:
    """The headers with the common ones that they do not name, in whatever case."""
    named = {name.lower() for name in headers}
    return {name: value for name, value in COMMON_HEADERS.items() if name not in named} | dict(headers)
