"""The view Waiting: what is in the Unprocessed queue, and the dead letters by reason. Pure."""

import json
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from console.log_state import Waiting
from console.readers import Queues
from console.rows import Row, age, button, cell, clock, head, message_row, number_of, tag, text
from relayctl.dead_letters import Reading
from relayctl.doctor import MEND, MENDING

QUEUE_HEAD = head(
    ("Reason", ""), ("Events", "number"), ("Oldest", "number"), ("Sources", "wide"), ("Tried", "number")
)
LETTERS_HEAD = head(("Received", ""), ("Source", ""), ("Detail", ""), ("Id", "wide"), ("Redrive", "number"))
COLUMNS = 5
Letter = Mapping[str, Any]


def queue_rows(queues: Queues, waiting: Sequence[Waiting], now: float) -> list[Row]:
    """A row for each reason to wait, the most events first; and one for those that the log does not tell."""
    if not queues.waiting:
        return [message_row("none", "nothing waits: what Calven cannot take now will be here", COLUMNS)]
    by_reason: dict[str, list[Waiting]] = {}
    for one in waiting:
        by_reason.setdefault(one.reason, []).append(one)
    rows = [
        _reason_row(reason, some, now)
        for reason, some in sorted(by_reason.items(), key=lambda entry: -len(entry[1]))
    ]
    unknown = queues.waiting - len(waiting)
    if unknown > 0:
        rows.append(_unknown_row(unknown))
    return rows


def _reason_row(reason: str, some: Sequence[Waiting], now: float) -> Row:
    oldest = age(now - min(one.received_at for one in some))
    sources = ", ".join(sorted({one.source for one in some}))
    tried = f"{max(one.attempts for one in some)}×"
    cells = (
        tag("th", text(reason), scope="row"),
        cell(f"{len(some):,}", "number count"),
        cell(oldest, "number"),
        cell(sources, "wide quiet"),
        cell(tried, "number quiet"),
    )
    return Row(reason, tag("tr", "".join(cells)))


def _unknown_row(number: int) -> Row:
    words = "not tried yet: redriven, reconciled, or older than the log that was read"
    cells = (
        tag("th", "–", scope="row"),
        cell(f"{number:,}", "number count"),
        tag("td", tag("span", words, class_="quiet"), colspan="3"),
    )
    return Row("unknown", tag("tr", "".join(cells)))


def letter_rows(found: Reading, opened: Collection[str], now: float) -> list[Row]:
    """The dead letters by reason, the most first; under an opened one what it holds."""
    letters: Sequence[Letter] = found.letters
    if not letters and not found.hidden:
        return [message_row("none", "no dead letter: nothing needs you", COLUMNS)]
    by_reason: dict[str, list[Letter]] = {}
    for letter in letters:
        by_reason.setdefault(str(letter.get("reason", "")), []).append(letter)
    rows: list[Row] = []
    for reason, some in sorted(by_reason.items(), key=lambda entry: (-len(entry[1]), entry[0])):
        rows.append(_group_row(reason, some))
        for letter in some:
            rows.append(_letter_row(letter, now))
            if letter.get("id") in opened:
                rows.append(_open_row(letter))
    if found.hidden:
        rows.append(message_row("hidden", _hidden(found), COLUMNS))
    return rows


def letters_note(found: Reading | None, queues: Queues | None) -> str:
    """How many dead letters there are, and how many of them are shown by now, where those are fewer."""
    if found is None:
        return number_of(queues.dead, "letter") if queues else ""
    known = len(found.letters)
    there = known + found.hidden
    if found.is_whole:
        # More have come since, and are being read.
        there = queues.dead if queues and queues.dead > there else known
    shown = f", {known:,} of them read" if there > known else ""
    return number_of(there, "letter") + shown


def _hidden(found: Reading) -> str:
    if not found.is_whole:
        return f"reading… about {found.hidden:,} more"
    return f"about {found.hidden:,} more are hidden: somebody is reading them just now"


def _group_row(reason: str, some: Sequence[Letter]) -> Row:
    count = number_of(len(some), "letter")
    todo = MENDING.get(reason, MEND)
    words = tag("b", text(reason or "no reason")) + tag("span", text(count), class_="note")
    words += tag("span", text(todo), class_="quiet note wide")
    # Another test id than a letter's: whoever clicks the first `redrive` of the page means a letter.
    again = button("Redrive all", "redrive-reason", reason, testid="redrive-reason", class_="small")
    cells = tag("th", words, colspan="4", scope="rowgroup") + tag("td", again, class_="number")
    return Row(f"reason {reason}", tag("tr", cells, class_="group", data_reason=reason))


def _letter_row(letter: Letter, now: float) -> Row:
    name = str(letter.get("id", ""))
    again = button("Redrive", "redrive-letter", name, testid="redrive", class_="small")
    received = _instant(letter.get("received_at"))
    cells = (
        cell(clock(received, now), "number left"),
        cell(letter.get("source")),
        cell(str(letter.get("detail") or _what(letter))[:160], "detail"),
        cell(name[:12], "wide code"),
        tag("td", again, class_="number"),
    )
    row = tag(
        "tr",
        "".join(cells),
        class_="opens",
        data_testid="letter-row",
        data_action="open",
        data_value=name,
        data_reason=str(letter.get("reason", "")),
        tabindex="0",
    )
    return Row(f"letter {name}", row)


def _what(letter: Letter) -> str:
    event = letter.get("event") or {}
    return " ".join(str(event[name]) for name in ("form", "door", "sensor", "state") if event.get(name))


def _open_row(letter: Letter) -> Row:
    said = {name: value for name, value in letter.items() if value not in (None, "", {})}
    event = said.pop("event", {})
    pairs = {**said, **{f"event: {name}": value for name, value in event.items()}}
    terms = "".join(tag("dt", text(name)) + tag("dd", text(_plain(value))) for name, value in pairs.items())
    more = tag(
        "p", f"What it says whole, with its request: {tag('code', text(_command(letter)))}", class_="quiet"
    )
    inside = tag("dl", terms) + more
    return Row(
        f"open {letter.get('id')}", tag("tr", tag("td", inside, colspan=str(COLUMNS)), class_="opened")
    )


def _command(letter: Letter) -> str:
    return f"relayctl dlq show {letter.get('id')}"


def _plain(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _instant(words: object) -> float | None:
    try:
        return datetime.fromisoformat(str(words)).timestamp()
    except ValueError:
        return None


def became_rows(
    sent: Sequence[str], back: Mapping[str, str], others: Mapping[str, str], waiting: int
) -> list[Row]:
    """What became of each letter that was redriven: those that came back first."""
    ordered = sorted(sent, key=lambda name: name not in back)
    rows = []
    for name in ordered:
        if name in back:
            words, state = f"came back: {back[name]}", "state bad"
        elif name in others:
            words, state = others[name], "state good"
        elif waiting:
            words, state = "sent; it may still wait in the queue", "state wait"
        else:
            words, state = "went through", "state good"
        cells = cell(name[:12], "code") + tag("td", tag("span", text(words), class_=state))
        rows.append(Row(name, tag("tr", cells)))
    return rows
