"""What the Calven sandbox remembers: requests, events, what they amount to, and how it was told to fail."""

import datetime as dt
import json
import secrets
from collections import deque
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal
from uuid import NAMESPACE_URL, uuid5

from localrun.sandbox_orders import FailureRequest, Mode, UnknownRequest

_MOST_REQUESTS = 10_000
_MOST_EVENTS = 100_000
_LONGEST_LEAVE = 3_660
_SECRET_FIELDS = ("hash", "client_secret")
_HIDDEN = "***"

Json = dict[str, Any]
Role = Literal["submit", "read"]
"""What an API key may do: post events, or read what Calven makes of them."""


@dataclass(eq=False)
class Failure:
    """A way to fail; `cleared` once it was called off, so that requests that hang are let go."""

    mode: Mode
    count: int | None
    retry_after: int | None
    cleared: bool = False


class Failures:
    """The failures under way, one for each path and one for all."""

    def __init__(self) -> None:
        self._by_endpoint: dict[str | None, Failure] = {}

    def set(self, request: FailureRequest) -> None:
        """Starts failing; calls off an earlier failure of the same path."""
        earlier = self._by_endpoint.get(request.endpoint)
        if earlier:
            earlier.cleared = True
        self._by_endpoint[request.endpoint] = Failure(request.mode, request.count, request.retry_after)

    def clear(self) -> None:
        """Calls off every failure."""
        for failure in self._by_endpoint.values():
            failure.cleared = True
        self._by_endpoint.clear()

    def take(self, path: str) -> Failure | None:
        """The failure that a request to this path meets now, counted."""
        endpoint = path if path in self._by_endpoint else None
        failure = self._by_endpoint.get(endpoint)
        if failure and failure.count is not None:
            failure.count -= 1
            if failure.count == 0:
                del self._by_endpoint[endpoint]
        return failure


@dataclass(frozen=True)
class Token:
    """What an issued bearer token is good for, and until when (Unix seconds)."""

    end: float
    role: Role


class Tokens:
    """The bearer tokens issued."""

    def __init__(self, lifetime: float, now: Callable[[], float]) -> None:
        self.lifetime = lifetime
        self._now = now
        self._issued: dict[str, Token] = {}

    def issue(self, role: Role) -> str:
        """A new token."""
        self._issued = {text: token for text, token in self._issued.items() if token.end > self._now()}
        text = secrets.token_urlsafe(24)
        self._issued[text] = Token(self._now() + self.lifetime, role)
        return text

    def role(self, text: str) -> Role | None:
        """What a token is good for; None where it was not issued here, or has expired."""
        token = self._issued.get(text)
        return token.role if token and token.end > self._now() else None

    def expire_all(self) -> None:
        """Makes every token issued so far invalid."""
        self._issued.clear()


class Received:
    """The requests received and the events accepted, oldest first; the oldest go when there are too many."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self.requests: deque[Json] = deque(maxlen=_MOST_REQUESTS)
        self.events: deque[Json] = deque(maxlen=_MOST_EVENTS)

    def open(self, method: str, path: str, headers: Iterable[tuple[str, str]], body: bytes) -> Json:
        """Records a request, without its credentials; its `status` is null until it is answered."""
        entry: Json = {"time": self._time(), "method": method, "path": path}
        entry["headers"] = {name: value for name, value in headers if name != "authorization"}
        entry["body"] = _readable(body)
        entry["status"] = None
        self.requests.append(entry)
        return entry

    def accept(self, path: str, event: Json, source_id: str | None) -> None:
        """Records an event with result code 0."""
        entry = {"time": self._time(), "path": path, "event": event}
        self.events.append({**entry, "sourceId": source_id} if source_id else entry)

    def clear(self) -> None:
        """Forgets requests and events."""
        self.requests.clear()
        self.events.clear()

    def _time(self) -> str:
        return dt.datetime.fromtimestamp(self._now(), dt.UTC).isoformat(timespec="milliseconds")


def _readable(body: bytes) -> Any:
    try:
        parsed = json.loads(body)
        json.dumps(parsed, allow_nan=False, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return body.decode(errors="replace")
    if isinstance(parsed, dict):
        return {name: _HIDDEN if name in _SECRET_FIELDS else value for name, value in parsed.items()}
    return parsed


@dataclass(frozen=True)
class User:
    """Somebody whom Calven knows, by an address or, where an event named none, by Calven's own id alone."""

    user_id: str
    email: str = ""

    @property
    def name(self) -> str:
        """What the days away are kept under."""
        return self.email or self.user_id


