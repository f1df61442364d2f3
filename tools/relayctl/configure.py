"""`relayctl config`: the configuration checked, pushed, pulled, compared and taken back."""

import difflib
import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import click

from relay.aws.table import Conflict
from relay.config.file import RelayYaml
from relay.config.versions import (
    UnknownVersion,
    earlier_version,
    history,
    in_force,
    pull,
    push,
    rollback,
)
from relayctl import pushing, relay_yaml
from relayctl.options import Common, common_options, pass_common
from relayctl.output import counting, print_json, print_table, working
from relayctl.suggest import suggest
from relayctl.target import Target, tell_sandbox

YAML_FILE = click.argument("file", type=click.Path(path_type=Path), required=False)
YES = click.option("--yes", is_flag=True, help="Do not ask.")
MOST_SHOWN = 20
SOON = "functions take it up within a minute"
CONFLICT = "somebody else pushed meanwhile: look at theirs (`config diff`), then try again"


@click.group()
@common_options
def config() -> None:
    """The configuration, `relay.yaml`."""


@config.command()
@YAML_FILE
@common_options
@pass_common
def validate(common: Common, file: Path | None) -> None:
    """Check FILE (`RELAY_CONFIG`, or relay.yaml) and name each line at fault."""
    found, holds, odd = _looked_at(_file(file))
    if common.as_json:
        print_json({"valid": not found, "problems": found, "holds": holds, "warnings": odd})
    elif found:
        click.echo(_first_few(found), err=True)
    else:
        counts = ", ".join(
            f"{number} {what.removesuffix('s') if number == 1 else what}" for what, number in holds.items()
        )
        click.echo(f"{_file(file)}: valid ({counts})")
        click.echo("".join(f"warning: {what}\n" for what in odd), err=True, nl=False)
    if found:
        raise SystemExit(1)


def _first_few(problems: list[str]) -> str:
    """The first problems, and how many more there are."""
    more = len(problems) - MOST_SHOWN
    return "\n".join([*problems[:MOST_SHOWN], *([f"and {more} more"] if more > 0 else [])])


def _looked_at(file: Path) -> tuple[list[str], dict[str, int], list[str]]:
    """What is wrong with a file; else what it holds, and what is odd about it."""
    try:
        with working("reading the file"):
            relay = relay_yaml.load(file)
    except relay_yaml.InvalidConfig as invalid:
        return invalid.problems, {}, []
    holds = {
        "sources": len(relay.sources),
        "places": len(relay.places),
        "doors": sum(map(len, relay.doors.values())),
        "sensors": sum(map(len, relay.sensors.values())),
    }
    return [], holds, relay_yaml.oddities(relay)


@config.command("push")
@YAML_FILE
@YES
@common_options
@pass_common
def push_file(common: Common, file: Path | None, yes: bool) -> None:
    """Check FILE, store it as a new version and make that the current one.

    What it does to places in which somebody is, it says and asks first. One that changes nothing makes no
    version.
    """
    target = common.target()
    relay = _loaded(file)
    with working("comparing with what is in force"):
        current = _same(target, relay)
    if current is not None:
        _tell_sandbox(target, relay)
        _done(common, current, f"nothing changes: version {current} stays current", told=0)
        return
    pushing.ask(target, relay, yes=yes)
    before = _known(target)
    pushing.carry_out(target)
    try:
        with counting("stored", common.as_json) as progress:
            version = push(target.client("dynamodb"), target.table, relay, progress)
    except Conflict:
        raise click.ClickException(CONFLICT) from None
    _tell_sandbox(target, relay, before)
    told = pushing.carry_out(target)
    queued = pushing.resume(target)
    _done(common, version, f"version {version} is current; {SOON}", told, queued)


@config.command("pull")
@click.option("--version", type=click.IntRange(min=1), help="That version; else the current one.")
@common_options
@pass_common
def pull_version(common: Common, version: int | None) -> None:
    """Print the stored configuration as YAML that `config push` takes."""
    target = common.target()
    with working("reading the configuration"):
        relay = _stored(target, version)
    if common.as_json:
        print_json(relay_yaml.as_mapping(relay))
    else:
        click.echo(relay_yaml.dump(relay), nl=False)


