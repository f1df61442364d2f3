"""Personio: absence periods. Its webhook is thin: the period and the person are asked of Personio's API.

Follows https://developer.personio.de/docs/attendance-and-absence-events,
https://developer.personio.de/reference/webhooks and
https://developer.personio.de/reference/get_v2-absence-periods. Both spellings of the payload's key are read
(`absence_period`, `absence-period`). An end at midnight is the end of the day before. What is taken of each
day is asked of `/breakdowns`; where there is none, the halves of the first and last day and the clock say it.
A type has a name in `/v2/absence-types` only. Not confirmed on live traffic: a half day, and whether an
answer is wrapped in `data` or `_data`.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AliasChoices, BaseModel, BeforeValidator, Field, ValidationError

from relay.errors import Unparseable
from relay.events import (
    Amount,
    DayOff,
    Event,
    Ignored,
    LeaveState,
    ThinEvent,
    Webhook,
    read_json,
    unparseable,
)
from relay.vendors.support.base import Api, OAuth, Vendor, VendorApi
from relay.vendors.support.common import (
    PathId,
    changed,
    day_off,
    field,
    gone,
    known,
    read,
    unwrapped,
    without_blanks,
)
from relay.vendors.support.fixed_tokens import HeaderToken
from relay.vendors.support.proof import AnyOf

EVENTS = frozenset(
    f"absence-period.{name}" for name in ("created", "updated.status", "updated.timerange", "deleted")
)
STATES: dict[str, LeaveState] = {
    "pending": "requested",
    "approved": "approved",
    "rejected": "ended",
    "canceled": "ended",
    "cancelled": "ended",
}
HALVES = {"": None, "first_half": "first", "second_half": "second"}
NOON = 12
ONE_DAY = timedelta(days=1)
MOST_PAGES = 20


class _Head(BaseModel):
    event_name: str


class _Period(BaseModel):
    id: PathId


class _Payload(BaseModel):
    period: _Period = Field(validation_alias=AliasChoices("absence_period", "absence-period"))


class _Body(BaseModel):
    event_name: str
    occurred_at: str = ""
    payload: _Payload


Local = Annotated[datetime, BeforeValidator(without_blanks)]
"""The employee's own time of day; a zone behind it is not applied."""


class _Moment(BaseModel):
    date_time: Local | None = None
    type: str | None = None

    def half(self, where: str) -> str | None:
        """Which half of its day it names, if any; raises `Unparseable`."""
        return known(HALVES, self.type, f"{where}.type")

    def is_midnight(self) -> bool:
        """Whether it names no time of day."""
        at = self.date_time
        return at is not None and (at.hour, at.minute, at.second) == (0, 0, 0)


class _Id(BaseModel):
    id: PathId


class _Type(BaseModel):
    id: PathId | None = None
    name: str | None = None


class _Approval(BaseModel):
    status: str


class _Absence(BaseModel):
    person: _Id
    absence_type: _Type | None = None
    starts_from: _Moment
    ends_at: _Moment | None = None
    approval: _Approval

    def dates(self) -> dict[str, Any]:
        """Its first and last day, and what is taken of them, as a leave change has it."""
        first, last = self.starts_from, self.ends_at or _Moment()
        if first.date_time is None or last.date_time is None:
            return {"start": _date(first.date_time), "end": None, "open_ended": last.date_time is None}
        start, end = first.date_time.replace(tzinfo=None), last.date_time.replace(tzinfo=None)
        final = end - ONE_DAY if last.is_midnight() and end > start else end
        found: dict[str, Any] = {"start": _date(start), "end": _date(final)}
        by_the_clock = not first.is_midnight() and not last.is_midnight()
        if by_the_clock and start.date() == final.date():
            hours = (end - start).total_seconds() / 3600
            return {**found, "each_day": Amount(value=max(hours, 0), unit="hours")}
        begins_late = start.hour >= NOON
        ends_early = not last.is_midnight() and end.hour <= NOON
        return {
            **found,
            "first_day_part": begins_late or first.half("starts_from") == "second",
            "last_day_part": ends_early or last.half("ends_at") == "first",
        }


class _Effective(BaseModel):
    unit: str | None = None
    value: float | None = None


class _Share(BaseModel):
    date: str
    effective_duration: _Effective | None = None


class _Shares(BaseModel):
    shares: list[_Share] = Field(validation_alias=AliasChoices("_data", "data"))


class _Types(BaseModel):
    types: list[_Type] = Field(validation_alias=AliasChoices("_data", "data"))


