"""What the ledger holds, for people: today's counts and readings, and one employee's leave."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import click

from relay.aws.queues import Queues
from relay.aws.table import Table
from relay.config.file import did_you_mean
from relay.config.model import Config
from relay.config.store import ConfigStore
from relay.envelope import Envelope
from relay.events import LeaveChange, iso_ms
from relay.occupancy.ledger import Headcount
from relay.occupancy.readings import WatchedPlace
from relay.occupancy.rules import Count
from relay.occupancy.sensors import Readings
from relay.time_off.ledger import Leaves
from relay.time_off.rules import runs, source_of
from relay.time_off.submission import Employee
from relayctl.options import Common, SomeText, common_options, pass_common
from relayctl.output import print_json, print_table, printable, working
from relayctl.pushing import ApprovedLeave, approved, with_leave
from relayctl.target import Target

COLUMNS = ("site", "place", "day", "count", "Calven has been told", "at", "source")
LEAVES = ("leave", "state", "start", "end", "type", "version")
HELD = ("start", "end", "type", "calven")


@click.command()
@common_options
@pass_common
def occupancy(common: Common) -> None:
    """Show the counts of each site's operating day, and what sensors read last.

    Calven has been told what it has accepted, or what is safe in a queue on its way there. "shadow" is what
    shadowed sources say: they are counted apart, and Calven is told nothing of it.
    """
    table = common.target().ledger()
    config = ConfigStore(table).current()
    with working("reading the ledger"):
        counts, readings = list(counts_now(table, config)), list(readings_now(table, config))
        if config.shadowed:
            counts += counts_now(table, config, shadow=True)
            readings += readings_now(table, config, shadow=True)
    if common.as_json:
        print_json({"counts": counts, "readings": readings})
        return
    for title, found in (("counted at doors", counts), ("read by sensors", readings)):
        click.echo(title if found else f"{title}: nothing")
        if found:
            print_table(
                COLUMNS, [[_cell(row.get(column)) for column in COLUMNS] for row in map(_words, found)]
            )


def counts_now(table: Table, config: Config, *, shadow: bool = False) -> Iterator[dict[str, Any]]:
    """The count of each place on its site's operating day, or those of shadowed sources."""
    headcount = Headcount(table)
    for site in config.sites:
        day, counts = headcount.today(config.places[site].location_id, config, shadow=shadow)
        for place, count in counts:
            if count.moved:
                continue
            yield {
                "site": site,
                "place": config.name_of(place) or count.name,
                "day": day.date.isoformat(),
                "people": count.people,
                "version": count.version,
                "reported": count.reported,
                "told": count.reported >= count.version,
                "told_people": _told(count.people, count),
                "at": iso_ms(count.at) if count.at else None,
                "source": config.named(count.source),
                "shadow": shadow,
            }


def readings_now(table: Table, config: Config, *, shadow: bool = False) -> Iterator[dict[str, Any]]:
    """What sensors said last of each place, or those of shadowed sources."""
    for location, last in Readings(table).latest(shadow=shadow):
        place = config.name_of(location)
        yield {
            "site": config.site(place) if place else None,
            "place": place or last.name,
            "people": last.people,
            "occupied": last.occupied,
            "version": last.version,
            "reported": last.reported,
            "told": last.reported >= last.version,
            "told_people": _told(last.occupied if last.people is None else last.people, last),
            "at": iso_ms(last.at),
            "source": config.named(last.source),
            "shadow": shadow,
        }


def _told(now: int | bool, last: Count | WatchedPlace) -> int | bool | None:
    """What Calven has been told last: a count, or whether there is anybody; None where nobody knows."""
    return now if last.reported >= last.version else last.reported_as


def _words(row: dict[str, Any]) -> dict[str, Any]:
    people = row["occupied"] if row["people"] is None else row["people"]
    before = "" if row["told_people"] is None else f"{_count(row['told_people'])}, "
    told = _count(people) if row["told"] else f"{before}not yet {_count(people)}"
    if row["shadow"]:
        told = "shadow"
    return {**row, "count": _count(people), "Calven has been told": told}


def _count(people: int | bool) -> str:
    """A count, or whether there is anybody, in words."""
    if isinstance(people, bool):
        return "some" if people else "none"
    return str(people)


def _cell(value: object) -> object:
    return "" if value is None else value


@click.group()
@common_options
def leave() -> None:
    """Leave, as the ledger holds it."""


@leave.command("show")
@click.argument("email", type=SomeText(), metavar="E-MAIL")
@common_options
@pass_common
def show_leave(common: Common, email: str) -> None:
    """Show an employee's leaves, the days that Calven may hold, and whether a submission is under way."""
    employee = Leaves(common.target().ledger()).employee(email)
    if employee is None:
        raise click.ClickException(f"the ledger holds nothing of {email!r}")
    shown = _employee(employee, ConfigStore(common.target().ledger()).current().shadowed)
    if common.as_json:
        print_json(shown)
        return
    click.echo(printable(shown["email"]))
    if shown["leaves"]:
        print_table(LEAVES, [[_cell(_marked(each)[column]) for column in LEAVES] for each in shown["leaves"]])
    else:
        click.echo("no approved leave")
    if shown["held"]:
        rows = [[h["start"], h["end"], h["type"] or "cancelled or unknown", _held(h)] for h in shown["held"]]
        print_table(HELD, rows)
    else:
        click.echo("no days away at Calven")
    if shown["lease"]:
        state = "under way" if shown["lease"]["active"] else "broken off"
        click.echo(f"a submission is {state}: its lease ends at {shown['lease']['until']}")


