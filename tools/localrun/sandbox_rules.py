"""What Calven's public API documentation says of a request's body, as strict models: nothing more passes."""

import datetime as dt
import re
from collections import Counter
from typing import Annotated, Literal, Self, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.alias_generators import to_camel

_TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d([.,]\d+)?)?(Z|[+-]\d\d(:?\d\d)?)", re.ASCII)
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_MOST_EVENTS = 100


class Malformed(Exception):
    """A body that breaks the documented rules; `problems` names each field at fault."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


def _timestamp(text: str) -> str:
    if not _TIMESTAMP.fullmatch(text):
        raise ValueError("not ISO 8601 with a time zone")
    dt.datetime.fromisoformat(text)
    return text


def _date(text: str) -> str:
    if not _DATE.fullmatch(text):
        raise ValueError("not YYYY-MM-DD")
    dt.date.fromisoformat(text)
    return text


Text = Annotated[str, Field(min_length=1)]
Timestamp = Annotated[str, AfterValidator(_timestamp)]
Date = Annotated[str, AfterValidator(_date)]


class Body(BaseModel):
    """Strict types, no unknown fields."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, alias_generator=to_camel)

    @model_validator(mode="before")
    @classmethod
    def _as_it_is(cls, said: object) -> object:
        # Straight from JSON Pydantic ignores what goes by a field's own name: "retry_after" for "retryAfter".
        return said


class Hmac(Body):
    """`POST /v1/auth`."""

    api_key: Text
    timestamp: Annotated[int, Field(ge=0, lt=2**53)]
    hash: Text


class ClientCredentials(Body):
    """`POST /v1/auth/token`."""

    model_config = ConfigDict(alias_generator=None)

    client_id: Text
    client_secret: Text


class OccupancyEvent(Body):
    """One place at one instant."""

    timestamp: Timestamp
    location_id: Text
    location_type: Literal["level", "location", "place", "space", "zone"]
    event_id: Text
    occupied: bool
    occupancy: Annotated[float, Field(ge=0)] = 0


class TimeOffEvent(Body):
    """Days of one person, scheduled or cancelled."""

    event_id: Text
    email: Text = ""
    uid: Text = ""
    event_type: Literal["scheduled", "cancelled"]
    start_date: Date
    end_date: Date
    time_off_type: Literal["holiday", "leave", "sick"] = "leave"

    @model_validator(mode="after")
    def _fields_agree(self) -> Self:
        if not self.email and not self.uid:
            raise ValueError("one of email and uid is required")
        if self.end_date < self.start_date:
            raise ValueError("endDate is before startDate")
        if self.event_type != "scheduled" and "time_off_type" in self.model_fields_set:
            raise ValueError("timeOffType is for scheduled only")
        return self


Event = TypeVar("Event", OccupancyEvent, TimeOffEvent)


def _distinct(events: list[Event]) -> list[Event]:
    counts = Counter(event.event_id for event in events)
    if repeated := [event_id for event_id, count in counts.items() if count > 1]:
        raise ValueError(f"eventId more than once: {', '.join(repeated)}")
    return events


Batch = Annotated[list[Event], Field(min_length=1, max_length=_MOST_EVENTS), AfterValidator(_distinct)]


class Occupancy(Body):
    """`POST /v1/occupancy`."""

    source_id: Text
    occupancy_events: Batch[OccupancyEvent]


class TimeOff(Body):
    """`POST /v1/timeoff`."""

    time_off_events: Batch[TimeOffEvent]


Model = TypeVar("Model", bound=BaseModel)


def parse(model: type[Model], body: bytes) -> Model:
    """The body as its model; raises `Malformed`, which names every field at fault."""
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        raise Malformed(
            [f"{'.'.join(map(str, each['loc'])) or 'body'}: {each['msg']}" for each in found]
        ) from None
