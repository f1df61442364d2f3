"""HiBob: time-off requests. Its webhook is thin: what a request became is asked of HiBob's API.

Follows https://apidocs.hibob.com/reference/time-off-events-v2,
https://apidocs.hibob.com/reference/time-off-webhook-events (v1) and
https://apidocs.hibob.com/reference/get_timeoff-employees-id-requests-requestid. Every `timeoff.request.*` is
asked about, since the answer decides. The names of a request's fields differ between that call and
`/v1/timeoff/requests/changes`: both are read. What changed within half a year is listed by
https://apidocs.hibob.com/reference/get_timeoff-requests-changes, and what was approved before that by
https://apidocs.hibob.com/reference/get_timeoff-whosout. Not confirmed on live traffic: whether the ping is
signed, the fields of `durations`, and what the two lists say of requests in hours.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import time, timedelta
from typing import Any

from pydantic import AliasChoices, Field, model_validator

from relay.errors import Unparseable
from relay.events import Amount, DayOff, Event, Ignored, LeaveState, ThinEvent, Webhook, read_json, utc
from relay.vendors.support.base import Api, Vendor, VendorApi, basic
from relay.vendors.support.fields import PART_OF_A_DAY, PathId, Payload, day, day_off, hours, known
from relay.vendors.support.leave_lists import in_window, listed_leave, overlaps
from relay.vendors.support.listing import LeaveList, Page, Window
from relay.vendors.support.pages import each_listed, entries_at, query, text_at
from relay.vendors.support.signatures import Hmac
from relay.vendors.support.thin import LeaveNow, leave_now, unwrapped

CHANGES = "timeoff.request."
PINGS = (b"Ping test", b'"Ping test"')
STATES: dict[str, LeaveState] = {
    "requested": "requested",
    "pending": "requested",
    "approved": "approved",
    "imported": "approved",
    "declined": "ended",
    "rejected": "ended",
    "cancelled": "ended",
    "canceled": "ended",
    "deleted": "ended",
}
CHANGE_TYPES = {
    **dict.fromkeys(("created", "updated"), "approved"),
    **dict.fromkeys(("canceled", "cancelled"), "canceled"),
    "deleted": "deleted",
}
"""The status that each type of change leaves a request in. Pending requests are not asked for."""
CHANGED_WITHIN = timedelta(days=180)
"""HiBob lists changes of the last six months only."""
CHANGES_STEP = timedelta(days=15)
OUT_STEP = timedelta(days=31)
"""Neither list has pages: shorter times keep an answer small."""
MINUTES_A_DAY = 24 * 60
PORTIONS = {"": 1.0, "all_day": 1.0, "morning": 0.5, "afternoon": 0.5, "vacant": 0.0}
"""How much of a day a portion is."""


class _Head(Payload):
    type: str = Field(validation_alias=AliasChoices("type", "event"))


class _Data(Payload):
    timeoff_request_id: PathId = Field(alias="timeoffRequestId")
    employee_id: PathId = Field(alias="employeeId")
    previous_request_id: PathId | None = Field(default=None, alias="previousRequestId")
    original_request_id: PathId | None = Field(default=None, alias="originalRequestId")

    def replaced(self) -> list[str | None]:
        """The requests that this one takes the place of: the one before it, and the first of them all.

        None for a request that replaces none. Of several changes in between a webhook may be missing.
        """
        before = dict.fromkeys((self.previous_request_id, self.original_request_id))
        return [each for each in before if each and each != self.timeoff_request_id] or [None]


class _V2(Payload):
    company_id: int | str = Field(default="", alias="companyId")
    triggered_at: str = Field(default="", alias="triggeredAt")
    data: _Data


class _Duration(Payload):
    """What is taken of one day: so many hours, from one time to another, or a portion.

    The fields of leave by the hour of every day are those of one day, too, where these are not there.
    """

    date: str | None = None
    hours: float | None = Field(
        default=None, validation_alias=AliasChoices("hours", "hoursOnDate", "dailyHours", "duration")
    )
    minutes: float = Field(default=0, validation_alias=AliasChoices("minutes", "dailyMinutes"))
    daily_hours: float | None = Field(default=None, alias="dailyHours")
    daily_minutes: float = Field(default=0, validation_alias=AliasChoices("dailyMinutes", "minutes"))
    begins: time | None = Field(default=None, alias="localStartTime")
    ends: time | None = Field(default=None, alias="localEndTime")
    portion: str | None = Field(default=None, validation_alias=AliasChoices("portion", "dayPortion"))
    percentage: float | None = Field(default=None, alias="percentageOfDay")

    @model_validator(mode="before")
    @classmethod
    def _flat(cls, found: Any) -> Any:
        """With what is nested beside the other fields, and without those that say nothing."""
        if not isinstance(found, Mapping):
            return found
        flat: dict[str, Any] = {}
        for node in (found.get("dateRange"), found.get("dayDuration"), found):
            if isinstance(node, Mapping):
                flat |= {name: value for name, value in node.items() if value is not None}
        return flat

    def amount(self, kind: str = "hours") -> Amount:
        """How much that is of a day: what the field of its kind says, else the first one that says anything.

        A part where none does. Raises `Unparseable`.
        """
        ways = {
            "hours": self._in_hours,
            "daily_hours": self._in_daily_hours,
            "clock": self._by_the_clock,
            "percentage": self._as_percentage,
            "portion": self._as_portion,
        }
        for way in (ways.get(kind, self._in_hours), *ways.values()):
            amount = way()
            if amount is not None:
                return amount
        return PART_OF_A_DAY

    def _in_hours(self) -> Amount | None:
        return None if self.hours is None else hours(self.hours + self.minutes / 60)

    def _in_daily_hours(self) -> Amount | None:
        return None if self.daily_hours is None else hours(self.daily_hours + self.daily_minutes / 60)

    def _by_the_clock(self) -> Amount | None:
        if self.begins is None or self.ends is None:
            return None
        minutes = (self.ends.hour - self.begins.hour) * 60 + self.ends.minute - self.begins.minute
        # A night's end is earlier than its beginning.
        return hours(minutes % MINUTES_A_DAY / 60) if minutes else None

    def _as_percentage(self) -> Amount | None:
        return None if self.percentage is None else Amount(value=self.percentage / 100, unit="days")

    def _as_portion(self) -> Amount | None:
        if self.portion is None:
            return None
        return Amount(value=known(PORTIONS, self.portion, "dayPortion"), unit="days")


class _Request(_Duration):
    """A request. What it says of its days beside their range, it says of each of them."""

    status: str | None = None
    approved: bool | None = None
    start_date: str | None = Field(default=None, alias="startDate")
    start_portion: str | None = Field(
        default=None, validation_alias=AliasChoices("startDatePortion", "startPortion")
    )
    end_date: str | None = Field(default=None, alias="endDate")
    end_portion: str | None = Field(
        default=None, validation_alias=AliasChoices("endDatePortion", "endPortion")
    )
    kind: str | None = Field(default=None, validation_alias=AliasChoices("type", "requestRangeType"))
    durations: list[_Duration] | None = None
    policy: str | None = Field(default=None, alias="policyTypeDisplayName")
    email: str | None = Field(default=None, alias="employeeEmail")

    def word(self) -> str:
        """The state in HiBob's word: `status`, else by `approved`."""
        return (self.status or ("approved" if self.approved else "")).strip().lower()

    def dates(self) -> dict[str, Any]:
        """Its days, and how much is taken of them, as a leave change has it. Raises `Unparseable`."""
        kind = known(KINDS, self.kind, "type")
        found: dict[str, Any] = {
            "start": day(self.start_date or self.date),
            "end": day(self.end_date or self.date),
            "open_ended": kind == "open_ended",
        }
        if kind in ("range", "open_ended"):
            found["first_day_part"] = _is_part(self.start_portion)
            found["last_day_part"] = _is_part(self.end_portion)
        elif kind == "by_day" and self.durations:
            found["days"] = [_day(one) for one in self.durations]
        else:
            found["each_day"] = self.amount(kind)
        return found


