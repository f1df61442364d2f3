"""How vendors prove that a webhook is theirs, and how each proof is checked.

A scheme is a small frozen record: a vendor's module declares one, the pipeline calls `verify` before
anything reads the body, and `relayctl send` calls `sign` to make the same proof. Verifying has two outcomes
only: whatever arrives, it answers True or False and raises nothing. It works on the bytes as they arrived,
compares in constant time, and takes any of several secrets, so that an old and a new one can overlap.
"""

import base64
import hashlib
import hmac
import json
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from typing import Any, ClassVar, Literal, Protocol

Credentials = Literal["signingSecrets", "tokens"]
"""The list of a source's secret that a scheme takes: keys to sign with, or tokens sent as they are."""

Clock = Literal["seconds", "milliseconds", "iso8601"]
"""How a time is written: Unix seconds, Unix milliseconds, or a date-time such as 2025-01-01T08:34:23Z."""

TOLERANCE_SECONDS = 300
"""How far a signed time may be from ours, before or after; exactly this far is still accepted."""

NO_MATCH = "none of the source's secrets fits"
STALE = "the signed time is more than five minutes off"
_DIGITS = "[0-9]{1,13}"
_DATE_TIME = r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}(\.[0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})"
_JWT = r"([\w-]+\.([\w-]+))\.([\w-]+)"
_MAX_JWT_CHARACTERS = 8 * 1024
_MAX_JSON_BYTES = 256 * 1024


class SignedRequest(Protocol):
    """What a verifier looks at."""

    @property
    def body(self) -> bytes:
        """The bytes as they arrived."""

    @property
    def headers(self) -> Mapping[str, str]:
        """By lower-case name."""

    @property
    def query(self) -> Mapping[str, str]:
        """Parameters of the URL."""


@dataclass(frozen=True)
class Signature:
    """What signing adds to a request. Its values are credentials, so its `repr` shows none."""

    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    query: Mapping[str, str] = field(default_factory=dict, repr=False)


class Scheme(Protocol):
    """One way to prove where a webhook comes from. `now` is Unix seconds, names of headers are lower-case."""

    @property
    def credentials(self) -> Credentials:
        """Which list of the source's secret `verify` takes."""

    def sign(self, body: bytes, secret: str, now: float) -> Signature:
        """What a vendor that holds this secret adds to a request with this body."""

    def verify(self, request: SignedRequest, secrets: Sequence[str], now: float) -> bool:
        """Whether one of the secrets proves the request. An empty secret proves nothing. Raises nothing."""

    def failed_check(self, request: SignedRequest, now: float) -> str:
        """Which check a request that is not proven has failed, for the log: it names no value."""


class Part(Enum):
    """What differs from one signed message to the next."""

    BODY = "body"
    TIMESTAMP = "timestamp"


class _Proof(ABC):
    """What the schemes share: each secret is tried alone."""

    def verify(self, request: SignedRequest, secrets: Sequence[str], now: float) -> bool:
        return any(self._proven(request, secret, now) for secret in secrets if secret)

    def failed_check(self, request: SignedRequest, now: float) -> str:  # noqa: ARG002 - not every proof has a time
        return NO_MATCH if self._carries_proof(request) else f"no {self._where()}"

    def _carries_proof(self, request: SignedRequest) -> bool:
        return self._where() in request.headers

    @abstractmethod
    def _where(self) -> str:
        """The header that carries the proof."""

    @abstractmethod
    def _proven(self, request: SignedRequest, secret: str, now: float) -> bool:
        """Whether this secret, which is not empty, proves the request."""


@dataclass(frozen=True)
class Hmac(_Proof):
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
        return any(_same(given, self._signature(body, secret, time)) for body in {request.body, compact})

    def failed_check(self, request: SignedRequest, now: float) -> str:
        """A time that is off comes before a signature that does not fit."""
        time, given = self._read(request.headers)
        if given and Part.TIMESTAMP in self.layout and not _is_fresh(time, self.clock, now):
            return STALE
        return super().failed_check(request, now)

    def _where(self) -> str:
        return self.header

    def _read(self, headers: Mapping[str, str]) -> tuple[str, str]:
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
        values = {Part.BODY: body, Part.TIMESTAMP: _bytes(time)}
        message = b"".join(values[part] if isinstance(part, Part) else part for part in self.layout)
        digest = hmac.digest(_bytes(secret), message, self.algorithm)
        if self.encoding == "hex":
            return digest.hex()
        encode = base64.urlsafe_b64encode if self.encoding == "base64url" else base64.b64encode
        return encode(digest).decode()


@dataclass(frozen=True)
class StandardWebhooks(_Proof):
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
        return any(_same(one, expected) for one in given.split(" "))

    def _signature(self, secret: str, message_id: str, time: str, body: bytes) -> str:
        text = secret.removeprefix("whsec_")
        try:
            key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
        except ValueError:
            key = b""
        message = b".".join((_bytes(message_id), _bytes(time), body))
        return "v1," + base64.b64encode(hmac.digest(key, message, "sha256")).decode() if key else ""


