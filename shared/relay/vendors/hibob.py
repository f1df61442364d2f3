"""HiBob: time-off requests. Its webhook is thin: what a request became is asked of HiBob's API.

Follows https://apidocs.hibob.com/reference/time-off-events-v2,
https://apidocs.hibob.com/reference/time-off-webhook-events (v1) and
https://apidocs.hibob.com/reference/get_timeoff-employees-id-requests-requestid. Every `timeoff.request.*` is
asked about, since the answer decides. The names of a request's fields differ between that call and
`/v1/timeoff/requests/changes`: both are read. Not confirmed on live traffic: whether the ping is signed, and
the fields of `durations`.
"""

import base64
from collections.abc import Mapping, Sequence
from datetime import time
from typing import Any

from pydantic import AliasChoices, BaseModel, Field, model_validator

from relay.errors import Unparseable
from relay.events import Amount, DayOff, Event, Ignored, LeaveState, ThinEvent, Webhook, read_json
from relay.vendors.support.base import Api, Vendor, VendorApi
from relay.vendors.support.fields import PART_OF_A_DAY, PathId, day, day_off, known
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
PORTIONS = {"": 1.0, "all_day": 1.0, "morning": 0.5, "afternoon": 0.5, "vacant": 0.0}
"""How much of a day a portion is."""


class _Head(BaseModel):
    type: str = Field(validation_alias=AliasChoices("type", "event"))


class _Data(BaseModel):
    timeoff_request_id: PathId = Field(alias="timeoffRequestId")
    employee_id: PathId = Field(alias="employeeId")
    previous_request_id: PathId | None = Field(default=None, alias="previousRequestId")


class _V2(BaseModel):
    company_id: int | str = Field(default="", alias="companyId")
    triggered_at: str = Field(default="", alias="triggeredAt")
    data: _Data


class _Duration(BaseModel):
    """What is taken of one day: so many hours, from one time to another, or a portion."""

    date: str | None = None
    hours: float | None = Field(
        default=None, validation_alias=AliasChoices("hours", "hoursOnDate", "dailyHours", "duration")
    )
    minutes: float = Field(default=0, validation_alias=AliasChoices("minutes", "dailyMinutes"))
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

    def amount(self) -> Amount:
        """How much that is of a day; a part where nothing says so. Raises `Unparseable`."""
        if self.hours is not None:
            return Amount(value=self.hours + self.minutes / 60, unit="hours")
        if self.begins is not None and self.ends is not None:
            minutes = (self.ends.hour - self.begins.hour) * 60 + self.ends.minute - self.begins.minute
            return Amount(value=max(minutes / 60, 0), unit="hours")
        if self.percentage is not None:
            return Amount(value=self.percentage / 100, unit="days")
        if self.portion is not None:
            return Amount(value=known(PORTIONS, self.portion, "dayPortion"), unit="days")
        return PART_OF_A_DAY


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
            found["each_day"] = self.amount()
        return found


KINDS = {
    "": "range",
    "days": "range",
    "openended": "open_ended",
    "hours": "each_day",
    "hoursonrange": "each_day",
    "portiononrange": "each_day",
    "percentageonrange": "each_day",
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
    """A thin event for each time-off event, of either version; every other event is ignored."""
    payload = read_json(webhook.body)
    kind = _Head.model_validate(payload).type
    if not kind.startswith(CHANGES):
        return [Ignored(reason="other_event")]
    # Version 1 has the data by themselves.
    v2 = _V2.model_validate(payload if "data" in payload else {"data": payload})
    data = v2.data
    return [
        ThinEvent(
            event_id=":".join((str(v2.company_id), kind, data.timeoff_request_id, v2.triggered_at)),
            subject=data.timeoff_request_id,
            employee=data.employee_id,
            replaces=data.previous_request_id,
        )
    ]


def is_ping(body: bytes) -> bool:
    """Whether this is one of the two bodies with which Bob tries a new URL."""
    if body.strip() in PINGS:
        return True
    try:
        return bool(len(body) < 100 and read_json(body) == {"text": "Ping test"})
    except Unparseable:
        return False


def fetch(thin: ThinEvent, api: VendorApi) -> Sequence[Event]:
    """Ask what the request is now."""
    employee = thin.employee or ""

    def read(found: Any) -> LeaveNow:
        request = _Request.model_validate(found)
        word = request.word()
        return LeaveNow(
            state=known(STATES, word, "status"),
            declined=word in ("declined", "rejected"),
            address=lambda: request.email or api.email(employee, lambda: _address(employee, api)),
            details={"type_name": request.policy, **request.dates()},
        )

    return leave_now(thin, api, f"/v1/timeoff/employees/{employee}/requests/{thin.subject}", read)


def _address(employee: str, api: VendorApi) -> str | None:
    """The employee's e-mail address: the plain GET, else the field search that replaces it."""
    path = f"/v1/people/{employee}"
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
    pair = f"{credentials['serviceUserId']}:{credentials['serviceUserToken']}"
    return {"authorization": "Basic " + base64.b64encode(pair.encode()).decode()}


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
    fresh={"triggeredAt": "iso"},
)
