"""The ledger of leave: it reads, has `relay.time_off.decision` decide, and writes.

`relay.time_off.items` says what is stored. Every write is conditional on what was read, so changes of one
employee follow each other, and a lease in the employee's item does the same for their submissions.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Self
from uuid import uuid4

from relay.aws.conflicts import until_written
from relay.aws.early import counted_as, marked
from relay.aws.table import Item, Key, Table, Update
from relay.config.model import Source
from relay.deadline import Deadline
from relay.errors import Contended, InvalidLeave
from relay.events import LeaveChange
from relay.time_off.decision import Arrival, Decision, arrival_of, decision_on, plan_for
from relay.time_off.items import (
    as_written,
    complete_key,
    early_key,
    employee_from,
    employee_key,
    employee_update,
    leave_from,
    leave_key,
    leave_update,
)
from relay.time_off.rules import days_of
from relay.time_off.submission import (
    Employee,
    Results,
    Submission,
    Term,
    employee_after,
    next_submission,
)

if TYPE_CHECKING:
    from relay.deadline import Clock


@dataclass(frozen=True, slots=True)
class Recorded:
    """What a change came to: what to submit for each employee, else the reason why there is nothing to send.

    `busy` says that somebody else is submitting for an employee: the change is recorded, and what it means
    has yet to be sent. `refused` is why the change itself cannot be told: what is left to send then gives
    back days that it does not cover. `days` are those that the change is about, before it and after it: what
    is submitted may have other days of the employee in it.
    """

    submissions: tuple[Submission, ...]
    reason: str
    busy: bool = False
    refused: InvalidLeave | None = None
    days: frozenset[date] = frozenset()


@dataclass(frozen=True, slots=True)
class _Keys:
    """Where the ledger has what a change is about."""

    leave: Key
    replaced: Key | None
    employee: Key | None
    marker: Key
    complete: Key | None

    @classmethod
    def of(cls, arrival: Arrival) -> Self:
        """The keys that the change itself tells."""
        source, change, email = arrival.source, arrival.change, arrival.leave.email
        return cls(
            leave=leave_key(source, change.leave_id),
            replaced=None if arrival.replaces is None else leave_key(source, arrival.replaces),
            employee=employee_key(email) if email else None,
            marker=early_key(source, change),
            # Only what ends may never have been seen, or come too late.
            complete=complete_key(source) if change.state == "ended" else None,
        )

    def all(self) -> list[Key]:
        """All of them, to be read at once."""
        keys = (self.leave, self.replaced, self.employee, self.marker, self.complete)
        return [key for key in keys if key]


class Leaves:
    """Records changes and leads submissions. Raises `TableUnavailable`, `InvalidLeave`, `Contended`."""

    def __init__(self, table: Table, clock: "Clock" = time.time) -> None:
        self._table = table
        self._clock = clock

    def arrival(self, change: LeaveChange, source_name: str, source: Source, config: int) -> Arrival:
        """Read a change of a source (by its key) today; `config` tells which configuration `source` is of."""
        return arrival_of(change, source_name, source, self._today(), config)

    def record(
        self,
        arrival: Arrival,
        received_at: float,
        seconds: float,
        deadline: Deadline,
        *,
        shadowed: frozenset[str] = frozenset(),
    ) -> Recorded:
        """Record a change and take the employee's lease, in one write, where there is something to send.

        `received_at` is when the change first came (Unix seconds). The caller has that many `seconds` to
        submit it; `deadline` bounds the recording. `shadowed` are the keys of the sources of which nothing is
        sent.
        """
        received = round(received_at * 1000)
        return until_written(lambda: self._record(arrival, received, seconds, shadowed), deadline)

    def _record(self, arrival: Arrival, received: int, seconds: float, shadowed: frozenset[str]) -> Recorded:
        keys = _Keys.of(arrival)
        found = self._table.get(keys.all())
        known = leave_from(found.get(keys.leave))
        replaced = leave_from(found.get(keys.replaced)) if keys.replaced else None
        all_seen_at = found[keys.complete]["at"] if keys.complete in found else None
        decision = decision_on(
            arrival,
            known,
            replaced,
            counted_as(found.get(keys.marker)),
            received_at=received,
            all_seen_at=all_seen_at,
        )
        employees = self._employees(decision.emails, keys, found)
        term = self._term(seconds)
        plan = plan_for(arrival, decision, employees, term, shadowed)
        updates = self._leave_updates(arrival, decision, keys, found)
        updates += [employee_update(employee, term.today) for employee in plan.changed]
        self._table.write(updates)
        # Only once it is written: should the leave itself come later, the ledger knows that it has ended.
        if decision.leave.unseen:
            detail = "the leave was never seen, and its change names no person or no dates"
            raise InvalidLeave(detail, reason="unknown_leave")
        # The write has raised the revision, by which `finish` sees what came in between.
        submissions = tuple(as_written(submission) for submission in plan.submissions)
        days = days_of(known, replaced, decision.leave)
        return Recorded(submissions, decision.reason, plan.is_busy, decision.refused, days)

    def _employees(self, emails: Sequence[str], keys: _Keys, found: Mapping[Key, Item]) -> list[Employee]:
        """The employees of these addresses, read unless they have been."""
        email_by_key: dict[Key, str] = {}
        for email in emails:
            # Two spellings of one address are one employee.
            email_by_key.setdefault(employee_key(email), email)
        # The leave may tell of employees that the change itself did not name.
        more = self._table.get([key for key in email_by_key if key != keys.employee])
        items = {**found, **more}
        return [employee_from(items.get(key), email) for key, email in email_by_key.items()]

    def _leave_updates(
        self, arrival: Arrival, decision: Decision, keys: _Keys, found: Mapping[Key, Item]
    ) -> list[Update]:
        updates: list[Update] = []
        known = leave_from(found.get(keys.leave))
        if decision.is_news:
            # When it comes into the ledger, not when it was sent: what a list can have known ends then.
            leave = replace(decision.leave, received=round(self._clock() * 1000))
            updates.append(leave_update(arrival.source, arrival.change.leave_id, leave, known))
        elif decision.noted:
            updates.append(leave_update(arrival.source, arrival.change.leave_id, decision.noted, known))
        if arrival.change.early and keys.marker not in found:
            updates.append(marked(keys.marker, arrival.change.early, self._clock()))
        if decision.replaced and arrival.replaces and keys.replaced:
            known = leave_from(found.get(keys.replaced))
            updates.append(leave_update(arrival.source, arrival.replaces, decision.replaced, known))
        return updates

    def employee(self, email: str) -> Employee | None:
        """What the ledger holds of an employee; None where it holds nothing."""
        key = employee_key(email)
        item = self._table.get([key]).get(key)
        return employee_from(item, email) if item else None

    def lease(self, email: str, seconds: float, deadline: Deadline) -> Employee | None:
        """Take an employee's lease for so long, to submit what is no change; None where another has it."""
        key = employee_key(email)

        def attempt() -> Employee | None:
            employee = employee_from(self._table.get([key]).get(key), email)
            term = self._term(seconds)
            if employee.is_leased(term.begins_at):
                return None
            leased = replace(employee, lease=term.lease)
            self._table.write([employee_update(leased, term.today)])
            return leased

        return until_written(attempt, deadline)

    def release(self, employee: Employee, deadline: Deadline) -> None:
        """Let go of a lease, unless it has run out and is another's. What came meanwhile is in the queue."""
        key = employee_key(employee.email)

        def attempt() -> None:
            now = employee_from(self._table.get([key]).get(key), employee.email)
            if now.holder == employee.holder:
                self._table.write([employee_update(replace(now, lease=None), self._today())])

        until_written(attempt, deadline)

    def finish(
        self, submission: Submission, results: Results, deadline: Deadline, *, uncertain: bool
    ) -> Submission | None:
        """Note Calven's results of a submission, and let go of the lease.

        Returns another submission where changes recorded meanwhile leave something to send. `uncertain` says
        that Calven may still take a request that was given up: then the lease stays until it runs out. So it
        does where others keep writing until the deadline; what was accepted is then sent again.
        """
        employees = self._versions(submission.employee)

        def attempt() -> Submission | None:
            return self._finish(submission, next(employees), results, uncertain=uncertain)

        try:
            return until_written(attempt, deadline)
        except Contended:
            return None

    def _versions(self, employee: Employee) -> Iterator[Employee]:
        """The employee as they were written with the lease, and from then on as the table has them."""
        key = employee_key(employee.email)
        # Mostly nobody has written since: that saves a read.
        while True:
            yield employee
            employee = employee_from(self._table.get([key]).get(key), employee.email)

    def _finish(
        self, submission: Submission, employee: Employee, results: Results, *, uncertain: bool
    ) -> Submission | None:
        # The lease has run out, and whoever took it since sends what is left.
        if employee.holder != submission.employee.holder:
            return None
        after = employee_after(submission, employee, results, uncertain=uncertain)
        term = self._term(submission.term.seconds)
        following = next_submission(submission, after, results, term)
        # What was accepted and the next lease in one write: nobody can come in between.
        written = following.employee if following else after
        self._table.write([employee_update(written, term.today)])
        return as_written(following) if following else None

    def _term(self, seconds: float) -> Term:
        return Term(uuid4().hex, self._clock(), seconds)

    def _today(self) -> date:
        return datetime.fromtimestamp(self._clock(), UTC).date()
