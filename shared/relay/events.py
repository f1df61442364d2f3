"""The domain: what happened at a door or in an HR system, in no vendor's words."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Annotated, Any, Literal
from unicodedata import normalize
from uuid import UUID

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)
from pydantic_core import from_json

from relay.errors import Unparseable

MOST_ID_CHARACTERS = 200
Id = Annotated[str, Field(min_length=1, max_length=MOST_ID_CHARACTERS)]
"""A vendor's id of something. None that is longer fits into a key of the ledger."""
Direction = Literal["in", "out"]
LeaveState = Literal["requested", "approved", "ended"]


# Never another one: what is sent again would have a new id, and be a new event to Calven.
NAMESPACE = UUID("6f0c8a53-5d0e-5c1b-9d1e-0f3a3c6f5b7a")
"""Under which every `eventId` that goes to Calven is made."""
AHEAD_SECONDS = 300.0
"""So far ahead of ours a vendor's clock is taken to be right."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FIRST_MIDNIGHT = EPOCH - timedelta(days=1)
"""Before the midnight at which 1970 began in any zone."""
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
LATEST = datetime(2100, 1, 1, tzinfo=UTC)
"""Times outside these are a broken clock or a broken payload, not an event."""


@dataclass(frozen=True, slots=True)
class Counting:
    """Which events of a source count as somebody's passage, where its configuration has a say.

    `security_actions` are the ids of Brivo's actions, empty for the default; `remote_unlocks` says whether a
    door that somebody opened from elsewhere counts.
    """

    security_actions: Sequence[int] = ()
    remote_unlocks: bool = False


@dataclass(frozen=True, slots=True)
class Webhook:
    """A request whose signature has been verified: all that a parser may look at.

    `body` is the raw body, `topic` the last path segment of the two-segment HRIS route, `headers` those that
    the vendor's module keeps, lower-cased, `received_at` the gateway's receipt time in Unix seconds.
    `counting` is what the source's configuration says of which events count.
    """

    body: bytes
    received_at: float
    topic: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    counting: Counting = Counting()


def storable(text: str) -> str:
    """Text with a question mark for each half of a surrogate pair: JSON allows it, and nothing stores it."""
    return text.encode("utf-8", "replace").decode("utf-8")


def as_name(value: object) -> str | None:
    """A name on one line, as much of it as is kept; whatever else stands there is none, and no fault."""
    if not isinstance(value, str):
        return None
    return " ".join(storable(value).split())[:MOST_ID_CHARACTERS] or None


def _type_name(value: object) -> object:
    """A type's name that can be stored: a damaged one is no reason to hold up the leave."""
    return storable(value) if isinstance(value, str) else value


Name = Annotated[str | None, BeforeValidator(as_name), Field(exclude=True)]
"""What a vendor calls a door or a sensor, for operators: no part of the event, and it waits in no queue."""


TypeName = Annotated[str | None, BeforeValidator(_type_name)]
"""What a kind of leave is called."""


class _Event(BaseModel):
    # Only with a bound does pydantic refuse half a surrogate pair, which no queue and no table takes.
    model_config = ConfigDict(frozen=True, extra="forbid", str_min_length=0)


def _somebody(value: object) -> object:
    """Whom a passage names; None for blanks, which would make one person of all that have them."""
    if not isinstance(value, str):
        return value
    return storable(value) if value.strip() else None


# Not from `EARLIEST` on: a clock that has lost its time begins in 1970, and that is `stale_time`.
DeviceTime = Annotated[
    AwareDatetime, Field(ge=FIRST_MIDNIGHT, lt=LATEST), AfterValidator(lambda at: max(at, EPOCH))
]


class BadgeEvent(_Event):
    """A person was let through a door.

    `person` is an e-mail address or the vendor's id for the person, and a keyed hash from the moment that
    the pipeline takes it over; None for a passage that names nobody. `direction` is set only where the
    vendor reports one. `undated` says that `at` is the delivery's time, since the event has none of its own.
    """

    form: Literal["badge"] = "badge"
    event_id: Id
    at: DeviceTime
    door: Id
    person: Annotated[str | None, BeforeValidator(_somebody)] = None
    direction: Direction | None = None
    undated: Literal[True] | None = None
    name: Name = None


