"""Personio: absence periods. Its webhook is thin: the period and the person are asked of Personio's API.

Follows https://developer.personio.de/docs/attendance-and-absence-events,
https://developer.personio.de/reference/webhooks and
https://developer.personio.de/reference/get_v2-absence-periods. Both spellings of the payload's key are read
(`absence_period`, `absence-period`). An end at midnight is the end of the day before. What is taken of each
day is asked of `/breakdowns`; where there is none, the halves of the first and last day and the clock say it.
A type has a name in `/v2/absence-types` only. The periods are listed in the same form. Not confirmed on live
traffic: a half day, and whether an answer is wrapped in `data` or `_data`.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AliasChoices, BeforeValidator, Field, ValidationError

from relay.errors import Unparseable
from relay.events import DayOff, Event, Ignored, LeaveState, ThinEvent, Webhook, read_json
from relay.vendors.support.base import Api, OAuth, Vendor, VendorApi
from relay.vendors.support.fields import PathId, Payload, day_off, hours, known, without_blanks
from relay.vendors.support.fixed_tokens import HeaderToken
from relay.vendors.support.leave_lists import in_window, listed_leave, overlaps
from relay.vendors.support.listing import LeaveList, Page, Window
from relay.vendors.support.pages import another, each_listed, entries_at, query
from relay.vendors.support.proof import AnyOf
from relay.vendors.support.thin import (
    LeaveNow,
    address_at,
    has_ended,
    leave_now,
    segment,
    unwrapped,
    with_address,
)

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
PERIODS_A_PAGE = 50
"""Personio lists up to 100. Each approved period takes one more call, for what is taken of its days."""
PERIODS = "/v2/absence-periods"


class _Head(Payload):
    event_name: str


class _Period(Payload):
    id: PathId


class _Payload(Payload):
    period: _Period = Field(validation_alias=AliasChoices("absence_period", "absence-period"))


class _Body(Payload):
    event_name: str
    occurred_at: str = ""
    payload: _Payload


Local = Annotated[datetime, BeforeValidator(without_blanks)]
"""The employee's own time of day; a zone behind it is not applied."""


class _Moment(Payload):
    date_time: Local | None = None
    type: str | None = None

    def local(self) -> datetime | None:
        """The time without its zone."""
        return self.date_time and self.date_time.replace(tzinfo=None)

    def has_time(self) -> bool:
        """Whether it names a time of day: midnight is none."""
        return self.date_time is not None and not _is_midnight(self.date_time)

    def begins_late(self) -> bool:
        """Whether leave that starts here leaves the morning of its first day; raises `Unparseable`."""
        if self.date_time and self.date_time.hour >= NOON:
            return True
        return known(HALVES, self.type, "starts_from.type") == "second"

    def ends_early(self) -> bool:
        """Whether leave that ends here leaves the afternoon of its last day; raises `Unparseable`."""
        if self.date_time and self.has_time() and self.date_time.hour <= NOON:
            return True
        return known(HALVES, self.type, "ends_at.type") == "first"


class _Id(Payload):
    id: PathId


class _Type(Payload):
    id: PathId | None = None
    name: str | None = None


class _Approval(Payload):
    status: str


class _Absence(Payload):
    person: _Id
    absence_type: _Type | None = None
    starts_from: _Moment
    ends_at: _Moment | None = None
    approval: _Approval

    def dates(self) -> dict[str, Any]:
        """Its first and last day, and what is taken of them, as a leave change has it."""
        first, last = self.starts_from, self.ends_at or _Moment()
        start, end = first.local(), last.local()
        if start is None or end is None:
            return {"start": _date(start), "end": None, "open_ended": end is None}
        # A midnight is the end of the day before.
        final = end - ONE_DAY if _is_midnight(end) and end > start else end
        found: dict[str, Any] = {"start": _date(start), "end": _date(final)}
        # Of several days two times do not say how much of each is taken.
        if first.has_time() and last.has_time() and start.date() == final.date():
            found["each_day"] = hours(max((end - start).total_seconds() / 3600, 0))
        else:
            found["first_day_part"] = first.begins_late()
            found["last_day_part"] = last.ends_early()
        return found


class _Listed(_Absence):
    id: PathId


class _Effective(Payload):
    unit: str | None = None
    value: float | None = None


class _Share(Payload):
    date: str
    effective_duration: _Effective | None = None

    def says_how_much(self) -> bool:
        """Whether it says how much of its day is taken."""
        return self.effective_duration is not None and self.effective_duration.value is not None

    def day_off(self) -> DayOff:
        """How much of its day is taken: all where it does not say. Raises `Unparseable`."""
        taken = self.effective_duration
        if taken is None or taken.value is None:
            return day_off(self.date, 1, "days", "effective_duration.unit")
        return day_off(self.date, taken.value, taken.unit, "effective_duration.unit")


class _Shares(Payload):
    shares: list[_Share] = Field(validation_alias=AliasChoices("_data", "data"))


class _Types(Payload):
    types: list[_Type] = Field(validation_alias=AliasChoices("_data", "data"))


def parse(webhook: Webhook) -> Sequence[Event]:
    """A thin event for each event of an absence period; attendances and persons are ignored."""
    payload = read_json(webhook.body)
    if _Head.model_validate(payload).event_name not in EVENTS:
        return [Ignored(reason="other_event")]
    body = _Body.model_validate(payload)
    period = body.payload.period.id
    return [ThinEvent(event_id=f"{body.event_name}:{period}:{body.occurred_at}"[:200], subject=period)]


