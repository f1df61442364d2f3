"""What Calven was not told of leave, because its source is shadowed, or was. Pure functions, no storage."""

from collections.abc import Mapping
from datetime import date

from relay.config.model import TimeOffType
from relay.events import same_person
from relay.time_off.days import span
from relay.time_off.rules import Leave, sources_by_day
from relay.time_off.submission import Employee


def pending_days(source: str, employee: Employee, shadowed: frozenset[str]) -> dict[date, TimeOffType | None]:
    """The days of an employee that are sent for a source's leave as soon as the source is live.

    Each has the type that is scheduled, None where the day is given back. `source` and `shadowed` are keys.
    """
    covered = sources_by_day(employee.leaves)
    nobody = frozenset[str]()
    found: dict[date, TimeOffType | None] = {}
    for time_off in employee.to_send(shadowed - {source}):
        for day in span(time_off.start, time_off.end):
            held = employee.held.get(day)
            wanted_by = covered.get(day, nobody) if time_off.type else nobody
            # What was held for the source has stood in the way of others' changes, too.
            if source in wanted_by or (held and source in held.origins):
                found[day] = time_off.type
    return found


def pending_leaves(
    source: str, leaves: Mapping[str, Leave], employee: Employee, shadowed: frozenset[str]
) -> list[str]:
    """The ids of those leaves of a source whose days are sent for an employee as soon as the source is live.

    `leaves` are those of the source that are the employee's, or were. Where the days to be sent are none of
    theirs any more, any that tells whose days it touches will do, as what is sent is computed from the
    employee: the one of the last news, so that later news are not taken for those that are queued already.
    """
    days = pending_days(source, employee, shadowed)
    scheduled = {day for day, kind in days.items() if kind}
    pending: list[str] = []
    for leave_id, leave in leaves.items():
        is_theirs = same_person(leave.email) == same_person(employee.email)
        if is_theirs and not scheduled.isdisjoint(leave.days()):
            pending.append(leave_id)
    if days and not pending:
        telling = [leave_id for leave_id, leave in leaves.items() if not leave.unseen]
        pending = sorted(telling, key=lambda leave_id: leaves[leave_id].received)[-1:]
    return pending


def by_person(leaves: Mapping[str, Leave]) -> dict[str, dict[str, Leave]]:
    """Leaves by the people whose they are or were, as `same_person` tells people apart."""
    found: dict[str, dict[str, Leave]] = {}
    for leave_id, leave in leaves.items():
        for email in (leave.email, *leave.former):
            if email:
                found.setdefault(same_person(email), {})[leave_id] = leave
    return found
