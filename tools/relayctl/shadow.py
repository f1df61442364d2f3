"""`relayctl shadow`: what shadowed sources would have sent to Calven."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

import click

from relay import vendors
from relay.aws.table import Table
from relay.config.file import RelayYaml, did_you_mean, with_outer
from relay.config.model import Config
from relay.config.versions import UnknownVersion, in_force, pull
from relay.events import same_person
from relay.time_off.items import employees_of, leaves_of
from relay.time_off.pending import by_person, pending_days
from relay.time_off.rules import Leave, runs
from relayctl import known_doors, relay_yaml
from relayctl.analytics import analytics_of
from relayctl.in_process import invocation_of
from relayctl.known_doors import Known
from relayctl.ledger import counts_now, readings_now
from relayctl.options import Common, common_options, pass_common
from relayctl.output import print_json, print_table, working
from relayctl.suggestions import Written, lacking
from relayctl.target import Target

COUNTS = ("place", "people", "at")
LEAVE = ("employee", "start", "end", "type")
UNMAPPED = ("kind", "id", "name", "last_seen")


@dataclass(frozen=True, slots=True)
class PendingRange:
    """Days in a row of an employee that would be scheduled; without a type they would be given back."""

    employee: str
    start: str
    end: str
    type: str | None


@dataclass(frozen=True, slots=True)
class ShadowReport:
    """What a shadowed source would have sent.

    `occupancy` are today's counts of the places to which its doors lead, or which its sensors watch: those of
    all shadowed sources together. `unmapped` are doors and sensors without a place. `unknown` are employees
    whom Calven does not know, None where that could not be read, which `unread` explains.
    """

    source: str
    vendor: str
    occupancy: Sequence[Mapping[str, Any]]
    leave: Sequence[PendingRange]
    unmapped: Sequence[Known]
    unknown: Sequence[str] | None
    unread: str


@click.group()
@common_options
def shadow() -> None:
    """Sources that are recorded, and of which nothing is sent to Calven."""


@shadow.command("report")
@click.argument("source", required=False)
@common_options
@pass_common
def report_shadow(common: Common, source: str | None) -> None:
    """Show what SOURCE, or each shadowed source, would have sent to Calven, and what stands in its way."""
    target = common.target()
    with working("reading the ledger"):
        reports = list(_reports(target, source))
    if common.as_json:
        print_json([_as_dict(report) for report in reports])
        return
    if not reports:
        click.echo("no source is shadowed")
    for report in reports:
        _print(report)


def _reports(target: Target, source: str | None) -> Iterator[ShadowReport]:
    table = target.ledger()
    config = in_force(table) or Config()
    names = _shadowed(config, source)
    if not names:
        return
    rows = [*counts_now(table, config, shadow=True), *readings_now(table, config, shadow=True)]
    relay = _stored(table)
    unmapped = without_place(target, relay, names)
    leaves = {name: leaves_of(table, config.key(name)) for name in names}
    known, unread = _known_to_calven(target) if any(leaves.values()) else (set[str](), "")
    for name in names:
        unknown = None if known is None else _unknown(leaves[name], known)
        yield ShadowReport(
            source=name,
            vendor=config.sources[name].vendor,
            occupancy=[row for row in rows if row["place"] in _places(name, relay)],
            leave=list(_pending(table, config, name, leaves[name])),
            unmapped=[known for known in unmapped if known.source == name],
            unknown=unknown,
            unread=unread,
        )


def _shadowed(config: Config, source: str | None) -> list[str]:
    """The sources to report of: all that are shadowed, or the one that is named."""
    names = [name for name, configured in config.sources.items() if configured.shadow]
    if source is None:
        return names
    if source not in config.sources:
        raise click.UsageError(f"no source {source!r} is configured{did_you_mean(source, config.sources)}")
    if source not in names:
        raise click.ClickException(f"{source} is not shadowed: what it tells is sent to Calven")
    return [source]


def without_place(target: Target, relay: RelayYaml, sources: Sequence[str]) -> list[Known]:
    """The doors and sensors of these sources that events named and that no place is configured for."""
    letters = known_doors.read_letters(target)
    with invocation_of(target) as invocation:
        seen = [one for source in sources for one in known_doors.seen_by(invocation, source)]
    written = Written(relay_yaml.as_mapping(relay))
    return [one.known for one in lacking(known_doors.merged(letters.named, seen), written)]


def _stored(table: Table) -> RelayYaml:
    try:
        return pull(table)
    except UnknownVersion as error:
        raise click.ClickException(str(error)) from None


def _places(source: str, relay: RelayYaml) -> set[str]:
    """The places that a source's doors and sensors tell of, and those around them."""
    doors = [door.place for door in relay.doors.get(source, {}).values()]
    sensors = [sensor.place for sensor in relay.sensors.get(source, {}).values()]
    return with_outer(relay, doors) | set(sensors)


def _pending(
    table: Table, config: Config, source: str, leaves: Mapping[str, Leave]
) -> Iterator[PendingRange]:
    for _, employee in employees_of(table, list(by_person(leaves))):
        days = pending_days(config.key(source), employee, config.shadowed)
        for start, end, kind in runs(days):
            yield PendingRange(employee.email, start.isoformat(), end.isoformat(), kind)


def _known_to_calven(target: Target) -> tuple[set[str] | None, str]:
    """The people whom Calven knows, by `same_person`; None where they cannot be read, and why."""
    try:
        with analytics_of(target) as analytics:
            return set(analytics.read_people().people), ""
    except click.ClickException as error:
        return None, error.message


def _unknown(leaves: Mapping[str, Leave], known: set[str]) -> list[str]:
    """The addresses of those whose leave is approved, and whom Calven does not know."""
    approved = {leave.email for leave in leaves.values() if leave.state == "approved" and leave.email}
    return sorted(email for email in approved if same_person(email) not in known)


def _as_dict(report: ShadowReport) -> dict[str, Any]:
    return {
        "source": report.source,
        "vendor": report.vendor,
        "occupancy": [dict(row) for row in report.occupancy],
        "leave": [asdict(each) for each in report.leave],
        "unmapped": [known.as_dict() for known in report.unmapped],
        "unknown_employees": None if report.unknown is None else list(report.unknown),
        "unread": report.unread or None,
    }


def _print(report: ShadowReport) -> None:
    click.echo(f"{report.source} ({report.vendor}), as of {date.today().isoformat()}")  # noqa: DTZ011
    if vendors.load(report.vendor).families != ("hris",):
        rows = [[row["place"], _people(row), row["at"] or ""] for row in report.occupancy]
        _print_table("people today, of all shadowed sources", COUNTS, rows)
        doors = [[known.as_dict()[column] or "" for column in UNMAPPED] for known in report.unmapped]
        _print_table("without a place", UNMAPPED, doors)
    if "hris" in vendors.load(report.vendor).families:
        leave = [[each.employee, each.start, each.end, each.type or "given back"] for each in report.leave]
        _print_table("leave that would be sent", LEAVE, leave)
        if report.unknown is None:
            click.echo(f"whom Calven knows was not read: {report.unread}")
        else:
            _print_table("unknown to Calven", ("employee",), [[email] for email in report.unknown])


def _people(row: Mapping[str, Any]) -> object:
    if row["people"] is not None:
        return row["people"]
    return "some" if row["occupied"] else "none"


def _print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    click.echo(f"{title}:" if rows else f"{title}: nothing")
    if rows:
        print_table(columns, rows)
