"""What an operator does from a page. Each is noted on standard error with who did it."""

import getpass
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import click
import httpx

from console.readers import Readers
from console.trying import Attempt, said
from relayctl import dead_letters
from relayctl.dead_letters import Selection
from relayctl.network import AWS_ERRORS
from relayctl.send import send_event
from relayctl.target import Target

TRIED_SECONDS = 15.0
"""So long it is waited for what becomes of redriven letters, as `relayctl dlq redrive` does."""


@dataclass(frozen=True, slots=True)
class Redriven:
    """What a redrive came to: ids that were sent, why some came back, how many wait, how many were hidden."""

    sent: list[str] = field(default_factory=list)
    back: dict[str, str] = field(default_factory=dict)
    waiting: int = 0
    left: int = 0


def who(target: Target) -> str:
    """Who works at this console: the user of this machine, and on AWS whom AWS takes them for."""
    user = getpass.getuser()
    if target.endpoint:
        return user
    try:
        return f"{user} as {target.client('sts').get_caller_identity()['Arn']}"
    except AWS_ERRORS:
        return user


def note(target: Target, action: str, **said: object) -> None:
    """Say on standard error who does what: one line of JSON."""
    line = {
        "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "message": "console",
        "action": action,
        "by": who(target),
        "stack": target.stack,
        **said,
    }
    print(json.dumps(line), file=sys.stderr, flush=True)


def redrive(readers: Readers, selection: Selection, done: Callable[[int], Any]) -> Redriven:
    """Send dead letters through the relay again, and see what becomes of them. Raises `ReadFailed`."""
    with readers.reading():
        target = readers.target
        meant = {"ids": sorted(selection.ids), "reasons": sorted(selection.reasons)}
        note(target, "redrive", **meant)
        redriven = dead_letters.redrive(target, selection, done)
        waiting = dead_letters.until_tried(target, TRIED_SECONDS) if redriven.sent else 0
        found = dead_letters.came_back(target, redriven.sent) if redriven.sent else []
        back = {str(letter["id"]): str(letter.get("reason")) for letter in found}
        note(target, "redriven", sent=len(redriven.sent), back=len(back), waiting=waiting)
        return Redriven(redriven.sent, back, waiting, redriven.left)


def send(readers: Readers, vendor: str, event: str) -> Attempt:
    """Send a sample of a vendor. What goes wrong is said in the attempt."""
    what, at = f"{vendor} {event}", time.time()
    try:
        target = readers.target
        note(target, "send", vendor=vendor, event=event)
        sent = send_event(target, vendor, event, source=None, url=None, as_is=False)
    except click.ClickException as error:
        return Attempt(at, what, 0, error.message)
    except (*AWS_ERRORS, httpx.HTTPError) as error:
        readers.forget()
        return Attempt(at, what, 0, f"the relay does not answer: {type(error).__name__}")
    return Attempt(at, what, sent.status, said(sent.as_dict()["answer"], sent.calven))


def break_calven(readers: Readers, mode: str) -> None:
    """Have the sandbox fail from now on. Raises `ReadFailed`."""
    with readers.reading():
        note(readers.target, "break Calven", mode=mode)
        _order(readers, "POST", "fail", {"mode": mode})


def mend_calven(readers: Readers) -> None:
    """Have the sandbox answer again. Raises `ReadFailed`."""
    with readers.reading():
        note(readers.target, "mend Calven")
        _order(readers, "DELETE", "fail", None)


def _order(readers: Readers, method: str, order: str, body: object) -> None:
    url = readers.target.sandbox_url
    if url is None:
        raise click.ClickException("this relay's Calven is not the sandbox")
    try:
        answer = httpx.request(method, f"{url}/_sandbox/{order}", json=body, timeout=5, trust_env=False)
        answer.raise_for_status()
    except httpx.HTTPError as error:
        readers.forget()
        raise click.ClickException(f"the sandbox does not answer: {type(error).__name__}") from None


def reset(readers: Readers) -> int:
    """Empty the local relay's ledger and queues, and mend Calven; how many items went. Raises `ReadFailed`.

    Only what `make run` plays is ever emptied.
    """
    with readers.reading():
        target = readers.target
        if not target.endpoint:
            raise click.ClickException("only a local relay can be reset")
        note(target, "reset")
        for url in (target.unprocessed_queue_url, target.dead_letter_queue_url):
            target.client("sqs").purge_queue(QueueUrl=url)
        number = _empty(target)
    if target.sandbox_url:
        mend_calven(readers)
    return number


def _empty(target: Target) -> int:
    table, number = target.client("dynamodb"), 0
    pages = table.get_paginator("scan").paginate(TableName=target.table, ProjectionExpression="pk, sk")
    for key in [item for page in pages for item in page["Items"]]:
        if not _is_configuration(key["pk"]["S"]):
            table.delete_item(TableName=target.table, Key=key)
            number += 1
    return number


def _is_configuration(pk: str) -> bool:
    return pk == "config" or pk.startswith("config#")
