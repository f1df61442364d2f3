"""The commands. Exit codes: 0 done, 1 failed or a check found a problem, 2 wrong usage."""

from typing import Any

import click

from relay.errors import TableUnavailable, TooLarge
from relay.vendors.support.memory import VendorMemory
from relayctl import stopping, streams, vendors
from relayctl.audit import audit_calven
from relayctl.calven import calven
from relayctl.configure import config
from relayctl.console import console
from relayctl.dlq import dlq
from relayctl.doctor import doctor
from relayctl.doors import list_doors
from relayctl.import_leave import import_leave
from relayctl.ledger import leave, occupancy
from relayctl.listen import listen
from relayctl.network import AWS_ERRORS
from relayctl.options import Common, common_options, pass_common
from relayctl.output import print_json, print_table, printable
from relayctl.queue import queue
from relayctl.reconcile import reconcile_sources
from relayctl.secrets import secrets
from relayctl.sending import send
from relayctl.shadow import shadow
from relayctl.trace import trace_event


class _Commands(click.Group):
    """A group whose commands fail in one line when AWS or this machine does."""

    def main(self, *arguments: Any, **options: Any) -> Any:
        """Run as a program; a file or a stream that fails becomes a message and exit code 1."""
        streams.open_closed()
        try:
            return super().main(*arguments, **options)
        except OSError as error:
            streams.drop_unwritten()
            file = f"{error.filename}: " if error.filename else ""
            click.echo(f"Error: {file}{error.strerror or error}", err=True)
            raise SystemExit(1) from None

    def invoke(self, context: click.Context) -> object:
        """Run the command; AWS's errors become a message and exit code 1."""
        try:
            with stopping.at_once():
                return super().invoke(context)
        except (*AWS_ERRORS, TableUnavailable, TooLarge) as error:
            raise click.ClickException(str(error)) from None


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="calven-relay")
@common_options
def main() -> None:
    """Run, configure and operate the relay."""


@main.command()
@common_options
def local() -> None:
    """Run the relay on this machine, as `make run` does."""
    from localrun.run import run  # noqa: PLC0415 - the other commands need none of what it imports

    raise SystemExit(run())


@main.command("vendors")
@common_options
@pass_common
def list_vendors(common: Common) -> None:
    """List the systems whose webhooks are understood."""
    if common.as_json:
        print_json([vendors.summary(vendor) for vendor in vendors.records()])
        return
    print_table(vendors.COLUMNS, [vendors.row(vendor) for vendor in vendors.records()])


@main.command()
@click.argument("source")
@common_options
@pass_common
def handshake(common: Common, source: str) -> None:
    """Show the secrets that a vendor handed over for SOURCE within a day, the latest first."""
    target = common.target()
    offered = VendorMemory(target.ledger()).offered(source)
    if common.as_json:
        print_json(offered)
    elif offered:
        click.echo("\n".join(map(printable, offered)))
    if not offered:
        raise click.ClickException(f"nothing was handed over for {source!r} within a day")


calven.add_command(audit_calven)
COMMANDS = (
    calven,
    config,
    console,
    dlq,
    doctor,
    import_leave,
    leave,
    list_doors,
    listen,
    occupancy,
    queue,
    reconcile_sources,
    secrets,
    send,
    shadow,
    trace_event,
)
for command in COMMANDS:
    main.add_command(command)
