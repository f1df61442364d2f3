"""Calven's API: tokens, batches, and one result for every event.

Follows https://apidocs.calven.com. A token's `expiration` is in Unix seconds. At most 100 events go into a
request; a request that is refused whole is halved until the events at fault stand alone.
"""

import hashlib
import hmac
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ValidationError

from relay.at_once import each
from relay.aws.secrets import CalvenSecret, Secrets
from relay.calven_errors import Misconfigured, Refused, Transient
from relay.deadline import Deadline
from relay.errors import SecretUnreadable, Unparseable
from relay.events import read_json
from relay.http import RETRIED_STATUSES, Answer, Http, NoAnswer

if TYPE_CHECKING:
    from relay.deadline import Clock

MAX_EVENTS = 100
# A token that ends on its way costs a 401, a new token and the request once more.
RENEW_BEFORE_SECONDS = 60.0
GATEWAY_STATUSES = frozenset({502, 504, 520, 521, 522, 523, 524})
"""Answers of something in front of Calven, which itself may have taken the request."""
# A 404 is a wrong base URL: no event says anything of the path.
OPERATORS_STATUSES = frozenset({401, 403, 404})
RESULT_REASONS = {1: "unknown_user", 2: "unknown_location"}

Observe = Callable[[int, float], None]
Endpoint = Literal["/v1/occupancy", "/v1/timeoff"]


def _observe_nothing(_status: int, _milliseconds: float) -> None:
    """What observes a call that nobody counts."""


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
    """What became of one event: `accepted`, `refused` for good, or `waiting` for another attempt.

    `whole` says that its request failed as a whole, or was not begun after one that had. `http` is the status
    of Calven's answer and `code` the event's result code in it, where there were any.
    """

    status: Literal["accepted", "refused", "waiting"]
    reason: str = ""
    detail: str = ""
    retry_after: float | None = None
    uncertain: bool = False
    whole: bool = field(default=False, compare=False)
    http: int | None = field(default=None, compare=False)
    code: int | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class _Token:
    """A token to send, until it expires (Unix seconds)."""

    text: str = field(default="", repr=False)
    expires_at: float = 0.0


@dataclass(frozen=True, slots=True)
class _Call:
    """What every request has to know that one call of the client leads to."""

    deadline: Deadline
    request_seconds: float = float("inf")
    correlation_id: str = ""
    observe: Observe = _observe_nothing

    def within(self, seconds: float) -> "_Call":
        """The same call, which has at most that many seconds."""
        return replace(self, deadline=self.deadline.at_most(seconds))


class _HmacAnswer(BaseModel):
    token: str
    expiration: float


class _OAuthAnswer(BaseModel):
    access_token: str
    expires_in: float


class _EventResult(BaseModel):
    eventId: str  # noqa: N815 - Calven's name
    resultCode: int  # noqa: N815 - Calven's name
    message: str | None = ""


class _Results(BaseModel):
    # Without any, every event waits: an answer of another form must not look like acceptance.
    results: list[_EventResult] = []


