"""Brivo: access events of an event subscription. Unsigned, so the URL carries a token.

Follows https://apidocs.brivo.com/#api-Event_Subscription-EventSubscription and
https://apidocs.brivo.com/#api-Events-EventModel. Not confirmed on live traffic: any header of the POST, and
which `securityActionId`s mean that somebody was let in. The source's `securityActions` says so; without it an
action counts that is no exception and whose text speaks of no refusal.
"""

import re
from collections.abc import Sequence

from pydantic import AwareDatetime, BaseModel, Field, ValidationError

from relay.events import BadgeEvent, Event, Ignored, Webhook, read_json, unparseable
from relay.vendors.base import Vendor
from relay.vendors.common import TOKEN_IN_URL, Text

REFUSED = re.compile("denied|rejected|failed|invalid|unauthorized", re.IGNORECASE)
ADMINISTRATOR = re.compile("administrator", re.IGNORECASE)


class _Action(BaseModel):
    id: int | None = Field(default=None, alias="securityActionId")
    action: str = ""
    exception: bool = False


class _Head(BaseModel):
    uuid: str = ""
    object_type: str = Field(default="ACCESS_POINT", alias="objectType")
    action: _Action = Field(alias="securityAction")


class _Named(BaseModel):
    id: Text | None = None
    email: str | None = None


class _Object(BaseModel):
    id: Text


class _Access(BaseModel):
    uuid: Text
    occurred: AwareDatetime
    door: _Object = Field(alias="eventObject")
    actor: _Named | None = None

    def person(self) -> str | None:
        """The user's e-mail address, else the user's id; None for nobody."""
        return (self.actor and (self.actor.email or self.actor.id)) or None


def parse(webhook: Webhook) -> Sequence[Event]:
    """An action that lets somebody in is a badge event; every other one is ignored."""
    payload = read_json(webhook.body)
    try:
        head = _Head.model_validate(payload)
        if reason := _ignored(head, webhook.security_actions):
            return [Ignored(event_id=head.uuid, reason=reason)]
        access = _Access.model_validate(payload)
    except ValidationError as error:
        raise unparseable(error) from None
    return [BadgeEvent(event_id=access.uuid, at=access.occurred, door=access.door.id, person=access.person())]


def _ignored(head: _Head, allowed: Sequence[int]) -> str | None:
    """Why an action counts for nobody's passage, or None."""
    action = head.action
    if head.object_type != "ACCESS_POINT":
        return "other_event"
    if allowed:
        return None if action.id in allowed else "other_event"
    if action.exception or REFUSED.search(action.action):
        return "denied"
    return "other_event" if ADMINISTRATOR.search(action.action) else None


VENDOR = Vendor(
    name="brivo",
    title="Brivo",
    families=("access-control",),
    docs="https://apidocs.brivo.com/#api-Event_Subscription-EventSubscription",
    signature="none: `?token=` in the URL",
    forwards="access events whose action is in `securityActions`, or by default is no refusal",
    ignores="exceptions, refusals, administrators' actions, objects that are no access point",
    direction="door",
    confidence="low",
    scheme=TOKEN_IN_URL,
    parse=parse,
    queued_status=200,
    fresh={"uuid": "id", "occurred": "iso"},
)
