"""Signatures: what a vendor sent is proven, and nothing else is, whatever arrives."""

import base64
import hashlib
import hmac
import itertools
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import pytest
import standardwebhooks
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from relay.vendors.support.fixed_tokens import Basic, BodyToken, HeaderToken, QueryToken
from relay.vendors.support.proof import AnyOf, Scheme, Signature
from relay.vendors.support.signatures import (
    TOLERANCE_SECONDS,
    Clock,
    Hmac,
    JwtChecksum,
    Part,
    StandardWebhooks,
)
from tests.moto_table import many

TIME_DOT_BODY = (Part.TIMESTAMP, b".", Part.BODY)

ACCESS_CONTROL: dict[str, Scheme] = {
    "brivo": QueryToken(),
    "butlr": QueryToken(),
    "butterflymx": QueryToken(),
    "buzzin": Hmac(
        "buzzin-signature",
        layout=(Part.TIMESTAMP, b"-", Part.BODY),
        timestamp_header="buzzin-signature-timestamp",
        clock="milliseconds",
    ),
    "density": HeaderToken("authorization", "Bearer "),
    "disruptive-technologies": JwtChecksum("x-dt-signature"),
    "doorflow": Hmac("signature", layout=TIME_DOT_BODY, timestamp_header="timestamp"),
    "envoy": Hmac("x-envoy-signature", encoding="base64"),
    "envoy-token": AnyOf((HeaderToken("authorization"), Basic())),
    "genea": Hmac("x-sequr-signature", "sha1", form="sha1={signature}", or_compact_json=True),
    "hid-origo": HeaderToken("authorization"),
    "juniper-mist": Hmac("x-mist-signature-v2"),
    "juniper-mist-v1": Hmac("x-mist-signature", "sha1"),
    "kisi": Hmac("x-signature"),
    "meraki": BodyToken("sharedSecret"),
    "milesight": Basic(),
    "nuki": Hmac("x-nuki-signature-sha256"),
    "openpath": QueryToken(),
    "pdk": Hmac("x-pdk-signature", "sha1"),
    "seam": StandardWebhooks("svix-"),
    "unifi": Hmac("signature", layout=TIME_DOT_BODY, form="t={timestamp},v1={signature}"),
    "unifi-alarm-manager": QueryToken(),
    "unloc": QueryToken(),
    "vergesense": AnyOf((Basic(), HeaderToken("authorization", "Bearer "), HeaderToken("x-relay-token"))),
    "verkada": Hmac(
        "verkada-signature",
        layout=(Part.BODY, b"|", Part.TIMESTAMP),
        form="{timestamp}|{signature}",
    ),
}
HRIS: dict[str, Scheme] = {
    "absentify": QueryToken(),
    "bamboohr": Hmac(
        "x-bamboohr-signature",
        layout=(Part.BODY, Part.TIMESTAMP),
        timestamp_header="x-bamboohr-timestamp",
    ),
    "deel": Hmac("x-deel-signature", layout=(b"POST", Part.BODY)),
    "factorial": HeaderToken("x-factorial-wh-challenge"),
    "finch": StandardWebhooks("finch-", id_name="event-id"),
    "gusto": Hmac("x-gusto-signature"),
    "hibob": Hmac("bob-signature", "sha512", "base64"),
    "humaans": Hmac("x-humaans-signature"),
    "keypay": Hmac("ms-signature", form="sha256={signature}"),
    "kombo": Hmac("x-kombo-signature", encoding="base64url"),
    "lucca": Hmac(
        "lucca-signature",
        encoding="base64",
        layout=TIME_DOT_BODY,
        timestamp_header="lucca-timestamp",
        clock="iso8601",
    ),
    "merge": Hmac("x-merge-webhook-signature", encoding="base64url"),
    "paylocity": Basic(),
    "peopleforce": Hmac("x-peopleforce-signature", form="sha256={signature}"),
    "personio": HeaderToken("authorization"),
    "rippling": HeaderToken("authorization", "Bearer "),
    "timetastic": QueryToken(),
    "vacation-tracker": QueryToken(),
    "whosoff": HeaderToken("x-whosoff-secret"),
    "zoho-people": QueryToken(),
}
VENDORS = ACCESS_CONTROL | HRIS

