"""What several vendors' modules share: kinds of fields, times, and the address of an employee."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import quote

from pydantic import Field, ValidationError
from pydantic_core import to_json

from relay.errors import Unparseable
from relay.events import (
    EARLIEST,
    LATEST,
    Event,
    LeaveChange,
    Notice,
    Unread,
    iso_ms,
    milliseconds,
    unparseable,
)
from relay.signatures import AnyOf, Basic, HeaderToken, QueryToken
from relay.vendors.base import VendorApi

Text = Annotated[str, Field(coerce_numbers_to_str=True, min_length=1, max_length=150)]
"""An id that may be written as a number."""
PathId = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$", coerce_numbers_to_str=True)]
"""An id that goes into a path of the vendor's API."""

WHOLE_DAY_HOURS = 6.0
"""Fewer hours than these on a day are part of a day."""

BEARER, QUERY = HeaderToken("authorization", prefix="Bearer "), QueryToken()
_OTHERS = (Basic(), HeaderToken("authorization"), HeaderToken("x-api-key"))
TOKEN_IN_HEADER = AnyOf((BEARER, *_OTHERS, QUERY))
"""For a vendor that leaves it to the customer what it sends along: a token in one of the usual places."""
TOKEN_IN_URL = AnyOf((QUERY, BEARER, *_OTHERS))
"""The same for a vendor that can only call a URL, or whose headers nobody has seen."""


def instant(text: str | None) -> datetime | None:
    """An aware time, UTC where it names no zone; None where it is no time, or one out of range."""
    try:
        at = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return at.astimezone(UTC) if EARLIEST <= at < LATEST else None


def version(text: str | None) -> str | None:
    """A time as text that sorts as time does; None where it is none."""
    at = instant(text)
    return iso_ms(milliseconds(at)) if at else None


def day(text: str | None) -> str | None:
    """The calendar day of a date or date-time: its first ten characters, never converted."""
    return text[:10] if text else None


def segment(text: str) -> str:
    """Text as one segment of a path or one value of a query."""
    return quote(text, safe="")


def each(
    entries: Sequence[Any], read: Callable[[Any], Event], alone: Callable[[Any], Any]
) -> Iterator[Event]:
    """The event of each entry; one that cannot be read alone, as a body of which it is the only entry."""
    for entry in entries:
        try:
            yield read(entry)
        except (ValidationError, Unparseable) as error:
            if len(entries) == 1:
                raise
            detail = str(unparseable(error) if isinstance(error, ValidationError) else error)
            yield Unread(body=to_json(alone(entry)).decode(), detail=detail)


def addressed(notice: Notice, api: VendorApi, path: str, *names: str) -> Sequence[Event]:
    """The change of a notice, with the address that the API has at a path under one of these names."""
    if notice.change is None or notice.employee is None:
        raise Unparseable("event: it names no change of an employee's")
    email = api.email(notice.employee, lambda: field(api.get(path), *names))
    return [changed(notice.change, email=email)]


def changed(change: LeaveChange, **fields: Any) -> LeaveChange:
    """The change with other fields, which are checked; raises `Unparseable`."""
    try:
        return LeaveChange.model_validate({**change.model_dump(), **fields})
    except ValidationError as error:
        raise unparseable(error) from None


def about(employee: str | None, change: LeaveChange) -> Event:
    """A change whose address the vendor's API knows; the change itself where nobody is to be told."""
    if change.state == "requested" or change.email or employee is None:
        return change
    return Notice(event_id=change.event_id, subject=change.leave_id, employee=employee, change=change)


def field(found: Any, *names: str) -> str | None:
    """The first text under one of these keys, of an object that may be wrapped in `data`."""
    inner = found.get("data") if isinstance(found, Mapping) else None
    for node in (found, inner):
        for name in names:
            value = node.get(name) if isinstance(node, Mapping) else None
            if isinstance(value, str) and value:
                return value
    return None
