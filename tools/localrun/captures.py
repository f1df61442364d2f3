"""Requests as they came in, kept as files: `make run CAPTURE=folder`.

A file holds what it takes to send the request again, signed anew with one's own secret. So what proves who
sent it is left out: every header that is not known to be harmless, and every value of the query.
"""

import base64
import json
import os
import re
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import Any
from urllib.parse import parse_qsl

from localrun.settings import StartError

MOST_FILES = 1000
MOST_BYTES = 256 * 1024
"""What is larger the relay does not take either."""
NOTE = "each webhook is written into {}, with the personal data in it: delete the files when you are done"
_HARMLESS = frozenset({"accept", "content-encoding", "content-length", "content-type", "user-agent"})


class Captures:
    """The folder, and how many more files may come into it. What cannot be kept is said, and no more."""

    def __init__(self, folder: Path, is_secret: Callable[[str, bytes], bool], most: int = MOST_FILES) -> None:
        """`is_secret` says of a source's body whether it hands a secret over. `most` files may be there.

        Raises `StartError` where the folder cannot be used.
        """
        self._folder, self._is_secret, self._most = folder, is_secret, most
        self._lock = Lock()
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._left = most - sum(1 for _ in folder.glob("*.json"))
        except OSError as error:
            raise StartError([f"CAPTURE={folder}: {error.strerror}"], 2) from None

    def keep(
        self, source: str, method: str, path: str, query: str, headers: Mapping[str, str], body: bytes
    ) -> None:
        """Write a request into a file of its own."""
        if why := self._refused(source, body):
            _say(f"not captured: {why}")
            return
        at = datetime.now(UTC)
        text = json.dumps(captured(at, method, path, query, headers, body), indent=2) + "\n"
        try:
            self._write(f"{at:%Y%m%dT%H%M%S.%fZ}-{_in_a_name(source)}.json", text)
        except OSError as error:
            _say(f"not captured: {error.strerror}")

    def _refused(self, source: str, body: bytes) -> str:
        """Why a request is not kept; empty for one that is."""
        if len(body) > MOST_BYTES:
            return "larger than any webhook that the relay takes"
        if self._is_secret(source, body):
            return "the vendor hands over a secret in it"
        with self._lock:
            self._left -= 1
            return "" if self._left >= 0 else f"there are {self._most} files: delete some, and start again"

    def _write(self, name: str, text: str) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        with os.fdopen(os.open(self._folder / name, flags, 0o600), "w", encoding="utf-8") as file:
            file.write(text)


def captured(
    at: datetime, method: str, path: str, query: str, headers: Mapping[str, str], body: bytes
) -> dict[str, Any]:
    """A request as its file has it. `leftOut` names the headers, and the query's parameters, that it had."""
    names = {name.lower() for name in headers}
    kept = {name.lower(): value for name, value in headers.items() if name.lower() in _HARMLESS}
    parameters = {f"?{name}" for name, _ in parse_qsl(query, keep_blank_values=True)}
    request = {
        "receivedAt": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "method": method,
        "path": path,
        "headers": kept,
        "leftOut": sorted((names - _HARMLESS) | parameters),
    }
    try:
        return {**request, "body": body.decode()}
    except UnicodeDecodeError:
        return {**request, "base64": base64.b64encode(body).decode()}


def _in_a_name(source: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "_", source)[:64]


def _say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)
