"""An API Gateway event becomes a request, and only a proven request becomes a webhook."""

import base64
import hashlib
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay import vendors
from relay.entrypoints.request import (
    FRONT_DOOR,
    MAX_BODY_BYTES,
    RawRequest,
    Unacceptable,
    admit,
    read,
    verify,
)
from relay.vendors.support.base import Vendor
from relay.vendors.support.fixed_tokens import HeaderToken, QueryToken
from relay.vendors.support.proof import Credentials
from relay.vendors.support.signatures import Hmac
from tests.rig import NOON


def event(body: bytes | str | None = b"{}", **changes: Any) -> dict[str, Any]:
    """An event of the HTTP API's payload 2.0, with nothing that it may leave out; bytes go in base64."""
    context = {"http": {"method": "POST"}, "timeEpoch": NOON * 1000 + 250}
    found: dict[str, Any] = {"requestContext": context, "isBase64Encoded": isinstance(body, bytes)}
    if body is not None:
        found["body"] = base64.b64encode(body).decode() if isinstance(body, bytes) else body
    return {**found, **changes}


def test_request() -> None:
    """A request has the gateway's time in seconds, lower-cased headers, and what the route matched."""
    whole = event(
        b"\xff\x00",
        headers={"X-Signature": "s", "Content-Type": "application/json"},
        pathParameters={"source": "hibob", "topic": "approve"},
        queryStringParameters={"token": "t"},
    )
    assert read(whole) == RawRequest(
        method="POST",
        source="hibob",
        topic="approve",
        body=b"\xff\x00",
        received_at=NOON + 0.25,
        headers={"x-signature": "s", "content-type": "application/json"},
        query={"token": "t"},
    )


@pytest.mark.parametrize(
    "absent", [{}, dict.fromkeys(("headers", "pathParameters", "queryStringParameters"))]
)
def test_least_request(absent: dict[str, None]) -> None:
    """All that an event may leave out, or have as null, may be missing."""
    for body in (None, ""):
        found = read(event(body, **absent))
        assert (found.source, found.topic, found.body) == ("", None, b"")
        assert (found.headers, found.query) == ({}, {})


def test_get() -> None:
    """A handshake's method is told."""
    handshake = event(None)
    handshake["requestContext"]["http"]["method"] = "GET"
    assert read(handshake).method == "GET"


@given(st.binary(max_size=200))
def test_base64_body(body: bytes) -> None:
    """A body in base64 comes out as the bytes that were sent."""
    assert read(event(body)).body == body


@given(st.text(max_size=200))
def test_text_body(body: str) -> None:
    """A body that the gateway passed on as text comes out as UTF-8, and no text breaks it."""
    assert read(event(body)).body == body.encode("utf-8", "surrogatepass")


@pytest.mark.parametrize("body", ["a", "ab=c", "e30", "e30=\n", "e3 0=", "\u00e9\u00e9\u00e9\u00e9", "-_8="])
def test_malformed_base64(body: str) -> None:
    """A body that should be base64 and is not is 400."""
    with pytest.raises(Unacceptable) as refused:
        read(event(body, isBase64Encoded=True))
    assert (refused.value.status, refused.value.error) == (400, "the body is not base64")


@pytest.mark.parametrize("as_text", [True, False])
def test_largest_body(as_text: bool) -> None:
    """A body has up to 256 KiB once it is decoded; a larger one is 413."""

    def sized(size: int) -> dict[str, Any]:
        return event("x" * size if as_text else b"x" * size)

    assert len(read(sized(MAX_BODY_BYTES)).body) == MAX_BODY_BYTES == 262144
    with pytest.raises(Unacceptable) as refused:
        read(sized(MAX_BODY_BYTES + 1))
    assert refused.value.status == 413


