"""Signatures: what a vendor sent is proven, and nothing else is, whatever arrives."""

import base64
import hmac
import itertools
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from relay.vendors.support.fixed_tokens import Basic, BodyToken, HeaderToken, QueryToken
from relay.vendors.support.proof import AnyOf, Scheme, Signature
from relay.vendors.support.signatures import (
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


def each(accepted: Callable[[Scheme], bool]) -> pytest.MarkDecorator:
    """Each different scheme that is accepted, under the name of its first vendor."""
    names = {scheme: vendor for vendor, scheme in reversed(VENDORS.items()) if accepted(scheme)}
    return pytest.mark.parametrize("scheme", [pytest.param(one, id=name) for one, name in names.items()])


every_scheme = each(lambda scheme: True)
every_signature = each(signs_the_body)
few = many(25)


def signed(scheme: Scheme, body: bytes = BODY, secret: str = KEY, now: float = NOW) -> Request:
    """A request as the vendor would send it."""
    added = scheme.sign(body, secret, now)
    return Request(body, added.headers, added.query)


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
