"""One log line an event, one line of metrics a source, and nothing in them but what was passed."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from relay.observability import Telemetry, logger, whereabouts

Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Lines:
    """The log's lines so far, each of them JSON."""
    line = logger.registered_formatter.format

    def lines() -> list[dict[str, Any]]:
        texts = [line(record) for record in caplog.records]
        assert not any("\n" in text for text in texts)
        return [json.loads(text) for text in texts]

    return lines


@pytest.fixture
def metrics(capsys: pytest.CaptureFixture[str]) -> Lines:
    """The lines of metrics on standard output since the last look, each of them JSON."""
    return lambda: [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def said(line: dict[str, Any]) -> dict[str, Any]:
    """A line without its time and the function's name."""
    return {name: value for name, value in line.items() if name not in ("timestamp", "service")}


def test_event(log: Lines) -> None:
    """An event is one line with its outcome and the fields passed, without those that are None."""
    telemetry = Telemetry("request-1")
    telemetry.event("forwarded", source="deel", vendor="deel", reason=None, events=2, age_ms=0)
    [line] = log()
    assert said(line) == {
        "level": "INFO",
        "message": "event",
        "outcome": "forwarded",
        "source": "deel",
        "vendor": "deel",
        "request_id": "request-1",
        "events": 2,
        "age_ms": 0,
    }
    assert set(line) - set(said(line)) == {"timestamp", "service"}


def test_a_line_each(log: Lines) -> None:
    """Every event has a line of its own, and none carries over what another one said."""
    telemetry = Telemetry("request-1")
    telemetry.event("queued", source="deel", vendor="deel", reason="no_time")
    telemetry.event("ignored", source="deel", vendor="deel", detail="two\nlines \u2028 \u00e9")
    first, second = log()
    assert (first["outcome"], first["reason"]) == ("queued", "no_time")
    assert (second["outcome"], second["detail"]) == ("ignored", "two\nlines \u2028 \u00e9")
    assert "reason" not in second


def test_steps() -> None:
    """The first step is the beginning, and the others are told from there; no clock makes them negative."""
    telemetry = Telemetry("request-1")
    assert telemetry.times(100.0) == {}
    telemetry.passed("received", 100.0)
    assert telemetry.times(100.25) == {"took_ms": 250, "steps": None}
    telemetry.passed("verified", 100.003)
    telemetry.passed("settled", 100.1)
    telemetry.passed("settled", 100.2)
    telemetry.passed("answered", 99.0)
    steps = {"verified": 3, "settled": 200, "answered": 0}
    assert telemetry.times(100.25) == {"took_ms": 250, "steps": steps}


def test_greeted(log: Lines, metrics: Lines) -> None:
    """A request without an event is a line, and no figure."""
    telemetry = Telemetry("request-1")
    telemetry.greeted("ping", source="hibob", vendor="hibob")
    telemetry.flush()
    [line] = log()
    assert (line["outcome"], line["reason"], line["answer"]) == ("ignored", "ping", 200)
    assert metrics() == []


def test_rejected(log: Lines) -> None:
    """A bad signature is a warning that names its source, and nothing of the request."""
    Telemetry("request-1").rejected(source="kisi-sydney", vendor="kisi", check="no x-signature")
    [line] = log()
    assert said(line) == {
        "level": "WARNING",
        "message": "signature rejected",
        "check": "no x-signature",
        "source": "kisi-sydney",
        "vendor": "kisi",
        "request_id": "request-1",
    }


def test_problem(log: Lines, metrics: Lines) -> None:
    """A problem is an error line, and counts nothing."""
    telemetry = Telemetry("request-1")
    telemetry.problem("unavailable", detail="stack/calven: AccessDenied")
    telemetry.flush()
    [line] = log()
    assert said(line) == {
        "level": "ERROR",
        "message": "unavailable",
        "request_id": "request-1",
        "detail": "stack/calven: AccessDenied",
    }
    assert metrics() == []


def said_of(dimensions: list[list[str]], lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The lines of metrics under these sets of dimensions, without what the format adds."""
    found = [line for line in lines if line["_aws"]["CloudWatchMetrics"][0]["Dimensions"] == dimensions]
    return [{name: value for name, value in line.items() if name != "_aws"} for line in found]


OF_SOURCES: list[list[str]] = [[], ["Source", "Vendor"]]
"""A source's figures count once for the source, and once over all sources."""


def test_metrics(metrics: Lines) -> None:
    """Counts go out by source and over all, and what is dead by its reason too."""
    telemetry = Telemetry("request-1")
    for outcome, reason in (("forwarded", None), ("forwarded", None), ("dead-lettered", "unparseable")):
        telemetry.event(outcome, source="kisi-sydney", vendor="kisi", reason=reason)
    telemetry.event("ignored", source="gone", vendor="kisi", known=False)
    telemetry.rejected(source="verkada", vendor="verkada", check="")
    telemetry.flush()
    lines = metrics()
    assert said_of(OF_SOURCES, lines) == [
        {"Source": "kisi-sydney", "Vendor": "kisi", "EventsForwarded": [2], "EventsDeadLettered": [1]},
        {"Source": "unknown", "Vendor": "kisi", "EventsIgnored": [1]},
        {"Source": "verkada", "Vendor": "verkada", "SignatureRejected": [1]},
    ]
    assert said_of([["Reason"]], lines) == [{"Reason": "unparseable", "EventsDeadLettered": [1]}]
    assert len(lines) == 4
    units = {(m["Name"], m["Unit"]) for m in lines[0]["_aws"]["CloudWatchMetrics"][0]["Metrics"]}
    assert units == {("EventsForwarded", "Count"), ("EventsDeadLettered", "Count")}


def test_times(metrics: Lines) -> None:
    """Times keep each value, some hundred of them at most; a clock that runs ahead is no negative time."""
    telemetry = Telemetry("request-1")
    for milliseconds in (-5.0, 12.4, *[1.0] * 200):
        telemetry.took("AckLatency", milliseconds, source="deel", vendor="deel")
    telemetry.asked_calven(200, 30.2)
    telemetry.asked_calven(0, 1000)
    telemetry.flush()
    lines = metrics()
    assert said_of(OF_SOURCES, lines)[0]["AckLatency"] == [0, 12, *[1] * 97]
    [calven] = said_of([[]], lines)
    assert (calven["CalvenRequests"], calven["CalvenFailures"], calven["CalvenLatency"]) == (
        [2],
        [1],
        [30, 1000],
    )


def test_silent(log: Lines, metrics: Lines) -> None:
    """Silent sources are named in the log and counted; none is said too."""
    telemetry = Telemetry("request-1")
    telemetry.silent({"deel": 80.4})
    telemetry.flush()
    [line] = log()
    assert (line["message"], line["source"], line["hours"]) == ("source silent", "deel", 80)
    assert said_of([[]], metrics()) == [{"SilentSources": [1]}]
    telemetry.silent({})
    telemetry.flush()
    assert said_of([[]], metrics()) == [{"SilentSources": [0]}]


def test_sources_due(metrics: Lines) -> None:
    """Each run of the reconcile schedule says how many sources it has asked for, none included."""
    telemetry = Telemetry("request-1")
    telemetry.asked_to_reconcile(0)
    telemetry.flush()
    assert said_of([[]], metrics()) == [{"SourcesDue": [0]}]


def test_longest_wait(metrics: Lines) -> None:
    """Of many waits the longest is told: an alarm asks for no other, and a line does not hold them all."""
    telemetry = Telemetry("request-1")
    for seconds in (*range(200), 7000.4, 3):
        telemetry.still_waits(seconds)
    telemetry.flush()
    assert said_of([[]], metrics()) == [{"OldestWaitSeconds": [7000]}]


def test_metrics_go_out_once(metrics: Lines) -> None:
    """What has gone out is forgotten, and without counts nothing goes out."""
    telemetry = Telemetry("request-1")
    telemetry.flush()
    assert metrics() == []
    telemetry.count("Waited", source="deel", vendor="deel")
    telemetry.flush()
    telemetry.flush()
    assert len(metrics()) == 1


def failing(text: str) -> None:
    """Fail with a message that must not be logged."""
    raise ValueError(text)


def test_whereabouts() -> None:
    """An unexpected error is told by its class and innermost line, not by its message."""
    with pytest.raises(ValueError, match=r"bob@example\.com") as failed:
        failing("bob@example.com")
    line = failing.__code__.co_firstlineno + 2
    assert whereabouts(failed.value) == f"ValueError at test_observability.py:{line}"
