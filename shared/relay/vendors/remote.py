"""Remote.com: time off. Its webhook is thin: the time off and the employment are asked of the API.

Follows https://developer.remote.com/reference/get_index_timeoff, https://developer.remote.com/reference/get_show_timeoff
and https://developer.remote.com/docs/webhook-events. The body and a time in milliseconds are signed together.
`timeoff_days` says how many hours of each day are taken, none on a day that is not worked. Time off whose
cancellation is only asked for is still taken. Not confirmed on live traffic: `timeoff_id` in the webhook,
which is there by analogy with other events, and whether the list goes by the days that it is asked for: they
are looked at here once more.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import AliasChoices, Field

from relay.errors import Unparseable
from relay.events import DayOff, Event, Ignored, LeaveState, ThinEvent, Webhook, read_json
from relay.vendors.support.base import Api, Vendor, VendorApi
from relay.vendors.support.fields import PathId, Payload, day, known
from relay.vendors.support.leave_lists import in_window, listed_leave
from relay.vendors.support.listing import LeaveList, Page, Window
from relay.vendors.support.pages import each_listed, entries_at, number_at, query
from relay.vendors.support.signatures import Hmac, Part
from relay.vendors.support.thin import (
    LeaveNow,
    first_text,
    has_ended,
    leave_now,
    segment,
    unwrapped,
    with_address_of,
)

EVENTS = frozenset(
    f"timeoff.{name}"
    for name in (
        "requested",
        "approved",
        "declined",
        "canceled",
        "cancellation_requested",
        "date_changed",
        "updated",
        "started",
        "taken",
    )
)
STATES: dict[str, LeaveState] = {
    "requested": "requested",
    "approved": "approved",
    "started": "approved",
    "taken": "approved",
    "cancel_requested": "approved",
    "cancellation_requested": "approved",
    "declined": "ended",
    "canceled": "ended",
    "cancelled": "ended",
}
TIME_OFF = "/v1/timeoff"
ENTRIES_A_PAGE = 100


class _Head(Payload):
    event_type: str


class _Body(_Head):
    timeoff_id: PathId


class _Day(Payload):
    day: str
    hours: float | None = None
    minutes: float | None = None

    def says_how_much(self) -> bool:
        """Whether it says how much of it is taken."""
        return self.hours is not None or self.minutes is not None

    def day_off(self) -> DayOff:
        """How much of it is taken: all where it does not say."""
        if not self.says_how_much():
            return DayOff(on=day(self.day) or "", value=1, unit="days")
        beside = self.minutes or 0
        # Minutes beyond an hour are the whole day's once more.
        if self.hours and beside >= 60:
            beside = 0
        return DayOff(on=day(self.day) or "", value=(self.hours or 0) + beside / 60, unit="hours")


class _TimeOff(Payload):
    status: str
    employment_id: PathId
    start_date: str | None = None
    end_date: str | None = None
    type_name: str | None = Field(default=None, validation_alias=AliasChoices("timeoff_type", "leave_type"))
    timeoff_days: list[_Day] | None = None

    def now(self, api: VendorApi) -> LeaveNow:
        """What it is now; raises `Unparseable` for a status that nobody documented."""
        return LeaveNow(
            state=known(STATES, self.status, "status"),
            declined=self.status.strip().lower() == "declined",
            address=lambda: _address(self.employment_id, api),
            details={
                "start": day(self.start_date),
                "end": day(self.end_date),
                "type_name": self.type_name,
                "days": self._days(),
            },
        )

    def _days(self) -> tuple[DayOff, ...]:
        """What is taken of each day; nothing where that is said of none of them."""
        days = self.timeoff_days or ()
        return tuple(one.day_off() for one in days) if any(one.says_how_much() for one in days) else ()


class _Listed(_TimeOff):
    id: PathId


def parse(webhook: Webhook) -> Sequence[Event]:
    """A thin event for each event of time off; every other one is ignored."""
    payload = read_json(webhook.body)
    head = _Head.model_validate(payload)
    if head.event_type not in EVENTS:
        return [Ignored(reason="other_event")]
    body = _Body.model_validate(payload)
    # Two events of a kind share the id: what becomes of them goes by when the API was asked.
    return [ThinEvent(event_id=f"{body.event_type}:{body.timeoff_id}", subject=body.timeoff_id)]


def fetch(thin: ThinEvent, api: VendorApi) -> Sequence[Event]:
    """Ask what the time off is now; of one that was listed, only for the employee's address."""
    if thin.change is not None:
        return with_address_of(thin, lambda employment: _address(employment, api))
    path = f"{TIME_OFF}/{thin.subject}"
    return leave_now(
        thin, api, path, lambda found: _TimeOff.model_validate(_inner(found, "timeoff")).now(api)
    )


def _inner(found: Any, name: str) -> Any:
    """What an answer has under a name of its own, where it has one."""
    inner = found.get(name) if isinstance(found, Mapping) else None
    return inner if isinstance(inner, Mapping) else found


def _address(employment: str, api: VendorApi) -> str | None:
    return api.email(employment, lambda: _work_email(api.get(f"/v1/employments/{employment}")))


def _work_email(found: Any) -> str | None:
    # `email` is how Remote itself writes to the person, often at a private address.
    person = _inner(unwrapped(found), "employment")
    return first_text(person, "work_email") or first_text(_inner(person, "basic_information"), "work_email")


def page(api: VendorApi, window: Window, following: str | None) -> Page:
    """A page of the company's time off; `following` is the number of the next one."""
    number = int(following or 1)
    asked = query(
        start_date=str(window.first), end_date=str(window.last), page=number, page_size=ENTRIES_A_PAGE
    )
    data = unwrapped(api.get(TIME_OFF + asked))
    entries, last = entries_at(data, "timeoffs"), number_at(data, "total_pages")
    if number_at(data, "current_page") != number:
        raise Unparseable("list: another page than the one that was asked for")
    events = each_listed(entries, lambda entry: _listed(entry, api, window))
    return Page(in_window(window, events), str(number + 1) if number < last else None)


def _listed(entry: Any, api: VendorApi, window: Window) -> Event:
    time_off = _Listed.model_validate(entry)
    return listed_leave(time_off.id, time_off.now(api), window, time_off.employment_id)


def knows(api: VendorApi, leave_id: str) -> bool:
    """Whether there still is that time off: what was cancelled stays as such."""
    found = _inner(unwrapped(api.get(f"{TIME_OFF}/{segment(leave_id)}")), "timeoff")
    return found is not None and not has_ended(found, STATES)


def _headers(credentials: Mapping[str, str]) -> Mapping[str, str]:
    return {"authorization": f"Bearer {credentials['token']}"}


VENDOR = Vendor(
    name="remote",
    title="Remote.com",
    families=("hris",),
    docs="https://developer.remote.com/docs/webhook-events",
    signature="`X-Remote-Signature`, HMAC-SHA256 over the body and `X-Remote-Timestamp`",
    forwards="every `timeoff.*`, as Remote's API says it is now",
    ignores="requests, refusals, other events",
    direction="-",
    confidence="medium",
    scheme=Hmac(
        header="x-remote-signature",
        layout=(Part.BODY, b":", Part.TIMESTAMP),
        timestamp_header="x-remote-timestamp",
        clock="milliseconds",
    ),
    parse=parse,
    settings=frozenset({"wholeDayHours"}),
    api=Api(host="https://gateway.remote.com", fields=("token",), headers=_headers),
    fetch=fetch,
    lists=LeaveList(page=page, version="asked", lacks="nothing", knows=knows),
)
