"""Sends days away to Calven once more, under the employee's lease: no cancellation is overtaken."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from uuid import uuid4

from relay.calven import CalvenEvent, Result
from relay.invocation import Invocation
from relay.time_off.rules import Held, TimeOff, runs
from relay.time_off.submission import LEASE_GRACE_SECONDS, Employee

EMPLOYEES_A_BATCH = 50
LEASE_SECONDS = 60.0
OTHERWISE = "some of the days are not wanted so any more: they wait to be told otherwise"


@dataclass(frozen=True, slots=True)
class Missing:
    """The days of an employee (by the address as the ledger has it) that Calven does not show."""

    email: str
    days: Sequence[date]


@dataclass(slots=True)
class Resubmitted:
    """What became of it: how many ranges of days Calven took, whose it did not take and why, who is busy."""

    accepted: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)
    busy: list[str] = field(default_factory=list)

    @property
    def is_well(self) -> bool:
        """Whether Calven took all of it."""
        return not self.failed and not self.busy


@dataclass(frozen=True, slots=True)
class _Turn:
    """An employee under our lease, and what is sent for them."""

    employee: Employee
    events: Sequence[CalvenEvent]


def resubmit(missing: Sequence[Missing], invocation: Invocation) -> Resubmitted:
    """Send these days again as `scheduled`, those that the ledger still holds, and nothing else.

    Raises `TableUnavailable` and `Contended`.
    """
    found = Resubmitted()
    for start in range(0, len(missing), EMPLOYEES_A_BATCH):
        _resubmit(missing[start : start + EMPLOYEES_A_BATCH], invocation, found)
    return found


def _resubmit(missing: Sequence[Missing], invocation: Invocation, found: Resubmitted) -> None:
    turns: list[_Turn] = []
    for one in missing:
        employee = invocation.leaves.lease(one.email, LEASE_SECONDS, invocation.deadline)
        if employee is None:
            found.busy.append(one.email)
            continue
        wanted = _wanted(employee, one.days, invocation.config.shadowed)
        if len(wanted) < len(one.days):
            # It is to be given back, or told with another type, and waits for that.
            found.failed.append((one.email, OTHERWISE))
        events = [_event(employee, start, end, held) for start, end, held in runs(wanted)]
        turns.append(_Turn(employee, events))
    # What goes wrong from here on leaves the leases to run out: Calven may yet take a request.
    results = invocation.calven.submit(
        [event for turn in turns for event in turn.events],
        invocation.deadline,
        call_seconds=invocation.pace.call_seconds,
        correlation_id=invocation.telemetry.request_id,
    )
    for turn in turns:
        _conclude(turn, results, invocation, found)


def _wanted(employee: Employee, days: Sequence[date], shadowed: frozenset[str]) -> dict[date, Held]:
    """Those of an employee's days that are wanted, as Calven confirmed them."""
    want = employee.wanted_days(shadowed)
    still: dict[date, Held] = {}
    for day in days:
        held = employee.held.get(day)
        if held is not None and held.confirmed and held.type and want.get(day) == held.type:
            still[day] = held
    return still


def _event(employee: Employee, start: date, end: date, held: Held) -> CalvenEvent:
    # Calven may take an event with an id that it knows for a repeat: this one is new.
    event_id = str(uuid4())
    time_off = TimeOff(start, end, held.type, held.email)
    until = employee.lease.ends_at - LEASE_GRACE_SECONDS if employee.lease else 0.0
    return CalvenEvent(
        endpoint="/v1/timeoff",
        event_id=event_id,
        payload=time_off.payload(event_id, employee.email),
        not_after=until,
    )


def _conclude(turn: _Turn, results: Mapping[str, Result], invocation: Invocation, found: Resubmitted) -> None:
    """Note the results of an employee, and let go of the lease, unless Calven may still take a request."""
    of_employee = [results[event.event_id] for event in turn.events]
    for result in of_employee:
        if result.status == "accepted":
            found.accepted += 1
        else:
            found.failed.append((turn.employee.email, f"{result.reason} {result.detail}".strip()))
    if not any(result.uncertain for result in of_employee):
        invocation.leaves.release(turn.employee, invocation.deadline)
