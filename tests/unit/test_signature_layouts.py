"""Each vendor's layout of a signature, against the standard library, and Standard Webhooks."""

import base64
import hashlib
import hmac
import itertools
from dataclasses import replace
from datetime import UTC, datetime

import pytest
import standardwebhooks
from hypothesis import given
from hypothesis import strategies as st

from relay.vendors.support.signatures import (
    StandardWebhooks,
)
from tests.unit.test_signatures import (
    BODY,
    KEY,
    NOW,
    VENDORS,
    Request,
    b64,
    b64url,
    few,
    hex_hmac,
    jwt,
    moments,
    signed,
)

# Layouts, each against the standard library


def test_verkada_signs_the_body_then_the_time() -> None:
    """Verkada: `<seconds>|<hex>` over body, `|`, time."""
    headers = {"verkada-signature": f"{NOW}|{hex_hmac('sha256', BODY + b'|%d' % NOW)}"}
    assert signed(VENDORS["verkada"]).headers == headers
    assert VENDORS["verkada"].verify(Request(BODY, headers), [KEY], NOW)


@pytest.mark.parametrize("wrong", [BODY, b"%d|" % NOW + BODY, BODY + b"%d" % NOW])
def test_verkada_takes_no_other_order(wrong: bytes) -> None:
    """Verkada: the body alone, the time first, or no bar between them is another message."""
    headers = {"verkada-signature": f"{NOW}|{hex_hmac('sha256', wrong)}"}
    assert not VENDORS["verkada"].verify(Request(BODY, headers), [KEY], NOW)


def test_unifi_signs_the_time_then_the_body() -> None:
    """UniFi Access: `t=<seconds>,v1=<hex>` over time, dot, body."""
    headers = {"signature": f"t={NOW},v1={hex_hmac('sha256', b'%d.' % NOW + BODY)}"}
    assert signed(VENDORS["unifi"]).headers == headers
    assert VENDORS["unifi"].verify(Request(BODY, headers), [KEY], NOW)


@pytest.mark.parametrize(
    ("vendor", "header"),
    [("kisi", "x-signature"), ("gusto", "x-gusto-signature"), ("humaans", "x-humaans-signature")],
)
def test_hex_over_the_raw_body(vendor: str, header: str) -> None:
    """Kisi, Gusto and Humaans: hex of SHA-256 over the body; its case does not matter."""
    expected = hex_hmac("sha256", BODY)
    assert signed(VENDORS[vendor]).headers == {header: expected}
    assert VENDORS[vendor].verify(Request(BODY, {header: expected.upper()}), [KEY], NOW)


@pytest.mark.parametrize("vendor", ["keypay", "peopleforce"])
def test_hex_after_its_algorithm(vendor: str) -> None:
    """KeyPay and PeopleForce: `sha256=` and hex; without the prefix it is refused."""
    [(header, value)] = signed(VENDORS[vendor]).headers.items()
    assert value == "sha256=" + hex_hmac("sha256", BODY)
    assert not VENDORS[vendor].verify(Request(BODY, {header: hex_hmac("sha256", BODY)}), [KEY], NOW)


def test_deel_signs_the_method_before_the_body() -> None:
    """Deel: hex over `POST` and the body; over the body alone it is refused."""
    assert signed(VENDORS["deel"]).headers == {"x-deel-signature": hex_hmac("sha256", b"POST" + BODY)}
    plain = {"x-deel-signature": hex_hmac("sha256", BODY)}
    assert not VENDORS["deel"].verify(Request(BODY, plain), [KEY], NOW)


def test_envoy_and_hibob_encode_in_base64() -> None:
    """Envoy: base64 of SHA-256. HiBob: base64 of SHA-512."""
    envoy = b64(hmac.new(KEY.encode(), BODY, hashlib.sha256).digest())
    hibob = b64(hmac.new(KEY.encode(), BODY, hashlib.sha512).digest())
    assert signed(VENDORS["envoy"]).headers == {"x-envoy-signature": envoy}
    assert signed(VENDORS["hibob"]).headers == {"bob-signature": hibob}


@pytest.mark.parametrize(
    ("vendor", "header"), [("merge", "x-merge-webhook-signature"), ("kombo", "x-kombo-signature")]
)
def test_base64url_with_or_without_padding(vendor: str, header: str) -> None:
    """Merge and Kombo: base64url of SHA-256, its padding optional, its alphabet not."""
    body = next(
        b"%d" % n for n in itertools.count() if "-" in b64url(bytes.fromhex(hex_hmac("sha256", b"%d" % n)))
    )
    value = b64url(bytes.fromhex(hex_hmac("sha256", body)))
    scheme = VENDORS[vendor]
    assert scheme.verify(Request(body, {header: value}), [KEY], NOW)
    assert scheme.verify(Request(body, {header: value + "="}), [KEY], NOW)
    assert not scheme.verify(Request(body, {header: value + "=="}), [KEY], NOW)
    assert not scheme.verify(Request(body, {header: value.replace("-", "+")}), [KEY], NOW)


