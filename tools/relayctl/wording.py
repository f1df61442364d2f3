"""What the log says of an event, in words: no name, no address, doors as `relay.yaml` calls them."""

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Any

from relay.config.model import Door
from relay.config.store import ConfigStore, Configuration
from relay.errors import TableUnavailable
from relayctl.event_log import LoggedEvent
from relayctl.target import Target

FindDoor = Callable[[str, str], Door | None]
"""A door by its source and its id, as it is configured; None where it is not."""


def doors_of(target: Target) -> FindDoor:
    """The doors that are configured now. One that cannot be read is as one that is not there."""
    store = ConfigStore(target.ledger())

    def find(source: str, door: str) -> Door | None:
        try:
            return Configuration(store).door(source, door)
        except TableUnavailable:
            return None

    return find


def no_doors(_source: str, _door: str) -> Door | None:
    """For where the configuration is not at hand: doors are shown by their ids."""
    return None


def what(event: LoggedEvent, door: FindDoor = no_doors) -> str:
    """What an event was: `badge in at Lobby in`, `leave approved 2 to 5 Mar`, `reading 5 people at s-12`."""
    said = event.what
    match said.get("form"):
        case "badge":
            return _badge(event.source, said, door)
        case "reading":
            return f"reading {_amount(_read(said))} at sensor {said.get('sensor')}"
        case "leave":
            return " ".join(filter(None, ("leave", str(said.get("state")), days(said))))
    return _other(event)


def _badge(source: str, said: Mapping[str, Any], find: FindDoor) -> str:
    door_id = str(said.get("door"))
    door = find(source, door_id)
    direction = said.get("direction") or (door.direction if door else "")
    name = (door.name if door else "") or f"door {door_id}"
    return " ".join(filter(None, ("badge", direction, "at", name)))


def _read(said: Mapping[str, Any]) -> Any:
    return said["people"] if "people" in said else said.get("occupied")


def _other(event: LoggedEvent) -> str:
    """A line that does not say what it was: counts that were settled before, or a request by itself."""
    if event.outcome in ("refused", "unknown", "unavailable"):
        return "webhook"
    if event.from_queue and event.counts:
        return "counts that waited"
    if event.function in ("occupancy-reset", "reconcile"):
        return "counts of the schedule"
    return "event"


def days(said: Mapping[str, Any]) -> str:
    """The days of a leave: `2 Mar`, `2 to 5 Mar`, `28 Feb to 3 Mar`, with years where these differ."""
    try:
        start, end = (date.fromisoformat(said[name]) for name in ("start", "end"))
    except (KeyError, TypeError, ValueError):
        return ""
    if start == end:
        return f"{start:%-d %b}"
    if (start.year, start.month) == (end.year, end.month):
        return f"{start:%-d} to {end:%-d %b}"
    if start.year == end.year:
        return f"{start:%-d %b} to {end:%-d %b}"
    return f"{start:%-d %b %Y} to {end:%-d %b %Y}"


def counts(event: LoggedEvent) -> str:
    """The counts that changed: `sydney-l3 14 → 15, sydney 30 → 31`; of one settled before only its value."""
    return ", ".join(f"{place} {_change(values)}" for place, values in event.counts.items())


def _change(values: Sequence[Any]) -> str:
    shown = [_number(value) for value in values]
    return " → ".join(shown)


def _number(value: Any) -> str:
    if isinstance(value, bool):
        return "occupied" if value else "free"
    return str(value)


def _amount(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return "1 person" if value == 1 else f"{value} people"
    return _number(value) if value is not None else ""


def calven(event: LoggedEvent) -> str:
    """Calven's answer: `Calven 200, code 1`, `no answer from Calven`; empty where it was not asked."""
    if not event.calven:
        return ""
    status, code = event.calven.get("status"), event.calven.get("code")
    if status is None:
        return "no answer from Calven"
    return f"Calven {status}" if code is None else f"Calven {status}, code {code}"


def outcome(event: LoggedEvent) -> str:
    """What became of it: `forwarded`, `ignored: denied`, `queued: calven_unavailable`, `refused: 401`."""
    named = {"refused": "refused: 401", "unknown": "no such source: 404", "unavailable": "unavailable: 503"}
    if event.outcome in named:
        return ", ".join(filter(None, (named[event.outcome], event.detail)))
    return f"{event.outcome}: {event.reason}" if event.reason else event.outcome
