"""What the stand-ins for the vendors' APIs list: the things that webhooks have told of.

`events/<vendor>/list.yaml` says how the vendor lists what its samples say: the `calls` of the listing, and in
`entries` the entry of each sample.
"""

import json
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict
from ruamel.yaml import YAML
from ruamel.yaml.constructor import SafeConstructor

from localrun.sandbox_rules import Body, Malformed, Text
from relay import vendors
from relay.errors import TooLarge, Unparseable
from relay.events import BadgeEvent, Event, Ignored, LeaveChange, SensorReading, ThinEvent, Webhook
from relay.vendors.support.base import Vendor
from relayctl import samples

ENTRIES = "{{entries}}"
"""Stands for all entries in the answer of a call."""
_MOST_SHOWN = 10_000


class ListCall(BaseModel):
    """A call of a listing: its route, the header that it must have, and its answer.

    All entries are on the first page. `paged_by` is the parameter that numbers the pages, where a listing
    goes on until a page is empty, and `first` the first page's number. `things` are the entries of a listing
    that has always the same, such as doors. `days` are the parameters with the first and the last day that a
    page is about, and the fields with those of an entry, where the vendor filters by overlap.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str
    answer: Any
    method: str = "GET"
    auth: str = ""
    paged_by: str | None = None
    first: str = "1"
    things: tuple[Any, ...] | None = None
    days: tuple[str, str, str, str] | None = None

    @property
    def lists(self) -> bool:
        """Whether its answer has the entries: some calls only prepare a list."""
        return ENTRIES in json.dumps(self.answer)

    def asked_for(self, entries: Sequence[Any], query: Mapping[str, str]) -> list[Any]:
        """Those of all entries that are on the page. Behind the last page there is nothing."""
        if self.paged_by is not None and query.get(self.paged_by, self.first) != self.first:
            return []
        if self.things is not None:
            return list(self.things)
        if self.days is None:
            return list(entries)
        first, last, start, end = self.days
        asked_first, asked_last = query.get(first, ""), query.get(last, "9999")
        return [one for one in entries if one[start] <= asked_last and one[end] >= asked_first]

    def answered(self, entries: list[Any]) -> Any:
        """The answer where these are the entries of the page."""
        return _with_entries(self.answer, entries)


class Listing(BaseModel):
    """How a vendor lists what its samples say; an entry is None where the thing is in the list no more.

    A value that is exactly `{{a.b}}` is what the sample itself has at `a.b`. A sample that says several
    things may have a list of as many entries. `fresh` are the times in an entry that are those of now, where
    the sample has none, or writes it in another way.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    calls: tuple[ListCall, ...]
    entries: dict[str, Any] = {}
    fresh: tuple[str, ...] = ()

    def entries_of(self, said: "HappenedRequest") -> list[Any]:
        """What a sample that was posted is in the list; nothing where it is not in the list any more.

        Raises `Malformed` for an entry that names what the payload lacks.
        """
        entry = self.entries[said.sample]
        if entry is None:
            return []
        found = resolved(entry, said.payload)
        entries = found if isinstance(found, list) else [found]
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        times = dict.fromkeys(self.fresh, now)
        return [{**one, **times} if times else one for one in entries]


class HappenedRequest(Body):
    """`POST /_vendors/happened`: the payload that a sample was posted with."""

    vendor: Text
    sample: Text
    payload: Any


class _Json(SafeConstructor):
    """YAML whose dates and times are text, as they are in JSON."""


_Json.add_constructor("tag:yaml.org,2002:timestamp", SafeConstructor.construct_scalar)


@cache
def listings(events: Path) -> Mapping[str, Listing]:
    """What each vendor's `list.yaml` says, by the vendor's name."""
    yaml = YAML(typ="safe", pure=True)
    yaml.Constructor = _Json
    found = sorted(events.glob("*/list.yaml"))
    return {path.parent.name: Listing.model_validate(yaml.load(path)) for path in found}


@dataclass
class Happened:
    """What has happened at the vendors: all that was posted, and what each vendor lists of it."""

    listings: Mapping[str, Listing]
    posted: deque[HappenedRequest] = field(default_factory=lambda: deque(maxlen=_MOST_SHOWN))
    listed: dict[str, dict[str, Any]] = field(default_factory=dict)

    def take(self, said: HappenedRequest) -> None:
        """Take what a sample says: it comes in the place of what was listed of the same thing.

        Raises `Malformed` for a vendor that there is not, and for an entry that names what the payload lacks.
        """
        try:
            vendor = vendors.load(said.vendor)
        except vendors.UnknownVendor:
            raise Malformed([f"vendor: there is no {said.vendor}"]) from None
        listing = self.listings.get(said.vendor)
        if listing and said.sample in listing.entries:
            self._list(vendor.name, _things(vendor, said), listing.entries_of(said))
        self.posted.append(said)

    def _list(self, vendor: str, things: Sequence[str], entries: Sequence[Any]) -> None:
        listed = self.listed.setdefault(vendor, {})
        for thing in things:
            listed.pop(thing, None)
        for thing, entry in zip(things, entries, strict=False):
            if entry is not None:
                listed[thing] = entry

    def asked_for(self, vendor: str, call: ListCall, query: Mapping[str, str]) -> list[Any]:
        """What the vendor lists now on the page that is asked for."""
        return call.asked_for(list(self.listed.get(vendor, {}).values()), query)

    def clear(self) -> None:
        """Forget all of it."""
        self.posted.clear()
        self.listed.clear()


def _things(vendor: Vendor, said: HappenedRequest) -> list[str]:
    """The ids of what a payload is about, in its order; none for one that the relay would not read."""
    body = samples.as_body(said.payload)
    webhook = Webhook(body=body, received_at=0.0, topic=samples.topic(vendor, said.sample))
    try:
        found = [_thing(event) for event in vendor.read(webhook)]
    except (Unparseable, TooLarge):
        return []
    return list(dict.fromkeys(filter(None, found)))


def _thing(event: Event) -> str:
    match event:
        case LeaveChange():
            return event.leave_id
        case ThinEvent():
            return event.subject
        case BadgeEvent() | SensorReading() | Ignored():
            return event.event_id
    return ""


def resolved(entry: Any, payload: Any) -> Any:
    """An entry with each `{{a.b}}` replaced by what the payload has there, its type kept.

    Raises `Malformed` where the payload has nothing there.
    """
    if isinstance(entry, Mapping):
        return {key: resolved(value, payload) for key, value in entry.items()}
    if isinstance(entry, list):
        return [resolved(value, payload) for value in entry]
    if isinstance(entry, str) and entry.startswith("{{") and entry.endswith("}}"):
        return _value_at(entry[2:-2].strip(), payload)
    return entry


def _value_at(path: str, payload: Any) -> Any:
    """The value at a path of keys and places in lists."""
    value = payload
    try:
        for step in path.split("."):
            value = value[int(step)] if isinstance(value, list) else value[step]
    except (KeyError, IndexError, ValueError, TypeError):
        raise Malformed([f"payload: there is nothing at {path}"]) from None
    return value


def _with_entries(answer: Any, entries: list[Any]) -> Any:
    if answer == ENTRIES:
        return entries
    if isinstance(answer, Mapping):
        return {key: _with_entries(value, entries) for key, value in answer.items()}
    if isinstance(answer, list):
        return [_with_entries(value, entries) for value in answer]
    return answer
