"""A seeded stream of webhooks, and what is true once all of them have happened."""

import json
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Literal

from chaos.stage import WITHIN
from relay.events import iso_ms
from relay.time_off.days import span
from relayctl import samples

PEOPLE, EMPLOYEES = 120, 40
Kind = Literal["badge", "leave", "denied", "unmapped", "unknown user", "shadow badge", "shadow leave"]
KINDS: dict[Kind, int] = {
    "badge": 60,
    "leave": 18,
    "denied": 4,
    "unmapped": 3,
    "unknown user": 3,
    "shadow badge": 8,
    "shadow leave": 4,
}
"""How often each kind of event comes, in a hundred."""
PILOTS = {"shadow badge": "verkada-pilot", "shadow leave": "deel-pilot"}
"""The shadowed sources, whose people are those of the live ones."""


@dataclass(frozen=True)
class Happening:
    """Something that a vendor announces: a badge of a person at a door, or what an employee's leave became.

    `at` is when it happened (Unix milliseconds), `event_id` as the relay names it. Of a badge `place` is
    where the person is since; of a leave `days` are those approved since.
    """

    kind: Kind
    vendor: str
    event_id: str
    body: bytes
    at: int
    who: str = ""
    place: str | None = None
    days: frozenset[date] = frozenset()

    @property
    def source(self) -> str:
        """The source that it is posted to."""
        return PILOTS.get(self.kind, self.vendor)

    @property
    def order(self) -> tuple[int, str]:
        """What decides which of two badges of a person came last."""
        return self.at, f"{self.source}|{self.event_id}"


class Stream:
    """Happenings one after the other, the same kinds, people and doors for the same seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311 - for tests, not for secrets
        self._number = 0
        self._last = 0

    def next(self, now: float) -> Happening:
        """What happens at an instant (Unix seconds); no two at the same millisecond."""
        self._number += 1
        self._last = max(int(now * 1000), self._last + 1)
        [kind] = self._random.choices(list(KINDS), list(KINDS.values()))
        if kind in ("leave", "unknown user", "shadow leave"):
            return self._leave(kind)
        if kind == "shadow badge" or (kind == "badge" and self._random.random() < 0.4):
            return self._verkada(kind)
        return self._kisi(kind)

    def _kisi(self, kind: Kind) -> Happening:
        way, door = self._random.choice(("in", "out")), self._random.choice(list(WITHIN))
        person, event_id = self._random.randrange(PEOPLE), f"kisi-{self._number}"
        payload = json.loads(samples.body("kisi", "badge-in"))
        payload |= {
            "uuid": event_id,
            "actor_id": person,
            "object_id": "nowhere" if kind == "unmapped" else f"{way} {door}",
            "created_at": iso_ms(self._last),
            "success": kind != "denied",
        }
        place = door if way == "in" else WITHIN[door]
        return Happening(kind, "kisi", event_id, _json(payload), self._last, str(person), place)

    def _verkada(self, kind: Kind) -> Happening:
        way, door = self._random.choice(("Inbound", "Outbound")), self._random.choice(list(WITHIN))
        email, event_id = f"guest-{self._random.randrange(PEOPLE)}@example.com", f"verkada-{self._number}"
        second = self._last // 1000
        payload = json.loads(samples.body("verkada", "badge-in"))
        payload["created_at"] = second
        payload["data"] |= {
            "event_id": event_id,
            "created": second,
            "door_id": f"in {door}",
            "direction": way,
        }
        payload["data"]["door_info"]["door_id"] = f"in {door}"
        payload["data"]["user_info"] |= {"email": email, "user_id": email}
        place = door if way == "Inbound" else WITHIN[door]
        return Happening(kind, "verkada", event_id, _json(payload), second * 1000, email, place)

    def _leave(self, kind: Kind) -> Happening:
        number, tracking = self._random.randrange(EMPLOYEES), f"deel-{self._number}"
        email = f"{'ghost' if kind == 'unknown user' else 'employee'}-{number}@example.com"
        status = self._random.choice(("APPROVED", "APPROVED", "APPROVED", "CANCELED"))
        if kind == "unknown user":
            number, status = self._number, "APPROVED"
        first = date(2027, 3, 1) + timedelta(days=self._random.randrange(20))
        last = first + timedelta(days=self._random.randrange(8))
        payload = json.loads(samples.body("deel", "approved"))
        payload["timestamp"] = iso_ms(self._last)
        payload["data"]["meta"]["tracking_id"] = tracking
        resource = payload["data"]["resource"]
        resource |= {
            "id": f"{kind} {number}",
            "updated_at": iso_ms(self._last),
            "start_date": first.isoformat(),
            "end_date": last.isoformat(),
            "status": status,
        }
        resource["requester"]["work_email"] = email
        days = frozenset(span(first, last)) if status == "APPROVED" else frozenset[date]()
        event_id = f"{tracking}:{resource['id']}"
        return Happening(kind, "deel", event_id, _json(payload), self._last, email, days=days)


def _json(payload: Any) -> bytes:
    return json.dumps(payload).encode()


def people(happened: Sequence[Happening]) -> Counter[str]:
    """The truth: how many people are in each place that has any."""
    return Counter(place for last in latest(happened, "badge").values() for place in _path(last.place))


def away(happened: Sequence[Happening]) -> dict[str, set[str]]:
    """The truth: the days on which each employee is away."""
    found = {who: {day.isoformat() for day in last.days} for who, last in latest(happened, "leave").items()}
    return {who: days for who, days in found.items() if days}


def latest(happened: Sequence[Happening], kind: Kind) -> dict[str, Happening]:
    """The last happening of that kind of each person."""
    found = sorted((one for one in happened if one.kind == kind), key=lambda one: one.order)
    return {one.who: one for one in found}


def _path(place: str | None) -> Iterator[str]:
    while place is not None:
        yield place
        place = WITHIN[place]
