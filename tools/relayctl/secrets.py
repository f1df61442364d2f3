"""`relayctl secrets`: the secrets of Calven and of each source, put and checked."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import click

from relay.aws.secrets import CalvenSecret, Region
from relay.config.store import ConfigStore
from relay.vendors.support.base import Api, Family, Vendor
from relay.vendors.support.fixed_tokens import Basic
from relay.vendors.support.proof import Credentials, Scheme
from relayctl import secret_store
from relayctl.checks import report
from relayctl.options import Common, common_options, pass_common
from relayctl.output import print_json, working
from relayctl.secret_store import BASE_URL, CALVEN, CALVEN_READER, BadSecret, Content
from relayctl.target import Target


@dataclass(frozen=True)
class _Way:
    """How a secret is put: the options of `secrets put`."""

    family: Family | None
    add: bool
    token: bool
    generate: bool
    file: str | None

    @property
    def is_for_webhooks(self) -> bool:
        """Whether an option was given that only what verifies webhooks has."""
        return self.add or self.token or self.generate


@click.group()
@common_options
def secrets() -> None:
    """The secrets: Calven's API key, and what each source's webhooks are verified with."""


@secrets.command("put")
@click.argument("source")
@click.option(
    "--family", type=click.Choice(get_args(Family)), help="Only this route's, for a vendor of both."
)
@click.option("--add", is_flag=True, help="Put the new value before those that are there: to rotate.")
@click.option("--token", is_flag=True, help="A token instead of a signing secret, where the vendor has both.")
@click.option("--generate", is_flag=True, help="Make a random value, and print it once.")
@click.option("--from-file", "file", help="Read the secret's JSON from this file, or from - for stdin.")
@common_options
@pass_common
def put_secret(
    common: Common,
    source: str,
    family: Family | None,
    add: bool,
    token: bool,
    generate: bool,
    file: str | None,
) -> None:
    """Ask for the secret of SOURCE, of `calven` or of `calven-reader`, check it and store it.

    A vendor with two proofs has two lists, of which this puts one and keeps the other; --from-file puts the
    whole secret.
    """
    if file and (generate or token):
        raise click.UsageError("--from-file excludes --generate and --token")
    target, made = common.target(), None
    way = _Way(family, add, token, generate, file)
    try:
        if source in (CALVEN, CALVEN_READER) and family is None:
            names = [_put_calven(target, source, way)]
        else:
            names, made = _put_source(target, source, way)
    except BadSecret as error:
        raise click.ClickException(f"the secret of {source}: {error}") from None
    if common.as_json:
        print_json({"secrets": names} | ({"generated": made} if made else {}))
        return
    for name in names:
        click.echo(f"{name} is stored; functions take it up within five minutes")
    if made:
        click.echo(f"give this to the vendor, it is not shown again: {made}")


def _put_calven(target: Target, name: str, way: _Way) -> str:
    """Store credentials for Calven; what their secret is called."""
    if way.is_for_webhooks:
        raise click.UsageError(f"the secret of {name} has one key: no --add, --generate or --token")
    content = secret_store.checked_calven(_from_file(way.file) if way.file else _asked_calven())
    return secret_store.put(target, name, content)


def _put_source(target: Target, source: str, way: _Way) -> tuple[list[str], str | None]:
    """Store what a source's webhooks are verified with: what the secrets are called, and the value made."""
    vendor = secret_store.source_vendor(ConfigStore(target.ledger()).current(), source)
    if way.is_for_webhooks and not vendor.sends_webhooks:
        raise click.UsageError(f"{vendor.title} sends no webhooks: no --add, --generate or --token")
    scheme = _scheme(vendor, way.token)
    made = secret_store.generated(scheme) if way.generate else None
    families = _families(vendor, way.family)
    old = _old(target, source, families) if way.add else {}
    if way.file:
        new = _from_file(way.file)
    else:
        kept = None if way.add else secret_store.api(target, families[0], source)
        try:
            new = _asked(vendor, scheme, made, kept)
        except click.Abort:
            if not made or vendor.needs_api or sys.stdin.isatty():
                raise
            # A script that has a value made need not answer what is optional: what is there stays.
            new = {scheme.credentials: [made]} | ({"api": kept} if kept else {})
    kept_beside = None if way.file or way.add else scheme.credentials
    return _put(target, vendor, source, new, old, families, kept_beside), made


