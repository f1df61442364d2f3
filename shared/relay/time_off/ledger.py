"""The ledger of leave: reads and conditional writes around `relay.time_off.rules`.

`leave#<source>#<id>` / `leave` is one leave, found by its id alone; `employee#<e-mail, as people are told
apart>` / `leave` holds the employee's approved leaves, the days that Calven may hold, and the lease of
whoever is submitting.
"""

import random
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from relay.aws.early import counted_as, marked, marker_key
from relay.aws.table import Conflict, Item, Key, Table, Update
from relay.config.model import Source
from relay.errors import Contended, InvalidLeave
from relay.events import LeaveChange, same_person
from relay.time_off.days import span
from relay.time_off.rules import (
    KEPT,
    Held,
    Leave,
    TimeOff,
    accepted,
    attempted,
    leave_of,
    recent,
    recent_days,
    runs,
    still_covered,
    to_send,
    wanted,
    without_days,
)
from relay.time_off.rules import refused as after_refusal

if TYPE_CHECKING:
    from relay.deadline import Clock

LEASE_GRACE_SECONDS = 5.0
"""How long after its time is up a lease still holds: a request that was given up may reach Calven by then."""
ATTEMPTS = 8
REPLACED = "~"
"""The version of a leave that another one has replaced. It sorts after every time: nothing brings it back."""


@dataclass(frozen=True, slots=True)
class Employee:
    """One employee's item. `lease` is the id of the submission under way and the instant when it runs out.

    `round` counts the submissions that changed what Calven may hold: what is said anew later is a new event.
    """

    email: str
    leaves: Mapping[str, Leave] = field(default_factory=dict)
    held: Mapping[date, Held] = field(default_factory=dict)
    lease: tuple[str, float] | None = None
    revision: int = 0
    round: int = 0

    @property
    def key(self) -> Key:
        """Where the employee is in the table: by e-mail, without regard to case."""
        return _employee_key(self.email)

    def tidied(self, today: date) -> "Employee":
        """Without what is too long ago to matter."""
        leaves = recent(self.leaves, today)
        return replace(self, leaves=leaves, held=recent_days(self.held, leaves, today))


@dataclass(frozen=True, slots=True)
class Submission:
    """An employee's submission under a lease: what to send, by `eventId`. Nothing is sent after `until`.

    `before` is what Calven may have held before.
    """

    employee: Employee
    before: Mapping[date, Held]
    cause: tuple[str, str]
    sending: Mapping[str, TimeOff]
    until: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Recorded:
    """What a change came to: turns to submit, else the reason why there is nothing to send.

    `busy` says that somebody else is submitting for the employee: the change is recorded, and what it
    means has yet to be sent. `refused` is why the change itself cannot be told: what is left to send then
    gives back days that it does not cover.
    """

    turns: tuple[Submission, ...]
    reason: str
    busy: bool = False
    refused: InvalidLeave | None = None


