"""A ledger of leave, those who change it, and a Calven that answers as it is told."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

from relay.aws.table import Table
from relay.config.model import Source, TimeOffType
from relay.deadline import Deadline
from relay.events import LeaveChange
from relay.time_off.days import span
from relay.time_off.decision import Arrival, arrival_of
from relay.time_off.ledger import Leaves, Recorded
from relay.time_off.rules import TimeOff
from relay.time_off.submission import Submission
from tests.moto_table import Ledger

TYPES = {"Vacation": "holiday", "Sick": "sick"}
SOURCE = Source.model_validate({"vendor": "deel", "timeOffTypes": TYPES})
SAM = "Sam@example.com"
FIRST = date(2027, 2, 1)
SECONDS = 5.0
Sent = tuple[int, int, TimeOffType | None]


def change(
    version: int,
    state: str = "approved",
    first: int | None = None,
    last: int | None = None,
    leave: str = "1",
    **fields: Any,
) -> LeaveChange:
    """What a leave became: by default approved, of Sam's, from the n-th to the m-th of February 2027."""
    dates = {name: day and _day(day).isoformat() for name, day in (("start", first), ("end", last))}
    return LeaveChange.model_validate(
        {
            "event_id": f"e{version}-{leave}",
            "leave_id": leave,
            "state": state,
            "version": f"{version:03}",
            "email": SAM,
            **dates,
            **fields,
        }
    )


def deleted(version: int, leave: str = "1") -> LeaveChange:
    """A deletion that carries nothing but the leave's id."""
    return change(version, "ended", leave=leave, email=None)


def as_arrival(change: LeaveChange, name: str, source: Source, now: float, config: int = 0) -> Arrival:
    """A change as it arrives from a source at an instant (Unix seconds)."""
    return arrival_of(change, name, source, datetime.fromtimestamp(now, UTC).date(), config)


def _day(number: int) -> date:
    return FIRST + timedelta(days=number - 1)


def number_of(day: date) -> int:
    """Which day of the leave it is, as tests count them."""
    return (day - FIRST).days + 1


def days(first: int, last: int, kind: TimeOffType = "leave") -> dict[int, TimeOffType]:
    """Days away, by number."""
    return dict.fromkeys(range(first, last + 1), kind)


@dataclass
class Calven:
    """Calven's side: days away by employee, and every event that it took."""

    away: dict[str, dict[int, TimeOffType]] = field(default_factory=dict)
    events: dict[str, set[tuple[str, TimeOff]]] = field(default_factory=dict)

    def take(self, submission: Submission) -> dict[str, bool]:
        """Take all that a submission sends."""
        email = submission.employee.email.lower()
        for event_id, time_off in submission.sending.items():
            self.events.setdefault(event_id, set()).add((email, replace(time_off, email="")))
            held = self.away.setdefault(email, {})
            for number in map(number_of, span(time_off.start, time_off.end)):
                held.pop(number, None)
                if time_off.type:
                    held[number] = time_off.type
        return dict.fromkeys(submission.sending, True)


class Book(Ledger):
    """A ledger of leave with a Calven, and changes delivered as the pipeline does."""

    def __init__(self) -> None:
        super().__init__()
        self.calven = Calven()

    def leaves(self, table: Table | None = None) -> Leaves:
        """A new container's leave."""
        return Leaves(table or self.table, self.clock)

    def record(self, change: LeaveChange, source: str = "deel", table: Table | None = None) -> Recorded:
        """Record a change, and send nothing."""
        now = self.clock()
        arrival = as_arrival(change, source, SOURCE, now)
        return self.leaves(table).record(arrival, now, SECONDS, self.deadline())

    def deliver(self, change: LeaveChange, source: str = "deel", table: Table | None = None) -> Recorded:
        """Record a change, and send whatever there is to send until nothing is."""
        recorded = self.record(change, source, table)
        for submission in recorded.submissions:
            self.send(submission)
        return recorded

    def send(self, submission: Submission) -> None:
        """Send what a submission has to send, and note it, until there is nothing more."""
        more: Submission | None = submission
        while more:
            more = self.finish(more, self.calven.take(more))

    def finish(
        self, submission: Submission, results: Mapping[str, bool], *, uncertain: bool = False
    ) -> Submission | None:
        """Note what Calven said of a submission."""
        return self.leaves().finish(submission, results, self.deadline(), uncertain=uncertain)

    def deadline(self) -> Deadline:
        """Time enough for a few conflicts."""
        return Deadline(self.clock() + SECONDS, self.clock)

    def away(self, email: str = SAM) -> dict[int, TimeOffType]:
        """The days that Calven has, by number."""
        return self.calven.away.get(email.lower(), {})

    def employee(self, email: str = SAM) -> Mapping[str, Any]:
        """The employee's item."""
        item = self.item((f"employee#{email.lower()}", "leave"))
        assert item
        return item


def sent(recorded: Recorded) -> list[Sent]:
    """What is sent at once, by number of day."""
    return sorted(
        (number_of(t.start), number_of(t.end), t.type)
        for submission in recorded.submissions
        for t in submission.sending.values()
    )


APPROVED = change(1, "approved", 1, 5)
OTHER = change(2, "approved", 3, 8, "2")
