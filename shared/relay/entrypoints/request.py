"""An API Gateway event as a request, and a verified request as a webhook: two types, one way between them.

Only `verify` makes a `Webhook` of a `RawRequest`, and parsers take nothing else, so unverified bytes cannot
reach one. The event's form is the HTTP API's payload 2.0:
https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from relay.events import Webhook
from relay.vendors.support.base import Vendor
from relay.vendors.support.proof import Credentials

# In an envelope it is base64, a third larger, and an SQS message has 1 MiB.
MAX_BODY_BYTES = 256 * 1024
FRONT_DOOR = "x-front-door"
"""The header by which a CDN in front shows that a request came through it."""


class Unacceptable(Exception):
    """A request that is refused whatever its source: `status` and the text of the answer's `error`."""

    def __init__(self, status: int, error: str) -> None:
        super().__init__(error)
        self.status = status
        self.error = error


# Without a `repr`, as headers and query hold credentials.
@dataclass(frozen=True, slots=True, repr=False)
class RawRequest:
    """A request that anybody may have sent. `received_at` is the gateway's receipt time, Unix seconds."""

    method: str
    source: str
    body: bytes
    received_at: float
    topic: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)


def read(event: Mapping[str, Any]) -> RawRequest:
    """The request in an API Gateway event, its body decoded. Raises `Unacceptable` (400, 413 or 415)."""
    context = event["requestContext"]
    parameters = event.get("pathParameters") or {}
    headers = {name.lower(): value for name, value in (event.get("headers") or {}).items()}
    # Some bytes may unpack to any size, and nobody has proven them yet.
    if headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
        raise Unacceptable(415, "content encodings are not accepted")
    body = _body(event)
    if len(body) > MAX_BODY_BYTES:
        raise Unacceptable(413, f"the body is larger than {MAX_BODY_BYTES} bytes")
    return RawRequest(
        method=context["http"]["method"],
        source=parameters.get("source", ""),
        topic=parameters.get("topic"),
        headers=headers,
        query=event.get("queryStringParameters") or {},
        body=body,
        received_at=context["timeEpoch"] / 1000,
    )


def _body(event: Mapping[str, Any]) -> bytes:
    text = event.get("body") or ""
    if not event.get("isBase64Encoded"):
        return text.encode("utf-8", "surrogatepass")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Unacceptable(400, "the body is not base64") from None


def admit(request: RawRequest, sums: str) -> None:
    """Let through what came by the front door, if there is one. Raises `Unacceptable` (403).

    `sums` are the SHA-256 of the header's value, of the old one and the new one while it changes: the value
    itself is in no setting, and no secret has to be read for a stranger.
    """
    if not sums:
        return
    value = request.headers.get(FRONT_DOOR, "").encode("utf-8", "surrogatepass")
    shown = hashlib.sha256(value).hexdigest()
    if not any(hmac.compare_digest(shown, known) for known in sums.split(",")):
        raise Unacceptable(403, "not by this way")


def verify(
    request: RawRequest, vendor: Vendor, secrets: Mapping[Credentials, Sequence[str]], now: float
) -> Webhook | None:
    """The request as a webhook when one of its vendor's proofs holds, else None. Credentials stay behind.

    `secrets` are the source's, by list: each scheme is given its own list and no other.
    """
    if not any(scheme.verify(request, secrets.get(scheme.credentials, ()), now) for scheme in vendor.schemes):
        return None
    return Webhook(
        body=request.body,
        topic=request.topic,
        headers=vendor.keep(request.headers),
        received_at=request.received_at,
    )


def failed_check(request: RawRequest, vendor: Vendor, now: float) -> str:
    """Why no proof of its vendor holds, for an operator; nothing of the request or a secret is in it."""
    schemes = vendor.schemes or (vendor.scheme,)
    return "; ".join(dict.fromkeys(scheme.failed_check(request, now) for scheme in schemes))
