"""VergeSense: how many people a space holds, or whether anybody is there.

Follows https://vergesense.readme.io/reference/events. A report is an object; availability and motion come as
arrays, of which each entry is a space. Unsigned: a token in a header of the webhook's settings.
"""

from collections.abc import Sequence
from typing import Any

from pydantic import Field

from relay.errors import Unparseable
from relay.events import Event, Ignored, SensorReading, Webhook, read_json
from relay.vendors.support.base import Vendor
from relay.vendors.support.fields import Instant, OptionalText, Payload, digest, known
from relay.vendors.support.fixed_tokens import TOKEN_IN_HEADER
from relay.vendors.support.several import as_list, each

STATES = {"occupied": True, "available": False, "free": False}
"""Whether anybody is there; `free` is the help page's word for `available`."""


class _Head(Payload):
    event_type: str


class _Report(Payload):
    event_type: str
    reference: OptionalText = Field(default=None, alias="space_ref_id")
    space: OptionalText = Field(default=None, alias="space_id")
    timestamp: Instant
    person_count: int | None = None
    signs_of_life: bool | None = None
    state: OptionalText = None

    def sensor(self) -> str:
        """The customer's name for the space, else VergeSense's id; raises `Unparseable` without both."""
        found = self.reference or self.space
        if found is None:
            raise Unparseable("space_id: missing")
        return found

    def occupied(self) -> bool:
        """Whether anybody is there, by state or by count or signs of life; raises `Unparseable`."""
        if self.state is not None:
            return known(STATES, self.state, "state")
        if self.person_count is None and self.signs_of_life is None:
            raise Unparseable("person_count, signs_of_life, state: none of them")
        return (self.person_count or 0) > 0 or bool(self.signs_of_life)


def parse(webhook: Webhook) -> Sequence[Event]:
    """Reports and availability of a space are readings; a motion sensor's trigger alone is ignored."""
    payload = read_json(webhook.body)
    return each(as_list(payload), _event, list, webhook.body)


def _event(entry: Any) -> Event:
    if _Head.model_validate(entry).event_type not in ("space_report", "space_availability"):
        return Ignored(reason="other_event")
    report = _Report.model_validate(entry)
    occupied = report.occupied()
    # Nobody was counted and somebody was noticed: how many there are is not known.
    uncounted = report.person_count == 0 and bool(report.signs_of_life) and occupied
    # Nothing here has an id: what it says of an instant stands for it.
    said = (report.event_type, report.sensor(), report.timestamp, report.person_count, occupied)
    return SensorReading(
        event_id=digest(*said),
        at=report.timestamp,
        sensor=report.sensor(),
        people=None if uncounted else report.person_count,
        occupied=occupied,
    )


VENDOR = Vendor(
    name="vergesense",
    title="VergeSense",
    families=("access-control",),
    docs="https://vergesense.readme.io/reference/events",
    signature="none: a token in a header (Bearer, Basic, `X-Api-Key`)",
    forwards="`space_report` and `space_availability`, as counts or occupied states",
    ignores="`pir_triggered`, `motion_detected`, other events",
    direction="-",
    confidence="high",
    scheme=TOKEN_IN_HEADER,
    parse=parse,
    fresh={"timestamp": "iso"},
    subjects={"space_ref_id": "door", "space_id": "door"},
)
