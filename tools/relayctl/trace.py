"""`relayctl trace`: the way of one webhook's events, step by step."""

from datetime import datetime

import click

from relayctl.options import Common, common_options, pass_common
from relayctl.output import listing, print_json, printable
from relayctl.tracing import Trace, Way, trace

SHOWN = 20
"""So many of the ids that a beginning may mean are shown."""


@click.command("trace")
@click.argument("id_", metavar="ID")
@common_options
@pass_common
def trace_event(common: Common, id_: str) -> None:
    """Show the way of the webhook with this ID: a correlation id, an event's or an envelope's.

    ID may be the beginning of one. Exit code 1 where nothing has it, or several things do.
    """
    if not id_.strip():
        raise click.UsageError("ID is empty")
    target = common.target()
    with listing("reading the log") as read:
        total = 0

        def page(lines: int) -> None:
            nonlocal total
            total += lines
            read(total)

        found = trace(target, id_, page)
    if common.as_json:
        print_json(found.as_dict())
    else:
        _print(found)
    if not found.ways:
        raise click.ClickException(_nothing(id_, found))


def _print(found: Trace) -> None:
    for number, way in enumerate(found.ways):
        if number:
            click.echo()
        _print_way(way)


def _print_way(way: Way) -> None:
    click.secho(printable(f"{way.what}   {way.source}"), bold=True)
    for name in way.ids:
        click.echo(printable(f"  id {name}"))
    for step in way.steps:
        at = datetime.fromtimestamp(step.at).astimezone()
        moment = f"{at:%Y-%m-%d %H:%M:%S}.{at.microsecond // 1000:03d}"
        click.echo(printable(f"  {moment}  {step.name:<14}{step.text}".rstrip()))
    click.echo(printable(f"  now: {way.now.text}"))


def _nothing(id_: str, found: Trace) -> str:
    """Why there is nothing to show."""
    if not found.meant:
        return f"nothing has the id {id_!r}: looked in {', '.join(found.searched)}, 31 days back"
    shown = ", ".join(map(printable, found.meant[:SHOWN]))
    more = len(found.meant) - SHOWN
    return f"{id_!r} may be any of {shown}{f' and {more} more' if more > 0 else ''}: say more of it"
