"""The view Try: a sample of any vendor, and a Calven that breaks and is mended. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from console.events import choice
from console.rows import Row, button, clock, head, message_row, number_of, tag, text

SENT_HEAD = head(("Time", ""), ("Sent", ""), ("Answer", "number"), ("What came of it", ""))
FAULTS = (
    ("503", "answers 503: not available"),
    ("500", "answers 500: an error of its own"),
    ("429", "answers 429: too many requests"),
    ("401", "answers 401: does not take the key"),
    ("hang", "takes requests and does not answer"),
    ("reset", "breaks the connection"),
    ("garbage", "answers what cannot be read"),
)
"""How the sandbox can fail."""
# Each button answers the question before it: one more of its own would only slow a trial down.
SEND_QUESTION = "Send this to the relay on this machine? It counts here, and at the sandbox of Calven."
BREAK_QUESTION = "Have it fail like this? What it should be told then waits in the queue, until you mend it."
MEND_QUESTION = "Have it answer as it should again? What waits is then tried by itself."


@dataclass(frozen=True, slots=True)
class Attempt:
    """A sample that was sent: when (Unix seconds), what, the answer's status and what came of it."""

    at: float
    what: str
    status: int
    outcome: str


def send_rows(
    vendors: Sequence[tuple[str, str]], samples: Sequence[str], vendor: str, off: bool
) -> list[Row]:
    """The fields that choose a sample, and the button that sends it. A vendor is a name and a title."""
    options = [(name, name) for name in samples]
    return [
        Row("question", tag("p", text(SEND_QUESTION))),
        Row("vendor", choice("vendor", "System", vendors, vendor, testid="send-vendor", off=off)),
        Row(f"event {vendor}", choice("event", "Event", options, testid="send-event", off=off)),
        Row("send", button("Send", "send", testid="send", off=off, class_="first")),
    ]


def calven_rows(off: bool, failing: str) -> list[Row]:
    """The buttons that break and mend Calven; `failing` is how it fails now."""
    words = f"Calven {dict(FAULTS)[failing]}" if failing else "Calven answers as it should"
    state = tag("p", tag("span", text(words), class_=f"state {'bad' if failing else 'good'}"), role="status")
    if off:
        state = tag("p", "only the sandbox of `make run` can be broken", class_="quiet")
    return [
        Row("state", state),
        *([] if off else [Row("question", tag("p", text(MEND_QUESTION if failing else BREAK_QUESTION)))]),
        Row("fault", choice("fault", "How", FAULTS, off=off)),
        Row("break", button("Break Calven", "fault", testid="calven-fault", off=off)),
        Row("mend", button("Mend Calven", "mend", testid="calven-mend", off=off)),
    ]


def sent_rows(attempts: Sequence[Attempt], now: float) -> list[Row]:
    """What was sent from this page, the newest first."""
    if not attempts:
        return [message_row("none", "nothing sent yet: choose a system and an event, and send it", 4)]
    return [Row(f"{attempt.at} {attempt.what}", _row(attempt, now)) for attempt in reversed(attempts)]


def _row(attempt: Attempt, now: float) -> str:
    good = attempt.status < 300
    cells = (
        tag("td", text(clock(attempt.at, now)), class_="number left"),
        tag("td", text(attempt.what)),
        tag(
            "td",
            tag(
                "span",
                text(attempt.status or "–"),
                class_=f"state {'good' if good and attempt.status else 'bad'}",
            ),
            class_="number",
        ),
        tag("td", text(attempt.outcome)),
    )
    return tag("tr", "".join(cells))


def said(answer: object, calven: Sequence[object] | None) -> str:
    """What came of a sample, in words: the relay's answer, and whether Calven was told."""
    words = ""
    if isinstance(answer, dict):
        words = " ".join(str(answer[name]) for name in ("status", "error", "reason") if answer.get(name))
    if calven is not None:
        words += f" · {number_of(len(calven), 'request')} to Calven"
    return words
