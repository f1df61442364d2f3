"""Schemes that sign the body: whoever changes a byte of it, or sends it late, has no proof."""

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Any, ClassVar, Literal

from relay.vendors.support.proof import (
    MAX_JSON_BYTES,
    Credentials,
    Proof,
    Signature,
    SignedRequest,
    as_bytes,
    json_object,
    same,
    text_of,
)

Clock = Literal["seconds", "milliseconds", "iso8601"]
"""How a time is written: Unix seconds, Unix milliseconds, or a date-time such as 2025-01-01T08:34:23Z."""

TOLERANCE_SECONDS = 300
"""How far a signed time may be from ours, before or after; exactly this far is still accepted."""

STALE = "the signed time is more than five minutes off"
# Not more: to make a number of thousands of digits takes long, and raises in the end.
_DIGITS = "[0-9]{1,13}"
_DATE_TIME = r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}(\.[0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})"
_JWT = r"([\w-]+\.([\w-]+))\.([\w-]+)"
_MAX_JWT_CHARACTERS = 8 * 1024


class Part(Enum):
    """What differs from one signed message to the next."""

    BODY = "body"
    TIMESTAMP = "timestamp"


@dataclass(frozen=True)
class Hmac(Proof):
    """An HMAC in a header, over the body alone or over the body and a time.

    `layout` is the signed message: its parts in order, and the bytes between them. `form` is the header's
    value around `{signature}`, and around `{timestamp}` where the time is in the same header;
    `timestamp_header` names the header of a time that has its own. A time that is signed must be fresh;
    `clock` is how it is written, and digits are Unix seconds under `iso8601` too. Hex is compared without
    regard to case, base64url with or without its padding. `or_compact_json` accepts the signature of the
    body's JSON without white space as well, for a vendor that serialises once to sign and once to send.
    """

    header: str
    algorithm: Literal["sha1", "sha256", "sha512"] = "sha256"
    encoding: Literal["hex", "base64", "base64url"] = "hex"
    layout: tuple[bytes | Part, ...] = (Part.BODY,)
    form: str = "{signature}"
    timestamp_header: str = ""
    clock: Clock = "seconds"
    or_compact_json: bool = False
    credentials: ClassVar[Credentials] = "signingSecrets"

    def sign(self, body: bytes, secret: str, now: float) -> Signature:
        """Adds the signature's header, and the time's where it has its own."""
        time = _written(now, self.clock)
        signature = self._signature(body, secret, time)
        headers = {self.header: self.form.format(signature=signature, timestamp=time)}
        return Signature(headers | ({self.timestamp_header: time} if self.timestamp_header else {}))

    def _proven(self, request: SignedRequest, secret: str, now: float) -> bool:
        time, given = self._read(request.headers)
        if Part.TIMESTAMP in self.layout and not _is_fresh(time, self.clock, now):
            return False
        compact = _compact_json(request.body) if self.or_compact_json else request.body
        # A set, as the two are mostly one: then one signature is made.
        return any(same(given, self._signature(body, secret, time)) for body in {request.body, compact})

    def failed_check(self, request: SignedRequest, now: float) -> str:
        """A time that is off comes before a signature that does not fit."""
        time, given = self._read(request.headers)
        if given and Part.TIMESTAMP in self.layout and not _is_fresh(time, self.clock, now):
            return STALE
        return super().failed_check(request, now)

    def _where(self) -> str:
        return self.header

    def _read(self, headers: Mapping[str, str]) -> tuple[str, str]:
        # All else in `form` stands for itself.
        pattern = re.escape(self.form).replace(r"\{signature\}", "(?P<signature>.+)")
        pattern = pattern.replace(r"\{timestamp\}", f"(?P<timestamp>{_DIGITS})")
        match = re.fullmatch(pattern, headers.get(self.header, ""))
        found = match.groupdict() if match else {}
        time = found.get("timestamp") or headers.get(self.timestamp_header, "")
        return time, self._canonical(found.get("signature", ""))

    def _canonical(self, signature: str) -> str:
        if self.encoding == "hex":
            return signature.lower()
        return signature + ("=" * (-len(signature) % 4) if self.encoding == "base64url" else "")

    def _signature(self, body: bytes, secret: str, time: str) -> str:
        values = {Part.BODY: body, Part.TIMESTAMP: as_bytes(time)}
        message = b"".join(values[part] if isinstance(part, Part) else part for part in self.layout)
        digest = hmac.digest(as_bytes(secret), message, self.algorithm)
        if self.encoding == "hex":
            return digest.hex()
        encode = base64.urlsafe_b64encode if self.encoding == "base64url" else base64.b64encode
        return encode(digest).decode()