class _Listed(_Request):
    """A request in one of the two lists. Among the changes `changeType` says what became of it."""

    request_id: PathId = Field(alias="requestId")
    employee_id: PathId | None = Field(default=None, alias="employeeId")
    change_type: str | None = Field(default=None, alias="changeType")

    def word(self) -> str:
        """The state in HiBob's word: an ending, else `status`. Raises `Unparseable` for another change."""
        if self.change_type is None:
            return super().word()
        word = known(CHANGE_TYPES, self.change_type, "changeType")
        return super().word() or word if word == "approved" else word

    def says_too_little(self) -> bool:
        """Whether it is of parts of days and does not say how much of them. Raises `Unparseable`."""
        kind = known(KINDS, self.kind, "type")
        if kind in ("range", "open_ended"):
            return False
        return not self.durations and self.amount(kind) is PART_OF_A_DAY


KINDS = {
    "": "range",
    "days": "range",
    "openended": "open_ended",
    "hours": "hours",
    "hoursonrange": "daily_hours",
    "portiononrange": "portion",
    "percentageonrange": "percentage",
    "specifichoursdaydurations": "by_day",
    "differentdaydurations": "by_day",
    "differentspecifichoursdaydurations": "by_day",
}
"""How each type of request says what is taken of its days."""


def _is_part(portion: str | None) -> bool:
    """Whether a portion of the first or the last day is less than all of it."""
    return known(PORTIONS, portion, "startDatePortion, endDatePortion") < 1


