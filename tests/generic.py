"""Events in the generic format, and how they are posted to a local relay of the demo."""

import json
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx

from localrun.settings import DEMO

TOKEN = json.loads((DEMO / "secrets.json").read_text("utf-8"))["generic"]["tokens"][0]


def post(url: str, family: str, event: dict[str, Any]) -> httpx.Response:
    """Post an event to the source `generic` of the relay at a URL; any answer but 2xx is an error."""
    headers = {"authorization": f"Bearer {TOKEN}"}
    answer = httpx.post(f"{url}/webhooks/{family}/generic", json=event, headers=headers, timeout=30)
    return answer.raise_for_status()


def badge(person: str, door: str = "north", direction: str = "in") -> dict[str, Any]:
    """A badge of this moment."""
    at = datetime.now(UTC).isoformat()
    return {
        "type": "badge",
        "id": uuid4().hex,
        "at": at,
        "door": door,
        "person": person,
        "direction": direction,
    }


def leave(person: str, start: date, days: int) -> dict[str, Any]:
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
        "leaveType": "Study",
    }
