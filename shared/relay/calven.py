"""Calven's API: tokens, batches, and one result for every event.

Follows https://apidocs.calven.com. A token's `expiration` is in Unix seconds. At most 100 events go into a
request; a request that is refused whole is halved until the events at fault stand alone.
"""

import hashlib
import hmac
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ValidationError

from relay.aws.secrets import CalvenSecret, Secrets
from relay.deadline import Deadline
from relay.errors import SecretUnreadable
from relay.http import RETRIED_STATUSES, Answer, Http, NoAnswer

if TYPE_CHECKING:
    from relay.deadline import Clock

MAX_EVENTS = 100
RENEW_BEFORE_SECONDS = 60.0
GATEWAY_STATUSES = frozenset({502, 504, 520, 521, 522, 523, 524})
"""Answers of something in front of Calven, which itself may have taken the request."""
OPERATORS_STATUSES = frozenset({401, 403, 404})
RESULT_REASONS = {1: "unknown_user", 2: "unknown_location"}

Observe = Callable[[int, float], None]
Endpoint = Literal["/v1/occupancy", "/v1/timeoff"]


class CalvenError(Exception):
    """A request that Calven did not answer with results. The message is the envelope's detail."""


class Transient(CalvenError):
    """Try again later: time-out, broken connection, 408, 425, 429, 5xx, unreadable 200.

    `retry_after` is Calven's own wait in seconds; `uncertain` tells whether Calven may yet take the request,
    which was given up; `status` is that of the answer, if there was one.
    """

    reason = "calven_unavailable"

    def __init__(
        self,
        detail: str,
        *,
        retry_after: float | None = None,
        uncertain: bool = False,
        status: int | None = None,
    ) -> None:
        super().__init__(detail)
        self.retry_after = retry_after
        self.uncertain = uncertain
        self.status = status


class Misconfigured(Transient):
    """The operator has to mend the key, its role or the base URL; until then the events wait."""

    reason = "calven_configuration"


