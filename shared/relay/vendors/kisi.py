"""Kisi: unlocks of doors.

Follows https://docs.kisi.io/api/how_to_guides/set_up_webhooks/track_unlocks and
https://docs.kisi.io/how_to_guides/integration_guides/workflow_automation/event_webhooks/; its list follows
https://api.kisi.io/docs. Not confirmed on live traffic: that the signature is hexadecimal, that refused
unlocks are delivered with `success: false`, the `type` of door-state events, which are ignored whatever they
are called, and the words for the status of an event set.
"""

from collections.abc import Sequence
from typing import Any

from relay.errors import Unparseable, VendorUnavailable
from relay.events import BadgeEvent, Event, Ignored, Webhook, iso, read_json, unparseable_if_invalid
from relay.vendors.support.base import Api, Vendor, VendorApi
from relay.vendors.support.fields import Instant, PathId, Payload
from relay.vendors.support.listing import DoorList, DoorPage, EventList, Page, Span
from relay.vendors.support.pages import (
    all_entries,
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
from relay.vendors.support.signatures import Hmac

UNLOCK = "lock.unlock"
MOST_EVENTS_A_PAGE = 250
MOST_LOCKS_A_PAGE = 250
FINISHED = frozenset({"finished", "complete", "completed", "done"})
FAILED = frozenset({"failed", "error", "canceled", "cancelled"})
UNFINISHED_SECONDS = 2.0
"""How long to wait before an event set is asked for again that Kisi still collects."""


class _Head(Payload):
    type: str
    uuid: str = ""
    success: bool | None = None


class _Unlock(Payload):
    uuid: str
    success: bool
    object_id: int | str
    object_name: Any = None
    created_at: Instant
    actor_type: str | None = None
    actor_id: int | str | None = None

    def person(self) -> str | None:
        """The user's id; None for a request to exit and for an access link that anybody may hold."""
        if self.actor_id is None or "link" in (self.actor_type or "").lower():
            return None
        return str(self.actor_id)


class _EventSet(Payload):
    id: PathId
    status: str | None = None

    def check_finished(self) -> None:
        """Raise `VendorUnavailable` while Kisi still collects, `Unparseable` where it has given up."""
        status = (self.status or "finished").lower()
        if status in FAILED:
            raise Unparseable("event set: failed")
        if status not in FINISHED:
            raise VendorUnavailable("the event set is not finished", retry_after=UNFINISHED_SECONDS)


def parse(webhook: Webhook) -> Sequence[Event]:
    """`lock.unlock` with `success` is a badge event; every other type is ignored."""
    return [_event(read_json(webhook.body))]


def _event(payload: Any) -> Event:
    """What an event says, from a webhook or from a list."""
    head = _Head.model_validate(payload)
    if head.type != UNLOCK:
        return Ignored(event_id=head.uuid, reason="other_event")
    # Before all else is read: what is ignored need not have a door and a time.
    if head.success is False:
        return Ignored(event_id=head.uuid, reason="denied")
    unlock = _Unlock.model_validate(payload)
    # A number with Kisi, and a text in `relay.yaml`.
    door = str(unlock.object_id)
    return BadgeEvent(
        event_id=unlock.uuid,
        at=unlock.created_at,
        door=door,
        person=unlock.person(),
        name=unlock.object_name,
    )


def page(api: VendorApi, span: Span, following: str | None) -> Page:
    """A page of an event set. The first page is empty, and asks Kisi to collect the set.

    `following` is the set's id, with the cursor behind it from the second page of events on.
    """
    if following is None:
        # The set's id is noted with the page: a process that goes on does not have it collected anew.
        return Page((), _collect(api, span))
    set_id, _, cursor = following.partition(" ")
    path = f"/event_sets/{set_id}" + query(limit=MOST_EVENTS_A_PAGE, cursor=cursor or None)
    answer = api.get(path)
    with unparseable_if_invalid():
        _EventSet.model_validate(answer).check_finished()
    entries = entries_at(answer, "events")
    # A set that has been read to its end may keep its cursor, but has no more events.
    next_cursor = another(text_at(answer, "cursor"), cursor) if entries else None
    events = within(span, each_listed(entries, _event, key="uuid"))
    return Page(events, f"{set_id} {next_cursor}" if next_cursor else None)


def _collect(api: VendorApi, span: Span) -> str:
    """Have Kisi collect the unlocks of a span; the id of the set that they will be in."""
    place = api.setting("placeId")
    wanted = {
        "interval": f"{iso(span.asked_since)}/{iso(span.until)}",
        "event_type": UNLOCK,
        # Webhooks come from one place: without it the set would be the whole organisation's.
        "place_id": int(place) if place.isdecimal() else place,
    }
    answer = api.post("/event_sets", {"event_set": wanted})
    with unparseable_if_invalid():
        return _EventSet.model_validate(answer).id


def doors(api: VendorApi, following: str | None) -> DoorPage:
    """A page of the place's locks."""
    offset = number_of(following, 0)
    place = api.setting("placeId")
    path = "/locks" + query(place_id=place, limit=MOST_LOCKS_A_PAGE, offset=offset)
    locks = doors_at(all_entries(api.get(path)))
    return numbered(locks, following, offset + len(locks))


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
    api=Api(
        host="https://api.kisi.io",
        fields=("apiKey", "placeId"),
        headers=lambda api: {"authorization": f"KISI-LOGIN {api['apiKey']}"},
    ),
    lists=EventList(page=page),
    doors=DoorList(page=doors),
    fresh={"uuid": "id", "created_at": "iso"},
    subjects={"object_id": "door", "actor_id": "person"},
)
