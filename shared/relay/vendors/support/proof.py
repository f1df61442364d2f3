"""How vendors prove that a webhook is theirs.

A scheme is a small frozen record: a vendor's module declares one, the pipeline calls `verify` before
anything reads the body, and `relayctl send` calls `sign` to make the same proof. Verifying has two outcomes
only: whatever arrives, it answers True or False and raises nothing. It works on the bytes as they arrived,
compares in constant time, and takes any of several secrets, so that an old and a new one can overlap.

`signatures` has the schemes that sign the body, `fixed_tokens` those that send a token with whatever body.
"""

import hmac
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol

Credentials = Literal["signingSecrets", "tokens"]
"""The list of a source's secret that a scheme takes: keys to sign with, or tokens sent as they are."""

NO_MATCH = "none of the source's secrets fits"
MAX_JSON_BYTES = 256 * 1024


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


class Proof(ABC):
    """What the schemes share: each secret is tried alone."""

    def verify(self, request: SignedRequest, secrets: Sequence[str], now: float) -> bool:
        """Whether one of the secrets proves the request."""
        return any(self._proven(request, secret, now) for secret in secrets if secret)

    def failed_check(self, request: SignedRequest, now: float) -> str:  # noqa: ARG002 - not every proof has a time
        """That there is no proof, or that none of the secrets fits it."""
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
class NoProof:
    """The scheme of a vendor that sends no webhooks: whoever posts one is somebody else."""

    credentials: ClassVar[Credentials] = "signingSecrets"

    def sign(self, body: bytes, secret: str, now: float) -> Signature:  # noqa: ARG002 - there is nothing to add
        """Adds nothing."""
        return Signature()

    def verify(self, request: SignedRequest, secrets: Sequence[str], now: float) -> bool:  # noqa: ARG002 - likewise
        """Nothing proves a request."""
        return False

    def failed_check(self, request: SignedRequest, now: float) -> str:  # noqa: ARG002 - likewise
        """That there can be no proof."""
        return "the vendor sends no webhooks"


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


def as_bytes(text: str) -> bytes:
    """UTF-8 of any str: JSON can put lone surrogates into headers, queries and secrets."""
    return text.encode("utf-8", "surrogatepass")


def same(given: str, expected: str) -> bool:
    """Whether two texts are equal, in a time that tells nothing of where they differ."""
    # Of texts it takes ASCII only, and raises for any other.
    return hmac.compare_digest(as_bytes(given), as_bytes(expected))


def text_of(value: object) -> str:
    """A value that is text; empty for any other."""
    return value if isinstance(value, str) else ""


def json_object(text: bytes) -> dict[str, Any] | None:
    """A JSON object; None where it is too large, or none."""
    if len(text) > MAX_JSON_BYTES:
        return None
    try:
        value = json.loads(text.decode())
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
