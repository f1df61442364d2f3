"""Verkada Access Control: accepted credentials at doors.

Follows https://apidocs.verkada.com/reference/access-events-webhooks and
https://apidocs.verkada.com/reference/securing-webhooks; its list follows
https://apidocs.verkada.com/reference/geteventsviewv1, its doors
https://apidocs.verkada.com/reference/getaccessdoorsviewv2. Not confirmed on live traffic: a whole payload,
whether the one retry is signed anew, that the list's `event_id` is the webhook's, and under which key the
doors are.
"""

from collections.abc import Mapping, Sequence
from math import ceil, floor
from typing import Any

from pydantic import Field

from relay.errors import Unparseable
from relay.events import BadgeEvent, Counting, Direction, Event, Ignored, Webhook, read_json, utc
from relay.vendors.support.base import Api, OAuth, Vendor, VendorApi
from relay.vendors.support.fields import Instant, Payload, Said, digest, name_in
from relay.vendors.support.listing import DoorList, DoorPage, EventList, Page, Span
from relay.vendors.support.pages import another, doors_at, each_listed, entries_at, query, text_at, within
from relay.vendors.support.signatures import Hmac, Part

MOST_EVENTS_A_PAGE = 200
MOST_DOORS_A_PAGE = 200

GRANTED = frozenset(
    {
        "door_keycard_entered_accepted",
        "door_code_entered_accepted",
        "door_mobile_nfc_scan_accepted",
        "door_ble_unlock_attempt_accepted",
        "door_face_presented_accepted",
        "door_lp_presented_accepted",
    }
)
REMOTE = "door_remote_unlock_accepted"
"""Unlocked from Command or the API: nobody passed, unless `remoteUnlocks` says so."""
DENIED = frozenset(name.replace("_accepted", "_rejected") for name in (*GRANTED, REMOTE)) | {
    "door_deactivated_credential_used"
}
DOOR_STATES = frozenset(
    {
        "door_opened",
        "door_closed",
        "door_locked",
        "door_unlocked",
        "door_held_open",
        "door_forced_open",
        "door_tailgating",
    }
)
IGNORED = {
    **dict.fromkeys(DENIED, "denied"),
    **dict.fromkeys(DOOR_STATES, "door_state"),
    REMOTE: "remote",
    "door_press_to_exit_accepted": "anonymous",
}
"""What moves nobody, and why."""
DIRECTIONS: dict[str, Direction] = {"inbound": "in", "outbound": "out"}


class _Door(Payload):
    door_id: str | None = None
    name: Any = None


class _User(Payload):
    user_id: Said = None
    email: Said = None


class _Access(Payload):
    notification_type: str
    event_id: str | None = None
    created: int | None = None
    created_at: int | None = None
    door_id: str | None = None
    direction: str | None = None
    door_info: _Door | None = None
    user_info: _User | None = None

    def at(self) -> int:
        """When it happened, Unix seconds, from either name; raises `Unparseable` where neither has it."""
        found = self.created_at if self.created is None else self.created
        if found is None:
            raise Unparseable("data.created: missing")
        return found

    def door(self) -> str:
        """The door's id from either place; raises `Unparseable` where neither has it."""
        found = self.door_id or (self.door_info and self.door_info.door_id)
        if not found:
            raise Unparseable("data.door_id: missing")
        return found

    def person(self) -> str | None:
        """The user's e-mail address, else the user's id, else None."""
        return (self.user_info and (self.user_info.email or self.user_info.user_id)) or None

    def id(self) -> str:
        """`event_id`; the older form of the payload has none, so it is made of what tells events apart."""
        parts = (self.notification_type, self.at(), self.door(), self.person())
        return self.event_id or digest(*parts)


class _Head(Payload):
    webhook_type: str


class _Notification(Payload):
    data: dict[str, object] = Field(default={})


class _ListedUser(Payload):
    user_id: str | None = Field(default=None, alias="userId")
    email: str | None = None


class _ListedInfo(Payload):
    door_id: str | None = Field(default=None, alias="doorId")
    direction: str | None = None
    door_info: Any = Field(default=None, alias="doorInfo")
    user_info: _ListedUser | None = Field(default=None, alias="userInfo")


class _ListedHead(Payload):
    event_type: str

    def notification_type(self) -> str:
        """The type as a webhook has it."""
        return self.event_type.lower()