class Leaves:
    """Records changes and leads submissions. Raises `TableUnavailable`, `InvalidLeave`, `Contended`."""

    def __init__(self, table: Table, clock: "Clock" = time.time) -> None:
        self._table = table
        self._clock = clock

    def record(
        self, change: LeaveChange, source_name: str, source: Source, seconds: float, config: int = 0
    ) -> Recorded:
        """Record a change and take the employee's lease, in one write, where there is something to send.

        The caller has that many seconds to submit it. `config` says which configuration `source` is of: the
        later one is the greater.
        """
        refused = None
        try:
            leave = leave_of(change, source, self._today(), config)
        except InvalidLeave as error:
            refused = error
            leave = without_days(change, source, self._today(), config)
        for _ in range(ATTEMPTS):
            try:
                return self._attempt(change, leave, source_name, seconds, refused)
            except Conflict:
                time.sleep(random.uniform(0.01, 0.05))  # noqa: S311 - spreads retries, guards nothing
        raise Contended

    def _attempt(
        self, change: LeaveChange, leave: Leave, source: str, seconds: float, refused: InvalidLeave | None
    ) -> Recorded:
        where, former = _leave_key(source, change.leave_id), _former_key(source, change)
        marker = marker_key(source, f"leave#{change.leave_id}", change.version)
        employee_key = _employee_key(leave.email) if leave.email else None
        asked = [key for key in (where, former, employee_key, marker) if key]
        found = self._table.get(asked)
        known, replaced = _leave(found.get(where)), _leave(found.get(former)) if former else None
        leave = replace(leave, version=counted_as(found.get(marker)) or change.early or change.version)
        if refused:
            leave = leave.with_days(still_covered(known, change))
        leave = replace(leave, email=next((e.email for e in (leave, known, replaced) if e and e.email), ""))
        leave = replace(leave, former=_former_emails(leave, known))
        fresh = leave.takes_over(known)
        # A tombstone of this very change says nothing: its dead letter may not have been stored.
        new = known is None or (known.unseen and known.version == leave.version)
        unseen = new and replaced is None and leave.state == "ended" and not change.declined
        leave = replace(leave, unseen=unseen and not (leave.email and leave.dated))
        updates = [_leave_update(where, leave, known)] if fresh else []
        if change.early and marker not in found:
            updates.append(marked(marker, change.early, self._clock()))
        if former and (replaced is None or replaced.version != REPLACED):
            updates.append(_leave_update(former, _replaced(replaced or leave), replaced))
        if not leave.email and leave.state == "approved" and fresh and not refused:
            raise InvalidLeave("the employee has no e-mail address", reason="no_email")
        if not leave.email or leave.unseen:
            self._table.write(updates)
        if leave.unseen:
            detail = "the leave was never seen, and its change names no person or no dates"
            raise InvalidLeave(detail, reason="unknown_leave")
        turns: tuple[Submission, ...] = ()
        busy = False
        if leave.email:
            emails = (leave.email, *leave.former, replaced.email if replaced else "")
            keys = {_employee_key(email) for email in emails if email}
            found |= self._table.get([key for key in keys if key not in asked])
            before = {key: _employee(found.get(key), leave.email) for key in keys}
            after = self._applied(before, change, leave, source, fresh=fresh, unseen=unseen)
            turns, busy = self._turns(after, (source, f"{change.event_id}@{change.version}"), seconds)
            after |= {turn.employee.key: turn.employee for turn in turns}
            updates += [_employee_update(after[k], self._today()) for k in keys if after[k] != before[k]]
            self._table.write(updates)
        saved = tuple(replace(turn, employee=_saved(turn.employee)) for turn in turns)
        superseded = not fresh and known is not None and leave.rank() < known.rank()
        return Recorded(saved, _reason(change, leave, fresh=fresh), busy, None if superseded else refused)

    def _applied(
        self,
        employees: Mapping[Key, Employee],
        change: LeaveChange,
        leave: Leave,
        source: str,
        *,
        fresh: bool,
        unseen: bool,
    ) -> dict[Key, Employee]:
        """The employees with the change applied: the replaced leave gone, the changed one in its place."""
        name, today = f"{source}/{change.leave_id}", self._today()
        gone = {name} if fresh else set()
        if change.replaces not in (None, change.leave_id):
            gone = gone | {f"{source}/{change.replaces}"}
        applied = {key: _without(employee.tidied(today), gone) for key, employee in employees.items()}
        if fresh:
            key = _employee_key(leave.email)
            applied[key] = _with(applied[key], name, leave, unseen=unseen)
        return applied

    def _turns(
        self, employees: Mapping[Key, Employee], cause: tuple[str, str], seconds: float
    ) -> tuple[tuple[Submission, ...], bool]:
        """A turn for each employee for whom there is something to send; whether a lease forbids one."""
        asked = [self._turn(employee, cause, seconds) for employee in employees.values()]
        return tuple(turn for turn, _ in asked if turn), any(taken for _, taken in asked)

    def _turn(
        self, employee: Employee, cause: tuple[str, str], seconds: float
    ) -> tuple[Submission | None, bool]:
        """What there is to send under a new lease, or whether somebody else holds it."""
        sending = to_send(wanted(employee.leaves.values()), employee.held)
        if not sending:
            return None, False
        now = self._clock()
        if employee.lease and employee.lease[1] > now:
            return None, True
        until = now + seconds
        held = attempted(employee.held, sending, employee.email)
        number = employee.round + (held != employee.held)
        leased = replace(employee, held=held, lease=(uuid4().hex, until + LEASE_GRACE_SECONDS), round=number)
        by_id = {t.event_id(cause[0], f"{cause[1]}#{number}", employee.email): t for t in sending}
        return Submission(leased, employee.held, cause, by_id, until, seconds), False

    def employee(self, email: str) -> Employee | None:
        """What the ledger holds of an employee; None where it holds nothing."""
        key = _employee_key(email)
        item = self._table.get([key]).get(key)
        return _employee(item, email) if item else None

    def finish(self, turn: Submission, outcome: Mapping[str, bool], *, uncertain: bool) -> Submission | None:
        """Note which events Calven accepted (True) or refused (False), and let go of the lease.

        Returns another turn where changes recorded meanwhile leave something to send. `uncertain` says that
        Calven may still take a request that was given up: then the lease stays until it runs out.
        """
        mine, employee = turn.employee.lease, turn.employee
        for _ in range(ATTEMPTS):
            held = dict(employee.held)
            for event_id, ok in outcome.items():
                sent = turn.sending[event_id]
                if ok:
                    held = accepted(held, sent, turn.employee.email)
                else:
                    held = after_refusal(held, sent, turn.before)
            done = replace(employee, held=held, lease=mine if uncertain else None)
            again = None
            if employee.revision != turn.employee.revision and len(outcome) == len(turn.sending):
                cause = (turn.cause[0], f"{turn.cause[1]}+{employee.revision}")
                again, _ = self._turn(done, cause, turn.seconds)
            try:
                self._table.write([_employee_update(again.employee if again else done, self._today())])
            except Conflict:
                employee = _employee(self._table.get([employee.key]).get(employee.key), employee.email)
                if _holder(employee) != _holder(turn.employee):
                    return None
                continue
            return replace(again, employee=_saved(again.employee)) if again else None
        return None

    def _today(self) -> date:
        return datetime.fromtimestamp(self._clock(), UTC).date()


