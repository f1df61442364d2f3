"""Outgoing HTTP ends with its deadline, and fails in one way only."""

import asyncio
import gzip
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import example, given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from localrun.serve import Served, bind
from relay.deadline import Deadline, of_function
from relay.http import MAX_ANSWER_BYTES, MAX_CONNECTIONS, Answer, Http, NoAnswer
from tests.rig import NOON, Clock
from tests.servers import http_of, wire
from tests.timed import TOLERANCE, Timed, wait_until

pytestmark = pytest.mark.slow

ELEVEN_HOURS = 11 * 3600
HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
HANDSHAKE_OF_16_KIB = b"\x16\x03\x03\x40\x00"
"""How a server begins its part of a TLS handshake."""


def answer(retry_after: str | None) -> Answer:
    """An answer with that `Retry-After`."""
    return Answer(503, {} if retry_after is None else {"retry-after": retry_after}, b"")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (None, None),
        ("", None),
        ("0", 0),
        (" 120 ", 120),
        ("39600", ELEVEN_HOURS),
        ("39601", ELEVEN_HOURS),
        ("9" * 400, ELEVEN_HOURS),
        ("-5", None),
        ("1.5", None),
        ("٣", None),
        ("²", None),
        ("soon", None),
        ("Wed, 04 Nov 2026 04:01:30 GMT", 90),
        ("Wednesday, 04-Nov-26 04:01:30 GMT", 90),
        ("Wed, 04 Nov 2026 05:01:30 +0100", 90),
        ("Wed, 04 Nov 2026 03:59:00 GMT", 0),
        ("Wed, 04 Nov 2099 03:59:00 GMT", ELEVEN_HOURS),
        ("Wed, 99 Nov 2026 04:01:30 GMT", None),
        ("Mon, 01 Jan 0001 00:00:00 +2359", 0),
    ],
)
def test_retry_after(text: str | None, seconds: float | None) -> None:
    """`Retry-After` is a number of seconds or a date; at most 11 hours; nothing where it is neither."""
    assert answer(text).retry_after(NOON) == seconds


@given(st.text() | st.from_regex(r"\w{3}, \d+ \w{3} \d+ \d+:\d+:\d+ [A-Z+-]\w+"))
def test_retry_after_is_bounded(text: str) -> None:
    """Whatever stands in `Retry-After`, the wait is from nothing to 11 hours, or there is none."""
    seconds = answer(text).retry_after(NOON)
    assert seconds is None or 0 <= seconds <= ELEVEN_HOURS


@given(st.integers(0, ELEVEN_HOURS))
def test_retry_after_as_number_and_date(seconds: int) -> None:
    """The same wait comes out of a number and of a date."""
    date = format_datetime(datetime.fromtimestamp(NOON, UTC) + timedelta(seconds=seconds), usegmt=True)
    assert answer(str(seconds)).retry_after(NOON) == answer(date).retry_after(NOON) == seconds


def test_deadline() -> None:
    """A deadline counts down to its instant, keeps half a second for the queue, and is never put off."""
    clock = Clock()
    deadline = Deadline(NOON + 5, clock)
    assert (deadline.left(), deadline.left_for_work()) == (5, 4.5)
    assert (deadline.at_most(2).left(), deadline.at_most(9).left()) == (2, 5)
    clock.advance(6)
    assert deadline.left() == -1
    assert deadline.at_most(2).left() == -1


class Context:
    """What Lambda tells a function about its invocation."""

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until the function is stopped."""
        return 60_000


def test_time_of_a_function() -> None:
    """Of a function's own time, five seconds are kept to store what is left."""
    assert of_function(Context()) == 55  # type: ignore[arg-type]


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
        assert timed.seconds < 0.5 + TOLERANCE
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
        assert timed.seconds < 0.5 + TOLERANCE
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
        assert timed.seconds < 0.5 + TOLERANCE
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
        assert timed.seconds < 0.5 + TOLERANCE
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
        assert given_up.result() < 0.5 + TOLERANCE


def test_no_free_connection(slow: Slow) -> None:
    """Whoever waits for a connection waits no longer than its own deadline, and has sent nothing."""
    with http_of() as http, ThreadPoolExecutor(MAX_CONNECTIONS) as pool:
        busy = [pool.submit(ask, http, slow, 30, 20) for _ in range(MAX_CONNECTIONS)]
        wait_until(lambda: slow.asked == MAX_CONNECTIONS)
        with Timed() as timed, pytest.raises(NoAnswer, match="PoolTimeout") as failed:
            ask(http, slow, 0.3, 0)
        assert timed.seconds < 0.3 + TOLERANCE
        slow.hurry = True
        assert len({each.result() for each in busy}) == MAX_CONNECTIONS
    assert not failed.value.sent


def test_no_request_without_time() -> None:
    """With less than a tenth of a second left, nothing is sent."""
    asked: list[httpx.Request] = []
    clock = Clock()

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(204)

    with http_of(handler) as http:
        http.request("GET", "http://vendor.test", {}, Deadline(NOON + 0.11, clock))
        with pytest.raises(NoAnswer, match="no time left") as failed:
            http.request("GET", "http://vendor.test", {}, Deadline(NOON + 0.09, clock))
    assert len(asked) == 1
    assert not failed.value.sent


