"""Envoy: visitors and employees who sign in and out.

Follows https://developers.envoy.com/hub/reference/events and
https://developers.envoy.com/hub/docs/create-webhooks. Both shapes of the body are read: the dashboard's
(`event`, `payload`) and an app's (`meta.event`, `payload`). An app signs; the dashboard's Webhooks app has
one URL an event and sends a token in `Authorization`. Not confirmed on live traffic: the payload of
`employee_entry_*`, which is read as that of an entry.
"""

from collections.abc import Sequence

from pydantic import BaseModel, Field, ValidationError

from relay.errors import Unparseable
from relay.events import BadgeEvent, Direction, Event, Ignored, Webhook, read_json, unparseable
from relay.vendors.support.base import Vendor
from relay.vendors.support.common import Text, instant
from relay.vendors.support.fixed_tokens import BEARER, HeaderToken
from relay.vendors.support.proof import AnyOf
from relay.vendors.support.signatures import Hmac

DIRECTIONS: dict[str, Direction] = {
    "entry_sign_in": "in",
    "employee_entry_sign_in": "in",
    "entry_sign_out": "out",
    "employee_entry_sign_out": "out",
}


class _Location(BaseModel):
    id: Text


class _Somewhere(BaseModel):
    id: Text | None = None


class _Meta(BaseModel):
    event: str | None = None
    location: _Somewhere | None = None


class _Head(BaseModel):
    event: str | None = None
    meta: _Meta | None = None

    def name(self) -> str:
        """The event's name; raises `Unparseable` where neither shape has it."""
        found = self.event or (self.meta and self.meta.event)
        if not found:
            raise Unparseable("event: missing")
        return found


class _Attributes(BaseModel):
    signed_in_at: str | None = Field(default=None, alias="signed-in-at")
    signed_out_at: str | None = Field(default=None, alias="signed-out-at")


class _Related(BaseModel):
    data: _Location | None = None


class _Relationships(BaseModel):
    location: _Related | None = None


class _Entry(BaseModel):
    id: Text
    attributes: _Attributes
    relationships: _Relationships | None = None

    def location(self) -> _Location | None:
        """Where it was."""
        related = self.relationships and self.relationships.location
        return related.data if related else None


class _Body(BaseModel):
    payload: _Entry


def parse(webhook: Webhook) -> Sequence[Event]:
    """A sign-in or sign-out is a badge at its location; the entry's id stands for the person."""
    payload = read_json(webhook.body)
    try:
        head = _Head.model_validate(payload)
        name = head.name()
        if name not in DIRECTIONS:
            return [Ignored(reason="other_event")]
        entry = _Body.model_validate(payload).payload
    except ValidationError as error:
        raise unparseable(error) from None
    direction = DIRECTIONS[name]
    attributes = entry.attributes
    at = instant(attributes.signed_in_at if direction == "in" else attributes.signed_out_at)
    if at is None:
        raise Unparseable(f"payload.attributes.signed-{direction}-at: missing or no time")
    inner, outer = entry.location(), head.meta and head.meta.location
    place = inner.id if inner else str((outer and outer.id) or "")
    if not place:
        raise Unparseable("payload.relationships.location: missing")
    event_id = f"{name}:{entry.id}"
    return [BadgeEvent(event_id=event_id, at=at, door=place, person=entry.id, direction=direction)]


VENDOR = Vendor(
    name="envoy",
    title="Envoy",
    families=("access-control",),
    docs="https://developers.envoy.com/hub/reference/events",
    signature="`X-Envoy-Signature`, HMAC-SHA256, base64; or a token in `Authorization`",
    forwards="sign-ins and sign-outs of visitors and employees",
    ignores="invites, screenings, every other event",
    direction="event",
    confidence="high",
    scheme=Hmac(header="x-envoy-signature", encoding="base64"),
    second_scheme=AnyOf((HeaderToken("authorization"), BEARER)),
    parse=parse,
    fresh={
        "payload.id": "number",
        "payload.attributes.signed-in-at": "iso",
        "payload.attributes.signed-out-at": "iso",
    },
)