def _holder(employee: Employee) -> str:
    return employee.lease[0] if employee.lease else ""


def _without(employee: Employee, names: set[str]) -> Employee:
    return replace(employee, leaves={n: leave for n, leave in employee.leaves.items() if n not in names})


def _with(employee: Employee, name: str, leave: Leave, *, unseen: bool) -> Employee:
    """The employee with a change of one leave applied; the days of an unseen cancellation may be held."""
    employee = replace(employee, email=leave.email)
    if leave.state == "approved":
        return replace(employee, leaves={**employee.leaves, name: leave})
    if unseen:
        days = replace(leave, state="approved").days()
        sure = {day: held for day, held in employee.held.items() if held.confirmed}
        assumed = dict.fromkeys(days, Held(None, confirmed=False))
        return replace(employee, held={**employee.held, **assumed, **sure})
    return employee


def _reason(change: LeaveChange, leave: Leave, *, fresh: bool) -> str:
    if not fresh:
        return "superseded"
    if change.declined:
        return "declined"
    if leave.state == "approved" and leave.start is None:
        return "part_day"
    return {"requested": "requested", "approved": "unchanged", "ended": "not_approved"}[leave.state]


def _leave_key(source: str, leave_id: str) -> Key:
    return f"leave#{source}#{leave_id}", "leave"


