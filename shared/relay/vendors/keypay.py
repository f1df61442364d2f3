"""Employment Hero Payroll (KeyPay): leave requests, several in a delivery.

Follows https://support.yourpayroll.com.au/hc/en-au/articles/209986573-Web-Hooks and
https://api.keypay.com.au/australia/reference/employee. A notification has no time of its own: it counts from
when it came first, whatever the attempt. It says in total how much is taken: `TotalHours` in Australia,
`TotalUnits` of a `LeaveUnitType` in New Zealand and the United Kingdom. The employee's address is asked of
the API. The list of a business has the same requests in one answer, each with the same fields, whose names
begin with a small letter in the API's examples. The events are named `Leave Request Created`, `Updated`,
`Approved`, `Declined`, `Cancelled` and `Deleted`; how `Action` writes that is not known, so only its letters
are read. One that speaks of an end is one, as a deleted request may still say that it is approved; of all
else `Status` decides. Not confirmed on live traffic: that, what leave without a `ToDate` is, whether the URL
is tried with a GET, and which days of a request the list goes by.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import count
from typing import Any, Literal

from pydantic import Field

from relay.errors import Unparseable
from relay.events import Amount, Event, Ignored, LeaveChange, LeaveState, ThinEvent, Webhook, iso, read_json
from relay.vendors.support.base import Api, Vendor, VendorApi, basic
from relay.vendors.support.fields import PathId, Payload, Text, day, hours, known
from relay.vendors.support.leave_lists import in_window, listed
from relay.vendors.support.listing import LeaveList, Page, Window
from relay.vendors.support.pages import all_entries, each_listed, query
from relay.vendors.support.several import each
from relay.vendors.support.signatures import Hmac
from relay.vendors.support.thin import with_address

STATES: dict[str, LeaveState] = {
    "pending": "requested",
    "approved": "approved",
    "declined": "ended",
    "rejected": "ended",
    "cancelled": "ended",
    "canceled": "ended",
    "deleted": "ended",
}
UNITS: dict[str, Literal["hours", "days", "weeks"]] = {"hours": "hours", "days": "days", "weeks": "weeks"}
LEAVE_KEYS = frozenset({"FromDate", "ToDate", "LeaveCategoryId"})
ENDING_KEYS = frozenset({"EmployeeId", "Status"})
ACTION = "leaverequest"
"""What the letters of the action of each notification about a leave request contain."""
REFUSALS = ("declined", "rejected")
ENDINGS = (*REFUSALS, "cancelled", "canceled", "deleted")
"""What the letters of an action that ends a leave request contain, too."""


class _Body(Payload):
    id: Text = Field(alias="Id")
    notifications: list[Any] = Field(alias="Notifications")


class _Leave(Payload):
    id: PathId = Field(alias="Id")
    action: object = Field(default=None, alias="Action")
    employee_id: PathId | None = Field(default=None, alias="EmployeeId")
    category: str | None = Field(default=None, alias="LeaveCategory")
    start: str | None = Field(default=None, alias="FromDate")
    end: str | None = Field(default=None, alias="ToDate")
    status: str | None = Field(default=None, alias="Status")
    total_hours: float | None = Field(default=None, alias="TotalHours")
    total_units: float | None = Field(default=None, alias="TotalUnits")
    unit: str | None = Field(default=None, alias="LeaveUnitType")

    def word(self) -> str:
        """Its status in small letters."""
        return (self.status or "").strip().lower()

    def state(self) -> LeaveState:
        """What it is now: ended where the action says so, else by its status. Raises `Unparseable`."""
        # A leave is found by its id alone, and its end may name nothing else.
        if self._says(ENDINGS) or STATES.get(self.word()) == "ended":
            return "ended"
        if self.employee_id is None:
            raise Unparseable("EmployeeId: missing")
        if self.status is None:
            raise Unparseable("Status: missing")
        return known(STATES, self.status, "Status")

    def was_declined(self) -> bool:
        """Whether it is a request that was refused."""
        return self._says(REFUSALS) or self.word() in REFUSALS

    def _says(self, words: Sequence[str]) -> bool:
        action = _letters(self.action)
        return ACTION in action and any(word in action for word in words)

    def total(self) -> Amount | None:
        """How much is taken in all, where it says so; raises `Unparseable` for a unit that is none."""
        if self.total_units is not None and self.unit:
            return Amount(value=self.total_units, unit=known(UNITS, self.unit, "LeaveUnitType"))
        return hours(self.total_hours)


def parse(webhook: Webhook) -> Sequence[Event]:
    """A thin event for each notification about a leave request; those about anything else are ignored."""
    payload = read_json(webhook.body)

    def alone(entries: Sequence[Any]) -> dict[str, Any]:
        return {**payload, "Notifications": list(entries)}

    body = _Body.model_validate(payload)
    return each(body.notifications, partial(_event, body.id, count()), alone, webhook.body)


def _event(delivery: str, places: Iterator[int], entry: Any) -> Event:
    # A notification has no id of its own: its place in the delivery stands for it.
    place = next(places)
    if not _is_leave(entry):
        return Ignored(event_id=delivery, reason="other_event")
    leave = _Leave.model_validate(entry)
    event_id = f"{delivery}:{place}:{leave.id}:{leave.word()}"[:200]
    # Entries of one delivery are changes one after the other; four digits sort as the numbers do.
    change = _change(leave, event_id, f"/{place:04}")
    if leave.employee_id is None:
        return change
    return ThinEvent(event_id=change.event_id, subject=leave.id, employee=leave.employee_id, change=change)


def _change(leave: _Leave, event_id: str, version: str) -> LeaveChange:
    return LeaveChange(
        event_id=event_id,
        leave_id=leave.id,
        state=leave.state(),
        declined=leave.was_declined(),
        version=version,
        start=day(leave.start),
        end=day(leave.end),
        open_ended=leave.start is not None and leave.end is None,
        type_name=leave.category,
        total=leave.total(),
    )


def _is_leave(entry: Any) -> bool:
    """Whether a notification is about a leave request: its end may name no more than employee and status.

    One whose `Action` says so is a request's, too: without a status it is refused rather than lost.
    """
    if not isinstance(entry, dict):
        return False
    speaks_of_leave = ACTION in _letters(entry.get("Action"))
    return speaks_of_leave or bool(LEAVE_KEYS & set(entry)) or set(entry) >= ENDING_KEYS


def _letters(action: object) -> str:
    """An action's letters, in small ones: blanks and whatever else stands between them say nothing."""
    return "".join(filter(str.isalpha, str(action).lower()))


