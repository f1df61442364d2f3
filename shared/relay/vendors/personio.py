"""Personio: absence periods. Its webhook is thin: the period and the person are asked of Personio's API.

Follows https://developer.personio.de/docs/attendance-and-absence-events,
https://developer.personio.de/reference/webhooks and
https://developer.personio.de/reference/get_v2-absence-periods. Both spellings of the payload's key are read
(`absence_period`, `absence-period`). Not confirmed on live traffic: the whole answer of the two GETs, and how
it says that the first or last day is half a day (`half_day`, or a `type` of `FIRST_HALF`, `SECOND_HALF`).
"""

from collections.abc import Mapping, Sequence
from typing import Any

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
from relay.signatures import AnyOf, HeaderToken
from relay.vendors.base import Api, OAuth, Vendor, VendorApi
from relay.vendors.common import PathId, changed, day, field

EVENTS = frozenset(
    f"absence-period.{name}" for name in ("created", "updated.status", "updated.timerange", "deleted")
)
STATES: dict[str, LeaveState] = {
    "PENDING": "requested",
    "APPROVED": "approved",
    "REJECTED": "ended",
    "CANCELED": "ended",
    "CANCELLED": "ended",
}


class _Head(BaseModel):
    event_name: str


class _Period(BaseModel):
    id: PathId


class _Payload(BaseModel):
    period: _Period = Field(validation_alias=AliasChoices("absence_period", "absence-period"))


class _Body(BaseModel):
    event_name: str
    occurred_at: str = ""
    payload: _Payload


class _Moment(BaseModel):
    date_time: str | None = None
    type: str | None = None
    half_day: bool | None = False


class _Id(BaseModel):
    id: PathId


class _Type(BaseModel):
    id: str | int | None = None
    name: str | None = None


class _Approval(BaseModel):
    status: str


class _Absence(BaseModel):
    person: _Id
    absence_type: _Type | None = None
    starts_from: _Moment
    ends_at: _Moment | None = None
    approval: _Approval


def parse(webhook: Webhook) -> Sequence[Event]:
    """A notice for each event of an absence period; attendances and persons are ignored."""
    payload = read_json(webhook.body)
    try:
        if _Head.model_validate(payload).event_name not in EVENTS:
            return [Ignored(reason="other_event")]
        body = _Body.model_validate(payload)
    except ValidationError as error:
        raise unparseable(error) from None
    period = body.payload.period.id
    return [Notice(event_id=f"{body.event_name}:{period}:{body.occurred_at}"[:200], subject=period)]


def fetch(notice: Notice, api: VendorApi) -> Sequence[Event]:
    """Ask what the period is now. The version is the time of asking; a period that is gone has ended."""
    ended = LeaveChange(
        event_id=notice.event_id, leave_id=notice.subject, state="ended", version=iso(api.now())
    )
    found = api.get(f"/v2/absence-periods/{notice.subject}")
    if found is None:
        return [ended]
    try:
        absence = _Absence.model_validate(_unwrapped(found))
    except ValidationError as error:
        raise unparseable(error) from None
    status = absence.approval.status.upper()
    if status not in STATES:
        raise Unparseable("approval.status: unknown")
    state, first, last = STATES[status], absence.starts_from, absence.ends_at
    kind = absence.absence_type
    return [
        changed(
            ended,
            state=state,
            declined=status == "REJECTED",
            email=None if state == "requested" else _address(absence.person.id, api),
            start=day(first.date_time),
            end=day(last.date_time) if last else None,
            open_ended=last is None or last.date_time is None,
            type_name=kind and (kind.name or (str(kind.id) if kind.id else None)),
            first_day_part=bool(first.half_day) or first.type == "SECOND_HALF",
            last_day_part=bool(last and (last.half_day or last.type == "FIRST_HALF")),
        )
    ]


def _address(person: str, api: VendorApi) -> str | None:
    return api.email(person, lambda: field(api.get(f"/v2/persons/{person}"), "email"))


def _unwrapped(found: Any) -> Any:
    inner = found.get("data") if isinstance(found, Mapping) else None
    return inner if isinstance(inner, Mapping) else found


def _form(credentials: Mapping[str, str]) -> Mapping[str, str]:
    return {
        "grant_type": "client_credentials",
        "client_id": credentials["clientId"],
        "client_secret": credentials["clientSecret"],
    }


VENDOR = Vendor(
    name="personio",
    title="Personio",
    families=("hris",),
    docs="https://developer.personio.de/reference/webhooks",
    signature="none: a token in `Authorization` or `X-Api-Key`",
    forwards="every `absence-period.*`, as Personio's API says it is now",
    ignores="requests, rejections, attendances, other events",
    direction="-",
    confidence="medium",
    # The token is sent verbatim: with `Bearer ` only where it was configured so.
    scheme=AnyOf(
        (
            HeaderToken("authorization"),
            HeaderToken("authorization", prefix="Bearer "),
            HeaderToken("x-api-key"),
        )
    ),
    parse=parse,
    ack_seconds=3.0,
    api=Api(
        host="https://api.personio.de",
        fields=("clientId", "clientSecret"),
        oauth=OAuth(path="/v2/auth/token", form=_form),
    ),
    fetch=fetch,
    fresh={"occurred_at": "iso"},
)