NOW = 1_700_000_000
KEY = "c2VjcmV0IG9mIHRoZSBzb3VyY2U="
OTHER_KEY = "YW5vdGhlciBzZWNyZXQ="
BODY = b'{"sharedSecret": "c2VjcmV0IG9mIHRoZSBzb3VyY2U=", "event": "lock.unlock", "n": 1}'

anything = st.text(st.characters(exclude_categories=[]))
moments = st.integers(1_000_000_000, 4_000_000_000)
bodies = st.binary(max_size=200)


@dataclass(frozen=True)
class Request:
    """A request as a verifier sees it."""

    body: bytes = BODY
    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)


def signs_the_body(scheme: Scheme) -> bool:
    """Whether a proof is for one body only."""
    return isinstance(scheme, (Hmac, StandardWebhooks, JwtChecksum))


def signs_the_time(scheme: Scheme) -> bool:
    """Whether a proof is good for a while only, by a time of its own."""
    return isinstance(scheme, StandardWebhooks) or (
        isinstance(scheme, Hmac) and Part.TIMESTAMP in scheme.layout
    )


def each(accepted: Callable[[Scheme], bool]) -> pytest.MarkDecorator:
    """Each different scheme that is accepted, under the name of its first vendor."""
    names = {scheme: vendor for vendor, scheme in reversed(VENDORS.items()) if accepted(scheme)}
    return pytest.mark.parametrize("scheme", [pytest.param(one, id=name) for one, name in names.items()])


every_scheme = each(lambda scheme: True)
every_signature = each(signs_the_body)
every_timed_signature = each(signs_the_time)
few = many(10)


def signed(scheme: Scheme, body: bytes = BODY, secret: str = KEY, now: float = NOW) -> Request:
    """A request as the vendor would send it."""
    added = scheme.sign(body, secret, now)
    return Request(body, added.headers, added.query)


def body_with_token(secret: str) -> bytes:
    """A body that proves itself where the token is in the body."""
    return json.dumps({"sharedSecret": secret}).encode()


def secrets_for(scheme: Scheme) -> st.SearchStrategy[str]:
    """Any secret that the scheme can sign with."""
    if isinstance(scheme, StandardWebhooks):
        keys = st.binary(min_size=1, max_size=80).map(lambda key: base64.b64encode(key).decode())
        return st.tuples(st.sampled_from(["whsec_", ""]), keys).map("".join)
    return anything.filter(bool)


def key_of(scheme: Scheme, secret: str) -> bytes:
    """What tells one secret from another: HMAC fills a short key up with zero bytes."""
    if isinstance(scheme, StandardWebhooks):
        return base64.b64decode(secret.removeprefix("whsec_")).rstrip(b"\0")
    return secret.encode("utf-8", "surrogatepass").rstrip(b"\0")


def hex_hmac(algorithm: str, message: bytes) -> str:
    """The HMAC under KEY, in hex."""
    return hmac.new(KEY.encode(), message, algorithm).hexdigest()


def b64(data: bytes) -> str:
    """Base64."""
    return base64.b64encode(data).decode()


def b64url(data: bytes) -> str:
    """Base64url without padding."""
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def jwt(claims: bytes, header: bytes = b'{"alg":"HS256"}', algorithm: str = "sha256") -> str:
    """A token with these bytes as its claims, signed with KEY."""
    message = f"{b64url(header)}.{b64url(claims)}"
    return f"{message}.{b64url(hmac.new(KEY.encode(), message.encode(), algorithm).digest())}"


# What holds for every scheme


@every_scheme
@few
@given(data=st.data(), body=bodies, now=moments)
def test_what_is_signed_is_proven(scheme: Scheme, data: st.DataObject, body: bytes, now: int) -> None:
    """A request signed with a secret is proven by it, alone or among others, in any place."""
    secret = data.draw(secrets_for(scheme))
    others = data.draw(st.lists(anything, max_size=2))
    request = signed(scheme, body_with_token(secret) if isinstance(scheme, BodyToken) else body, secret, now)
    assert scheme.verify(request, [secret], now)
    assert scheme.verify(request, [*others, secret], now)
    assert scheme.verify(request, [secret, *others], now)


