"""Seam: unlocks and granted access of the locks and access systems that are connected to it.

Follows https://docs.seam.co/latest/developer-tools/webhooks, https://docs.seam.co/latest/api/locks and the
events of https://github.com/seamapi/types. Not confirmed on live traffic: which systems name the person, and
`access_granted`, which Seam's own types do not list.
"""

from collections.abc import Sequence

from relay.errors import Unparseable
from relay.events import BadgeEvent, Event, Ignored, Webhook, read_json
from relay.vendors.support.base import Vendor
from relay.vendors.support.fields import Instant, OptionalText, Payload, Text
from relay.vendors.support.signatures import StandardWebhooks

COUNTED = frozenset({"unlocked", "access_granted"})
"""What happened, as the type of an event says behind its last dot: `lock.unlocked`."""
DENIED = "access_denied"
REMOTE = frozenset({"remote", "seamapi"})
"""Methods by which somebody may have unlocked from elsewhere; older events have the second word."""
AUTOMATIC = "automatic"


class _Head(Payload):
    event_type: str
    event_id: Text


class _Unlock(_Head):
    occurred_at: Instant
    device_id: OptionalText = None
    acs_entrance_id: OptionalText = None
    user_identity_id: OptionalText = None
    acs_user_id: OptionalText = None
    access_code_id: OptionalText = None
    method: str | None = None
    is_via_bluetooth: bool | None = None
    is_via_nfc: bool | None = None

    def door(self) -> str:
        """The lock's id, else the entrance's; raises `Unparseable` where there is neither."""
        found = self.device_id or self.acs_entrance_id
        if found is None:
            raise Unparseable("device_id: missing, and there is no acs_entrance_id either")
        return found

    def person(self) -> str | None:
        """The person at Seam, else at the access system, else whoever has that access code."""
        return self.user_identity_id or self.acs_user_id or self.access_code_id

    def ignored(self, *, remote_counts: bool) -> str | None:
        """Why nobody has passed, None where somebody has."""
        method = (self.method or "").strip().lower()
        if method == AUTOMATIC:
            return "other_event"
        # A phone at the door is remote to Seam as well, and has one of these transports.
        is_at_door = self.is_via_bluetooth or self.is_via_nfc
        return "remote" if method in REMOTE and not is_at_door and not remote_counts else None


def parse(webhook: Webhook) -> Sequence[Event]:
    """Unlocks and granted access are badge events; remote and automatic unlocks and all else are ignored."""
    payload = read_json(webhook.body)
    head = _Head.model_validate(payload)
    happened = head.event_type.strip().lower().rpartition(".")[2]
    if happened not in COUNTED:
        return [Ignored(event_id=head.event_id, reason="denied" if happened == DENIED else "other_event")]
    unlock = _Unlock.model_validate(payload)
    if reason := unlock.ignored(remote_counts=webhook.counting.remote_unlocks):
        return [Ignored(event_id=unlock.event_id, reason=reason)]
    at, door, person = unlock.occurred_at, unlock.door(), unlock.person()
    return [BadgeEvent(event_id=unlock.event_id, at=at, door=door, person=person)]


VENDOR = Vendor(
    name="seam",
    title="Seam",
    families=("access-control",),
    docs="https://docs.seam.co/latest/developer-tools/webhooks",
    signature="`svix-signature`, Svix (Standard Webhooks)",
    forwards="`lock.unlocked` and granted access of a person",
    ignores="refused access, remote and automatic unlocks, unlocks without a person, every other event",
    direction="door",
    confidence="medium",
    scheme=StandardWebhooks(prefix="svix-"),
    parse=parse,
    fresh={"event_id": "id", "occurred_at": "iso"},
    subjects={
        "device_id": "door",
        "acs_entrance_id": "door",
        "user_identity_id": "person",
        "acs_user_id": "person",
        "access_code_id": "person",
    },
    settings=frozenset({"remoteUnlocks"}),
)