class SensorReading(_Event):
    """What a sensor saw: so many people, or only whether there is anybody. At least one of the two is set."""

    form: Literal["reading"] = "reading"
    event_id: Id
    at: DeviceTime
    sensor: Id
    people: Annotated[int, Field(ge=0, le=1_000_000)] | None = None
    occupied: bool | None = None
    name: Name = None

    @model_validator(mode="after")
    def _says_something(self) -> "SensorReading":
        if self.people is None and self.occupied is None:
            raise ValueError("a reading says how many people there are, or whether there is anybody")
        return self


class Amount(_Event):
    """How much time off: a number of hours, days or weeks of work."""

    # pydantic takes the text "inf" for a number.
    value: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    unit: Literal["hours", "days", "weeks"]


class DayOff(Amount):
    """How much of one day is taken off. `working` is how much of it is worked, where the vendor says so."""

    on: str
    working: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None


class LeaveChange(_Event):
    """What a leave became.

    `version` orders the changes of one leave: a text that sorts as time does. Where it begins with `/` the
    vendor gives no time, and the one when the event first came is put before it. `start` and `end` are the
    first ten characters of the vendor's dates (`YYYY-MM-DD`, both inclusive), the employee's calendar days.
    `replaces` names the leave of the same source that this one takes the place of. `early` is the version
    that it counts as where its own is ahead of its receipt.

    `listed_at` is when the list began, or the file was read, that says so; a webhook has none. `inferred`
    says that nobody has said it: the leave is in the ledger, of this version, and not in that list. With
    `resumed` nothing is new: the leave's source is live again, and what Calven lacks of the leave is sent.
    With `type_unnamed` nobody knows what the type is called: `type_name` is its id, or nothing.

    How much of each day is taken is said in the vendor's way: `days` name each day; else `each_day` is taken
    of every one, `total` of all together, and `first_day_part` and `last_day_part` say that only a part of
    these two is.
    """

    form: Literal["leave"] = "leave"
    event_id: Id
    leave_id: Id
    state: LeaveState
    version: str
    early: str | None = None
    declined: bool = False
    email: Annotated[str, StringConstraints(strip_whitespace=True, max_length=320)] | None = None
    start: str | None = None
    end: str | None = None
    open_ended: bool = False
    type_name: TypeName = None
    first_day_part: bool = False
    last_day_part: bool = False
    days: Annotated[tuple[DayOff, ...], Field(max_length=1000)] = ()
    each_day: Amount | None = None
    total: Amount | None = None
    replaces: Id | None = None
    listed_at: AwareDatetime | None = None
    inferred: bool = False
    resumed: Literal[True] | None = None
    type_unnamed: Literal[True] | None = None
    """These two are absent where it is not so: then an older version of the relay reads the envelope."""

    @property
    def has_no_end(self) -> bool:
        """Whether it goes on until further notice: it says so, or begins, and names no end and no days."""
        return self.open_ended or (self.start is not None and self.end is None and not self.days)

    @property
    def content(self) -> str:
        """A digest of what it says, in the vendor's words: the same however it is read."""
        # These differ where a webhook is repeated, or a list says the same as it.
        how = {"event_id", "version", "early", "email", "listed_at", "inferred", "resumed", "type_unnamed"}
        said = self.model_dump_json(exclude=how)
        return sha256(said.encode()).hexdigest()[:16]


class ThinEvent(_Event):
    """A webhook's news that does not say all: what changed, while the vendor's API knows what it became.

    `subject` is the vendor's id of what changed, `employee` of whose leave it is, `ack` what the API wants to
    be told when it is asked. `change` is the leave change where only the e-mail address is missing from it.
    """

    # The class was renamed; what waits in queues has the former word.
    form: Literal["notice"] = "notice"
    event_id: Id
    subject: Id
    employee: Id | None = None
    replaces: Id | None = None
    ack: Annotated[str, Field(max_length=500)] | None = None
    change: LeaveChange | None = None


def _loggable(value: object) -> str:
    """An id that may be logged: a short text or number; whatever else stands there is data."""
    return storable(str(value))[:MOST_ID_CHARACTERS] if isinstance(value, str | int) else ""


