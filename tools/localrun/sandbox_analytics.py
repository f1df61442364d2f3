"""Calven's calls for reading back, as its documentation describes them: users, and their plans."""

import datetime as dt
import re
from collections.abc import Callable, Mapping

from localrun.sandbox_calls import Refused, require_region, require_role
from localrun.sandbox_rules import Malformed
from localrun.sandbox_state import Json, Known, Tokens, User

_DATE = re.compile(r"\d{8}|\d{4}-\d\d-\d\d", re.ASCII)
_MOST_DAYS = 30
_AWAY = "a"
_LOCATION = {"primaryLocationId": "SANDBOX", "primaryLocationName": "Sandbox"}
"""Where everybody is at home."""

Query = Mapping[str, str]


class Analytics:
    """Calven's side of the calls, from what the sandbox holds."""

    def __init__(self, tokens: Tokens, known: Known) -> None:
        self._tokens, self._known = tokens, known
        self._by_path: dict[str, Callable[[Query], list[Json]]] = {
            "/v1/analytics/users": self._users,
            "/v1/analytics/user-booking-attendance": self._attendance,
        }

    def has(self, path: str) -> bool:
        """Whether this is one of its paths."""
        return path in self._by_path

    def answer(self, method: str, path: str, headers: Mapping[str, str], query: Query) -> list[Json]:
        """The answer's body; raises `Refused` or `Malformed`."""
        if method != "GET":
            raise Refused(405, "GET only")
        require_role(self._tokens, headers, "read")
        require_region(headers)
        return self._by_path[path](query)

    def _users(self, _: Query) -> list[Json]:
        return [_shown(user) for user in self._known.users()]

    def _attendance(self, query: Query) -> list[Json]:
        """One plan a person and day; the sandbox knows of no plans but being away."""
        first, last = _date(query, "startDate"), _date(query, "endDate")
        if last < first:
            raise Malformed(["endDate is before startDate"])
        if (last - first).days >= _MOST_DAYS:
            raise Malformed([f"more than {_MOST_DAYS} days"])
        if query.get("locationId", _LOCATION["primaryLocationId"]) != _LOCATION["primaryLocationId"]:
            return []
        plans = []
        for user in self._known.users():
            for day in self._known.days_away(user, first.isoformat(), last.isoformat()):
                plan = {"userId": user.user_id, **_LOCATION, "day": f"{day}T00:00:00.000Z", "plan": _AWAY}
                plans.append(plan)
        return plans


def _shown(user: User) -> Json:
    first_name, _, last_name = user.email.partition("@")[0].partition(".")
    return {
        "email": user.email,
        "firstName": first_name.title(),
        "lastName": last_name.title(),
        "onboarded": True,
        "primaryGroupId": None,
        "primaryLocationId": _LOCATION["primaryLocationId"],
        "status": "active",
        "userId": user.user_id,
        "userName": user.email,
    }


def _date(query: Query, name: str) -> dt.date:
    text = query.get(name, "")
    try:
        if _DATE.fullmatch(text):
            return dt.date.fromisoformat(text)
    except ValueError:
        pass
    raise Malformed([f"{name}: YYYYMMDD or YYYY-MM-DD is required"])
