"""The submission of an employee's days to Calven: what there is to send, and what its results mean. Pure.

Calven is sent the difference between the days that are wanted and those that it holds, one submission of an
employee at a time. Who submits has the employee's lease for that.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime

from relay.config.model import TimeOffType
from relay.time_off.rules import (
    Held,
    Leave,
    TimeOff,
    accepted,
    attempted,
    recent,
    recent_days,
    refused,
    source_of,
    sources_by_day,
    to_send,
    wanted,
    with_origins,
)

LEASE_GRACE_SECONDS = 5.0
"""How long after its time is up a lease still holds: a request that was given up may reach Calven by then."""

Results = Mapping[str, bool]
"""What Calven said of events, by event id: True for an accepted one, False for one that it refused.

An event of which it said nothing is not in it.
"""


@dataclass(frozen=True, slots=True)
class Cause:
    """The vendor's event that makes a submission necessary, and its source: Calven's event ids tell of it."""

    source: str
    event: str

    def event_id(self, time_off: TimeOff, number: int, email: str) -> str:
        """Calven's `eventId` of what the employee's submission of this number sends."""
        return time_off.event_id(self.source, f"{self.event}#{number}", email)

    def with_changes(self, revision: int) -> "Cause":
        """The same event together with those that were recorded since, up to a revision of the employee."""
        return replace(self, event=f"{self.event}+{revision}")


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to submit for an employee: who has it, and until when (Unix seconds)."""

    holder: str
    ends_at: float


@dataclass(frozen=True, slots=True)
class Term:
    """The time for a submission: it may take so many `seconds` from `begins_at` (Unix seconds) on.

    `holder` is the id of the lease under which it is made.
    """

    holder: str
    begins_at: float
    seconds: float

    @property
    def until(self) -> float:
        """The instant after which nothing is sent."""
        return self.begins_at + self.seconds

    @property
    def lease(self) -> Lease:
        """The lease that keeps others from submitting for as long as something may still arrive."""
        return Lease(self.holder, self.until + LEASE_GRACE_SECONDS)

    @property
    def today(self) -> date:
        """The day on which it begins."""
        # By UTC: only what is kept for sixty days goes by it, and a day more or less decides nothing.
        return datetime.fromtimestamp(self.begins_at, UTC).date()


@dataclass(frozen=True, slots=True)
class Employee:
    """An employee as the ledger has them. `lease` is that of the submission under way.

    `revision` counts the writes. `round` counts the submissions that changed what Calven may hold: what is
    said anew later is a new event.
    """

    email: str
    leaves: Mapping[str, Leave] = field(default_factory=dict)
    held: Mapping[date, Held] = field(default_factory=dict)
    lease: Lease | None = None
    revision: int = 0
    round: int = 0

    @property
    def holder(self) -> str:
        """Who has the lease, also one that has run out; empty where nobody has."""
        return self.lease.holder if self.lease else ""

    def is_leased(self, now: float) -> bool:
        """Whether a submission may be under way."""
        return self.lease is not None and self.lease.ends_at > now

    def to_send(self, shadowed: Collection[str] = ()) -> list[TimeOff]:
        """What Calven has to be sent so that it holds the days that are wanted.

        Leave of the `shadowed` sources (by their keys) is not wanted.
        """
        return to_send(self.wanted_days(shadowed), self.held, shadowed)

    def wanted_days(self, shadowed: Collection[str] = ()) -> dict[date, TimeOffType]:
        """The days that leave covers, but for that of the `shadowed` sources."""
        return wanted(self._live(shadowed).values())

    def held_alike(self) -> dict[date, Held]:
        """The held days without for whose leave, and instead of what, they are held: more are alike then."""
        return {day: replace(held, origins=frozenset(), instead=False) for day, held in self.held.items()}

    def with_origins(self, shadowed: Collection[str] = ()) -> "Employee":
        """With each held day known to be held for those live sources whose leave covers it."""
        covering = sources_by_day(self._live(shadowed))
        return replace(self, held=with_origins(self.held, covering, shadowed))

    def given_back_by(self, source: str) -> "Employee":
        """A source holds no day any more that none of its leave covers."""
        of_source = {name: leave for name, leave in self.leaves.items() if source_of(name) == source}
        covered = sources_by_day(of_source)
        held = {
            day: value if day in covered else replace(value, origins=value.origins - {source})
            for day, value in self.held.items()
        }
        return replace(self, held=held)

    def _live(self, shadowed: Collection[str]) -> Mapping[str, Leave]:
        return {name: leave for name, leave in self.leaves.items() if source_of(name) not in shadowed}

    def tidied(self, today: date) -> "Employee":
        """Without what is too long ago to matter."""
        leaves = recent(self.leaves, today)
        return replace(self, leaves=leaves, held=recent_days(self.held, leaves, today))

    def without(self, names: set[str]) -> "Employee":
        """Without the leaves of these names."""
        kept = {name: leave for name, leave in self.leaves.items() if name not in names}
        return replace(self, leaves=kept)

    def assumed_away(self, leave: Leave, source: str) -> "Employee":
        """The days of a source's leave that the ledger has never seen may be held.

        It may be older than the relay.
        """
        days = replace(leave, state="approved").days()
        assumed = dict.fromkeys(days, Held(None, confirmed=False, origins=frozenset({source})))
        confirmed = {day: held for day, held in self.held.items() if held.confirmed}
        # What is confirmed is certain, and no assumption takes its place.
        return replace(self, held={**self.held, **assumed, **confirmed})


