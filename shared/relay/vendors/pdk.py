"""PDK (ProdataKey): access that was allowed at a device.

Follows https://developer.pdk.io/web/2.0/rest/webhooks for the topics and the subscription's secret. How it
signs and what a notification holds is documented by receivers in public repositories only, which agree. Not
confirmed on live traffic: `holderId` and `deviceId`, which some of them read and others do not, and whether a
delivery is repeated.
"""

from collections.abc import Sequence
from hashlib import sha256
from typing import Annotated

from pydantic import Field

from relay.errors import Unparseable
from relay.events import BadgeEvent, Event, Ignored, Webhook, read_json, utc
from relay.vendors.support.base import Vendor
from relay.vendors.support.fields import OptionalText, Payload
from relay.vendors.support.signatures import Hmac

ALLOWED = frozenset({"device.request.allowed", "device.request.multiallowed", "device.request.ecard.allowed"})
DENIED = frozenset(
    {
        "device.request.denied",
        "device.request.unknown",
        "device.request.filtered",
        "device.request.ecard.denied",
    }
)

DOOR_STATES = ("device.input.dps.", "device.alarm.")
"""Topics of doors that were opened, closed, forced or held open begin so."""


class _Head(Payload):
    topic: str

    def ignored(self) -> str | None:
        """Why nobody was let in, None where somebody was."""
        topic = self.topic.strip().lower()
        if topic in ALLOWED:
            return None
        if topic in DENIED:
            return "denied"
        return "door_state" if topic.startswith(DOOR_STATES) else "other_event"


class _Request(Payload):
    occurred: Annotated[int, Field(ge=0, lt=10**14)]
    device_id: OptionalText = Field(default=None, alias="deviceId")
    device_name: OptionalText = Field(default=None, alias="deviceName")
    holder_id: OptionalText = Field(default=None, alias="holderId")
    holder_name: OptionalText = Field(default=None, alias="holderName")

    def door(self) -> str:
        """The device's id, else its name; raises `Unparseable` where there is neither."""
        found = self.device_id or self.device_name
        if found is None:
            raise Unparseable("metadata.deviceName: missing, and there is no deviceId either")
        return found


class _Notification(Payload):
    metadata: _Request


def parse(webhook: Webhook) -> Sequence[Event]:
    """Allowed requests are badge events; refused ones, door states and all else are ignored."""
    payload = read_json(webhook.body)
    reason = _Head.model_validate(payload).ignored()
    # PDK numbers no event: a body that is sent again is the same event.
    event_id = sha256(webhook.body).hexdigest()
    if reason is not None:
        return [Ignored(event_id=event_id, reason=reason)]
    request = _Notification.model_validate(payload).metadata
    return [
        BadgeEvent(
            event_id=event_id,
            at=utc(request.occurred / 1000),
            door=request.door(),
            person=request.holder_id or request.holder_name,
            name=request.device_name,
        )
    ]


VENDOR = Vendor(
    name="pdk",
    title="PDK (ProdataKey)",
    families=("access-control",),
    docs="https://developer.pdk.io/web/2.0/rest/webhooks",
    signature="`X-PDK-SIGNATURE`, HMAC-SHA1",
    forwards="`device.request.allowed`, `.multiallowed` and `.ecard.allowed`",
    ignores="refused requests, door states, every other topic",
    direction="door",
    confidence="medium",
    scheme=Hmac(header="x-pdk-signature", algorithm="sha1"),
    parse=parse,
    fresh={"metadata.occurred": "milliseconds"},
    subjects={
        "metadata.deviceId": "door",
        "metadata.deviceName": "door",
        "metadata.holderId": "person",
        "metadata.holderName": "person",
    },
)