@dataclass(frozen=True)
class JwtChecksum(_Proof):
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
        if match is None or not _same(match[3], self._signature(match[1], secret)):
            return False
        claims = self._claims(match[2])
        return self._in_time(claims, now) and self._sums_up(claims, request.body)

    def _signature(self, signed: str, secret: str) -> str:
        return _base64url(hmac.digest(_bytes(secret), _bytes(signed), "sha256"))

    def _claims(self, payload: str) -> dict[str, Any]:
        try:
            return _json_object(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))) or {}
        except ValueError:
            return {}

    def _in_time(self, claims: Mapping[str, Any], now: float) -> bool:
        issued, expires = claims.get("iat", 0), claims.get("exp", 0)
        if not all(type(time) is int and 0 <= time < 10**13 for time in (issued, expires)):
            return False
        return bool(issued - TOLERANCE_SECONDS <= now < expires)

    def _sums_up(self, claims: Mapping[str, Any], body: bytes) -> bool:
        if "checksum_sha256" in claims:
            return _same(_text(claims["checksum_sha256"]).lower(), hashlib.sha256(body).hexdigest())
        return _same(_text(claims.get("checksum")).lower(), _sha1(body))


class _Token(_Proof):
    """A fixed token: the same on every request, whatever its body and time."""

    credentials: ClassVar[Credentials] = "tokens"

    def sign(self, body: bytes, secret: str, now: float) -> Signature:  # noqa: ARG002 - a token is fixed
        return self._sent(self._encoded(secret))

    def _proven(self, request: SignedRequest, secret: str, now: float) -> bool:  # noqa: ARG002 - likewise
        return _same(self._given(request), self._encoded(secret))

    def _encoded(self, secret: str) -> str:
        return secret

    def _carries_proof(self, request: SignedRequest) -> bool:
        return self._given(request) != ""

    @abstractmethod
    def _sent(self, token: str) -> Signature:
        """What adds this token to a request."""

    @abstractmethod
    def _given(self, request: SignedRequest) -> str:
        """The token that the request carries; empty where it has none."""


@dataclass(frozen=True)
class HeaderToken(_Token):
    """A token in a header, verbatim after `prefix`, such as `Bearer ` (in any case)."""

    header: str
    prefix: str = ""

    def _where(self) -> str:
        return f"token in {self.header}"

    def _sent(self, token: str) -> Signature:
        return Signature({self.header: self.prefix + token})

    def _given(self, request: SignedRequest) -> str:
        value, length = request.headers.get(self.header, ""), len(self.prefix)
        return value[length:] if value[:length].lower() == self.prefix.lower() else ""


@dataclass(frozen=True)
class Basic(HeaderToken):
    """HTTP Basic authentication, RFC 7617; the secret is `user:password`, sent as UTF-8."""

    header: str = "authorization"
    prefix: str = "Basic "

    def _encoded(self, secret: str) -> str:
        return base64.b64encode(_bytes(secret)).decode()


@dataclass(frozen=True)
class QueryToken(_Token):
    """A token in the query, for vendors that can call a URL and no more."""

    parameter: str = "token"

    def _where(self) -> str:
        return f"?{self.parameter}= in the URL"

    def _sent(self, token: str) -> Signature:
        return Signature(query={self.parameter: token})

    def _given(self, request: SignedRequest) -> str:
        return request.query.get(self.parameter, "")


@dataclass(frozen=True)
class BodyToken(_Token):
    """A token under a key of the JSON body, as Cisco Meraki sends `sharedSecret`.

    The body holds it before it is signed, so signing adds nothing; and a body that is stored holds it still.
    https://developer.cisco.com/meraki/webhooks/introduction
    """

    key: str

    def _where(self) -> str:
        return f"{self.key} in the body"

    def _sent(self, token: str) -> Signature:  # noqa: ARG002 - it is in the body
        return Signature()

    def _given(self, request: SignedRequest) -> str:
        return _text((_json_object(request.body) or {}).get(self.key))


@dataclass(frozen=True)
class AnyOf:
    """Any of several schemes, where a vendor leaves the choice to its customer.

    They take their secrets from one list: ValueError if not.
    """

    schemes: tuple[Scheme, ...]

    def __post_init__(self) -> None:
        if len({scheme.credentials for scheme in self.schemes}) != 1:
            raise ValueError("the schemes of AnyOf take their secrets from one list")

    @property
    def credentials(self) -> Credentials:
        """The list that all of them take."""
        return self.schemes[0].credentials

    def sign(self, body: bytes, secret: str, now: float) -> Signature:
        """Signs with the first."""
        return self.schemes[0].sign(body, secret, now)

    def verify(self, request: SignedRequest, secrets: Sequence[str], now: float) -> bool:
        """Whether one of the secrets proves the request under one of the schemes."""
        return any(scheme.verify(request, secrets, now) for scheme in self.schemes)

    def failed_check(self, request: SignedRequest, now: float) -> str:
        """What failed in the first that the request carries anything for; else that of the first."""
        checks = [scheme.failed_check(request, now) for scheme in self.schemes]
        return next((check for check in checks if not check.startswith("no ")), checks[0])


def _bytes(text: str) -> bytes:
    """UTF-8 of any str: JSON can put lone surrogates into headers, queries and secrets."""
    return text.encode("utf-8", "surrogatepass")


def _same(given: str, expected: str) -> bool:
    return hmac.compare_digest(_bytes(given), _bytes(expected))


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


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


def _json_object(text: bytes) -> dict[str, Any] | None:
    if len(text) > _MAX_JSON_BYTES:
        return None
    try:
        value = json.loads(text.decode())
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _compact_json(body: bytes) -> bytes:
    """The body as JSON without white space; as it is where it is too large or no JSON."""
    if len(body) > _MAX_JSON_BYTES:
        return body
    try:
        return _bytes(json.dumps(json.loads(body.decode()), separators=(",", ":"), ensure_ascii=False))
    except (ValueError, RecursionError):
        return body