def test_size_is_in_bytes() -> None:
    """The size of a body is that of its bytes, not of its characters."""
    with pytest.raises(Unacceptable, match="larger"):
        read(event("\u00e9" * (MAX_BODY_BYTES // 2 + 1)))


@pytest.mark.parametrize("encoding", ["gzip", "GZIP", "br", "deflate", "identity, gzip", "x"])
@pytest.mark.parametrize("name", ["content-encoding", "Content-Encoding"])
def test_content_encoding(name: str, encoding: str) -> None:
    """A body in a content encoding is 415, whatever its size."""
    with pytest.raises(Unacceptable) as refused:
        read(event(b"x" * (MAX_BODY_BYTES + 1), headers={name: encoding}))
    assert refused.value.status == 415


def sum_of(value: str) -> str:
    """The SHA-256 of a header's value, as the stack's parameter has it."""
    return hashlib.sha256(value.encode()).hexdigest()


@pytest.mark.parametrize("shown", ["old value", "new value"])
def test_front_door(shown: str) -> None:
    """What comes through the CDN in front is let in, with the old value and the new one while it changes."""
    admit(read(event(headers={"X-Front-Door": shown})), f"{sum_of('old value')},{sum_of('new value')}")


@pytest.mark.parametrize(
    "headers", [{}, {FRONT_DOOR: ""}, {FRONT_DOOR: sum_of("value")}, {FRONT_DOOR: "\ud800"}]
)
def test_not_by_the_front_door(headers: dict[str, str]) -> None:
    """What comes by another way is 403; who knows the stack's parameter does not know the value."""
    with pytest.raises(Unacceptable) as refused:
        admit(read(event(headers=headers)), sum_of("value"))
    assert refused.value.status == 403


def test_no_front_door() -> None:
    """A relay that nothing stands in front of lets every request in."""
    admit(read(event()), "")


@pytest.mark.parametrize("encoding", ["identity", " Identity ", ""])
def test_no_content_encoding(encoding: str) -> None:
    """A body that says that it is in no encoding is accepted."""
    assert read(event(headers={"Content-Encoding": encoding})).body == b"{}"


def signed(scheme: Hmac | HeaderToken | QueryToken, secret: str) -> RawRequest:
    """A request that a vendor has signed, beside headers of its own."""
    signature = scheme.sign(b"{}", secret, NOON)
    headers = {"content-type": "application/json", "x-other": "kept back", **signature.headers}
    return RawRequest(
        method="POST",
        source="kisi",
        topic="approve",
        body=b"{}",
        received_at=NOON,
        headers=headers,
        query=signature.query,
    )


def vendor(scheme: Hmac | HeaderToken | QueryToken) -> Vendor:
    """A vendor that signs like this, and whose parser needs one header."""
    kept = "content-type"
    return replace(vendors.load("kisi"), scheme=scheme, keep=lambda headers: {kept: headers[kept]})


@pytest.mark.parametrize("scheme", [Hmac("x-signature"), HeaderToken("authorization"), QueryToken()])
def test_verified(scheme: Hmac | HeaderToken | QueryToken) -> None:
    """A proven request becomes a webhook, without the headers that carried the proof."""
    webhook = verify(
        signed(scheme, "s3cret"), vendor(scheme), {scheme.credentials: ["other", "s3cret"]}, NOON
    )
    assert webhook is not None
    assert (webhook.body, webhook.topic, webhook.received_at) == (b"{}", "approve", NOON)
    assert webhook.headers == {"content-type": "application/json"}
    assert "s3cret" not in repr(webhook)


@pytest.mark.parametrize("scheme", [Hmac("x-signature"), HeaderToken("authorization"), QueryToken()])
@pytest.mark.parametrize("secrets", [["other"], [], [""]])
def test_not_verified(scheme: Hmac | HeaderToken | QueryToken, secrets: list[str]) -> None:
    """A request that no secret proves becomes nothing."""
    assert verify(signed(scheme, "s3cret"), vendor(scheme), {scheme.credentials: secrets}, NOON) is None


LISTS = ("signingSecrets", "tokens")
values = st.lists(st.sampled_from(("", "one", "two", "three")), max_size=3)


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(LISTS, values)), st.sampled_from(("one", "two", "")))
def test_each_proof_has_its_own_list(secrets: dict[Credentials, list[str]], used: str) -> None:
    """Of a vendor with two proofs each is taken with its own list's values, and with the other's never."""
    signature, token = Hmac("x-signature"), HeaderToken("authorization")
    both = replace(vendor(signature), second_scheme=token)
    for scheme in (signature, token):
        proven = used != "" and used in secrets.get(scheme.credentials, ())
        assert (verify(signed(scheme, used), both, secrets, NOON) is not None) is proven
        alone = replace(both, scheme=scheme, second_scheme=None)
        assert (verify(signed(scheme, used), alone, secrets, NOON) is not None) is proven


def test_repr() -> None:
    """A request that may carry credentials shows none of them."""
    request = signed(QueryToken(), "s3cret")
    assert "s3cret" in request.query.values()
    assert "s3cret" not in f"{request!r} {request}"
