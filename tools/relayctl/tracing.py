"""The way of a webhook's events, step by step, put together from the log and from what the queues hold."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal

from relay.events import iso
from relayctl import dead_letters, wording
from relayctl.dead_letters import Selection
from relayctl.event_log import EventLog, LoggedEvent, Pages
from relayctl.target import Target

Place = Literal["calven", "ignored", "unprocessed", "dead-letter", "nowhere"]
"""Where an event is. What was refused, or is in no queue any more, is `nowhere`."""


@dataclass(frozen=True, slots=True)
class Step:
    """What happened at an instant (Unix seconds): its name, and the rest in words."""

    at: float
    name: str
    text: str = ""


@dataclass(frozen=True, slots=True)
class Now:
    """Where an event is now, and the same in words."""

    place: Place
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """The way of one event: what it was, the ids under which it went, its steps, and where it is now."""

    what: str
    source: str
    vendor: str
    ids: Sequence[str]
    steps: Sequence[Step]
    now: Now


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """What is known of an id: a way for each event of its webhook, and where it was looked for.

    `meant` are the ids that it may be the beginning of: where these are several, there are no ways.
    """

    ways: Sequence[Way] = ()
    meant: Sequence[str] = ()
    searched: Sequence[str] = ()

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "events": [_as_dict(way) for way in self.ways],
            "meant": list(self.meant),
            "searched": list(self.searched),
        }


def _as_dict(way: Way) -> dict[str, Any]:
    return {
        "what": way.what,
        "source": way.source,
        "vendor": way.vendor,
        "ids": list(way.ids),
        "steps": [{"at": iso(step.at), "step": step.name, "text": step.text} for step in way.steps],
        "now": {"place": way.now.place, "text": way.now.text},
    }


@dataclass(slots=True)
class _Chain:
    """The lines of one event, and the ids by which they belong together."""

    lines: list[LoggedEvent] = field(default_factory=list)
    ids: set[str] = field(default_factory=set)


def chains(lines: Sequence[LoggedEvent]) -> list[list[LoggedEvent]]:
    """The lines of each event: those that share an id of the event's, of its envelope, or Calven's."""
    found: list[_Chain] = []
    for line in lines:
        ids = {name for name in (line.event_id, line.envelope_id, *line.calven_ids) if name}
        chain = next((each for each in found if each.ids & ids), None)
        if chain is None:
            chain = _Chain()
            found.append(chain)
        chain.lines.append(line)
        chain.ids |= ids
    return [chain.lines for chain in found]


def steps(lines: Sequence[LoggedEvent]) -> list[Step]:
    """The steps of one event, from the lines of its attempts in order."""
    found: list[Step] = []
    died_at: float | None = None
    for line in lines:
        if line.from_queue and died_at is not None:
            queued_at = max(line.began_at - (line.waited_ms or 0) / 1000, died_at)
            found.append(Step(queued_at, "redriven", "put into the Unprocessed queue again"))
        found += _attempt(line)
        died_at = line.at if line.outcome == "dead-lettered" else None
    return found


def _attempt(line: LoggedEvent) -> list[Step]:
    """The steps of one attempt: how it began, what it passed, what Calven said, what became of it."""
    found = [_beginning(line)]
    passed = {"verified": Step(0, "verified", "its signature is its vendor's")}
    if not line.from_queue:
        passed["parsed"] = Step(0, "parsed", _parsed(line))
    if _is_mapped(line):
        passed["settled"] = Step(0, "mapped", "in the ledger")
    for name, ms in line.steps.items():
        if name in passed:
            found.append(replace(passed[name], at=line.began_at + ms / 1000))
    if line.calven:
        at = line.began_at + line.steps.get("answered", line.took_ms or 0) / 1000
        found.append(Step(at, "answered", wording.calven(line)))
    found.append(Step(line.at, line.outcome, _end(line)))
    return found


def _is_mapped(line: LoggedEvent) -> bool:
    """Whether the ledger took an event: then Calven was asked, a count changed, or it was nothing new."""
    return bool(line.calven or line.counts or (line.outcome == "ignored" and line.what))


def _beginning(line: LoggedEvent) -> Step:
    if line.from_queue:
        waited = "" if line.waited_ms is None else f", {seconds(line.waited_ms)} in the queue"
        return Step(line.began_at, "tried", f"by the retry function{waited}")
    if line.function in ("occupancy-reset", "reconcile"):
        return Step(line.began_at, "due", "by the schedule")
    return Step(line.began_at, "received", f"/webhooks/{line.function}/{line.source}")


def _parsed(line: LoggedEvent) -> str:
    return "1 event" if line.of == 1 else f"{line.of} events"


def _end(line: LoggedEvent) -> str:
    """Why, under which envelope, with which counts."""
    envelope = f"envelope {line.envelope_id}" if line.outcome in ("queued", "dead-lettered") else ""
    answered = f"its vendor got {line.answer}" if line.answer else ""
    parts = (line.reason, line.detail, wording.counts(line), envelope, answered)
    return "; ".join(part for part in parts if part)


def seconds(milliseconds: float) -> str:
    """A time in words: `87 ms`, `31.2 s`, `12 min`, `5.1 h`."""
    if milliseconds < 1000:
        return f"{milliseconds:.0f} ms"
    if milliseconds < 120_000:
        return f"{milliseconds / 1000:.1f} s"
    if milliseconds < 7_200_000:
        return f"{milliseconds / 60_000:.0f} min"
    return f"{milliseconds / 3_600_000:.1f} h"


def trace(target: Target, start_of_id: str, page: Pages = lambda _: None) -> Trace:
    """The way of every event of the webhook that has this id, or one that begins so.

    The log says it; the dead-letter queue is read where the log says that an event waits or is dead, and both
    queues where the log knows nothing. Raises what boto3 raises.
    """
    log = EventLog(target, page)
    lines = log.find(start_of_id)
    if not lines:
        return _in_queues(target, start_of_id, log.groups)
    meant = sorted({name for line in lines for name in line.ids if name.startswith(start_of_id)})
    if len(meant) > 1 and start_of_id not in meant:
        return Trace(meant=meant, searched=log.groups)
    return Trace(ways=ways(_of_whole(lines, start_of_id), target), meant=meant, searched=log.groups)


def _of_whole(lines: Sequence[LoggedEvent], start_of_id: str) -> list[LoggedEvent]:
    """Without the webhooks of ids that only begin as a whole one does."""
    whole = {line.delivery for line in lines if start_of_id in line.ids}
    return [line for line in lines if not whole or line.delivery in whole]


def ways(lines: Sequence[LoggedEvent], target: Target) -> list[Way]:
    """The way of each event that these lines tell of."""
    found = chains(lines)
    kept = {envelope for each in found for envelope in open_envelopes(each)}
    letters = _dead(target, kept) if kept else set()
    waiting = dead_letters.are_waiting(target) if kept else 0
    doors = wording.doors_of(target)
    return [_way(each, letters, waiting, doors) for each in found]


def _way(
    lines: Sequence[LoggedEvent], letters: Collection[str], waiting: int, doors: wording.FindDoor
) -> Way:
    first = next((line for line in lines if line.what), lines[0])
    names = [name for line in lines for name in (line.delivery, line.event_id, line.envelope_id)]
    names += [name for line in lines for name in line.calven_ids]
    return Way(
        what=wording.what(first, doors),
        source=first.source,
        vendor=first.vendor,
        ids=[name for name in dict.fromkeys(names) if name],
        steps=steps(lines),
        now=where(lines, letters, waiting),
    )


def open_envelopes(lines: Sequence[LoggedEvent]) -> dict[str, LoggedEvent]:
    """The envelopes of an event that its log leaves in a queue, each with its last line."""
    last = {line.envelope_id: line for line in lines if line.envelope_id}
    return {name: line for name, line in last.items() if line.outcome in ("queued", "dead-lettered")}


def where(lines: Sequence[LoggedEvent], letters: Collection[str], waiting: int) -> Now:
    """Where an event is, with the ids of the dead letters among its envelopes, and how many events wait."""
    still_open = open_envelopes(lines)
    for name, line in still_open.items():
        if name in letters:
            return Now("dead-letter", f"in the dead-letter queue: {line.reason}")
    for line in still_open.values():
        if line.outcome == "queued":
            return _queued(line, waiting)
    if still_open and waiting:
        text = "not in the dead-letter queue any more: redriven and not tried yet, or purged"
        return Now("unprocessed", text)
    if still_open:
        return Now("nowhere", "not in the dead-letter queue any more: purged, or somebody is reading it")
    return _concluded(lines)


def _queued(line: LoggedEvent, waiting: int) -> Now:
    if not waiting:
        return Now("nowhere", "its queue is empty: it is being tried just now, or was purged")
    return Now("unprocessed", f"in the Unprocessed queue: {line.reason}, {line.attempts} attempts so far")


def _concluded(lines: Sequence[LoggedEvent]) -> Now:
    """The end of an event's way; a duplicate that is ignored leaves it where it came before."""
    if any(line.outcome == "forwarded" for line in lines):
        return Now("calven", "at Calven")
    last = lines[-1]
    if last.outcome == "ignored":
        return Now("ignored", f"ignored: {last.reason}")
    return Now("nowhere", f"{wording.outcome(last)}, and nothing was kept")


