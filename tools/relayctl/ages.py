"""How old an event is, by what its envelope says."""

from datetime import UTC, datetime
from typing import Any


def age_seconds(envelope: dict[str, Any], now: datetime) -> float | None:
    """How long ago the event was received; None where the envelope does not say."""
    try:
        return (now - datetime.fromisoformat(envelope["received_at"])).total_seconds()
    except (KeyError, TypeError, ValueError):
        return None


def age(envelope: dict[str, Any], now: datetime) -> str:
    """The same in words short enough for a table."""
    seconds = age_seconds(envelope, now)
    if seconds is None:
        return "?"
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def now() -> datetime:
    """The present, aware."""
    return datetime.now(UTC)
