"""Made-up events in the generic format, and how they are posted to a local relay of the demo."""

import json
import time
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx

from localrun.settings import DEMO

TOKEN = json.loads((DEMO / "secrets.json").read_text("utf-8"))["generic"]["tokens"][0]
MOST_ATTEMPTS = 8
"""A vendor posts again what was answered 503, as a busy machine does."""


def post(url: str, family: str, event: dict[str, Any]) -> httpx.Response:
    """Post an event to the source `generic` of the relay at a URL. Raises `httpx.HTTPStatusError`."""
    headers = {"authorization": f"Bearer {TOKEN}"}
    for _ in range(MOST_ATTEMPTS):
        answer = httpx.post(f"{url}/webhooks/{family}/generic", json=event, headers=headers, timeout=30)
        if answer.status_code != 503:
            break
        time.sleep(0.5)
    return answer.raise_for_status()


def badge(person: str, door: str = "north", direction: str = "in", *, minutes: int = 0) -> dict[str, Any]:
    """A badge so many minutes ago."""
    at = (datetime.now(UTC) - timedelta(minutes=minutes)).isoformat()
    said = {"type": "badge", "id": uuid4().hex, "at": at, "door": door}
    return {**said, "person": person, "direction": direction}


def leave(person: str, start: date, days: int, kind: str = "Study") -> dict[str, Any]:
    """Approved leave of so many days."""
    return {
        "type": "leave",
        "id": uuid4().hex,
        "leave": uuid4().hex,
        "state": "approved",
        "changedAt": datetime.now(UTC).isoformat(),
        "email": person,
        "start": start.isoformat(),
        "end": (start + timedelta(days=days - 1)).isoformat(),
        "leaveType": kind,
    }
