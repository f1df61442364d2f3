"""The dialog that redrives dead letters: it asks first, shows progress, and says what became of each."""

import asyncio
import time
from dataclasses import dataclass

from nicegui import ui

from console.actions import Redriven, redrive
from console.feed import ReadFailed
from console.hub import Hub
from console.live import Live
from console.rows import head, nobody_named, number_of, tag, text
from console.waiting import became_rows
from relayctl.dead_letters import Selection

HEAD = head(("Letter", ""), ("What became of it", ""))


@dataclass
class Progress:
    """How many letters have been sent so far, of how many. The thread that sends them counts up."""

    total: int
    done: int = 0

    def advance(self, number: int) -> None:
        """So many more were sent."""
        self.done += number


async def ask_to_redrive(hub: Hub, action: str, value: str) -> None:
    """Ask whether to redrive a letter, or all of a reason, and do it."""
    found = hub.letters.last.value
    letters = found.letters if found else []
    if action == "redrive-letter":
        selection = Selection(ids=frozenset({value}))
        meant, words = 1, f"Redrive the letter {value[:12]}?"
    else:
        selection = Selection(reasons=frozenset({value}))
        meant = sum(letter.get("reason") == value for letter in letters)
        more = "" if found is None or found.is_whole else " or more"
        words = f"Redrive {number_of(meant, 'letter')}{more} with the reason {value}?"
    with ui.dialog().props("persistent") as dialog, ui.element("div").classes("ask"):
        ui.html(tag("p", text(words)), sanitize=False)
        inside = ui.element("div")
        with inside:
            ui.html(
                tag("p", "Each goes through the relay again. Mend its cause first.", class_="quiet"),
                sanitize=False,
            )
        with ui.element("div").classes("buttons") as buttons:
            ui.button("Cancel", on_click=lambda: dialog.submit(False)).props("flat no-caps")
            ui.button("Redrive", on_click=lambda: dialog.submit(True)).props(
                'unelevated no-caps autofocus data-testid="redrive-confirm"'
            )
    dialog.open()
    if not await dialog:
        dialog.delete()
        return
    dialog.open()
    buttons.clear()
    inside.clear()
    with inside:
        await _redrive(hub, selection, meant)
    with buttons:
        ui.button("Close", on_click=dialog.delete).props("unelevated no-caps autofocus")


async def _redrive(hub: Hub, selection: Selection, meant: int) -> None:
    progress = Progress(meant)
    bar = ui.linear_progress(0, show_value=False).props('aria-label="letters sent"')
    words = ui.html(tag("p", "sending…"), sanitize=False).props('role="status"')
    began = time.time()
    doing = asyncio.ensure_future(asyncio.to_thread(redrive, hub.readers, selection, progress.advance))
    while not (await asyncio.wait({doing}, timeout=0.2))[0]:
        bar.value = progress.done / max(progress.total, 1)
        sent = f"{progress.done:,} of {number_of(progress.total, 'letter')} sent"
        waits = progress.done >= progress.total
        words.content = tag("p", text(f"{sent}; waiting for what becomes of them…" if waits else sent))
    hub.wake()
    bar.delete()
    try:
        redriven = doing.result()
    except ReadFailed as failure:
        words.content = tag("p", tag("span", text(nobody_named(str(failure))), class_="state bad"))
        return
    words.content = tag("p", text(summary(redriven)))
    if redriven.sent:
        became = {name: said for name in redriven.sent if (said := hub.events.became(name, began))}
        with ui.element("div").classes("became"):
            table = Live(
                lambda *_: None, head=HEAD, caption="What became of each letter", kind="became-table"
            )
        table.show(became_rows(redriven.sent, redriven.back, became, redriven.waiting))


def summary(redriven: Redriven) -> str:
    """What a redrive came to, in a sentence."""
    said = [f"{number_of(len(redriven.sent), 'letter')} sent through the relay again"]
    if redriven.back:
        said.append(f"{len(redriven.back)} came back")
    if redriven.waiting:
        said.append(f"about {number_of(redriven.waiting, 'event')} still wait")
    if redriven.left:
        said.append(f"about {redriven.left} were hidden: somebody is reading them, try again")
    return ", ".join(said)
