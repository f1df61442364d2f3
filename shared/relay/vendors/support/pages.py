"""What reading a page of a vendor's list takes, whatever the vendor."""

import json
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from typing import Any
from urllib.parse import quote

from relay.errors import Unparseable
from relay.events import BadgeEvent, Event, MalformedEvent, SensorReading, unparseable_if_invalid
from relay.vendors.support.fields import name_of
from relay.vendors.support.listing import DoorPage, Listed, Span


def entries_at(answer: Any, key: str) -> list[Any]:
    """The entries that an answer has under a key.

    Raises `Unparseable` where there are none: an error that comes as a 200 must not look like an empty list.
    """
    found = answer.get(key) if isinstance(answer, Mapping) else None
    if not isinstance(found, list):
        raise Unparseable(f"list: no {key}")
    return found


def all_entries(answer: Any) -> list[Any]:
    """The entries of an answer that is a list by itself; raises `Unparseable` for any other."""
    if not isinstance(answer, list):
        raise Unparseable("list: the answer is none")
    return answer


def text_at(answer: Any, key: str) -> str | None:
    """The text that an answer has under a key, such as the next page's token; None without one."""
    found = answer.get(key) if isinstance(answer, Mapping) else None
    # Not by whether it is true: 0 may be an id.
    return str(found) if isinstance(found, str | int) and found != "" else None


def cursor_at(answer: Any, key: str) -> str | None:
    """The next page's cursor that an answer has under a key, null after the last page.

    Raises `Unparseable` where there is no such key: only null says that there is no more.
    """
    if not isinstance(answer, Mapping) or key not in answer:
        raise Unparseable(f"list: no {key}")
    return text_at(answer, key)


def number_at(answer: Any, key: str) -> int:
    """The number that an answer has under a key, such as how many pages there are.

    Raises `Unparseable` without one.
    """
    found = answer.get(key) if isinstance(answer, Mapping) else None
    if not isinstance(found, int):
        raise Unparseable(f"list: no {key}")
    return found


def each_listed(
    entries: Sequence[Any],
    read: Callable[[Any], Event],
    body: Callable[[Any], Any] = lambda entry: entry,
    *,
    key: str = "id",
) -> list[Event]:
    """The event of each entry; one that cannot be read is a malformed event with what `body` makes of it.

    It has the id that the entry has under `key`.
    """
    events: list[Event] = []
    for entry in entries:
        try:
            with unparseable_if_invalid():
                events.append(read(entry))
        except Unparseable as refusal:
            content = json.dumps(body(entry))
            events.append(
                MalformedEvent(event_id=text_at(entry, key) or "", body=content, detail=str(refusal))
            )
    return events


def within(span: Span, events: Sequence[Event]) -> list[Event]:
    """The events without those that happened outside the span: not every vendor filters as it is asked."""
    kept = []
    for event in events:
        if isinstance(event, BadgeEvent | SensorReading):
            at = event.at.timestamp()
            if not span.since <= at <= span.until:
                continue
        kept.append(event)
    return kept


def another(following: str | None, before: str | None) -> str | None:
    """The page after the one that was named `before`; raises `Unparseable` where it is the same again."""
    if following is not None and following == before:
        raise Unparseable("list: a page names itself as the next one")
    return following


def doors_at(entries: Sequence[Any], key: str = "id") -> list[Listed]:
    """The doors that entries tell of, with the id under that key; raises `Unparseable` for one without."""
    return [Listed("door", _id_at(entry, key), name_of(entry)) for entry in entries]


def _id_at(entry: Any, key: str) -> str:
    found = text_at(entry, key)
    if found is None:
        raise Unparseable(f"list: an entry without {key}")
    return found


def number_of(following: str | None, first: int) -> int:
    """The number that the next page is asked for with, of a list that `numbered` goes through."""
    return int(following.partition(" ")[0]) if following else first


def numbered(listed: Sequence[Listed], following: str | None, number: int) -> DoorPage:
    """A page of a list that ends with an empty page, and goes on with that number behind any other.

    Raises `Unparseable` for a page that says what the one before said: numbers go on for ever.
    """
    if not listed:
        return DoorPage(())
    said = sha256(repr(listed).encode()).hexdigest()[:16]
    if following and following.partition(" ")[2] == said:
        raise Unparseable("list: a page is the same as the one before")
    return DoorPage(listed, f"{number} {said}")


def query(**parameters: str | int | None) -> str:
    """Parameters as the query of a path, without those that are None."""
    given = [
        f"{name}={quote(str(value), safe='')}" for name, value in parameters.items() if value is not None
    ]
    return "?" + "&".join(given) if given else ""
