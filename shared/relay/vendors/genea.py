"""Genea Access Control (Sequr): access granted.

Follows https://help.getgenea.com/en/articles/1292571-genea-events-webhook and the vendor's sample client
https://github.com/sequr/genea-webhook-client-sample. A badge at a door that stands unlocked, as lobbies do in
office hours, has an action of its own. Not confirmed on live traffic: that each event names its `door`; the
vendor's sample names only the controller.
"""

from collections.abc import Sequence
from typing import Any

from relay.errors import Unparseable
from relay.events import BadgeEvent, Event, Ignored, Webhook, read_json
from relay.vendors.support.base import Vendor
from relay.vendors.support.fields import Instant, Payload, Said, Text
from relay.vendors.support.signatures import Hmac

GRANTED = "SEQUR_ACCESS_GRANTED"
COUNTED = frozenset({GRANTED, "SEQUR_ACCESS_GRANTED_ACCESS_POINT_UNLOCKED"})
DENIED = "SEQUR_ACCESS_DENIED"


class _Head(Payload):
    event_type: str
    event_action: str | None = None
    uuid: str = ""

    def ignored(self) -> str | None:
        """Why this is nobody's passage, or None; raises `Unparseable` for a grant that nobody documented."""
        action = (self.event_action or "").strip().upper()
        if self.event_type.strip().upper() != "ACCESS":
            return "other_event"
        if action.startswith(DENIED):
            return "denied"
        if action.startswith(GRANTED) and action not in COUNTED:
            raise Unparseable("event_action: access granted in an unknown way")
        return None if action in COUNTED else "other_event"


class _Actor(Payload):
    user_email: Said = None
    user_uuid: Said = None


class _Named(Payload):
    uuid: str | None = None
    id: str | int | None = None
    name: Any = None


class _Access(Payload):
    uuid: Text
    event_time: Instant
    actor: _Actor | None = None
    door: _Named | None = None
    event_hw_info: _Named | str | None = None
    controller: _Named | None = None

    def passed(self) -> tuple[str, Any]:
        """The door's id and name, else the controller's; raises `Unparseable` where there is neither."""
        for named in (self.door, self.event_hw_info, self.controller):
            if isinstance(named, _Named) and (found := named.uuid or named.id):
                return str(found), named.name
        raise Unparseable("door: missing, and there is no controller either")

    def person(self) -> str | None:
        """The user's e-mail address, else the user's id; None for nobody."""
        return (self.actor and (self.actor.user_email or self.actor.user_uuid)) or None


def parse(webhook: Webhook) -> Sequence[Event]:
    """Granted access is a badge event; refusals, audit entries and all else are ignored."""
    payload = read_json(webhook.body)
    head = _Head.model_validate(payload)
    if reason := head.ignored():
        return [Ignored(event_id=head.uuid, reason=reason)]
    access = _Access.model_validate(payload)
    door, name = access.passed()
    return [
        BadgeEvent(event_id=access.uuid, at=access.event_time, door=door, person=access.person(), name=name)
    ]


VENDOR = Vendor(
    name="genea",
    title="Genea",
    families=("access-control",),
    docs="https://help.getgenea.com/en/articles/1292571-genea-events-webhook",
    signature="`X-Sequr-Signature`, HMAC-SHA1",
    forwards="`ACCESS` events that were granted, at unlocked doors too",
    ignores="refused access, `AUDIT` and other events",
    direction="door",
    confidence="medium",
    # Genea's own sample verifies what it has parsed, written anew by `JSON.stringify`.
    scheme=Hmac(header="x-sequr-signature", algorithm="sha1", form="sha1={signature}", or_compact_json=True),
    parse=parse,
    fresh={"uuid": "id", "event_time": "iso"},
    subjects={
        "door.uuid": "door",
        "controller.uuid": "door",
        "actor.user_email": "person",
        "actor.user_uuid": "person",
    },
)
