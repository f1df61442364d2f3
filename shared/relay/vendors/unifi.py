"""UniFi Access: doors unlocked, by the developer API's webhook (not Alarm Manager's, which is unsigned).

Follows https://unifi-access-api-openapi.pages.dev/api/notification, a copy of the PDF that the console
offers. The body has no time: that of the first signature under its `event_object_id` is taken. A door that
somebody opened from elsewhere (`CALL` answers the bell, `REMOTE_THROUGH_UAH` is the app) is nobody's passage.
Not confirmed on live traffic: whether refused unlocks are announced, and under which results.
"""

import re
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

from relay.events import BadgeEvent, Event, Ignored, Webhook, read_json, utc
from relay.vendors.support.base import Vendor
from relay.vendors.support.fields import OptionalText, Payload, Said, Text
from relay.vendors.support.signatures import Hmac, Part

SIGNED_AT = "signed-at"
REMOTE = ("CALL", "REMOTE")
"""How the kinds of authentication begin with which a door is opened from elsewhere."""


class _Head(Payload):
    event: str
    event_object_id: OptionalText = None


class _Location(Payload):
    id: Text
    name: Any = None


class _Actor(Payload):
    id: Said = None


class _Object(Payload):
    result: str
    authentication_type: str | None = None

    def is_granted(self) -> bool:
        """Whether somebody was let in."""
        result = self.result.strip()
        return result.startswith("Access Granted") or result == "ACCESS"

    def is_remote(self) -> bool:
        """Whether the door was opened by somebody who is elsewhere."""
        return (self.authentication_type or "").strip().upper().startswith(REMOTE)


class _Attempt(Payload):
    object: _Object


class _Tried(Payload):
    data: _Attempt


class _Data(_Attempt):
    location: _Location
    actor: _Actor | None = None

    def person(self) -> str | None:
        """The user's id; None where nobody passed."""
        if self.object.is_remote() or self.actor is None:
            return None
        return self.actor.id or None


class _Unlock(Payload):
    data: _Data


def parse(webhook: Webhook) -> Sequence[Event]:
    """`access.door.unlock` with "Access Granted" is a badge event; all else is ignored."""
    payload = read_json(webhook.body)
    signed_at = webhook.headers.get(SIGNED_AT, "")
    head = _Head.model_validate(payload)
    # Without an id only the signature's time tells two passages of a person apart.
    event_id = head.event_object_id or sha256(signed_at.encode() + b"." + webhook.body).hexdigest()
    if head.event != "access.door.unlock":
        return [Ignored(event_id=event_id, reason="other_event")]
    # Before all else is read: what is ignored need not have a door.
    if not _Tried.model_validate(payload).data.object.is_granted():
        return [Ignored(event_id=event_id, reason="denied")]
    unlock = _Unlock.model_validate(payload).data
    return [
        BadgeEvent(
            event_id=event_id,
            at=utc(int(signed_at) if signed_at else webhook.received_at),
            door=unlock.location.id,
            person=unlock.person(),
            # Signed anew, the same event would be a later one.
            undated=True if head.event_object_id else None,
            name=unlock.location.name,
        )
    ]


def keep(headers: Mapping[str, str]) -> Mapping[str, str]:
    """The signature's time, without the signature."""
    found = re.match(r"t=(\d{1,13}),", headers.get("signature", ""), re.ASCII)
    return {SIGNED_AT: found[1]} if found else {}


VENDOR = Vendor(
    name="unifi",
    title="UniFi Access",
    families=("access-control",),
    docs="https://unifi-access-api-openapi.pages.dev/api/notification",
    signature="`Signature`, HMAC-SHA256 with timestamp",
    forwards='`access.door.unlock` with "Access Granted"',
    ignores="other results, remote unlocks, doorbells, door positions, every other event",
    direction="door",
    confidence="medium",
    scheme=Hmac(
        header="signature", layout=(Part.TIMESTAMP, b".", Part.BODY), form="t={timestamp},v1={signature}"
    ),
    parse=parse,
    keep=keep,
    fresh={"event_object_id": "id"},
    subjects={"data.location.id": "door", "data.actor.id": "person"},
)
