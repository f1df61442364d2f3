"""`relayctl calven audit`: whether Calven shows what the ledger holds as confirmed."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any

import click

from relay.invocation import Invocation
from relay.time_off.rules import runs, source_of
from relay.time_off.submission import Employee
from relayctl.analytics import AWAY, DAYS_A_CALL, Plans, analytics_of
from relayctl.employees import addresses, employees
from relayctl.in_process import invocation_of
from relayctl.options import Common, common_options, pass_common
from relayctl.output import print_json, print_table, working
from relayctl.reconcile import DAY, as_days, check_source
from relayctl.resubmit import Missing, Resubmitted, resubmit
from relayctl.target import Target

WORDS: Mapping[str, str] = {"o": "office", "r": "remote", "": "nothing"}
"""What Calven's plans mean."""


@dataclass(frozen=True, slots=True)
class Days:
    """Some days in a row of an employee. `plan` is what Calven has planned for them instead."""

    employee: str
    start: str
    end: str
    type: str = ""
    plan: str = ""


@dataclass(frozen=True, slots=True)
class Audit:
    """What the two differ in, from one day to another.

    `missing` are the days that the ledger holds as confirmed and Calven does not show, `unknown` the
    employees of whom Calven does not know, with the days that they are to be away, `extra` the days away that
    the relay has never told. `checked` counts the days that were compared.
    """

    first: date
    last: date
    employees: int
    checked: int
    missing: Sequence[Missing]
    shown_missing: Sequence[Days]
    unknown: Sequence[Days]
    extra: Sequence[Days]


@dataclass(frozen=True, slots=True)
class _Ours:
    """An employee in the ledger, and which of their days are looked at: of all sources, or of one."""

    employee: Employee
    wanted: frozenset[date]
    confirmed: Mapping[date, str]

    @property
    def days(self) -> set[date]:
        """The days that Calven ought to show."""
        return {*self.wanted, *self.confirmed}


@click.command("audit")
@click.option(
    "--from", "first", type=DAY, help="The first day that is compared: else today, never before it."
)
@click.option("--to", "last", type=DAY, help="The last day that is compared: else the last that is held.")
@click.option("--source", help="Only the leave of this source.")
@click.option("--extra", is_flag=True, help="Also show days away of which the relay has told nothing.")
@click.option("--resubmit", "again", is_flag=True, help="Send the missing days once more.")
@common_options
@pass_common
def audit_calven(
    common: Common,
    first: datetime | None,
    last: datetime | None,
    source: str | None,
    extra: bool,
    again: bool,
) -> None:
    """Ask Calven whether it shows each day away that it confirmed, with the key in `calven-reader`.

    Exit code 1 where something is missing. A day that is sent again overwrites what its person has planned
    since: so nothing is, without --resubmit.
    """
    asked_first, asked_last = as_days(first, last)
    target = common.target()
    with invocation_of(target) as invocation:
        if source is not None:
            check_source(source, invocation)
        today = invocation.utc_now().date()
        if asked_last is not None and asked_last < today:
            raise click.UsageError("--to is before today: of days past Calven's plans say nothing")
        begin = max(asked_first or today, today)
        audit = _compared(target, invocation, source, begin, asked_last, extra=extra)
        sent = resubmit(audit.missing, invocation) if again and audit.missing else None
    if common.as_json:
        print_json(_as_dict(audit, sent, extra=extra))
    else:
        _print(audit, sent, extra=extra)
    is_mended = not audit.missing or (sent is not None and sent.is_well)
    if audit.unknown or not is_mended:
        raise SystemExit(1)


def _compared(
    target: Target, invocation: Invocation, source: str | None, first: date, last: date | None, *, extra: bool
) -> Audit:
    with working("reading the ledger"):
        ours = _ours(invocation, source, first, last or date.max)
    end = _last_day(ours, first, last, extra=extra)
    with analytics_of(target) as analytics:
        analytics.read_people()
        plans = analytics.read_plans(first, end)
    told = _told(invocation, ours, plans, source) if extra else None
    return _audit(ours, plans, first, end, told)


def _ours(invocation: Invocation, source: str | None, first: date, last: date) -> dict[str, _Ours]:
    """The employees in the ledger who are away within these days, by `same_person`."""
    config = invocation.config
    names = list(config.sources) if source is None else [source]
    emails = addresses(invocation.table, config, names)
    key = None if source is None else config.key(source)
    found: dict[str, _Ours] = {}
    for person, employee in employees(invocation.table, emails).items():
        ours = _days_of(employee, key, first, last, config.shadowed)
        if ours.days:
            found[person] = ours
    return found


