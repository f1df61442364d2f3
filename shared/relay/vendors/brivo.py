"""Brivo: access events of an event subscription. Unsigned, so the URL carries a token.

Follows https://apidocs.brivo.com/#api-Event_Subscription-EventSubscription and
https://apidocs.brivo.com/#api-Events-EventModel. `securityActionId` 2004 is "User Entry"; the source's
`securityActions` names others that count. Not confirmed on live traffic: any header of the POST.
"""

import re
from collections.abc import Sequence

from pydantic import BaseModel, Field

from relay.events import BadgeEvent, Event, Ignored, Webhook, read_json
from relay.vendors.support.base import Vendor
from relay.vendors.support.fields import Instant, Text
from relay.vendors.support.fixed_tokens import TOKEN_IN_URL

USER_ENTRY = 2004
REFUSALS = (5012, 5018)
"""An unknown card, and a failed access."""
REFUSED = re.compile("denied|rejected|failed|invalid|unauthorized|unknown", re.IGNORECASE)


class _Action(BaseModel):
    id: int | None = Field(default=None, alias="securityActionId")
    action: str = ""
    exception: bool = False

    def ignored(self, counted: Sequence[int]) -> str | None:
        """Why it is nobody's passage, or None; `counted` are the actions that are, empty for the default."""
        if self.id in counted:
            return None
        if self.exception or self.id in REFUSALS or REFUSED.search(self.action):
            return "denied"
        is_default = not counted and self.id == USER_ENTRY
        return None if is_default else "other_event"


class _Head(BaseModel):
    uuid: str = ""
    object_type: str = Field(default="ACCESS_POINT", alias="objectType")
    action: _Action = Field(alias="securityAction")

    def ignored(self, counted: Sequence[int]) -> str | None:
        """Why it is nobody's passage, or None."""
        if self.object_type != "ACCESS_POINT":
            return "other_event"
        return self.action.ignored(counted)


class _Named(BaseModel):
    id: Text | None = None
    email: str | None = None


class _Object(BaseModel):
    id: Text


class _Access(BaseModel):
    uuid: Text
    occurred: Instant
    door: _Object = Field(alias="eventObject")
    actor: _Named | None = None

    def person(self) -> str | None:
        """The user's e-mail address, else the user's id; None for nobody."""
        return (self.actor and (self.actor.email or self.actor.id)) or None


def parse(webhook: Webhook) -> Sequence[Event]:
    """An action that lets somebody in is a badge event; every other one is ignored."""
    payload = read_json(webhook.body)
    head = _Head.model_validate(payload)
    if reason := head.ignored(webhook.counting.security_actions):
        return [Ignored(event_id=head.uuid, reason=reason)]
    access = _Access.model_validate(payload)
    return [BadgeEvent(event_id=access.uuid, at=access.occurred, door=access.door.id, person=access.person())]


VENDOR = Vendor(
    name="brivo",
    title="Brivo",
    families=("access-control",),
    docs="https://apidocs.brivo.com/#api-Event_Subscription-EventSubscription",
    signature="none: `?token=` in the URL",
    forwards="access events whose action is in `securityActions`, by default 2004 (User Entry)",
    ignores="every other action, exceptions, objects that are no access point",
    direction="door",
    confidence="medium",
    scheme=TOKEN_IN_URL,
    parse=parse,
    settings=frozenset({"securityActions"}),
    queued_status=200,
    fresh={"uuid": "id", "occurred": "iso"},
)
