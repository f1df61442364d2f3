"""One event on its way, as it waits in a queue: what it is, what is left to be done, and when it is tried."""

import base64
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal
from uuid import uuid4

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from relay.config.model import Config
from relay.errors import Contended
from relay.events import BadgeEvent, Counting, Event, SensorReading, Webhook
from relay.occupancy.rules import Fact

Kind = Literal["occupancy", "time_off"]
KINDS: Mapping[str, Kind] = {"access-control": "occupancy", "hris": "time_off"}
FAMILIES = {kind: family for family, kind in KINDS.items()}
"""What the events of a family's route become, and the family of what is told Calven."""


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """When an event in the Unprocessed queue is tried again: waits in seconds that double from the first."""

    first: float
    longest: float
    jitter: float
    max_age: float

    def wait(self, attempts: int) -> float:
        """The wait after that many attempts, before jitter; none before the first attempt."""
        # The longest wait is reached long before sixteen doublings, and 2.0 ** 1024 is an error.
        return min(self.first * 2.0 ** min(attempts - 1, 16), self.longest) if attempts else 0.0


SCHEDULE = Schedule(first=30, longest=900, jitter=0.2, max_age=26 * 3600)
"""The table in docs/reference/answers.md and the template's numbers follow from it; tests say so."""
AFTER_CONFLICT = replace(SCHEDULE, first=1)
"""For what others' writes were in the way of: they are through in a moment."""
RELAY = "calven relay"
"""In whose name a day is ended that a shadowed source counted in. No source can be called so."""
MOST_FACTS = 100
"""So many facts wait in one envelope: they are sent in one Calven request, and fit into a message."""


class StoredRequest(BaseModel):
    """A verified request as it arrived, without its credentials. `body` is base64."""

    model_config = ConfigDict(frozen=True)

    body: str
    topic: str | None = None
    headers: dict[str, str] = {}

    @classmethod
    def of(cls, webhook: Webhook) -> "StoredRequest":
        """The form in which a webhook waits in a queue."""
        body = base64.b64encode(webhook.body).decode("ascii")
        return cls(body=body, topic=webhook.topic, headers=dict(webhook.headers))

    @property
    def content(self) -> bytes:
        """The body's bytes."""
        try:
            # Without `validate` Python drops what is no base64, and gives some other bytes.
            return base64.b64decode(self.body, validate=True)
        # A letter that somebody changed by hand: no parser reads it, and it stays a dead letter.
        except ValueError:
            return b""

    def webhook(self, received_at: float, counting: Counting) -> Webhook:
        """The webhook again. It was verified before it was stored."""
        return Webhook(
            body=self.content,
            topic=self.topic,
            headers=self.headers,
            received_at=received_at,
            counting=counting,
        )


class Envelope(BaseModel):
    """One event on its way, with what is left to be done in exactly one of `calven`, `event` and `request`.

    `calven` holds settled occupancy events that only have to be sent, `event` a domain event still to be
    settled, `request` a verified request still to be parsed or asked the vendor about.

    `queued_at` is when it came into the Unprocessed queue, where it has been stored there anew since.
    `not_before` is when it is to be tried, where SQS cannot delay it as long as it is asked to wait.
    `correlation_id` is the delivery's, which the vendor was told in its answer.
    With `wrapped` the request's body is no vendor's: it is a message that no version has read yet.
    """

    model_config = ConfigDict(frozen=True)

    id: str = Field(default_factory=lambda: uuid4().hex)
    source: str
    vendor: str
    kind: Kind
    reason: str = ""
    detail: str = ""
    received_at: AwareDatetime
    first_failed_at: AwareDatetime | None = None
    queued_at: AwareDatetime | None = None
    not_before: AwareDatetime | None = None
    attempts: int = 0
    correlation_id: str = ""
    calven: tuple[Fact, ...] | None = None
    event: Event | None = None
    request: StoredRequest | None = None
    wrapped: Literal[True] | None = None

    @model_validator(mode="after")
    def _one_form(self) -> "Envelope":
        if [self.calven, self.event, self.request].count(None) != 2:
            raise ValueError("an envelope holds exactly one of calven, event and request")
        return self

    @property
    def happened_at(self) -> float:
        """When it happened, Unix seconds: the event's own time where it has one, else its receipt."""
        if isinstance(self.event, BadgeEvent | SensorReading):
            return self.event.at.timestamp()
        if self.calven:
            return min(fact.at for fact in self.calven) / 1000
        return self.received_at.timestamp()

    @property
    def event_id(self) -> str:
        """The vendor's id of the event, where it is known; for the log."""
        return self.event.event_id if self.event else ""

    def failed(self, reason: str, detail: str, at: datetime) -> "Envelope":
        """The envelope after one more attempt that came to nothing."""
        # A detail may quote an answer of any length, and a message has 1 MiB.
        update = {"reason": reason, "detail": detail[:1000], "attempts": self.attempts + 1}
        since = {"first_failed_at": self.first_failed_at or at, "not_before": None}
        return self.model_copy(update={**update, **since})

    def dead(self) -> "Envelope":
        """The envelope as a dead letter: what is redriven begins to wait anew."""
        return self.model_copy(update={"queued_at": None, "not_before": None})

    def with_facts(self, facts: Sequence[Fact]) -> "Envelope":
        """The envelope once its event is settled and these facts are all that is left to be sent."""
        return self.model_copy(update={"calven": tuple(facts), "event": None, "request": None})

    def body(self) -> str:
        """ASCII JSON, as SQS refuses some characters."""
        # After a rollback an older version reads it, and refuses fields of an event that it does not know.
        return json.dumps(self.model_dump(mode="json", exclude_none=True))


def in_envelopes(found: Sequence[tuple[str, Fact]], config: Config, now: float) -> list[Envelope]:
    """Facts in envelopes by the source that they are told for. Sources go by their key in the ledger."""
    by_source: dict[str, list[Fact]] = {}
    shadowed = config.shadowed
    for key, fact in found:
        # Nothing is sent in the name of a source that is shadowed, also not that a day ends.
        name = RELAY if key in shadowed else config.named(key)
        by_source.setdefault(name, []).append(fact)
    return [
        Envelope(
            source=source,
            vendor=config.sources[source].vendor if source in config.sources else "unknown",
            kind="occupancy",
            received_at=datetime.fromtimestamp(now, UTC),
            calven=tuple(facts[start : start + MOST_FACTS]),
        )
        for source, facts in by_source.items()
        for start in range(0, len(facts), MOST_FACTS)
    ]


def wait_seconds(attempts: int, base: float = SCHEDULE.first, reason: str = "") -> float:
    """The wait after that many attempts, with jitter. `base` scales it from the schedule's first one."""
    schedule = AFTER_CONFLICT if reason == Contended.default_reason else SCHEDULE
    wait = schedule.wait(attempts) * base / SCHEDULE.first
    # Events that failed together would otherwise come back together.
    return wait * random.uniform(1 - SCHEDULE.jitter, 1 + SCHEDULE.jitter)  # noqa: S311 - spreads retries
