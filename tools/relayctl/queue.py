"""`relayctl queue`: the events that wait in the Unprocessed queue and are tried again by themselves."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import click

from relayctl import ages, dead_letters
from relayctl.options import Common, common_options, pass_common
from relayctl.output import listing, print_json, print_table

COLUMNS = ("events", "reason", "source", "oldest")
FIELDS = ("reason", "source", "received_at")


@click.group()
@common_options
def queue() -> None:
    """The Unprocessed queue: what could not be forwarded yet."""


@queue.command("list")
@common_options
@pass_common
def list_waiting(common: Common) -> None:
    """List what waits, by reason and source. Reading gives every message back at once.

    An event that waits for its next attempt cannot be looked at: where there are such, exit code 1.
    """
    target = common.target()
    with listing("reading") as done:
        read = _Total(done)
        reading = dead_letters.read(target, None, read.add, FIELDS, target.unprocessed_queue_url)
    found = waiting(reading.letters, ages.now())
    if common.as_json:
        print_json({"waiting": found, "unseen": reading.hidden})
    else:
        _print(found)
    if reading.hidden:
        events = "1 event" if reading.hidden == 1 else f"{reading.hidden} events"
        click.echo(
            f"about {events} cannot be looked at: they wait for their next attempt, or are tried just now; "
            "the log's lines `queued` have their reasons",
            err=True,
        )
        raise SystemExit(1)


class _Total:
    """Tells how many have been read in all."""

    def __init__(self, done: Any) -> None:
        self._done, self._number = done, 0

    def add(self, number: int) -> None:
        """So many more."""
        self._number += number
        self._done(self._number)


def waiting(envelopes: Sequence[dict[str, Any]], now: datetime) -> list[dict[str, Any]]:
    """How many there are of each reason and source, and how old the oldest is; the most first."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for envelope in envelopes:
        groups[str(envelope.get("reason", "")), str(envelope.get("source", ""))].append(envelope)
    found = [
        {
            "reason": reason,
            "source": source,
            "count": len(group),
            "oldest": group[0].get("received_at"),
            "age": ages.age(group[0], now),
        }
        for (reason, source), group in groups.items()
    ]
    return sorted(found, key=lambda each: (-each["count"], each["reason"], each["source"]))


def _print(found: Sequence[dict[str, Any]]) -> None:
    if not found:
        click.echo("nothing that can be looked at waits")
        return
    print_table(COLUMNS, [[each["count"], each["reason"], each["source"], each["age"]] for each in found])
