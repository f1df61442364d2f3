"""A line of the log becomes an event that people can read, and the lines of one event become its way."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.config.model import Door
from relayctl import wording
from relayctl.event_log import DOCTOR, LoggedEvent, parse
from relayctl.tracing import chains, seconds, steps, where

AT = 1795734737.609
BADGE = {
    "level": "INFO",
    "message": "event",
    "timestamp": "2026-11-26T23:12:17.609+00:00",
    "service": "calven-relay",
    "outcome": "forwarded",
    "source": "kisi-sydney",
    "vendor": "kisi",
    "request_id": "api-1",
    "correlation_id": "api-1",
    "event_id": "badge-1",
    "what": {"form": "badge", "door": "48211"},
    "counts": {"sydney-l3": [14, 15], "sydney": [30, 31]},
    "calven": {"ids": ["fact-1", "fact-2"], "status": 200, "code": 0},
    "events": 2,
    "age_ms": 97,
    "took_ms": 97,
    "steps": {"verified": 3, "parsed": 4, "settled": 12, "answered": 95},
    "answer": 200,
}


def logged(**changes: Any) -> LoggedEvent:
    """The badge's line, with other fields."""
    function = changes.pop("function", "access-control")
    event = parse("log-1", function, json.dumps({**BADGE, **changes}))
    assert event is not None
    return event


def test_parse() -> None:
    """A line says what its fields say, and when its attempt began."""
    event = logged()
    assert (event.at, event.outcome, event.source, event.vendor) == (AT, "forwarded", "kisi-sydney", "kisi")
    assert event.began_at == event.received_at == pytest.approx(AT - 0.097)
    assert event.ids == {"api-1", "badge-1", "fact-1", "fact-2"}
    assert event.has_id("fact")
    assert not event.has_id("act")


@pytest.mark.parametrize(
    "text", ["", "START RequestId: 1", "[]", "3", '{"message": "reconciled"}', '{"message": "event"}']
)
def test_other_lines(text: str) -> None:
    """What is no event's line is passed over."""
    assert parse("log-1", "hris", text) is None


@given(st.dictionaries(st.sampled_from([*BADGE, "check", "asked"]), st.none() | st.integers() | st.text()))
def test_any_line(changes: dict[str, Any]) -> None:
    """However a line's fields look, reading and showing it fails not."""
    event = parse("log-1", "retry", json.dumps({**BADGE, **changes}))
    if event is not None:
        assert wording.what(event)
        assert steps([event])


def test_refusals() -> None:
    """A request without an event is found by the id that its sender got."""
    line = {key: BADGE[key] for key in ("timestamp", "source", "vendor", "request_id")}
    refused = parse("1", "hris", json.dumps({**line, "message": "signature rejected", "check": "no header"}))
    assert refused is not None
    assert (refused.outcome, refused.detail, set(refused.ids)) == ("refused", "no header", {"api-1"})
    unknown = parse("1", "hris", json.dumps({**line, "message": "unknown source", "asked": "kissi"}))
    assert unknown is not None
    assert wording.outcome(unknown) == "no such source: 404"
    knock = {**line, "message": "unknown source", "asked": DOCTOR}
    assert parse("1", "hris", json.dumps(knock)) is None, "the doctor has only knocked"


LEAVE = {"form": "leave", "state": "approved", "start": "2027-03-02", "end": "2027-03-05"}


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"form": "badge", "door": "48211"}, "badge in at Lobby in"),
        ({"form": "badge", "door": "48211", "direction": "out"}, "badge out at Lobby in"),
        ({"form": "badge", "door": "7"}, "badge at door 7"),
        (
            {"form": "reading", "sensor": "s-1", "people": 1, "occupied": True},
            "reading 1 person at sensor s-1",
        ),
        ({"form": "reading", "sensor": "s-1", "people": 5}, "reading 5 people at sensor s-1"),
        ({"form": "reading", "sensor": "s-1", "occupied": False}, "reading free at sensor s-1"),
        (LEAVE, "leave approved 2 to 5 Mar"),
        ({**LEAVE, "end": "2027-03-02"}, "leave approved 2 Mar"),
        ({**LEAVE, "end": "2027-04-01"}, "leave approved 2 Mar to 1 Apr"),
        ({**LEAVE, "end": "2028-01-01"}, "leave approved 2 Mar 2027 to 1 Jan 2028"),
        ({"form": "leave", "state": "ended"}, "leave ended"),
    ],
)
def test_what(said: dict[str, Any], words: str) -> None:
    """What an event was is said with the names of `relay.yaml`, and nobody's."""
    door = Door(name="Lobby in", place="sydney-l3", direction="in")
    event = logged(what=said)
    assert wording.what(event, lambda _, name: door if name == "48211" else None) == words


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ({}, ""),
        ({"sydney-l3": [14, 15], "sydney": [30, 31]}, "sydney-l3 14 → 15, sydney 30 → 31"),
        ({"boardroom": [5]}, "boardroom 5"),
        ({"boardroom": [True]}, "boardroom occupied"),
    ],
)
def test_counts(counts: dict[str, Any], words: str) -> None:
    """Counts that changed show both numbers, what was settled before only the one."""
    assert wording.counts(logged(counts=counts)) == words


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ({}, ""),
        ({"ids": ["a"]}, "no answer from Calven"),
        ({"ids": ["a"], "status": 503}, "Calven 503"),
        ({"ids": ["a"], "status": 200, "code": 1}, "Calven 200, code 1"),
    ],
)
def test_calven(answer: dict[str, Any], words: str) -> None:
    """Calven's answer is its status and code."""
    assert wording.calven(logged(calven=answer)) == words


