"""Outgoing HTTP: one pooled client a container, and timeouts that end with a deadline."""

from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any

import httpx

from relay.deadline import Deadline

LEAST_SECONDS = 0.1
"""With less time than this left, a request is not begun."""
RETRIED_STATUSES = frozenset({408, 425, 429})
"""Below 500, what asks to be tried again."""
MAX_ANSWER_BYTES = 1024 * 1024
MAX_RETRY_AFTER_SECONDS = 11 * 3600.0


class NoAnswer(Exception):
    """No usable answer. `sent` tells whether the other side may have received the request."""

    def __init__(self, reason: str, *, sent: bool) -> None:
        super().__init__(reason)
        self.sent = sent


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer: status, headers, body."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def retry_after(self, now: float) -> float | None:
        """The wait in seconds that `Retry-After` asks for, as a number or as a date; at most 11 hours."""
        text = self.headers.get("retry-after", "").strip()
        if text.isascii() and text.isdigit():
            return min(float(text[:9]), MAX_RETRY_AFTER_SECONDS)
        try:
            wait = parsedate_to_datetime(text).timestamp() - now
        except (ValueError, OverflowError):
            return None
        return min(max(wait, 0.0), MAX_RETRY_AFTER_SECONDS)


class _Remaining(dict[str, float]):
    """httpx's timeouts, each worth what is left of the deadline at the moment when it is looked up."""

    def __init__(self, deadline: Deadline) -> None:
        super().__init__()
        self._deadline = deadline

    def get(self, _key: str, _default: Any = None) -> float:
        return max(self._deadline.left(), 0.001)


class Http:
    """A client that follows no redirect, keeps no cookie, reads no proxy settings and at most 1 MiB."""

    def __init__(self, transport: httpx.BaseTransport | None = None) -> None:
        self._client = httpx.Client(
            transport=transport,
            follow_redirects=False,
            trust_env=False,
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        )

    def close(self) -> None:
        """Close every pooled connection."""
        self._client.close()

    def request(
        self, method: str, url: str, headers: Mapping[str, str], deadline: Deadline, json: Any = None
    ) -> Answer:
        """Send one request and read its answer before the deadline; raises `NoAnswer`."""
        if deadline.left() < LEAST_SECONDS:
            raise NoAnswer("no time left", sent=False)
        try:
            request = self._client.build_request(
                method, url, headers=headers, json=json, extensions={"timeout": _Remaining(deadline)}
            )
            return self._read(request, deadline)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            raise NoAnswer(type(error).__name__, sent=False) from None
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
            raise NoAnswer(type(error).__name__, sent=True) from None

    def _read(self, request: httpx.Request, deadline: Deadline) -> Answer:
        response = self._client.send(request, stream=True)
        try:
            body = b""
            for chunk in response.iter_bytes():
                body += chunk
                if len(body) > MAX_ANSWER_BYTES:
                    raise NoAnswer("answer too large", sent=True)
                if deadline.left() <= 0:
                    raise NoAnswer("ReadTimeout", sent=True)
        finally:
            response.close()
        return Answer(response.status_code, response.headers, body)
