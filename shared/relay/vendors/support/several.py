"""Bodies of several events: one that cannot be read costs no other."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from relay.errors import TooLarge, Unparseable
from relay.events import Event, MalformedEvent, unparseable_if_invalid

MOST_EVENTS = 1000
"""More in one body are a mistake, or an attack: each would be a message of its own."""
TIMES_THE_BODY = 4
LITTLE_BYTES = 256 * 1024
V = TypeVar("V")

Alone = Callable[[Sequence[Any]], Any]
"""Makes a payload that holds only these of its entries."""


@dataclass(frozen=True, slots=True)
class _Refused:
    """An entry that cannot be read, and why."""

    entry: Any
    detail: str


def bounded(entries: Sequence[V]) -> Sequence[V]:
    """The entries, if they are not too many; raises `TooLarge` before anything is made of them."""
    if len(entries) > MOST_EVENTS:
        raise TooLarge(f"body: more than {MOST_EVENTS} events")
    return entries


def each(
    entries: Sequence[Any],
    read: Callable[[Any], Event],
    alone: Alone,
    body: bytes,
    event_id: Callable[[Any], str] = lambda _: "",
) -> Sequence[Event]:
    """The event of each entry; one that cannot be read is a malformed event, with a body of its own.

    Where those bodies would take more than a few times the memory of `body`, since the entries share much,
    the malformed ones stay together in one, after the others. Raises `Unparseable` for a single entry.
    """
    events: list[Event] = []
    refused: dict[int, _Refused] = {}
    for place, entry in enumerate(bounded(entries)):
        try:
            with unparseable_if_invalid():
                events.append(read(entry))
        except Unparseable as refusal:
            # Alone it is the whole request, which becomes the dead letter as it came.
            if len(entries) == 1:
                raise
            refused[place] = _Refused(entry, str(refusal))
    if not refused:
        return events
    bodies = _bodies(list(refused.values()), alone, max(TIMES_THE_BODY * len(body), LITTLE_BYTES))
    if bodies is None:
        return [*events, _together(list(refused.values()), alone, event_id)]
    # In ascending order, so that each finds its place again.
    for (place, one), content in zip(refused.items(), bodies, strict=True):
        malformed = MalformedEvent(event_id=event_id(one.entry), body=content, detail=one.detail)
        events.insert(place, malformed)
    return events


def _bodies(refused: Sequence[_Refused], alone: Alone, most: int) -> list[str] | None:
    """A body for each, with what all entries share; None where they would take more than so many bytes."""
    bodies = []
    for one in refused:
        content = json.dumps(alone([one.entry]))
        most -= len(content)
        if most < 0:
            return None
        bodies.append(content)
    return bodies


def _together(refused: Sequence[_Refused], alone: Alone, event_id: Callable[[Any], str]) -> MalformedEvent:
    content = json.dumps(alone([one.entry for one in refused]))
    detail = f"{refused[0].detail}; {len(refused) - 1} more"
    return MalformedEvent(event_id=event_id(refused[0].entry), body=content, detail=detail)


def as_list(payload: Any) -> list[Any]:
    """The entries of a body that is a list of events, or one event."""
    return payload if isinstance(payload, list) else [payload]
