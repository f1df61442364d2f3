"""What the console's views make of what was read: rows of HTML, and nothing of a person outside Away."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console import away, events, now, rows, trying, waiting
from console.log_state import LogState, Waiting
from console.readers import Places, Queues, SourceHealth, words_of
from relay.config.model import Config, Place
from relay.reconciliation.runs import State
from relay.time_off.rules import Held, Leave
from relay.time_off.submission import Employee
from relayctl.dead_letters import Reading
from relayctl.event_log import LoggedEvent
from relayctl.tracing import Now, Step, Way

NOON = datetime(2026, 11, 26, 12, tzinfo=UTC).timestamp()
MONDAY = date(2026, 11, 23)
PAGES = st.dictionaries(st.sampled_from("abcde"), st.sampled_from("xy"))


def logged(number: int = 1, **said: Any) -> LoggedEvent:
    """An event of the log, so many seconds after noon."""
    given_ = {
        "function": "access-control",
        "outcome": "forwarded",
        "source": "kisi",
        "vendor": "kisi",
        **said,
    }
    return LoggedEvent(**{"log_id": f"line-{number}", "at": NOON + number, **given_})


def html(made: list[rows.Row]) -> str:
    """All of it."""
    return "\n".join(row.html for row in made)


@given(PAGES, PAGES)
def test_changes_lead_from_one_to_the_other(before: dict[str, str], after: dict[str, str]) -> None:
    """A page that takes the changes shows what is to be shown, in its order."""
    patch = rows.changes(before, after)
    if patch is None:
        assert list(before.items()) == list(after.items())
        return
    page = before | dict(patch["set"])
    order = list(page) if patch["order"] is None else patch["order"]
    assert [(key, page[key]) for key in order] == list(after.items())


def test_text_is_escaped() -> None:
    """What a vendor or a file says is text, in an element as in an attribute."""
    made = rows.button("<b>", "open", '"><script>')
    assert "<script>" not in made
    assert "<b>" not in made
    assert rows.nobody_named("no user ada@example.com here") == "no user (an address) here"


@pytest.fixture
def config() -> Config:
    """Two sites, one with a level and a room in it."""
    places = {
        "hq": ("id-hq", None),
        "annex": ("id-annex", None),
        "level": ("id-level", "hq"),
        "room": ("id-room", "level"),
    }
    return Config(
        places={
            name: Place(locationId=location, locationType="place", within=within)
            for name, (location, within) in places.items()
        }
    )


def counted(place: str, people: int | None, *, told: bool = True, **more: Any) -> dict[str, Any]:
    """A row as `relayctl occupancy` has it."""
    return {
        "place": place,
        "people": people,
        "told": told,
        "at": "2026-11-26T11:00:00.000Z",
        "source": "kisi",
        **more,
    }


def test_places(config: Config) -> None:
    """The tree in its order, each with its count as text, and whether Calven has been told."""
    counts = [counted("level", 3), counted("hq", 4, told=False), counted("gone", 1)]
    counts.append(counted("level", 9, shadow=True))
    readings = [counted("room", None, occupied=True)]
    found = now.place_rows(Places(config, counts, readings, {"hq": NOON - 3600}), LogState(NOON), NOON)
    assert [row.key for row in found] == ["hq", "level", "level (shadow)", "room", "annex", "gone"]
    for row, words in zip(found, ("4", "3", "9", "some", "0", "1"), strict=True):
        assert f'data-testid="place-{row.key}">{words}</td>' in row.html
    assert "not yet" in found[0].html
    assert "not configured" in found[5].html


def test_line_of_the_day(config: Config) -> None:
    """A place's line is made of the counts that its events left since the day began."""
    log = LogState(NOON - 7200)
    log.add(
        [
            logged(1, at=NOON - 600, counts={"level": [0, 1]}),
            logged(2, counts={"level": [1, 5], "room": [True]}),
        ]
    )
    found = now.place_rows(Places(config, [counted("level", 5)], [], {"hq": NOON - 7200}), log, NOON)
    assert "at most 5 today" in found[1].html
    assert "svg" not in found[2].html
    assert now.sparkline(log.line("level", NOON), NOON, NOON) != now.sparkline([], NOON, NOON) == ""


def test_sources() -> None:
    """A source that is silent, refused or badly reconciled comes first, and says so."""
    good = SourceHealth("good", "kisi", NOON - 60, 3600.0, is_enabled=True, reconciliation=None)
    bad = replace(good, name="silent", heard_at=NOON - 86400)
    refused = replace(good, name="listed", reconciliation=State(status="refused", detail="too many ends"))
    log = LogState(NOON)
    log.add([logged(1, outcome="refused", source="proof"), logged(2, source="good")])
    sources = [good, bad, replace(good, name="proof"), refused]
    found = now.source_rows(sources, log, {"kisi": "Kisi"}, NOON + 5)
    assert [row.key for row in found] == ["silent", "proof", "listed", "good"]
    assert "silent for 1 d" in found[0].html
    assert "refused: too many ends" in found[2].html