def _user(email: str) -> User:
    return User(str(uuid5(NAMESPACE_URL, f"mailto:{email}")).upper(), email)


@dataclass
class Known:
    """What Calven makes of the events: the latest occupancy of each place, and each person's days away.

    Its users are those whose time off it took, and those whom it was told of. Unlike Calven, days in the past
    are kept: samples have fixed dates.
    """

    locations: Collection[str] | None
    refused: UnknownRequest = field(default_factory=UnknownRequest)
    _occupancy: dict[str, Json] = field(default_factory=dict)
    _away: dict[str, dict[str, str]] = field(default_factory=dict)
    _users: dict[str, User] = field(default_factory=dict)

    def has_location(self, location_id: str) -> bool:
        """Whether Calven knows this place."""
        listed = self.locations is None or location_id in self.locations
        return listed and location_id not in self.refused.locations

    def has_user(self, event: Json) -> bool:
        """Whether Calven knows the person of this time off event."""
        return not {event.get("email"), event.get("uid")} & set(self.refused.users)

    def occupied(self, event: Json) -> None:
        """Takes an occupancy event; an older one than the last changes nothing."""
        last = self._occupancy.get(event["locationId"])
        if not last or _instant(last) <= _instant(event):
            self._occupancy[event["locationId"]] = event

    def time_off(self, event: Json) -> None:
        """Takes a time off event: its days become away, or no longer are."""
        email = event.get("email")
        user = _user(email) if email else User(event["uid"])
        self._users.setdefault(user.name, user)
        days = self._away.setdefault(user.name, {})
        start, end = event["startDate"], event["endDate"]
        if event["eventType"] == "scheduled":
            kind: str = event.get("timeOffType", "leave")
            days.update(dict.fromkeys(_days(start, end), kind))
        else:
            for day in [day for day in days if start <= day <= end]:
                del days[day]

    def add_users(self, emails: Iterable[str]) -> None:
        """Knows these people from now on."""
        for email in emails:
            self._users.setdefault(email, _user(email))

    def take_out(self, email: str, day: str) -> bool:
        """Takes a day away out of a person's plan, as people do by hand; whether there was one."""
        return self._away.get(email, {}).pop(day, None) is not None

    def users(self) -> list[User]:
        """Everybody who is not refused."""
        refused = set(self.refused.users)
        return [user for user in self._users.values() if not {user.email, user.user_id} & refused]

    def days_away(self, user: User, first: str, last: str) -> list[str]:
        """A person's days away from one day to another, both included, in order."""
        days = self._away.get(user.name, {})
        return sorted(day for day in days if first <= day <= last)

    def view(self) -> Json:
        """`{"occupancy": {locationId: event}, "away": {email: {date: type}}}`."""
        away = {person: dict(sorted(days.items())) for person, days in self._away.items() if days}
        return {"occupancy": self._occupancy, "away": away}


def _instant(event: Json) -> dt.datetime:
    return dt.datetime.fromisoformat(event["timestamp"])


def _days(start: str, end: str) -> list[str]:
    first = dt.date.fromisoformat(start).toordinal()
    last = min(dt.date.fromisoformat(end).toordinal(), first + _LONGEST_LEAVE)
    return [dt.date.fromordinal(day).isoformat() for day in range(first, last + 1)]
