"""`relayctl send`: a signed event of any vendor, posted, and what reached Calven."""

import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, time
from pathlib import Path
from typing import Any

import click

from relayctl.changes import Changes, NoField, as_value
from relayctl.options import Common, SomeText, common_options, pass_common
from relayctl.output import counting, print_json, printable, working
from relayctl.send import ManySent, Plan, Sent, Wanted, plan, send_many
from relayctl.send import send as send_one

MOST_EVENTS = 10_000
_OF_A_DAY = re.compile(r"\d{1,2}:\d{2}(:\d{2})?")


class _Moment(click.ParamType[datetime | time]):
    """A time in ISO 8601, with or without a zone, or one of today such as 09:15."""

    name = "time"

    def convert(
        self, value: Any, parameter: click.Parameter | None, context: click.Context | None
    ) -> datetime | time:
        """The time; a usage error for any other text."""
        text = str(value).strip()
        try:
            if _OF_A_DAY.fullmatch(text):
                return time.fromisoformat(text.zfill(5) if text.count(":") == 1 else text.zfill(8))
            at = datetime.fromisoformat(text)
            at.astimezone(UTC)
            return at
        # The other one is at the edge of the calendar, beyond which UTC is.
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is no time such as 2026-11-26T09:15:00+11:00 or 09:15", parameter, context)


class _Field(click.ParamType[tuple[str, Any]]):
    """A field's dotted path, and the value that it is to have."""

    name = "field=value"

    def convert(
        self, value: Any, parameter: click.Parameter | None, context: click.Context | None
    ) -> tuple[str, Any]:
        """Path and value; a usage error for a text without both."""
        path, equals, text = str(value).partition("=")
        if not equals or not all(path.split(".")):
            self.fail(f"{value!r} is no field=value such as data.user.name=Sam", parameter, context)
        return path, as_value(text)


@click.command()
@click.argument("vendor", type=SomeText(), required=False)
@click.argument("event", type=SomeText(), required=False)
@click.option("--source", type=SomeText(), help="The source to post to; else the first one of that vendor.")
@click.option(
    "--url", type=SomeText(), help="Post to this URL instead: the API's, or the webhook's whole URL."
)
@click.option("--as-is", is_flag=True, help="The sample as recorded, with its old ids and times.")
@click.option("--door", type=SomeText(), metavar="ID", help="At this door, or by this sensor.")
@click.option("--person", type=SomeText(), metavar="E-MAIL|ID", help="By this person.")
@click.option("--at", type=_Moment(), help="At this time: ISO 8601, or 09:15 for today's at the site.")
@click.option(
    "--count",
    type=click.IntRange(1, MOST_EVENTS),
    default=1,
    metavar="N",
    help="So many events, each of another person.",
)
@click.option(
    "--set", "fields", type=_Field(), multiple=True, help="Set a field by its path; may be repeated."
)
@click.option(
    "--file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Not a sample, but a captured request, or a body.",
)
@common_options
@pass_common
def send(
    common: Common, /, door: str | None, person: str | None, fields: Sequence[tuple[str, Any]], **given: Any
) -> None:
    """Sign a sample EVENT of VENDOR, post it, and show what reached Calven."""
    wanted = Wanted(changes=Changes(door=door, person=person, fields=fields), **given)
    if wanted.vendor is None and wanted.file is None:
        raise click.UsageError("name a vendor (relayctl vendors lists them), or a --file")
    if wanted.as_is and (wanted.at is not None or wanted.count > 1):
        raise click.UsageError("--as-is keeps ids and times: neither --at nor --count goes with it")
    try:
        _send(common, wanted)
    except NoField as error:
        raise click.UsageError(str(error)) from None


def _send(common: Common, wanted: Wanted) -> None:
    target = common.target(default_local=True, url=wanted.url)
    made = plan(target, wanted)
    warnings = _warnings(made)
    for warning in warnings:
        click.echo(printable(f"warning: {warning}"), err=True)
    if wanted.count > 1:
        with counting("sent", common.as_json) as progress:
            many = send_many(target, made, wanted.url, wanted.count, progress)
        _show(common, many.as_dict(), warnings, lambda: _print_many(many))
        failed = any(status >= 400 for status, _ in many.answers)
    else:
        with working("sending"):
            sent = send_one(target, made, wanted.url)
        _show(common, sent.as_dict(), warnings, lambda: _print_sent(sent))
        failed = sent.status >= 400 and not sent.lost
    if failed:
        raise SystemExit(1)


def _warnings(made: Plan) -> list[str]:
    unknown = [f"the payload has no field {path!r}: it is added" for path in made.unknown_fields]
    return [*unknown, *map(str, made.misfits)]


def _show(common: Common, said: Mapping[str, Any], warnings: Sequence[str], show: Any) -> None:
    if common.as_json:
        print_json({**said, "warnings": warnings})
    else:
        show()


def _print_sent(sent: Sent) -> None:
    click.echo(f"POST {sent.url}")
    if sent.lost:
        click.echo("lost on purpose: the relay has not seen it")
        return
    click.echo(f"{sent.status} {sent.answer}")
    _print_calven(sent.calven)


def _print_many(many: ManySent) -> None:
    click.echo(f"POST {many.url}")
    for (status, answer), times in many.answers.items():
        click.echo(f"{times} times {status} {answer}")
    _print_calven(many.calven)


def _print_calven(requests: Sequence[Mapping[str, Any]] | None) -> None:
    if requests is None:
        click.echo("what reached Calven is not to be seen from here")
    elif not requests:
        click.echo("nothing reached Calven")
    for request in requests or ():
        click.echo(f"Calven {request['path']} answered {request['status']}: {json.dumps(request['body'])}")
