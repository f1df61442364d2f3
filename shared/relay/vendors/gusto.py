"""Gusto Embedded: time-off requests. Its webhook is thin: the request and the employee are asked of the API.

Follows https://docs.gusto.com/embedded-payroll/docs/webhooks,
https://docs.gusto.com/embedded-payroll/docs/time-off-request-events and
https://docs.gusto.com/embedded-payroll/docs/time-off-requests. The first POST hands over the
`verification_token`, with which all later ones are signed. An access token ends after two hours and a refresh
token with the first use of the access token that came with the next one. A request names its days one by one,
each with its hours, and its type as `policy_type`. A company's requests are listed in the same form. Not
confirmed on live traffic: the whole answer of the GETs.
"""

import json
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

from pydantic import AliasChoices, Field

from relay.errors import Unparseable
from relay.events import DayOff, Event, Ignored, LeaveState, ThinEvent, Webhook, read_json
from relay.vendors.support.base import Api, OAuth, Vendor, VendorApi
from relay.vendors.support.fields import PathId, Payload, day_off, known
from relay.vendors.support.leave_lists import in_window, listed_leave
from relay.vendors.support.listing import LeaveList, Page, Window
from relay.vendors.support.pages import all_entries, each_listed, query
from relay.vendors.support.signatures import Hmac
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
    f"time_off_request.{name}" for name in ("created", "updated", "deleted", "approved", "declined")
)
STATES: dict[str, LeaveState] = {
    "pending": "requested",
    "approved": "approved",
    "consumed": "approved",
    "declined": "ended",
    "deleted": "ended",
}
REQUESTS = "/v1/time_off/requests"
REQUESTS_A_PAGE = 100
ADDRESSES = ("work_email", "email")
"""The fields of an employee's address, the better one first."""


class _Head(Payload):
    event_type: str
    uuid: str = Field(default="", max_length=100)


class _Body(_Head):
    entity_uuid: PathId


class _Employee(Payload):
    uuid: PathId


class _Request(Payload):
    status: str
    days: dict[str, float] = Field(default={})
    type_name: str | None = Field(default=None, validation_alias=AliasChoices("policy_type", "request_type"))
    employee: _Employee | None = None
    employee_uuid: PathId | None = None

    def employee_id(self) -> str:
        """Whose request it is; raises `Unparseable` where it does not say so."""
        found = self.employee.uuid if self.employee else self.employee_uuid
        if found is None:
            raise Unparseable("employee.uuid: missing")
        return found

    def days_off(self) -> list[DayOff]:
        """Its days one by one, each with its hours."""
        return [day_off(on, hours, "hours", "days") for on, hours in self.days.items()]


class _Listed(_Request):
    uuid: PathId


def parse(webhook: Webhook) -> Sequence[Event]:
    """A thin event for each event of a time-off request; every other one is ignored."""
    payload = read_json(webhook.body)
    head = _Head.model_validate(payload)
    if head.event_type not in EVENTS:
        return [Ignored(event_id=head.uuid, reason="other_event")]
    body = _Body.model_validate(payload)
    return [
        ThinEvent(event_id=body.uuid or f"{body.event_type}:{body.entity_uuid}", subject=body.entity_uuid)
    ]


def handshake(body: bytes) -> str | None:
    """The token of a body that hands one over and says nothing else."""
    # Nobody has signed it: nothing larger is parsed.
    if len(body) > 1000 or b"verification_token" not in body:
        return None
    try:
        found = read_json(body)
    except Unparseable:
        return None
    # A body that says anything else is an event, and has to be proven.
    token = found.get("verification_token") if isinstance(found, dict) and len(found) == 1 else None
    if not isinstance(token, str) or not 0 < len(token) <= 200:
        return None
    # It is shown to whoever confirms it, and half a surrogate pair could not even be kept.
    return token if token.isascii() and token.isprintable() else None


