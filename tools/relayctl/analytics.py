"""What Calven says of people and their plans, read with a key of the role Data Warehouse."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any, TypeVar

import click
from pydantic import BaseModel, TypeAdapter, ValidationError

from relay.aws.secrets import Secrets
from relay.calven import Calven
from relay.calven_errors import CalvenError, Misconfigured, Transient
from relay.deadline import Deadline
from relay.events import same_person
from relayctl.in_process import calven_url, http_of
from relayctl.output import counting
from relayctl.secret_store import CALVEN_READER
from relayctl.target import Target

DAYS_A_CALL = 30
"""Calven asks for no more."""
CALL_SECONDS = 120.0
MOST_BYTES = 256 * 1024 * 1024
"""The plans of 20,000 people for 30 days are some 150 MB."""
TRIES = 4
PAUSE_SECONDS = 2.0
"""The wait for a call that was not answered, where Calven names none; doubled each time."""
LONGEST_WAIT_SECONDS = 120.0
AWAY = "a"
PUT = f"relayctl secrets put {CALVEN_READER}"
NEXT = {
    400: f"compare the key and the secret's `auth` with Calven's console: {PUT}",
    401: f"compare key, secret and region with Calven's console, and the clock: {PUT}",
    403: "give that API key the role Data Warehouse in Calven's console",
}

T = TypeVar("T")


class _User(BaseModel):
    userId: str  # noqa: N815 - Calven's name
    email: str | None = None


class _Plan(BaseModel):
    userId: str  # noqa: N815 - Calven's name
    day: str
    plan: str | None = None


USERS = TypeAdapter(list[_User])
PLANS = TypeAdapter(list[_Plan])


@dataclass
class Plans:
    """What Calven knows: each person's address (its own id where it has none), and the plan of each day.

    People are by `same_person`.
    """

    people: dict[str, str] = field(default_factory=dict)
    by_day: dict[str, dict[date, str]] = field(default_factory=dict)

    def plan(self, person: str, day: date) -> str:
        """The plan of a day; empty where there is none."""
        return self.by_day.get(person, {}).get(day, "")

    def days_away(self, person: str) -> list[date]:
        """The days that a person is planned to be away, in order."""
        return sorted(day for day, plan in self.by_day.get(person, {}).items() if plan == AWAY)


class Analytics:
    """Asks Calven; raises `click.ClickException` where it does not answer, or has no key for that."""

    def __init__(self, calven: Calven) -> None:
        self._calven = calven
        self._person_by_id: dict[str, str] = {}
        self._plans = Plans()

    def read_people(self) -> Plans:
        """Everybody whom Calven knows, with no plan yet."""
        for user in self._read("/v1/analytics/users", USERS):
            name = (user.email or "").strip() or user.userId
            person = same_person(name)
            self._person_by_id[user.userId] = person
            self._plans.people[person] = name
        return self._plans

    def read_plans(self, first: date, last: date) -> Plans:
        """The same with the plans from one day to another."""
        pieces = list(_pieces(first, last))
        with counting("asking Calven") as progress:
            for number, (start, end) in enumerate(pieces, 1):
                path = f"/v1/analytics/user-booking-attendance?startDate={start}&endDate={end}"
                for plan in self._read(path, PLANS):
                    self._note(plan)
                progress(number, len(pieces))
        return self._plans

    def _note(self, plan: _Plan) -> None:
        person = self._person_by_id.get(plan.userId)
        if person is None:
            return
        try:
            day = date.fromisoformat(plan.day[:10])
        except ValueError:
            raise click.ClickException("Calven's answer is unreadable: a day is no date") from None
        self._plans.by_day.setdefault(person, {})[day] = plan.plan or ""

    def _read(self, path: str, form: TypeAdapter[T]) -> T:
        try:
            return form.validate_python(self._answer(path))
        except ValidationError:
            raise click.ClickException(f"Calven's answer is unreadable: {path.partition('?')[0]}") from None

    def _answer(self, path: str) -> Any:
        """The answer to a call, which is made again while Calven does not answer or says to wait."""
        pause = PAUSE_SECONDS
        for number in range(1, TRIES + 1):
            try:
                return self._calven.read(path, Deadline(time.time() + CALL_SECONDS))
            except Misconfigured as error:
                raise click.ClickException(f"{error}: {NEXT.get(error.status or 0, PUT)}") from None
            except Transient as error:
                wait = pause if error.retry_after is None else error.retry_after
                if number == TRIES or wait > LONGEST_WAIT_SECONDS:
                    raise click.ClickException(str(error)) from None
                time.sleep(wait)
                pause *= 2
            except CalvenError as error:
                raise click.ClickException(str(error)) from None
        raise AssertionError("the last try returns or raises")


@contextmanager
def analytics_of(target: Target) -> Iterator[Analytics]:
    """Calven as its data warehouse, for a target."""
    http = http_of(target, CALL_SECONDS, MOST_BYTES)
    try:
        secrets = Secrets(target.client("secretsmanager"), target.stack)
        yield Analytics(Calven(calven_url(target), secrets, http, key=CALVEN_READER))
    finally:
        http.close()


def _pieces(first: date, last: date) -> Iterator[tuple[date, date]]:
    """The days from one to another, in pieces that Calven answers."""
    days = (last - first).days + 1
    for start in range(0, days, DAYS_A_CALL):
        end = min(start + DAYS_A_CALL, days) - 1
        yield first + timedelta(days=start), first + timedelta(days=end)
