"""The secrets of a relay: what each has to hold, checked, and put where the functions read them.

No value is printed or named in an error.
"""

import base64
import json
import secrets as random
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from botocore.exceptions import ClientError
from pydantic import ValidationError

from relay import vendors
from relay.aws.secrets import CalvenSecret, SourceSecret
from relay.config.model import Config
from relay.config.store import ConfigStore
from relay.vendors.support.base import Family, Vendor
from relay.vendors.support.fixed_tokens import Basic
from relay.vendors.support.proof import Credentials, Scheme
from relay.vendors.support.signatures import StandardWebhooks
from relayctl.checks import Finding
from relayctl.target import Target

CALVEN, CALVEN_READER = "calven", "calven-reader"
"""The secrets with Calven's API keys: the relay's own, and one that may read, which is optional."""
ABSENT = "there is none"
CALVEN_KEYS = ("apiKey", "apiSecret", "region", "auth")
LEAST_CHARACTERS = 8
LEAST_KEY_BYTES = 16
USER_AND_PASSWORD = "<user name>:<password>"  # noqa: S105 - what it looks like
BASE_URL = "baseUrl"
"""The field of `api` that every vendor may have."""

Content = dict[str, Any]
"""A secret's JSON."""


class BadSecret(Exception):
    """A secret that the relay could not use; the message names fields, never a value."""


class Unreadable(BadSecret):
    """A secret that AWS does not let this command read: what it holds must not be lost."""


def source_vendor(config: Config, source: str) -> Vendor:
    """The vendor of a configured source; raises `BadSecret`."""
    found = config.sources.get(source)
    if found is None:
        raise BadSecret(_unknown(config, source))
    return _vendor(found.vendor)


def _unknown(config: Config, source: str) -> str:
    known = ", ".join(config.sources) or "none"
    return f"no source {source!r} is configured (there are: {known}): push its configuration first"


def _vendor(name: str) -> Vendor:
    try:
        return vendors.load(name)
    except vendors.UnknownVendor:
        raise BadSecret(f"unknown vendor {name!r}") from None


def parsed(text: str) -> Content:
    """A secret's JSON object, its values without the blanks around them; raises `BadSecret`."""
    try:
        content = json.loads(text)
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise BadSecret("it is no JSON object")
    stripped: Content = without_blanks(content)
    return stripped


def without_blanks(content: Any) -> Any:
    """The same with every text stripped: a line end or a blank that came with it would never match."""
    match content:
        case str():
            return content.strip()
        case list():
            return [without_blanks(value) for value in content]
        case dict():
            return {name: without_blanks(value) for name, value in content.items()}
    return content


def checked_calven(content: Content) -> Content:
    """A secret with a key for Calven, if it is one; raises `BadSecret`."""
    _check_keys(content, CALVEN_KEYS)
    try:
        CalvenSecret.model_validate(content)
    except ValidationError as error:
        raise BadSecret(_fields(error)) from None
    return content


def checked_source(vendor: Vendor, content: Content) -> Content:
    """A source's secret, if its vendor's webhooks can be verified and its API asked; raises `BadSecret`."""
    schemes: dict[str, Scheme] = {scheme.credentials: scheme for scheme in vendor.schemes}
    _check_keys(content, (*schemes, *(["api"] if vendor.api else [])))
    secret = _shaped(content)
    if schemes and not any(secret.lists.values()):
        raise BadSecret(f"{' or '.join(schemes)} is missing or empty")
    given = [value for values in secret.lists.values() for value in values]
    if len(secret.lists) > 1 and len(set(given)) < len(given):
        raise BadSecret("one value is in both lists: each proof needs values of its own")
    for name, values in secret.lists.items():
        for value in values:
            _check_credential(schemes[name], name, value)
    _check_api(vendor, {name: value.get_secret_value() for name, value in (secret.api or {}).items()})
    return content


def _shaped(content: Content) -> SourceSecret:
    if not _is_text(content):
        raise BadSecret("it holds characters that are no UTF-8")
    try:
        return SourceSecret.model_validate(content)
    except ValidationError as error:
        raise BadSecret(_fields(error)) from None