def fetch(thin: ThinEvent, api: VendorApi) -> Sequence[Event]:
    """Ask what the period is now; of one that was listed, only for the person's address."""
    if thin.change is not None:
        return with_address(thin, api, _person(thin.employee or ""), "email")
    path = f"{PERIODS}/{thin.subject}"
    return leave_now(thin, api, path, lambda found: _leave(_Absence.model_validate(found), path, api))


def _leave(absence: _Absence, path: str, api: VendorApi) -> LeaveNow:
    """What a period at a path is, of which type it is, and what is taken of each of its days."""
    status = absence.approval.status
    state = known(STATES, status, "approval.status")
    dates = absence.dates()
    type_name = _type_name(absence.absence_type, api)
    # A question for each period: only of those whose days are sent.
    days = _breakdown(path, api) if state == "approved" and dates["end"] else []
    return LeaveNow(
        state=state,
        declined=status.strip().upper() == "REJECTED",
        address=lambda: _address(absence.person.id, api),
        details={**dates, "days": days, "type_name": type_name},
    )


def page(api: VendorApi, window: Window, following: str | None) -> Page:
    """A page of the periods; `following` is the path of the next one."""
    path = following or PERIODS + _first_query(window)
    answer = api.get(path)
    entries = [entry for entry in entries_at(answer, "_data") if _may_overlap(entry, window)]

    def read(entry: Any) -> Event:
        absence = _Listed.model_validate(entry)
        leave = _leave(absence, f"{PERIODS}/{absence.id}", api)
        return listed_leave(absence.id, leave, window, absence.person.id)

    events = in_window(window, each_listed(entries, read))
    return Page(events, another(_next(answer), path))


def _first_query(window: Window) -> str:
    """The window, and a day more on both sides: a period's times have no zone."""
    first, last = window.first - ONE_DAY, window.last + ONE_DAY
    limits = {
        "ends_at.date_time.gte": f"{first}T00:00:00Z",
        "starts_from.date_time.lte": f"{last}T23:59:59Z",
    }
    return query(**limits, limit=PERIODS_A_PAGE)


def _may_overlap(entry: Any, window: Window) -> bool:
    """Whether an entry is worth more questions: one of other days is not, one that cannot be read may be."""
    try:
        dates = _Absence.model_validate(entry).dates()
    except (ValidationError, Unparseable):
        return True
    return overlaps(window, dates["start"], dates["end"])


def knows(api: VendorApi, leave_id: str) -> bool:
    """Whether there still is a period: a deleted one is gone, a rejected one stays as such."""
    found = unwrapped(api.get(f"{PERIODS}/{segment(leave_id)}"))
    approval = found.get("approval") if isinstance(found, Mapping) else None
    return found is not None and not has_ended(approval, STATES)


def _breakdown(path: str, api: VendorApi) -> list[DayOff]:
    """How much of each day is taken, as Personio counts it; nothing where it says so of none."""
    pages = _pages(f"{path}/breakdowns", api)
    shares = [share for page in pages for share in _Shares.model_validate(page).shares]
    if not any(share.says_how_much() for share in shares):
        return []
    return [share.day_off() for share in shares]


def _type_name(kind: _Type | None, api: VendorApi) -> str | None:
    """The name of an absence type, its id where there is no name for it."""
    if kind is None:
        return None
    if kind.name or kind.id is None:
        return kind.name
    return api.name("absence-types", kind.id, lambda: _type_names(api)) or kind.id


def _type_names(api: VendorApi) -> dict[str, str]:
    names = {}
    for page in _pages("/v2/absence-types", api):
        for kind in _Types.model_validate(page).types:
            if kind.id and kind.name:
                names[kind.id] = kind.name
    return names


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
    for name in ("_meta", "links", "next"):
        node = node.get(name) if isinstance(node, Mapping) else None
    # Some links are the address itself.
    href = node.get("href") if isinstance(node, Mapping) else node
    if not isinstance(href, str) or not href:
        return None
    try:
        parts = urlsplit(href)
    except ValueError:
        raise Unparseable("_meta.links.next.href: no address") from None
    # Without a path of its own the list would end here, as if it were whole.
    if not parts.path.strip("/"):
        raise Unparseable("_meta.links.next.href: no path")
    path = f"/{parts.path.lstrip('/')}"
    return f"{path}?{parts.query}" if parts.query else path


def _is_midnight(at: datetime) -> bool:
    return (at.hour, at.minute, at.second) == (0, 0, 0)


def _date(at: datetime | None) -> str | None:
    return at.date().isoformat() if at else None


def _address(person: str, api: VendorApi) -> str | None:
    return address_at(_person(person), person, api, "email")


def _person(person: str) -> str:
    return f"/v2/persons/{person}"


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
    # Personio gives up after three seconds, and tries again for three days.
    ack_seconds=3.0,
    api=Api(
        host="https://api.personio.de",
        fields=("clientId", "clientSecret"),
        oauth=OAuth(path="/v2/auth/token", form=_form),
    ),
    fetch=fetch,
    lists=LeaveList(page=page, version="asked", lacks="nothing", knows=knows),
    fresh={"occurred_at": "iso"},
)