@every_scheme
@few
@given(data=st.data())
def test_another_secret_proves_nothing(scheme: Scheme, data: st.DataObject) -> None:
    """A secret that the request was not signed with does not prove it."""
    secret, other = data.draw(st.tuples(secrets_for(scheme), secrets_for(scheme)))
    assume(key_of(scheme, secret) != key_of(scheme, other))
    request = signed(scheme, body_with_token(secret), secret)
    assert not scheme.verify(request, [other], NOW)


@every_scheme
def test_no_secret_and_an_empty_secret_prove_nothing(scheme: Scheme) -> None:
    """A source without secrets accepts nothing, and an empty secret proves nothing, not even its own."""
    requests = [signed(scheme), Request(body_with_token(""))]
    if not isinstance(scheme, StandardWebhooks):
        requests.append(signed(scheme, secret=""))
    for request in requests:
        assert not scheme.verify(request, [], NOW)
        assert not scheme.verify(request, [""], NOW)


@every_scheme
def test_every_part_of_a_proof_is_needed(scheme: Scheme) -> None:
    """A request that lacks any one of the headers or parameters that signing added is not proven."""
    request = signed(scheme)
    for name in request.headers:
        rest = {key: value for key, value in request.headers.items() if key != name}
        assert not scheme.verify(replace(request, headers=rest), [KEY], NOW)
        assert not scheme.verify(replace(request, headers={**rest, name: ""}), [KEY], NOW)
    for query in ({}, dict.fromkeys(request.query, "")):
        assert not request.query or not scheme.verify(replace(request, query=query), [KEY], NOW)
    assert not scheme.verify(Request(b""), [KEY], NOW)


@every_scheme
@few
@given(data=st.data(), body=st.binary())
def test_garbage_is_refused_without_an_error(scheme: Scheme, data: st.DataObject, body: bytes) -> None:
    """Whatever a header, a parameter or the body holds, the answer is no, and never an exception."""
    request = signed(scheme)
    texts = anything | st.from_regex(r"(t=|sha\d+=|v1,|Basic |Bearer )?[\w=|.,+/-]*", fullmatch=True)
    headers = {name: data.draw(texts) for name in request.headers}
    query = {name: data.draw(anything) for name in request.query}
    assert not scheme.verify(Request(body, headers, query), [KEY, "é" * 40, "\ud800" * 40], NOW)
    for name, garbage in headers.items():
        damaged = {**request.headers, name: garbage}
        assert not scheme.verify(replace(request, headers=damaged), [OTHER_KEY], NOW)


@every_scheme
@few
@given(data=st.data())
def test_a_shortened_or_lengthened_proof_is_refused(scheme: Scheme, data: st.DataObject) -> None:
    """A proof is compared whole: what is a part of it, or has it as a part, is refused."""
    request = signed(scheme)
    for name, value in [*request.headers.items(), *request.query.items()]:
        whole = value.rstrip("=")
        cut = data.draw(st.integers(0, len(whole) - 1))
        for changed in (whole[:cut], value + "0", value + "\n", value + "=", "x" + value, value + value):
            assert not scheme.verify(
                replace(request, headers={**request.headers, name: changed}, query={name: changed}),
                [KEY],
                NOW,
            )


@every_scheme
def test_another_vendors_proof_is_refused(scheme: Scheme) -> None:
    """With the same secret, no scheme accepts what another one signed."""
    for other in VENDORS.values():
        if not ways(scheme) & ways(other) and not isinstance(scheme, BodyToken):
            assert not scheme.verify(signed(other), [KEY], NOW)


def ways(scheme: Scheme) -> set[Scheme]:
    """The scheme, or its alternatives."""
    return set(scheme.schemes) if isinstance(scheme, AnyOf) else {scheme}


def signature_of(scheme: Hmac) -> tuple[object, ...]:
    """What makes two HMACs equal once they travel in the same header."""
    encoding = scheme.encoding.removesuffix("url")
    return scheme.algorithm, encoding, scheme.layout, scheme.form, scheme.clock


