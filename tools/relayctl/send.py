"""Sending a signed sample event, and seeing what reached Calven."""

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from datetime import time as clock
from functools import cache, partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import click
import httpx

from relay.config.file import did_you_mean
from relay.config.store import ConfigStore, Configuration
from relay.config.versions import pull
from relay.vendors.support.base import Family, Vendor
from relayctl import fitting, network, samples, secret_store
from relayctl.captured import read as read_file
from relayctl.changes import Changes, NoField, changed, events, read, with_fields
from relayctl.fitting import Misfit
from relayctl.recent_push import SOURCES_KNOWN_SECONDS, wait_for_push
from relayctl.target import Target

TIMEOUT_SECONDS = 35
LOST = (504, {"message": "lost on purpose"})
"""What the local run answers in the place of a relay that was to see nothing of a webhook."""


@dataclass(frozen=True)
class Sent:
    """What was posted where, the answer, and Calven's new requests (None where they cannot be seen).

    `correlation_id` is what `relayctl trace` takes; None where the answer has none.
    """

    url: str
    status: int
    answer: str
    calven: Sequence[Mapping[str, Any]] | None
    correlation_id: str | None = None

    @property
    def lost(self) -> bool:
        """Whether the webhook was lost on purpose, before the relay saw it."""
        return (self.status, _parsed(self.answer)) == LOST

    def as_dict(self) -> dict[str, Any]:
        """For `--json`: the answer parsed, where it is JSON."""
        return {**asdict(self), "answer": _parsed(self.answer)}


def _parsed(answer: str) -> Any:
    """An answer's JSON, or its text."""
    try:
        return json.loads(answer)
    except ValueError:
        return answer


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is to be sent: a sample of a vendor, or a file, and what of it is to be changed.

    `at` may be a time of day: today's where the event is. `count` is how many events, each of another person.
    """

    vendor: str | None = None
    event: str | None = None
    source: str | None = None
    url: str | None = None
    as_is: bool = False
    file: Path | None = None
    at: datetime | clock | None = None
    count: int = 1
    changes: Changes = field(default_factory=Changes)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """An event that can be sent: where to, as what, and what of it is changed.

    `source_vendor` is whose source it is, which may be another vendor. `payload` is None for a body that is
    no JSON. `sample` is None for a file.
    """

    vendor: Vendor
    source: str
    source_vendor: str
    topic: str | None
    sample: str | None
    body: bytes
    payload: Any
    is_new: bool
    changes: Changes
    misfits: Sequence[Misfit] = ()
    unknown_fields: Sequence[str] = ()

    def content(self, number: int, now: datetime) -> bytes:
        """The body to be sent as the event of that number, from 0; raises `NoField`."""
        is_changed = self.is_new or number > 0 or self.changes != Changes()
        if not is_changed:
            return self.body
        if self.payload is None:
            raise NoField("the body is no JSON: nothing in it can be changed")
        made = self.payload
        if self.is_new:
            made = json.loads(samples.renewed(self.vendor, samples.as_body(made), now))
        made = changed(self.vendor, made, self.changes, self.topic, number)
        return samples.as_body(with_fields(made, self.changes))


def plan(target: Target, wanted: Wanted) -> Plan:
    """Find out what is to be sent; raises `NoField`, and `click.ClickException` where it cannot be done.

    Right behind a push it waits a second: a source that has just been pushed would not be known.
    """
    wait_for_push(target, SOURCES_KNOWN_SECONDS)
    configuration = Configuration(ConfigStore(target.ledger()))
    try:
        made = _plan(target, wanted, configuration)
    except (samples.UnknownSample, ValueError) as error:
        raise click.ClickException(str(error)) from None
    if wanted.at is not None:
        at = _moment(made, wanted.at, configuration)
        made = replace(made, changes=replace(made.changes, at=at))
    now = datetime.now(UTC)
    content = made.content(0, now)
    made.content(wanted.count - 1, now)  # what cannot be sent of many people is refused before any is
    # A time, a door and a person are in it by now: whatever else is wrong with it may be wanted so.
    found = read(made.vendor, content, made.topic)
    whole = cache(partial(pull, target.ledger()))
    misfits = [*_wrong_route(made, wanted.url)]
    misfits += fitting.misfits(made.vendor, made.source, found, configuration, whole)
    return replace(made, misfits=misfits, unknown_fields=_unknown(made))


def _plan(target: Target, wanted: Wanted, configuration: Configuration) -> Plan:
    captured = read_file(wanted.file) if wanted.file else None
    named = wanted.source or (captured.source if captured else None)
    vendor = _vendor(wanted.vendor, named, configuration)
    if not vendor.sends_webhooks:
        raise ValueError(f"{vendor.title} sends no webhooks: relayctl reconcile asks it what happened")
    source = _source_of(target, configuration, vendor, named)
    sample = wanted.event or samples.names(vendor.name)[0]
    body = captured.body if captured else samples.body(vendor.name, wanted.event)
    topic = captured.topic if captured else None
    is_new = not (wanted.as_is or captured) or wanted.count > 1
    return Plan(
        vendor=vendor,
        source=source,
        source_vendor=configuration.config.sources[source].vendor,
        topic=topic or (None if captured and not wanted.event else samples.topic(vendor, wanted.event)),
        sample=None if captured else sample,
        body=body,
        payload=_payload(body),
        is_new=is_new,
        changes=wanted.changes,
    )


def _vendor(name: str | None, source: str | None, configuration: Configuration) -> Vendor:
    """The vendor that is named, else that of the source; raises `ValueError`, `samples.UnknownSample`."""
    if name is not None:
        return samples.vendor_named(name)
    found = configuration.config.sources.get(source or "")
    if found is None:
        raise ValueError(f"no source {source!r} is configured: name a vendor or a --source that is")
    return samples.vendor_named(found.vendor)


def _payload(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _moment(made: Plan, at: datetime | clock, configuration: Configuration) -> datetime:
    """A time with a zone: the one that it has, else that of the event's site, else this machine's."""
    if isinstance(at, datetime) and at.tzinfo:
        return at
    meant = changed(made.vendor, made.payload, made.changes, made.topic)
    found = events(made.vendor, meant, made.topic)
    site = fitting.site_of(found, made.source, configuration)
    zone = ZoneInfo(site.timezone) if site else None
    if isinstance(at, datetime):
        return at.replace(tzinfo=zone) if zone else at.astimezone()
    today = datetime.combine(datetime.now(zone).date(), at)
    return today.replace(tzinfo=zone) if zone else today.astimezone()


def _wrong_route(made: Plan, url: str | None) -> Iterator[Misfit]:
    """Where a whole URL is of a route that is not the vendor's."""
    route = (url or "").partition("/webhooks/")[2].partition("/")[0]
    if route and route not in made.vendor.families:
        yield Misfit(f"{made.vendor.title} is on the route {made.vendor.family}, not on {route}")


