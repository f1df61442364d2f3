"""What the log of events comes to, as far as it has been read: pure, and of a size that does not grow."""

from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from relayctl.event_log import LoggedEvent

MOST_EVENTS = 1000
"""So many of the newest events are kept whole."""
STEP_SECONDS = 300
"""The line of a day has one point for so long."""
KEPT_SECONDS = 26 * 3600.0
NO_REQUEST = ("refused", "unknown", "unavailable")
"""Outcomes of requests that came to no event."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """An event in the Unprocessed queue: why it waits, since when (Unix seconds), how often it was tried."""

    reason: str
    source: str
    received_at: float
    attempts: int


@dataclass(slots=True)
class LogState:
    """What is known of events since an instant (`since`, Unix seconds).

    `recent` are the newest events, in order of time. `points` has each place's count by the place's name and
    the steps of time, the last one in each. `refused` counts the requests of each source whose signature was
    not its vendor's, `heard` is when a source sent something last. `ends` is what became last of each event
    that was in a queue, by its envelope's id, and when: `waiting` are those of them that wait. `words` has
    what an event was, by its `log_id`. `number` counts the events that were new.
    """

    since: float
    recent: deque[LoggedEvent] = field(default_factory=lambda: deque(maxlen=MOST_EVENTS))
    points: dict[str, dict[int, tuple[float, int]]] = field(default_factory=dict)
    refused: Counter[str] = field(default_factory=Counter)
    heard: dict[str, float] = field(default_factory=dict)
    ends: dict[str, tuple[float, Waiting | None]] = field(default_factory=dict)
    words: dict[str, str] = field(default_factory=dict)
    number: int = 0

    @property
    def version(self) -> tuple[float, int]:
        """Changes with whatever was taken in."""
        return self.since, self.number

    def add(self, events: Sequence[LoggedEvent]) -> None:
        """Take in what came since the last time, in order of time."""
        self.number += len(events)
        self.recent.extend(events)
        self._note(events)
        if events:
            self._forget(events[-1].at - KEPT_SECONDS)

    def add_older(self, events: Sequence[LoggedEvent], start: float) -> None:
        """Take in what is older than all before, from that instant on, in order of time."""
        room = MOST_EVENTS - len(self.recent)
        if room > 0:
            self.recent.extendleft(reversed(events[-room:]))
        self._note(events)
        self.since = start

    def _note(self, events: Iterable[LoggedEvent]) -> None:
        for event in events:
            if event.outcome == "refused":
                self.refused[event.source] += 1
            elif event.outcome not in NO_REQUEST and not event.from_queue:
                self.heard[event.source] = max(self.heard.get(event.source, 0.0), event.received_at)
            self._note_counts(event)
            self._note_end(event)

    def _note_counts(self, event: LoggedEvent) -> None:
        """The counts that an event left: of an absolute count there is the new one only."""
        for place, values in event.counts.items():
            count = values[-1] if values else None
            if isinstance(count, bool) or not isinstance(count, int):
                continue
            steps = self.points.setdefault(place, {})
            step = int(event.at // STEP_SECONDS)
            if event.at >= steps.get(step, (0.0, 0))[0]:
                steps[step] = (event.at, count)

    def _note_end(self, event: LoggedEvent) -> None:
        if not event.envelope_id or event.at < self.ends.get(event.envelope_id, (0.0, None))[0]:
            return
        waits = None
        if event.outcome == "queued":
            waits = Waiting(event.reason, event.source, event.received_at, event.attempts)
        self.ends[event.envelope_id] = (event.at, waits)

    def say(self, words: Mapping[str, str]) -> None:
        """Keep what events were, in words, as long as the events."""
        self.words.update(words)
        if len(self.words) > 2 * MOST_EVENTS:
            kept = {event.log_id for event in self.recent}
            self.words = {name: said for name, said in self.words.items() if name in kept}

    def _forget(self, before: float) -> None:
        for place in list(self.points):
            steps = self.points[place]
            self.points[place] = {step: point for step, point in steps.items() if point[0] >= before}
        if len(self.ends) > MOST_EVENTS:
            self.ends = {
                name: end for name, end in self.ends.items() if end[1] or end[0] >= before + KEPT_SECONDS
            }

    def waiting(self) -> list[Waiting]:
        """The events of which the log says that they wait."""
        return [waits for _, waits in self.ends.values() if waits is not None]

    def became(self, envelope_id: str, after: float) -> str | None:
        """What has become since then (Unix seconds) of an event out of the queue; None if unknown."""
        for event in reversed(self.recent):
            if event.at < after:
                return None
            if event.envelope_id == envelope_id:
                return f"{event.outcome}: {event.reason}" if event.reason else event.outcome
        return None

    def line(self, place: str, start: float) -> Sequence[tuple[float, int]]:
        """A place's counts since then, in order of time."""
        steps: Mapping[int, tuple[float, int]] = self.points.get(place, {})
        return [steps[step] for step in sorted(steps) if steps[step][0] >= start]
