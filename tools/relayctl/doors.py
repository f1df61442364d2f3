"""`relayctl doors`: the doors and sensors of a source, with the vendor's names, and where they lead."""

from collections.abc import Sequence

import click

from relay import vendors
from relay.config.versions import pull
from relay.invocation import Invocation
from relayctl import known_doors
from relayctl.in_process import invocation_of
from relayctl.known_doors import Known
from relayctl.options import Common, common_options, pass_common
from relayctl.output import listing, print_json, print_table, working
from relayctl.reconcile import check_source

COLUMNS = ("id", "name", "last seen", "place", "direction")
UNMAPPED = "unmapped"


@click.command("doors")
@click.argument("source")
@common_options
@pass_common
def list_doors(common: Common, source: str) -> None:
    """List the doors and sensors of SOURCE, with the vendor's names; those without a place first.

    Known is what the configuration places, what events named within 90 days, and, where the vendor's API
    lists doors and the source's secret has `api`, what there is. Exit code 1 where something is missing.
    """
    target = common.target()
    with invocation_of(target) as invocation:
        check_source(source, invocation)
        _check_family(source, invocation)
        with working("reading dead letters"):
            letters = known_doors.read_letters(target)
        with listing(f"asking {source}") as progress:
            asked = known_doors.ask_vendor(invocation, source, progress)
        found = known_doors.merged(
            known_doors.configured(pull(invocation.table), source),
            [known for known in letters.named if known.source == source],
            known_doors.seen_by(invocation, source),
            known_doors.listed_as(source, asked.listed),
        )
        cut_off = known_doors.cut_off(invocation, source)
    missing = [*filter(None, (asked.cannot, asked.failed)), *letters.missing, *cut_off]
    if common.as_json:
        print_json({"source": source, "doors": [known.as_dict() for known in found], "missing": missing})
    else:
        _print(source, found)
        for what in missing:
            click.echo(f"missing: {what}", err=True)
    if missing:
        raise SystemExit(1)


def _check_family(source: str, invocation: Invocation) -> None:
    """A usage error for an HR system, which has no doors."""
    vendor = vendors.load(invocation.config.sources[source].vendor)
    if "access-control" not in vendor.families:
        raise click.UsageError(f"{source!r} is an HR system: it has no doors")


def _print(source: str, found: Sequence[Known]) -> None:
    if not found:
        click.echo(f"no door or sensor of {source} is known", err=True)
        return
    rows = [
        (
            known.id,
            known.name or "",
            (known.last_seen or "never")[:16].replace("T", " "),
            known.place or UNMAPPED,
            known.direction or "",
        )
        for known in found
    ]
    print_table(COLUMNS, rows)
