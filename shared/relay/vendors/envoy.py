"""Envoy: visitors and employees who sign in and out.

Follows https://developers.envoy.com/hub/reference/events and
https://developers.envoy.com/hub/docs/create-webhooks. Both shapes of the body are read: the dashboard's
(`event`, `payload`) and an app's (`meta.event`, `payload`). An app signs; the dashboard's Webhooks app has
one URL an event and sends a token in `Authorization`, bare or with HTTP Basic. Its locations are listed as
https://developers.envoy.com/hub/docs/getting-an-access-and-refresh says. Not confirmed on live traffic: the
payload of `employee_entry_*`, which is read as that of an entry, and how many locations a page has.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from pydantic import Field

from relay.errors import Unparseable
from relay.events import BadgeEvent, Direction, Event, Ignored, Webhook, read_json
from relay.vendors.support.base import Api, Vendor, VendorApi
from relay.vendors.support.fields import OptionalText, Payload, Said, Text, instant, name_in
from relay.vendors.support.fixed_tokens import BEARER, Basic, HeaderToken
from relay.vendors.support.listing import DoorList, DoorPage
from relay.vendors.support.pages import doors_at, entries_at, number_of, numbered, query
from relay.vendors.support.proof import AnyOf
from relay.vendors.support.signatures import Hmac

DIRECTIONS: dict[str, Direction] = {
    "entry_sign_in": "in",
    "employee_entry_sign_in": "in",
    "entry_sign_out": "out",
    "employee_entry_sign_out": "out",
}


class _Location(Payload):
    id: OptionalText = None


class _Somewhere(Payload):
    id: OptionalText = None
    attributes: Any = None


class _Meta(Payload):
    event: str | None = None
    location: _Somewhere | None = None


class _Head(Payload):
    event: str | None = None
    meta: _Meta | None = None

    def name(self) -> str:
        """The event's name; raises `Unparseable` where neither shape has it."""
        found = self.event or (self.meta and self.meta.event)
        if not found:
            raise Unparseable("event: missing")
        return found

    def location(self) -> str:
        """Where it was, as an app's body says; raises `Unparseable` where it does not."""
        place = self.meta.location if self.meta else None
        if place is None or not place.id:
            raise Unparseable("payload.relationships.location: missing")
        return place.id

    def name_of(self, location: str) -> Any:
        """What that location is called, where the body says so."""
        place = self.meta.location if self.meta else None
        return name_in(place.attributes) if place and place.id == location else None


class _Attributes(Payload):
    email: Said = None
    signed_in_at: str | None = Field(default=None, alias="signed-in-at")
    signed_out_at: str | None = Field(default=None, alias="signed-out-at")

    def at(self, direction: Direction) -> datetime:
        """When somebody signed in or out; raises `Unparseable` where it does not say so."""
        found = instant(self.signed_in_at if direction == "in" else self.signed_out_at)
        if found is None:
            raise Unparseable(f"payload.attributes.signed-{direction}-at: missing or no time")
        return found


class _Related(Payload):
    data: _Location | None = None


class _Relationships(Payload):
    location: _Related | None = None


class _Entry(Payload):
    id: Text
    attributes: _Attributes
    relationships: _Relationships | None = None

    def location(self) -> str | None:
        """Where it was, where the entry itself says so."""
        related = self.relationships.location if self.relationships else None
        place = related.data if related else None
        return place.id if place else None

    def person(self) -> str:
        """The e-mail address; the entry's id for a visitor who gave none."""
        return self.attributes.email or self.id


class _Body(Payload):
    payload: _Entry


def parse(webhook: Webhook) -> Sequence[Event]:
    """A sign-in or sign-out is a badge at its location."""
    payload = read_json(webhook.body)
    head = _Head.model_validate(payload)
    name = head.name()
    if name not in DIRECTIONS:
        return [Ignored(reason="other_event")]
    entry = _Body.model_validate(payload).payload
    direction = DIRECTIONS[name]
    location = entry.location() or head.location()
    return [
        BadgeEvent(
            # Signing in and signing out are two events of one entry.
            event_id=f"{name}:{entry.id}",
            at=entry.attributes.at(direction),
            door=location,
            person=entry.person(),
            direction=direction,
            name=head.name_of(location),
        )
    ]


def doors(api: VendorApi, following: str | None) -> DoorPage:
    """A page of the company's locations."""
    number = number_of(following, 1)
    locations = doors_at(entries_at(api.get("/v1/locations" + query(page=number)), "data"))
    return numbered(locations, following, number + 1)


VENDOR = Vendor(
    name="envoy",
    title="Envoy",
    families=("access-control",),
    docs="https://developers.envoy.com/hub/reference/events",
    signature="`X-Envoy-Signature`, HMAC-SHA256, base64; or a token in `Authorization` (bare, Bearer, Basic)",
    forwards="sign-ins and sign-outs of visitors and employees",
    ignores="invites, screenings, every other event",
    direction="event",
    confidence="high",
    scheme=Hmac(header="x-envoy-signature", encoding="base64"),
    second_scheme=AnyOf((HeaderToken("authorization"), BEARER, Basic())),
    parse=parse,
    api=Api(
        host="https://api.envoy.com",
        fields=("apiKey",),
        headers=lambda api: {"x-api-key": api["apiKey"]},
    ),
    doors=DoorList(page=doors),
    fresh={
        "payload.id": "number",
        "payload.attributes.signed-in-at": "iso",
        "payload.attributes.signed-out-at": "iso",
    },
    subjects={
        "payload.relationships.location.data.id": "door",
        "meta.location.id": "door",
        "payload.attributes.email": "person",
        "payload.id": "person",
    },
)
