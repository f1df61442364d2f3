"""Outgoing HTTP ends with its deadline, and fails in one way only."""

import gzip
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from localrun.serve import Served, bind
from relay.deadline import Deadline, of_function
from relay.http import MAX_ANSWER_BYTES, Answer, NoAnswer
from tests.rig import NOON, Clock
from tests.servers import http_of, wire

ELEVEN_HOURS = 11 * 3600
OVERRUN = 0.3
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


def dripping(head: bytes, drop: bytes) -> Callable[[], Iterable[bytes | float]]:
    """A server that sends a little at a time, for two seconds."""

    def script() -> Iterator[bytes | float]:
        yield head
        yield from (drop, 0.1) * 20

    return script


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(lambda: [60.0], id="before the headers"),
        pytest.param(dripping(b"HTTP/1.1 200 OK\r\n", b"a: b\r\n"), id="dripping headers"),
        pytest.param(lambda: [HEAD, 60.0], id="after the headers"),
        pytest.param(dripping(HEAD, b"x"), id="dripping body"),
        pytest.param(lambda: [HEAD, 0.45, b"x", 60.0], id="after a late piece of the body"),
    ],
)
def test_deadline_ends_a_request(script: Callable[[], Iterable[bytes | float]]) -> None:
    """A server that hangs or drips, wherever it does so, costs no more than the time that is left."""
    with wire(script) as url, http_of() as http:
        began = time.time()
        with pytest.raises(NoAnswer) as failed:
            http.request("GET", url, {}, Deadline(began + 0.5))
        assert time.time() - began < 0.5 + OVERRUN
    assert failed.value.sent


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