def _unknown(made: Plan) -> list[str]:
    """The fields that are set and that the payload does not have."""
    found: list[str] = []
    if made.payload is not None:
        with_fields(made.payload, made.changes, found.append)
    return found


def send_event(
    target: Target, vendor_name: str, event: str | None, *, source: str | None, url: str | None, as_is: bool
) -> Sent:
    """Sign and post one sample; raises `click.ClickException` where that cannot be done."""
    wanted = Wanted(vendor=vendor_name, event=event, source=source, url=url, as_is=as_is)
    return send(target, plan(target, wanted), url)


def send(target: Target, made: Plan, url: str | None = None) -> Sent:
    """Sign and post an event, and see what reached Calven; raises `click.ClickException`, `NoField`."""
    seen = len(_calven_requests(target) or ())
    webhook_url, answer = _send(target, made, url, 0)
    requests = _calven_requests(target)
    new_requests = requests and requests[seen:]
    correlation_id = answer.headers.get("x-correlation-id")
    return Sent(webhook_url, answer.status_code, answer.text, new_requests, correlation_id)


@dataclass(frozen=True)
class ManySent:
    """The same of many events: how often each answer came, by its status and text."""

    url: str
    answers: Mapping[tuple[int, str], int]
    calven: Sequence[Mapping[str, Any]] | None

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        answers = [
            {"status": status, "answer": _parsed(text), "times": times}
            for (status, text), times in self.answers.items()
        ]
        return {"url": self.url, "answers": answers, "calven": self.calven}


def send_many(
    target: Target, made: Plan, url: str | None, count: int, done: Callable[[int, int], object]
) -> ManySent:
    """Send so many events, each of another person, one after the other. Raises as `send` does."""
    seen = len(_calven_requests(target) or ())
    answers: Counter[tuple[int, str]] = Counter()
    webhook_url = ""
    for number in range(count):
        webhook_url, answer = _send(target, made, url, number)
        answers[answer.status_code, answer.text] += 1
        done(number + 1, count)
    requests = _calven_requests(target)
    return ManySent(webhook_url, answers, requests and requests[seen:])


def _send(target: Target, made: Plan, url: str | None, number: int) -> tuple[str, httpx.Response]:
    content, vendor = made.content(number, datetime.now(UTC)), made.vendor
    family = samples.family(vendor, content)
    try:
        signature = samples.signed(vendor, content, _secret(target, family, made.source), time.time())
    except ValueError as error:
        if made.source_vendor != vendor.name:
            why = f"{made.source!r} is a source of {made.source_vendor}"
            raise click.ClickException(f"{why}: its secret signs no webhook of {vendor.name}") from None
        raise click.ClickException(f"{error}: relayctl secrets put {made.source}") from None
    route = "/".join(filter(None, (family, made.source, made.topic)))
    webhook_url = _webhook_url(url or target.api_url, route)
    if made.sample:
        _tell_vendors(target, vendor, made.sample, content)
    return webhook_url, _post(webhook_url, content, signature.headers, signature.query)


def _source_of(target: Target, configuration: Configuration, vendor: Vendor, named: str | None) -> str:
    """The source that is named, else the vendor's first; raises `ValueError` where there is no such one."""
    sources = configuration.config.sources
    of_vendor = [name for name, source in sources.items() if source.vendor == vendor.name]
    if named is None and not of_vendor:
        command = fitting.first_command(pull(target.ledger())) if sources else None
        hint = f"; this fits: {command}" if command else ": name one with --source"
        raise ValueError(f"no source of vendor {vendor.name} is configured{hint}")
    if named is not None and named not in sources:
        raise ValueError(f"no source {named!r} is configured{did_you_mean(named, sources)}")
    return named or of_vendor[0]


def _secret(target: Target, family: Family, source: str) -> dict[str, Any]:
    try:
        secret = secret_store.stored(target, secret_store.source_name(family, source))
    except secret_store.BadSecret as error:
        raise ValueError(f"the secret of {source!r}: {error}") from None
    if secret is None:
        raise ValueError(f"{source!r} has no secret")
    return secret


def _webhook_url(base: str, route: str) -> str:
    return base if "/webhooks/" in base else f"{base.rstrip('/')}/webhooks/{route}"


def _tell_vendors(target: Target, vendor: Vendor, sample: str, content: bytes) -> None:
    """Have the local stand-in for the vendor's API list what a webhook is about to say."""
    if target.vendor_api_url is None:
        return
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
