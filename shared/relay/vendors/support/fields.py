"""What several vendors' modules share: kinds of fields, times, words, and the address of an employee.

Vendors are careless about blanks, about numbers as text and about how a time is written: all of that is read.
A word that nobody documented is not: it is refused with the name of its field.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import quote

from pydantic import AwareDatetime, BaseModel, BeforeValidator, Field, StringConstraints, ValidationError

from relay.errors import TooLarge, Unparseable
from relay.events import (
    EARLIEST,
    LATEST,
    Amount,
    DayOff,
    Event,
    Ignored,
    LeaveChange,
    MalformedEvent,
    ThinEvent,
    iso,
    iso_ms,
    milliseconds,
    unparseable,
)
from relay.vendors.support.base import VendorApi

MOST_EVENTS = 1000
"""More in one body are a mistake, or an attack: each would be a message of its own."""
TIMES_THE_BODY = 4
LITTLE_BYTES = 256 * 1024
M = TypeVar("M", bound=BaseModel)
V = TypeVar("V")


def without_blanks(value: Any) -> Any:
    """Text without the blanks around it; anything else as it is."""
    return value.strip() if isinstance(value, str) else value


def _as_iso(value: Any) -> Any:
    """A time's text as ISO 8601, where it is another one that vendors write; anything else as it is."""
    if not isinstance(value, str):
        return value
    text = value.strip()
    if text.upper().endswith((" UTC", " GMT")) and text[:1].isdigit():
        return text[:-4] + "Z"
    try:
        return parsedate_to_datetime(text) if text[:1].isalpha() else text
    except (ValueError, TypeError, IndexError, OverflowError):
        return text


Text = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=150),
    Field(coerce_numbers_to_str=True),
]
"""An id that may be written as a number."""
PathId = Annotated[
    str,
    StringConstraints(strip_whitespace=True, pattern=r"^[A-Za-z0-9_-]{1,64}$"),
    Field(coerce_numbers_to_str=True),
]
"""An id that goes into a path of the vendor's API."""
Instant = Annotated[AwareDatetime, BeforeValidator(_as_iso)]
"""A time with its zone: ISO 8601, the same with `UTC` behind it, or as in RFC 1123."""


def instant(text: str | None) -> datetime | None:
    """An aware time, UTC where it names no zone; None where it is no time, or one out of range."""
    found = _as_iso(text or "")
    try:
        at = found if isinstance(found, datetime) else datetime.fromisoformat(found)
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
    return (text or "").strip()[:10] or None


def known(words: Mapping[str, V], word: str | None, field: str) -> V:
    """What a vendor's word means, in whatever case; `words` has them in lower case.

    Raises `Unparseable`, with the field's name, for a word that is none of them.
    """
    try:
        return words[(word or "").strip().lower()]
    except KeyError:
        raise Unparseable(f"{field}: unknown") from None


def hours(value: float | None) -> Amount | None:
    """So many hours; None where none are given."""
    return None if value is None else Amount(value=value, unit="hours")


PART_OF_A_DAY = Amount(value=0.5, unit="days")
"""Of each day a part, nobody says how much."""


UNITS: Mapping[str, Literal["days", "hours"]] = {
    "": "days",
    "day": "days",
    "days": "days",
    "hour": "hours",
    "hours": "hours",
}


def day_off(on: str | None, value: float | None, unit: str | None, field: str) -> DayOff:
    """One day of a leave by the vendor's unit, days where it names none; raises `Unparseable`."""
    try:
        return DayOff(on=day(on) or "", value=value or 0, unit=known(UNITS, unit, field))
    except ValidationError as error:
        raise unparseable(error) from None


def read(model: type[M], found: Any) -> M:
    """What an API answered as a model; raises `Unparseable`."""
    try:
        return model.model_validate(found)
    except ValidationError as error:
        raise unparseable(error) from None


def unwrapped(found: Any) -> Any:
    """What an API answers for one thing: by itself, under `data` or `_data`, or alone in a list there."""
    for name in ("data", "_data"):
        inner = found.get(name) if isinstance(found, Mapping) else None
        if isinstance(inner, list) and len(inner) == 1:
            [inner] = inner
        if isinstance(inner, Mapping):
            return inner
    return found


def gone(notice: ThinEvent, api: VendorApi) -> LeaveChange:
    """The leave of a notice as ended, by the time of asking: what it has become where nothing is found."""
    return LeaveChange(
        event_id=notice.event_id,
        leave_id=notice.subject,
        state="ended",
        version=iso(api.now()),
        replaces=notice.replaces,
    )


def segment(text: str) -> str:
    """Text as one segment of a path or one value of a query."""
    return quote(text, safe="")


def bounded(entries: Sequence[V]) -> Sequence[V]:
    """The entries, if they are not too many; raises `TooLarge` before anything is made of them."""
    if len(entries) > MOST_EVENTS:
        raise TooLarge(f"body: more than {MOST_EVENTS} events")
    return entries


def each(
    entries: Sequence[Any],
    read: Callable[[Any], Event],
    alone: Callable[[Sequence[Any]], Any],
    body: bytes,
    event_id: str = "",
) -> Sequence[Event]:
    """The event of each entry; one that cannot be read alone, as a body of its own.

    `alone` makes a payload that holds only these entries. What cannot be read takes a few times the memory of
    the body at most: where that would be more, since the entries share much, they stay together in one.
    """
    events: list[Event] = []
    unread: list[tuple[int, Any, str]] = []
    for entry in bounded(entries):
        try:
            events.append(read(entry))
        except (ValidationError, Unparseable) as error:
            if len(entries) == 1:
                raise
            detail = str(unparseable(error) if isinstance(error, ValidationError) else error)
            unread.append((len(events), entry, detail))
            events.append(Ignored(reason="unread"))
    if not unread:
        return events
    together = json.dumps(alone([entry for _, entry, _ in unread]))
    shared = len(json.dumps(alone([])))
    if shared * len(unread) + len(together) > max(TIMES_THE_BODY * len(body), LITTLE_BYTES):
        places = {place for place, _, _ in unread}
        kept = [event for place, event in enumerate(events) if place not in places]
        detail = f"{unread[0][2]}; {len(unread) - 1} more"
        return [*kept, MalformedEvent(event_id=event_id, body=together, detail=detail)]
    for place, entry, detail in unread:
        events[place] = MalformedEvent(event_id=event_id, body=json.dumps(alone([entry])), detail=detail)
    return events


def addressed(notice: ThinEvent, api: VendorApi, path: str, *names: str) -> Sequence[Event]:
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
    return ThinEvent(event_id=change.event_id, subject=change.leave_id, employee=employee, change=change)


def field(found: Any, *names: str) -> str | None:
    """The first text under one of these keys, of an object that may be wrapped."""
    for node in (found, unwrapped(found)):
        for name in names:
            value = node.get(name) if isinstance(node, Mapping) else None
            if isinstance(value, str) and value.strip():
                return value.strip()
    return None
