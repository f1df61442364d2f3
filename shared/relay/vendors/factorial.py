"""Factorial: leaves. The body is the leave itself, the URL's last segment says what happened to it.

Follows https://apidoc.factorialhr.com/docs/manage-webhooks and
https://apidoc.factorialhr.com/v2025-07-01/reference/post_webhooks-timeoff-leave-rejects. Subscribe each type
to a URL of its own: `…/<source>/create`, `/update`, `/approve`, `/reject`, `/delete`. The employee's address
is asked of Factorial's API. Not confirmed on live traffic: the body of `bulk_delete`, which becomes a dead
letter.
"""

from collections.abc import Mapping, Sequence

from pydantic import BaseModel, ValidationError

from relay.errors import Unparseable
from relay.events import Event, LeaveChange, LeaveState, Notice, Webhook, iso, read_json, unparseable
from relay.signatures import HeaderToken
from relay.vendors.base import Api, Vendor, VendorApi
from relay.vendors.common import WHOLE_DAY_HOURS, PathId, about, addressed, day, version

API_VERSION = "2026-10-01"
TOPICS = frozenset({"create", "update", "approve", "reject", "delete"})


class _Leave(BaseModel):
    id: PathId
    employee_id: PathId
    start_on: str | None = None
    finish_on: str | None = None
    half_day: str | None = None
    hours_amount_in_cents: int | None = None
    leave_type_name: str | None = None
    approved: bool | None = None
    created_at: str | None = None
    updated_at: str | None = None
    deleted_at: str | None = None

    def state(self, topic: str | None) -> LeaveState:
        """What the topic says, where it decides; else what `approved` says (None is pending)."""
        if topic in ("reject", "delete") or self.deleted_at or self.approved is False:
            return "ended"
        return "approved" if topic == "approve" or self.approved else "requested"

    def never_approved(self, topic: str | None) -> bool:
        """Whether this is the end of a leave that was pending, or its rejection."""
        if self.state(topic) != "ended":
            return False
        return topic == "reject" or self.approved is None or (not self.approved and topic != "delete")


def parse(webhook: Webhook) -> Sequence[Event]:
    """The leave as it is now: of an employee whose address is still to be asked, unless it is pending."""
    payload = read_json(webhook.body)
    topic = webhook.topic
    if topic is not None and topic not in TOPICS:
        raise Unparseable("the URL's last segment is none of create, update, approve, reject, delete")
    try:
        leave = _Leave.model_validate(payload)
        changed = version(leave.deleted_at) or version(leave.updated_at) or iso(webhook.received_at)
        single = leave.start_on == leave.finish_on
        change = LeaveChange(
            event_id=f"{topic or 'leave'}:{leave.id}:{changed}",
            leave_id=leave.id,
            state=leave.state(topic),
            declined=leave.never_approved(topic),
            version=changed,
            start=day(leave.start_on),
            end=day(leave.finish_on),
            open_ended=leave.finish_on is None,
            type_name=leave.leave_type_name,
            first_day_part=bool(leave.half_day) and (single or leave.half_day == "end_of_day"),
            last_day_part=bool(leave.half_day) and (single or leave.half_day != "end_of_day"),
            every_day_part=single and 0 < (leave.hours_amount_in_cents or 0) < WHOLE_DAY_HOURS * 100,
        )
    except ValidationError as error:
        raise unparseable(error) from None
    return [about(leave.employee_id, change)]


def fetch(notice: Notice, api: VendorApi) -> Sequence[Event]:
    """Ask for the employee's address: the work e-mail address, else the login's."""
    path = f"/api/{API_VERSION}/resources/employees/employees/{notice.employee}"
    return addressed(notice, api, path, "email", "login_email")


def _headers(credentials: Mapping[str, str]) -> Mapping[str, str]:
    return {"x-api-key": credentials["apiKey"]}


VENDOR = Vendor(
    name="factorial",
    title="Factorial",
    families=("hris",),
    docs="https://apidoc.factorialhr.com/docs/manage-webhooks",
    signature="none: the challenge in `X-Factorial-Wh-Challenge`",
    forwards="leaves that are approved, changed, rejected or deleted",
    ignores="pending leaves",
    direction="-",
    confidence="high",
    scheme=HeaderToken("x-factorial-wh-challenge"),
    parse=parse,
    topics=TOPICS,
    api=Api(host="https://api.factorialhr.com", fields=("apiKey",), headers=_headers),
    fetch=fetch,
    fresh={"updated_at": "iso"},
)