def _days_of(
    employee: Employee, source_key: str | None, first: date, last: date, shadowed: frozenset[str]
) -> _Ours:
    """What is looked at of an employee; of one source, the days that its leave covers.

    Days of shadowed sources are not: nothing is sent for these.
    """
    leaves = employee.leaves
    if source_key is not None:
        leaves = {name: leave for name, leave in leaves.items() if source_of(name) == source_key}
    of_sources = replace(employee, leaves=leaves)
    want = frozenset(day for day in of_sources.wanted_days(shadowed) if first <= day <= last)
    confirmed: dict[date, str] = {}
    for day, held in employee.held.items():
        is_looked_at = day in want or (source_key is None and held.origins.isdisjoint(shadowed))
        is_looked_at = is_looked_at and first <= day <= last
        if held.confirmed and held.type and is_looked_at:
            confirmed[day] = held.type
    return _Ours(employee, want, confirmed)


def _last_day(ours: Mapping[str, _Ours], first: date, asked: date | None, *, extra: bool) -> date:
    """The last day that Calven is asked about; the day before the first where there is nothing to ask."""
    if asked is not None and extra:
        return asked
    days = [day for one in ours.values() for day in one.confirmed]
    last = max(days, default=first - timedelta(days=1))
    # There is no day after the year 9999.
    a_call = min(timedelta(days=DAYS_A_CALL - 1), date.max - first)
    return max(last, first + a_call) if extra else last


def _told(
    invocation: Invocation, ours: Mapping[str, _Ours], plans: Plans, source: str | None
) -> dict[str, Employee]:
    """Whose days away may be extra, as the ledger has them: all whom Calven knows, or those of a source."""
    if source is not None:
        return {person: one.employee for person, one in ours.items()}
    away = {person: name for person, name in plans.people.items() if plans.days_away(person)}
    return employees(invocation.table, away)


def _audit(
    ours: Mapping[str, _Ours], plans: Plans, first: date, last: date, told: Mapping[str, Employee] | None
) -> Audit:
    missing: list[Missing] = []
    shown: list[Days] = []
    unknown: list[Days] = []
    for person, one in ours.items():
        email = one.employee.email
        if person not in plans.people:
            unknown += _rows(email, dict.fromkeys(one.days, ("", "")))
            continue
        lacking = {
            day: (kind, _plan(plans.plan(person, day)))
            for day, kind in one.confirmed.items()
            if plans.plan(person, day) != AWAY
        }
        if lacking:
            missing.append(Missing(email, sorted(lacking)))
            shown += _rows(email, lacking)
    return Audit(
        first=first,
        last=last,
        employees=len(ours),
        checked=sum(len(one.confirmed) for one in ours.values()),
        missing=missing,
        shown_missing=shown,
        unknown=unknown,
        extra=list(_extra(told or {}, plans, first, last)),
    )


def _plan(plan: str) -> str:
    return WORDS.get(plan, plan)


def _extra(told: Mapping[str, Employee], plans: Plans, first: date, last: date) -> Iterator[Days]:
    for person, employee in told.items():
        days = [day for day in plans.days_away(person) if first <= day <= last and day not in employee.held]
        yield from _rows(plans.people.get(person, employee.email), dict.fromkeys(days, ("", "")))


def _rows(employee: str, days: Mapping[date, tuple[str, str]]) -> Iterator[Days]:
    """Days in a row that have the same type and plan, together."""
    for start, end, (kind, plan) in runs(days):
        yield Days(employee, start.isoformat(), end.isoformat(), kind, plan)


def _as_dict(audit: Audit, sent: Resubmitted | None, *, extra: bool) -> dict[str, Any]:
    return {
        "from": audit.first.isoformat(),
        "to": audit.last.isoformat(),
        "employees": audit.employees,
        "days": audit.checked,
        "missing": [asdict(days) for days in audit.shown_missing],
        "unknown": [_plain(days) for days in audit.unknown],
        "extra": [_plain(days) for days in audit.extra] if extra else None,
        "resubmitted": asdict(sent) if sent else None,
    }


def _plain(days: Days) -> dict[str, str]:
    return {"employee": days.employee, "start": days.start, "end": days.end}


def _print(audit: Audit, sent: Resubmitted | None, *, extra: bool) -> None:
    _print_days("missing at Calven", audit.shown_missing, ("employee", "start", "end", "type", "plan"))
    _print_days("Calven does not know", audit.unknown, ("employee", "start", "end"))
    if extra:
        _print_days("away at Calven, and never told by the relay", audit.extra, ("employee", "start", "end"))
    employees = "1 employee" if audit.employees == 1 else f"{audit.employees} employees"
    if audit.checked:
        days = f"{audit.checked} confirmed days of {employees}"
        click.echo(f"compared: {days}, from {audit.first} to {audit.last}")
    else:
        click.echo("compared: nothing, as Calven has confirmed no day of these that is still to come")
    if sent is not None:
        click.echo(f"sent again: Calven took {sent.accepted}")
        for email, why in sent.failed:
            click.echo(f"not taken: {email}: {why}", err=True)
        for email in sent.busy:
            click.echo(f"not sent: {email}: another submission is under way, try again", err=True)


def _print_days(title: str, rows: Iterable[Days], columns: Sequence[str]) -> None:
    found = list(rows)
    click.echo(f"{title}: nothing" if not found else f"{title}:")
    if found:
        print_table(columns, [[getattr(row, column) for column in columns] for row in found])
