"""The view Events: what came, newest first, and the whole way of one of them. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from console.log_state import LogState
from console.rows import Row, cell, clock, head, message_row, nobody_named, tag, text
from relayctl.event_log import LoggedEvent
from relayctl.tracing import Step, Way

MOST_SHOWN = 200
HEAD = head(
    ("Time", ""),
    ("Source", ""),
    ("What", "wide"),
    ("Outcome", ""),
    ("Reason", ""),
    ("Answer", "number wide"),
    ("Took", "number"),
)
COLUMNS = 7
STATES = {
    "forwarded": "good",
    "ignored": "quiet",
    "queued": "wait",
    "dead-lettered": "bad",
    "refused": "bad",
    "unknown": "bad",
    "unavailable": "bad",
}
"""How an outcome looks."""
PLACES = {
    "calven": "good",
    "ignored": "quiet",
    "unprocessed": "wait",
    "dead-letter": "bad",
    "nowhere": "quiet",
}
"""How it looks where an event is now."""


@dataclass(frozen=True, slots=True)
class Filter:
    """Which events are shown: those that fit all that is set."""

    source: str = ""
    outcome: str = ""
    words: str = ""

    def takes(self, event: LoggedEvent) -> bool:
        """Whether an event is shown. The words are looked for in its reason, its detail and its ids."""
        if self.source and event.source != self.source:
            return False
        if self.outcome and event.outcome != self.outcome:
            return False
        sought = self.words.strip().casefold()
        texts = (event.reason, event.detail, event.vendor, *event.ids)
        return not sought or any(sought in one.casefold() for one in texts)


def event_rows(
    log: LogState, chosen: Filter, now: float, opened: str = "", trace: Sequence[Way] | None = None
) -> list[Row]:
    """The newest events that are chosen; under the opened one its trace, None while it is being read."""
    rows: list[Row] = []
    for event in newest(log.recent, chosen):
        rows.append(_event_row(event, log.words.get(event.log_id, ""), now, is_open=event.log_id == opened))
        if event.log_id == opened:
            rows.append(_trace_row(event, trace, now))
    if rows:
        return rows
    words = (
        "no such event: choose others"
        if log.recent
        else "no event yet: send one with `relayctl send kisi`, or in Try"
    )
    return [message_row("none", words, COLUMNS)]


def newest(events: Iterable[LoggedEvent], chosen: Filter) -> list[LoggedEvent]:
    """The newest events that are chosen, the newest first."""
    found: list[LoggedEvent] = []
    for event in sorted(events, key=lambda one: one.at, reverse=True):
        if chosen.takes(event):
            found.append(event)
        if len(found) == MOST_SHOWN:
            break
    return found


def _event_row(event: LoggedEvent, words: str, now: float, *, is_open: bool) -> Row:
    cells = (
        cell(clock(event.at, now), "number left"),
        cell(event.source),
        cell(words, "wide quiet"),
        tag("td", tag("span", text(event.outcome), class_=f"state {STATES.get(event.outcome, 'quiet')}")),
        cell(event.reason, "detail"),
        cell(event.answer, "number wide quiet"),
        cell("" if event.took_ms is None else f"{event.took_ms:,} ms", "number"),
    )
    row = tag(
        "tr",
        "".join(cells),
        class_="opens open" if is_open else "opens",
        data_testid="event-row",
        data_action="open",
        data_value=event.log_id,
        data_outcome=event.outcome,
        data_source=event.source,
        tabindex="0",
    )
    return Row(event.log_id, row)


def _trace_row(event: LoggedEvent, trace: Sequence[Way] | None, now: float) -> Row:
    if trace is None:
        inside = tag("p", "reading its way…", class_="quiet")
    else:
        inside = "".join(_way(way, now) for way in trace)
        inside += tag(
            "p", f"the same: {tag('code', text(f'relayctl trace {event.delivery}'))}", class_="quiet"
        )
    cells = tag("td", inside, colspan=str(COLUMNS))
    return Row(f"trace {event.log_id}", tag("tr", cells, class_="opened", data_testid="event-trace"))


def _way(way: Way, now: float) -> str:
    """The way of one event: each step with its time, and where it is now."""
    steps = "".join(_step(step, now) for step in way.steps)
    title = tag("b", text(way.what)) + tag("span", text(way.source), class_="quiet note")
    ended = tag("span", text(f"now {way.now.text}"), class_=f"state {PLACES[way.now.place]}")
    return tag("p", title) + tag("ol", steps, class_="trace") + tag("p", ended)


def _step(step: Step, now: float) -> str:
    milliseconds = f".{step.at % 1:.3f}"[2:]
    at = tag("span", text(f"{clock(step.at, now)}{milliseconds}"), class_="quiet at")
    return tag("li", f"{at}{tag('b', text(step.name))} {text(nobody_named(step.text))}")


def filter_rows(log: LogState, chosen: Filter) -> list[Row]:
    """The fields that choose events."""
    known = sorted({chosen.source, *(event.source for event in log.recent)} - {""})
    fields = (
        choice("source", "Source", [("", "all sources"), *((name, name) for name in known)], chosen.source),
        choice(
            "outcome", "Outcome", [("", "all outcomes"), *((name, name) for name in STATES)], chosen.outcome
        ),
        search("words", "Reason or id"),
    )
    return [Row(f"field {number}", field) for number, field in enumerate(fields)]


def choice(
    name: str,
    words: str,
    options: Iterable[tuple[str, str]],
    chosen: str = "",
    *,
    testid: str | None = None,
    off: bool = False,
) -> str:
    """A field with a few values of which one is chosen."""
    inside = "".join(
        tag("option", text(said), value=value, selected=value == chosen) for value, said in options
    )
    field = tag("select", inside, name=name, data_action="choose", data_testid=testid, disabled=off)
    return tag("label", tag("span", text(words)) + field)


def search(name: str, words: str) -> str:
    """A field into which somebody types what to look for."""
    field = f'<input type="search" name="{name}" data-action="choose" autocomplete="off">'
    return tag("label", tag("span", text(words)) + field)
