"""Deel: time off of employees and contractors.

Follows https://developer.deel.com/docs/webhooks-get-started and the pages `webhook-time-off-created`,
`-reviewed`, `-updated` and `-deleted` of https://developer.deel.com/api. Not confirmed on live traffic: the
body of `time-off.deleted` beyond its two keys, whether a delivery may carry several events, and when a
request stands under the id of its contract, which is read too.
"""

from collections.abc import Mapping, Sequence

from pydantic import AliasChoices, BaseModel, Field

from relay.events import Event, Ignored, LeaveChange, LeaveState, Webhook, iso, read_json
from relay.vendors.support.base import Vendor
from relay.vendors.support.fields import Text, day, known, version
from relay.vendors.support.several import as_list, bounded, each
from relay.vendors.support.signatures import Hmac, Part

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


class _Meta(BaseModel):
    event_type: str
    tracking_id: Text | None = None
    is_simulation: bool | None = False


class _Data(BaseModel):
    meta: _Meta
    resource: object = None


class _Body(BaseModel):
    data: _Data
    timestamp: str | None = None


class _Requester(BaseModel):
    work_email: str | None = None


class _Resource(BaseModel):
    id: Text = Field(validation_alias=AliasChoices("id", "time_off_id"))
    created_at: str | None = None
    updated_at: str | None = None
    start_date: str | None = None
    end_date: str | None = None
    status: str | None = None
    type: str | None = None
    requester: _Requester | None = None
    start_date_is_half_day: bool | None = False
    end_date_is_half_day: bool | None = False
    date_is_half_day: bool | None = False

    def email(self) -> str | None:
        """The work address of whoever asked for it, where it has one."""
        return (self.requester and self.requester.work_email) or None


def parse(webhook: Webhook) -> Sequence[Event]:
    """Each resource of each event as a leave change; other families and simulations are ignored."""
    payload = read_json(webhook.body)
    changes: list[Event] = []
    for event in bounded(as_list(payload)):
        changes += _changes(_Body.model_validate(event), webhook)
        bounded(changes)
    return changes


def _changes(body: _Body, webhook: Webhook) -> Sequence[Event]:
    meta = body.data.meta
    if meta.is_simulation:
        return [Ignored(event_id=meta.tracking_id or "", reason="simulation")]
    if meta.event_type != DELETED and meta.event_type not in CHANGES:
        return [Ignored(event_id=meta.tracking_id or "", reason="other_event")]

    def read(resource: object) -> Event:
        return _change(_Resource.model_validate(_request(resource)), body, webhook)

    def alone(resources: Sequence[object]) -> object:
        data = {"meta": meta.model_dump(), "resource": resources[0] if len(resources) == 1 else resources}
        return {"data": data, "timestamp": body.timestamp}

    resource = body.data.resource
    if not isinstance(resource, list):
        return [read(resource)]
    return each(resource, read, alone, webhook.body, meta.tracking_id or "")


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
    return LeaveChange(
        event_id=f"{meta.tracking_id or meta.event_type}:{leave.id}",
        leave_id=leave.id,
        state=known(STATES, status, "data.resource.status"),
        declined=status.strip().lower() == "rejected",
        version=f"{changed}/{sent}",
        email=leave.email(),
        start=day(leave.start_date),
        end=day(leave.end_date),
        type_name=leave.type,
        first_day_part=bool(leave.start_date_is_half_day or leave.date_is_half_day),
        last_day_part=bool(leave.end_date_is_half_day or leave.date_is_half_day),
    )


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
    fresh={"data.meta.tracking_id": "id", "data.resource.updated_at": "iso", "timestamp": "iso"},
)