@leave.command("end")
@click.argument("source")
@click.option("--yes", is_flag=True, help="Do not ask.")
@common_options
@pass_common
def end_leave(common: Common, source: str, yes: bool) -> None:
    """End every approved leave of SOURCE that is not over, for a source that was taken out of relay.yaml.

    Each goes through the Unprocessed queue; Calven is told to give its days back.
    """
    target = common.target()
    config = ConfigStore(target.ledger()).current()
    _check_not_live(config, source)
    found = _not_over(target, config, source)
    if found and not yes:
        click.confirm(f"End {_leaves(len(found))} of {source}?", abort=True, err=True)
    envelopes = [(_ending(each, config), 0.0) for each in found]
    queues = Queues(target.client("sqs"), target.unprocessed_queue_url, target.dead_letter_queue_url)
    with working("ending leave"):
        queues.retry_later(envelopes)
    if common.as_json:
        print_json({"ended": len(found)})
    elif found:
        click.echo(f"{_leaves(len(found))} of {source} on the way to its end: `dlq list` shows what fails")
    else:
        click.echo(f"{source} has no approved leave that is not over")


def _check_not_live(config: Config, source: str) -> None:
    """An error for a source that is live, by the name that it has or by one that it had."""
    name = config.called(source)
    if name not in config.sources or config.sources[name].shadow:
        return
    live = f"{source!r} is live" if name == source else f"{source!r} is now {name!r}, which is live"
    raise click.ClickException(f"{live}: take it out of relay.yaml, and push that first")


def _not_over(target: Target, config: Config, source: str) -> list[ApprovedLeave]:
    """The approved leave of a source; an error for a name that nothing knows."""
    key = config.key(source)
    with working("reading the ledger"):
        leaves = list(approved(target))
        found = [each for each in leaves if each.source == key]
        if found or config.called(source) in config.sources:
            return found
        known = {*with_leave(target), *config.lineage.shadowed}
    if key not in known:
        configured = {config.key(name) for name in config.sources}
        behind = ", ".join(sorted({each.source for each in leaves} - configured))
        left = f"; leave is left of: {behind}" if behind else ""
        meant = did_you_mean(source, known.union(config.sources))
        raise click.ClickException(f"nothing is known of a source {source!r}{meant}{left}")
    return found


def _leaves(number: int) -> str:
    return "1 leave" if number == 1 else f"{number} leaves"


def _ending(leave: ApprovedLeave, config: Config) -> Envelope:
    """The end of a leave, of the version that it has: of equal ones an ending wins."""
    return Envelope(
        # By its name now: another source may have come to have the name that is this one's key.
        source=config.named(leave.source),
        vendor="unknown",
        kind="time_off",
        received_at=datetime.now(UTC),
        event=LeaveChange(
            event_id=uuid4().hex,
            leave_id=leave.leave_id,
            state="ended",
            version=leave.version,
            email=leave.email,
            start=leave.start,
            end=leave.end,
        ),
    )


def _held(run: dict[str, Any]) -> str:
    state = "confirmed" if run["confirmed"] else "unconfirmed"
    return f"{state}, stays while shadowed" if run["shadow"] else state


def _marked(leave: dict[str, Any]) -> dict[str, Any]:
    return {**leave, "state": f"{leave['state']}, shadow"} if leave["shadow"] else leave


def _held_runs(employee: Employee, shadowed: frozenset[str]) -> Iterator[dict[str, Any]]:
    """The days held, those together that are alike; `shadow` says of days that they stay as they are."""
    alike = employee.held_alike()
    days = {day: (alike[day], not held.origins.isdisjoint(shadowed)) for day, held in employee.held.items()}
    for start, end, (held, is_kept) in runs(days):
        yield {
            "start": start.isoformat(),
            "end": end.isoformat(),
            "type": held.type,
            "confirmed": held.confirmed,
            "shadow": is_kept,
        }


def _employee(employee: Employee, shadowed: frozenset[str]) -> dict[str, Any]:
    until = employee.lease.ends_at if employee.lease else None
    return {
        "email": employee.email,
        "leaves": [
            {
                "leave": name,
                "state": each.state,
                "start": each.start and each.start.isoformat(),
                "end": each.end and each.end.isoformat(),
                "except": sorted(day.isoformat() for day in each.gaps),
                "type": each.type,
                "version": each.version,
                "shadow": source_of(name) in shadowed,
            }
            for name, each in sorted(employee.leaves.items())
        ],
        "held": list(_held_runs(employee, shadowed)),
        "lease": until
        and {"until": datetime.fromtimestamp(until, UTC).isoformat(), "active": until > time.time()},
    }
