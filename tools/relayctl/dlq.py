"""`relayctl dlq`: the dead letters of a relay, and what an operator does with them."""

import base64
import json
import sys
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from datetime import datetime
from functools import wraps
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.progress import Progress

from relay.config.file import did_you_mean
from relayctl import ages, dead_letters
from relayctl.dead_letters import Reading, Selection
from relayctl.options import Age, Common, Number, common_options, pass_common
from relayctl.output import print_json, print_json_array, print_table, printable, working
from relayctl.target import Target

REASONS = (
    "unmapped_door",
    "unknown_user",
    "unknown_location",
    "rejected",
    "unparseable",
    "open_ended",
    "no_email",
    "invalid_dates",
    "unknown_leave",
    "vendor_refused",
    "stale_time",
    "too_large",
    "retries_exhausted",
    "unreadable",
)
"""Why an event becomes a dead letter."""
T = TypeVar("T")
SHOWN = 50
COLUMNS = ("id", "reason", "source", "kind", "age", "detail")


def selecting(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that say which letters are meant: those that fit all of them; without any, all."""

    @wraps(command)
    def chosen(*arguments: Any, **given: Any) -> None:
        everything = given.pop("everything")
        for reason in given["reasons"]:
            _check_reason(reason)
        if not all(map(str.strip, given["ids"])):
            # Every id begins like that: a variable of a script that is not set would mean all letters.
            raise click.UsageError("--id is empty")
        selection = Selection(
            ids=frozenset(given.pop("ids")),
            reasons=frozenset(given.pop("reasons")),
            sources=frozenset(given.pop("sources")),
            older_than=given.pop("older_than"),
            newer_than=given.pop("newer_than"),
        )
        if everything and selection != Selection():
            raise click.UsageError("--all and a choice exclude each other")
        command(*arguments, selection=selection, **given)

    for option in (
        click.option("--newer-than", type=Age(), help="Received at most so long ago."),
        click.option("--older-than", type=Age(), help="Received at least so long ago: 90s, 15m, 2h, 3d."),
        click.option("--source", "sources", multiple=True, help="Of this source; may be repeated."),
        click.option("--reason", "reasons", multiple=True, help="With this reason; may be repeated."),
        click.option("--id", "ids", multiple=True, help="With this id; may be repeated."),
        click.option("--all", "everything", is_flag=True, help="All of them, which is the default."),
    ):
        chosen = option(chosen)
    return chosen


def _check_reason(reason: str) -> None:
    """A usage error for a reason that no letter ever has: a typing error would choose nothing, in silence."""
    if reason not in REASONS:
        known = ", ".join(REASONS)
        raise click.UsageError(
            f"unknown reason {reason!r}{did_you_mean(reason, REASONS)} (there are: {known})"
        )


@click.group()
@common_options
def dlq() -> None:
    """The dead-letter queue: what could not be forwarded as it stands."""


@dlq.command("list")
@selecting
@common_options
@pass_common
def list_letters(common: Common, selection: Selection) -> None:
    """List the dead letters, by reason and source. Reading gives every message back at once."""
    reading = _read(common, selection, None if common.as_json else COLUMNS)
    envelopes = reading.letters
    if common.as_json:
        print_json_array(envelopes)
        _complete(reading)
        return
    now = ages.now()
    if envelopes:
        _print_summary(envelopes, now)
        print_table(COLUMNS, [_row(envelope, COLUMNS, now) for envelope in envelopes[:SHOWN]])
    if len(envelopes) > SHOWN:
        click.echo(f"and {len(envelopes) - SHOWN} more: --json and `dlq export` have them all")
    click.echo(_letters(len(envelopes)))
    _complete(reading)


def _read(common: Common, selection: Selection, fields: Collection[str] | None = None) -> Reading:
    """The letters, or these fields of them, with a bar on standard error where that is a terminal."""
    target = common.target()
    return _with_progress(
        common, target, "reading", lambda done: dead_letters.read(target, selection, done, fields)
    )


def _by_whole_ids(common: Common, selection: Selection) -> Selection:
    """The same letters by their whole ids; an error for an id of none, or one that several begin with."""
    if not selection.ids:
        return selection
    reading = _read(common, Selection(ids=selection.ids), ("id",))
    ids = [str(letter.get("id")) for letter in reading.letters]
    found = {_the_one(wanted, ids, reading) for wanted in sorted(selection.ids)}
    return replace(selection, ids=frozenset(), known=frozenset(found))


def _the_one(wanted: str, ids: Sequence[str], reading: Reading) -> str:
    """The one of some ids that is this one, or begins with it; an error where there is none, or several."""
    begin = list(dict.fromkeys(each for each in ids if each.startswith(wanted)))
    if wanted in begin:
        return wanted
    if not begin:
        _complete(reading)
        raise click.ClickException(f"there is no dead letter {wanted!r}")
    if len(begin) > 1:
        some = ", ".join(begin[:5])
        raise click.ClickException(f"{len(begin)} dead letters begin with {wanted!r}: {some}")
    return begin[0]


def _complete(reading: Reading) -> None:
    """Exit code 1 where some letters could not be seen."""
    if reading.hidden:
        _say_hidden(reading.hidden)
        raise SystemExit(1)


def _say_hidden(number: int) -> None:
    message = f"about {number} more are hidden: somebody is reading them just now; try again"
    click.echo(message, err=True)


def _print_summary(envelopes: Sequence[dict[str, Any]], now: datetime) -> None:
    """How many there are of each reason and source, and how old the oldest is; the most first."""
    counts = Counter((str(e.get("reason", "")), str(e.get("source", ""))) for e in envelopes)
    oldest = {(str(e.get("reason", "")), str(e.get("source", ""))): e for e in reversed(envelopes)}
    rows = [[number, *key, ages.age(oldest[key], now)] for key, number in counts.most_common()]
    print_table(("letters", "reason", "source", "oldest"), rows)
    click.echo()


def _row(envelope: dict[str, Any], columns: Sequence[str], now: datetime) -> list[Any]:
    return [ages.age(envelope, now) if c == "age" else envelope.get(c, "") for c in columns]


def _letters(number: int) -> str:
    return f"{number} dead letter{'' if number == 1 else 's'}"


@dlq.command()
@click.argument("letter_id", metavar="ID")
@common_options
@pass_common
def show(common: Common, letter_id: str) -> None:
    """Show one dead letter: its whole envelope, and the body of the request if it holds one."""
    if not letter_id.strip():
        raise click.UsageError("ID is empty")
    reading = _read(common, Selection(ids=frozenset({letter_id})))
    whole = _the_one(letter_id, [str(one.get("id")) for one in reading.letters], reading)
    found = [one for one in reading.letters if one.get("id") == whole]
    print_json(found[0])
    body = (found[0].get("request") or {}).get("body")
    if body and not common.as_json:
        text = base64.b64decode(body).decode("utf-8", "replace")
        click.echo("body of the request:")
        click.echo("\n".join(map(printable, text.splitlines())))


@dlq.command()
@selecting
@common_options
@pass_common
def export(common: Common, selection: Selection) -> None:
    """Print the dead letters as JSON lines: one envelope on each."""
    reading = _read(common, selection)
    for envelope in reading.letters:
        click.echo(json.dumps(envelope))
    _complete(reading)


@dlq.command()
@selecting
@click.option("--rate", type=Number(min=0, min_open=True), help="At most so many letters a second.")
@click.option("--dry-run", is_flag=True, help="Say what would be sent, and send nothing.")
@click.option(
    "--wait",
    type=Number(min=0),
    default=15,
    show_default=True,
    help="So many seconds at most to see what becomes of them.",
)
@common_options
@pass_common
def redrive(common: Common, rate: float | None, dry_run: bool, wait: float, selection: Selection) -> None:
    """Send dead letters through the relay again, once their cause is mended, and say what became of them.

    Exit code 1 where some came back, or could not be sent.
    """
    target = common.target()
    selection = _by_whole_ids(common, selection)
    if dry_run:
        reading = _read(common, selection, ())
        number = len(reading.letters)
        if common.as_json:
            print_json({"redriven": 0, "meant": number})
        else:
            click.echo(f"{_letters(number)} would be sent through the relay again")
        _complete(reading)
        return
    redriven = _with_progress(
        common, target, "redriving", lambda done: dead_letters.redrive(target, selection, done, rate=rate)
    )
    with working("waiting for what becomes of them"):
        waiting = dead_letters.until_tried(target, wait) if redriven.sent else 0
        back = dead_letters.came_back(target, redriven.sent) if redriven.sent else []
    reasons = Counter(str(letter.get("reason")) for letter in back)
    number = len(redriven.sent)
    if common.as_json:
        meant = number + redriven.left
        print_json({"redriven": number, "meant": meant, "back": dict(reasons), "waiting": waiting})
    else:
        click.echo(f"{_letters(number)} sent through the relay again")
        for reason, times in reasons.most_common():
            click.echo(f"{times} of them came back: {reason}")
        if waiting:
            click.echo(f"about {waiting} events still wait in the queue: `relayctl doctor` says since when")
        if redriven.left:
            click.echo(
                f"about {redriven.left} more were hidden: somebody is reading them; try again", err=True
            )
    if redriven.left or back:
        raise SystemExit(1)


@dlq.command()
@selecting
@click.option("--yes", is_flag=True, help="Do not ask.")
@common_options
@pass_common
def purge(common: Common, yes: bool, selection: Selection) -> None:
    """Delete dead letters for good, after a confirmation. Exit code 1 where some could not be seen."""
    target = common.target()
    selection = _by_whole_ids(common, selection)
    if not yes:
        letters = _read(common, selection, ("id",)).letters
        click.confirm(f"Delete {_letters(len(letters))} for good?", abort=True, err=True)
        # What has come since was not asked about.
        selection = replace(selection, known=frozenset(str(letter.get("id")) for letter in letters))
    purged = _with_progress(
        common, target, "deleting", lambda done: dead_letters.purge(target, selection, done)
    )
    number = len(purged.sent)
    if common.as_json:
        print_json({"purged": number})
    else:
        click.echo(f"{_letters(number)} deleted")
    if purged.left:
        _say_hidden(purged.left)
        raise SystemExit(1)


def _with_progress(common: Common, target: Target, what: str, act: Callable[[dead_letters.Done], T]) -> T:
    """Do something to the letters with a bar on standard error, where that is a terminal.

    A terminal that gets JSON on standard output gets no bar between it.
    """
    if not sys.stderr.isatty() or (common.as_json and sys.stdout.isatty()):
        return act(lambda _: None)
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=dead_letters.about(target))
        return act(lambda number: progress.advance(task, number))
