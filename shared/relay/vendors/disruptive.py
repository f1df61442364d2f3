"""Disruptive Technologies: desks, motion and contacts, occupied or not.

Follows https://docs.developer.disruptive-technologies.com/data-connectors/receiving-events. Not confirmed on
live traffic: the token's claim `checksum_sha256`, and the states of `contact` and `objectPresent`.
"""

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, Field

from relay.errors import Unparseable
from relay.events import Event, Ignored, SensorReading, Webhook, read_json
from relay.vendors.support.base import Vendor
from relay.vendors.support.fields import Text, instant
from relay.vendors.support.signatures import JwtChecksum

STATES: dict[str, dict[str, bool]] = {
    "deskOccupancy": {"OCCUPIED": True, "NOT_OCCUPIED": False},
    "motion": {"MOTION_DETECTED": True, "NO_MOTION_DETECTED": False},
    "contact": {"CLOSED": True, "OPEN": False},
    "objectPresent": {"PRESENT": True, "NOT_PRESENT": False},
}
"""Whether a state means that somebody is there. A door that is closed means so for a booth."""


class _Event(BaseModel):
    event_id: Text = Field(alias="eventId")
    event_type: str = Field(alias="eventType")
    target_name: str = Field(default="", alias="targetName")
    timestamp: str | None = None
    data: dict[str, Any] = {}


class _Metadata(BaseModel):
    device_id: Text | None = Field(default=None, alias="deviceId")


class _Body(BaseModel):
    event: _Event
    metadata: _Metadata | None = None

    def sensor(self) -> str:
        """The device's id, else the end of the target's name; raises `Unparseable` without both."""
        device = self.metadata.device_id if self.metadata else None
        found = device or self.event.target_name.rpartition("/")[2]
        if not found:
            raise Unparseable("event.targetName: missing")
        return found


class _State(BaseModel):
    state: str


def parse(webhook: Webhook) -> Sequence[Event]:
    """A state of a desk, of motion or of a contact is a reading; every other event is ignored."""
    payload = read_json(webhook.body)
    body = _Body.model_validate(payload)
    event = body.event
    if event.event_type not in STATES:
        return [Ignored(event_id=event.event_id, reason="other_event")]
    state = _State.model_validate(event.data.get(event.event_type)).state
    occupied = STATES[event.event_type].get(state)
    if occupied is None:
        raise Unparseable("event.data.state: unknown")
    at = instant(event.timestamp)
    if at is None:
        raise Unparseable("event.timestamp: missing or no time")
    return [SensorReading(event_id=event.event_id, at=at, sensor=body.sensor(), occupied=occupied)]


VENDOR = Vendor(
    name="disruptive",
    title="Disruptive Technologies",
    families=("access-control",),
    docs="https://docs.developer.disruptive-technologies.com/data-connectors/receiving-events",
    signature="`X-Dt-Signature`, a JWT (HS256) with the body's checksum",
    forwards="desk occupancy, motion, contacts and object presence, as occupied states",
    ignores="touch, temperature, every other event",
    direction="-",
    confidence="high",
    scheme=JwtChecksum("x-dt-signature"),
    parse=parse,
    fresh={"event.eventId": "id", "event.timestamp": "iso"},
)