def _day(one: _Duration) -> DayOff:
    amount = one.amount()
    return day_off(one.date, amount.value, amount.unit, "durations")


def parse(webhook: Webhook) -> Sequence[Event]:
    """A thin event for each time-off event, of either version, and request that it replaces.

    Every other event is ignored.
    """
    payload = read_json(webhook.body)
    kind = _Head.model_validate(payload).type
    if not kind.startswith(CHANGES):
        return [Ignored(reason="other_event")]
    # Version 1 has the data by themselves.
    v2 = _V2.model_validate(payload if "data" in payload else {"data": payload})
    data = v2.data
    event_id = ":".join((str(v2.company_id), kind, data.timeoff_request_id, v2.triggered_at))
    return [
        ThinEvent(
            event_id=event_id, subject=data.timeoff_request_id, employee=data.employee_id, replaces=replaced
        )
        for replaced in data.replaced()
    ]


def is_ping(body: bytes) -> bool:
    """Whether this is one of the two bodies with which Bob tries a new URL."""
    if body.strip() in PINGS:
        return True
    try:
        # Nobody has signed it: nothing larger is parsed.
        return bool(len(body) < 100 and read_json(body) == {"text": "Ping test"})
    except Unparseable:
        return False


def fetch(thin: ThinEvent, api: VendorApi) -> Sequence[Event]:
    """Ask what the request is now."""
    # All thin events of this module name the employee; those of others need not.
    employee = thin.employee or ""

    def read(found: Any) -> LeaveNow:
        return _leave(_Request.model_validate(found), employee, api)

    return leave_now(thin, api, _path(employee, thin.subject), read)


def _path(employee: str, request_id: str) -> str:
    return f"/v1/timeoff/employees/{employee}/requests/{request_id}"


def _leave(request: _Request, employee: str, api: VendorApi) -> LeaveNow:
    word = request.word()
    return LeaveNow(
        state=known(STATES, word, "status"),
        declined=word in ("declined", "rejected"),
        address=lambda: request.email or api.email(employee, lambda: _address(employee, api)),
        details={"type_name": request.policy, **request.dates()},
    )


def page(api: VendorApi, window: Window, following: str | None) -> Page:  # noqa: ARG001 - there is one page
    """All of it: the last change of each request, and who is out by a request that has not changed since.

    The last change can only be told when all are known, so that there is one page. Who is out is listed
    without addresses, and each request as others see it, be it without its type or its hours: only its range
    is compared, and `fetch` asks about what differs once more.
    """
    changes = _last_of_each(_changes(api, window))
    out = _last_of_each(_out(api, window))
    unchanged = [entry for request_id, entry in out.items() if request_id not in changes]

    def read(entry: Any) -> Event:
        request = _Listed.model_validate(entry)
        leave = _leave(_in_full(request, window, api), request.employee_id or "", api)
        return listed_leave(request.request_id, leave, window, request.employee_id, request.email)

    events = each_listed([*changes.values(), *unchanged], read, key="requestId")
    return Page(in_window(window, events), ranges=tuple(out.keys() - changes.keys()))


