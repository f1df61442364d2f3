"""What a reconciliation or an import found, for people and as JSON: leave by leave, and source by source."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import click

from relay.aws.table import Table
from relay.events import same_person
from relay.reconciliation.report import Report
from relay.reconciliation.rules import Difference
from relay.time_off.items import employee_from, employee_key
from relay.time_off.rules import Leave, runs
from relay.time_off.submission import Employee
from relayctl.output import print_table

SOURCES = ("source", "result", "listed", "news", "ends", "unmapped", "unreadable", "queued", "why")


@dataclass(frozen=True, slots=True)
class AtCalven:
    """How many of some days Calven holds, and whether it has confirmed them; as the ledger has it."""

    word: str
    days: int = 0
    of: int = 0

    def __str__(self) -> str:
        """For a cell of a table."""
        return f"{self.word} ({self.days} of {self.of} days)" if 0 < self.days < self.of else self.word


@dataclass(frozen=True, slots=True)
class Seen:
    """A difference, and what Calven held of its days before anything came of it."""

    difference: Difference
    calven: AtCalven


@dataclass
class Sight:
    """Collects the differences of a source while it is reconciled."""

    table: Table
    seen: list[Seen] = field(default_factory=list)

    def look(self, differences: Sequence[Difference]) -> None:
        """Note differences, with what the ledger says that Calven holds. Raises `TableUnavailable`."""
        emails = {_email(difference) for difference in differences} - {""}
        keys = {same_person(email): employee_key(email) for email in emails}
        items = self.table.get(list(keys.values()))
        employees = {person: employee_from(items.get(key), person) for person, key in keys.items()}
        for difference in differences:
            employee = employees.get(same_person(_email(difference)))
            self.seen.append(Seen(difference, _at_calven(difference, employee)))


@dataclass(frozen=True, slots=True)
class Found:
    """The report of one source's run, the differences of its leave, and whether the source is in shadow."""

    report: Report
    seen: Sequence[Seen]
    shadow: bool = False

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        report = self.report
        return {
            "source": report.source,
            "vendor": report.vendor,
            "status": report.status,
            "detail": report.detail,
            "listed": report.listed,
            "found": report.found,
            "ends": report.ends,
            "unmapped": report.unmapped,
            "unreadable": report.unreadable,
            "queued": report.queued,
            "differences": [_as_dict(seen) for seen in self.seen],
        }


def is_well(found: Sequence[Found], *, dry: bool) -> bool:
    """Whether every run is complete, and where nothing was to change, nothing had to."""
    is_complete = all(one.report.status == "complete" for one in found)
    return is_complete and not (dry and any(one.report.found for one in found))


def print_found(found: Sequence[Found], *, there: str, dry: bool) -> None:
    """The differences as a table, then a line for each source; `there` heads the list's own column."""
    rows = [(one.report.source, *_row(seen)) for one in found for seen in one.seen]
    if rows:
        print_table(("source", "leave", "employee", there, "in the ledger", "at Calven"), rows)
        click.echo()
    if found:
        print_table(SOURCES, [_source_row(one.report) for one in found])
    if dry:
        click.echo("nothing is changed: that was a dry run")
        return
    shadowed = sum(one.report.queued for one in found if one.shadow)
    queued = sum(one.report.queued for one in found) - shadowed
    if queued:
        click.echo(f"{queued} queued: Calven is told soon, and `relayctl dlq list` shows what cannot be told")
    if shadowed:
        click.echo(f"{shadowed} queued in shadow: recorded soon, and Calven hears nothing of it")


def say_if_refused(report: Report, command: str) -> None:
    """Say on standard error that a refused run has ended nothing, and how it is let."""
    if report.status == "refused":
        click.echo(
            f"{report.source}: {report.detail}. Nothing has ended. If all of that has ended indeed: "
            f"relayctl {command} --accept-ends",
            err=True,
        )


def _email(difference: Difference) -> str:
    if difference.known is not None and difference.known.email:
        return difference.known.email
    return difference.change.email or ""


def _at_calven(difference: Difference, employee: Employee | None) -> AtCalven:
    if employee is None:
        return AtCalven("unknown")
    days = {*_days(difference.listed), *_days(difference.known)}
    held = [employee.held[day] for day in days if day in employee.held]
    if not held:
        return AtCalven("no", 0, len(days))
    is_confirmed = all(one.confirmed for one in held)
    return AtCalven("confirmed" if is_confirmed else "pending", len(held), len(days))


def _days(leave: Leave | None) -> list[date]:
    return list(leave.days()) if leave else []


def _row(seen: Seen) -> Iterator[str]:
    difference = seen.difference
    yield difference.change.leave_id
    yield _whose(difference)
    yield _listed(difference)
    yield _said(difference.known) if difference.known else "nothing"
    yield str(seen.calven)


def _whose(difference: Difference) -> str:
    known = difference.known
    if known is None or same_person(known.email) == same_person(difference.employee):
        return difference.employee
    return f"{difference.employee}, was {known.email}"


def _listed(difference: Difference) -> str:
    if difference.listed is None:
        return "not listed"
    if difference.refused:
        change = difference.change
        return f"{change.start or '?'} – {change.end or '?'}: {difference.refused}"
    return _said(difference.listed)


def _said(leave: Leave) -> str:
    """A leave's days and type in words."""
    if leave.state != "approved":
        return leave.state
    days = [_span(first, last) for first, last, _ in runs(dict.fromkeys(leave.days()))]
    return f"{', '.join(days)} {leave.type}" if days else "no whole day"


def _span(first: date, last: date) -> str:
    return first.isoformat() if first == last else f"{first} – {last}"


def _source_row(report: Report) -> Sequence[object]:
    return (
        report.source,
        report.status,
        report.listed,
        report.found,
        report.ends,
        report.unmapped,
        report.unreadable,
        report.queued,
        report.detail,
    )


def _as_dict(seen: Seen) -> dict[str, Any]:
    difference = seen.difference
    return {
        "leave": difference.change.leave_id,
        "employee": difference.employee,
        "listed": _leave_dict(difference.listed),
        "refused": difference.refused or None,
        "ledger": _leave_dict(difference.known),
        "calven": {"state": seen.calven.word, "days": seen.calven.days, "of": seen.calven.of},
    }


def _leave_dict(leave: Leave | None) -> dict[str, Any] | None:
    if leave is None:
        return None
    days = [[first.isoformat(), last.isoformat()] for first, last, _ in runs(dict.fromkeys(leave.days()))]
    return {"state": leave.state, "email": leave.email, "days": days, "type": leave.type}
