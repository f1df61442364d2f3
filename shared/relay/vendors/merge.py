"""Merge.dev: time off of whichever HRIS is linked through it.

Follows https://docs.merge.dev/basics/webhooks/merge-webhooks and the model `TimeOff` of
https://docs.merge.dev/hris/time-off. `status` and `remote_was_deleted` decide, not the event's suffix. The
employee's address is asked of Merge's API, unless the employee comes expanded. Not confirmed on live traffic:
how Merge repeats deliveries, and statuses that it could not map, which become dead letters.
"""

from collections.abc import Mapping, Sequence

from pydantic import BaseModel, ValidationError

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
from relay.vendors.common import WHOLE_DAY_HOURS, PathId, about, addressed, day, version

STATES: dict[str, LeaveState] = {
    "REQUESTED": "requested",
    "APPROVED": "approved",
    "DECLINED": "ended",
    "CANCELLED": "ended",
    "DELETED": "ended",
}


class _Hook(BaseModel):
    event: str


class _Account(BaseModel):
    id: str = ""


class _Head(BaseModel):
    hook: _Hook
    linked_account: _Account | None = None


class _Employee(BaseModel):
    id: PathId
    work_email: str | None = None


class _TimeOff(BaseModel):
    id: PathId
    employee: PathId | _Employee | None = None
    status: str | None = None
    units: str | None = None
    amount: float | None = None
    request_type: str | None = None
    start_time: str | None = None
    end_time: str | None = None
    modified_at: str | None = None
    remote_was_deleted: bool | None = False

    def state(self) -> LeaveState:
        """The state by deletion, else by status; raises `Unparseable` for any other."""
        if self.remote_was_deleted:
            return "ended"
        if (status := (self.status or "").upper()) not in STATES:
            raise Unparseable("data.status: unknown")
        return STATES[status]

    def is_part_day(self) -> bool:
        """Whether it is part of one day: less than a day, or too few hours."""
        whole = WHOLE_DAY_HOURS if (self.units or "").upper() == "HOURS" else 1.0
        return day(self.start_time) == day(self.end_time) and 0 < (self.amount or 0) < whole


class _Body(_Head):
    data: _TimeOff


def parse(webhook: Webhook) -> Sequence[Event]:
    """`TimeOff.*` as a leave change; other models are ignored."""
    payload = read_json(webhook.body)
    try:
        head = _Head.model_validate(payload)
        if head.hook.event.partition(".")[0] != "TimeOff":
            return [Ignored(reason="other_event")]
        leave = _Body.model_validate(payload).data
        account = head.linked_account.id if head.linked_account else ""
        changed = version(leave.modified_at) or iso(webhook.received_at)
        employee = leave.employee
        known = employee if isinstance(employee, _Employee) else None
        change = LeaveChange(
            event_id=f"{account}:{head.hook.event}:{leave.id}:{changed}"[:200],
            leave_id=leave.id,
            state=leave.state(),
            declined=leave.state() == "ended" and (leave.status or "").upper() in ("DECLINED", "REQUESTED"),
            version=changed,
            email=(known and known.work_email) or None,
            start=day(leave.start_time),
            end=day(leave.end_time),
            open_ended=bool(leave.start_time) and leave.end_time is None,
            type_name=leave.request_type,
            every_day_part=leave.is_part_day(),
        )
    except ValidationError as error:
        raise unparseable(error) from None
    return [about(known.id if known else employee if isinstance(employee, str) else None, change)]


def fetch(notice: Notice, api: VendorApi) -> Sequence[Event]:
    """Ask for the employee's work address."""
    return addressed(notice, api, f"/api/hris/v1/employees/{notice.employee}", "work_email")


def _headers(credentials: Mapping[str, str]) -> Mapping[str, str]:
    return {
        "authorization": f"Bearer {credentials['apiKey']}",
        "x-account-token": credentials["accountToken"],
    }


VENDOR = Vendor(
    name="merge",
    title="Merge.dev",
    families=("hris",),
    docs="https://docs.merge.dev/basics/webhooks/merge-webhooks",
    signature="`X-Merge-Webhook-Signature`, HMAC-SHA256, base64url",
    forwards="`TimeOff.*`: approved, changed, declined, cancelled and deleted time off",
    ignores="requests, other models",
    direction="-",
    confidence="high",
    scheme=Hmac(header="x-merge-webhook-signature", encoding="base64url"),
    parse=parse,
    api=Api(host="https://api.merge.dev", fields=("apiKey", "accountToken"), headers=_headers),
    fetch=fetch,
    fresh={"data.modified_at": "iso"},
)
