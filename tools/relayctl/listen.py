"""`relayctl listen`: what becomes of events, live, a line each."""

import json
import os
import time
from collections.abc import Collection
from dataclasses import asdict
from datetime import datetime
from typing import Any

import click
from botocore.exceptions import ClientError

from relay.events import iso
from relayctl import wording
from relayctl.event_log import EventLog, Follower, LoggedEvent
from relayctl.network import AWS_ERRORS
from relayctl.options import Age, Common, common_options, pass_common
from relayctl.output import printable
from relayctl.stopping import Stopped
from relayctl.target import Target
from relayctl.tracing import seconds

OUTCOMES = ("forwarded", "ignored", "queued", "dead-lettered", "refused", "unknown", "unavailable")
COLOURS = {"forwarded": "green", "ignored": "bright_black", "queued": "yellow"}
"""Any other outcome is red."""
SAID_WIDTH = 40
LOOK_SECONDS, LOCAL_LOOK_SECONDS = 2.0, 0.5
"""How often the log is looked at: AWS takes few questions a second, of a whole account."""
FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 1.0, 30.0
"""Waits after an error, which double."""
THROTTLED = ("ThrottlingException", "Throttling", "LimitExceededException", "ServiceUnavailableException")


@click.command()
@click.option("--source", "sources", multiple=True, help="Of this source; may be repeated.")
@click.option(
    "--outcome", "outcomes", multiple=True, type=click.Choice(OUTCOMES), help="With it; may be repeated."
)
@click.option("--since", type=Age(), default="0s", help="Also those that came so long ago: 90s, 10m, 2h.")
@common_options
@pass_common
def listen(common: Common, sources: tuple[str, ...], outcomes: tuple[str, ...], since: float) -> None:
    """Show what becomes of events, a line each, until it is told to stop: Ctrl-C."""
    try:
        _listen(_Listener(common, time.time() - since), sources, outcomes)
    except (KeyboardInterrupt, Stopped):
        # Told to stop, by Ctrl-C or by a signal: that is how it ends.
        return


def _listen(listener: "_Listener", sources: Collection[str], outcomes: Collection[str]) -> None:
    while True:
        for event in listener.next():
            if (not sources or event.source in sources) and (not outcomes or event.outcome in outcomes):
                listener.show(event)


class _Listener:
    """Follows a relay's log, and goes on when the relay restarts or AWS does not answer."""

    def __init__(self, common: Common, start: float) -> None:
        self._common = common
        self._start = start
        self._wait = FIRST_WAIT_SECONDS
        self._failing = False
        self._looked = False
        self._connect(common.target())

    def _connect(self, target: Target) -> None:
        self._endpoint = target.endpoint
        self._pause = LOCAL_LOOK_SECONDS if target.endpoint else LOOK_SECONDS
        self._doors = wording.doors_of(target)
        self._log: Follower = EventLog(target).follow(self._start)

    def next(self) -> list[LoggedEvent]:
        """What is new, after a pause; nothing after an error that passes."""
        if self._looked:
            time.sleep(self._pause)
        self._looked = True
        try:
            found = self._log.poll()
        except AWS_ERRORS as error:
            if not passes(error):
                raise
            self._recover(str(error))
            return []
        if self._failing:
            click.echo("the log answers again", err=True)
        self._failing, self._wait = False, FIRST_WAIT_SECONDS
        if found:
            self._start = found[-1].at
        return found

    def _recover(self, error: str) -> None:
        """Say what is wrong, once, and wait; a local relay that was restarted has another address."""
        if not self._failing:
            click.echo(f"the log does not answer, trying again: {printable(error)}", err=True)
        self._failing = True
        time.sleep(self._wait)
        self._wait = min(self._wait * 2, LONGEST_WAIT_SECONDS)
        if self._endpoint:
            self._connect_anew()

    def _connect_anew(self) -> None:
        try:
            target = self._common.target()
        except click.ClickException:
            return  # it is not there yet
        if target.endpoint != self._endpoint:
            self._connect(target)

    def show(self, event: LoggedEvent) -> None:
        """Print one event."""
        if self._common.as_json:
            click.echo(json.dumps(as_dict(event, self._doors)))
            return
        colour = False if os.environ.get("NO_COLOR") else None
        click.echo(line(event, datetime.now().astimezone(), self._doors), color=colour)


def passes(error: Exception) -> bool:
    """Whether an error of AWS passes by itself: throttling, its own faults, no connection."""
    if not isinstance(error, ClientError):
        return True
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return error.response["Error"]["Code"] in THROTTLED or status >= 500


def line(event: LoggedEvent, now: datetime, doors: wording.FindDoor) -> str:
    """An event in a line: local time, source, what it was, what became of it, the counts that changed."""
    at = datetime.fromtimestamp(event.at, now.tzinfo)
    moment = f"{at:%H:%M:%S}" if at.date() == now.date() else f"{at:%Y-%m-%d %H:%M:%S}"
    took = seconds(event.took_ms) if event.took_ms is not None else ""
    said = ", ".join(filter(None, (wording.outcome(event), wording.calven(event), took)))
    counts = printable(wording.counts(event))
    styled = click.style(printable(said), fg=COLOURS.get(event.outcome, "red"))
    gap = " " * (max(SAID_WIDTH - len(said), 0) + 2)
    source, what = printable(event.source), printable(wording.what(event, doors))
    return f"{moment}  {source:<16}  {what:<32}  {styled}" + (gap + counts if counts else "")


def as_dict(event: LoggedEvent, doors: wording.FindDoor) -> dict[str, Any]:
    """For `--json`: all that its line of the log says, and `text`, what it was in words."""
    return {**asdict(event), "at": iso(event.at), "text": wording.what(event, doors)}
