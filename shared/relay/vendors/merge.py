"""Merge.dev: time off of whichever HRIS is linked through it.

Follows https://docs.merge.dev/basics/webhooks/merge-webhooks and the model `TimeOff` of
https://docs.merge.dev/hris/time-off. `status` and `remote_was_deleted` decide, not the event's suffix. The
employee's address is asked of Merge's API, unless the employee comes expanded. A failed delivery is repeated
twice, and never after a 4xx. Not confirmed on live traffic: statuses that Merge could not map, which become
dead letters.
"""

from collections.abc import Mapping, Sequence

from pydantic import BaseModel

from relay.events import Amount, Event, Ignored, LeaveChange, LeaveState, ThinEvent, Webhook, iso, read_json
from relay.vendors.support.base import Api, Vendor, VendorApi
from relay.vendors.support.fields import UNITS, PathId, day, known, version
from relay.vendors.support.signatures import Hmac
from relay.vendors.support.thin import thin_without_address, with_address

STATES: dict[str, LeaveState] = {
    "requested": "requested",
    "approved": "approved",
    "declined": "ended",
    "cancelled": "ended",
    "deleted": "ended",
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

    def of(self) -> _Employee | None:
        """Whose it is, with an address only where Merge was asked to expand the employee."""
        return _Employee(id=self.employee) if isinstance(self.employee, str) else self.employee

    def state(self) -> LeaveState:
        """The state by deletion, else by status; raises `Unparseable` for any other."""
        if self.remote_was_deleted:
            return "ended"
        return known(STATES, self.status, "data.status")

    def was_never_approved(self) -> bool:
        """Whether this is the end of a request that nobody had approved."""
        return self.state() == "ended" and (self.status or "").strip().upper() in ("DECLINED", "REQUESTED")

    def total(self) -> Amount | None:
        """How much is taken in all, where it says so; raises `Unparseable` for a unit that is none."""
        if not self.amount or self.amount < 0:
            return None
        return Amount(value=self.amount, unit=known(UNITS, self.units, "data.units"))


class _Body(_Head):
    data: _TimeOff


def parse(webhook: Webhook) -> Sequence[Event]:
    """`TimeOff.*` as a leave change; other models are ignored."""
    payload = read_json(webhook.body)
    head = _Head.model_validate(payload)
    if head.hook.event.partition(".")[0] != "TimeOff":
        return [Ignored(reason="other_event")]
    leave = _Body.model_validate(payload).data
    account = head.linked_account.id if head.linked_account else ""
    changed = version(leave.modified_at) or iso(webhook.received_at)
    employee = leave.of()
    change = LeaveChange(
        event_id=f"{account}:{head.hook.event}:{leave.id}:{changed}"[:200],
        leave_id=leave.id,
        state=leave.state(),
        declined=leave.was_never_approved(),
        version=changed,
        email=(employee and employee.work_email) or None,
        start=day(leave.start_time),
        end=day(leave.end_time),
        open_ended=bool(leave.start_time) and leave.end_time is None,
        type_name=leave.request_type,
        total=leave.total(),
    )
    return [thin_without_address(change, employee.id if employee else None)]


def fetch(thin: ThinEvent, api: VendorApi) -> Sequence[Event]:
    """Ask for the employee's work address."""
    return with_address(thin, api, f"/api/hris/v1/employees/{thin.employee}", "work_email")


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
    settings=frozenset({"wholeDayHours"}),
    api=Api(host="https://api.merge.dev", fields=("apiKey", "accountToken"), headers=_headers),
    fetch=fetch,
    fresh={"data.modified_at": "iso"},
)