def test_another_vendors_signature_in_the_right_header_is_refused() -> None:
    """With the same secret and the same headers, another algorithm, encoding or layout is refused."""
    schemes = {scheme for scheme in VENDORS.values() if isinstance(scheme, Hmac)}
    different = [
        (one, other)
        for one, other in itertools.permutations(schemes, 2)
        if signature_of(one) != signature_of(other)
    ]
    assert len(different) > 100
    for one, other in different:
        moved = replace(other, header=one.header, timestamp_header=one.timestamp_header)
        assert not one.verify(signed(moved), [KEY], NOW)


def test_schemes_name_the_list_of_secrets_that_they_take() -> None:
    """What signs the body takes `signingSecrets`, what is sent as it is takes `tokens`."""
    for scheme in VENDORS.values():
        assert scheme.credentials == ("signingSecrets" if signs_the_body(scheme) else "tokens")


def test_a_signature_shows_no_secret() -> None:
    """The `repr` of what signing adds holds none of it."""
    assert repr(HeaderToken("authorization").sign(BODY, KEY, NOW)) == "Signature()"
    assert repr(QueryToken().sign(BODY, KEY, NOW)) == repr(Signature())


# What signs the body


@every_signature
@few
@given(data=st.data(), body=st.binary(min_size=1, max_size=200))
def test_any_changed_byte_breaks_the_signature(scheme: Scheme, data: st.DataObject, body: bytes) -> None:
    """One byte of the body changed, removed or added, and the request is not proven."""
    request = signed(scheme, body)
    at = data.draw(st.integers(0, len(body) - 1))
    flipped = body[:at] + bytes([body[at] ^ data.draw(st.integers(1, 255))]) + body[at + 1 :]
    for changed in (flipped, body[:at] + body[at + 1 :], body + b"0", b"0" + body):
        assert not scheme.verify(replace(request, body=changed), [KEY], NOW)


@every_signature
@pytest.mark.parametrize(
    "body", [b"", b"{}", b"\xff\x00\xfe", '{"name":"Zoë"}'.encode("utf-16"), BODY * 9999]
)
def test_signatures_are_over_bytes(scheme: Scheme, body: bytes) -> None:
    """Empty bodies, bodies that are no text and large ones are signed and proven like any other."""
    assert scheme.verify(signed(scheme, body), [KEY], NOW)


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


# JSON Web Tokens

DT = JwtChecksum("x-dt-signature")


def dt_request(
    claims: Mapping[str, object], header: bytes = b'{"alg":"HS256"}', algorithm: str = "sha256"
) -> Request:
    """A request whose token, signed with KEY, claims this."""
    return Request(BODY, {"x-dt-signature": jwt(json.dumps(claims).encode(), header, algorithm)})


SHA1 = {"checksum": hashlib.sha1(BODY).hexdigest()}  # noqa: S324 - the vendor's choice
SHA256 = {"checksum_sha256": hashlib.sha256(BODY).hexdigest()}
TIMES = {"iat": NOW, "exp": NOW + 3600}


@pytest.mark.parametrize(
    ("claims", "proven"),
    [
        (SHA1 | TIMES | {"jti": "c7fa4e77gf87eif6j3tg"}, True),
        (SHA256 | TIMES, True),
        (SHA256 | {"exp": NOW + 1}, True),
        ({"checksum_sha256": SHA256["checksum_sha256"].upper()} | TIMES, True),
        (SHA1 | SHA256 | TIMES, True),
        ({"checksum": "00"} | SHA256 | TIMES, True),
        (SHA1 | {"checksum_sha256": "00"} | TIMES, False),
        (SHA1 | {"checksum_sha256": None} | TIMES, False),
        ({"checksum": SHA256["checksum_sha256"]} | TIMES, False),
        ({"checksum": 5} | TIMES, False),
        ({"checksum": "\ud800"} | TIMES, False),
        (TIMES, False),
        (SHA256, False),
        (SHA256 | {"iat": NOW}, False),
        ({}, False),
    ],
)
def test_the_token_claims_the_checksum_of_the_body(claims: Mapping[str, object], proven: bool) -> None:
    """SHA-256 is preferred to SHA-1 and never ignored; a token without checksum or end proves nothing."""
    assert DT.verify(dt_request(claims), [KEY], NOW) is proven