@config.command()
@YAML_FILE
@common_options
@pass_common
def diff(common: Common, file: Path | None) -> None:
    """Compare FILE with the current configuration: what a push of it would change. Exit code 1 if any."""
    target = common.target()
    with working("reading what is in force"):
        current = _stored(target, None)
    pushed, ours = (relay_yaml.dump(relay) for relay in (current, _loaded(file)))
    lines = list(
        difflib.unified_diff(pushed.splitlines(), ours.splitlines(), "current", str(_file(file)), lineterm="")
    )
    if common.as_json:
        print_json({"same": not lines, "diff": lines})
    elif lines:
        click.echo("\n".join(lines))
    if lines:
        raise SystemExit(1)


@config.command("history")
@common_options
@pass_common
def list_versions(common: Common) -> None:
    """List the versions that were pushed, the newest first."""
    found = [
        {"version": v.number, "pushed_at": _when(v.pushed_at), "current": v.current}
        for v in history(common.target().ledger())
    ]
    if common.as_json:
        print_json(found)
        return
    rows = [[v["version"], v["pushed_at"] or "?", "current" if v["current"] else ""] for v in found]
    print_table(("version", "pushed at", ""), rows)


@config.command("rollback")
@click.option("--to", type=click.IntRange(min=1), help="That version; else the one before the current one.")
@YES
@common_options
@pass_common
def roll_back(common: Common, to: int | None, yes: bool) -> None:
    """Make an earlier version the current one again. It asks first as `push` does."""
    target = common.target()
    try:
        earlier = earlier_version(target.ledger(), to)
        relay = _stored(target, earlier.number)
        pushing.ask(target, relay, yes=yes)
        before = _known(target)
        pushing.carry_out(target)
        version = rollback(target.ledger(), earlier.number)
    except UnknownVersion as error:
        raise click.ClickException(f"{error}: see `config history`") from None
    except Conflict:
        raise click.ClickException(CONFLICT) from None
    _tell_sandbox(target, relay, before)
    told = pushing.carry_out(target)
    queued = pushing.resume(target)
    _done(common, version.number, f"version {version.number} is current; {SOON}", told, queued)


def _done(
    common: Common, version: int, sentence: str, told: int, queued: Mapping[str, int] | None = None
) -> None:
    """Say what came of a push."""
    if common.as_json:
        print_json({"version": version})
        return
    click.echo(sentence)
    if told:
        click.echo("1 place is told anew" if told == 1 else f"{told} places are told anew")
    for source, number in (queued or {}).items():
        if number:
            leaves = "1 leave of it is" if number == 1 else f"{number} of its leaves are"
            click.echo(f"{source} is live: {leaves} on the way to Calven")


def _same(target: Target, relay: RelayYaml) -> int | None:
    """The current version, where it says the same."""
    current = next((version.number for version in history(target.ledger()) if version.current), None)
    if current is None or relay_yaml.as_mapping(_stored(target, current)) != relay_yaml.as_mapping(relay):
        return None
    return current


def _known(target: Target) -> list[str]:
    """The locations of the configuration in force."""
    config = in_force(target.ledger())
    return [place.location_id for place in config.places.values()] if config else []


config.add_command(suggest)


def _when(seconds: int | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat()


def _stored(target: Target, version: int | None) -> RelayYaml:
    try:
        return pull(target.ledger(), version)
    except UnknownVersion as error:
        raise click.ClickException(str(error)) from None


def _tell_sandbox(target: Target, relay: RelayYaml, before: Sequence[str] = ()) -> None:
    tell_sandbox(target, [*before, *(place.location_id for place in relay.places.values())])


def _loaded(file: Path | None) -> RelayYaml:
    try:
        with working("reading the file"):
            return relay_yaml.load(_file(file))
    except relay_yaml.InvalidConfig as error:
        raise click.ClickException(str(error)) from None


def _file(file: Path | None) -> Path:
    """The file named, else `RELAY_CONFIG`, else `relay.yaml`."""
    return file or Path(os.environ.get("RELAY_CONFIG") or "relay.yaml")
