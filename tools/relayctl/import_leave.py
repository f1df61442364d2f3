"""`relayctl import`: compares a file of leave with the ledger, and puts what differs into the queue."""

import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import date
from pathlib import Path

import click

from relay import vendors
from relay.aws.queues import QueueUnavailable
from relay.errors import NotNow
from relay.events import LeaveChange, MalformedEvent, iso
from relay.invocation import Invocation
from relay.reconciliation.leave_import import LeaveFile, LeaveImport
from relay.reconciliation.report import Report
from relay.reconciliation.wishes import Wishes
from relay.time_off.decision import arrival_of
from relay.vendors.support.base import Vendor
from relayctl import leave_file
from relayctl.differences import Found, Sight, is_well, print_found, say_if_refused
from relayctl.in_process import invocation_of
from relayctl.leave_file import BadFile, Fault, Lines
from relayctl.options import Common, common_options, pass_common
from relayctl.output import listing, print_json
from relayctl.reconcile import check_source

STANDARD_INPUT = "-"


@click.command("import")
@click.argument("source")
@click.argument("file")
@click.option(
    "--snapshot", is_flag=True, help="The file holds all leave that is not over: the rest has ended."
)
@click.option("--dry-run", "dry", is_flag=True, help="Change nothing; exit code 1 if there are differences.")
@click.option("--skip-faulty", is_flag=True, help="Import the other lines where some are faulty.")
@click.option("--accept-ends", is_flag=True, help="Believe a snapshot that lacks many leaves.")
@common_options
@pass_common
def import_leave(
    common: Common, source: str, file: str, snapshot: bool, dry: bool, skip_faulty: bool, accept_ends: bool
) -> None:
    """Compare the leave in FILE (- for standard input) with that of SOURCE, and queue what differs.

    FILE is CSV with a header, or JSON lines of the generic format. Exit code 1 where a line is faulty and
    not to be skipped, and where a snapshot would end too many leaves.
    """
    content = _content(file)
    with invocation_of(common.target()) as invocation:
        vendor = _vendor(source, invocation)
        read_at = iso(invocation.now())
        lines = _lines(content, read_at, source, invocation)
        for fault in lines.faults:
            click.echo(str(fault), err=True)
        if lines.faults and not skip_faulty:
            detail = f"{_lines_at_fault(lines)} cannot be imported, so that none is"
            found = Found(Report(source, vendor.name, "incomplete", detail), ())
        else:
            entries = _entries(lines, snapshot)
            read = LeaveFile(entries, read_at, _today(), snapshot)
            found = _imported(invocation, source, vendor, read, dry=dry, accept_ends=accept_ends)
    if common.as_json:
        print_json({**found.as_dict(), "faulty": [asdict(fault) for fault in lines.faults]})
    else:
        print_found([found], there="in the file", dry=dry)
    say_if_refused(found.report, f"import {source} {file} --snapshot")
    if not is_well([found], dry=dry):
        raise SystemExit(1)


def _content(file: str) -> bytes:
    if file == STANDARD_INPUT:
        return sys.stdin.buffer.read()
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise click.ClickException(f"{file}: {error.strerror}") from None


def _vendor(source: str, invocation: Invocation) -> Vendor:
    """The vendor of a source whose leave may be imported."""
    check_source(source, invocation)
    configured = invocation.config.sources[source]
    vendor = vendors.load(configured.vendor)
    if "hris" not in vendor.families:
        raise click.UsageError(f"{source} is no HR system: it has no leave")
    if not configured.enabled:
        raise click.ClickException(f"{source} is not enabled")
    return vendor


def _lines(content: bytes, read_at: str, source: str, invocation: Invocation) -> Lines:
    """The lines of a file. A leave that Calven cannot be told of is a fault of its line."""
    try:
        read = leave_file.read(content, read_at)
    except BadFile as error:
        raise click.ClickException(f"nothing is imported: {error}") from None
    configured, today = invocation.config.sources[source], invocation.utc_now().date()
    found = Lines(faults=read.faults)
    for entry in read.entries:
        refused = arrival_of(entry.change, source, configured, today).refused
        if refused is None:
            found.entries.append(entry)
        else:
            found.faults.append(Fault(entry.line, "", str(refused)))
    found.faults.sort(key=lambda fault: fault.line)
    return found


def _entries(lines: Lines, snapshot: bool) -> Sequence[LeaveChange | MalformedEvent]:
    """What is compared. A faulty line of a snapshot may be any leave that seems to be missing."""
    faulty = {fault.line for fault in lines.faults} if snapshot else set[int]()
    unreadable = [MalformedEvent(body="", detail=f"line {line}") for line in sorted(faulty)]
    return [*(entry.change for entry in lines.entries), *unreadable]


def _lines_at_fault(lines: Lines) -> str:
    number = len({fault.line for fault in lines.faults})
    return "1 line" if number == 1 else f"{number} lines"


def _today() -> date:
    # By the clock of this machine: whoever exports the leave that is not over has the same day.
    return date.today()  # noqa: DTZ011


def _imported(
    invocation: Invocation, source: str, vendor: Vendor, file: LeaveFile, *, dry: bool, accept_ends: bool
) -> Found:
    sight = Sight(invocation.table)
    try:
        with listing(f"comparing {source}") as progress:
            wishes = Wishes(
                by_hand=True, dry=dry, accept_ends=accept_ends, progress=progress, look=sight.look
            )
            report = LeaveImport(invocation, source, vendor, file, wishes).run()
    except (NotNow, QueueUnavailable) as error:
        report = Report(source, vendor.name, "incomplete", f"{type(error).__name__}: {error}")
    return Found(report, sight.seen, invocation.config.is_shadowed(source))