@dataclass(frozen=True)
class StandardWebhooks(Proof):
    """Standard Webhooks: an id, a time and a list of `v1` signatures in three headers.

    The headers are `prefix` followed by `id_name`, `timestamp` and `signature`; Svix's are the same with
    another prefix. A secret is base64, with or without `whsec_` before it; one that is not proves nothing.
    https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
    """

    prefix: str = "webhook-"
    id_name: str = "id"
    credentials: ClassVar[Credentials] = "signingSecrets"

    def sign(self, body: bytes, secret: str, now: float) -> Signature:
        """Adds the three headers, the id made from the body. ValueError if the secret is not base64."""
        message_id, time = "msg_" + hashlib.sha256(body).hexdigest()[:24], _written(now, "seconds")
        if not (signature := self._signature(secret, message_id, time, body)):
            raise ValueError("a secret of Standard Webhooks is base64 after whsec_")
        values = {self.id_name: message_id, "timestamp": time, "signature": signature}
        return Signature({self.prefix + name: value for name, value in values.items()})

    def failed_check(self, request: SignedRequest, now: float) -> str:
        """A time that is off comes before a signature that does not fit."""
        time = request.headers.get(self.prefix + "timestamp", "")
        if self._carries_proof(request) and not _is_fresh(time, "seconds", now):
            return STALE
        return super().failed_check(request, now)

    def _where(self) -> str:
        return self.prefix + "signature"

    def _proven(self, request: SignedRequest, secret: str, now: float) -> bool:
        names = (self.id_name, "timestamp", "signature")
        message_id, time, given = (request.headers.get(self.prefix + name, "") for name in names)
        expected = self._signature(secret, message_id, time, request.body)
        if not (expected and message_id and _is_fresh(time, "seconds", now)):
            return False
        # While a vendor rotates its secret, it signs with the old one and with the new one.
        return any(same(one, expected) for one in given.split(" "))

    def _signature(self, secret: str, message_id: str, time: str, body: bytes) -> str:
        text = secret.removeprefix("whsec_")
        try:
            key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
        except ValueError:
            key = b""
        message = b".".join((as_bytes(message_id), as_bytes(time), body))
        # Anybody can sign with an empty key.
        return "v1," + base64.b64encode(hmac.digest(key, message, "sha256")).decode() if key else ""


@dataclass(frozen=True)
class JwtChecksum(Proof):
    """A JSON Web Token in a header that claims the body's checksum, as Disruptive Technologies sends it.

    The algorithm is HS256, whatever the token's own header says. `checksum_sha256` (hex) is preferred to
    `checksum`, which is SHA-1. `exp` must be there and ahead, `iat` at most TOLERANCE_SECONDS ahead.
    https://docs.developer.disruptive-technologies.com/data-connectors/receiving-events
    """

    header: str
    credentials: ClassVar[Credentials] = "signingSecrets"

    def sign(self, body: bytes, secret: str, now: float) -> Signature:
        """Adds a token that is good for an hour and claims both checksums."""
        times = {"iat": int(now), "exp": int(now) + 3600}
        sums = {"checksum": _sha1(body), "checksum_sha256": hashlib.sha256(body).hexdigest()}
        parts = ({"alg": "HS256", "typ": "JWT"}, times | sums)
        signed = ".".join(_base64url(json.dumps(part).encode()) for part in parts)
        return Signature({self.header: f"{signed}.{self._signature(signed, secret)}"})

    def _where(self) -> str:
        return self.header

    def _proven(self, request: SignedRequest, secret: str, now: float) -> bool:
        token = request.headers.get(self.header, "")
        match = re.fullmatch(_JWT, token, re.ASCII) if len(token) <= _MAX_JWT_CHARACTERS else None
        if match is None or not same(match[3], self._signature(match[1], secret)):
            return False
        # Nothing of a token is read before its signature fits.
        claims = self._claims(match[2])
        return self._in_time(claims, now) and self._sums_up(claims, request.body)

    def _signature(self, signed: str, secret: str) -> str:
        return _base64url(hmac.digest(as_bytes(secret), as_bytes(signed), "sha256"))

    def _claims(self, payload: str) -> dict[str, Any]:
        try:
            return json_object(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))) or {}
        except ValueError:
            return {}

    def _in_time(self, claims: Mapping[str, Any], now: float) -> bool:
        issued, expires = claims.get("iat", 0), claims.get("exp", 0)
        # `isinstance` would take True for a time.
        if not all(type(time) is int and 0 <= time < 10**13 for time in (issued, expires)):
            return False
        return bool(issued - TOLERANCE_SECONDS <= now < expires)

    def _sums_up(self, claims: Mapping[str, Any], body: bytes) -> bool:
        # Where there is a strong sum, a weak one beside it has no say.
        if "checksum_sha256" in claims:
            return same(text_of(claims["checksum_sha256"]).lower(), hashlib.sha256(body).hexdigest())
        return same(text_of(claims.get("checksum")).lower(), _sha1(body))


def _sha1(body: bytes) -> str:
    return hashlib.sha1(body).hexdigest()  # noqa: S324 - the vendor's choice, inside a token signed with HS256


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _written(now: float, clock: Clock) -> str:
    if clock == "iso8601":
        return datetime.fromtimestamp(int(now), UTC).isoformat().replace("+00:00", "Z")
    return str(int(now * 1000) if clock == "milliseconds" else int(now))


def _is_fresh(time: str, clock: Clock, now: float) -> bool:
    instant = _instant(time, clock)
    return instant is not None and abs(instant - now) <= TOLERANCE_SECONDS


def _instant(time: str, clock: Clock) -> float | None:
    if re.fullmatch(_DIGITS, time):
        return int(time) / (1000 if clock == "milliseconds" else 1)
    if clock != "iso8601" or not re.fullmatch(_DATE_TIME, time):
        return None
    try:
        return datetime.fromisoformat(time).timestamp()
    except ValueError:
        return None


def _compact_json(body: bytes) -> bytes:
    """The body as JSON without white space; as it is where it is too large or no JSON."""
    # It is read before anything is proven, so that its size must not matter.
    if len(body) > MAX_JSON_BYTES:
        return body
    try:
        return as_bytes(json.dumps(json.loads(body.decode()), separators=(",", ":"), ensure_ascii=False))
    except (ValueError, RecursionError):
        return body
