"""Merge.dev: time off of whichever HRIS is linked through it.

Follows https://docs.merge.dev/basics/webhooks/merge-webhooks and the model `TimeOff` of
https://docs.merge.dev/hris/time-off. `status` and `remote_was_deleted` decide, not the event's suffix. The
employee's address is asked of Merge's API, unless the employee comes expanded. A failed delivery is repeated
twice, and never after a 4xx. The list, https://docs.merge.dev/hris/time-off/#timeoff_list, has the same model
with the same time of change; it goes by the end of leave, so what has begun later is left out here. Not
confirmed on live traffic: statuses that Merge could not map, which become dead letters.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from relay.events import Amount, Event, Ignored, LeaveChange, LeaveState, ThinEvent, Webhook, iso, read_json
from relay.vendors.support.base import Api, Vendor, VendorApi
from relay.vendors.support.fields import UNITS, PathId, Payload, day, known, version
from relay.vendors.support.leave_lists import in_window, listed
from relay.vendors.support.listing import LeaveList, Page, Window
from relay.vendors.support.pages import another, cursor_at, each_listed, entries_at, query
from relay.vendors.support.signatures import Hmac
from relay.vendors.support.thin import thin_without_address, with_address

STATES: dict[str, LeaveState] = {
    "requested": "requested",
    "approved": "approved",
    "declined": "ended",
    "cancelled": "ended",
    "deleted": "ended",
}
TIME_OFF = "/api/hris/v1/time-off"
ENTRIES_A_PAGE = 100


class _Hook(Payload):
    event: str


class _Account(Payload):
    id: str = ""


class _Head(Payload):
    hook: _Hook
    linked_account: _Account | None = None


class _Employee(Payload):
    id: PathId
    work_email: str | None = None


class _TimeOff(Payload):
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
    changed = _changed(leave, webhook.received_at)
    event_id = f"{account}:{head.hook.event}:{leave.id}:{changed}"[:200]
    employee = leave.of()
    return [thin_without_address(_change(leave, event_id, changed), employee.id if employee else None)]


def _changed(leave: _TimeOff, otherwise: float) -> str:
    """When it was changed, as Merge has it; else the given time (Unix seconds)."""
    return version(leave.modified_at) or iso(otherwise)


def _change(leave: _TimeOff, event_id: str, changed: str) -> LeaveChange:
    employee = leave.of()
    return LeaveChange(
        event_id=event_id,
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


def page(api: VendorApi, window: Window, following: str | None) -> Page:
    """A page of the account's time off, deleted ones included; `following` is the cursor of the next one."""
    # Leave that ends on the first day ends at its midnight, which is not after that midnight.
    ended_after = f"{window.first - timedelta(days=1)}T00:00:00Z"
    asked = query(
        ended_after=ended_after,
        include_deleted_data="true",
        # The address comes along, and need not be asked for.
        expand="employee",
        page_size=ENTRIES_A_PAGE,
        cursor=following,
    )
    answer = api.get(TIME_OFF + asked)
    events = each_listed(entries_at(answer, "results"), lambda entry: _listed(entry, window))
    return Page(in_window(window, events), another(cursor_at(answer, "next"), following))


def _listed(entry: Any, window: Window) -> Event:
    leave = _TimeOff.model_validate(entry)
    employee = leave.of()
    return listed(_change(leave, "list", _changed(leave, window.began)), employee.id if employee else None)


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
    # Deleted time off stays in the list, as such.
    lists=LeaveList(page=page, version="own", lacks="nothing"),
    fresh={"data.modified_at": "iso"},
    subjects={"data.employee.work_email": "person", "data.id": "leave"},
)