def test_days_away() -> None:
    """Days are confirmed or pending, of the wanted type; one that nobody wants is being given back."""
    leave = Leave("approved", "1", start=MONDAY, end=MONDAY + timedelta(days=2), type="sick")
    held = {
        MONDAY: Held("sick", confirmed=True),
        MONDAY + timedelta(days=1): Held("leave", confirmed=True),
        MONDAY + timedelta(days=9): Held("holiday", confirmed=True),
    }
    employee = Employee("ada@example.com", leaves={"a": leave}, held=held)
    words = [day.words for _, day in sorted(away.days_away(employee).items())]
    assert words == ["sick, confirmed", "sick, pending", "sick, pending", "holiday, being given back"]
    shown = html(away.away_rows([employee], MONDAY, MONDAY))
    assert shown.count("data-testid") == 4
    assert f'data-testid="away-ada@example.com-{MONDAY}" data-type="sick" data-state="confirmed"' in shown
    assert "nobody whose address has" in html(away.away_rows([employee], MONDAY, MONDAY, "zoe"))
    assert "nobody is away" in html(away.away_rows([employee], MONDAY + timedelta(weeks=4), MONDAY))
    assert "no leave yet" in html(away.away_rows([], MONDAY, MONDAY))
    assert away.away_head(MONDAY, MONDAY).count("<th") == 1 + 4 + 28


def test_many_people() -> None:
    """A list that is not complete says so."""
    leave = Leave("approved", "1", start=MONDAY, end=MONDAY)
    people = [
        Employee(f"p{number}@example.com", leaves={"a": leave}) for number in range(away.MOST_PEOPLE + 2)
    ]
    found = away.away_rows(people, MONDAY, MONDAY)
    assert "2 more people" in found[-1].html


def test_queue() -> None:
    """What waits is shown by reason, and what the log does not tell of as that."""
    waits = [Waiting("calven_unavailable", "kisi", NOON - 90, 2), Waiting("contended", "deel", NOON - 5, 1)]
    found = waiting.queue_rows(Queues(4, 0), [*waits, waits[0]], NOON)
    assert [row.key for row in found] == ["calven_unavailable", "contended", "unknown"]
    assert "2 min" in found[0].html
    assert "nothing waits" in html(waiting.queue_rows(Queues(0, 0), waits, NOON))


def letter(number: int, reason: str) -> dict[str, Any]:
    """A dead letter as it is shown."""
    received_at = datetime.fromtimestamp(NOON - number, UTC).isoformat()
    event = {"form": "badge", "door": f"d{number}"}
    return {
        "id": f"id-{number}",
        "reason": reason,
        "source": "kisi",
        "received_at": received_at,
        "event": event,
    }


def test_letters() -> None:
    """Letters stand under their reasons, a button beside each and each reason, and one opened shows more."""
    letters = [letter(1, "rejected"), letter(2, "unmapped_door"), letter(3, "unmapped_door")]
    found = waiting.letter_rows(Reading(letters, 2), {"id-3"}, NOON)
    keys = [
        "reason unmapped_door",
        "letter id-2",
        "letter id-3",
        "open id-3",
        "reason rejected",
        "letter id-1",
        "hidden",
    ]
    assert [row.key for row in found] == keys
    assert html(found).count('data-testid="redrive"') == 3
    assert html(found).count('data-testid="redrive-reason"') == 2
    assert html(found).count('data-testid="letter-row"') == 3
    assert "relayctl dlq show id-3" in found[3].html
    assert "no dead letter" in html(waiting.letter_rows(Reading([], 0), (), NOON))
    so_far = waiting.letter_rows(Reading(letters, 1500, is_whole=False), (), NOON)
    assert so_far[-1].html.count("reading… about 1,500 more") == 1


def test_number_of_letters() -> None:
    """How many letters there are is said at once: by SQS's own count until all are read."""
    letters = [letter(1, "rejected"), letter(2, "unmapped_door")]
    assert waiting.letters_note(None, None) == ""
    assert waiting.letters_note(None, Queues(0, 2000)) == "2,000 letters"
    so_far = Reading(letters, 1998, is_whole=False)
    assert waiting.letters_note(so_far, Queues(0, 2000)) == "2,000 letters, 2 of them read"
    assert waiting.letters_note(Reading(letters, 0), Queues(0, 2)) == "2 letters"
    assert waiting.letters_note(Reading(letters, 0), Queues(0, 1)) == "2 letters", "SQS is late"
    assert waiting.letters_note(Reading(letters, 0), Queues(0, 7)) == "7 letters, 2 of them read"
    assert waiting.letters_note(Reading(letters, 3), Queues(0, 5)) == "2 letters", "a row says what is hidden"


