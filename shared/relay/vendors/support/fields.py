"""Kinds of fields, times and words that several vendors' payloads have.

Vendors are careless about blanks, about numbers as text and about how a time is written: all of that is read.
A word that nobody documented is not: it is refused with the name of its field.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from hashlib import sha256
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AwareDatetime, BaseModel, BeforeValidator, Field, StringConstraints, model_validator

from relay.errors import Unparseable
from relay.events import EARLIEST, FIRST_MIDNIGHT, LATEST, Amount, DayOff, as_name, iso_ms, milliseconds

V = TypeVar("V")


def without_blanks(value: Any) -> Any:
    """Text without the blanks around it; anything else as it is."""
    return value.strip() if isinstance(value, str) else value


class Payload(BaseModel):
    """An object of a payload, in which null and blanks are as good as absent: vendors send all three."""

    @model_validator(mode="before")
    @classmethod
    def _without_nothings(cls, found: Any) -> Any:
        if not isinstance(found, Mapping):
            return found
        return {name: value for name, value in found.items() if not _says_nothing(value)}


def _says_nothing(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def or_none(value: Any) -> Any:
    """Text without blanks, None where nothing is left."""
    return without_blanks(value) or None


def name_in(value: Any) -> Any:
    """What an object of a payload is called; None where there is no object, or no name in it."""
    return value.get("name") if isinstance(value, Mapping) else None


def name_of(entry: Any) -> str | None:
    """The name of an entry of a list, whose attributes may be under a key of their own."""
    attributes = entry.get("attributes") if isinstance(entry, Mapping) else None
    return as_name(name_in(entry)) or as_name(name_in(attributes))


def _as_iso(value: Any) -> Any:
    """A time's text as ISO 8601, where it is another one that vendors write; anything else as it is."""
    if not isinstance(value, str):
        return value
    text = value.strip()
    # A time of RFC 1123 may end so as well, and begins with a weekday.
    if text.upper().endswith((" UTC", " GMT")) and text[:1].isdigit():
        return text[:-4] + "Z"
    try:
        return parsedate_to_datetime(text) if text[:1].isalpha() else text
    except (ValueError, TypeError, IndexError, OverflowError):
        return text


Text = Annotated[
    str,
    # An event's id has room for 200: many are made of this and some words more.
    StringConstraints(strip_whitespace=True, min_length=1, max_length=150),
    Field(coerce_numbers_to_str=True),
]
"""An id that may be written as a number."""
OptionalText = Annotated[Text | None, BeforeValidator(or_none)]
"""The same, None where there is nothing but blanks."""
Said = Annotated[str | None, BeforeValidator(or_none)]
"""A text such as an address, None where there is nothing but blanks."""
PathId = Annotated[
    str,
    # Nothing that means something in a path: whoever sends the payload chooses the id.
    StringConstraints(strip_whitespace=True, pattern=r"^[A-Za-z0-9_-]{1,64}$"),
    Field(coerce_numbers_to_str=True),
]
"""An id that goes into a path of the vendor's API."""
Instant = Annotated[AwareDatetime, BeforeValidator(_as_iso)]
"""A time with its zone: ISO 8601, the same with `UTC` behind it, or as in RFC 1123."""


def digest(*said: object) -> str:
    """What stands for the id of an event that has none, made of all that it says."""
    # JSON allows half a surrogate pair, which no other encoding takes.
    return sha256("|".join(map(str, said)).encode("utf-8", "surrogatepass")).hexdigest()


def instant(text: str | None) -> datetime | None:
    """An aware time, UTC where it names no zone; None where it is no time, or one out of range."""
    found = _as_iso(text or "")
    try:
        at = found if isinstance(found, datetime) else datetime.fromisoformat(found)
    except ValueError:
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return at.astimezone(UTC) if FIRST_MIDNIGHT <= at < LATEST else None


def version(text: str | None) -> str | None:
    """A time as text that sorts as time does; None where it is none, or one before `EARLIEST`."""
    at = instant(text)
    return iso_ms(milliseconds(at)) if at and at >= EARLIEST else None


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
    return DayOff(on=day(on) or "", value=value or 0, unit=known(UNITS, unit, field))
