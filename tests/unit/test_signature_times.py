"""The time in a signature: how far off it may be, and how it may be written."""

import hmac
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from relay.vendors.support.proof import Scheme
from relay.vendors.support.signatures import (
    TOLERANCE_SECONDS,
    Clock,
    Hmac,
    Part,
    StandardWebhooks,
)
from tests.unit.test_signatures import (
    BODY,
    KEY,
    NOW,
    TIME_DOT_BODY,
    VENDORS,
    Request,
    b64,
    each,
    few,
    hex_hmac,
    moments,
    signed,
)


def signs_the_time(scheme: Scheme) -> bool:
    """Whether a proof is good for a while only, by a time of its own."""
    return isinstance(scheme, StandardWebhooks) or (
        isinstance(scheme, Hmac) and Part.TIMESTAMP in scheme.layout
    )


every_timed_signature = each(signs_the_time)


# What signs the time


@every_timed_signature
@few
@given(now=moments, beyond=st.integers(1, 10**9))
@example(now=NOW, beyond=1)
def test_time_is_tolerated_to_the_second(scheme: Scheme, now: int, beyond: int) -> None:
    """A request signed exactly 300 s ago or ahead is proven; any further away, it is not."""
    request = signed(scheme, now=now)
    assert TOLERANCE_SECONDS == 300
    assert scheme.verify(request, [KEY], now - 300)
    assert scheme.verify(request, [KEY], now + 300)
    assert not scheme.verify(request, [KEY], now - 300 - beyond)
    assert not scheme.verify(request, [KEY], now + 300 + beyond)
    assert not scheme.verify(request, [KEY], now + 300.01)


@every_timed_signature
def test_the_time_is_signed(scheme: Scheme) -> None:
    """A fresh time beside an old signature does not renew it."""
    old, fresh = signed(scheme, now=NOW - 3600), signed(scheme)
    for name in (name for name in fresh.headers if name.endswith("timestamp")):
        headers = {**old.headers, name: fresh.headers[name]}
        assert not scheme.verify(replace(old, headers=headers), [KEY], NOW)


NOT_A_TIME = [
    "",
    " 1700000000",
    "1700000000\n",
    "+1700000000",
    "-1700000000",
    "1_700_000_000",
    "1700000000.0",
    "1.7e9",
    "0x6553f100",
    "\uff11\uff17\uff10\uff10\uff10\uff10\uff10\uff10\uff10\uff10",
    "\u0661\u0667\u0660\u0660\u0660\u0660\u0660\u0660\u0660\u0660",
    "00001700000000",
    "9" * 5000,
    "nan",
    "\ud800",
    "Tue, 14 Nov 2023 22:13:20 GMT",
]


@pytest.mark.parametrize("time", NOT_A_TIME)
@pytest.mark.parametrize("clock", ["seconds", "milliseconds", "iso8601"])
def test_a_time_is_at_most_13_digits(clock: Clock, time: str) -> None:
    """A time that is not 1 to 13 ASCII digits is refused, even where it is signed."""
    scheme = Hmac("signature", layout=TIME_DOT_BODY, timestamp_header="timestamp", clock=clock)
    message = time.encode("utf-8", "surrogatepass") + b"." + BODY
    headers = {"signature": hex_hmac("sha256", message), "timestamp": time}
    assert not scheme.verify(Request(BODY, headers), [KEY], NOW)


@pytest.mark.parametrize(
    ("time", "proven"),
    [
        ("2023-11-14T22:13:20Z", True),
        ("2023-11-14T22:18:20Z", True),
        ("2023-11-14T22:08:20Z", True),
        ("2023-11-14T22:13:20.1234567Z", True),
        ("2023-11-14T23:13:20+01:00", True),
        ("1700000000", True),
        ("2023-11-14T22:18:21Z", False),
        ("2023-11-14T22:08:19.999Z", False),
        ("2023-11-14T22:13:20", False),
        ("2023-11-14 22:13:20Z", False),
        ("2023-11-14", False),
        ("2023-13-45T22:13:20Z", False),
        ("2023-11-14T::::::::Z", False),
        ("2023-11-14T22:13:20+99:99", False),
        ("0001-01-01T00:00:00+23:59", False),
        ("9999-12-31T23:59:59-23:59", False),
        ("0000-00-00T00:00:00Z", False),
    ],
)
def test_a_time_may_be_a_date_time_where_the_vendor_sends_one(time: str, proven: bool) -> None:
    """Under `iso8601` a date-time with a zone is read as well; without one, or malformed, it is refused."""
    headers = {
        "lucca-timestamp": time,
        "lucca-signature": b64(hmac.new(KEY.encode(), f"{time}.".encode() + BODY, "sha256").digest()),
    }
    assert VENDORS["lucca"].verify(Request(BODY, headers), [KEY], NOW) is proven


@pytest.mark.parametrize("clock", ["seconds", "milliseconds"])
def test_a_date_time_is_no_time_elsewhere(clock: Clock) -> None:
    """Where a vendor sends digits, a date-time is refused, even where it is signed."""
    scheme = Hmac("signature", layout=TIME_DOT_BODY, timestamp_header="timestamp", clock=clock)
    time = "2023-11-14T22:13:20Z"
    headers = {"signature": hex_hmac("sha256", f"{time}.".encode() + BODY), "timestamp": time}
    assert not scheme.verify(Request(BODY, headers), [KEY], NOW)
