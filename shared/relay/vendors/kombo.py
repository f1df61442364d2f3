"""Kombo: absences of whichever HRIS is linked through it. A webhook says only that there is news to ask for.

Follows the OpenAPI file behind https://docs.kombo.dev/hris/v1/get-absences, and its webhook `data-changed`.
Absences are listed by the days that they overlap, those that were deleted included. How a webhook is signed
is known from other people's code. Not confirmed on live traffic: the signature, and statuses that Kombo could
not map, which are passed through and make entries that cannot be read.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field

from relay.events import (
    ASK_NOW,
    Amount,
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
from relay.vendors.support.fields import UNITS, PathId, Payload, day, known
from relay.vendors.support.leave_lists import in_window, listed
from relay.vendors.support.listing import LeaveList, Page, Window
from relay.vendors.support.pages import another, cursor_at, each_listed, entries_at, query
from relay.vendors.support.signatures import Hmac
from relay.vendors.support.thin import first_text, segment, unwrapped, with_address_of

STATES: dict[str, LeaveState] = {
    "requested": "requested",
    "approved": "approved",
    "declined": "ended",
    "cancelled": "ended",
    "deleted": "ended",
}
ABSENCES = "hris_absences"
ENTRIES_A_PAGE = 250


class _Model(Payload):
    name: str


class _News(Payload):
    changed_models: list[_Model]


class _Head(Payload):
    type: str
    id: str = Field(default="", max_length=150)


class _Body(_Head):
    data: _News


class _Type(Payload):
    name: str | None = None


class _Absence(Payload):
    id: PathId
    employee: PathId | None = Field(default=None, alias="employee_id")
    status: str | None = None
    start: str | None = Field(default=None, alias="start_date")
    end: str | None = Field(default=None, alias="end_date")
    starts_at_noon: bool | None = Field(default=None, alias="start_half_day")
    ends_at_noon: bool | None = Field(default=None, alias="end_half_day")
    amount: float | None = None
    unit: str | None = None
    type: _Type | None = None
    deleted_at: str | None = Field(default=None, alias="remote_deleted_at")

    def state(self) -> LeaveState:
        """The state by deletion, else by status; raises `Unparseable` for any other."""
        return "ended" if self.deleted_at else known(STATES, self.status, "status")

    def was_declined(self) -> bool:
        """Whether it is a request that was refused."""
        return (self.status or "").strip().upper() == "DECLINED"

    def total(self) -> Amount | None:
        """How much is taken in all, unless it is known which day is short.

        Raises `Unparseable` for a unit that is none.
        """
        if self.starts_at_noon or self.ends_at_noon or not self.amount or self.amount < 0:
            return None
        return Amount(value=self.amount, unit=known(UNITS, self.unit, "unit"))


def parse(webhook: Webhook) -> Sequence[Event]:
    """That absences have changed, for which Kombo is asked; other news is ignored."""
    payload = read_json(webhook.body)
    head = _Head.model_validate(payload)
    if head.type != "data-changed":
        return [Ignored(event_id=head.id, reason="other_event")]
    models = _Body.model_validate(payload).data.changed_models
    is_about_absences = any(model.name == ABSENCES for model in models)
    return [Ignored(event_id=head.id, reason=ASK_NOW if is_about_absences else "other_event")]


def page(api: VendorApi, window: Window, following: str | None) -> Page:
    """A page of the integration's absences, deleted ones included; `following` is the next one's cursor."""
    asked = query(
        date_from=str(window.first),
        date_until=str(window.last),
        include_deleted="true",
        page_size=ENTRIES_A_PAGE,
        cursor=following,
    )
    data = unwrapped(api.get("/v1/hris/absences" + asked))
    events = each_listed(entries_at(data, "results"), lambda entry: _listed(entry, window))
    return Page(in_window(window, events), another(cursor_at(data, "next"), following))


def _listed(entry: Any, window: Window) -> Event:
    absence = _Absence.model_validate(entry)
    change = LeaveChange(
        event_id="list",
        leave_id=absence.id,
        state=absence.state(),
        declined=absence.was_declined(),
        version=iso(window.began),
        start=day(absence.start),
        end=day(absence.end),
        open_ended=absence.start is not None and absence.end is None,
        type_name=absence.type.name if absence.type else None,
        first_day_part=bool(absence.starts_at_noon),
        last_day_part=bool(absence.ends_at_noon),
        total=absence.total(),
    )
    return listed(change, absence.employee)


def fetch(thin: ThinEvent, api: VendorApi) -> Sequence[Event]:
    """Ask for the employee's work address."""
    return with_address_of(thin, lambda employee: api.email(employee, lambda: _address(employee, api)))


def _address(employee: str, api: VendorApi) -> str | None:
    found = api.get(f"/v1/hris/employees?ids={segment(employee)}")
    if found is None:
        return None
    # Should it list others too, their address is not this employee's.
    for one in entries_at(unwrapped(found), "results"):
        if isinstance(one, Mapping) and one.get("id") == employee:
            return first_text(one, "work_email")
    return None


def _headers(credentials: Mapping[str, str]) -> Mapping[str, str]:
    return {
        "authorization": f"Bearer {credentials['apiKey']}",
        "x-integration-id": credentials["integrationId"],
    }


VENDOR = Vendor(
    name="kombo",
    title="Kombo",
    families=("hris",),
    docs="https://docs.kombo.dev/hris/v1/get-absences",
    signature="`X-Kombo-Signature`, HMAC-SHA256, base64url",
    forwards="absences, as its list has them: approved, changed, declined, cancelled and deleted",
    ignores="requests; of webhooks all but that absences have changed",
    direction="-",
    confidence="medium",
    scheme=Hmac(header="x-kombo-signature", encoding="base64url"),
    parse=parse,
    settings=frozenset({"wholeDayHours"}),
    api=Api(host="https://api.kombo.dev", fields=("apiKey", "integrationId"), headers=_headers),
    fetch=fetch,
    # What is gone at the HR system stays in the list, with `remote_deleted_at`.
    lists=LeaveList(page=page, version="asked", lacks="nothing"),
    fresh={"id": "id"},
)