def page(api: VendorApi, window: Window, following: str | None) -> Page:  # noqa: ARG001 - there is one page
    """The leave requests of the business, all in one answer."""
    path = f"/api/v2/business/{api.setting('businessId')}/leaverequest"
    answer = api.get(path + query(fromDate=str(window.first), toDate=str(window.last)))
    events = each_listed(all_entries(answer), lambda entry: _listed(entry, window))
    return Page(in_window(window, events))


def _listed(entry: Any, window: Window) -> Event:
    if not isinstance(entry, dict):
        raise Unparseable("body: no leave request")
    as_in_webhooks = {name[:1].upper() + name[1:]: value for name, value in entry.items()}
    leave = _Leave.model_validate(as_in_webhooks)
    return listed(_change(leave, "list", iso(window.began)), leave.employee_id)


def fetch(thin: ThinEvent, api: VendorApi) -> Sequence[Event]:
    """Ask for the employee's address, unless nobody is to be told."""
    if thin.change is not None and thin.change.state == "requested":
        return [thin.change]
    path = f"/api/v2/business/{api.setting('businessId')}/employee/unstructured/{thin.employee}"
    return with_address(thin, api, path, "emailAddress", "email")


def _headers(credentials: Mapping[str, str]) -> Mapping[str, str]:
    # The key is the user's name, and there is no password.
    return basic(credentials["apiKey"], "")


VENDOR = Vendor(
    name="keypay",
    title="Employment Hero Payroll (KeyPay)",
    families=("hris",),
    docs="https://support.yourpayroll.com.au/hc/en-au/articles/209986573-Web-Hooks",
    signature="`ms-signature`, HMAC-SHA256",
    forwards="leave requests that are approved, declined, cancelled or deleted",
    ignores="pending requests, notifications about anything else",
    direction="-",
    confidence="medium",
    scheme=Hmac(header="ms-signature", form="sha256={signature}"),
    parse=parse,
    settings=frozenset({"wholeDayHours"}),
    api=Api(host="https://api.yourpayroll.com.au", fields=("apiKey", "businessId"), headers=_headers),
    fetch=fetch,
    lists=LeaveList(page=page, version="asked", lacks="nothing"),
    fresh={"Id": "id"},
)