def _in_full(request: _Listed, window: Window, api: VendorApi) -> _Request:
    """A request with all that is taken of its days, which is asked for where the list does not say it."""
    start, end = day(request.start_date or request.date), day(request.end_date or request.date)
    is_approved = STATES.get(request.word()) == "approved"
    if not (is_approved and request.employee_id and overlaps(window, start, end)):
        return request
    if not request.says_too_little():
        return request
    found = api.get(_path(request.employee_id, request.request_id))
    return request if found is None else _Request.model_validate(unwrapped(found))


def _changes(api: VendorApi, window: Window) -> Iterator[Any]:
    """The changes of the last six months."""
    end = utc(window.began)
    since = end - CHANGED_WITHIN
    while since < end:
        to = min(since + CHANGES_STEP, end)
        asked = query(since=f"{since:%Y-%m-%dT%H:%M:%SZ}", to=f"{to:%Y-%m-%dT%H:%M:%SZ}")
        yield from entries_at(api.get(f"/v1/timeoff/requests/changes{asked}"), "changes")
        since = to


def _out(api: VendorApi, window: Window) -> Iterator[Any]:
    """Who is out in the window, also for some hours, or for a reason that others are not shown."""
    first = window.first
    while first <= window.last:
        last = min(first + OUT_STEP, window.last)
        asked = {"from": first.isoformat(), "to": last.isoformat()}
        shown = query(**asked, includeHourly="true", includePrivate="true")
        yield from entries_at(api.get(f"/v1/timeoff/whosout{shown}"), "outs")
        # Both days of a question are part of the answer.
        first = last + timedelta(days=1)


def _last_of_each(entries: Iterator[Any]) -> dict[str, Any]:
    """The last entry of each request. Without a time the end of a request is its last change."""
    # Sorting is stable, and the last one of an id is the one that stays.
    return {_request_id(entry): entry for entry in sorted(entries, key=_when)}


def _request_id(entry: Any) -> str:
    """The id of an entry's request; of one without an id, something that no other has."""
    return text_at(entry, "requestId") or f"entry {id(entry)}"


def _when(entry: Any) -> tuple[str, bool]:
    created = (text_at(entry, "changeType") or "").lower() == "created"
    return text_at(entry, "createdOn") or "", not created


def _address(employee: str, api: VendorApi) -> str | None:
    """The employee's e-mail address: the plain GET, else the field search that replaces it."""
    path = f"/v1/people/{employee}"
    # Where the plain GET is gone, these answers say so.
    found = api.get(path, absent=(404, 405, 410))
    if not isinstance(found, dict):
        found = api.post(path, {"fields": ["root.email"]})
    person = unwrapped(found)
    if not isinstance(person, dict):
        return None
    email = person.get("email") or person.get("/root/email")
    if isinstance(email, dict):
        email = email.get("value")
    return email if isinstance(email, str) and email else None


def _authorization(credentials: Mapping[str, str]) -> Mapping[str, str]:
    return basic(credentials["serviceUserId"], credentials["serviceUserToken"])


VENDOR = Vendor(
    name="hibob",
    title="HiBob",
    families=("hris",),
    docs="https://apidocs.hibob.com/reference/time-off-events-v2",
    signature="`Bob-Signature`, HMAC-SHA512, base64",
    forwards="every `timeoff.request.*`, as HiBob's API says it is now",
    ignores="requests, refusals, pings, other events",
    direction="-",
    confidence="high",
    scheme=Hmac(header="bob-signature", algorithm="sha512", encoding="base64"),
    parse=parse,
    settings=frozenset({"wholeDayHours"}),
    is_ping=is_ping,
    api=Api(
        host="https://api.hibob.com",
        fields=("serviceUserId", "serviceUserToken"),
        headers=_authorization,
    ),
    fetch=fetch,
    lists=LeaveList(page=page, version="asked", lacks="nothing"),
    fresh={"triggeredAt": "iso"},
)
