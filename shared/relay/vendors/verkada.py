"""Verkada Access Control: accepted credentials at doors.

Follows https://apidocs.verkada.com/reference/access-events-webhooks and
https://apidocs.verkada.com/reference/securing-webhooks. Not confirmed on live traffic: a whole payload, and
whether the one retry is signed anew.
"""

from collections.abc import Sequence
from hashlib import sha256

from pydantic import BaseModel

from relay.errors import Unparseable
from relay.events import BadgeEvent, Direction, Event, Ignored, Webhook, read_json, utc
from relay.vendors.support.base import Vendor
from relay.vendors.support.signatures import Hmac, Part

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


class _Door(BaseModel):
    door_id: str | None = None


class _User(BaseModel):
    user_id: str | None = None
    email: str | None = None


class _Access(BaseModel):
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
        return self.event_id or sha256("|".join(map(str, parts)).encode()).hexdigest()


class _Head(BaseModel):
    webhook_type: str


class _Notification(BaseModel):
    data: dict[str, object] = {}

    def ignored(self, *, remote_counts: bool) -> str | None:
        """Why this one is none of Calven's business, or None for an accepted credential."""
        name = str(self.data.get("notification_type"))
        if name in GRANTED or (name == REMOTE and remote_counts):
            return None
        if name in IGNORED:
            return IGNORED[name]
        if name.endswith("_accepted"):
            raise Unparseable("data.notification_type: an accepted credential of an unknown kind")
        return "other_event"


def parse(webhook: Webhook) -> Sequence[Event]:
    """An accepted credential is a badge event; all else that a Verkada organisation sends is ignored."""
    payload = read_json(webhook.body)
    if _Head.model_validate(payload).webhook_type != "notification":
        return [Ignored(reason="other_event")]
    notification = _Notification.model_validate(payload)
    if reason := notification.ignored(remote_counts=webhook.counting.remote_unlocks):
        return [Ignored.model_validate({"event_id": notification.data.get("event_id"), "reason": reason})]
    access = _Access.model_validate(notification.data)
    return [
        BadgeEvent(
            event_id=access.id(),
            at=utc(access.at()),
            door=access.door(),
            person=access.person(),
            direction=DIRECTIONS.get((access.direction or "").lower()),
        )
    ]


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
    settings=frozenset({"remoteUnlocks"}),
    ack_seconds=2.0,
    fresh={"data.event_id": "id", "data.created": "seconds", "created_at": "seconds"},
)
