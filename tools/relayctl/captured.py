"""A file for `relayctl send --file`: a request as `make run CAPTURE=folder` keeps it, or a bare body."""

import base64
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

MOST_BYTES = 2 * 1024 * 1024
_PATH = re.compile(r"/webhooks/(?P<family>[^/]+)/(?P<source>[^/]+)(?:/(?P<topic>[^/]+))?/?")


@dataclass(frozen=True)
class Captured:
    """A body, and where it was posted to, if the file says so."""

    body: bytes
    source: str | None = None
    topic: str | None = None


def read(path: Path) -> Captured:
    """What a file holds; raises `click.ClickException` where that cannot be read."""
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise click.ClickException(f"{path}: {error.strerror}") from None
    if len(content) > MOST_BYTES:
        raise click.ClickException(f"{path}: larger than any webhook that the relay takes")
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        return Captured(content)
    return _of(path, found) if _is_capture(found) else Captured(content)


def _is_capture(found: Any) -> bool:
    """Whether it is a request: no vendor's body has a method, a path, and a body within."""
    if not isinstance(found, dict) or not {"method", "path"} <= found.keys():
        return False
    return "body" in found or "base64" in found


def _of(path: Path, found: dict[str, Any]) -> Captured:
    place = _PATH.fullmatch(found["path"]) if isinstance(found["path"], str) else None
    if place is None or found["method"] != "POST":
        raise click.ClickException(f"{path}: it is no POST to a webhook's route")
    return Captured(_body(path, found), place["source"], place["topic"])


def _body(path: Path, found: dict[str, Any]) -> bytes:
    try:
        if isinstance(found.get("body"), str):
            return str(found["body"]).encode()
        return base64.b64decode(found["base64"], validate=True)
    except (KeyError, TypeError, ValueError):
        raise click.ClickException(f"{path}: its body cannot be read") from None
