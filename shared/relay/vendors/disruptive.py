"""Disruptive Technologies: desks, motion and contacts, occupied or not.

Follows https://docs.developer.disruptive-technologies.com/data-connectors/receiving-events; its list follows
https://developer.disruptive-technologies.com/api. Not confirmed on live traffic: the token's claim
`checksum_sha256`, and the states of `contact` and `objectPresent`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field

from relay.errors import Unparseable
from relay.events import Event, Ignored, SensorReading, Webhook, iso, read_json, unparseable_if_invalid
from relay.vendors.support.base import Api, Vendor, VendorApi, basic
from relay.vendors.support.fields import OptionalText, PathId, Payload, Text, instant, name_in, name_of
from relay.vendors.support.listing import DoorList, DoorPage, EventList, Listed, Page, Span
from relay.vendors.support.pages import another, each_listed, entries_at, query, text_at, within
from relay.vendors.support.signatures import JwtChecksum

STATES: dict[str, dict[str, bool]] = {
    "deskOccupancy": {"OCCUPIED": True, "NOT_OCCUPIED": False},
    "motion": {"MOTION_DETECTED": True, "NO_MOTION_DETECTED": False},
    "contact": {"CLOSED": True, "OPEN": False},
    "objectPresent": {"PRESENT": True, "NOT_PRESENT": False},
}
"""Whether a state means that somebody is there. A door that is closed means so for a booth."""


# A proximity sensor's events are of the type `objectPresent`.
OCCUPANCY = frozenset({"deskOccupancy", "motion", "contact", "proximity"})
"""The types of devices whose events have these states. What measures temperatures sees nobody."""


class _Event(Payload):
    event_id: Text = Field(alias="eventId")
    event_type: str = Field(alias="eventType")
    target_name: str = Field(default="", alias="targetName")
    timestamp: str | None = None
    data: dict[str, Any] = Field(default={})


class _Metadata(Payload):
    device_id: OptionalText = Field(default=None, alias="deviceId")


class _Body(Payload):
    event: _Event
    labels: Any = None
    """What the customer has labelled the device with; a listed event has none."""
    metadata: _Metadata | None = None

    def sensor(self) -> str:
        """The device's id, else the end of the target's name; raises `Unparseable` without both."""
        device = self.metadata.device_id if self.metadata else None
        found = device or self.event.target_name.rpartition("/")[2]
        if not found:
            raise Unparseable("event.targetName: missing")
        return found


class _State(Payload):
    state: str


class _Device(Payload):
    id: PathId


class _Place(Payload):
    """How far a listing has come: the devices still to be asked for, and where more of them are.

    `token` is where the events of the first of these devices go on.
    """

    devices: list[PathId] = Field(default=[])
    more: str | None = None
    token: str | None = None

    def as_text(self) -> str | None:
        """The same as text; None where nothing is left."""
        return self.model_dump_json() if self.devices or self.more else None


def parse(webhook: Webhook) -> Sequence[Event]:
    """A state of a desk, of motion or of a contact is a reading; every other event is ignored."""
    return [_event(read_json(webhook.body))]


def _event(payload: Any) -> Event:
    """What a webhook's body says."""
    body = _Body.model_validate(payload)
    event = body.event
    if event.event_type not in STATES:
        return Ignored(event_id=event.event_id, reason="other_event")
    state = _State.model_validate(event.data.get(event.event_type)).state
    occupied = STATES[event.event_type].get(state)
    if occupied is None:
        raise Unparseable("event.data.state: unknown")
    at = instant(event.timestamp)
    if at is None:
        raise Unparseable("event.timestamp: missing or no time")
    return SensorReading(
        event_id=event.event_id, at=at, sensor=body.sensor(), occupied=occupied, name=name_in(body.labels)
    )


def page(api: VendorApi, span: Span, following: str | None) -> Page:
    """A page of one device's events; or an empty one, while it is asked which devices there are."""
    with unparseable_if_invalid():
        place = _Place.model_validate_json(following or "{}")
    if not place.devices:
        # A page of its own, so that a process which goes on need not list the devices again.
        return Page((), _devices(api, place.more).as_text())
    device, *others = place.devices
    path = f"/v2/projects/{api.setting('projectId')}/devices/{device}/events"
    parameters = query(startTime=iso(span.asked_since), endTime=iso(span.until), pageToken=place.token)
    answer = api.get(path + parameters)
    events = each_listed(entries_at(answer, "events"), _listed, _as_body, key="eventId")
    token = another(text_at(answer, "nextPageToken"), place.token)
    next_place = _Place(devices=place.devices if token else others, more=place.more, token=token)
    return Page(within(span, events), next_place.as_text())


def _listed(entry: Any) -> Event:
    return _event(_as_body(entry))


def _as_body(entry: Any) -> Mapping[str, Any]:
    """A listed event as a webhook's body has it."""
    return {"event": entry}


def _devices(api: VendorApi, token: str | None) -> _Place:
    """The project's devices, from that page of them on."""
    answer = _ask_for_devices(api, token)
    found = [_device_id(device) for device in entries_at(answer, "devices")]
    return _Place(devices=found, more=another(text_at(answer, "nextPageToken"), token))


def _ask_for_devices(api: VendorApi, token: str | None) -> Any:
    return api.get(f"/v2/projects/{api.setting('projectId')}/devices" + query(pageToken=token))


def _device_id(device: Any) -> str:
    """A device's id, the end of its name; raises `Unparseable` where that is none."""
    name = text_at(device, "name") or ""
    with unparseable_if_invalid():
        return _Device(id=name.rpartition("/")[2]).id


def doors(api: VendorApi, following: str | None) -> DoorPage:
    """A page of the project's devices, as far as they see people."""
    answer = _ask_for_devices(api, following)
    seeing = [device for device in entries_at(answer, "devices") if text_at(device, "type") in OCCUPANCY]
    listed = [Listed("sensor", _device_id(device), name_of(device.get("labels"))) for device in seeing]
    return DoorPage(listed, another(text_at(answer, "nextPageToken"), following))


def _headers(credentials: Mapping[str, str]) -> Mapping[str, str]:
    """A service account's key, as its name and its secret."""
    return basic(credentials["keyId"], credentials["keySecret"])


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
    api=Api(
        host="https://api.disruptive-technologies.com",
        fields=("projectId", "keyId", "keySecret"),
        headers=_headers,
    ),
    lists=EventList(page=page),
    doors=DoorList(page=doors),
    fresh={"event.eventId": "id", "event.timestamp": "iso"},
    subjects={"metadata.deviceId": "door"},
)