def _put(
    target: Target,
    vendor: Vendor,
    source: str,
    new: Content,
    old: dict[Family, Content],
    families: tuple[Family, ...],
    kept_beside: Credentials | None,
) -> list[str]:
    """Check every family's content before the first of them is stored.

    Beside the list `kept_beside`, which is new, each family keeps its own other one.
    """
    contents: dict[Family, Content] = {}
    for family in families:
        content = new
        if old:
            if family not in old:
                continue
            content = secret_store.with_first(vendor, old[family], new)
        elif kept_beside:
            content = secret_store.other_lists(target, vendor, family, source, kept_beside) | new
        contents[family] = secret_store.checked_source(vendor, content)
    return [
        secret_store.put(target, secret_store.source_name(family, source), content)
        for family, content in contents.items()
    ]


def _old(target: Target, source: str, families: tuple[Family, ...]) -> dict[Family, Content]:
    """What is there to add to, of each family that has a secret."""
    found = {
        family: secret_store.stored(target, secret_store.source_name(family, source)) for family in families
    }
    there = {family: content for family, content in found.items() if content is not None}
    if not there:
        raise BadSecret("there is none to add to: leave out --add")
    return there


def _families(vendor: Vendor, family: Family | None) -> tuple[Family, ...]:
    if family is None:
        return vendor.families
    if family not in vendor.families:
        raise click.UsageError(f"{vendor.title} is of {' and '.join(vendor.families)}, not of {family}")
    return (family,)


def _from_file(file: str) -> Content:
    try:
        return secret_store.parsed(sys.stdin.read() if file == "-" else Path(file).read_text("utf-8"))
    except OSError as error:
        raise click.ClickException(f"{file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise BadSecret("it is not UTF-8") from None


def _scheme(vendor: Vendor, token: bool) -> Scheme:
    """The proof that a value is put for: the first, or the one that takes a token."""
    if not token:
        return vendor.scheme
    if vendor.second_scheme is None:
        raise click.UsageError(f"{vendor.title} has one way to prove itself: leave out --token")
    return vendor.second_scheme


def _asked(vendor: Vendor, scheme: Scheme, made: str | None, api: dict[str, str] | None) -> Content:
    """The answers for a source of this vendor; the prompts are on standard error.

    `api` is what its API is called with so far; None where that is not to be asked for.
    """
    content: dict[str, Any] = {}
    if vendor.sends_webhooks:
        content[scheme.credentials] = [made or _ask(f"{vendor.title}: {_what(scheme)}")]
    if vendor.api and api is not None:
        given = _asked_api(vendor.api, api, needed=vendor.needs_api)
        # A vendor that is only listed with its API works without one: nothing given is nothing stored.
        if given or vendor.needs_api:
            content["api"] = given
    return content


def _what(scheme: Scheme) -> str:
    """What is asked for, to prove webhooks with."""
    if isinstance(scheme, Basic):
        return secret_store.USER_AND_PASSWORD
    return "signing secret" if scheme.credentials == "signingSecrets" else "token"


def _asked_api(api: Api, kept: dict[str, str], *, needed: bool) -> dict[str, str]:
    given = {}
    for name in (*api.fields, *api.optional, BASE_URL):
        required = needed and name in api.fields
        hint = " (empty keeps it)" if kept.get(name) else "" if required else " (optional)"
        given[name] = _ask(f"api.{name}{hint}", kept.get(name) or (None if required else ""))
    return {name: value for name, value in given.items() if value}


def _asked_calven() -> Content:
    auth = get_args(CalvenSecret.model_fields["auth"].annotation)
    content: dict[str, Any] = {name: _ask(f"Calven: {name}") for name in ("apiKey", "apiSecret")}
    for name, choices in (("region", get_args(Region)), ("auth", auth)):
        choice = click.Choice(choices)
        content[name] = click.prompt(f"Calven: {name}", type=choice, default=choices[0], err=True)
    return content


def _ask(what: str, default: str | None = None) -> str:
    """One answer, not echoed, without the blanks that pasting may put around it."""
    answer: str = click.prompt(what, hide_input=True, default=default, show_default=False, err=True)
    return answer.strip()


@secrets.command("check")
@click.argument("source", required=False)
@common_options
@pass_common
def check_secrets(common: Common, source: str | None) -> None:
    """Check that each secret, or that of SOURCE, is there and holds what it must. Exit code 1 if not."""
    target = common.target()
    try:
        with working("reading the secrets"):
            findings = list(secret_store.check(target, source))
    except BadSecret as error:
        raise click.ClickException(str(error)) from None
    report(findings, common.as_json)