@pytest.mark.parametrize(
    "exp", [NOW, NOW - 1, 0, -1, 10**13, 10**30, True, None, "1800000000", [], 1.8e9, float("nan")]
)
def test_a_token_ends(exp: object) -> None:
    """A token whose end has come, or is no whole number of seconds, proves nothing."""
    assert not DT.verify(dt_request(SHA256 | {"iat": NOW, "exp": exp}), [KEY], NOW)


@pytest.mark.parametrize("iat", [NOW + 301, -1, 10**30, True, None, "0", 1.7e9, float("inf")])
def test_a_token_is_not_from_the_future(iat: object) -> None:
    """A token made more than 300 s ahead, or at what is no time, proves nothing."""
    assert not DT.verify(dt_request(SHA256 | {"iat": iat, "exp": NOW + 3600}), [KEY], NOW)
    assert DT.verify(dt_request(SHA256 | {"iat": NOW + 300, "exp": NOW + 3600}), [KEY], NOW)


def test_a_token_of_ours_is_good_for_an_hour() -> None:
    """Signing makes a token that is proven until an hour later, and from 300 s before."""
    request = signed(DT)
    proven = {at: DT.verify(request, [KEY], NOW + at) for at in (-301, -300, 0, 3599, 3600)}
    assert proven == {-301: False, -300: True, 0: True, 3599: True, 3600: False}


def test_the_tokens_algorithm_is_ours() -> None:
    """HS256 is the only algorithm, and what the token's header says about it is not asked."""
    claims = SHA256 | TIMES
    for header in (b'{"alg":"none"}', b'{"alg":"RS256"}', b"garbage", b"\xff"):
        assert DT.verify(dt_request(claims, header), [KEY], NOW)
    for algorithm in ("sha1", "sha512"):
        assert not DT.verify(dt_request(claims, b'{"alg":"HS512"}', algorithm), [KEY], NOW)
    unsigned = b64url(b'{"alg":"none"}') + "." + b64url(json.dumps(claims).encode())
    for token in (unsigned, unsigned + ".", unsigned + ".AA"):
        assert not DT.verify(Request(BODY, {"x-dt-signature": token}), [KEY], NOW)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@settings(deadline=None)
@given(
    claims=st.binary(max_size=300)
    | json_values.map(lambda value: json.dumps(value).encode())
    | st.fixed_dictionaries(
        {}, optional=dict.fromkeys(["iat", "exp", "checksum", "checksum_sha256"], json_values)
    ).map(lambda value: json.dumps(value).encode())
)
def test_any_signed_claims_are_refused_without_an_error(claims: bytes) -> None:
    """Even with a good signature, claims that are anything but right prove nothing and raise nothing."""
    assert not DT.verify(Request(BODY, {"x-dt-signature": jwt(claims)}), [KEY], NOW)


@pytest.mark.parametrize(
    "payload", ["A", "AAAAA", "[" * 3000, b64url(b"[" * 5000), b64url(b"null"), "eyJ\u00e9", "e30="]
)
def test_a_token_that_cannot_be_decoded_is_refused(payload: str) -> None:
    """Base64 of an impossible length, JSON too deep and letters outside the alphabet prove nothing."""
    part = f"{b64url(b'{}')}.{payload}"
    token = f"{part}.{b64url(hmac.new(KEY.encode(), part.encode(), 'sha256').digest())}"
    assert not DT.verify(Request(BODY, {"x-dt-signature": token}), [KEY], NOW)


def test_a_token_is_ascii() -> None:
    """Letters outside the alphabet are refused in the token's header too, where nothing decodes them."""
    message = "\u00e9." + b64url(json.dumps(SHA256 | TIMES).encode())
    token = f"{message}.{b64url(hmac.new(KEY.encode(), message.encode(), 'sha256').digest())}"
    assert not DT.verify(Request(BODY, {"x-dt-signature": token}), [KEY], NOW)


def test_a_token_is_of_bounded_size() -> None:
    """A token of more than 8,192 characters is refused, good as its signature may be."""
    small, large = ({"filler": "x" * size} | SHA256 | TIMES for size in (5000, 8000))
    assert DT.verify(dt_request(small), [KEY], NOW)
    assert not DT.verify(dt_request(large), [KEY], NOW)


