"""What all pages have: the name of the relay, the way to the other views, and how fresh what is shown is."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nicegui import ui

from console.feed import Feed
from console.hub import Hub, trouble
from console.rows import Row, clock, tag, text

VIEWS = (("/", "Now"), ("/events", "Events"), ("/away", "Away"), ("/waiting", "Waiting"), ("/try", "Try"))
STYLE = Path(__file__).parent / "style.css"


class Page:
    """One open page: it shows anew whatever one of its feeds has read, until it is closed."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self._client = ui.context.client
        self._status: ui.html | None = None
        self._feeds: tuple[Feed[Any, Any], ...] = ()
        self._draw: Callable[[], None] = lambda: None

    @property
    def is_open(self) -> bool:
        """Whether somebody may still look at it."""
        return not self._client._deleted  # noqa: SLF001 - NiceGUI has no other name for it

    def show(self, draw: Callable[[], None], *feeds: Feed[Any, Any]) -> None:
        """Call `draw` with each news of these feeds and of the log, from now until the page is closed."""
        self._draw, self._feeds = draw, tuple(dict.fromkeys((*feeds, self.hub.log)))
        stops = [feed.listen(lambda _: self.redraw()) for feed in self._feeds]

        def end() -> None:
            for stop in stops:
                stop()

        self._client.on_delete(end)
        self.redraw()

    def redraw(self) -> None:
        """Show what is known by now."""
        if not self.is_open:
            return
        with self._client:
            self._draw()
            if self._status is not None:
                said = _status([feed.last for feed in self._feeds])
                if said != self._status.content:
                    self._status.content = said

    def status(self) -> None:
        """Put the line there that says how fresh the page is."""
        self._status = ui.html(_status([]), sanitize=False).classes("status").props('role="status"')


def _status(snapshots: list[Any]) -> str:
    said = trouble(*snapshots)
    if said:
        return tag("span", text(said), class_="state bad")
    if not snapshots or not all(snapshot.at for snapshot in snapshots):
        return tag("span", "reading…", class_="quiet")
    return tag("span", "live", class_="state good")


@contextmanager
def frame(hub: Hub, path: str, title: str) -> Iterator[Page]:
    """A page around what is within."""
    page = Page(hub)
    ui.page_title(f"{title} · Calven relay")
    links = "".join(
        tag("a", text(words), href=href, aria_current="page" if href == path else None)
        for href, words in VIEWS
    )
    name = tag("strong", "Calven relay") + tag("span", text(hub.name), class_="quiet")
    with ui.element("header").classes("top"):
        ui.html(tag("div", name, class_="name") + tag("nav", links, aria_label="Views"), sanitize=False)
        page.status()
    with ui.element("main").classes("view"):
        yield page


def heading(words: str, note: str = "") -> ui.html:
    """A heading, with a quiet note beside it."""
    return ui.html(_heading(words, note), sanitize=False).classes("heading")


def _heading(words: str, note: str) -> str:
    return tag("h2", text(words)) + tag("span", text(note), class_="quiet")


def retitle(found: ui.html, words: str, note: str) -> None:
    """Change a heading."""
    said = _heading(words, note)
    if found.content != said:
        found.content = said


def reading_row(columns: int) -> Row:
    """What a table shows until it was read for the first time."""
    return Row("reading", tag("tr", tag("td", "reading…", colspan=str(columns)), class_="message"))


def known_since(seconds: float) -> str:
    """How far back the log has been read."""
    return f"since {clock(seconds, time.time())}"
