"""DoorFlow: people admitted at doors. Its webhook is thin: the event is fetched, which acknowledges it.

Follows https://developer.doorflow.com/guides/webhooks/understanding-webhooks and the vendor's SDK
https://github.com/doorflow/doorflow-sdk-typescript (signature, `Event`, event codes, channels, OAuth). A
refresh token is good for one use, which gives the next one. `Timestamp` is Unix seconds in the SDK;
milliseconds and ISO 8601 are read too.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from relay.errors import Unparseable
from relay.events import BadgeEvent, Event, Ignored, ThinEvent, Webhook, iso, read_json
from relay.vendors.support.base import Api, OAuth, Vendor, VendorApi
from relay.vendors.support.fields import Instant, PathId, Payload, Text
from relay.vendors.support.listing import DoorList, DoorPage, EventList, Page, Span
from relay.vendors.support.pages import (
    all_entries,
    doors_at,
    each_listed,
    number_of,
    numbered,
    query,
    text_at,
    within,
)
from relay.vendors.support.proof import AnyOf
from relay.vendors.support.several import as_list, each
from relay.vendors.support.signatures import Clock, Hmac, Part
from relay.vendors.support.thin import segment, unwrapped

ADMITTED = frozenset({*range(10, 19), 70})
REJECTED = frozenset({*range(20, 30), 71, 72, 73})
EVENTS_A_PAGE = 500
"""DoorFlow gives up to 1000, which may be more than the megabyte that an answer may have."""


class _Notification(Payload):
    action: str
    resource_type: str
    resource_id: PathId
    ack_token: str | None = None


class _Event(Payload):
    id: Text
    event_code: int
    created_at: Instant
    door_controller_id: Text | None = None
    door_controller_name: Any = None
    channel_id: Text | None = None
    channel_name: Any = None
    person_id: Text | None = None

    def ignored(self) -> str | None:
        """Why this is nobody's passage, or None."""
        if self.event_code in ADMITTED:
            return None
        return "denied" if self.event_code in REJECTED else "other_event"

    def door(self) -> str:
        """The door's id, else the channel's; raises `Unparseable` without both."""
        found = self.door_controller_id or self.channel_id
        if found is None:
            raise Unparseable("door_controller_id: missing")
        return found


def parse(webhook: Webhook) -> Sequence[Event]:
    """A thin event for each new event; changes of people, credentials and perimeters are ignored."""
    payload = read_json(webhook.body)
    return each(as_list(payload), _thin, list, webhook.body)


def _thin(entry: Any) -> Event:
    found = _Notification.model_validate(entry)
    if found.resource_type != "Event" or found.action != "CREATE":
        return Ignored(event_id=found.resource_id, reason="other_event")
    return ThinEvent(event_id=found.resource_id, subject=found.resource_id, ack=found.ack_token)


def fetch(thin: ThinEvent, api: VendorApi) -> Sequence[Event]:
    """Ask what the event was. One that DoorFlow does not have any more is nobody's passage."""
    query = f"?ack_token={segment(thin.ack)}" if thin.ack else ""
    found = api.get(f"/api/3/events/{thin.subject}{query}")
    if found is None:
        return [Ignored(event_id=thin.event_id, reason="gone")]
    return [_event(unwrapped(found))]


def _event(found: Any) -> Event:
    """What an event was, asked for by itself or listed."""
    event = _Event.model_validate(found)
    if reason := event.ignored():
        return Ignored(event_id=event.id, reason=reason)
    return BadgeEvent(
        event_id=event.id,
        at=event.created_at,
        door=event.door(),
        person=event.person_id,
        name=event.door_controller_name if event.door_controller_id else event.channel_name,
    )


def page(api: VendorApi, span: Span, following: str | None) -> Page:
    """A page of the events, oldest first.

    `following` is the page's number, and the id that the page before began with: numbers go on for ever.
    """
    number, _, before = (following or "1").partition(" ")
    # Oldest first, so that what happens meanwhile goes to the end and moves no page.
    parameters = query(since=iso(span.asked_since), sort="ASC", n=EVENTS_A_PAGE, page=number)
    entries = all_entries(api.get(f"/api/3/events{parameters}"))
    events = within(span, each_listed(entries, _event))
    if len(entries) < EVENTS_A_PAGE:
        return Page(events)
    first = text_at(entries[0], "id") or ""
    if first == before:
        raise Unparseable("list: a page is the same as the one before")
    return Page(events, f"{int(number) + 1} {first}")


def doors(api: VendorApi, following: str | None) -> DoorPage:
    """A page of the channels, which are the door controllers; DoorFlow decides how many it has."""
    number = number_of(following, 1)
    channels = doors_at(all_entries(api.get("/api/3/channels" + query(page=number))))
    return numbered(channels, following, number + 1)


def _form(credentials: Mapping[str, str]) -> Mapping[str, str]:
    """The token's request: with a refresh token where the secret has one."""
    form = {"client_id": credentials["clientId"], "client_secret": credentials["clientSecret"]}
    if token := credentials.get("refreshToken"):
        return {**form, "grant_type": "refresh_token", "refresh_token": token}
    return {**form, "grant_type": "client_credentials"}


def _scheme(clock: Clock) -> Hmac:
    layout = (Part.TIMESTAMP, b".", Part.BODY)
    return Hmac(header="signature", layout=layout, timestamp_header="timestamp", clock=clock)


VENDOR = Vendor(
    name="doorflow",
    title="DoorFlow",
    families=("access-control",),
    docs="https://developer.doorflow.com/guides/webhooks/understanding-webhooks",
    signature="`Signature` and `Timestamp`, HMAC-SHA256",
    forwards="people admitted, as DoorFlow's API says",
    ignores="rejections, door states, changes of people and credentials",
    direction="door",
    confidence="medium",
    scheme=AnyOf((_scheme("seconds"), _scheme("milliseconds"), _scheme("iso8601"))),
    parse=parse,
    api=Api(
        host="https://api.doorflow.com",
        fields=("clientId", "clientSecret"),
        optional=("refreshToken",),
        oauth=OAuth(path="/oauth/token", form=_form),
    ),
    fetch=fetch,
    lists=EventList(page=page),
    doors=DoorList(page=doors),
)