def names(*lines: LoggedEvent) -> list[str]:
    """The names of the steps of one event, which come in order of time."""
    found = steps(lines)
    assert [step.at for step in found] == sorted(step.at for step in found)
    return [step.name for step in found]


def queued() -> LoggedEvent:
    """A badge that Calven did not answer."""
    calven = {"ids": ["fact-1"], "status": 503}
    return logged(outcome="queued", reason="calven_unavailable", envelope_id="e1", calven=calven, answer=202)


def retried(after: float, **changes: Any) -> LoggedEvent:
    """An attempt of the retry function for the same, so many seconds after the receipt."""
    given = {"event_id": "", "what": None, "envelope_id": "e1", "took_ms": 40, "waited_ms": 30_000}
    event = logged(function="retry", **{**given, "steps": {"settled": 5, "answered": 30}, **changes})
    return replace(event, at=AT + after)


def test_steps_of_a_direct_event() -> None:
    """An event that went its way at once passed every step in one attempt."""
    assert names(logged()) == ["received", "verified", "parsed", "mapped", "answered", "forwarded"]
    received, *_, answered, forwarded = steps([logged()])
    assert (received.text, answered.text) == ("/webhooks/access-control/kisi-sydney", "Calven 200, code 0")
    assert forwarded.text == "sydney-l3 14 → 15, sydney 30 → 31; its vendor got 200"


def test_steps_of_a_queued_event() -> None:
    """Each attempt of the retry function has its own answer of Calven's."""
    again = retried(31, outcome="queued", reason="calven_unavailable", attempts=2)
    assert names(queued(), again, retried(95)) == [
        *("received", "verified", "parsed", "mapped", "answered", "queued"),
        *("tried", "mapped", "answered", "queued"),
        *("tried", "mapped", "answered", "forwarded"),
    ]


def test_steps_of_a_redriven_letter() -> None:
    """A redrive is seen by when its message came into the queue."""
    dead = logged(outcome="dead-lettered", reason="unmapped_door", envelope_id="e1", calven={}, steps={})
    again = retried(100, waited_ms=2_000)
    assert names(dead, again)[:4] == ["received", "dead-lettered", "redriven", "tried"]
    redriven = steps([dead, again])[2]
    assert redriven.at == pytest.approx(AT + 100 - 0.04 - 2)


def test_chains() -> None:
    """The lines of an event share one of its ids; others of its webhook are events of their own."""
    other = logged(event_id="badge-2", calven={"ids": ["fact-3"]})
    ping = logged(event_id="", calven={}, reason="ping")
    later = retried(40)
    assert chains([queued(), other, ping, later]) == [[queued(), later], [other], [ping]]


DEAD = logged(outcome="dead-lettered", reason="unmapped_door", envelope_id="e1", calven={})


@pytest.mark.parametrize(
    ("lines", "letters", "waiting", "place"),
    [
        ([logged()], (), 0, "calven"),
        ([logged(outcome="ignored", reason="denied", calven={})], (), 0, "ignored"),
        ([logged(), logged(outcome="ignored", reason="duplicate")], (), 0, "calven"),
        ([queued()], (), 1, "unprocessed"),
        ([queued()], ("e1",), 1, "dead-letter"),
        ([queued()], (), 0, "nowhere"),
        ([queued(), retried(40)], (), 0, "calven"),
        ([DEAD], ("e1",), 0, "dead-letter"),
        ([DEAD], (), 1, "unprocessed"),
        ([DEAD], (), 0, "nowhere"),
        ([logged(), queued()], (), 1, "unprocessed"),
        ([logged(outcome="refused")], (), 0, "nowhere"),
    ],
)
def test_where(lines: list[LoggedEvent], letters: tuple[str, ...], waiting: int, place: str) -> None:
    """Where an event is follows from its last lines, and from what the queues hold."""
    assert where(lines, letters, waiting).place == place


@pytest.mark.parametrize(
    ("milliseconds", "words"),
    [(0, "0 ms"), (999, "999 ms"), (31_200, "31.2 s"), (720_000, "12 min"), (18_360_000, "5.1 h")],
)
def test_seconds(milliseconds: int, words: str) -> None:
    """A time is short enough for a line."""
    assert seconds(milliseconds) == words
