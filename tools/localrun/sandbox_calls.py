"""The four calls of Calven's API that a relay makes, as the documentation describes them."""

import datetime as dt
import hashlib
import hmac
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from localrun import sandbox_rules as rules
from localrun.sandbox_state import Json, Known, Received, Role, Tokens

_REGIONS = ("usce1", "ause1")
_CLOCK_TOLERANCE = 300
_SUCCESS, _NO_USER, _NO_LOCATION = 0, 1, 2
_MESSAGES = {_SUCCESS: "Success", _NO_USER: "User not found", _NO_LOCATION: "Location not found"}


class Refused(Exception):
    """A request that is answered with this status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


@dataclass(frozen=True)
class Key:
    """An API key: its secret, and its role, which never changes."""

    key: str
    secret: str
    role: Role


def key_of(credentials: Mapping[str, str], role: Role) -> Key:
    """The key in a secret, `apiKey` and `apiSecret`."""
    return Key(credentials["apiKey"], credentials["apiSecret"], role)


class Calls:
    """Calven's side of the calls, for these API keys."""

    def __init__(
        self,
        keys: Iterable[Key],
        tokens: Tokens,
        known: Known,
        received: Received,
        now: Callable[[], float],
    ) -> None:
        self._keys = {key.key: key for key in keys}
        self._tokens, self._known, self._received, self._now = tokens, known, received, now
        self._by_path: dict[str, Callable[[Mapping[str, str], bytes, bool], Json]] = {
            "/v1/auth": self._hmac,
            "/v1/auth/token": self._client_credentials,
            "/v1/occupancy": self._occupancy,
            "/v1/timeoff": self._time_off,
        }

    def answer(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes, lose_last: bool
    ) -> Json:
        """The answer's body; raises `Refused` or `rules.Malformed`.

        With `lose_last` a submission's last event is neither taken nor in the results.
        """
        call = self._by_path.get(path)
        if call is None:
            raise Refused(404, "no such endpoint")
        if method != "POST":
            raise Refused(405, "POST only")
        return call(headers, body, lose_last)

    def _hmac(self, headers: Mapping[str, str], body: bytes, _: bool) -> Json:
        _require_headers(headers)
        claim = rules.parse(rules.Hmac, body)
        fresh = abs(self._now() - claim.timestamp) <= _CLOCK_TOLERANCE
        key = self._keys.get(claim.api_key)
        if not fresh or key is None or claim.hash != _hash(key, claim.timestamp):
            raise Refused(401, "authentication failed")
        expiration = int(self._now() + self._tokens.lifetime)
        answer = {"authenticated": True, "message": "Authentication successful"}
        return {**answer, "token": self._tokens.issue(key.role), "expiration": expiration}

    def _client_credentials(self, headers: Mapping[str, str], body: bytes, _: bool) -> Json:
        _require_headers(headers)
        claim = rules.parse(rules.ClientCredentials, body)
        key = self._keys.get(claim.client_id)
        if key is None or claim.client_secret != key.secret:
            raise Refused(401, "authentication failed")
        lifetime = int(self._tokens.lifetime)
        token = self._tokens.issue(key.role)
        return {"access_token": token, "expires_in": lifetime, "token_type": "Bearer"}

    def _occupancy(self, headers: Mapping[str, str], body: bytes, lose_last: bool) -> Json:
        self._require_token(headers)
        source_id = rules.parse(rules.Occupancy, body).source_id
        results = []
        for event in _events(body, "occupancyEvents", lose_last):
            code = _SUCCESS if self._known.has_location(event["locationId"]) else _NO_LOCATION
            if code == _SUCCESS:
                self._received.accept("/v1/occupancy", event, source_id)
                self._known.occupied(event)
            results.append(_result(event, code))
        return {"sourceId": source_id, "timestamp": self._timestamp(), "results": results}

    def _time_off(self, headers: Mapping[str, str], body: bytes, lose_last: bool) -> Json:
        self._require_token(headers)
        rules.parse(rules.TimeOff, body)
        results = []
        for event in _events(body, "timeOffEvents", lose_last):
            code = _SUCCESS if self._known.has_user(event) else _NO_USER
            if code == _SUCCESS:
                self._received.accept("/v1/timeoff", event, None)
                self._known.time_off(event)
            results.append(_result(event, code))
        return {"timestamp": self._timestamp(), "results": results}

    def _require_token(self, headers: Mapping[str, str]) -> None:
        require_role(self._tokens, headers, "submit")
        _require_headers(headers)

    def _timestamp(self) -> str:
        moment = dt.datetime.fromtimestamp(self._now(), dt.UTC)
        return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03}Z"


def require_role(tokens: Tokens, headers: Mapping[str, str], role: Role) -> None:
    """Raises `Refused` unless the request has a token of a key with that role."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    found = tokens.role(token) if scheme.lower() == "bearer" else None
    if found is None:
        raise Refused(401, "missing, unknown or expired token")
    if found != role:
        raise Refused(403, "the key's role does not allow this")


def _hash(key: Key, timestamp: int) -> str:
    """The hash that proves the key at that time."""
    message = f"{key.key}{timestamp}".encode()
    return hmac.new(key.secret.encode(), message, hashlib.sha256).hexdigest()


def _require_headers(headers: Mapping[str, str]) -> None:
    content_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type != "application/json":
        raise rules.Malformed(["content-type: application/json is required"])
    require_region(headers)


def require_region(headers: Mapping[str, str]) -> None:
    """Raises `Malformed` for a region that is none of Calven's."""
    if headers.get("x-calven-region", _REGIONS[0]) not in _REGIONS:
        raise rules.Malformed([f"x-calven-region: one of {', '.join(_REGIONS)}"])


def _events(body: bytes, name: str, lose_last: bool) -> list[Any]:
    """The events as they were sent."""
    events: list[Any] = json.loads(body)[name]
    return events[:-1] if lose_last else events


def _result(event: Json, code: int) -> Json:
    return {"eventId": event["eventId"], "resultCode": code, "message": _MESSAGES[code]}