def test_times_in_headers_of_their_own() -> None:
    """DoorFlow, BuzzIn (milliseconds), BambooHR (body first) and Lucca (date-time) sign the time as sent."""
    date_time = datetime.fromtimestamp(NOW, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    lucca = hmac.new(KEY.encode(), date_time.encode() + b"." + BODY, hashlib.sha256).digest()
    assert signed(VENDORS["doorflow"]).headers == {
        "signature": hex_hmac("sha256", b"%d." % NOW + BODY),
        "timestamp": str(NOW),
    }
    assert signed(VENDORS["buzzin"]).headers == {
        "buzzin-signature": hex_hmac("sha256", b"%d000-" % NOW + BODY),
        "buzzin-signature-timestamp": f"{NOW}000",
    }
    assert signed(VENDORS["bamboohr"]).headers == {
        "x-bamboohr-signature": hex_hmac("sha256", BODY + b"%d" % NOW),
        "x-bamboohr-timestamp": str(NOW),
    }
    assert signed(VENDORS["lucca"]).headers == {"lucca-signature": b64(lucca), "lucca-timestamp": date_time}


def test_nuki_and_juniper_mist_name_the_algorithm_in_the_header() -> None:
    """Nuki: hex of SHA-256. Juniper Mist: hex of SHA-256 in the second version, of SHA-1 in the first."""
    sha256, sha1 = hex_hmac("sha256", BODY), hex_hmac("sha1", BODY)
    assert signed(VENDORS["nuki"]).headers == {"x-nuki-signature-sha256": sha256}
    assert signed(VENDORS["juniper-mist"]).headers == {"x-mist-signature-v2": sha256}
    assert signed(VENDORS["juniper-mist-v1"]).headers == {"x-mist-signature": sha1}


def test_genea_signs_the_body_or_its_json() -> None:
    """Genea: `sha1=` and hex over the bytes, or over the same JSON as JavaScript writes it."""
    body = '{ "name": "Zoë", "at": [1, 2.5, null],\n "card": {} }'.encode()
    compact = '{"name":"Zoë","at":[1,2.5,null],"card":{}}'.encode()
    for message in (body, compact):
        headers = {"x-sequr-signature": "sha1=" + hex_hmac("sha1", message)}
        assert VENDORS["genea"].verify(Request(body, headers), [KEY], NOW)
        assert not VENDORS["genea"].verify(Request(body.replace(b"2.5", b"2.6"), headers), [KEY], NOW)
    assert not VENDORS["kisi"].verify(Request(body, {"x-signature": hex_hmac("sha256", compact)}), [KEY], NOW)


DEEP = 100_000
AWKWARD_JSON = {
    "no JSON": b"{",
    "no UTF-8": b'{"a": "\xff"}',
    "deep lists": b'{"a": ' + b"[" * DEEP + b"]" * DEEP + b"}",
    "deep objects": b'{"a":' * DEEP + b"1" + b"}" * DEEP,
    "a huge number": b'{"a": ' + b"9" * 5000 + b"}",
    "not a number": b'{"a": NaN, "b": 1e999}',
    "a lone surrogate": b'{"a": "\\ud800"}',
    "a byte order mark": b'\xef\xbb\xbf{"a": 1}',
    "UTF-16": '{"a": 1}'.encode("utf-16"),
    "no object": b"[1]",
    "too large": b'{"a": "' + b"x" * 256 * 1024 + b'"}',
}


@pytest.mark.parametrize("body", [pytest.param(body, id=name) for name, body in AWKWARD_JSON.items()])
def test_awkward_json_is_refused_without_an_error(body: bytes) -> None:
    """JSON that is unreadable, no object, too deep or too large proves nothing and raises nothing."""
    headers = {"x-sequr-signature": "sha1=" + hex_hmac("sha1", b"{}"), "x-dt-signature": jwt(body)}
    for vendor in ("genea", "meraki", "disruptive-technologies"):
        assert not VENDORS[vendor].verify(Request(body, headers), [KEY], NOW)
    assert VENDORS["genea"].verify(signed(VENDORS["genea"], body), [KEY], NOW)


def test_no_more_than_256_kib_are_read_as_json() -> None:
    """A body above 256 KiB is not read to prove it, right as its token or its compact form may be."""
    small, large = (b'{"filler": "%s", "sharedSecret": "abc"}' % (b"x" * size) for size in (200_000, 262_144))
    for body, proven in ((small, True), (large, False)):
        compact = hex_hmac("sha1", body.replace(b" ", b""))
        assert VENDORS["meraki"].verify(Request(body), ["abc"], NOW) is proven
        headers = {"x-sequr-signature": f"sha1={compact}"}
        assert VENDORS["genea"].verify(Request(body, headers), [KEY], NOW) is proven


# Standard Webhooks


def test_standard_webhooks_known_answer() -> None:
    """The specification's own example is proven by its secret, with and without `whsec_`."""
    request = Request(
        b'{"test": 2432232314}',
        {
            "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
            "webhook-timestamp": "1614265330",
            "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        },
    )
    secret = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    assert StandardWebhooks().verify(request, [secret], 1614265330)
    assert StandardWebhooks().verify(request, ["whsec_" + secret], 1614265330 + 300)
    assert not StandardWebhooks().verify(request, ["whsec_" + secret], 1614265330 + 301)


@few
@given(key=st.binary(min_size=1, max_size=64), text=st.text(), now=moments)
def test_standard_webhooks_agrees_with_its_reference(key: bytes, text: str, now: int) -> None:
    """What the reference implementation signs is proven here, and what is signed here it signs alike."""
    secret = "whsec_" + b64(key)
    reference = standardwebhooks.Webhook(secret)
    headers = dict(StandardWebhooks().sign(text.encode(), secret, now).headers)
    when = datetime.fromtimestamp(now, UTC)
    theirs = reference.sign(headers["webhook-id"], when, text)
    assert headers["webhook-signature"] == theirs
    assert StandardWebhooks().verify(Request(text.encode(), headers), [secret], now)


def test_the_reference_accepts_what_is_signed_here() -> None:
    """The reference implementation verifies a request that is signed here now."""
    now = datetime.now(UTC).timestamp()
    headers = dict(StandardWebhooks().sign(b'{"a": 1}', "whsec_" + KEY, now).headers)
    assert standardwebhooks.Webhook("whsec_" + KEY).verify(b'{"a": 1}', headers) == {"a": 1}


def test_standard_webhooks_takes_any_signature_of_the_list() -> None:
    """Of several signatures, separated by spaces, one of version 1 that matches is enough."""
    request = signed(StandardWebhooks())
    good = request.headers["webhook-signature"]
    for value, proven in {
        f"v1,AAAA {good}": True,
        f"v1a,xx  {good} v1": True,
        good.replace("v1,", "v2,"): False,
        good.replace("v1,", ""): False,
        good.replace(",", " "): False,
        good + ",": False,
    }.items():
        headers = {**request.headers, "webhook-signature": value}
        assert StandardWebhooks().verify(replace(request, headers=headers), [KEY], NOW) is proven


@pytest.mark.parametrize(
    "secret", ["whsec_", "whsec_*", "whsec_A", "whsec_é", "whsec_\ud800", "whsec_QQ==QQ=="]
)
def test_a_secret_that_is_no_base64_proves_nothing(secret: str) -> None:
    """A secret that cannot be decoded, or to nothing, neither signs nor proves, and hides no good one."""
    with pytest.raises(ValueError, match="base64"):
        StandardWebhooks().sign(BODY, secret, NOW)
    assert not StandardWebhooks().verify(signed(StandardWebhooks()), [secret], NOW)
    assert StandardWebhooks().verify(signed(StandardWebhooks()), [secret, KEY], NOW)


def test_a_message_has_an_id() -> None:
    """A message without an id, or with an empty one, is refused, even where that is signed."""
    digest = hmac.new(base64.b64decode(KEY), b".%d." % NOW + BODY, "sha256").digest()
    headers = {"webhook-timestamp": str(NOW), "webhook-signature": "v1," + b64(digest)}
    for more in ({}, {"webhook-id": ""}):
        assert not StandardWebhooks().verify(Request(BODY, headers | more), [KEY], NOW)


def test_finch_and_seam_use_headers_of_their_own() -> None:
    """Finch and Seam (Svix) send the same three values under other names."""
    for vendor, names in {
        "finch": {"finch-event-id", "finch-timestamp", "finch-signature"},
        "seam": {"svix-id", "svix-timestamp", "svix-signature"},
    }.items():
        assert signed(VENDORS[vendor]).headers.keys() == names
