"""Factorial: leaves. The body is the leave itself, the URL's last segment says what happened to it.

Follows https://apidoc.factorialhr.com/docs/manage-webhooks and
https://apidoc.factorialhr.com/v2025-07-01/reference/post_webhooks-timeoff-leave-rejects. Subscribe each type
to a URL of its own: `…/<source>/create`, `/update`, `/approve`, `/reject`, `/delete` and `/bulk_delete`. The
employee's address is asked of Factorial's API. Not confirmed on live traffic: whether the body of
`bulk_delete` is one leave or a list of them (both are read), and whether a webhook's leave names its days.
The list of leaves has them in the same form; its pages are those of https://apidoc.factorialhr.com/docs/pagination.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field

from relay.errors import Unparseable
from relay.events import Amount, DayOff, Event, LeaveChange, LeaveState, ThinEvent, Webhook, iso, read_json
from relay.vendors.support.base import Api, Vendor, VendorApi
from relay.vendors.support.fields import PathId, Payload, day, version
from relay.vendors.support.fixed_tokens import HeaderToken
from relay.vendors.support.leave_lists import in_window, listed
from relay.vendors.support.listing import LeaveList, Page, Window
from relay.vendors.support.pages import another, each_listed, entries_at, query, text_at
from relay.vendors.support.several import as_list, each
from relay.vendors.support.thin import segment, thin_without_address, unwrapped, with_address

API_VERSION = "2026-10-01"
RESOURCES = f"/api/{API_VERSION}/resources"
LEAVES = f"{RESOURCES}/timeoff/leaves"
LEAVES_A_PAGE = 100
TOPICS = frozenset({"create", "update", "approve", "reject", "delete", "bulk_delete"})
DELETED = ("delete", "bulk_delete")
MOST_DAYS = 1.5
"""No more units than these are a day's share; a day of more is counted in hours."""


class _ByDay(Payload):
    workable: dict[str, float] = Field(default={}, alias="workable_units_by_day")
    used: dict[str, float] = Field(default={}, alias="used_units_by_day")

    def days(self) -> list[DayOff]:
        """What is taken of each day, in hours where the units of a day are that many."""
        units = [*self.workable.values(), *self.used.values()]
        unit = "hours" if max(units, default=0) > MOST_DAYS else "days"
        return [
            DayOff(on=day(on) or "", value=used, unit=unit, working=self.workable.get(on))
            for on, used in self.used.items()
        ]


class _Leave(Payload):
    id: PathId
    employee_id: PathId | None = None
    start_on: str | None = None
    finish_on: str | None = None
    half_day: str | None = None
    # A whole number of any length would be no fault until it is divided.
    hours_amount_in_cents: float | None = None
    leave_type_name: str | None = None
    approved: bool | None = None
    created_at: str | None = None
    updated_at: str | None = None
    deleted_at: str | None = None
    by_day: _ByDay | None = Field(default=None, alias="duration_by_day_attributes")

    def is_single(self) -> bool:
        """Whether it is leave of one day."""
        return day(self.start_on) == day(self.finish_on)

    def first_day_part(self) -> bool:
        """Whether only a part of its first day is taken: of leave that begins at midday, or is half a day."""
        return bool(self.half_day) and (self.is_single() or self.half_day == "end_of_day")

    def last_day_part(self) -> bool:
        """Whether only a part of its last day is taken."""
        return bool(self.half_day) and (self.is_single() or self.half_day != "end_of_day")

    def hours(self) -> Amount | None:
        """The hours of a leave of one day, where it is one of hours."""
        hundredths = self.hours_amount_in_cents or 0
        if not self.is_single() or hundredths <= 0:
            return None
        return Amount(value=hundredths / 100, unit="hours")

    def state(self, topic: str | None) -> LeaveState:
        """What the topic says, where it decides; else what `approved` says (None is pending)."""
        was_ended = topic in ("reject", *DELETED) or bool(self.deleted_at)
        if was_ended or self.approved is False:
            return "ended"
        return "approved" if topic == "approve" or self.approved else "requested"

    def never_approved(self, topic: str | None) -> bool:
        """Whether this is the end of a leave that was pending, or its rejection."""
        if self.state(topic) != "ended":
            return False
        if topic == "reject":
            return True
        # An end that names no more than the leave does not say that it was pending.
        if self.approved is None:
            return self.start_on is not None
        return not self.approved and topic not in DELETED


