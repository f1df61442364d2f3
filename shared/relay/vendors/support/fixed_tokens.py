"""Schemes that send a token: the same on every request, whatever its body and time."""

import base64
from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from relay.vendors.support.proof import (
    AnyOf,
    Credentials,
    Proof,
    Signature,
    SignedRequest,
    as_bytes,
    json_object,
    same,
    text_of,
)


class _Token(Proof):
    """A fixed token: the same on every request, whatever its body and time."""

    credentials: ClassVar[Credentials] = "tokens"

    def sign(self, body: bytes, secret: str, now: float) -> Signature:  # noqa: ARG002 - a token is fixed
        return self._sent(self._encoded(secret))

    def _proven(self, request: SignedRequest, secret: str, now: float) -> bool:  # noqa: ARG002 - likewise
        return same(self._given(request), self._encoded(secret))

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
        # The name of an authentication scheme has no case (RFC 9110, 11.1).
        return value[length:] if value[:length].lower() == self.prefix.lower() else ""


@dataclass(frozen=True)
class Basic(HeaderToken):
    """HTTP Basic authentication, RFC 7617; the secret is `user:password`, sent as UTF-8."""

    header: str = "authorization"
    prefix: str = "Basic "

    def _encoded(self, secret: str) -> str:
        # The known value is encoded, not the given one decoded: nothing of a stranger's can fail.
        return base64.b64encode(as_bytes(secret)).decode()


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
        return text_of((json_object(request.body) or {}).get(self.key))


BEARER, QUERY = HeaderToken("authorization", prefix="Bearer "), QueryToken()
_OTHERS = (Basic(), HeaderToken("authorization"), HeaderToken("x-api-key"))
TOKEN_IN_HEADER = AnyOf((BEARER, *_OTHERS, QUERY))
"""For a vendor that leaves it to the customer what it sends along: a token in one of the usual places."""
TOKEN_IN_URL = AnyOf((QUERY, BEARER, *_OTHERS))
"""The same for a vendor that can only call a URL, or whose headers nobody has seen."""
