"""Sending a signed sample event, and seeing what reached Calven."""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import click
import httpx

from relay.config.store import ConfigStore
from relay.vendors.support.base import Family, Vendor
from relayctl import network, samples
from relayctl.target import Target

TIMEOUT_SECONDS = 35
LOST = (504, {"message": "lost on purpose"})
"""What the local run answers in the place of a relay that was to see nothing of a webhook."""


@dataclass(frozen=True)
class Sent:
    """What was posted where, the answer, and Calven's new requests (None where they cannot be seen)."""

    url: str
    status: int
    answer: str
    calven: Sequence[Mapping[str, Any]] | None

    @property
    def lost(self) -> bool:
        """Whether the webhook was lost on purpose, before the relay saw it."""
        return (self.status, self._parsed()) == LOST

    def as_dict(self) -> dict[str, Any]:
        """For `--json`: the answer parsed, where it is JSON."""
        return {**asdict(self), "answer": self._parsed()}

    def _parsed(self) -> Any:
        try:
            return json.loads(self.answer)
        except ValueError:
            return self.answer


def send_event(
    target: Target, vendor_name: str, event: str | None, *, source: str | None, url: str | None, as_is: bool
) -> Sent:
    """Sign and post one sample; raises `click.ClickException` where that cannot be done."""
    try:
        vendor = samples.vendor_named(vendor_name)
        content = samples.body(vendor.name, event)
        if not as_is:
            content = samples.renewed(vendor, content, datetime.now(UTC))
        source, family = _source_of(target, vendor, source), samples.family(vendor, content)
        signature = samples.signed(vendor, content, _secret(target, family, source), time.time())
    except (samples.UnknownSample, ValueError) as error:
        raise click.ClickException(str(error)) from None
    route = "/".join(filter(None, (family, source, samples.topic(vendor, event))))
    webhook_url = _webhook_url(url or target.api_url, route)
    seen = len(_calven_requests(target) or ())
    _tell_vendors(target, vendor, event, content)
    answer = _post(webhook_url, content, signature.headers, signature.query)
    requests = _calven_requests(target)
    return Sent(webhook_url, answer.status_code, answer.text, requests and requests[seen:])


def _source_of(target: Target, vendor: Vendor, named: str | None) -> str:
    """The source that is named, else the vendor's first; raises `ValueError` where there is no such one."""
    sources = ConfigStore(target.ledger()).current().sources
    of_vendor = [name for name, source in sources.items() if source.vendor == vendor.name]
    if named is None and not of_vendor:
        raise ValueError(f"no source of vendor {vendor.name} is configured: name one with --source")
    if named is not None and named not in sources:
        raise ValueError(f"no source {named!r} is configured")
    return named or of_vendor[0]


def _secret(target: Target, family: Family, source: str) -> dict[str, Any]:
    name = f"{target.stack}/{family}/{source}"
    text = target.client("secretsmanager").get_secret_value(SecretId=name)["SecretString"]
    secret: dict[str, Any] = json.loads(text)
    return secret


def _webhook_url(base: str, route: str) -> str:
    return base if "/webhooks/" in base else f"{base.rstrip('/')}/webhooks/{route}"


def _tell_vendors(target: Target, vendor: Vendor, event: str | None, content: bytes) -> None:
    """Have the local stand-in for the vendor's API list what a webhook is about to say."""
    if target.vendor_api_url is None:
        return
    sample = event or samples.names(vendor.name)[0]
    said = {"vendor": vendor.name, "sample": sample, "payload": json.loads(content)}
    url = f"{target.vendor_api_url}/_vendors/happened"
    answer = httpx.post(url, json=said, timeout=5, trust_env=False)
    if answer.is_error:
        raise click.ClickException(f"the stand-in for {vendor.name}'s API: {answer.text}")


def _post(url: str, content: bytes, headers: Mapping[str, str], query: Mapping[str, str]) -> httpx.Response:
    headers = {"content-type": "application/json", **headers}
    try:
        with network.client(url, TIMEOUT_SECONDS) as http:
            return http.post(url, content=content, headers=headers, params=query or None)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise click.ClickException(f"no answer from {url}: {type(error).__name__}") from None


def _calven_requests(target: Target) -> list[dict[str, Any]] | None:
    """The occupancy and time-off requests that the sandbox has received so far; None without a sandbox."""
    if target.sandbox_url is None:
        return None
    received = httpx.get(f"{target.sandbox_url}/_sandbox/requests", timeout=5, trust_env=False).json()
    shown = ("path", "status", "body")
    return [
        {key: request[key] for key in shown}
        for request in received
        if request["path"] in ("/v1/occupancy", "/v1/timeoff")
    ]