def _former_emails(leave: Leave, known: Leave | None) -> tuple[str, ...]:
    """Whose the leave was before its address changed: those employees' days are to be given back."""
    before = (*known.former, same_person(known.email)) if known else ()
    return tuple(dict.fromkeys(email for email in before if email and email != same_person(leave.email)))


def _replaced(leave: Leave) -> Leave:
    return replace(leave, state="ended", version=REPLACED)


def _former_key(source: str, change: LeaveChange) -> Key | None:
    """Where the leave is that this change's leave replaces, if it replaces another."""
    if change.replaces in (None, change.leave_id):
        return None
    return _leave_key(source, change.replaces or "")


def _employee_key(email: str) -> Key:
    return f"employee#{same_person(email)}", "leave"


def _expires_at(today: date, *days: date | None) -> int:
    last = max(day for day in (*days, today) if day)
    return int(datetime(last.year, last.month, last.day, tzinfo=UTC).timestamp()) + (KEPT.days + 2) * 86400


def _leave_update(key: Key, leave: Leave, known: Leave | None) -> Update:
    """The leave as it has become, where it still is what was read."""
    values = {**_leave_values(leave), "expires_at": _expires_at(leave.recorded, leave.end)}
    return Update(key=key, set=values, expect=_leave_values(known) if known else {"version": None})


def _employee_update(employee: Employee, today: date) -> Update:
    last = [leave.end for leave in employee.leaves.values()]
    values: dict[str, Any] = {
        "email": employee.email,
        "leaves": {name: _leave_values(leave) for name, leave in employee.leaves.items()},
        "held": [
            [start.isoformat(), end.isoformat(), held.type or "", held.confirmed, held.email]
            for start, end, held in runs(employee.held)
        ],
        "lease": [employee.lease[0], int(employee.lease[1] * 1000)] if employee.lease else [],
        "revision": employee.revision + 1,
        "round": employee.round,
        "expires_at": _expires_at(today, *last, *employee.held),
    }
    return Update(key=employee.key, set=values, expect={"revision": employee.revision or None})


def _saved(employee: Employee) -> Employee:
    return replace(employee, revision=employee.revision + 1)


def _employee(item: Item | None, email: str) -> Employee:
    if item is None:
        return Employee(email)
    held: dict[date, Held] = {}
    for start, end, kind, confirmed, spelling in item["held"]:
        days = span(date.fromisoformat(start), date.fromisoformat(end))
        held |= dict.fromkeys(days, Held(kind or None, confirmed, spelling))
    return Employee(
        email=item["email"],
        leaves={name: _stored(leave) for name, leave in item["leaves"].items()},
        held=held,
        lease=(item["lease"][0], item["lease"][1] / 1000) if item["lease"] else None,
        revision=item["revision"],
        round=item.get("round", 0),
    )


def _leave(item: Item | None) -> Leave | None:
    return _stored(item) if item else None


def _stored(item: Item) -> Leave:
    start, end = (date.fromisoformat(item[name]) if item[name] else None for name in ("start", "end"))
    return Leave(
        state=item["state"],
        version=item["version"],
        email=item["email"],
        former=tuple(item["former"]),
        start=start,
        end=end,
        gaps=frozenset(map(date.fromisoformat, item["gaps"])),
        type=item["type"],
        recorded=date.fromisoformat(item["recorded"]),
        unseen=item.get("unseen", False),
        content=item["content"],
        config=item["config"],
    )


def _leave_values(leave: Leave) -> dict[str, Any]:
    return {
        "state": leave.state,
        "version": leave.version,
        "email": leave.email,
        "former": list(leave.former),
        "start": leave.start.isoformat() if leave.start else "",
        "end": leave.end.isoformat() if leave.end else "",
        "gaps": sorted(day.isoformat() for day in leave.gaps),
        "type": leave.type,
        "recorded": leave.recorded.isoformat(),
        "unseen": leave.unseen,
        "content": leave.content,
        "config": leave.config,
    }