@pytest.mark.parametrize(
    ("error", "sent"),
    [
        (httpx.ConnectError(""), False),
        (httpx.ConnectTimeout(""), False),
        (httpx.PoolTimeout(""), False),
        (httpx.WriteTimeout(""), True),
        (httpx.ReadTimeout(""), True),
        (httpx.ReadError(""), True),
        (httpx.RemoteProtocolError(""), True),
        (httpx.DecodingError(""), True),
        (httpx.StreamClosed(), True),
    ],
)
def test_one_exception(error: Exception, sent: bool) -> None:
    """Every failure is a `NoAnswer`, which knows whether the other side may have got the request."""

    def fail(_: httpx.Request) -> httpx.Response:
        raise error

    with http_of(fail) as http, pytest.raises(NoAnswer, match=type(error).__name__) as failed:
        http.request("GET", "http://vendor.test", {}, Deadline(NOON + 5, Clock()))
    assert failed.value.sent is sent


def test_refused_connection_was_not_sent() -> None:
    """Where nobody listens, nobody got the request."""
    with bind() as unheard, http_of() as http, pytest.raises(NoAnswer, match="ConnectError") as failed:
        http.request("GET", "http://{}:{}".format(*unheard.getsockname()), {}, Deadline(time.time() + 2))
    assert not failed.value.sent


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("ftp://127.0.0.1/", "UnsupportedProtocol"),
        ("127.0.0.1", "UnsupportedProtocol"),
        ("http://a..b/", "ConnectError"),
        (f"http://{'a' * 64}.test/", "ConnectError"),
    ],
)
def test_url_on_the_wire(url: str, reason: str) -> None:
    """Nor does the network raise anything else: for what is no URL or no host, nothing was sent."""
    with http_of() as http, pytest.raises(NoAnswer, match=reason) as failed:
        http.request("GET", url, {}, Deadline(time.time() + 2))
    assert not failed.value.sent


@contextmanager
def self_signed(folder: Path) -> Iterator[str]:
    """The URL of a TLS server with a certificate that nobody vouches for."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = folder / "server.pem"
    pem.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    with wire(lambda: [HEAD], context) as url:
        yield url


def test_certificates_are_verified(tmp_path: Path) -> None:
    """A server whose certificate nobody vouches for gets no request."""
    with (
        self_signed(tmp_path) as url,
        http_of() as http,
        pytest.raises(NoAnswer, match="ConnectError") as failed,
    ):
        http.request("GET", url, {}, Deadline(time.time() + 5))
    assert not failed.value.sent


@given(st.text() | st.text().map("https://{}".format) | st.from_regex(r"https?://[^/]+(:\d+)?/\w*"))
@example("https://[::1")
@example("https://a..b/")
@example("https://xn--\uffff")
@example("https://h:99999/")
def test_any_url(url: str) -> None:
    """A URL that is none fails like everything else."""

    def handler(request: httpx.Request) -> httpx.Response:
        if request.url.scheme not in ("http", "https") or not request.url.host:
            raise httpx.UnsupportedProtocol("")
        return httpx.Response(204)

    with http_of(handler) as http, suppress(NoAnswer):
        assert http.request("GET", url, {}, Deadline(NOON + 5, Clock())).status == 204


@pytest.mark.parametrize("value", ["Bearer é", "Bearer \ud800"])
def test_any_header(value: str) -> None:
    """A value that no header can carry fails like everything else, and nothing was sent."""
    with http_of(lambda _: httpx.Response(204)) as http, pytest.raises(NoAnswer) as failed:
        http.request("GET", "http://vendor.test", {"authorization": value}, Deadline(NOON + 5, Clock()))
    assert not failed.value.sent
    assert "Bearer" not in str(failed.value)


@pytest.mark.parametrize("encode", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_largest_answer(encode: Callable[[bytes], bytes]) -> None:
    """An answer has up to 1 MiB once it is decoded; a larger one is none."""

    def handler(request: httpx.Request) -> httpx.Response:
        content = encode(b"x" * int(request.url.query))
        headers = {"content-encoding": "gzip"} if encode is gzip.compress else {}
        return httpx.Response(200, content=content, headers=headers)

    with http_of(handler) as http:
        deadline = Deadline(NOON + 5, Clock())
        assert (
            len(http.request("GET", f"http://v/?{MAX_ANSWER_BYTES}", {}, deadline).body) == MAX_ANSWER_BYTES
        )
        with pytest.raises(NoAnswer, match="too large") as failed:
            http.request("GET", f"http://v/?{MAX_ANSWER_BYTES + 1}", {}, deadline)
    assert failed.value.sent


def test_larger_answer() -> None:
    """A client that is to read more does so."""
    large = b"x" * (MAX_ANSWER_BYTES + 1)
    http = Http(httpx.MockTransport(lambda _: httpx.Response(200, content=large)), len(large))
    assert http.request("GET", "http://v/", {}, Deadline(NOON + 5, Clock())).body == large
    http.close()


def test_plain_client(monkeypatch: pytest.MonkeyPatch) -> None:
    """No redirect is followed and no proxy used; status, headers and body come back as they are."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    app = Starlette(routes=[Route("/", lambda _: RedirectResponse("/there", 307, headers={"x-seen": "yes"}))])
    with Served(app) as url, http_of() as http:
        found = http.request("GET", url, {}, Deadline(time.time() + 5))
    assert (found.status, found.body) == (307, b"")
    assert (found.headers["location"], found.headers["x-seen"]) == ("/there", "yes")


def test_no_cookies() -> None:
    """What one request is given as a cookie is not sent with the next, which may be another source's."""

    def cookies(request: Request) -> Response:
        found = PlainTextResponse(request.headers.get("cookie", ""))
        found.set_cookie("session", "of-another-account")
        return found

    with Served(Starlette(routes=[Route("/", cookies)])) as url, http_of() as http:
        for _ in range(2):
            assert http.request("GET", url, {}, Deadline(time.time() + 5)).body == b""