class _Listed(_ListedHead):
    """An event as the list has it: the same things as a webhook's, elsewhere and under other names."""

    event_id: str
    timestamp: Instant
    event_info: _ListedInfo

    def as_notification(self) -> Mapping[str, Any]:
        """The same as a webhook's `data`."""
        return {
            "event_id": self.event_id,
            "notification_type": self.notification_type(),
            # Webhooks have whole seconds, and one event has one time both ways.
            "created": int(self.timestamp.timestamp()),
            **self.event_info.model_dump(),
            "door_info": {"name": name_in(self.event_info.door_info)},
        }


def parse(webhook: Webhook) -> Sequence[Event]:
    """An accepted credential is a badge event; all else that a Verkada organisation sends is ignored."""
    payload = read_json(webhook.body)
    if _Head.model_validate(payload).webhook_type != "notification":
        return [Ignored(reason="other_event")]
    return [_event(_Notification.model_validate(payload).data, webhook.counting)]


def _event(data: Mapping[str, Any], counting: Counting) -> Event:
    """What a notification's data says."""
    reason = _ignored(str(data.get("notification_type")), remote_counts=counting.remote_unlocks)
    if reason:
        return Ignored.model_validate({"event_id": data.get("event_id"), "reason": reason})
    access = _Access.model_validate(data)
    return BadgeEvent(
        event_id=access.id(),
        at=utc(access.at()),
        door=access.door(),
        person=access.person(),
        # Any other word leaves the direction to the door's configuration.
        direction=DIRECTIONS.get((access.direction or "").strip().lower()),
        name=access.door_info and access.door_info.name,
    )


def _ignored(name: str, *, remote_counts: bool) -> str | None:
    """Why this one is none of Calven's business, or None for an accepted credential."""
    if name in GRANTED or (name == REMOTE and remote_counts):
        return None
    if name in IGNORED:
        return IGNORED[name]
    # A dead letter, rather than a badge that is lost in silence.
    if name.endswith("_accepted"):
        raise Unparseable("data.notification_type: an accepted credential of an unknown kind")
    return "other_event"


def page(api: VendorApi, span: Span, following: str | None) -> Page:
    """A page of the access events; `following` is the page's token."""
    parameters = query(
        # Verkada takes whole seconds; what lies outside of the span is left out below.
        start_time=floor(span.asked_since),
        end_time=ceil(span.until),
        page_size=MOST_EVENTS_A_PAGE,
        page_token=following,
    )
    answer = api.get(f"/events/v1/access{parameters}")

    def read(entry: Any) -> Event:
        kind = _ListedHead.model_validate(entry).notification_type()
        reason = _ignored(kind, remote_counts=span.counting.remote_unlocks)
        # What moves nobody need not say where and when it happened, no more than in a webhook.
        if reason:
            return Ignored(event_id=text_at(entry, "event_id") or "", reason=reason)
        return _event(_Listed.model_validate(entry).as_notification(), span.counting)

    events = each_listed(entries_at(answer, "events"), read, key="event_id")
    return Page(within(span, events), another(text_at(answer, "next_page_token"), following))


def doors(api: VendorApi, following: str | None) -> DoorPage:
    """A page of the organisation's doors; `following` is the page's cursor."""
    answer = api.get("/v2/access/doors" + query(limit=MOST_DOORS_A_PAGE, cursor=following))
    listed = doors_at(entries_at(answer, "doors"), "door_id")
    return DoorPage(listed, another(text_at(answer, "cursor"), following))


VENDOR = Vendor(
    name="verkada",
    title="Verkada",
    families=("access-control",),
    docs="https://apidocs.verkada.com/reference/access-events-webhooks",
    signature="`Verkada-Signature`, HMAC-SHA256 with timestamp",
    forwards="accepted credentials",
    ignores="rejected ones, remote unlocks, door states, request to exit, other webhook types",
    direction="event or door",
    confidence="high",
    scheme=Hmac(
        header="verkada-signature", layout=(Part.BODY, b"|", Part.TIMESTAMP), form="{timestamp}|{signature}"
    ),
    parse=parse,
    api=Api(
        host="https://api.verkada.com",
        fields=("apiKey",),
        oauth=OAuth(
            path="/token",
            form=lambda _: {},
            headers=lambda api: {"x-api-key": api["apiKey"]},
            answer="token",
            carry=lambda token: {"x-verkada-auth": token},
        ),
    ),
    lists=EventList(page=page),
    doors=DoorList(page=doors),
    settings=frozenset({"remoteUnlocks"}),
    # Verkada gives up after two seconds, and tries once more; then the event is lost to it.
    ack_seconds=2.0,
    fresh={"data.event_id": "id", "data.created": "seconds", "created_at": "seconds"},
    subjects={
        "data.door_id": "door",
        "data.door_info.door_id": "door",
        "data.user_info.email": "person",
        "data.user_info.user_id": "person",
    },
)
