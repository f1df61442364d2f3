"""PeopleForce: leave requests.

Follows https://developer.peopleforce.io/docs/starting-with-webhooks and
https://developer.peopleforce.io/docs/leave-requests. A request can be approved from the start; its entries
name each day off and how much of it; without any `amount` is the whole request's. The employee's address is
asked of PeopleForce's API. Not confirmed on live traffic: the path of that API, and states beyond those of
the documented sample.
"""

from collections.abc import Mapping, Sequence

from pydantic import Field

from relay.errors import Unparseable
from relay.events import (
    Amount,
    DayOff,
    Event,
    Ignored,
    LeaveChange,
    LeaveState,
    ThinEvent,
    Webhook,
    iso,
    read_json,
)
from relay.vendors.support.base import Api, Vendor, VendorApi
from relay.vendors.support.fields import UNITS, PathId, Payload, day, day_off, known, version
from relay.vendors.support.signatures import Hmac
from relay.vendors.support.thin import thin_without_address, with_address

ACTIONS: dict[str, LeaveState | None] = {
    "leave_request_create": None,
    "leave_request_approve": "approved",
    "leave_request_reject": "ended",
    "leave_request_withdraw": "ended",
}
"""What an action makes of a request; what a created one is, its state says."""
STATES: dict[str, LeaveState] = {
    "pending": "requested",
    "requested": "requested",
    "approved": "approved",
    "rejected": "ended",
    "withdrawn": "ended",
    "cancelled": "ended",
}


class _Head(Payload):
    action: str


class _Attributes(Payload):
    employee_id: PathId | None = None
    starts_on: str | None = None
    ends_on: str | None = None
    amount: float | None = None
    unit: str | None = None
    state: str | None = None

    def state_after(self, action: str) -> LeaveState:
        """What an action makes of the request; what a created one is, it says itself."""
        decided = ACTIONS[action]
        if decided is not None:
            return decided
        return known(STATES, self.state or "pending", "data.attributes.state")

    def require_all(self) -> None:
        """Raise `Unparseable` unless it says whose leave it is, and from when on."""
        if self.employee_id is None:
            raise Unparseable("data.attributes.employee_id: missing")
        if self.starts_on is None:
            raise Unparseable("data.attributes.starts_on: missing")

    def was_never_approved(self, action: str) -> bool:
        """Whether this is the end of a request that nobody had approved."""
        if self.state_after(action) != "ended":
            return False
        was = (self.state or "").strip().lower()
        return action == "leave_request_reject" or was in ("pending", "requested")


class _DayOff(Payload):
    occurs_on: str
    amount: float


class _Type(Payload):
    name: str | None = None


class _Meta(Payload):
    updated_at: str | None = None


class _Data(Payload):
    id: PathId
    attributes: _Attributes = Field(default=_Attributes())
    entries: list[_DayOff] = Field(default=[])
    leave_type: _Type | None = None
    meta: _Meta | None = None

    def changed_at(self) -> str | None:
        """When it changed, as a version."""
        return version(self.meta.updated_at if self.meta else None)

    def days(self) -> tuple[DayOff, ...]:
        """How much is taken of each day; raises `Unparseable`."""
        unit, name = self.attributes.unit, "data.attributes.unit"
        return tuple(day_off(entry.occurs_on, entry.amount, unit, name) for entry in self.entries)

    def total(self) -> Amount | None:
        """How much is taken in all, where its days are not named; raises `Unparseable`."""
        amount = self.attributes.amount
        if self.entries or not amount or amount < 0:
            return None
        return Amount(value=amount, unit=known(UNITS, self.attributes.unit, "data.attributes.unit"))


class _Body(Payload):
    data: _Data


def parse(webhook: Webhook) -> Sequence[Event]:
    """A leave request as it has become; every other action is ignored."""
    payload = read_json(webhook.body)
    action = _Head.model_validate(payload).action
    if action not in ACTIONS:
        return [Ignored(reason="other_event")]
    data = _Body.model_validate(payload).data
    leave = data.attributes
    state = leave.state_after(action)
    # A leave is found by its id alone, and its end may name nothing else.
    if state != "ended":
        leave.require_all()
    changed = data.changed_at() or iso(webhook.received_at)
    change = LeaveChange(
        event_id=f"{action}:{data.id}:{changed}",
        leave_id=data.id,
        state=state,
        declined=leave.was_never_approved(action),
        version=changed,
        start=day(leave.starts_on),
        end=day(leave.ends_on),
        open_ended=leave.starts_on is not None and leave.ends_on is None,
        type_name=data.leave_type and data.leave_type.name,
        days=data.days(),
        total=data.total(),
    )
    return [thin_without_address(change, leave.employee_id)]


def fetch(thin: ThinEvent, api: VendorApi) -> Sequence[Event]:
    """Ask for the employee's address."""
    return with_address(thin, api, f"/api/public/v3/employees/{thin.employee}", "email")


def _headers(credentials: Mapping[str, str]) -> Mapping[str, str]:
    return {"x-api-key": credentials["apiKey"]}


VENDOR = Vendor(
    name="peopleforce",
    title="PeopleForce",
    families=("hris",),
    docs="https://developer.peopleforce.io/docs/leave-requests",
    signature="`X-PeopleForce-Signature`, HMAC-SHA256",
    forwards="leave requests that are approved (from the start or later), rejected or withdrawn",
    ignores="pending requests, other actions",
    direction="-",
    confidence="high",
    scheme=Hmac(header="x-peopleforce-signature", form="sha256={signature}"),
    parse=parse,
    settings=frozenset({"wholeDayHours"}),
    api=Api(host="https://app.peopleforce.io", fields=("apiKey",), headers=_headers),
    fetch=fetch,
    fresh={"data.meta.updated_at": "iso"},
)