def _dead(target: Target, envelopes: Collection[str]) -> set[str]:
    """Which of these envelopes are in the dead-letter queue."""
    selection = Selection(ids=frozenset(envelopes))
    return {str(letter.get("id")) for letter in dead_letters.peek(target, selection, ("id",))}


def _in_queues(target: Target, start_of_id: str, groups: Sequence[str]) -> Trace:
    """What the queues hold of an id that the log does not know: the dead letters, then what waits."""
    waiting = replace(target, dead_letter_queue_url=target.unprocessed_queue_url)
    queues: tuple[tuple[Target, Place, str], ...] = (
        (target, "dead-letter", "the dead-letter queue"),
        (waiting, "unprocessed", "the Unprocessed queue"),
    )
    for queue, place, name in queues:
        found = [letter for letter in dead_letters.peek(queue) if _has_id(letter, start_of_id)]
        if found:
            now = Now(place, f"in {name}; the log does not know it any more, or not yet")
            return Trace(ways=[_way_of_envelope(letter, now) for letter in found], searched=groups)
    return Trace(searched=(*groups, *(name for _, _, name in queues)))


def _has_id(envelope: Mapping[str, Any], start_of_id: str) -> bool:
    return any(name.startswith(start_of_id) for name in _ids(envelope))


def _ids(envelope: Mapping[str, Any]) -> list[str]:
    names = [
        envelope.get("correlation_id"),
        envelope.get("id"),
        (envelope.get("event") or {}).get("event_id"),
    ]
    names += [fact.get("event_id") for fact in envelope.get("calven") or ()]
    return [str(name) for name in names if name]


def _way_of_envelope(envelope: Mapping[str, Any], now: Now) -> Way:
    """What an envelope alone says: when it was received, and when it first failed."""
    found: list[Step] = []
    for name, key in (("received", "received_at"), ("failed", "first_failed_at")):
        if at := _seconds(envelope.get(key)):
            found.append(Step(at, name, str(envelope.get("detail", "")) if name == "failed" else ""))
    return Way(
        what=f"event: {envelope.get('reason', '')}",
        source=str(envelope.get("source", "")),
        vendor=str(envelope.get("vendor", "")),
        ids=_ids(envelope),
        steps=found,
        now=now,
    )


def _seconds(text: Any) -> float | None:
    try:
        return datetime.fromisoformat(text).timestamp()
    except (TypeError, ValueError):
        return None
