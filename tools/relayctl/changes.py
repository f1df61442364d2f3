"""What `relayctl send` changes in a payload: at which door, by whom, when, and any field by its path."""

import copy
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from zlib import crc32

from relay.errors import TooLarge, Unparseable
from relay.events import BadgeEvent, Event, Ignored, LeaveChange, SensorReading, Webhook, same_person
from relay.vendors.support.base import Fresh, Subject, Vendor

TIMES = frozenset({"iso", "seconds", "milliseconds"})
"""Kinds of fields that hold a time."""
AT_WHICH_DOOR, ABOUT_WHOM, WHEN = "at which door or sensor it was", "whom it is about", "when it was"
MOST_LEAVES = 10**9
_NUMBER = re.compile(r"\d+")


class NoField(Exception):
    """The payload has no field for an option; the message says for which."""


@dataclass(frozen=True, kw_only=True)
class Changes:
    """What is to be changed; None, and nothing in `fields`, leaves a payload as it is.

    `fields` are dotted paths with their values.
    """

    door: str | None = None
    person: str | None = None
    at: datetime | None = None
    fields: Sequence[tuple[str, Any]] = ()


@dataclass(frozen=True)
class Place:
    """Where a value stands: the mapping or list that holds it, and its key or index in there."""

    holder: Any
    key: Any

    @property
    def value(self) -> Any:
        """What stands there."""
        return self.holder[self.key]

    def put(self, value: Any) -> None:
        """Have something else stand there."""
        self.holder[self.key] = value


def changed(vendor: Vendor, payload: Any, changes: Changes, topic: str | None = None, number: int = 0) -> Any:
    """A payload with the door, the person and the time that are wanted; raises `NoField`.

    For each `number` but 0 it is about another person. What cannot be found again in what the payload means
    has no field for it, whatever its fields are called.
    """
    made = copy.deepcopy(payload)
    person = another(changes.person, number) if changes.person else None
    if changes.door is not None:
        _say(made, vendor, "door", changes.door, "--door")
    if person is not None or number:
        _say_person(made, vendor, person, number)
    if changes.at is not None:
        _say_time(made, vendor, changes.at)
    for event in events(vendor, made, topic):
        _check(event, vendor, replace(changes, person=person))
    return made


def events(vendor: Vendor, payload: Any, topic: str | None = None) -> Sequence[Event]:
    """What a payload means; nothing where the relay could not read it either."""
    body = json.dumps(payload).encode()
    return read(vendor, body, topic)


def read(vendor: Vendor, body: bytes, topic: str | None = None) -> Sequence[Event]:
    """The same of a body."""
    if vendor.is_ping(body) or vendor.handshake(body):
        return ()
    try:
        return vendor.read(Webhook(body=body, received_at=datetime.now(UTC).timestamp(), topic=topic))
    except (Unparseable, TooLarge):
        return ()


def another(name: str, number: int) -> str:
    """Another one's address or id: `sam+2@example.com` for `sam@example.com`, 72 for 70, `x-2` for `x`.

    The same for 0.
    """
    if number == 0:
        return name
    local, at, domain = name.rpartition("@")
    if at:
        return f"{local}+{number}@{domain}"
    if _NUMBER.fullmatch(name):
        return f"{int(name) + number:0{len(name)}}"
    return f"{name}-{number}"


def set_field(payload: Any, path: str, value: Any) -> bool:
    """Put a value at a dotted path, in place; whether there was such a field. A list is indexed by number.

    Raises `NoField` where the path leads into a text, a number or nothing, or beyond a list's end.
    """
    *steps, last = path.split(".")
    holder = payload
    for step in steps:
        holder = _step(holder, step, path)
    key = _key(holder, last, path)
    known = isinstance(holder, list) or key in holder
    holder[key] = value
    return known


def as_value(text: str) -> Any:
    """What is meant by a text: JSON, where it is some; else the text itself."""
    try:
        return json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return text


def as_text(kind: Fresh, at: datetime) -> str | int:
    """A time in a vendor's form."""
    match kind:
        case "seconds":
            return int(at.timestamp())
        case "milliseconds":
            return int(at.timestamp() * 1000)
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def places(node: Any, path: Sequence[str]) -> Iterator[Place]:
    """Everywhere that a path leads to: of a list, into each entry; `*` is any key."""
    if isinstance(node, list):
        for entry in node:
            yield from places(entry, path)
    elif isinstance(node, dict) and path[0] == "*":
        for entry in node.values():
            yield from places(entry, path[1:])
    elif isinstance(node, dict) and path[0] in node:
        if path[1:]:
            yield from places(node[path[0]], path[1:])
        else:
            yield Place(node, path[0])