def test_what_became_of_letters() -> None:
    """Those that came back come first; of the others the log says more, where it does."""
    found = waiting.became_rows(["a", "b", "c"], {"c": "rejected"}, {"b": "forwarded"}, waiting=1)
    assert [row.key for row in found] == ["c", "a", "b"]
    assert "came back: rejected" in found[0].html
    assert "may still wait" in found[1].html
    assert "went through" in html(waiting.became_rows(["a"], {}, {}, waiting=0))


def test_events() -> None:
    """The newest come first, as they are chosen; one opened shows its way, in which nobody is named."""
    log = LogState(NOON)
    log.add([logged(1, outcome="queued", reason="contended"), logged(2, source="deel", event_id="abc-1")])
    log.say({"line-1": "badge in at Lobby"})
    found = events.event_rows(log, events.Filter(), NOON)
    assert [row.key for row in found] == ["line-2", "line-1"]
    assert "badge in at Lobby" in found[1].html
    for chosen, keys in (
        (events.Filter(source="deel"), ["line-2"]),
        (events.Filter(outcome="queued"), ["line-1"]),
        (events.Filter(words="ABC"), ["line-2"]),
        (events.Filter(words="nothing"), ["none"]),
    ):
        assert [row.key for row in events.event_rows(log, chosen, NOON)] == keys
    steps = [Step(NOON + 0.25, "forwarded", "to ada@example.com")]
    way = Way(what="leave", source="deel", vendor="deel", ids=(), steps=steps, now=Now("calven", "at Calven"))
    opened = events.event_rows(log, events.Filter(), NOON, "line-2", [way])
    assert [row.key for row in opened] == ["line-2", "trace line-2", "line-1"]
    assert ".250" in opened[1].html
    assert "ada@" not in opened[1].html
    assert "no event yet: send one" in html(events.event_rows(LogState(NOON), events.Filter(), NOON))


def test_door_is_looked_up_once_for_many_events() -> None:
    """Also one that is not configured, which nothing else remembers."""
    asked: list[tuple[str, str]] = []
    what = {"form": "badge", "door": "no-such-door", "direction": "in"}
    many = [
        LoggedEvent(
            log_id=str(number),
            at=float(number),
            function="access-control",
            outcome="dead-lettered",
            source="generic",
            vendor="generic",
            what=what,
        )
        for number in range(50)
    ]

    def find(source: str, door: str) -> None:
        asked.append((source, door))

    found = words_of(many, find)
    assert len(found) == 50
    assert asked == [("generic", "no-such-door")]


def test_log_is_kept_small_and_right() -> None:
    """Older lines come before the others; the last line of an envelope says whether it waits."""
    log = LogState(NOON)
    log.add([logged(5, envelope_id="a", outcome="forwarded", function="retry")])
    older = [
        logged(1, envelope_id="a", outcome="queued"),
        logged(2, envelope_id="b", outcome="queued", reason="contended"),
    ]
    log.add_older(older, NOON - 3600)
    assert [event.log_id for event in log.recent] == ["line-1", "line-2", "line-5"]
    assert [waits.reason for waits in log.waiting()] == ["contended"]
    assert log.became("a", NOON) == "forwarded"
    assert log.became("a", NOON + 6) is None
    for number in range(10, 3000):
        log.add([logged(number, envelope_id=f"e{number}")])
        log.say({f"line-{number}": "x"})
    assert len(log.recent) <= 1000
    assert len(log.words) <= 2001
    assert len(log.ends) <= 3002


def test_try() -> None:
    """Where Calven is not the sandbox its buttons are there, and off."""
    for off in (True, False):
        made = html(trying.calven_rows(off, "")) + html(
            trying.send_rows([("kisi", "Kisi")], ["badge-in"], "kisi", off)
        )
        for testid in ("calven-fault", "calven-mend", "send", "send-vendor", "send-event"):
            assert f'data-testid="{testid}"{" disabled" if off else ""}' in made
    assert "answers 503" in html(trying.calven_rows(False, "503"))
    for failing, button, question in (
        ("", "calven-fault", trying.BREAK_QUESTION),
        ("503", "calven-mend", trying.MEND_QUESTION),
    ):
        before, _, _ = html(trying.calven_rows(False, failing)).partition(f'data-testid="{button}"')
        assert question in before
    attempt = trying.Attempt(
        NOON, "kisi badge-in", 202, trying.said({"status": "queued", "reason": "contended"}, [])
    )
    assert "queued contended · 0 requests to Calven" in html(trying.sent_rows([attempt], NOON))
