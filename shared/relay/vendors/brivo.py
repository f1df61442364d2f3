"""Brivo: access events of an event subscription. Unsigned, so the URL carries a token.

Follows https://apidocs.brivo.com/#api-Event_Subscription-EventSubscription and
https://apidocs.brivo.com/#api-Events-EventModel. `securityActionId` 2004 is "User Entry"; the source's
`securityActions` names others that count. Its list follows https://apidocs.brivo.com/access/. Not confirmed
on live traffic: any header of the POST, and whether a page of the list begins at its offset or after it.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pydantic import Field

from relay.errors import Unparseable
from relay.events import BadgeEvent, Counting, Event, Ignored, Webhook, iso, read_json
from relay.vendors.support.base import Api, OAuth, Vendor, VendorApi, basic
from relay.vendors.support.fields import Instant, OptionalText, Payload, Said, Text, instant
from relay.vendors.support.fixed_tokens import TOKEN_IN_URL
from relay.vendors.support.listing import DoorList, DoorPage, EventList, Page, Span
from relay.vendors.support.pages import (
    another,
    doors_at,
    each_listed,
    entries_at,
    number_of,
    numbered,
    query,
    text_at,
    within,
)

USER_ENTRY = 2004
REFUSALS = (5012, 5018)
"""An unknown card, and a failed access."""
MOST_EVENTS_A_PAGE = 100
MOST_DOORS_A_PAGE = 100
REFUSED = re.compile("denied|rejected|failed|invalid|unauthorized|unknown", re.IGNORECASE)


class _Action(Payload):
    id: int | None = Field(default=None, alias="securityActionId")
    action: str = ""
    exception: bool = False

    def ignored(self, counted: Sequence[int]) -> str | None:
        """Why it is nobody's passage, or None; `counted` are the actions that are, empty for the default."""
        # What the operator has named counts, be its name in Brivo that of an exception.
        if self.id in counted:
            return None
        if self.exception or self.id in REFUSALS or REFUSED.search(self.action):
            return "denied"
        is_default = not counted and self.id == USER_ENTRY
        return None if is_default else "other_event"


class _Head(Payload):
    uuid: str = ""
    object_type: str = Field(default="ACCESS_POINT", alias="objectType")
    action: _Action = Field(alias="securityAction")

    def ignored(self, counted: Sequence[int]) -> str | None:
        """Why it is nobody's passage, or None."""
        if self.object_type != "ACCESS_POINT":
            return "other_event"
        return self.action.ignored(counted)


class _Named(Payload):
    id: OptionalText = None
    email: Said = None


class _Object(Payload):
    id: Text
    name: Any = None


class _Access(Payload):
    uuid: Text
    occurred: Instant
    door: _Object = Field(alias="eventObject")
    actor: _Named | None = None

    def person(self) -> str | None:
        """The user's e-mail address, else the user's id; None for nobody."""
        return (self.actor and (self.actor.email or self.actor.id)) or None


def parse(webhook: Webhook) -> Sequence[Event]:
    """An action that lets somebody in is a badge event; every other one is ignored."""
    return [_event(read_json(webhook.body), webhook.counting)]


def _event(payload: Any, counting: Counting) -> Event:
    """What an event says, from a webhook or from a list."""
    head = _Head.model_validate(payload)
    if reason := head.ignored(counting.security_actions):
        return Ignored(event_id=head.uuid, reason=reason)
    # Only now: what is ignored need not have a door and a time.
    access = _Access.model_validate(payload)
    return BadgeEvent(
        event_id=access.uuid,
        at=access.occurred,
        door=access.door.id,
        person=access.person(),
        name=access.door.name,
    )


def page(api: VendorApi, span: Span, following: str | None) -> Page:
    """A page of the access events, newest first; `following` is the oldest time on the page before."""
    parameters = query(
        filter=f"occurred__gt:{iso(span.asked_since)}", pageSize=MOST_EVENTS_A_PAGE, offset=following
    )
    entries = entries_at(api.get(f"/v1/api/events/access{parameters}"), "data")
    listed = each_listed(entries, lambda entry: _event(entry, span.counting), key="uuid")
    events = within(span, listed)
    # Brivo does not say that there is no more: a page that is not full is the last one.
    if len(entries) < MOST_EVENTS_A_PAGE:
        return Page(events)
    return Page(events, another(_oldest(entries), following))


def _oldest(entries: Sequence[Any]) -> str:
    """When the oldest entry happened, as Brivo writes it; raises `Unparseable` where none has a time."""
    times: dict[datetime, str] = {}
    for entry in entries:
        text = text_at(entry, "occurred")
        at = instant(text)
        if text and at:
            times[at] = text
    if not times:
        raise Unparseable("list: no entry says when it occurred")
    return times[min(times)]


def doors(api: VendorApi, following: str | None) -> DoorPage:
    """A page of the account's access points."""
    offset = number_of(following, 0)
    answer = api.get("/v1/api/access-points" + query(pageSize=MOST_DOORS_A_PAGE, offset=offset))
    points = doors_at(entries_at(answer, "data"))
    return numbered(points, following, offset + len(points))


def _form(credentials: Mapping[str, str]) -> Mapping[str, str]:
    """The token's request: an administrator's name and password."""
    return {
        "grant_type": "password",
        "username": credentials["username"],
        "password": credentials["password"],
    }


def _token_headers(credentials: Mapping[str, str]) -> Mapping[str, str]:
    """How the application proves itself where tokens are given."""
    application = basic(credentials["clientId"], credentials["clientSecret"])
    return {**application, "api-key": credentials["apiKey"]}


def _token_host(url: str) -> str:
    """Tokens come from `auth.brivo.com`, or `auth.eu.brivo.com`, beside the API's host."""
    return url.replace("://api.", "://auth.", 1)


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
    api=Api(
        host="https://api.brivo.com",
        fields=("clientId", "clientSecret", "apiKey", "username", "password"),
        headers=lambda api: {"api-key": api["apiKey"]},
        oauth=OAuth(path="/oauth/token", form=_form, host=_token_host, headers=_token_headers),
    ),
    lists=EventList(page=page),
    doors=DoorList(page=doors),
    settings=frozenset({"securityActions"}),
    # Brivo takes no other status for a success.
    queued_status=200,
    fresh={"uuid": "id", "occurred": "iso"},
    subjects={"eventObject.id": "door", "actor.email": "person", "actor.id": "person"},
)