@dataclass(frozen=True, slots=True)
class Submission:
    """The submission of one employee under a lease: what is `sending`, by `eventId`.

    `held_before` is what Calven may have held before. `term` is the time that there is for it. `shadowed` are
    the keys of the sources of which nothing is sent.
    """

    employee: Employee
    held_before: Mapping[date, Held]
    cause: Cause
    sending: Mapping[str, TimeOff]
    term: Term
    shadowed: frozenset[str] = frozenset()

    @property
    def until(self) -> float:
        """The instant after which nothing of it is sent (Unix seconds)."""
        return self.term.until


def new_submission(
    employee: Employee, cause: Cause, term: Term, shadowed: frozenset[str] = frozenset()
) -> Submission | None:
    """What there is to submit for an employee under a new lease, unless somebody else is submitting.

    `shadowed` are the keys of the sources of which nothing is sent.
    """
    sending = employee.to_send(shadowed)
    if not sending or employee.is_leased(term.begins_at):
        return None
    held = attempted(employee.held, sending, employee.email)
    # Calven takes an id once: what is sent anew after something else needs another one.
    number = employee.round + 1 if held != employee.held else employee.round
    attempting = replace(employee, held=held, lease=term.lease, round=number)
    return Submission(
        employee=attempting.with_origins(shadowed),
        held_before=employee.held,
        cause=cause,
        sending={cause.event_id(time_off, number, employee.email): time_off for time_off in sending},
        term=term,
        shadowed=shadowed,
    )


def employee_after(
    submission: Submission, employee: Employee, results: Results, *, uncertain: bool
) -> Employee:
    """An employee, as the ledger has them now, with the results of their submission.

    The lease ends, but for where it is uncertain whether Calven may yet take a request: then it runs out.
    """
    held = dict(employee.held)
    for event_id, is_accepted in results.items():
        sent = submission.sending[event_id]
        if is_accepted:
            held = accepted(held, sent, submission.employee.email, submission.employee.held)
        else:
            held = refused(held, sent, submission.held_before)
    return replace(employee, held=held, lease=submission.employee.lease if uncertain else None)


def next_submission(
    submission: Submission, employee: Employee, results: Results, term: Term
) -> Submission | None:
    """What changes that were recorded during a submission leave to submit.

    `employee` is as `employee_after` has them. Where Calven has not answered for every event, there is
    nothing: whoever takes the vendor's event up again sends the rest.
    """
    # Only a write by another raises the revision.
    is_unchanged = employee.revision == submission.employee.revision
    if is_unchanged or len(results) < len(submission.sending):
        return None
    cause = submission.cause.with_changes(employee.revision)
    return new_submission(employee, cause, term, submission.shadowed)