LoggedId = Annotated[str, BeforeValidator(_loggable)]


ASK_NOW = "ask_now"
"""Why a webhook is ignored that says only that there is news: the source is reconciled instead."""


class Ignored(_Event):
    """Something that a vendor announces and Calven has no use for. `reason` goes into the answer."""

    form: Literal["ignored"] = "ignored"
    event_id: LoggedId = ""
    reason: str


class MalformedEvent(_Event):
    """One of several events in a body that cannot be read, as JSON, and why; the others can."""

    # Like `notice`, a former name that queues still hold.
    form: Literal["unread"] = "unread"
    event_id: LoggedId = ""
    body: str
    detail: str


Event = Annotated[
    BadgeEvent | SensorReading | LeaveChange | ThinEvent | Ignored | MalformedEvent,
    Field(discriminator="form"),
]


def not_ahead(change: LeaveChange, received_at: float) -> LeaveChange:
    """A change that counts as of its receipt (Unix seconds) where it is over `AHEAD_SECONDS` ahead of it.

    One wrong clock must not outlast every later change. Less ahead than that, the vendor's own order counts:
    clocks differ by some seconds, and changes come in any order.
    """
    is_early = change.version > iso(received_at + AHEAD_SECONDS)
    return change.model_copy(update={"early": iso(received_at) if is_early else None})


def same_person(text: str) -> str:
    """What two spellings of one address have in common: composed characters, no blanks around, one case."""
    # Folding the case can take a composed character apart again, as with "\u0390".
    return normalize("NFC", normalize("NFC", text.strip()).casefold())


def utc(seconds: float) -> datetime:
    """Unix seconds as an aware UTC time; raises `Unparseable` where no calendar has such a time."""
    try:
        return datetime.fromtimestamp(seconds, UTC)
    # Which one it is depends on the platform's C library.
    except (OverflowError, ValueError, OSError):
        raise Unparseable("a time is out of range") from None


def milliseconds(at: datetime) -> int:
    """An aware time as Unix milliseconds, exactly: floats lose some."""
    return (at - EPOCH) // timedelta(milliseconds=1)


def iso(seconds: float) -> str:
    """Unix seconds as Calven and the envelopes write time: ISO 8601, UTC, milliseconds, `Z`."""
    return iso_ms(round(seconds * 1000))


def iso_ms(milliseconds: int) -> str:
    """Unix milliseconds in the same form as `iso`, exactly."""
    whole, rest = divmod(milliseconds, 1000)
    return f"{datetime.fromtimestamp(whole, UTC):%Y-%m-%dT%H:%M:%S}.{rest:03d}Z"


def read_json(body: bytes) -> Any:
    """The value of a JSON body; raises `Unparseable` for anything that is not strict JSON.

    Half a surrogate pair is read, as JSON allows it: in a field that nobody looks at it does no harm.
    """
    try:
        # Both parsers take NaN and Infinity unless told otherwise; JSON has neither.
        return from_json(body, allow_inf_nan=False)
    except ValueError:
        pass
    try:
        # Only what the faster parser refuses is parsed twice: half a surrogate pair, or no JSON at all.
        return json.loads(body.decode(), parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise Unparseable("body: not JSON") from None


def _no_constant(name: str) -> None:
    raise ValueError(name)


@contextmanager
def unparseable_if_invalid() -> Iterator[None]:
    """Have what pydantic refuses be `Unparseable`: the one place where its errors become ours."""
    try:
        yield
    except ValidationError as error:
        raise unparseable(error) from None


def unparseable(error: ValidationError, *, is_ours: bool = False) -> Unparseable:
    """The fields at fault and the rules that they break, without any value of the payload.

    The name of a field that nobody knows is the sender's own text, and is told where what was read `is_ours`.
    """
    found = error.errors(include_input=False, include_url=False, include_context=False)
    hides = [e["type"] == "extra_forbidden" and not is_ours for e in found]
    places = (e["loc"][:-1] if hidden else e["loc"] for e, hidden in zip(found, hides, strict=True))
    named = [".".join(map(str, place)) or "body" for place in places]
    rules = (f"{name}: {e['type']}" for name, e in zip(named[:5], found[:5], strict=True))
    return Unparseable("; ".join(rules)[:500])
