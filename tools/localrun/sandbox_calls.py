"""The four calls of Calven's API that a relay makes, as the documentation describes them."""

import datetime as dt
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from typing import Any

from localrun import sandbox_rules as rules
from localrun.sandbox_state import Json, Known, Received, Tokens

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


class Calls:
    """Calven's side of the calls, for one API key."""

    def __init__(
        self,
        credentials: Mapping[str, str],
        tokens: Tokens,
        known: Known,
        received: Received,
        now: Callable[[], float],
    ) -> None:
        self._key, self._secret = credentials["apiKey"], credentials["apiSecret"]
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
        message = f"{claim.api_key}{claim.timestamp}".encode()
        expected = hmac.new(self._secret.encode(), message, hashlib.sha256).hexdigest()
        fresh = abs(self._now() - claim.timestamp) <= _CLOCK_TOLERANCE
        if not fresh or (claim.api_key, claim.hash) != (self._key, expected):
            raise Refused(401, "authentication failed")
        expiration = int(self._now() + self._tokens.lifetime)
        answer = {"authenticated": True, "message": "Authentication successful"}
        return {**answer, "token": self._tokens.issue(), "expiration": expiration}

    def _client_credentials(self, headers: Mapping[str, str], body: bytes, _: bool) -> Json:
        _require_headers(headers)
        claim = rules.parse(rules.ClientCredentials, body)
        if (claim.client_id, claim.client_secret) != (self._key, self._secret):
            raise Refused(401, "authentication failed")
        lifetime = int(self._tokens.lifetime)
        return {"access_token": self._tokens.issue(), "expires_in": lifetime, "token_type": "Bearer"}

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
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not self._tokens.valid(token):
            raise Refused(401, "missing, unknown or expired token")
        _require_headers(headers)

    def _timestamp(self) -> str:
        moment = dt.datetime.fromtimestamp(self._now(), dt.UTC)
        return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03}Z"


def _require_headers(headers: Mapping[str, str]) -> None:
    content_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type != "application/json":
        raise rules.Malformed(["content-type: application/json is required"])
    if headers.get("x-calven-region", _REGIONS[0]) not in _REGIONS:
        raise rules.Malformed([f"x-calven-region: one of {', '.join(_REGIONS)}"])


def _events(body: bytes, name: str, lose_last: bool) -> list[Any]:
    """The events as they were sent."""
    events: list[Any] = json.loads(body)[name]
    return events[:-1] if lose_last else events


def _result(event: Json, code: int) -> Json:
    return {"eventId": event["eventId"], "resultCode": code, "message": _MESSAGES[code]}
