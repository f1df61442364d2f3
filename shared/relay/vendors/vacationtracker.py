"""Vacation Tracker: leave requests, by the webhooks that it makes for Zapier.

Follows https://vacationtracker.io/developers/zapier/webhook-payloads and
https://vacationtracker.io/developers/zapier/triggers. Unsigned, so the URL carries a token. A delivery has no
time of its own: of two changes of a leave the one received last counts. Not confirmed on live traffic:
anything.
"""

from collections.abc import Sequence
from hashlib import sha256

from pydantic import BaseModel, Field, ValidationError

from relay.errors import Unparseable
from relay.events import Event, LeaveChange, LeaveState, Webhook, iso, read_json, unparseable
from relay.vendors.base import Vendor
from relay.vendors.common import TOKEN_IN_URL, Text, day

STATES: dict[str, LeaveState] = {
    "OPEN": "requested",
    "APPROVED": "approved",
    "DENIED": "ended",
    "CANCELLED": "ended",
    "DELETED": "ended",
}


class _Leave(BaseModel):
    id: Text
    status: str
    start: str = Field(alias="startDate")
    end: str = Field(alias="endDate")
    part_day: bool | None = Field(default=False, alias="isPartDay")
    approved_before: bool | None = Field(default=None, alias="wasApprovedBeforeAction")
    email: str | None = Field(default=None, alias="userEmail")
    type_name: str | None = Field(default=None, alias="leaveTypeName")


def parse(webhook: Webhook) -> Sequence[Event]:
    """A leave request as it has become; the end of one that was never approved changes nothing."""
    try:
        leave = _Leave.model_validate(read_json(webhook.body))
    except ValidationError as error:
        raise unparseable(error) from None
    if (status := leave.status.upper()) not in STATES:
        raise Unparseable("status: unknown")
    try:
        return [
            LeaveChange(
                event_id=sha256(webhook.body).hexdigest(),
                leave_id=leave.id,
                state=STATES[status],
                declined=STATES[status] == "ended" and leave.approved_before is False,
                version=iso(webhook.received_at),
                email=leave.email or None,
                start=day(leave.start),
                end=day(leave.end),
                type_name=leave.type_name,
                every_day_part=bool(leave.part_day),
            )
        ]
    except ValidationError as error:
        raise unparseable(error) from None


VENDOR = Vendor(
    name="vacationtracker",
    title="Vacation Tracker",
    families=("hris",),
    docs="https://vacationtracker.io/developers/zapier/webhook-payloads",
    signature="none: `?token=` in the URL",
    forwards="leave that is approved, changed, denied, cancelled or deleted",
    ignores="open requests, and the end of what was never approved",
    direction="-",
    confidence="medium",
    scheme=TOKEN_IN_URL,
    parse=parse,
)