def fetch(thin: ThinEvent, api: VendorApi) -> Sequence[Event]:
    """Ask what the request is now; of one that was listed, only for the employee's address."""
    if thin.change is not None:
        return with_address(thin, api, _employee(thin.employee or ""), *ADDRESSES)
    path = f"{REQUESTS}/{thin.subject}"
    return leave_now(thin, api, path, lambda found: _leave(_Request.model_validate(found), api))


def _leave(request: _Request, api: VendorApi) -> LeaveNow:
    return LeaveNow(
        state=known(STATES, request.status, "status"),
        declined=request.status.strip().lower() == "declined",
        address=lambda: _address(request.employee_id(), api),
        details={"days": request.days_off(), "type_name": request.type_name},
    )


def page(api: VendorApi, window: Window, following: str | None) -> Page:
    """A page of the company's requests; `following` is the next one's number, and a digest of this one.

    How many pages there are is in a header, and a page may be shorter than it was asked for: the last one is
    the one after which there is nothing. The digest tells an API that gives one page again and again.
    """
    number, _, before = (following or "1:").partition(":")
    days = {"start_date": window.first.isoformat(), "end_date": window.last.isoformat()}
    asked = query(**days, page=number, per=REQUESTS_A_PAGE)
    entries = all_entries(api.get(f"/v1/companies/{api.setting('companyUuid')}/time_off/requests{asked}"))
    if not entries:
        return Page([])
    digest = sha256(json.dumps(entries).encode()).hexdigest()[:16]
    if digest == before:
        raise Unparseable("list: a page is the one before")

    def read(entry: Any) -> Event:
        request = _Listed.model_validate(entry)
        return listed_leave(request.uuid, _leave(request, api), window, request.employee_id())

    events = in_window(window, each_listed(entries, read, key="uuid"))
    return Page(events, f"{int(number) + 1}:{digest}")


def knows(api: VendorApi, leave_id: str) -> bool:
    """Whether there still is a request: a deleted one is gone, or stays as such."""
    found = unwrapped(api.get(f"{REQUESTS}/{segment(leave_id)}"))
    return found is not None and not has_ended(found, STATES)


def _address(employee: str, api: VendorApi) -> str | None:
    return address_at(_employee(employee), employee, api, *ADDRESSES)


def _employee(employee: str) -> str:
    return f"/v1/employees/{employee}"


def _headers(credentials: Mapping[str, str]) -> Mapping[str, str]:
    """An access token that stands alone; it ends after two hours."""
    # With a refresh token a granted one is sent, which does not end after two hours.
    if "refreshToken" in credentials or "accessToken" not in credentials:
        return {}
    return {"authorization": f"Bearer {credentials['accessToken']}"}


def _form(credentials: Mapping[str, str]) -> Mapping[str, str]:
    return {
        "client_id": credentials["clientId"],
        "client_secret": credentials["clientSecret"],
        "refresh_token": credentials["refreshToken"],
        "grant_type": "refresh_token",
    }


VENDOR = Vendor(
    name="gusto",
    title="Gusto Embedded",
    families=("hris",),
    docs="https://docs.gusto.com/embedded-payroll/docs/time-off-request-events",
    signature="`X-Gusto-Signature`, HMAC-SHA256 with the verification token",
    forwards="every `time_off_request.*`, as Gusto's API says it is now",
    ignores="requests, refusals, other events",
    direction="-",
    confidence="medium",
    scheme=Hmac(header="x-gusto-signature"),
    parse=parse,
    settings=frozenset({"wholeDayHours"}),
    ack_seconds=10.0,
    handshake=handshake,
    api=Api(
        host="https://api.gusto.com",
        fields=("clientId", "clientSecret", "refreshToken"),
        optional=("companyUuid",),
        instead=("accessToken",),
        headers=_headers,
        oauth=OAuth(path="/oauth/token", form=_form),
    ),
    fetch=fetch,
    lists=LeaveList(page=page, version="asked", lacks="nothing", knows=knows, needs=("companyUuid",)),
    fresh={"uuid": "id", "timestamp": "seconds"},
)
