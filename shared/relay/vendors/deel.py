"""Deel: time off of employees and contractors.

Follows https://developer.deel.com/docs/webhooks-get-started and the pages `webhook-time-off-created`,
`-reviewed`, `-updated` and `-deleted` of https://developer.deel.com/api. Not confirmed on live traffic: the
body of `time-off.deleted` beyond its two keys, whether a delivery may carry several events, and when a
request stands under the id of its contract, which is read too.

An organization's time off is listed by
https://developer.deel.com/api/reference/endpoints/time-off/list-time-off-requests-for-organization: without
addresses, and with types by id, whose names are in the policies of whoever takes it. That a listed id is the
webhook's is not proven.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from pydantic import AliasChoices, Field, ValidationError

from relay.errors import Unparseable
from relay.events import Event, Ignored, LeaveChange, LeaveState, ThinEvent, Webhook, iso, read_json
from relay.vendors.support.base import Api, Vendor, VendorApi
from relay.vendors.support.fields import PathId, Payload, Text, day, known, version
from relay.vendors.support.leave_lists import in_window, listed
from relay.vendors.support.listing import LeaveList, Page, Window
from relay.vendors.support.pages import another, each_listed, entries_at, query, text_at
from relay.vendors.support.several import as_list, bounded, each
from relay.vendors.support.signatures import Hmac, Part
from relay.vendors.support.thin import first_text, unwrapped, with_address_of

STATES: dict[str, LeaveState] = {
    "requested": "requested",
    "approved": "approved",
    "used": "approved",
    "rejected": "ended",
    "canceled": "ended",
    "cancelled": "ended",
}
CHANGES = frozenset({"time-off.created", "time-off.reviewed", "time-off.updated"})
DELETED = "time-off.deleted"
TIME_OFFS = "/rest/v2/time_offs"
TIME_OFFS_A_PAGE = 100


class _Meta(Payload):
    event_type: str
    tracking_id: Text | None = None
    is_simulation: bool | None = False

    def ignored(self) -> str | None:
        """Why the event is of no use; None for one about time off."""
        if self.is_simulation:
            return "simulation"
        return None if self.event_type in (*CHANGES, DELETED) else "other_event"


class _Data(Payload):
    meta: _Meta
    resource: object = None


class _Body(Payload):
    data: _Data
    timestamp: str | None = None


class _Requester(Payload):
    work_email: str | None = None


class _Resource(Payload):
    id: Text = Field(validation_alias=AliasChoices("id", "time_off_id"))
    created_at: str | None = None
    updated_at: str | None = None
    start_date: str | None = None
    end_date: str | None = None
    status: str | None = None
    type: str | None = None
    requester: _Requester | None = None
    start_date_is_half_day: bool | None = Field(
        default=False, validation_alias=AliasChoices("start_date_is_half_day", "half_start_date")
    )
    end_date_is_half_day: bool | None = Field(
        default=False, validation_alias=AliasChoices("end_date_is_half_day", "half_end_date")
    )
    date_is_half_day: bool | None = False

    def email(self) -> str | None:
        """The work address of whoever asked for it, where it has one."""
        return (self.requester and self.requester.work_email) or None

    def details(self) -> dict[str, Any]:
        """Its days and its type, as a leave change has them."""
        return {
            "start": day(self.start_date),
            "end": day(self.end_date),
            "type_name": self.type,
            "first_day_part": bool(self.start_date_is_half_day or self.date_is_half_day),
            "last_day_part": bool(self.end_date_is_half_day or self.date_is_half_day),
        }


class _Profile(Payload):
    hris_profile_id: PathId | None = None


class _Listed(_Resource):
    time_off_type_id: Text | None = None
    recipient_profile: _Profile

    def profile(self) -> str:
        """Whose it is; somebody else may have asked for it. Raises `Unparseable` where it does not say so."""
        if self.recipient_profile.hris_profile_id is None:
            raise Unparseable("recipient_profile.hris_profile_id: missing")
        return self.recipient_profile.hris_profile_id


class _TimeOffType(Payload):
    id: Text
    name: str


class _Policy(Payload):
    time_off_types: list[_TimeOffType] = Field(default=[])


class _Policies(Payload):
    policies: list[_Policy]


@dataclass(frozen=True, slots=True)
class _Part:
    """What is read by itself: an event, or one of the requests that an event lists."""

    event: Any
    tracking_id: str = ""
    request: object = None
    is_listed: bool = False


def parse(webhook: Webhook) -> Sequence[Event]:
    """Each resource of each event as a leave change; other families and simulations are ignored."""
    payload = read_json(webhook.body)
    parts: list[_Part] = []
    for event in bounded(as_list(payload)):
        parts += _parts(event)
        # Each event may hold that many requests.
        bounded(parts)
    return each(parts, lambda part: _read(part, webhook), _alone, webhook.body, lambda part: part.tracking_id)


def _parts(event: Any) -> Sequence[_Part]:
    try:
        data = _Body.model_validate(event).data
    except ValidationError:
        # It is refused when it is read, like any other part.
        return [_Part(event)]
    tracking_id = data.meta.tracking_id or ""
    if data.meta.ignored() or not isinstance(data.resource, list):
        return [_Part(event, tracking_id)]
    return [_Part(event, tracking_id, request, is_listed=True) for request in bounded(data.resource)]


def _alone(parts: Sequence[_Part]) -> Any:
    """A payload of these parts: an event with those of its requests, or a list of such events."""
    events = [_event_of(list(some)) for _, some in groupby(parts, lambda part: id(part.event))]
    return events[0] if len(events) == 1 else events


def _event_of(parts: Sequence[_Part]) -> Any:
    event = parts[0].event
    if not parts[0].is_listed:
        return event
    requests = [part.request for part in parts]
    resource = requests[0] if len(requests) == 1 else requests
    return {**event, "data": {**event["data"], "resource": resource}}


def _read(part: _Part, webhook: Webhook) -> Event:
    body = _Body.model_validate(part.event)
    if reason := body.data.meta.ignored():
        return Ignored(event_id=part.tracking_id, reason=reason)
    resource = part.request if part.is_listed else body.data.resource
    return _change(_Resource.model_validate(_request(resource)), body, webhook)


def _request(resource: object) -> object:
    """The request itself, where it stands alone under the id of its contract."""
    if not isinstance(resource, Mapping) or _is_request(resource):
        return resource
    inner = [value for value in resource.values() if _is_request(value)]
    return inner[0] if len(inner) == 1 else resource


def _is_request(found: object) -> bool:
    return isinstance(found, Mapping) and ("id" in found or "time_off_id" in found)


def _change(leave: _Resource, body: _Body, webhook: Webhook) -> LeaveChange:
    meta = body.data.meta
    sent = version(body.timestamp) or iso(webhook.received_at)
    if meta.event_type == DELETED:
        # A deleted request may still say that it is approved, and when that was.
        status, changed = "canceled", sent
    else:
        status, changed = leave.status or "", version(leave.updated_at) or sent
    # Of two events with one `updated_at` the one that was sent later counts.
    return LeaveChange(
        # One delivery, and its `tracking_id`, may hold several requests.
        event_id=f"{meta.tracking_id or meta.event_type}:{leave.id}",
        leave_id=leave.id,
        state=known(STATES, status, "data.resource.status"),
        declined=_is_declined(status),
        version=f"{changed}/{sent}",
        email=leave.email(),
        **leave.details(),
    )


def _is_declined(status: str) -> bool:
    return status.strip().lower() == "rejected"


def page(api: VendorApi, window: Window, following: str | None) -> Page:
    """A page of the organization's time off; `following` is the cursor of the next one.

    How much of each day is taken is there too, and is not read: webhooks do not have it, and each leave
    would differ from them.
    """
    first, last = f"{window.first}T00:00:00Z", f"{window.last}T23:59:59Z"
    asked = query(start_date=first, end_date=last, page_size=TIME_OFFS_A_PAGE, next=following)
    answer = api.get(TIME_OFFS + asked)
    entries = entries_at(answer, "data")
    events = each_listed(entries, lambda entry: _listed(_Listed.model_validate(entry), window, api))
    return Page(in_window(window, events), another(_next(answer), following))


def _listed(leave: _Listed, window: Window, api: VendorApi) -> Event:
    status, name = leave.status or "", _type_name(leave, api)
    change = LeaveChange(
        event_id="list",
        leave_id=leave.id,
        state=known(STATES, status, "status"),
        declined=_is_declined(status),
        version=iso(window.began),
        type_unnamed=None if name else True,
        **{**leave.details(), "type_name": name or leave.time_off_type_id},
    )
    return listed(change, leave.profile())


def _next(answer: Any) -> str | None:
    """The cursor of the next page, None after the last one; raises `Unparseable` where it is missing."""
    cursor = text_at(answer, "next")
    more = answer.get("has_next_page")
    if more is None and "next" not in answer:
        raise Unparseable("list: neither has_next_page nor next")
    if more and cursor is None:
        raise Unparseable("list: no next")
    return None if more is False else cursor


def _type_name(leave: _Listed, api: VendorApi) -> str | None:
    """The name of its type; None where there is no name for it.

    Names are kept by type: they are in the policies of people, and no two need to have the same ones.
    """
    kind = leave.time_off_type_id
    if leave.type or kind is None:
        return leave.type
    return api.name(f"time-off-type-{kind}", kind, lambda: _type_names(leave.profile(), api))


def _type_names(profile: str, api: VendorApi) -> dict[str, str]:
    found = api.get(f"{TIME_OFFS}/profile/{profile}/policies")
    if found is None:
        return {}
    policies = _Policies.model_validate(found).policies
    return {kind.id: kind.name for policy in policies for kind in policy.time_off_types}


def fetch(thin: ThinEvent, api: VendorApi) -> Sequence[Event]:
    """Ask for the work address of whoever takes listed time off."""
    return with_address_of(thin, lambda profile: api.email(profile, lambda: _work_email(profile, api)))


def _work_email(profile: str, api: VendorApi) -> str | None:
    person = unwrapped(api.get(f"/rest/v2/people/{profile}"))
    emails = person.get("emails") if isinstance(person, Mapping) else None
    for email in emails if isinstance(emails, list) else []:
        if text_at(email, "type") == "work":
            return first_text(email, "value")
    return first_text(person, "work_email")


def _headers(credentials: Mapping[str, str]) -> Mapping[str, str]:
    return {"authorization": f"Bearer {credentials['apiToken']}"}


VENDOR = Vendor(
    name="deel",
    title="Deel",
    families=("hris",),
    docs="https://developer.deel.com/docs/webhooks-get-started",
    signature="`x-deel-signature`, HMAC-SHA256 over `POST` + body",
    forwards="approved, changed, cancelled and deleted time off",
    ignores="requests, refusals, simulations, other events",
    direction="-",
    confidence="high",
    scheme=Hmac(header="x-deel-signature", layout=(b"POST", Part.BODY)),
    parse=parse,
    # Only listing needs the token: webhooks have all that they need.
    api=Api(host="https://api.letsdeel.com", fields=(), optional=("apiToken",), headers=_headers),
    fetch=fetch,
    # Time off of people who have left is not listed either: what is lacking may be theirs.
    lists=LeaveList(page=page, version="asked", lacks="nothing", needs=("apiToken",)),
    fresh={"data.meta.tracking_id": "id", "data.resource.updated_at": "iso", "timestamp": "iso"},
    subjects={
        "data.resource.requester.work_email": "person",
        "data.resource.*.requester.work_email": "person",
        "data.resource.id": "leave",
        "data.resource.*.id": "leave",
    },
)
