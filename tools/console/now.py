"""The view Now: the tree of places with their counts, and how each source does. Pure."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from console.log_state import LogState
from console.readers import Places, SourceHealth
from console.rows import Row, age, cell, clock, head, message_row, nobody_named, number_of, tag, text
from relay.config.model import Config

PLACES_HEAD = head(
    ("Place", ""),
    ("People", "number"),
    ("Calven", ""),
    ("Today", "wide"),
    ("Last change", "number"),
    ("Source", "wide"),
)
SOURCES_HEAD = head(
    ("Source", ""),
    ("System", "wide"),
    ("Last heard", "number"),
    ("Refused", "number"),
    ("Last reconciliation", ""),
)
WIDTH, HEIGHT = 120, 18
"""Of a line, in pixels."""
DAY_SECONDS = 86400.0


@dataclass(frozen=True, slots=True)
class Known:
    """What the ledger has of a place: its count as text, whether Calven was told, since when, by whom."""

    people: str
    told: bool
    at: float | None
    source: str


def place_rows(places: Places, log: LogState, now: float | None = None) -> list[Row]:
    """A row for each place of the tree, and for those that only the ledger still knows."""
    config, known, present = places.config, _known(places), now or time.time()
    if not config.places:
        return [message_row("none", "no place is configured yet: relayctl config push relay.yaml", 6)]
    rows = []
    for name, depth in in_tree(config):
        begins = places.day_begins.get(config.site(name), 0.0)
        line = sparkline(log.line(name, begins), begins, present)
        rows.append(_place_row(name, depth, known.pop(name, None), line, present))
        if shadowed := known.pop(_in_shadow(name), None):
            rows.append(_place_row(_in_shadow(name), depth, shadowed, "", present))
    gone = (_place_row(name, 0, count, "", present, gone=True) for name, count in sorted(known.items()))
    return [*rows, *gone]


def in_tree(config: Config) -> Iterator[tuple[str, int]]:
    """Each place and how deep it lies: what is within a place comes after it."""
    inner: dict[str | None, list[str]] = {}
    for name, place in config.places.items():
        inner.setdefault(place.within, []).append(name)
    left = [(name, 0) for name in reversed(inner.get(None, []))]
    while left:
        name, depth = left.pop()
        yield name, depth
        left += [(within, depth + 1) for within in reversed(inner.get(name, []))]


def _known(places: Places) -> dict[str, Known]:
    found = {}
    for row in (*places.counts, *places.readings):
        at = datetime.fromisoformat(row["at"]).timestamp() if row["at"] else None
        name = _in_shadow(row["place"]) if row.get("shadow") else row["place"]
        found[name] = Known(_people(row), row["told"], at, row["source"] or "")
    return found


def _in_shadow(place: str) -> str:
    """How the row of a place is called that has what shadowed sources say of it."""
    return f"{place} (shadow)"


def _people(row: Mapping[str, Any]) -> str:
    """A count; of a sensor that tells none, whether somebody is there."""
    if row["people"] is not None:
        return str(row["people"])
    return "some" if row.get("occupied") else "none"


def _place_row(
    name: str, depth: int, known: Known | None, line: str, now: float, *, gone: bool = False
) -> Row:
    label = tag("span", text(name), class_="place", style=f"--depth:{min(depth, 8)}")
    if gone:
        label += tag("span", "not configured", class_="quiet note")
    people = known.people if known else "0"
    cells = (
        tag("th", label, scope="row"),
        tag("td", text(people), class_="number count", data_testid=f"place-{name}"),
        tag("td", _told(known)),
        tag("td", line, class_="wide"),
        cell(clock(known.at, now) if known else "", "number quiet"),
        cell(known.source if known else "", "wide quiet"),
    )
    return Row(name, tag("tr", "".join(cells), class_="gone" if gone else None))


def _told(known: Known | None) -> str:
    if known is None:
        return tag("span", "nothing yet", class_="quiet")
    if known.told:
        return tag("span", "told", class_="state good")
    return tag("span", "not yet", class_="state wait")


def sparkline(points: Sequence[tuple[float, int]], begins: float, now: float) -> str:
    """A line of counts over an operating day, as steps: a count stays until the next one."""
    if not points:
        return ""
    most = max(count for _, count in points) or 1
    until = min(now // 900 * 900 + 900, begins + DAY_SECONDS)
    path, before = f"M0 {HEIGHT - 1}", 0
    for at, count in points:
        x = _x(at, begins)
        path += f"H{x:.1f}V{_y(count, most):.1f}" if count != before else f"H{x:.1f}"
        before = count
    path += f"H{_x(max(until, points[-1][0]), begins):.1f}"
    words = f"at most {most} today"
    drawing = tag("title", words) + tag("path", d=path)
    return tag("svg", drawing, class_="line", viewBox=f"0 0 {WIDTH} {HEIGHT}", role="img", aria_label=words)


def _x(at: float, begins: float) -> float:
    return min(max((at - begins) / DAY_SECONDS, 0.0), 1.0) * WIDTH


def _y(count: int, most: int) -> float:
    return HEIGHT - 1 - count / most * (HEIGHT - 2)


def source_rows(
    sources: Sequence[SourceHealth], log: LogState, titles: Mapping[str, str], now: float
) -> list[Row]:
    """A row for each source, those with something wrong first."""
    if not sources:
        return [message_row("none", "no source is configured yet: relayctl config push relay.yaml", 5)]
    made = [(_source_row(source, log, titles, now)) for source in sources]
    return [row for _, row in sorted(made, key=lambda one: not one[0])]


def _source_row(
    source: SourceHealth, log: LogState, titles: Mapping[str, str], now: float
) -> tuple[bool, Row]:
    heard = max(source.heard_at or 0.0, log.heard.get(source.name, 0.0)) or None
    refused = log.refused[source.name]
    silent = bool(heard and source.silent_after and now - heard > source.silent_after)
    said, state = _reconciliation(source)
    cells = (
        tag("th", text(source.name) + ("" if source.is_enabled else " (off)"), scope="row"),
        cell(titles.get(source.vendor, source.vendor), "wide quiet"),
        tag("td", _heard(heard, now, silent=silent), class_="number"),
        tag(
            "td",
            tag("span", text(refused or "–"), class_="state bad" if refused else "quiet"),
            class_="number",
        ),
        tag("td", tag("span", text(said), class_=state)),
    )
    wrong = silent or bool(refused) or state == "state bad"
    return wrong, Row(source.name, tag("tr", "".join(cells)))


def _heard(heard: float | None, now: float, *, silent: bool) -> str:
    if heard is None:
        return tag("span", "never", class_="quiet")
    words = f"silent for {age(now - heard)}" if silent else clock(heard, now)
    return tag("span", text(words), class_="state bad" if silent else None)


def _reconciliation(source: SourceHealth) -> tuple[str, str]:
    """What to say of a source's last reconciliation, and how it looks."""
    state = source.reconciliation
    if state is None:
        return "–", "quiet"
    if state.status in ("refused", "incomplete", "unable"):
        return f"{state.status}: {nobody_named(state.detail)[:200]}", "state bad"
    if not state.complete:
        return "never", "quiet"
    when = datetime.fromtimestamp(state.complete / 1000).astimezone()
    differed = number_of(state.differences, "difference")
    return f"{differed}, {when:%d %b %H:%M}", "state wait" if state.differences else "state good"
