"""Any system that can post JSON: this project's own format, signed by Standard Webhooks.

The format is `docs/reference/schema/generic.json`, made from the models below; the signature is that of
https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md, or a token for a
system that can set a header or call a URL and cannot sign. Badges and readings go to a source on the
access-control route, leave to one on the HR route.
"""

from collections.abc import Sequence
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter

from relay.errors import Unparseable
from relay.events import (
    EARLIEST,
    LATEST,
    BadgeEvent,
    Direction,
    Event,
    Id,
    LeaveChange,
    LeaveState,
    SensorReading,
    Webhook,
    iso_ms,
    milliseconds,
    read_json,
)
from relay.vendors.support.base import Vendor
from relay.vendors.support.fields import PART_OF_A_DAY, Instant, without_blanks
from relay.vendors.support.fixed_tokens import TOKEN_IN_HEADER
from relay.vendors.support.several import MOST_EVENTS, as_list, each
from relay.vendors.support.signatures import StandardWebhooks

Day = Annotated[date, BeforeValidator(without_blanks)]


class _Model(BaseModel):
    # A misspelt `person` would be a badge of nobody, and nobody would notice.
    model_config = ConfigDict(extra="forbid")


class Badge(_Model):
    """A person was let through a door."""

    type: Literal["badge"]
    id: Id = Field(description="unique for each event; the same again where the event is sent again")
    at: Instant = Field(description="when it happened, with a time zone")
    door: Id = Field(description="the door's id, as `doors` of relay.yaml has it")
    person: Annotated[str, Field(min_length=1, max_length=320)] | None = Field(
        default=None, description="an e-mail address or any other id; kept as a keyed hash only"
    )
    direction: Direction | None = Field(
        default=None, description="wins over the direction that is configured for the door"
    )

    def event(self) -> Event:
        """As a domain event."""
        return BadgeEvent(
            event_id=self.id, at=self.at, door=self.door, person=self.person, direction=self.direction
        )


class Reading(_Model):
    """How many people a sensor saw, or whether there is anybody: at least one of the two."""

    type: Literal["reading"]
    id: Id = Field(description="unique for each event; the same again where the event is sent again")
    at: Instant = Field(description="when it was taken, with a time zone")
    sensor: Id = Field(description="the sensor's id, as `sensors` of relay.yaml has it")
    # Else pydantic takes `true` for one person, and `"3"` for three.
    people: Annotated[int, Field(strict=True, ge=0, le=1_000_000)] | None = None
    occupied: bool | None = None

    def event(self) -> Event:
        """As a domain event."""
        return SensorReading(
            event_id=self.id, at=self.at, sensor=self.sensor, people=self.people, occupied=self.occupied
        )


class Leave(_Model):
    """What a leave has become. Every change of it is sent whole, under the same `leave`."""

    type: Literal["leave"]
    id: Id = Field(description="unique for each event; the same again where the event is sent again")
    leave: Id = Field(description="the leave's own id, the same for all that happens to it")
    state: LeaveState = Field(description="`ended` is declined, cancelled or deleted")
    changed_at: Instant = Field(
        ge=EARLIEST,
        lt=LATEST,
        alias="changedAt",
        description="when it changed, with a time zone: the latest change counts",
    )
    email: Annotated[str, Field(max_length=320)] | None = Field(
        default=None, description="the employee's address; may be left out of the end of a known leave"
    )
    start: Day | None = Field(default=None, description="the first day off, the employee's calendar day")
    end: Day | None = Field(default=None, description="the last day off")
    leave_type: Annotated[str, Field(max_length=200)] | None = Field(
        default=None, alias="leaveType", description="a name for `timeOffTypes` of relay.yaml"
    )
    first_day_part: bool = Field(default=False, alias="firstDayPart")
    last_day_part: bool = Field(default=False, alias="lastDayPart")
    every_day_part: bool = Field(default=False, alias="everyDayPart")
    replaces: Id | None = Field(default=None, description="the leave that this one takes the place of")

    def event(self) -> LeaveChange:
        """As a domain event."""
        return LeaveChange(
            event_id=self.id,
            leave_id=self.leave,
            state=self.state,
            version=iso_ms(milliseconds(self.changed_at)),
            email=self.email,
            start=self.start and self.start.isoformat(),
            end=self.end and self.end.isoformat(),
            # Without a start as well the dates are missing, which is another reason.
            open_ended=self.state == "approved" and self.start is not None and self.end is None,
            type_name=self.leave_type,
            first_day_part=self.first_day_part,
            last_day_part=self.last_day_part,
            each_day=PART_OF_A_DAY if self.every_day_part else None,
            replaces=self.replaces,
        )


Entry = Annotated[Badge | Reading | Leave, Field(discriminator="type")]
ENTRY: TypeAdapter[Badge | Reading | Leave] = TypeAdapter(Entry)
Entries = Annotated[list[Entry], Field(min_length=1, max_length=MOST_EVENTS)]
BODY: TypeAdapter[Any] = TypeAdapter(Entry | Entries)
"""What the schema is made of; entries are read one by one, so that one at fault costs no other."""


def parse(webhook: Webhook) -> Sequence[Event]:
    """Each entry as the event that it is."""
    payload = read_json(webhook.body)
    if payload == []:
        raise Unparseable("body: a list of no events")
    return each(as_list(payload), _event, list, webhook.body)


def _event(entry: Any) -> Event:
    return ENTRY.validate_python(entry).event()


VENDOR = Vendor(
    name="generic",
    title="Anything else",
    families=("access-control", "hris"),
    docs="https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md",
    signature="`webhook-signature`, Standard Webhooks; or a token in a header or `?token=`",
    forwards="badges, readings and leave in [our own JSON format](generic.md)",
    ignores="requested leave",
    direction="event or door",
    confidence="high",
    scheme=StandardWebhooks(),
    second_scheme=TOKEN_IN_HEADER,
    parse=parse,
    fresh={"id": "id", "at": "iso", "changedAt": "iso"},
    subjects={"door": "door", "sensor": "door", "person": "person", "email": "person", "leave": "leave"},
)
