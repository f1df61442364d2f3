"""BambooHR: time off, asked on a schedule. None of its webhooks is about time off, so none is accepted.

Follows https://documentation.bamboohr.com/reference/time-off-list-time-off-requests, which goes by overlap
with the days that are asked for, and https://documentation.bamboohr.com/reference/get-employee. `dates` says
how much of each day is taken. An edit makes a request of another id and leaves the old one `superceded`, as
BambooHR spells it. When a request was changed is only known to the day, so its version is the time of asking.
Not confirmed on live traffic: whether a request can vanish from the list without a status that says so.

A sample is an entry of that list.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from relay.events import Amount, DayOff, Event, LeaveChange, LeaveState, ThinEvent, Webhook, iso, read_json
from relay.vendors.support.base import Api, Vendor, VendorApi, basic
from relay.vendors.support.fields import UNITS, PathId, Payload, day, day_off, known
from relay.vendors.support.leave_lists import in_window, listed
from relay.vendors.support.listing import LeaveList, Page, Window
from relay.vendors.support.pages import all_entries, each_listed, query
from relay.vendors.support.proof import NoProof
from relay.vendors.support.thin import with_address

STATES: dict[str, LeaveState] = {
    "requested": "requested",
    "approved": "approved",
    "denied": "ended",
    "superceded": "ended",
    "superseded": "ended",
    "canceled": "ended",
    "cancelled": "ended",
}
# All of them: a request of a status that is not asked for would look ended.
LISTED = "approved,denied,superceded,requested,canceled"
DAYS_A_PAGE = 31
"""BambooHR answers all at once: a year of a large company would be more than an answer may be."""


def _as_mapping(dates: Any) -> Any:
    """Days by date; PHP writes an empty mapping as an empty list."""
    return dates or {}


class _Status(Payload):
    status: str


class _Type(Payload):
    name: str | None = None


class _Taken(Payload):
    unit: str | None = None
    amount: float | None = None


class _Request(Payload):
    id: PathId
    employee: PathId = Field(alias="employeeId")
    status: _Status
    start: str
    end: str | None = None
    type: _Type | None = None
    amount: _Taken | None = None
    dates: Annotated[dict[str, float], BeforeValidator(_as_mapping)] = Field(default={})

    def total(self) -> Amount | None:
        """How much is taken in all, where its days are not named."""
        if self.dates or self.amount is None or self.amount.amount is None:
            return None
        return Amount(value=self.amount.amount, unit=known(UNITS, self.amount.unit, "amount.unit"))

    def days_off(self) -> tuple[DayOff, ...]:
        """Its days one by one, each with how much of it is taken."""
        unit = self.amount.unit if self.amount else None
        return tuple(day_off(on, value, unit, "amount.unit") for on, value in self.dates.items())


def parse(webhook: Webhook) -> Sequence[Event]:
    """An entry of the list, as a sample has it."""
    return [_read(read_json(webhook.body), webhook.received_at)]


def page(api: VendorApi, window: Window, following: str | None) -> Page:
    """The requests of some days of the window; `following` is the first of the next ones."""
    first = date.fromisoformat(following) if following else window.first
    last = min(first + timedelta(days=DAYS_A_PAGE - 1), window.last)
    answer = api.get("/api/v1/time_off/requests" + query(start=str(first), end=str(last), status=LISTED))
    events = each_listed(all_entries(answer), lambda entry: _read(entry, window.began))
    events = in_window(replace(window, first=first, last=last), events)
    if following:
        # What began before these days was on an earlier page.
        events = [event for event in events if not _began_before(first, event)]
    after = last + timedelta(days=1)
    return Page(events, str(after) if after <= window.last else None)


def _began_before(first: date, event: Event) -> bool:
    change = event.change if isinstance(event, ThinEvent) else event
    return isinstance(change, LeaveChange) and (change.start or "") < first.isoformat()


def _read(entry: Any, asked_at: float) -> Event:
    request = _Request.model_validate(entry)
    status = request.status.status
    change = LeaveChange(
        event_id="list",
        leave_id=request.id,
        state=known(STATES, status, "status.status"),
        declined=status.strip().lower() == "denied",
        version=iso(asked_at),
        start=day(request.start),
        end=day(request.end),
        type_name=request.type.name if request.type else None,
        days=request.days_off(),
        total=request.total(),
    )
    return listed(change, request.employee)


def fetch(thin: ThinEvent, api: VendorApi) -> Sequence[Event]:
    """Ask for the employee's work address."""
    return with_address(thin, api, f"/api/v1/employees/{thin.employee}?fields=workEmail", "workEmail")


def _headers(credentials: Mapping[str, str]) -> Mapping[str, str]:
    # The key is the user's name; BambooHR takes whatever stands for the password.
    return basic(credentials["apiKey"], "x")


VENDOR = Vendor(
    name="bamboohr",
    title="BambooHR",
    families=("hris",),
    docs="https://documentation.bamboohr.com/reference/time-off-list-time-off-requests",
    signature="none: it sends no webhooks, and is asked on a schedule",
    forwards="time off that is approved, changed, denied or cancelled",
    ignores="requests that nobody has decided on",
    direction="-",
    confidence="high",
    scheme=NoProof(),
    sends_webhooks=False,
    parse=parse,
    settings=frozenset({"wholeDayHours"}),
    unused=frozenset({"silentAfterHours", "forwardMode"}),
    api=Api(host="https://{company}.bamboohr.com", fields=("company", "apiKey"), headers=_headers),
    fetch=fetch,
    lists=LeaveList(page=page, version="asked", lacks="ended"),
)
