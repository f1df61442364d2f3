"""Kisi: unlocks of doors.

Follows https://docs.kisi.io/api/how_to_guides/set_up_webhooks/track_unlocks and
https://docs.kisi.io/how_to_guides/integration_guides/workflow_automation/event_webhooks/.
Not confirmed on live traffic: that the signature is hexadecimal, that refused unlocks are delivered with
`success: false`, and the `type` of door-state events, which are ignored whatever they are called.
"""

from collections.abc import Sequence

from pydantic import BaseModel

from relay.events import BadgeEvent, Event, Ignored, Webhook, read_json
from relay.vendors.support.base import Vendor
from relay.vendors.support.fields import Instant
from relay.vendors.support.signatures import Hmac


class _Head(BaseModel):
    type: str
    uuid: str = ""


class _Unlock(BaseModel):
    uuid: str
    success: bool
    object_id: int | str
    created_at: Instant
    actor_type: str | None = None
    actor_id: int | str | None = None

    def person(self) -> str | None:
        """The user's id; None for a request to exit and for an access link that anybody may hold."""
        if self.actor_id in (None, "") or "link" in (self.actor_type or "").lower():
            return None
        return str(self.actor_id)


def parse(webhook: Webhook) -> Sequence[Event]:
    """`lock.unlock` with `success` is a badge event; every other type is ignored."""
    payload = read_json(webhook.body)
    head = _Head.model_validate(payload)
    if head.type != "lock.unlock":
        return [Ignored(event_id=head.uuid, reason="other_event")]
    unlock = _Unlock.model_validate(payload)
    if not unlock.success:
        return [Ignored(event_id=unlock.uuid, reason="denied")]
    door = str(unlock.object_id)
    return [BadgeEvent(event_id=unlock.uuid, at=unlock.created_at, door=door, person=unlock.person())]


VENDOR = Vendor(
    name="kisi",
    title="Kisi",
    families=("access-control",),
    docs="https://docs.kisi.io/api/how_to_guides/set_up_webhooks/track_unlocks",
    signature="`X-Signature`, HMAC-SHA256",
    forwards="`lock.unlock` that succeeded",
    ignores="refused unlocks, other types, unlocks without a user",
    direction="door",
    confidence="high",
    scheme=Hmac(header="x-signature"),
    parse=parse,
    fresh={"uuid": "id", "created_at": "iso"},
)
