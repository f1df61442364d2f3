"""HiBob: time-off requests. Its webhook is thin: what a request became is asked of HiBob's API.

Follows https://apidocs.hibob.com/reference/time-off-events-v2,
https://apidocs.hibob.com/reference/time-off-webhook-events (v1) and
https://apidocs.hibob.com/reference/get_timeoff-employees-id-requests-requestid. Not confirmed on live
traffic: whether the ping is signed, and the whole answer of the single-request GET.
"""

import base64
from collections.abc import Mapping, Sequence

from pydantic import AliasChoices, BaseModel, Field, ValidationError

from relay.errors import Unparseable
from relay.events import (
    Event,
    Ignored,
    LeaveChange,
    LeaveState,
    Notice,
    Webhook,
    iso,
    read_json,
    unparseable,
)
from relay.signatures import Hmac
from relay.vendors.base import Api, Vendor, VendorApi
from relay.vendors.common import PathId, changed

CHANGES = frozenset(
    f"timeoff.request.{name}"
    for name in ("requested", "approved", "declined", "cancelled", "deleted", "updated", "imported")
)
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
WHOLE_DAY_TYPES = frozenset({"days", "openEnded"})


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


class _Request(BaseModel):
    status: str | None = None
    approved: bool | None = None
    start_date: str | None = Field(default=None, alias="startDate")
    start_portion: str | None = Field(default=None, alias="startPortion")
    end_date: str | None = Field(default=None, alias="endDate")
    end_portion: str | None = Field(default=None, alias="endPortion")
    kind: str = Field(default="days", validation_alias=AliasChoices("type", "requestRangeType"))
    policy: str | None = Field(default=None, alias="policyTypeDisplayName")
    email: str | None = Field(default=None, alias="employeeEmail")

    def state(self) -> LeaveState:
        """The state by `status`, else by `approved`; raises `Unparseable` for a status never documented."""
        status = (self.status or ("approved" if self.approved else "")).lower()
        if status not in STATES:
            raise Unparseable("status: unknown")
        return STATES[status]


def parse(webhook: Webhook) -> Sequence[Event]:
    """A notice for each time-off event, of either version; every other event is ignored."""
    payload = read_json(webhook.body)
    try:
        kind = _Head.model_validate(payload).type
        if kind not in CHANGES:
            return [Ignored(reason="other_event")]
        v2 = _V2.model_validate(payload if "data" in payload else {"data": payload})
    except ValidationError as error:
        raise unparseable(error) from None
    data = v2.data
    return [
        Notice(
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


def fetch(notice: Notice, api: VendorApi) -> Sequence[Event]:
    """Ask what the request is now. The version is the time of asking; a request that is gone has ended."""
    asked = iso(api.now())
    found = api.get(f"/v1/timeoff/employees/{notice.employee}/requests/{notice.subject}")
    ended = LeaveChange(
        event_id=notice.event_id,
        leave_id=notice.subject,
        state="ended",
        version=asked,
        replaces=notice.replaces,
    )
    if found is None:
        return [ended]
    try:
        request = _Request.model_validate(found)
        state = request.state()
    except ValidationError as error:
        raise unparseable(error) from None
    return [
        changed(
            ended,
            state=state,
            declined=(request.status or "").lower() in ("declined", "rejected"),
            email=None if state == "requested" else request.email or _address(notice, api),
            start=request.start_date and request.start_date[:10],
            end=request.end_date and request.end_date[:10],
            open_ended=request.kind == "openEnded",
            type_name=request.policy,
            first_day_part=(request.start_portion or "all_day") != "all_day",
            last_day_part=(request.end_portion or "all_day") != "all_day",
            every_day_part=request.kind not in WHOLE_DAY_TYPES,
        )
    ]


def _address(notice: Notice, api: VendorApi) -> str | None:
    return api.email(notice.employee or "", lambda: _email(notice.employee or "", api))


def _email(employee_id: str, api: VendorApi) -> str | None:
    """The employee's e-mail address: the plain GET, else the field search that replaces it."""
    path = f"/v1/people/{employee_id}"
    found = api.get(path, absent=(404, 405, 410))
    if not isinstance(found, dict):
        found = api.post(path, {"fields": ["root.email"]})
    email = (found.get("email") or found.get("/root/email")) if isinstance(found, dict) else None
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
    is_ping=is_ping,
    api=Api(
        host="https://api.hibob.com",
        fields=("serviceUserId", "serviceUserToken"),
        headers=_authorization,
    ),
    fetch=fetch,
    fresh={"triggeredAt": "iso"},
)
