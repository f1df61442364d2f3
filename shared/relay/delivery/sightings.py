"""What events name on their way, for operators: noted at the end, as nothing depends on it."""

from collections.abc import Mapping
from functools import partial

from relay.config.model import Source
from relay.deadline import LEAST_AWS_SECONDS
from relay.delivery.step import attempt
from relay.events import MOST_ID_CHARACTERS, BadgeEvent, Event, LeaveChange, SensorReading
from relay.invocation import Invocation
from relay.vendors.support.seen import Sighting


def sighting(event: Event | None, source: Source | None) -> Sighting | None:
    """The door or sensor that an event of a source names, or its kind of leave where no table maps that."""
    match event:
        case BadgeEvent():
            return Sighting("door", event.door, event.name)
        case SensorReading():
            return Sighting("sensor", event.sensor, event.name)
        case LeaveChange() if source is not None:
            name = (event.type_name or "").strip()
            if 0 < len(name) <= MOST_ID_CHARACTERS and not source.maps(name):
                return Sighting("leave-type", name, name)
    return None


def note(seen: Mapping[str, set[Sighting]], invocation: Invocation) -> None:
    """Note what was seen, by source, while there is time. Where that fails, it is seen again."""
    for source, sightings in seen.items():
        if invocation.deadline.left_for_work() < LEAST_AWS_SECONDS:
            return
        key = invocation.config.key(source)
        attempt(partial(invocation.seen.note, key, sightings), invocation)
