"""Rows of HTML with a key each: made by pure functions, and sent to a page as what has changed of them."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from html import escape
from typing import Any, NamedTuple

from relay.time_off.rules import ADDRESS


class Row(NamedTuple):
    """One element of a page, and the key by which it is known from one time to the next."""

    key: str
    html: str


Shown = Mapping[str, str]
"""What a page shows: the HTML of each row by its key, in order."""


def shown(rows: Sequence[Row]) -> Shown:
    """Rows by their keys."""
    return {row.key: row.html for row in rows}


def changes(before: Shown, after: Shown) -> dict[str, Any] | None:
    """What a page has to be sent: the rows to `set`, and their `order` where that has changed; else None."""
    fresh = [[key, html] for key, html in after.items() if before.get(key) != html]
    order = list(after) if list(before) != list(after) else None
    if not fresh and order is None:
        return None
    return {"set": fresh, "order": order}


def tag(name: str, content: str = "", /, **attributes: str | bool | None) -> str:
    """An element around HTML that is escaped already; `data_value="x"` is `data-value`, `class_` is `class`.

    An attribute that is False or None is left out, one that is True has no value.
    """
    said = ""
    for attribute, value in attributes.items():
        if value is None or value is False:
            continue
        said += f" {attribute.strip('_').replace('_', '-')}"
        said += "" if value is True else f'="{escape(str(value))}"'
    return f"<{name}{said}>{content}</{name}>"


def text(value: object) -> str:
    """A value as text for people, escaped; nothing for None."""
    return "" if value is None else escape(str(value))


def cell(value: object, class_: str = "", **attributes: str | None) -> str:
    """A table cell with text in it."""
    return tag("td", text(value), class_=class_ or None, **attributes)


def head(*columns: tuple[str, str]) -> str:
    """The heading of a table: each column's words and class."""
    cells = (tag("th", text(words), scope="col", class_=class_ or None) for words, class_ in columns)
    return tag("tr", "".join(cells))


def message_row(key: str, words: str, columns: int) -> Row:
    """A row that has words for all columns: what an empty table says."""
    return Row(key, tag("tr", tag("td", text(words), colspan=str(columns)), class_="message"))


def button(
    words: str,
    action: str,
    value: str = "",
    *,
    testid: str | None = None,
    off: bool = False,
    class_: str = "",
) -> str:
    """A button that says to Python which action it stands for, and for what."""
    return tag(
        "button",
        text(words),
        type="button",
        data_action=action,
        data_value=value,
        data_testid=testid,
        disabled=off,
        class_=class_ or None,
    )


def clock(seconds: float | None, now: float) -> str:
    """An instant (Unix seconds) on this machine's clock: the time of today, or with the day of another."""
    if seconds is None:
        return ""
    at, today = datetime.fromtimestamp(seconds).astimezone(), datetime.fromtimestamp(now).astimezone()
    return f"{at:%H:%M:%S}" if at.date() == today.date() else f"{at:%d %b %H:%M}"


def age(seconds: float) -> str:
    """A length of time, roughly."""
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"


def nobody_named(words: str) -> str:
    """The words with every address of a person taken out: those are shown in Away, and nowhere else."""
    return ADDRESS.sub("(an address)", words)


def number_of(count: int, one: str, many: str = "") -> str:
    """A number of things, in words: `1 letter`, `2 letters`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"
