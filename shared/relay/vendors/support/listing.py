"""What a vendor's API lists: leave that overlaps some days, what happened since an instant, or doors.

A list says what webhooks say, so that a lost webhook can be made good. A page holds the very events that the
vendor's webhooks would have become: a `LeaveChange`, or a `ThinEvent` with the `change` and the `employee`
where only the vendor's API knows the address; a `BadgeEvent` or a `SensorReading`. They come from the same
code, and have the same ids.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Literal, Protocol

from relay.events import Counting, Event
from relay.vendors.support.base import VendorApi


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """The days of which leave is listed, both inclusive, and when the listing began (Unix seconds)."""

    first: date
    last: date
    began: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """The time of which events are listed: from `since` up to `until` (both Unix seconds).

    `counting` is what the source's configuration says of which events count, as a webhook has it.
    """

    since: float
    until: float
    counting: Counting = field(default_factory=Counting)

    @property
    def asked_since(self) -> float:
        """What a vendor is asked for: a second more, as not all list what happened at `since` itself."""
        return self.since - 1


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list: its events, and where the next page is, in the vendor's own terms.

    `following` is None after the last page; it is text, because a listing that runs out of time goes on from
    it in another process. `ranges` are the ids of leave of which only the first and the last day are said as
    they are, as by a calendar that shows everybody who is away.
    """

    events: Sequence[Event]
    following: str | None = None
    ranges: Collection[str] = ()


class LeavePage(Protocol):
    """Asks for one page of leave."""

    def __call__(self, api: VendorApi, window: Window, following: str | None) -> Page:
        """The page that `following` names, or the first one."""


class EventPage(Protocol):
    """Asks for one page of events."""

    def __call__(self, api: VendorApi, span: Span, following: str | None) -> Page:
        """The page that `following` names, or the first one."""


@dataclass(frozen=True, kw_only=True)
class LeaveList:
    """How a vendor's leave is listed.

    `page` gives the page that `following` of the one before named, or the first one (None). It raises
    `Unparseable` for an answer that is no such list, and what the API raises. An entry that cannot be read is
    a `MalformedEvent` among the others.

    `version` says what tells an older entry from a newer one: the vendor's own time of change (`own`), where
    its webhooks carry that too, else the time when the listing began (`asked`), which `Window.began` holds.

    `days` are a `range` where a list has only the first and the last day of a leave, while webhooks say which
    days between them are taken. `needs` are optional fields of the secret's `api` that the list needs.

    `lacks` says what it means that a complete list lacks a leave of its window: that the leave has `ended`,
    where the list is proven to go by overlap; or `nothing`. With `knows`, the vendor is asked for the leave
    by its id before, and it has ended only where the vendor does not know it.
    """

    page: "LeavePage"
    version: Literal["own", "asked"]
    lacks: Literal["ended", "nothing"]
    knows: Callable[[VendorApi, str], bool] | None = None
    days: Literal["exact", "range"] = "exact"
    needs: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class EventList:
    """How what happened at a vendor's doors and sensors is listed; `page` is as for leave."""

    page: "EventPage"


@dataclass(frozen=True, slots=True)
class Listed:
    """A door or a sensor that the vendor knows, by the id that its events have, and what it is called."""

    kind: Literal["door", "sensor"]
    id: str
    name: str | None = None


@dataclass(frozen=True, slots=True)
class DoorPage:
    """One page of a list of doors and sensors; `following` is as in `Page`."""

    listed: Sequence[Listed]
    following: str | None = None


class AskForDoors(Protocol):
    """Asks for one page of doors and sensors."""

    def __call__(self, api: VendorApi, following: str | None) -> DoorPage:
        """The page that `following` names, or the first one."""


@dataclass(frozen=True, kw_only=True)
class DoorList:
    """How a vendor's doors and sensors are listed, for operators; `page` is as for leave."""

    page: "AskForDoors"