class Refused(CalvenError):
    """Calven refused the request as a whole: something in it is malformed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CalvenEvent:
    """One event to send. `not_after` (Unix seconds) is when its sender's lease on the subject runs out."""

    endpoint: Endpoint
    event_id: str
    payload: Mapping[str, Any]
    source_id: str | None = None
    not_after: float = float("inf")


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What became of one event: `accepted`, `refused` for good, or `waiting` for another attempt."""

    status: Literal["accepted", "refused", "waiting"]
    reason: str = ""
    detail: str = ""
    retry_after: float | None = None
    uncertain: bool = False


class _Token(BaseModel):
    token: str
    expiration: float


class _OAuthToken(BaseModel):
    access_token: str
    expires_in: float


class _EventResult(BaseModel):
    eventId: str  # noqa: N815 - Calven's name
    resultCode: int  # noqa: N815 - Calven's name
    message: str | None = ""


class _Results(BaseModel):
    results: list[_EventResult] = []


class _Asking(threading.local):
    """For whom this thread is asking."""

    correlation_id = ""
    observe: Observe = staticmethod(lambda _status, _milliseconds: None)


_asking = _Asking()


class Calven:
    """One client a container. Threads may share it: they get one token between them."""

    def __init__(self, base_url: str, secrets: Secrets, http: Http, clock: "Clock" = time.time) -> None:
        self._base_url = base_url.rstrip("/")
        self._secrets = secrets
        self._http = http
        self._clock = clock
        self._token: tuple[str, float] = ("", 0.0)
        self._token_lock = threading.Lock()

    def submit(
        self,
        submissions: Sequence[CalvenEvent],
        deadline: Deadline,
        *,
        call_seconds: float | None = None,
        correlation_id: str = "",
        observe: Observe = lambda _status, _milliseconds: None,
    ) -> dict[str, Result]:
        """Send every event, in as few requests as possible; a result for each `eventId`, raising nothing.

        The first request that fails as a whole ends it: all events not sent by then are `waiting`. Each call
        gets what is left of the deadline, and at most `call_seconds`. `observe` is told each request's status
        (0 without an answer) and milliseconds, the token's included.
        """
        _asking.correlation_id, _asking.observe = correlation_id, observe
        results: dict[str, Result] = {}
        queue = list(_requests(submissions))
        while queue:
            batch = queue.pop(0)
            limit = deadline if call_seconds is None else deadline.at_most(call_seconds)
            try:
                results |= self._send(batch, limit)
            except Refused as error:
                if len(batch) == 1:
                    results[batch[0].event_id] = Result(
                        status="refused", reason="rejected", detail=str(error)
                    )
                else:
                    half = len(batch) // 2
                    queue[:0] = [batch[:half], batch[half:]]
            except Transient as error:
                waiting = _waiting(error)
                results |= {s.event_id: waiting for s in batch}
                untried = Result(status="waiting", reason=error.reason, retry_after=error.retry_after)
                results |= {s.event_id: untried for rest in queue for s in rest}
                break
        return results

    def authenticate(self, deadline: Deadline) -> None:
        """Ask for a new token, to see whether Calven gives one. Raises `Transient` or `Misconfigured`."""
        self._new_token(deadline)

    def _send(self, batch: Sequence[CalvenEvent], deadline: Deadline) -> dict[str, Result]:
        """One request for events of one endpoint and source. Raises `Transient` or `Refused`."""
        if min(s.not_after for s in batch) < self._clock() + max(deadline.left(), 0):
            deadline = deadline.at_most(min(s.not_after for s in batch) - self._clock())
        events = [s.payload for s in batch]
        if batch[0].endpoint == "/v1/timeoff":
            body: Mapping[str, Any] = {"timeOffEvents": events}
        else:
            body = {"sourceId": batch[0].source_id, "occupancyEvents": events}
        answer = self._authorized(batch[0].endpoint, body, deadline)
        found = {result.eventId: result for result in _results(answer)}
        return {s.event_id: _result(found.get(s.event_id)) for s in batch}

    def _authorized(self, path: str, body: Mapping[str, Any], deadline: Deadline) -> Answer:
        """The 2xx answer to a request with a token, which one 401 renews."""
        token = self._valid_token(deadline)
        answer = self._post(path, body, deadline, token)
        if answer.status == 401:
            token = self._valid_token(deadline, refused=token)
            answer = self._post(path, body, deadline, token)
        self._raise_for_status(answer, "")
        return answer

    def _valid_token(self, deadline: Deadline, refused: str = "") -> str:
        """The cached token, or a new one where it is about to expire or is the one just refused."""
        if not self._token_lock.acquire(timeout=max(deadline.left(), 0)):
            raise Transient("no token in time")
        try:
            token, expires_at = self._token
            if token == refused or expires_at - RENEW_BEFORE_SECONDS <= self._clock():
                self._token = token, expires_at = self._new_token(deadline)
            return token
        finally:
            self._token_lock.release()

    def _new_token(self, deadline: Deadline) -> tuple[str, float]:
        secret = self._secret()
        path, body = self._credentials(secret)
        try:
            answer = self._post(path, body, deadline)
        except Transient as error:
            raise Transient(str(error)) from None
        if answer.status in (400, 401):
            self._secrets.forget("calven")
            detail = f"Calven refuses the API key: {path} answered {answer.status}"
            raise Misconfigured(detail, status=answer.status)
        try:
            self._raise_for_status(answer, f"{path} ")
        except Refused as error:
            raise Misconfigured(str(error), status=answer.status) from None
        except Transient as error:
            raise type(error)(str(error), retry_after=error.retry_after, status=answer.status) from None
        try:
            if secret.auth == "hmac":
                issued = _Token.model_validate_json(answer.body)
                return issued.token, issued.expiration
            granted = _OAuthToken.model_validate_json(answer.body)
        except ValidationError:
            raise Transient(f"{path} answered no token") from None
        return granted.access_token, self._clock() + granted.expires_in

    def _secret(self) -> CalvenSecret:
        try:
            return self._secrets.calven()
        except SecretUnreadable as error:
            raise Misconfigured(str(error)) from None

    def _credentials(self, secret: CalvenSecret) -> tuple[str, Mapping[str, Any]]:
        key = secret.api_secret.get_secret_value()
        if secret.auth == "client_credentials":
            return "/v1/auth/token", {"client_id": secret.api_key, "client_secret": key}
        timestamp = int(self._clock())
        signed = hmac.new(key.encode(), f"{secret.api_key}{timestamp}".encode(), hashlib.sha256)
        return "/v1/auth", {"apiKey": secret.api_key, "timestamp": timestamp, "hash": signed.hexdigest()}

    def _post(self, path: str, body: Mapping[str, Any], deadline: Deadline, token: str = "") -> Answer:
        headers: dict[str, str] = {"x-calven-region": self._secret().region}
        if token:
            headers["authorization"] = f"Bearer {token}"
        if _asking.correlation_id:
            headers["correlationId"] = _asking.correlation_id
        began, status = time.monotonic(), 0
        try:
            answer = self._http.request("POST", self._base_url + path, headers, deadline, json=body)
            status = answer.status
            return answer
        except NoAnswer as error:
            raise Transient(f"no answer from Calven: {error}", uncertain=error.sent) from None
        finally:
            _asking.observe(status, (time.monotonic() - began) * 1000)

    def _raise_for_status(self, answer: Answer, what: str) -> None:
        status = answer.status
        if 200 <= status < 300:
            return
        detail = f"Calven answered {what}{status}"
        if status in RETRIED_STATUSES or status >= 500:
            late = status in GATEWAY_STATUSES
            raise Transient(detail, retry_after=answer.retry_after(self._clock()), uncertain=late)
        if status in OPERATORS_STATUSES or not 400 <= status < 500:
            raise Misconfigured(detail)
        raise Refused(detail)


def _requests(submissions: Sequence[CalvenEvent]) -> Iterator[list[CalvenEvent]]:
    """The events by endpoint and source, no `eventId` twice, at most 100 together."""
    groups: dict[tuple[str, str | None], dict[str, CalvenEvent]] = {}
    for submission in submissions:
        group = groups.setdefault((submission.endpoint, submission.source_id), {})
        group[submission.event_id] = submission
    for group in groups.values():
        events = list(group.values())
        yield from (events[start : start + MAX_EVENTS] for start in range(0, len(events), MAX_EVENTS))


def _results(answer: Answer) -> Sequence[_EventResult]:
    try:
        return _Results.model_validate_json(answer.body).results
    except ValidationError:
        raise Transient("Calven's answer is unreadable") from None


def _result(found: _EventResult | None) -> Result:
    if found is None:
        return Result(status="waiting", reason="calven_unavailable", detail="no result for the event")
    if found.resultCode == 0:
        return Result(status="accepted")
    reason = RESULT_REASONS.get(found.resultCode, "rejected")
    return Result(status="refused", reason=reason, detail=f"code {found.resultCode}: {found.message or ''}")


def _waiting(error: Transient) -> Result:
    return Result(
        status="waiting",
        reason=error.reason,
        detail=str(error),
        retry_after=error.retry_after,
        uncertain=error.uncertain,
    )
