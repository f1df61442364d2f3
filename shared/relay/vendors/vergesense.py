"""VergeSense: how many people a space holds, or whether anybody is there.

Follows https://vergesense.readme.io/reference/events. Unsigned: a token in a header of the webhook's
settings. Not confirmed on live traffic: the word for a space that is free; whatever is not `occupied` is.
"""

from collections.abc import Sequence
from hashlib import sha256
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, StringConstraints, ValidationError

from relay.errors import Unparseable
from relay.events import Event, Ignored, SensorReading, Webhook, read_json, unparseable
from relay.vendors.base import Vendor
from relay.vendors.common import TOKEN_IN_HEADER


class _Head(BaseModel):
    event_type: str


class _Report(BaseModel):
    event_type: str
    space_ref_id: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
    timestamp: AwareDatetime
    person_count: int | None = None
    signs_of_life: bool | None = None
    state: str | None = None

    def occupied(self) -> bool | None:
        """Whether anybody is there, by state or by count or signs of life; None where nothing says so."""
        if self.state is not None:
            return self.state.lower() == "occupied"
        if self.person_count is None:
            return self.signs_of_life
        return self.person_count > 0 or bool(self.signs_of_life)


def parse(webhook: Webhook) -> Sequence[Event]:
    """Reports and availability of a space are readings; a motion sensor's trigger alone is ignored."""
    payload = read_json(webhook.body)
    try:
        head = _Head.model_validate(payload)
        if head.event_type not in ("space_report", "space_availability"):
            return [Ignored(reason="other_event")]
        report = _Report.model_validate(payload)
        if report.occupied() is None:
            raise Unparseable("person_count, signs_of_life, state: none of them")
        said = (report.event_type, report.space_ref_id, report.timestamp, report.person_count)
        return [
            SensorReading(
                event_id=sha256("|".join(map(str, (*said, report.occupied()))).encode()).hexdigest(),
                at=report.timestamp,
                sensor=report.space_ref_id,
                people=report.person_count,
                occupied=report.occupied(),
            )
        ]
    except ValidationError as error:
        raise unparseable(error) from None


VENDOR = Vendor(
    name="vergesense",
    title="VergeSense",
    families=("access-control",),
    docs="https://vergesense.readme.io/reference/events",
    signature="none: a token in a header (Bearer, Basic, `X-Api-Key`)",
    forwards="`space_report` and `space_availability`, as counts or occupied states",
    ignores="`pir_triggered`, other events",
    direction="-",
    confidence="high",
    scheme=TOKEN_IN_HEADER,
    parse=parse,
    fresh={"timestamp": "iso"},
)
