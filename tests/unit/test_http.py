"""Outgoing HTTP ends with its deadline, and fails in one way only."""

import gzip
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from ipaddress import ip_address
from pathlib import Path

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
from relay.http import MAX_ANSWER_BYTES, Answer, Http, NoAnswer
from tests.rig import NOON, Clock
from tests.servers import http_of, wire

pytestmark = pytest.mark.slow

ELEVEN_HOURS = 11 * 3600
HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n"


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


def test_request_in_one_piece() -> None:
    """A request's head and its content go out together: a server has both with one read."""
    pieces: list[bytes] = []
    with bind() as listening, http_of() as http:
        # Before the thread begins: a request that comes first would be refused.
        listening.listen()
        answering = threading.Thread(target=answer_once, args=(listening, pieces))
        answering.start()
        url = "http://{}:{}".format(*listening.getsockname())
        found = http.request("POST", url, {}, Deadline(time.time() + 5), json={"events": ["x" * 1000]})
        answering.join()
    [piece] = pieces
    assert piece.startswith(b"POST / HTTP/1.1\r\n")
    assert piece.endswith(b"x" * 1000 + b'"]}')
    assert found.status == 204


def answer_once(listening: socket.socket, pieces: list[bytes]) -> None:
    """Take one read of one connection, and answer."""
    connection, _ = listening.accept()
    with connection:
        pieces.append(connection.recv(65536))
        connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")


@pytest.mark.parametrize("own", [{}, {"Accept": "application/json", "USER-AGENT": "own"}, {"x-own": "a"}])
def test_headers(own: dict[str, str]) -> None:
    """What every request says, and what this one says instead: each header once."""
    asked: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(204)

    with http_of(handler) as http:
        http.request("GET", "http://vendor.test:81/a?b=c", own, Deadline(NOON + 5, Clock()))
    [request] = asked
    sent = request.headers.multi_items()
    common = {"accept": "*/*", "accept-encoding": "gzip, deflate", "connection": "keep-alive"}
    said = {**common, "user-agent": f"python-httpx/{httpx.__version__}", "host": "vendor.test:81"}
    assert dict(sent) == {**said, **{name.lower(): value for name, value in own.items()}}
    assert len(sent) == len(dict(sent))
