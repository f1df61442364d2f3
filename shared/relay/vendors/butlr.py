"""Butlr: how many people are in a room, zone or floor.

Follows https://docs.butlr.io/real-time-occupancy/webhooks-overview, `/room-occupancy` and
`/zone-occupancy`. Butlr recomputes the last minutes: of two counts of one instant the one received last
holds. Not confirmed on live traffic: how a delivery is authenticated, and the payload of motion events.
"""

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import Field

from relay.errors import Unparseable
from relay.events import Event, Ignored, SensorReading, Webhook, read_json, utc
from relay.vendors.support.base import Vendor
from relay.vendors.support.fields import Payload, digest
from relay.vendors.support.fixed_tokens import TOKEN_IN_URL

COUNTS = {"ROOM_OCCUPANCY": "room", "ZONE_OCCUPANCY": "zone", "FLOOR_OCCUPANCY": "floor"}
"""Events that count, and of what: its id is the sensor's."""
MOTION = {"PIR_MOTION": True, "PIR_NO_MOTION": False}


class _Head(Payload):
    type: str
    id: str = ""


class _Metadata(Payload):
    room_id: str | None = None
    zone_id: str | None = None
    floor_id: str | None = None
    room_name: Any = None
    zone_name: Any = None
    floor_name: Any = None


class _Moment(Payload):
    timestamp: Annotated[int, Field(ge=0, lt=10**14)]
    metadata: _Metadata


class _Count(_Moment):
    data: int


def parse(webhook: Webhook) -> Sequence[Event]:
    """Counts of a room, zone or floor are readings, and motion is an occupied state; all else is ignored."""
    payload = read_json(webhook.body)
    head = _Head.model_validate(payload)
    # The suffix is that of counts smoothed over a minute.
    kind = head.type.upper().removesuffix("_1MIN").removesuffix("_1M")
    if kind in MOTION:
        motion = _Moment.model_validate(payload)
        space = "zone" if motion.metadata.zone_id else "room"
        return [_reading(f"{head.id}|{kind}", space, motion, None, occupied=MOTION[kind])]
    if kind in COUNTS:
        count = _Count.model_validate(payload)
        return [_reading(f"{head.id}|{kind}", COUNTS[kind], count, count.data, occupied=count.data > 0)]
    return [Ignored(event_id=head.id, reason="other_event")]


def _reading(event: str, space: str, moment: _Moment, people: int | None, *, occupied: bool) -> SensorReading:
    sensor = getattr(moment.metadata, f"{space}_id")
    if not sensor:
        raise Unparseable("metadata: the id of the room, zone or floor is missing")
    # Butlr sends a recomputed count under the same id: what it says tells the two apart.
    said = (event, sensor, moment.timestamp, people, occupied)
    return SensorReading(
        event_id=digest(*said),
        at=utc(moment.timestamp / 1000),
        sensor=sensor,
        people=people,
        occupied=occupied,
        name=getattr(moment.metadata, f"{space}_name"),
    )


VENDOR = Vendor(
    name="butlr",
    title="Butlr",
    families=("access-control",),
    docs="https://docs.butlr.io/real-time-occupancy/webhooks-overview",
    signature="none: `?token=` in the URL, or a header",
    forwards="occupancy of rooms, zones and floors; motion as an occupied state",
    ignores="traffic, detections, other events",
    direction="-",
    confidence="medium",
    scheme=TOKEN_IN_URL,
    parse=parse,
    fresh={"id": "id", "timestamp": "milliseconds"},
    subjects={"metadata.room_id": "door", "metadata.zone_id": "door", "metadata.floor_id": "door"},
)