# Tokens


def test_tokens_are_sent_where_each_vendor_puts_them() -> None:
    """Personio sends its token as it is, Factorial in its own header, others as Bearer, Basic or query."""
    assert signed(VENDORS["personio"], secret="abc").headers == {"authorization": "abc"}
    assert signed(VENDORS["factorial"], secret="abc").headers == {"x-factorial-wh-challenge": "abc"}
    assert signed(VENDORS["rippling"], secret="abc").headers == {"authorization": "Bearer abc"}
    assert signed(VENDORS["paylocity"], secret="user:pass").headers == {"authorization": "Basic dXNlcjpwYXNz"}
    assert signed(VENDORS["brivo"], secret="abc").query == {"token": "abc"}
    assert VENDORS["personio"].verify(Request(headers={"authorization": "Bearer abc"}), ["Bearer abc"], NOW)


def test_no_two_texts_are_taken_for_one() -> None:
    """What cannot be encoded is told from what would replace it, and one form of a letter from another."""
    for value, secret in (("\ud800", "?"), ("\ud800", "\ud801"), ("\ufffd", "\ud800"), ("e\u0301", "\u00e9")):
        assert not VENDORS["personio"].verify(Request(headers={"authorization": value}), [secret], NOW)


@pytest.mark.parametrize(
    ("vendor", "value", "proven"),
    [
        ("rippling", "bearer abc", True),
        ("rippling", "BEARER abc", True),
        ("rippling", "Bearer ABC", False),
        ("rippling", "abc", False),
        ("rippling", "Bearer", False),
        ("rippling", "Bearer ", False),
        ("rippling", "Bearer  abc", False),
        ("rippling", "İearer abc", False),
        ("personio", "Bearer abc", False),
        ("personio", "ABC", False),
        ("milesight", "basic YWJj", True),
        ("milesight", "Basic YWJj=", False),
        ("milesight", "Basic YWJ", False),
        ("milesight", "Basic YW Jj", False),
        ("milesight", "Basic abc", False),
        ("milesight", "Basic \ud800", False),
    ],
)
def test_only_the_name_of_the_way_has_no_case(vendor: str, value: str, proven: bool) -> None:
    """`Bearer` and `Basic` may come in any case; the token after them may not, and has one spelling."""
    assert VENDORS[vendor].verify(Request(headers={"authorization": value}), ["abc"], NOW) is proven


@pytest.mark.parametrize("value", ["null", "5", "true", '["abc"]', '{"abc": 1}', '"ABC"', '""', '"\\ud800"'])
def test_a_token_in_the_body_is_a_string(value: str) -> None:
    """Cisco Meraki: whatever else than the secret itself stands under `sharedSecret` proves nothing."""
    assert VENDORS["meraki"].verify(Request(b'{"sharedSecret": "abc"}'), ["abc"], NOW)
    assert not VENDORS["meraki"].verify(Request(b'{"sharedSecret": %s}' % value.encode()), ["abc"], NOW)


@pytest.mark.parametrize(
    "headers",
    [{"authorization": "Basic dTpw"}, {"authorization": "Bearer u:p"}, {"x-relay-token": "u:p"}],
)
def test_any_of_the_ways_that_a_customer_can_choose(headers: Mapping[str, str]) -> None:
    """VergeSense: Basic, Bearer and a header of the customer's all prove; any other way does not."""
    assert VENDORS["vergesense"].verify(Request(headers=headers), ["other", "u:p"], NOW)
    assert not VENDORS["vergesense"].verify(Request(headers=headers), ["other"], NOW)
    assert not VENDORS["vergesense"].verify(Request(headers={"authorization": "u:p"}), ["u:p"], NOW)


@pytest.mark.parametrize("schemes", [(), (Basic(), Hmac("x-envoy-signature"))])
def test_alternatives_take_their_secrets_from_one_list(schemes: tuple[Scheme, ...]) -> None:
    """Schemes that take different secrets, and none at all, cannot be alternatives."""
    with pytest.raises(ValueError, match="one list"):
        AnyOf(schemes)
