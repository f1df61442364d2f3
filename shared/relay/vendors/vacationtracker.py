"""Vacation Tracker: leave requests, by the webhooks that it makes for Zapier.

Follows https://vacationtracker.io/developers/zapier/webhook-payloads and
https://vacationtracker.io/developers/zapier/triggers. Unsigned, so the URL carries a token. A delivery has no
time of its own: of two changes of a leave the one received last counts. `daysList` says how much of each day
is taken; a leave that is part of a day and has no such list is so on each of its days.

https://vacationtracker.io/developers/api lists leave of one status a call, with the user and the type in
objects of their own where they are asked for. Not confirmed on live traffic: anything.
"""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

from pydantic import Field

from relay.errors import Unparseable
from relay.events import DayOff, Event, LeaveChange, LeaveState, Webhook, iso, read_json
from relay.vendors.support.base import Api, Vendor, VendorApi
from relay.vendors.support.fields import PART_OF_A_DAY, Payload, Text, day, known
from relay.vendors.support.fixed_tokens import TOKEN_IN_URL
from relay.vendors.support.leave_lists import in_window, listed
from relay.vendors.support.listing import LeaveList, Page, Window
from relay.vendors.support.pages import another, each_listed, entries_at, query, text_at

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
LISTED = ("OPEN", "APPROVED", "CANCELLED", "DENIED", "DELETED", "EXPIRED")
"""The statuses that are listed one after the other."""
LEAVES_A_PAGE = 200


class _Day(Payload):
    day: str
    hours: float = Field(alias="leaveHours")
    working_hours: float | None = Field(default=None, alias="workingHoursInDay")

    def day_off(self) -> DayOff:
        """How much of it is taken."""
        return DayOff(on=day(self.day) or "", value=self.hours, unit="hours", working=self.working_hours)


class _User(Payload):
    email: str | None = None


class _LeaveType(Payload):
    name: str | None = None


class _Leave(Payload):
    id: Text
    status: str
    start: str | None = Field(default=None, alias="startDate")
    end: str | None = Field(default=None, alias="endDate")
    part_day: bool | None = Field(default=False, alias="isPartDay")
    approved_before: bool | None = Field(default=None, alias="wasApprovedBeforeAction")
    email: str | None = Field(default=None, alias="userEmail")
    type_name: str | None = Field(default=None, alias="leaveTypeName")
    days: list[_Day] | None = Field(default=None, alias="daysList")
    user: _User | None = None
    leave_type: _LeaveType | None = Field(default=None, alias="leaveType")
    full_day: bool | None = Field(default=None, alias="isFullDayLeave")

    def was_never_approved(self) -> bool:
        """Whether this is the end of a request that nobody had approved."""
        ended = known(STATES, self.status, "status") == "ended"
        if ended and self.approved_before is False:
            return True
        return self.status.strip().lower() in NEVER_APPROVED and not self.approved_before


def parse(webhook: Webhook) -> Sequence[Event]:
    """A leave request as it has become; the end of one that was never approved changes nothing."""
    leave = _Leave.model_validate(read_json(webhook.body))
    return [_change(leave, sha256(webhook.body).hexdigest(), iso(webhook.received_at))]


def _change(leave: _Leave, event_id: str, version: str) -> LeaveChange:
    state = known(STATES, leave.status, "status")
    # A leave is found by its id alone, and its end may name nothing else.
    if leave.start is None and state != "ended":
        raise Unparseable("startDate: missing")
    address = leave.email or (leave.user and leave.user.email)
    type_name = leave.leave_type.name if leave.leave_type else leave.type_name
    is_part_of_days = leave.part_day or leave.full_day is False
    return LeaveChange(
        event_id=event_id,
        leave_id=leave.id,
        state=state,
        declined=leave.was_never_approved(),
        version=version,
        email=address or None,
        start=day(leave.start),
        end=day(leave.end),
        type_name=type_name,
        days=tuple(one.day_off() for one in leave.days or ()),
        each_day=PART_OF_A_DAY if is_part_of_days else None,
    )


def page(api: VendorApi, window: Window, following: str | None) -> Page:
    """A page of the leave of one status; `following` is the status of the next one, and its token."""
    status, _, token = (following or LISTED[0]).partition(" ")
    asked = query(
        startDate=str(window.first),
        endDate=str(window.last),
        status=status,
        expand="user,leaveType",
        limit=LEAVES_A_PAGE,
        nextToken=token or None,
    )
    answer = api.get("/v1/leaves" + asked)
    events = each_listed(entries_at(answer, "data"), lambda entry: _listed(entry, window))
    more = text_at(answer, "nextToken")
    after = f"{status} {more}" if more else _status_after(status)
    return Page(in_window(window, events), another(after, following))


def _status_after(status: str) -> str | None:
    """The status that is listed after this one."""
    place = LISTED.index(status) + 1
    return LISTED[place] if place < len(LISTED) else None


def _listed(entry: Any, window: Window) -> Event:
    leave = _Leave.model_validate(entry)
    return listed(_change(leave, "list", iso(window.began)), None)


def _headers(credentials: Mapping[str, str]) -> Mapping[str, str]:
    return {"x-api-key": credentials["apiKey"]}


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
    # Only the list is asked for with it: a webhook says all that is needed.
    api=Api(host="https://api.vacationtracker.io", fields=("apiKey",), headers=_headers),
    # The list has no `daysList`: of a day within a leave only webhooks say that it is free.
    lists=LeaveList(page=page, version="asked", lacks="nothing", days="range"),
    subjects={"userEmail": "person", "user.email": "person", "id": "leave"},
)