class Calven:
    """One client a container. Threads may share it: they get one token between them.

    `key` names the secret with the API key.
    """

    def __init__(
        self,
        base_url: str,
        secrets: Secrets,
        http: Http,
        clock: "Clock" = time.time,
        *,
        key: str = "calven",
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self._secrets = secrets
        self._http = http
        self._clock = clock
        self._key = key
        self._token = _Token()
        self._token_lock = threading.Lock()
        # A Calven that failed last, or was never asked, is asked once, not several times at once.
        self._answers = False

    def submit(
        self,
        events: Sequence[CalvenEvent],
        deadline: Deadline,
        *,
        call_seconds: float = float("inf"),
        correlation_id: str = "",
        observe: Observe = _observe_nothing,
    ) -> dict[str, Result]:
        """Send every event, in as few requests as possible; a result for each `eventId`, raising nothing.

        Of several requests some are sent at once, unless the last one failed. The first that fails as a whole
        ends it: all events not sent by then are `waiting`. Each call gets what is left of the deadline, and
        at most `call_seconds`. `observe` is told each request's status (0 without an answer) and
        milliseconds, the token's included.
        """
        call = _Call(deadline, call_seconds, correlation_id, observe)
        results: dict[str, Result] = {}
        failure = self._send_all([*_batches(events)], call, results)
        if failure is not None:
            # What was never sent is not uncertain, and what was answered before keeps its result.
            untried = Result(
                status="waiting", reason=failure.reason, retry_after=failure.retry_after, whole=True
            )
            for event in events:
                results.setdefault(event.event_id, untried)
        return results

    def authenticate(self, deadline: Deadline) -> None:
        """Ask for a new token, to see whether Calven gives one. Raises `Transient` or `Misconfigured`."""
        self._new_token(_Call(deadline))

    def read(self, path: str, deadline: Deadline) -> Any:
        """The JSON at a path. Raises `Transient`, `Misconfigured` or `Refused`."""
        answer = self._authorized("GET", path, None, _Call(deadline))
        try:
            return read_json(answer.body)
        except Unparseable:
            raise Transient("Calven's answer is unreadable") from None

    def _send_all(
        self, batches: Sequence[Sequence[CalvenEvent]], call: _Call, results: dict[str, Result]
    ) -> Transient | None:
        """Send batches and enter their results; why one failed as a whole, after which no other is begun."""
        failures: list[Transient] = []

        def send(batch: Sequence[CalvenEvent]) -> None:
            if failures:
                return
            try:
                self._send_or_halve(batch, call, results)
            except Transient as error:
                failures.append(error)

        if self._answers:
            each(send, batches)
        else:
            for batch in batches:
                send(batch)
        # Where nothing was to be sent, nobody has asked Calven, and nothing new is known of it.
        if batches:
            self._answers = not failures
        return failures[0] if failures else None

    def _send_or_halve(self, batch: Sequence[CalvenEvent], call: _Call, results: dict[str, Result]) -> None:
        """Send a batch and enter its results. One that is refused is halved. Raises `Transient`."""
        try:
            results.update(self._send(batch, call))
        except Transient as error:
            # Calven may yet take these, unlike all that come after them.
            waiting = _waiting(error)
            for event in batch:
                results[event.event_id] = waiting
            raise
        except Refused as error:
            if len(batch) == 1:
                results[batch[0].event_id] = Result(
                    status="refused", reason="rejected", detail=str(error), http=error.status
                )
                return
            middle = len(batch) // 2
            self._send_or_halve(batch[:middle], call, results)
            self._send_or_halve(batch[middle:], call, results)

    def _send(self, batch: Sequence[CalvenEvent], call: _Call) -> dict[str, Result]:
        """One request for events of one endpoint and source. Raises `Transient` or `Refused`."""
        # After a lease has run out somebody else may send what overtakes this request.
        lease_seconds = min(event.not_after for event in batch) - self._clock()
        request_call = call.within(call.request_seconds).within(lease_seconds)
        answer = self._authorized("POST", batch[0].endpoint, _body(batch), request_call)
        found = {result.eventId: result for result in _results(answer)}
        return {event.event_id: _result(found.get(event.event_id), answer.status) for event in batch}

    def _authorized(self, method: str, path: str, body: Mapping[str, Any] | None, call: _Call) -> Answer:
        """The 2xx answer to a request with a token, which one 401 renews."""
        token = self._valid_token(call)
        answer = self._request(method, path, body, call, token)
        # Calven may end a token before its time. A second 401 is for the operator to mend.
        if answer.status == 401:
            token = self._valid_token(call, refused=token)
            answer = self._request(method, path, body, call, token)
        self._raise_for_status(answer, "")
        return answer

    def _valid_token(self, call: _Call, refused: str = "") -> str:
        """The cached token, or a new one where it is about to expire or is the one just refused."""
        # Threads that wait here use the token that the first of them fetches.
        if not self._token_lock.acquire(timeout=max(call.deadline.left(), 0)):
            raise Transient("no token in time")
        try:
            expires_soon = self._token.expires_at - RENEW_BEFORE_SECONDS <= self._clock()
            # Another thread may have replaced the refused token since: then its token is tried first.
            if expires_soon or self._token.text == refused:
                self._token = self._new_token(call)
            return self._token.text
        finally:
            self._token_lock.release()

    def _new_token(self, call: _Call) -> _Token:
        secret = self._secret(call)
        path, body = self._credentials(secret)
        try:
            answer = self._token_answer(path, body, call)
        except Transient as error:
            # Whatever became of the request for a token, Calven has seen no event.
            error.uncertain = False
            raise
        try:
            if secret.auth == "hmac":
                issued = _HmacAnswer.model_validate_json(answer.body)
                return _Token(issued.token, issued.expiration)
            granted = _OAuthAnswer.model_validate_json(answer.body)
            # OAuth counts `expires_in` from the answer (RFC 6749, 5.1); `expiration` is an instant.
            return _Token(granted.access_token, self._clock() + granted.expires_in)
        except ValidationError:
            # Without its cause: pydantic's message quotes the answer, and with it the token.
            raise Transient(f"{path} answered no token") from None

    def _token_answer(self, path: str, body: Mapping[str, Any], call: _Call) -> Answer:
        """The 2xx answer to a request for a token. Raises `Transient` or `Misconfigured`."""
        answer = self._request("POST", path, body, call)
        # OAuth has either of them for credentials that are not known (RFC 6749, 5.2).
        if answer.status in (400, 401):
            # The key may have been rotated: the next attempt reads the secret anew.
            self._secrets.forget(self._key)
            detail = f"Calven refuses the API key: {path} answered {answer.status}"
            raise Misconfigured(detail, status=answer.status)
        try:
            self._raise_for_status(answer, f"{path} ")
        except Refused as error:
            # No event is at fault, so that none may become a dead letter.
            raise Misconfigured(str(error), status=answer.status) from None
        return answer

    def _secret(self, call: _Call) -> CalvenSecret:
        try:
            return self._secrets.until(call.deadline).calven(self._key)
        except SecretUnreadable as error:
            raise Misconfigured(str(error)) from None

    def _credentials(self, secret: CalvenSecret) -> tuple[str, Mapping[str, Any]]:
        key = secret.api_secret.get_secret_value()
        if secret.auth == "client_credentials":
            return "/v1/auth/token", {"client_id": secret.api_key, "client_secret": key}
        timestamp = int(self._clock())
        signed = hmac.new(key.encode(), f"{secret.api_key}{timestamp}".encode(), hashlib.sha256)
        return "/v1/auth", {"apiKey": secret.api_key, "timestamp": timestamp, "hash": signed.hexdigest()}

    def _request(
        self, method: str, path: str, body: Mapping[str, Any] | None, call: _Call, token: str = ""
    ) -> Answer:
        # Calven asks for the content type of every request, also of one without content.
        headers: dict[str, str] = {
            "x-calven-region": self._secret(call).region,
            "content-type": "application/json",
        }
        if token:
            headers["authorization"] = f"Bearer {token}"
        if call.correlation_id:
            headers["correlationId"] = call.correlation_id
        status = 0
        began = time.monotonic()
        try:
            answer = self._http.request(method, self._base_url + path, headers, call.deadline, json=body)
            status = answer.status
            return answer
        except NoAnswer as error:
            raise Transient(f"no answer from Calven: {error}", uncertain=error.sent) from None
        finally:
            call.observe(status, (time.monotonic() - began) * 1000)

    def _raise_for_status(self, answer: Answer, what: str) -> None:
        status = answer.status
        if 200 <= status < 300:
            return
        detail = f"Calven answered {what}{status}"
        if status in RETRIED_STATUSES or status >= 500:
            wait = answer.retry_after(self._clock())
            late = status in GATEWAY_STATUSES
            raise Transient(detail, retry_after=wait, uncertain=late, status=status)
        # A redirect means that the base URL is wrong. None is followed: it could lead credentials astray.
        if status in OPERATORS_STATUSES or not 400 <= status < 500:
            raise Misconfigured(detail, status=status)
        raise Refused(detail, status)


def _batches(events: Sequence[CalvenEvent]) -> Iterator[Sequence[CalvenEvent]]:
    """The events by endpoint and source, no `eventId` twice, at most 100 together."""
    # A request names one `sourceId` for all of its occupancy events.
    groups: dict[tuple[str, str | None], dict[str, CalvenEvent]] = {}
    for event in events:
        group = groups.setdefault((event.endpoint, event.source_id), {})
        group[event.event_id] = event
    for group in groups.values():
        together = list(group.values())
        for start in range(0, len(together), MAX_EVENTS):
            yield together[start : start + MAX_EVENTS]


def _body(batch: Sequence[CalvenEvent]) -> Mapping[str, Any]:
    first = batch[0]
    payloads = [event.payload for event in batch]
    if first.endpoint == "/v1/timeoff":
        return {"timeOffEvents": payloads}
    return {"sourceId": first.source_id, "occupancyEvents": payloads}


def _results(answer: Answer) -> Sequence[_EventResult]:
    try:
        return _Results.model_validate_json(answer.body).results
    except ValidationError:
        # Not uncertain: Calven has answered, and nothing of the request arrives later than that.
        raise Transient("Calven's answer is unreadable") from None


def _result(found: _EventResult | None, http: int) -> Result:
    if found is None:
        # Only a code refuses an event. Sent again, it has the same id.
        detail = "no result for the event"
        return Result(status="waiting", reason="calven_unavailable", detail=detail, http=http)
    code = found.resultCode
    if code == 0:
        return Result(status="accepted", http=http, code=code)
    reason, detail = RESULT_REASONS.get(code, "rejected"), f"code {code}: {found.message or ''}"
    return Result(status="refused", reason=reason, detail=detail, http=http, code=code)


def _waiting(error: Transient) -> Result:
    return Result(
        status="waiting",
        reason=error.reason,
        detail=str(error),
        retry_after=error.retry_after,
        uncertain=error.uncertain,
        whole=True,
        http=error.status,
    )
