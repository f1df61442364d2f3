"""What a push does to who is inside: said before, and done after."""

import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import click

from relay import vendors
from relay.aws.queues import Queues, QueueUnavailable
from relay.aws.table import Table
from relay.config.file import RelayYaml
from relay.config.model import Config
from relay.config.versions import in_force, planned
from relay.deadline import Deadline
from relay.envelope import in_envelopes
from relay.errors import Contended, NotNow, TableUnavailable
from relay.occupancy.ledger import Headcount
from relay.occupancy.moves import Effect
from relay.occupancy.relocation import Relocation
from relay.occupancy.reported import Reports
from relay.occupancy.sensors import Readings
from relay.time_off.resumption import Resumption
from relayctl.output import working
from relayctl.target import Target

SECONDS = 600.0
"""So long moving people may take; what is left then is the schedule's."""


def ask(target: Target, relay: RelayYaml, *, yes: bool) -> None:
    """Say what the configuration does to people who are inside and to leave, and ask where it tells Calven.

    Raises `click.ClickException` where nobody can be asked, `click.Abort` where the answer is no.
    """
    table = target.ledger()
    with working("looking who is inside"):
        change = planned(table, relay, time.time())
        effects = _relocation(table).preview(change) if change else []
    # The changeover's old configuration has the new one's lineage, which knows no key of what goes.
    old = in_force(table) or Config()
    new = change.new if change else relay.config()
    lines = [*said(effects), *orphaned(target, old, new), *shadows(old, new)]
    for line in lines:
        click.echo(line, err=True)
    if not effects or yes:
        return
    if not on_a_terminal():
        raise click.ClickException("somebody is inside, so nothing was pushed: --yes pushes it")
    click.confirm("Push it?", abort=True, err=True)


def on_a_terminal() -> bool:
    """Whether there is somebody who can be asked."""
    return sys.stdin.isatty()


def said(effects: Sequence[Effect]) -> Iterator[str]:
    """A line for each place that has other people in it after the push."""
    for effect in effects:
        if effect.gone:
            inside = f"{effect.before} people" if effect.before != 1 else "1 person"
            yield f"{effect.place} goes, with {inside} in it: Calven is told that it is empty"
        else:
            yield f"{effect.place}: {effect.before} inside now, Calven is told {effect.after}"


def orphaned(target: Target, old: Config, new: Config) -> Iterator[str]:
    """A line for each source that goes and leaves approved leave behind."""
    kept = set(map(new.key, new.sources))
    gone = {old.key(name): name for name in old.sources if old.key(name) not in kept}
    if not gone:
        return
    with working("looking for leave"):
        left = Counter(leave.source for leave in approved(target))
    for key, name in gone.items():
        if left[key]:
            stay = "stays as it is" if left[key] == 1 else "stay as they are"
            them = "it" if left[key] == 1 else "them"
            yield f"{name} goes, and {left[key]} of its leaves {stay}: `relayctl leave end {key}` ends {them}"


def shadows(old: Config, new: Config) -> Iterator[str]:
    """A line for each source that is shadowed, and for each that is no more."""
    for name, source in new.sources.items():
        was = new.key(name) in old.shadowed
        if source.shadow and was:
            yield f"{name} stays shadowed: nothing of it is sent to Calven"
        elif source.shadow:
            yield f"{name} is shadowed from now on: nothing of it is sent to Calven, and nothing taken back"
        elif was:
            yield f"{name} is live from now on: {_what_is_sent(source.vendor)}"


def _what_is_sent(vendor: str) -> str:
    """What happens to the events of a source that is live again."""
    families = vendors.load(vendor).families
    said = {"access-control": "its events count", "hris": "its pending leave is sent to Calven"}
    return ", and ".join(said[family] for family in families)


@dataclass(frozen=True)
class ApprovedLeave:
    """A leave in the table that is approved and not over. `source` is its source's key in the ledger."""

    source: str
    leave_id: str
    email: str
    start: str
    end: str
    version: str


def approved(target: Target) -> Iterator[ApprovedLeave]:
    """Every leave that is approved and not over. It reads the whole table."""
    today = time.strftime("%Y-%m-%d", time.gmtime())
    scan = target.client("dynamodb").get_paginator("scan")
    pages = scan.paginate(
        TableName=target.table,
        FilterExpression="begins_with(pk, :leave) AND #state = :approved AND #end >= :today",
        ExpressionAttributeNames={"#state": "state", "#end": "end"},
        ExpressionAttributeValues={
            ":leave": {"S": "leave#"},
            ":approved": {"S": "approved"},
            ":today": {"S": today},
        },
    )
    for page in pages:
        for item in page["Items"]:
            source, leave_id = _leave_of(item)
            said = {name: str(item[name]["S"]) for name in ("email", "start", "end", "version")}
            yield ApprovedLeave(source, leave_id, **said)


def with_leave(target: Target) -> set[str]:
    """The keys of all sources that the table has leave of, ended leave too. It reads the whole table."""
    scan = target.client("dynamodb").get_paginator("scan")
    pages = scan.paginate(
        TableName=target.table,
        ProjectionExpression="pk",
        FilterExpression="begins_with(pk, :leave)",
        ExpressionAttributeValues={":leave": {"S": "leave#"}},
    )
    return {_leave_of(item)[0] for page in pages for item in page["Items"]}


def _leave_of(item: Mapping[str, Any]) -> tuple[str, str]:
    """The source's key and the leave's id that an item of the table is of."""
    source, _, leave_id = str(item["pk"]["S"]).removeprefix("leave#").partition("#")
    return source, leave_id


def carry_out(target: Target) -> int:
    """Move who is inside to where the configuration in force has them, and have Calven told; how many facts.

    What cannot be done now is done by the schedule: then it says so.
    """
    table = target.ledger()
    try:
        with working("moving who is inside"):
            facts = _relocation(table).carry_out(Deadline(time.time() + SECONDS, time.time))
        config = in_force(table) or Config()
        queues = Queues(target.client("sqs"), target.unprocessed_queue_url, target.dead_letter_queue_url)
        queues.retry_later([(envelope, 0) for envelope in in_envelopes(facts, config, time.time())])
        Reports(table).mark_queued([fact for _, fact in facts])
    except (TableUnavailable, Contended, QueueUnavailable) as error:
        click.echo(f"not all is told yet ({error}): the schedule tells it", err=True)
        return 0
    return len(facts)


def resume(target: Target) -> dict[str, int]:
    """Queue the pending leave of each source that is live again: how many leaves, by the source's name.

    What cannot be queued now the schedule queues: then it says so.
    """
    table = target.ledger()
    queues = Queues(target.client("sqs"), target.unprocessed_queue_url, target.dead_letter_queue_url)
    try:
        with working("looking for pending leave"):
            deadline = Deadline(time.time() + SECONDS, time.time)
            return Resumption(table, queues).queue_pending(in_force(table) or Config(), deadline)
    except (NotNow, QueueUnavailable) as error:
        click.echo(f"not all pending leave is queued yet ({error}): the schedule queues it", err=True)
        return {}


def _relocation(table: Table) -> Relocation:
    return Relocation(table, Headcount(table), Readings(table))