def parse(webhook: Webhook) -> Sequence[Event]:
    """Each leave as it is now: of an employee whose address is still to be asked, unless it is pending."""
    payload = read_json(webhook.body)
    topic = webhook.topic
    if topic is not None and topic not in TOPICS:
        known_ones = "create, update, approve, reject, delete, bulk_delete"
        raise Unparseable(f"the URL's last segment is none of {known_ones}")
    return each(as_list(payload), lambda entry: _event(entry, webhook), list, webhook.body)


def _event(entry: Any, webhook: Webhook) -> Event:
    leave = _Leave.model_validate(entry)
    change = _change(leave, webhook.topic, webhook.received_at)
    return thin_without_address(change, leave.employee_id)


def _change(leave: _Leave, topic: str | None, received_at: float) -> LeaveChange:
    state = leave.state(topic)
    # A leave is found by its id alone, and its end may name nothing else.
    if leave.employee_id is None and state != "ended":
        raise Unparseable("employee_id: missing")
    changed = version(leave.deleted_at) or version(leave.updated_at) or iso(received_at)
    return LeaveChange(
        event_id=f"{topic or 'leave'}:{leave.id}:{changed}",
        leave_id=leave.id,
        state=state,
        declined=leave.never_approved(topic),
        version=changed,
        start=day(leave.start_on),
        end=day(leave.finish_on),
        open_ended=leave.start_on is not None and leave.finish_on is None,
        type_name=leave.leave_type_name,
        first_day_part=leave.first_day_part(),
        last_day_part=leave.last_day_part(),
        days=tuple(leave.by_day.days()) if leave.by_day else (),
        total=leave.hours(),
    )


def fetch(thin: ThinEvent, api: VendorApi) -> Sequence[Event]:
    """Ask for the employee's address: the work e-mail address, else the login's."""
    path = f"{RESOURCES}/employees/employees/{thin.employee}"
    return with_address(thin, api, path, "email", "login_email")


def page(api: VendorApi, window: Window, following: str | None) -> Page:
    """A page of the leaves, deleted ones too; `following` is the cursor behind which the next one begins.

    Each day's share is not asked for: webhooks do not have it, and each leave would differ from them.
    """
    days = {"from": window.first.isoformat(), "to": window.last.isoformat()}
    also = {"include_deleted_leaves": "true", "include_pending": "true"}
    answer = api.get(LEAVES + query(**days, **also, limit=LEAVES_A_PAGE, after_id=following))

    def read(entry: Any) -> Event:
        leave = _Leave.model_validate(entry)
        return listed(_change(leave, None, window.began), leave.employee_id)

    events = in_window(window, each_listed(entries_at(answer, "data"), read))
    return Page(events, another(_next(answer), following))


def _next(answer: Any) -> str | None:
    """The cursor behind a page, None behind the last one; raises `Unparseable` where that is not said."""
    meta = answer.get("meta")
    if not isinstance(meta, Mapping) or not isinstance(meta.get("has_next_page"), bool):
        raise Unparseable("list: no meta.has_next_page")
    if not meta["has_next_page"]:
        return None
    cursor = text_at(meta, "end_cursor")
    if cursor is None:
        raise Unparseable("list: no meta.end_cursor")
    return cursor


def knows(api: VendorApi, leave_id: str) -> bool:
    """Whether there still is a leave: a deleted or a rejected one may stay, as such."""
    found = unwrapped(api.get(f"{LEAVES}/{segment(leave_id)}"))
    if not isinstance(found, Mapping):
        return found is not None
    return not found.get("deleted_at") and found.get("approved") is not False


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
    settings=frozenset({"wholeDayHours"}),
    topics=TOPICS,
    api=Api(host="https://api.factorialhr.com", fields=("apiKey",), headers=_headers),
    fetch=fetch,
    # Whether its days mean overlap is not documented, so what is lacking is asked for by its id.
    lists=LeaveList(page=page, version="own", lacks="nothing", knows=knows),
    fresh={"updated_at": "iso"},
)
