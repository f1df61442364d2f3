"""Leave as the table has it: where it is, and how leaves and employees become items and are read again.

`leave#<source>#<id>` / `leave` is one leave, found by its id alone. The index `leaves` has all of a source.
`employee#<e-mail, as people are told apart>` / `leave` holds the employee's approved leaves, the days that
Calven may hold, and the lease of whoever is submitting. `reconcile#<source>` / `complete` says that the
ledger has been compared with a complete list of the source.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

from relay.aws.early import marker_key
from relay.aws.table import Item, Key, Table, Update
from relay.events import LeaveChange, same_person
from relay.time_off.days import span
from relay.time_off.rules import KEPT, Held, Leave, runs, sources_by_day
from relay.time_off.submission import Employee, Lease, Submission

DAY_SECONDS = 24 * 3600
INDEX, SOURCE = "leaves", "leave_of"
"""The index of leaves, and its attribute: the source that a leave is of."""
EMPLOYEES_AT_ONCE = 100
KEPT_SECONDS = (KEPT.days + 2) * DAY_SECONDS
"""So long after its last day begins an item expires: later than the rules need it, in any time zone."""


def leave_key(source: str, leave_id: str) -> Key:
    """Where a leave is."""
    return f"leave#{source}#{leave_id}", "leave"


def employee_key(email: str) -> Key:
    """Where an employee is, however the address is written."""
    return f"employee#{same_person(email)}", "leave"


def early_key(source: str, change: LeaveChange) -> Key:
    """Where it says what a change counted as, if it came ahead of its own time."""
    return marker_key(source, f"leave#{change.leave_id}", change.version)


def complete_key(source: str) -> Key:
    """Where it says when a run began by which the ledger has seen all leave of a source."""
    return f"reconcile#{source}", "complete"


def leave_update(source: str, leave_id: str, leave: Leave, known: Leave | None) -> Update:
    """The leave as it has become, where it still is what was read."""
    values = {
        **_leave_values(leave),
        "inferred": leave.inferred,
        "lacked_at": leave.lacked_at,
        "received": leave.received,
        "repeated_at": leave.repeated_at,
        SOURCE: source,
        "expires_at": _expires_at(leave.recorded, leave.end),
    }
    # A leave has no revision. The values beside these are not compared: older items lack them.
    expected = _leave_values(known) if known else {"version": None}
    return Update(key=leave_key(source, leave_id), set=values, expect=expected)


def employee_update(employee: Employee, today: date) -> Update:
    """The employee as they have become, where they still have the revision that was read."""
    last_days = [leave.end for leave in employee.leaves.values()]
    values: dict[str, Any] = {
        "email": employee.email,
        "leaves": {name: _leave_values(leave) for name, leave in employee.leaves.items()},
        "held": [
            # In runs of days, as an item has 400 kB for all leave of an employee.
            [first.isoformat(), last.isoformat(), held.type or "", held.confirmed, held.email]
            for first, last, held in runs(employee.held_alike())
        ],
        "origins": _origins_values(employee),
        "instead": _instead_values(employee),
        "lease": _lease_values(employee.lease),
        "revision": employee.revision + 1,
        "round": employee.round,
        "expires_at": _expires_at(today, *last_days, *employee.held),
    }
    return Update(
        key=employee_key(employee.email), set=values, expect={"revision": employee.revision or None}
    )


def as_written(submission: Submission) -> Submission:
    """A submission whose employee has been written since."""
    employee = submission.employee
    return replace(submission, employee=replace(employee, revision=employee.revision + 1))


def leave_from(item: Item | None) -> Leave | None:
    """A leave as it is stored."""
    return _leave(item) if item else None


def employee_from(item: Item | None, email: str) -> Employee:
    """An employee as they are stored; one of whom nothing is has the address alone."""
    if item is None:
        return Employee(email)
    leaves = {name: _leave(leave) for name, leave in item["leaves"].items()}
    origins = _origins(item, leaves)
    others = _instead(item)
    held: dict[date, Held] = {}
    for first, last, kind, confirmed, spelling in item["held"]:
        for day in span(date.fromisoformat(first), date.fromisoformat(last)):
            # Where an item does not say it yet, the day may have been held otherwise.
            instead = not confirmed and (others is None or day in others)
            held[day] = Held(kind or None, confirmed, spelling, origins.get(day, frozenset()), instead)
    return Employee(
        email=item["email"],
        leaves=leaves,
        held=held,
        lease=_lease(item["lease"]),
        revision=item["revision"],
        round=item.get("round", 0),
    )


def leaves_of(table: Table, source: str) -> dict[str, Leave]:
    """All leave of a source (by its key) that the ledger has, by its id. Raises `TableUnavailable`."""
    found: dict[str, Leave] = {}
    for item in table.query_index(INDEX, SOURCE, source):
        leave_id = str(item["pk"]).removeprefix(leave_key(source, "")[0])
        found[leave_id] = _leave(item)
    return found


def employees_of(table: Table, people: Sequence[str]) -> Iterator[tuple[str, Employee]]:
    """Employees, each behind the address by which it is asked for. Raises `TableUnavailable`."""
    for start in range(0, len(people), EMPLOYEES_AT_ONCE):
        keys = {person: employee_key(person) for person in people[start : start + EMPLOYEES_AT_ONCE]}
        items = table.get(list(keys.values()))
        for person, key in keys.items():
            yield person, employee_from(items.get(key), person)


def _origins_values(employee: Employee) -> list[Any]:
    """For whose leave days are held, where it is not for that of all sources whose leave covers them."""
    covering = sources_by_day(employee.leaves)
    # So is a covered day that is held for none: read as held for leave in shadow, it would never be cleared.
    others = {
        day: held.origins
        for day, held in employee.held.items()
        if held.origins != covering.get(day, frozenset())
    }
    return [[first.isoformat(), last.isoformat(), sorted(keys)] for first, last, keys in runs(others)]


def _origins(item: Item, leaves: Mapping[str, Leave]) -> dict[date, frozenset[str]]:
    found = sources_by_day(leaves)
    for first, last, keys in item.get("origins", ()):
        found |= dict.fromkeys(span(date.fromisoformat(first), date.fromisoformat(last)), frozenset(keys))
    return found


def _instead_values(employee: Employee) -> list[list[str]]:
    """The days that are held instead of something else, in runs."""
    days = {day: held.instead for day, held in employee.held.items() if held.instead}
    return [[first.isoformat(), last.isoformat()] for first, last, _ in runs(days)]


def _instead(item: Item) -> set[date] | None:
    if "instead" not in item:
        return None
    found: set[date] = set()
    for first, last in item["instead"]:
        found.update(span(date.fromisoformat(first), date.fromisoformat(last)))
    return found


def _leave(item: Item) -> Leave:
    return Leave(
        state=item["state"],
        version=item["version"],
        email=item["email"],
        former=tuple(item["former"]),
        start=_day(item["start"]),
        end=_day(item["end"]),
        gaps=frozenset(map(date.fromisoformat, item["gaps"])),
        type=item["type"],
        recorded=date.fromisoformat(item["recorded"]),
        unseen=item.get("unseen", False),
        content=item["content"],
        config=item["config"],
        inferred=item.get("inferred", False),
        lacked_at=item.get("lacked_at", 0),
        received=item.get("received", 0),
        repeated_at=item.get("repeated_at", 0),
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


def _day(text: str) -> date | None:
    return date.fromisoformat(text) if text else None


def _lease(values: list[Any]) -> Lease | None:
    return Lease(holder=values[0], ends_at=values[1] / 1000) if values else None


def _lease_values(lease: Lease | None) -> list[Any]:
    # Milliseconds, as the table takes no floats.
    return [lease.holder, int(lease.ends_at * 1000)] if lease else []


def _expires_at(today: date, *days: date | None) -> int:
    last = max(day for day in (*days, today) if day)
    return int(datetime(last.year, last.month, last.day, tzinfo=UTC).timestamp()) + KEPT_SECONDS
