"""The view Events: what came, newest first, and the whole way of one of them. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from console.log_state import LogState
from console.rows import Row, cell, clock, head, message_row, nobody_named, number_of, tag, text
from relayctl.event_log import LoggedEvent

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
    log: LogState, chosen: Filter, now: float, opened: str = "", trace: Sequence[LoggedEvent] | None = None
) -> list[Row]:
    """The newest events that are chosen; under the opened one its trace, None while it is being read."""
    rows: list[Row] = []
    for event in newest(log.recent, chosen):
        rows.append(_event_row(event, now, is_open=event.log_id == opened))
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


def _event_row(event: LoggedEvent, now: float, *, is_open: bool) -> Row:
    cells = (
        cell(clock(event.at, now), "number left"),
        cell(event.source),
        cell(what(event.what), "wide quiet"),
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


def what(said: Mapping[str, object]) -> str:
    """What an event was, in a few words."""
    names = ("form", "door", "direction", "sensor", "people", "occupied", "state", "start", "end")
    return " ".join(str(said[name]) for name in names if said.get(name) not in (None, ""))


def _trace_row(event: LoggedEvent, trace: Sequence[LoggedEvent] | None, now: float) -> Row:
    if trace is None:
        inside = tag("p", "reading its way…", class_="quiet")
    else:
        steps = "".join(_step(one, now) for one in trace or [event])
        ids = tag(
            "p", f"{tag('code', text(f'relayctl trace {event.delivery}'))} shows the same", class_="quiet"
        )
        inside = tag("ol", steps, class_="trace") + ids
    cells = tag("td", inside, colspan=str(COLUMNS))
    return Row(f"trace {event.log_id}", tag("tr", cells, class_="opened", data_testid="event-trace"))


def _step(event: LoggedEvent, now: float) -> str:
    """One attempt: when it began and where, each step with its milliseconds, and what came of it."""
    where = "from the queue" if event.from_queue else "webhook"
    begun = f"{clock(event.began_at, now)} {where}: {event.source} {what(event.what)}".strip()
    steps = [f"{name} after {milliseconds} ms" for name, milliseconds in event.steps.items()]
    counts = [f"{place} {_change(values)}" for place, values in event.counts.items()]
    ended = " ".join(filter(None, (event.outcome, event.reason, nobody_named(event.detail))))
    lines = [text(line) for line in (", ".join(steps), ", ".join(counts), _calven(event)) if line]
    result = tag("span", text(ended), class_=f"state {STATES.get(event.outcome, 'quiet')}")
    return tag("li", "<br>".join([text(begun), *lines, result]))


def _change(values: Sequence[object]) -> str:
    return " → ".join("?" if value is None else str(value) for value in values)


def _calven(event: LoggedEvent) -> str:
    """What Calven answered, if it was asked."""
    if not event.calven:
        return ""
    sent = number_of(len(event.calven_ids), "event")
    status = event.calven.get("status")
    answer = f"answered {status}" if status is not None else "did not answer"
    code = event.calven.get("code")
    return f"Calven was sent {sent} and {answer}" + (f", result code {code}" if code else "")


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
