"""The five views: thin, as what they show is made by pure functions and read by feeds."""

import asyncio
import time
from datetime import date, timedelta

from nicegui import ui

from console import away, events, now, trying, waiting
from console.actions import break_calven, mend_calven, reset, send
from console.feed import ReadFailed
from console.frame import Page, frame, heading, known_since, reading_row, retitle
from console.hub import Hub
from console.live import Live
from console.redriving import ask_to_redrive
from console.rows import Row, button, number_of, tag, text
from relayctl import samples, vendors
from relayctl.tracing import Way


def nothing(_action: str, _value: str, _chosen: dict[str, str]) -> None:
    """For tables in which there is nothing to do."""


def now_page(hub: Hub) -> None:
    """Places and sources."""
    titles = {vendor.name: vendor.title for vendor in vendors.records()}
    with frame(hub, "/", "Now") as page:
        of_places = heading("Places")
        places = Live(nothing, head=now.PLACES_HEAD, caption="Places and how many are in them", kind="places")
        of_sources = heading("Sources")
        sources = Live(nothing, head=now.SOURCES_HEAD, caption="Sources and how they do", kind="sources")

        def draw() -> None:
            found, known = hub.places.last.value, hub.sources.last.value
            if found is None:
                places.show([reading_row(6)])
            else:
                known_now = hub.places.last.at, hub.events.version
                places.show_of(known_now, lambda: now.place_rows(found, hub.events))
                retitle(of_places, "Places", number_of(len(found.config.places), "place"))
            if known is None:
                sources.show([reading_row(5)])
            else:
                known_now = hub.sources.last.at, hub.events.version
                sources.show_of(known_now, lambda: now.source_rows(known, hub.events, titles, time.time()))
                retitle(of_sources, "Sources", f"refused signatures {known_since(hub.events.since)}")

        page.show(draw, hub.places, hub.sources)


class EventsView:
    """The view Events of one page: what is chosen, and which event is opened."""

    def __init__(self, hub: Hub, page: Page) -> None:
        self._hub, self._page = hub, page
        self._filter = events.Filter()
        self._opened = ""
        self._trace: list[Way] | None = None
        self._heading = heading("Events")
        self._fields = Live(self._choose, kind="fields")
        self._table = Live(self._open, head=events.HEAD, caption="Events, the newest first", kind="events")

    def draw(self) -> None:
        """Show the newest events."""
        log = self._hub.events
        self._fields.show(events.filter_rows(log, self._filter))
        if not self._hub.log.last.at and not log.recent:
            self._table.show([reading_row(events.COLUMNS)])
            return
        known = log.version, self._filter, self._opened, self._trace
        self._table.show_of(
            known, lambda: events.event_rows(log, self._filter, time.time(), self._opened, self._trace)
        )
        note = f"the newest {events.MOST_SHOWN} of {log.number:,}" if log.number > events.MOST_SHOWN else ""
        retitle(self._heading, "Events", note)

    def _choose(self, _action: str, _value: str, chosen: dict[str, str]) -> None:
        self._filter = events.Filter(**chosen)
        self.draw()

    async def _open(self, _action: str, log_id: str, _chosen: dict[str, str]) -> None:
        self._trace = None
        if self._opened == log_id:
            self._opened = ""
            self.draw()
            return
        self._opened = log_id
        self.draw()
        event = next((one for one in self._hub.events.recent if one.log_id == log_id), None)
        if event is None:
            return
        try:
            trace = await asyncio.to_thread(self._hub.readers.log.trace, event)
        except ReadFailed as failure:
            ui.notify(str(failure), type="negative")
            trace = []
        if self._opened == log_id:
            self._trace = trace
            self.draw()


def events_page(hub: Hub) -> None:
    """Events, live."""
    with frame(hub, "/events", "Events") as page:
        view = EventsView(hub, page)
        page.show(view.draw)


