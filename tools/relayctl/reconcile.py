"""`relayctl reconcile`: asks vendors what happened, and puts what the ledger lacks into the queue."""

from collections.abc import Sequence
from datetime import date, datetime

import click

from relay import vendors
from relay.aws.queues import QueueUnavailable
from relay.config.file import did_you_mean
from relay.errors import NotNow
from relay.invocation import Invocation
from relay.reconciliation import rules
from relay.reconciliation.report import Report
from relay.reconciliation.source import hindrance, reconcile
from relay.reconciliation.wishes import Wishes
from relayctl.differences import Found, Sight, is_well, print_found, say_if_refused
from relayctl.in_process import invocation_of
from relayctl.options import Common, common_options, pass_common
from relayctl.output import listing, print_json
from relayctl.recent_push import wait_for_push

DAY = click.DateTime(["%Y-%m-%d"])
EARLIEST, LATEST = date(1900, 1, 1), date(2999, 12, 31)
"""What is asked for is counted on from these days, month by month: the calendar must not end there."""


@click.command("reconcile")
@click.argument("sources", nargs=-1, metavar="[SOURCE]...")
@click.option("--from", "first", type=DAY, help="The first day of which leave is listed: else a week ago.")
@click.option("--to", "last", type=DAY, help="The last day of which leave is listed: else in 400 days.")
@click.option("--dry-run", "dry", is_flag=True, help="Change nothing; exit code 1 if there are differences.")
@click.option("--accept-ends", is_flag=True, help="Believe a list that lacks many leaves.")
@common_options
@pass_common
def reconcile_sources(
    common: Common,
    sources: Sequence[str],
    first: datetime | None,
    last: datetime | None,
    dry: bool,
    accept_ends: bool,
) -> None:
    """Ask each SOURCE what happened, or all that can be asked, and queue what the ledger lacks.

    Exit code 1 where a source was not listed to its end, or where its list would end too many leaves.
    """
    first_day, last_day = as_days(first, last)
    target = common.target()
    if not dry:
        wait_for_push(target)
    with invocation_of(target) as invocation:
        _check_window(first_day, last_day, invocation.utc_now().date())
        names = _named(sources, invocation) if sources else _askable(invocation)
        if first_day or last_day:
            _say_what_days_are_for(names, invocation)
        found: list[Found] = []
        for name in names:
            sight = Sight(invocation.table)
            with listing(f"asking {name}") as progress:
                wishes = Wishes(
                    by_hand=True,
                    dry=dry,
                    accept_ends=accept_ends,
                    first=first_day,
                    last=last_day,
                    progress=progress,
                    look=sight.look,
                )
                report = _report(invocation, name, wishes)
            found.append(Found(report, sight.seen, invocation.config.is_shadowed(name)))
    if common.as_json:
        print_json([one.as_dict() for one in found])
    else:
        print_found(found, there="in the HR system", dry=dry)
    for one in found:
        say_if_refused(one.report, f"reconcile {one.report.source}")
    if not is_well(found, dry=dry):
        raise SystemExit(1)


def as_days(first: datetime | None, last: datetime | None) -> tuple[date | None, date | None]:
    """The days of `--from` and `--to`; a usage error where the second is before the first."""
    if first and last and last < first:
        raise click.UsageError("--to is before --from")
    return first and first.date(), last and last.date()


def _check_window(asked_first: date | None, asked_last: date | None, today: date) -> None:
    """A usage error for days that nothing can be asked about: none at all, or those of another age."""
    first, last = asked_first or rules.first_day(today), asked_last or rules.last_day(today)
    if last < first:
        raise click.UsageError(f"the last day, {last}, is before the first one, {first}")
    if first < EARLIEST or last > LATEST:
        raise click.UsageError(f"--from and --to are days from {EARLIEST} to {LATEST}")


def _say_what_days_are_for(names: Sequence[str], invocation: Invocation) -> None:
    """Name the sources of which `--from` and `--to` say nothing: their events are those of the open days."""
    for name in names:
        families = vendors.load(invocation.config.sources[name].vendor).families
        if "hris" not in families:
            click.echo(f"{name} is listed for its open days: --from and --to are about leave", err=True)


def check_source(name: str, invocation: Invocation) -> None:
    """A usage error where a source is not configured, with what may have been meant."""
    known = invocation.config.sources
    if name not in known:
        raise click.UsageError(f"no source {name!r} is configured{did_you_mean(name, known)}")


def _named(sources: Sequence[str], invocation: Invocation) -> list[str]:
    for name in sources:
        check_source(name, invocation)
    return list(dict.fromkeys(sources))


def _askable(invocation: Invocation) -> list[str]:
    """All sources that can be asked; those that could be, but for their secret, are named."""
    names: list[str] = []
    for name, source in invocation.config.sources.items():
        why = hindrance(invocation, name)
        if not why:
            names.append(name)
        elif source.enabled and vendors.load(source.vendor).lists is not None:
            click.echo(f"{name} is not asked: {why}", err=True)
    if not names:
        click.echo("there is no source that can be asked what happened", err=True)
    return names


def _report(invocation: Invocation, name: str, wishes: Wishes) -> Report:
    """What a source's run found; a run that AWS ends is one that is incomplete."""
    vendor = invocation.config.sources[name].vendor
    try:
        if why := hindrance(invocation, name):
            return Report(name, vendor, "unable", why)
        return reconcile(invocation, name, wishes)
    except (NotNow, QueueUnavailable) as error:
        return Report(name, vendor, "incomplete", f"{type(error).__name__}: {error}")
