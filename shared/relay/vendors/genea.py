"""Genea Access Control (Sequr): access granted.

Follows https://help.getgenea.com/en/articles/1292571-genea-events-webhook and the vendor's sample client
https://github.com/sequr/genea-webhook-client-sample. Not confirmed on live traffic: where a door is named
(the vendor's sample names only the controller), and the actions of refused access, which are ignored.
"""

from collections.abc import Sequence

from pydantic import AwareDatetime, BaseModel, ValidationError

from relay.errors import Unparseable
from relay.events import BadgeEvent, Event, Ignored, Webhook, read_json, unparseable
from relay.signatures import Hmac
from relay.vendors.base import Vendor
from relay.vendors.common import Text

GRANTED = "SEQUR_ACCESS_GRANTED"


class _Head(BaseModel):
    event_type: str
    event_action: str | None = None
    uuid: str = ""


class _Actor(BaseModel):
    user_email: str | None = None
    user_uuid: str | None = None


class _Named(BaseModel):
    uuid: str | None = None
    id: str | int | None = None


class _Access(BaseModel):
    uuid: Text
    event_time: AwareDatetime
    actor: _Actor | None = None
    door: _Named | None = None
    event_hw_info: _Named | str | None = None
    controller: _Named | None = None

    def door_id(self) -> str:
        """The door's id, else the controller's; raises `Unparseable` where there is neither."""
        for named in (self.door, self.event_hw_info, self.controller):
            if isinstance(named, _Named) and (found := named.uuid or named.id):
                return str(found)
        raise Unparseable("door: missing, and there is no controller either")


def parse(webhook: Webhook) -> Sequence[Event]:
    """Granted access is a badge event; refusals, audit entries and all else are ignored."""
    payload = read_json(webhook.body)
    try:
        head = _Head.model_validate(payload)
        if head.event_type != "ACCESS" or head.event_action != GRANTED:
            denied = head.event_type == "ACCESS" and "DENIED" in (head.event_action or "")
            return [Ignored(event_id=head.uuid, reason="denied" if denied else "other_event")]
        access = _Access.model_validate(payload)
    except ValidationError as error:
        raise unparseable(error) from None
    person = (access.actor and (access.actor.user_email or access.actor.user_uuid)) or None
    return [BadgeEvent(event_id=access.uuid, at=access.event_time, door=access.door_id(), person=person)]


VENDOR = Vendor(
    name="genea",
    title="Genea",
    families=("access-control",),
    docs="https://help.getgenea.com/en/articles/1292571-genea-events-webhook",
    signature="`X-Sequr-Signature`, HMAC-SHA1",
    forwards="`ACCESS` events that were granted",
    ignores="refused access, `AUDIT` and other events",
    direction="door",
    confidence="medium",
    scheme=Hmac(header="x-sequr-signature", algorithm="sha1", form="sha1={signature}", or_compact_json=True),
    parse=parse,
    fresh={"uuid": "id", "event_time": "iso"},
)