def parse(webhook: Webhook) -> Sequence[Event]:
    """A notice for each event of an absence period; attendances and persons are ignored."""
    payload = read_json(webhook.body)
    try:
        if _Head.model_validate(payload).event_name not in EVENTS:
            return [Ignored(reason="other_event")]
        body = _Body.model_validate(payload)
    except ValidationError as error:
        raise unparseable(error) from None
    period = body.payload.period.id
    return [ThinEvent(event_id=f"{body.event_name}:{period}:{body.occurred_at}"[:200], subject=period)]


def fetch(notice: ThinEvent, api: VendorApi) -> Sequence[Event]:
    """Ask what the period is now. The version is the time of asking; a period that is gone has ended."""
    ended = gone(notice, api)
    path = f"/v2/absence-periods/{notice.subject}"
    found = api.get(path)
    if found is None:
        return [ended]
    absence = read(_Absence, unwrapped(found))
    status = absence.approval.status
    state = known(STATES, status, "approval.status")
    dates = absence.dates()
    return [
        changed(
            ended,
            state=state,
            declined=status.strip().upper() == "REJECTED",
            email=None if state == "requested" else _address(absence.person.id, api),
            type_name=_type_name(absence.absence_type, api),
            days=_breakdown(path, api) if state == "approved" and dates["end"] else (),
            **dates,
        )
    ]


def _breakdown(path: str, api: VendorApi) -> list[DayOff]:
    """How much of each day is taken, as Personio counts it; nothing where it does not say."""
    days = []
    for page in _pages(f"{path}/breakdowns", api):
        for share in read(_Shares, page).shares:
            taken = share.effective_duration or _Effective()
            days.append(day_off(share.date, taken.value, taken.unit, "effective_duration.unit"))
    return days


def _type_name(kind: _Type | None, api: VendorApi) -> str | None:
    """The name of an absence type, its id where there is no name for it."""
    if kind is None:
        return None
    if kind.name or kind.id is None:
        return kind.name
    return api.name("absence-types", kind.id, lambda: _type_names(api)) or kind.id


def _type_names(api: VendorApi) -> dict[str, str]:
    pages = _pages("/v2/absence-types", api)
    types = [kind for page in pages for kind in read(_Types, page).types]
    return {kind.id: kind.name for kind in types if kind.id and kind.name}


def _pages(path: str, api: VendorApi) -> Iterator[Any]:
    """The pages of a list. Of the address of the next one only the path is taken: the host stays ours."""
    for _ in range(MOST_PAGES):
        page = api.get(path)
        if page is None:
            return
        yield page
        following = _next(page)
        if following is None:
            return
        path = following
    raise Unparseable("_meta.links.next: too many pages")


def _next(page: Any) -> str | None:
    node = page
    for name in ("_meta", "links", "next", "href"):
        node = node.get(name) if isinstance(node, Mapping) else None
    if not isinstance(node, str) or not node:
        return None
    parts = urlsplit(node)
    return f"{parts.path}?{parts.query}" if parts.query else parts.path


def _date(at: datetime | None) -> str | None:
    return at.date().isoformat() if at else None


def _address(person: str, api: VendorApi) -> str | None:
    return api.email(person, lambda: field(api.get(f"/v2/persons/{person}"), "email"))


def _form(credentials: Mapping[str, str]) -> Mapping[str, str]:
    return {
        "grant_type": "client_credentials",
        "client_id": credentials["clientId"],
        "client_secret": credentials["clientSecret"],
    }


VENDOR = Vendor(
    name="personio",
    title="Personio",
    families=("hris",),
    docs="https://developer.personio.de/reference/webhooks",
    signature="none: a token in `Authorization` or `X-Api-Key`",
    forwards="every `absence-period.*`, as Personio's API says it is now",
    ignores="requests, rejections, attendances, other events",
    direction="-",
    confidence="medium",
    # The token is sent verbatim: with `Bearer ` only where it was configured so.
    scheme=AnyOf(
        (
            HeaderToken("authorization"),
            HeaderToken("authorization", prefix="Bearer "),
            HeaderToken("x-api-key"),
        )
    ),
    parse=parse,
    settings=frozenset({"wholeDayHours"}),
    ack_seconds=3.0,
    api=Api(
        host="https://api.personio.de",
        fields=("clientId", "clientSecret"),
        oauth=OAuth(path="/v2/auth/token", form=_form),
    ),
    fetch=fetch,
    fresh={"occurred_at": "iso"},
)
