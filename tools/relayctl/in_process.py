"""The relay's own parts in the operator's process: with the operator's credentials, proxies and patience."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

import click

from relay.container import Container
from relay.deadline import BATCH, Deadline
from relay.http import MAX_ANSWER_BYTES, Http
from relay.invocation import Invocation
from relay.observability import Telemetry
from relay.settings import Settings
from relayctl.network import EnvironmentTransport
from relayctl.target import Target

PATIENCE_SECONDS = 30 * 24 * 3600.0
"""Whoever waits at a terminal ends it himself. A lock takes no infinite time-out."""
REQUEST_SECONDS = 60.0


def patient() -> Deadline:
    """A deadline that does not come."""
    return Deadline(time.time() + PATIENCE_SECONDS)


def http_of(target: Target, seconds: float = REQUEST_SECONDS, most_bytes: int = MAX_ANSWER_BYTES) -> Http:
    """The relay's client for a target: by the environment's proxies, which the local relay never takes."""
    return Http(None if target.endpoint else EnvironmentTransport(seconds), most_bytes)


def calven_url(target: Target) -> str:
    """Where a target's Calven answers; raises `click.ClickException` where its stack does not say so."""
    url = target.calven_url or target.sandbox_url
    if url is None:
        raise click.ClickException("the stack has no parameter CalvenBaseUrl: deploy this version's template")
    return url


@contextmanager
def invocation_of(target: Target) -> Iterator[Invocation]:
    """A run of the relay's code for a target, in this process. Nothing of it is logged or measured."""
    environment = {
        "STACK_NAME": target.stack,
        "TABLE_NAME": target.table,
        "UNPROCESSED_QUEUE_URL": target.unprocessed_queue_url,
        "DEAD_LETTER_QUEUE_URL": target.dead_letter_queue_url,
        "CALVEN_BASE_URL": calven_url(target),
    }
    http = http_of(target)
    try:
        container = Container(Settings.model_validate(environment), aws=target, http=http)
        yield Invocation(container, patient(), Telemetry(f"relayctl-{uuid4().hex}"), BATCH)
    finally:
        http.close()
