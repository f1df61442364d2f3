"""Vacation Tracker: leave requests, by the webhooks that it makes for Zapier.

Follows https://vacationtracker.io/developers/zapier/webhook-payloads and
https://vacationtracker.io/developers/zapier/triggers. Unsigned, so the URL carries a token. A delivery has no
time of its own: of two changes of a leave the one received last counts. `daysList` says how much of each day
is taken; a leave that is part of a day and has no such list is so on each of its days. Not confirmed on live
traffic: anything.
"""

from collections.abc import Sequence
from hashlib import sha256

from pydantic import BaseModel, Field

from relay.events import DayOff, Event, LeaveChange, LeaveState, Webhook, iso, read_json
from relay.vendors.support.base import Vendor
from relay.vendors.support.fields import PART_OF_A_DAY, Text, day, known
from relay.vendors.support.fixed_tokens import TOKEN_IN_URL

STATES: dict[str, LeaveState] = {
    "open": "requested",
    "approved": "approved",
    "denied": "ended",
    "expired": "ended",
    "cancelled": "ended",
    "deleted": "ended",
}
NEVER_APPROVED = ("denied", "expired")
"""How a request ends that nobody approved."""


class _Day(BaseModel):
    day: str
    hours: float = Field(alias="leaveHours")
    working_hours: float | None = Field(default=None, alias="workingHoursInDay")

    def day_off(self) -> DayOff:
        """How much of it is taken."""
        return DayOff(on=day(self.day) or "", value=self.hours, unit="hours", working=self.working_hours)


class _Leave(BaseModel):
    id: Text
    status: str
    start: str = Field(alias="startDate")
    end: str = Field(alias="endDate")
    part_day: bool | None = Field(default=False, alias="isPartDay")
    approved_before: bool | None = Field(default=None, alias="wasApprovedBeforeAction")
    email: str | None = Field(default=None, alias="userEmail")
    type_name: str | None = Field(default=None, alias="leaveTypeName")
    days: list[_Day] | None = Field(default=None, alias="daysList")

    def was_never_approved(self) -> bool:
        """Whether this is the end of a request that nobody had approved."""
        ended = known(STATES, self.status, "status") == "ended"
        if ended and self.approved_before is False:
            return True
        return self.status.strip().lower() in NEVER_APPROVED and not self.approved_before


def parse(webhook: Webhook) -> Sequence[Event]:
    """A leave request as it has become; the end of one that was never approved changes nothing."""
    leave = _Leave.model_validate(read_json(webhook.body))
    return [
        LeaveChange(
            event_id=sha256(webhook.body).hexdigest(),
            leave_id=leave.id,
            state=known(STATES, leave.status, "status"),
            declined=leave.was_never_approved(),
            version=iso(webhook.received_at),
            email=leave.email or None,
            start=day(leave.start),
            end=day(leave.end),
            type_name=leave.type_name,
            days=tuple(one.day_off() for one in leave.days or ()),
            each_day=PART_OF_A_DAY if leave.part_day else None,
        )
    ]


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
    settings=frozenset({"wholeDayHours"}),
)
