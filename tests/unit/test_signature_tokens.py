"""Proofs that are tokens: JSON Web Tokens with a checksum of the body, and secrets sent as they are."""

import hashlib
import hmac
import json
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.vendors.support.fixed_tokens import Basic
from relay.vendors.support.proof import AnyOf, Scheme
from relay.vendors.support.signatures import (
    Hmac,
    JwtChecksum,
)
from tests.unit.test_signatures import BODY, KEY, NOW, VENDORS, Request, b64url, jwt, signed

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