def _is_text(content: Content) -> bool:
    """Whether all of it can be stored as text: a terminal may pass on bytes that are none."""
    try:
        json.dumps(content, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def _check_keys(content: Content, known: Collection[str]) -> None:
    if unknown := [name for name in content if name not in known]:
        names = ", ".join(map(repr, sorted(unknown)))
        raise BadSecret(f"unknown: {names} (there may be: {', '.join(known)})")


def _check_credential(scheme: Scheme, name: str, value: str) -> None:
    """Whether the scheme can use a value of a list; raises `BadSecret`."""
    if not value:
        raise BadSecret(f"{name} is missing or empty")
    if isinstance(scheme, StandardWebhooks):
        _check_whsec(value)
    # Nobody can send one without a colon (RFC 7617): it would match nothing.
    if isinstance(scheme, Basic) and ":" not in value:
        raise BadSecret(f"a token of this vendor is {USER_AND_PASSWORD}; --generate makes one")
    if len(value) < LEAST_CHARACTERS:
        raise BadSecret(f"{name} has a value of fewer than {LEAST_CHARACTERS} characters")
    try:
        scheme.sign(b"", value, time.time())
    except ValueError as error:
        raise BadSecret(str(error)) from None


def _check_whsec(value: str) -> None:
    text = value.removeprefix("whsec_")
    try:
        key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except ValueError:
        key = b""
    if text == value or len(key) < LEAST_KEY_BYTES:
        raise BadSecret(
            "a signing secret of this vendor is base64 after whsec_, "
            f"of {LEAST_KEY_BYTES} bytes or more; --generate makes one"
        )


def _check_api(vendor: Vendor, given: Mapping[str, str]) -> None:
    if vendor.api is None or not (given or vendor.needs_api):
        return
    instead = vendor.api.instead
    alone = bool(instead) and all(given.get(name) for name in instead)
    missing = [f"api.{name}" for name in vendor.api.fields if not given.get(name)]
    if missing and not alone:
        raise BadSecret(f"missing or empty: {', '.join(missing)}")
    if unknown := given.keys() - {*vendor.api.fields, *vendor.api.optional, *instead, BASE_URL}:
        raise BadSecret(f"unknown: {', '.join(f'api.{name}' for name in sorted(unknown))}")
    try:
        vendor.api.host_for({**dict.fromkeys(vendor.api.fields, "x"), **given})
    except ValueError as error:
        raise BadSecret(str(error)) from None
    if url := given.get(BASE_URL):
        _check_base_url(url)


def _check_base_url(url: str) -> None:
    if not _is_base_url(url):
        raise BadSecret(f"api.{BASE_URL} is no URL of scheme, host and port")


def _is_base_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
        # Asked for, it raises where it is out of range.
        has_host = bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    plain = has_host and parts.scheme in ("http", "https") and "@" not in parts.netloc
    return plain and url.rstrip("/") == f"{parts.scheme}://{parts.netloc}"


def _fields(error: ValidationError) -> str:
    """The fields at fault, without any value."""
    found = (".".join(map(str, e["loc"])) for e in error.errors(include_input=False, include_context=False))
    return f"wrong or missing: {', '.join(found)}"


def generated(scheme: Scheme) -> str:
    """A new random secret such as the customer may choose for this proof."""
    if isinstance(scheme, StandardWebhooks):
        return "whsec_" + base64.b64encode(random.token_bytes(32)).decode()
    made = random.token_urlsafe(32)
    return f"calven:{made}" if isinstance(scheme, Basic) else made


def source_name(family: Family, source: str) -> str:
    """A source's secret, as the stack's other secrets are named after its own name."""
    return f"{family}/{source}"


def stored(target: Target, name: str) -> Content | None:
    """What a secret holds, None where it has no value or is not there. Raises `BadSecret`."""
    try:
        found = target.client("secretsmanager").get_secret_value(SecretId=f"{target.stack}/{name}")
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code == "ResourceNotFoundException":
            return None
        raise Unreadable(f"it cannot be read: {code}") from None
    return parsed(found.get("SecretString", ""))


def api(target: Target, family: Family, source: str) -> dict[str, str]:
    """What a source's API is called with so far; nothing where its secret cannot be read."""
    with suppress(BadSecret):
        secret = _shaped(stored(target, source_name(family, source)) or {})
        return {name: value.get_secret_value() for name, value in (secret.api or {}).items()}
    return {}


def with_first(vendor: Vendor, old: Content, new: Content) -> Content:
    """The secret there is, with the new one's values before its own; all else stays unless it is new too."""
    before, first = _shaped(old).lists, _shaped(new).lists
    merged: Content = {**old, **new}
    for scheme in vendor.schemes:
        kind = scheme.credentials
        if kind in first or kind in before:
            merged[kind] = list(dict.fromkeys([*first.get(kind, ()), *before.get(kind, ())]))
    return merged


def other_lists(target: Target, vendor: Vendor, family: Family, source: str, kind: Credentials) -> Content:
    """The lists of a source's secret beside the one that is put; none where it holds nothing usable.

    Raises `Unreadable`.
    """
    try:
        lists = _shaped(stored(target, source_name(family, source)) or {}).lists
    except Unreadable:
        raise
    except BadSecret:
        return {}
    names = [scheme.credentials for scheme in vendor.schemes if scheme.credentials != kind]
    return {name: lists[name] for name in names if name in lists}


def put(target: Target, name: str, content: Content) -> str:
    """Create a secret, or give it a new value; its whole name."""
    client, whole, text = target.client("secretsmanager"), f"{target.stack}/{name}", json.dumps(content)
    try:
        client.put_secret_value(SecretId=whole, SecretString=text)
    except ClientError as error:
        if error.response["Error"]["Code"] != "ResourceNotFoundException":
            raise
        client.create_secret(Name=whole, SecretString=text)
    return whole


def check(target: Target, only: str | None = None) -> Iterator[Finding]:
    """A finding for Calven's secrets and for each configured source's, or for the one of that name alone.

    Raises `BadSecret` where there is none of that name.
    """
    config = ConfigStore(target.ledger()).current()
    if only not in (None, CALVEN, CALVEN_READER, *config.sources):
        raise BadSecret(_unknown(config, only or ""))
    for name in (CALVEN, CALVEN_READER):
        if only in (None, name):
            problem = _problem(target, name, checked_calven)
            # Without a key that reads, all works but the audit.
            if name in (only, CALVEN) or problem != ABSENT:
                yield _finding(name, name, problem)
    for source, configured in config.sources.items():
        if only in (None, source):
            yield from _check_source(target, source, configured.vendor)


def _check_source(target: Target, source: str, vendor_name: str) -> Iterator[Finding]:
    """One finding a family; a vendor with two families needs the secret of only one of them."""
    try:
        vendor = _vendor(vendor_name)
    except BadSecret as error:
        yield _finding(source, source, str(error))
        return
    names = [source_name(family, source) for family in vendor.families]
    problems = {name: _problem(target, name, partial(checked_source, vendor)) for name in names}
    there = [name for name in names if problems[name] != ABSENT]
    for name in there or names[:1]:
        yield _finding(name, source, problems[name])


def _problem(target: Target, name: str, checked: Callable[[Content], Content]) -> str:
    """What is wrong with a secret, if anything."""
    try:
        content = stored(target, name)
        if content is None:
            return ABSENT
        checked(content)
    except BadSecret as error:
        return str(error)
    return ""


def _finding(name: str, source: str, problem: str) -> Finding:
    todo = f"relayctl secrets put {source}" if problem else ""
    return Finding(check=f"secret {name}", ok=not problem, detail=problem, next=todo)


def accepted(target: Target, vendor: Vendor, source: str) -> list[str]:
    """All values that a source's secrets accept; none of those that cannot be read."""
    found: list[str] = []
    for family in vendor.families:
        with suppress(BadSecret):
            content = stored(target, source_name(family, source)) or {}
            found += [value for values in _shaped(content).lists.values() for value in values]
    return found
