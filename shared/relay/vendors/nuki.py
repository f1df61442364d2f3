"""Nuki: locks that somebody opened at the door, from the activity log.

Follows https://docs.nuki.io/guide/webhooks/central-decentral/ for the signature, and `/type-device/` for the
types. What an entry of the log holds is `SmartlockLog` of the Web API, https://api.nuki.io. Not confirmed on
live traffic: that a webhook has the entry under `smartlockLog`, as independent receivers read it, and which
trigger an app has that opens over Bluetooth.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field

from relay.events import BadgeEvent, Event, Ignored, Webhook, read_json
from relay.vendors.support.base import Vendor
from relay.vendors.support.fields import Instant, OptionalText, Payload, Text, known
from relay.vendors.support.signatures import Hmac

LOG = "device_logs"
OPENED = frozenset({1, 3, 4, 5})
"""Unlock, unlatch, lock 'n' go, and that with unlatch: the door can be opened."""
DOOR_STATES = frozenset({208, 209, 240, 241, 242})
"""The door's sensor: ajar, another state than the lock's, opened, closed, jammed."""
SUCCESS = 0
TRIGGERS: Mapping[str, str | None] = {
    "0": None,  # system: a command over Bluetooth
    "1": None,  # manual
    "2": None,  # button
    "3": "other_event",  # automatic
    "4": "remote",  # web
    "5": "remote",  # app
    "6": "other_event",  # auto lock
    "7": None,  # accessory
    "255": None,  # keypad
}
"""What moved the lock, and why nobody passed; None where somebody stood at the door."""


class _Head(Payload):
    feature: str
    log: dict[str, Any] | None = Field(default=None, alias="smartlockLog")


class _Entry(Payload):
    id: Text
    action: int


class _LockAction(_Entry):
    lock: Text = Field(alias="smartlockId")
    trigger: Text
    state: int | None = None
    auto_unlock: bool | None = Field(default=None, alias="autoUnlock")
    date: Instant
    account_user: OptionalText = Field(default=None, alias="accountUserId")
    authorization: OptionalText = Field(default=None, alias="authId")
    name: OptionalText = None

    def person(self) -> str | None:
        """The account's user, who is the same at every lock; else the authorization, else its name."""
        return self.account_user or self.authorization or self.name

    def ignored(self, *, remote_counts: bool) -> str | None:
        """Why nobody has passed, None where somebody has; raises `Unparseable` for an unknown trigger."""
        if self.state not in (None, SUCCESS):
            return "denied"
        reason = known(TRIGGERS, self.trigger, "trigger")
        # An auto unlock is an app that comes near.
        is_at_door = reason == "remote" and bool(self.auto_unlock or remote_counts)
        return None if is_at_door else reason


def parse(webhook: Webhook) -> Sequence[Event]:
    """Locks opened at the door are badge events; remote ones, locking and every other type are ignored."""
    payload = read_json(webhook.body)
    head = _Head.model_validate(payload)
    if head.feature.strip().lower() != LOG:
        return [Ignored(reason="other_event")]
    logged = payload if head.log is None else head.log
    entry = _Entry.model_validate(logged)
    if entry.action not in OPENED:
        reason = "door_state" if entry.action in DOOR_STATES else "other_event"
        return [Ignored(event_id=entry.id, reason=reason)]
    action = _LockAction.model_validate(logged)
    why_not = action.ignored(remote_counts=webhook.counting.remote_unlocks)
    if why_not is not None:
        return [Ignored(event_id=action.id, reason=why_not)]
    return [BadgeEvent(event_id=action.id, at=action.date, door=action.lock, person=action.person())]


VENDOR = Vendor(
    name="nuki",
    title="Nuki",
    families=("access-control",),
    docs="https://docs.nuki.io/guide/webhooks/central-decentral/",
    signature="`X-Nuki-Signature-SHA256`, HMAC-SHA256",
    forwards="`DEVICE_LOGS`: locks that a person opened at the door",
    ignores="opening from the web or the app, locking, door states, failures, every other type",
    direction="door",
    confidence="medium",
    scheme=Hmac(header="x-nuki-signature-sha256"),
    parse=parse,
    fresh={"smartlockLog.id": "id", "smartlockLog.date": "iso"},
    subjects={
        "smartlockLog.smartlockId": "door",
        "smartlockLog.accountUserId": "person",
        "smartlockLog.authId": "person",
    },
    settings=frozenset({"remoteUnlocks"}),
)