def with_fields(payload: Any, changes: Changes, unknown: Callable[[str], object] = lambda _: None) -> Any:
    """The payload with the fields that are set; `unknown` is told those that it did not have."""
    made = copy.deepcopy(payload)
    for path, value in changes.fields:
        if not set_field(made, path, value):
            unknown(path)
    return made


def _no_constant(name: str) -> None:
    raise ValueError(name)


def _step(holder: Any, step: str, path: str) -> Any:
    key = _key(holder, step, path)
    if isinstance(holder, dict):
        return holder.setdefault(key, {})
    return holder[key]


def _key(holder: Any, step: str, path: str) -> Any:
    """The key or index that a step of a path is; raises `NoField`."""
    if isinstance(holder, dict):
        return step
    if not isinstance(holder, list):
        raise NoField(f"--set {path}: there is nothing in which {step!r} could be")
    if not _NUMBER.fullmatch(step) or int(step) >= len(holder):
        raise NoField(f"--set {path}: {step!r} is no index of a list of {len(holder)}")
    return int(step)


def _say(payload: Any, vendor: Vendor, subject: Subject, name: str, option: str) -> None:
    found = list(_said(payload, vendor, subject))
    if not found:
        raise NoField(_lacks(vendor, option, AT_WHICH_DOOR))
    for place in found:
        place.put(_like(place.value, name))


def _say_person(payload: Any, vendor: Vendor, person: str | None, number: int) -> None:
    """Have it be about a person: the one that is named, else for each number another one than it is now."""
    found = list(_said(payload, vendor, "person"))
    if not found:
        raise NoField(_lacks(vendor, "--person" if person else "--count", ABOUT_WHOM))
    before = str(found[0].value)
    for place in found:
        place.put(_like(place.value, person or another(str(place.value), number)))
    now = same_person(str(found[0].value))
    if now != same_person(before):
        # One leave that changes hands ends for whoever had it: another person's is another leave. It is the
        # same one each time, so that it can be changed and cancelled.
        for place in _said(payload, vendor, "leave"):
            place.put(_like(place.value, another(str(place.value), crc32(now.encode()) % MOST_LEAVES + 1)))


def _said(payload: Any, vendor: Vendor, subject: Subject) -> Iterator[Place]:
    """Everywhere that a payload says which door, person or leave it is about, and does say one."""
    for path, of in vendor.subjects.items():
        if of == subject:
            yield from (place for place in places(payload, path.split(".")) if place.value not in (None, ""))


def _like(value: Any, name: str) -> str | int:
    """A name as the payload writes such names: as a number where there was one, and this is one."""
    return int(name) if isinstance(value, int) and _NUMBER.fullmatch(name) else name


def _say_time(payload: Any, vendor: Vendor, at: datetime) -> None:
    times = {path: kind for path, kind in vendor.fresh.items() if kind in TIMES}
    found = [(place, kind) for path, kind in times.items() for place in places(payload, path.split("."))]
    if not found:
        raise NoField(_lacks(vendor, "--at", WHEN))
    for place, kind in found:
        place.put(as_text(kind, at))


def _check(event: Event, vendor: Vendor, changes: Changes) -> None:
    """Raise `NoField` where an event does not say what the payload was changed to say."""
    if isinstance(event, Ignored):
        return
    if changes.door is not None and door_of(event) != changes.door:
        raise NoField(_lacks(vendor, "--door", AT_WHICH_DOOR))
    if changes.person is not None and person_of(event) != changes.person:
        raise NoField(_lacks(vendor, "--person", ABOUT_WHOM))
    if changes.at is not None and not _is_at(event, changes.at):
        raise NoField(_lacks(vendor, "--at", WHEN))


def door_of(event: Event) -> str | None:
    """The door or sensor of an event, if it has one."""
    match event:
        case BadgeEvent():
            return event.door
        case SensorReading():
            return event.sensor
    return None


def person_of(event: Event) -> str | None:
    """Whom an event is about, if it says so: an address or an id."""
    match event:
        case BadgeEvent():
            return event.person
        case LeaveChange():
            return event.email
    return None


def _is_at(event: Event, at: datetime) -> bool:
    """Whether an event is of a time, as exactly as vendors write times: to the second."""
    match event:
        case BadgeEvent() | SensorReading():
            return abs((event.at - at).total_seconds()) < 1
        case LeaveChange():
            return event.version.startswith(f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%S}")
    return False


def _lacks(vendor: Vendor, option: str, what: str) -> str:
    why = f": {vendor.title}'s API is asked for it, so leave {option} out" if vendor.fetch else ""
    return f"{option}: this event of {vendor.title} does not say {what}{why}"