class AwayView:
    """The view Away of one page: which four weeks, and whose."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._first = away.monday(date.today())  # noqa: DTZ011 - the operator's own day
        self._search = ""
        heading(
            "Away", "from leave; colour and letter say the type, a dashed edge that Calven has not confirmed"
        )
        self._fields = Live(self._choose, kind="fields")
        self._fields.show(_away_fields())
        self._box = ui.element("div").classes("across")
        self._make_table()

    def _make_table(self) -> None:
        today = date.today()  # noqa: DTZ011
        self._box.clear()
        with self._box:
            head = away.away_head(self._first, today)
            self._table = Live(nothing, head=head, caption="Who is away on which days", kind="away")

    def draw(self) -> None:
        """Show who is away."""
        found = self._hub.people.last.value
        if found is None:
            self._table.show([reading_row(away.DAYS + 1)])
            return
        today = date.today()  # noqa: DTZ011
        known = self._hub.people.last.at, self._first, today, self._search
        self._table.show_of(known, lambda: away.away_rows(found, self._first, today, self._search))

    def _choose(self, action: str, value: str, chosen: dict[str, str]) -> None:
        if action == "choose":
            self._search = chosen["search"]
        else:
            weeks = {"earlier": -4, "later": 4}.get(value)
            this_week = away.monday(date.today())  # noqa: DTZ011
            self._first = this_week if weeks is None else self._first + timedelta(weeks=weeks)
            self._make_table()
        self.draw()


def _away_fields() -> list[Row]:
    return [
        Row("earlier", button("← Earlier", "turn", "earlier")),
        Row("today", button("This week", "turn", "today")),
        Row("later", button("Later →", "turn", "later")),
        Row("search", events.search("search", "Address")),
    ]


def away_page(hub: Hub) -> None:
    """People by days."""
    with frame(hub, "/away", "Away") as page:
        view = AwayView(hub)
        page.show(view.draw, hub.people)


def waiting_page(hub: Hub) -> None:
    """Both queues."""
    opened: set[str] = set()
    with frame(hub, "/waiting", "Waiting") as page:
        of_queue = heading("Unprocessed queue")
        queue = Live(nothing, head=waiting.QUEUE_HEAD, caption="What waits, by reason", kind="queue")
        of_letters = heading("Dead letters")

        async def act(action: str, value: str, _: dict[str, str]) -> None:
            if action == "open":
                opened.symmetric_difference_update({value})
                page.redraw()
            else:
                await ask_to_redrive(hub, action, value)

        letters = Live(act, head=waiting.LETTERS_HEAD, caption="Dead letters, by reason", kind="letters")

        def draw() -> None:
            queues, found, present = hub.queues.last.value, hub.letters.last.value, time.time()
            if queues is None:
                queue.show([reading_row(waiting.COLUMNS)])
            else:
                queue.show(waiting.queue_rows(queues, hub.events.waiting(), present))
                retitle(of_queue, "Unprocessed queue", number_of(queues.waiting, "event"))
            if found is None:
                letters.show([reading_row(waiting.COLUMNS)])
            else:
                known = found, frozenset(opened)
                letters.show_of(known, lambda: waiting.letter_rows(found, opened, present))
            retitle(of_letters, "Dead letters", waiting.letters_note(found, queues))

        page.show(draw, hub.queues, hub.letters)


class TryView:
    """The view Try of one page: what is chosen, and what has been sent."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._vendors = [(vendor.name, vendor.title) for vendor in vendors.records() if vendor.sends_webhooks]
        self._vendor = "kisi"
        self._sent: list[trying.Attempt] = []
        self._failing = ""
        heading("Send a sample", "signed as its vendor would" if hub.is_local else "only with `make run`")
        self._form = Live(self._act, kind="fields")
        heading("Calven")
        self._calven = Live(self._act, kind="fields")
        heading("Sent from this page")
        self._table = Live(
            nothing, head=trying.SENT_HEAD, caption="What was sent from this page", kind="sent"
        )
        heading(
            "Start again", "empties the ledger and the queues of this local relay; the configuration stays"
        )
        self._reset = Live(self._act, kind="fields")

    def draw(self) -> None:
        """Show the fields as they are now."""
        off = not self._hub.is_local
        names = samples.names(self._vendor)
        self._form.show(trying.send_rows(self._vendors, names, self._vendor, off))
        self._calven.show(trying.calven_rows(off or not self._hub.has_sandbox, self._failing))
        self._table.show(trying.sent_rows(self._sent, time.time()))
        self._reset.show([Row("reset", button("Reset", "reset", testid="reset", off=off, class_="risky"))])

    async def _act(self, action: str, _value: str, chosen: dict[str, str]) -> None:
        if not self._hub.is_local:
            return
        if action == "choose" and "vendor" in chosen:
            self._vendor = chosen["vendor"]
        elif action == "send":
            attempt = await asyncio.to_thread(send, self._hub.readers, chosen["vendor"], chosen["event"])
            self._sent.append(attempt)
            self._hub.wake()
        elif action in ("fault", "mend"):
            await self._order(action, chosen)
        elif action == "reset":
            await self._ask_to_reset()
        self.draw()

    async def _order(self, action: str, chosen: dict[str, str]) -> None:
        try:
            if action == "fault":
                await asyncio.to_thread(break_calven, self._hub.readers, chosen["fault"])
                self._failing = chosen["fault"]
            else:
                await asyncio.to_thread(mend_calven, self._hub.readers)
                self._failing = ""
        except ReadFailed as failure:
            ui.notify(str(failure), type="negative")

    async def _ask_to_reset(self) -> None:
        if not await asked("Empty the ledger and the queues of this local relay?", "Reset"):
            return
        try:
            number = await asyncio.to_thread(reset, self._hub.readers)
            self._failing = ""
            ui.notify(f"{number_of(number, 'item')} of the ledger went")
        except ReadFailed as failure:
            ui.notify(str(failure), type="negative")
        self._hub.wake()


async def asked(question: str, yes: str) -> bool:
    """Whether somebody who is asked agrees."""
    with ui.dialog() as dialog, ui.element("div").classes("ask"):
        ui.html(tag("p", text(question)), sanitize=False)
        with ui.element("div").classes("buttons"):
            ui.button("Cancel", on_click=lambda: dialog.submit(False)).props("flat no-caps")
            ui.button(yes, on_click=lambda: dialog.submit(True)).props("unelevated no-caps autofocus")
    answer = await dialog
    dialog.delete()
    return bool(answer)


def try_page(hub: Hub) -> None:
    """Samples, and a Calven that breaks."""
    with frame(hub, "/try", "Try") as page:
        view = TryView(hub)
        page.show(view.draw)
