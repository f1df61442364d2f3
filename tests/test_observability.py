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


def test_rejected(log: Lines) -> None:
    """A bad signature is a warning that names its source, and nothing of the request."""
    Telemetry("request-1").rejected(source="kisi-sydney", vendor="kisi")
    [line] = log()
    assert said(line) == {
        "level": "WARNING",
        "message": "signature rejected",
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


def test_metrics(metrics: Lines) -> None:
    """What was counted goes out as one line of the embedded metric format for each source."""
    telemetry = Telemetry("request-1")
    for outcome in ("forwarded", "forwarded", "dead-lettered"):
        telemetry.event(outcome, source="kisi-sydney", vendor="kisi")
    telemetry.rejected(source="verkada", vendor="verkada")
    telemetry.count("Waited", source="verkada", vendor="verkada", by=5)
    telemetry.flush()
    first, second = metrics()
    assert first.pop("_aws")["CloudWatchMetrics"] == [
        {
            "Namespace": "CalvenRelay",
            "Dimensions": [["Source", "Vendor", "service"]],
            "Metrics": [
                {"Name": "EventsForwarded", "Unit": "Count"},
                {"Name": "EventsDeadLettered", "Unit": "Count"},
            ],
        }
    ]
    assert first == {
        "Source": "kisi-sydney",
        "Vendor": "kisi",
        "service": "calven-relay",
        "EventsForwarded": [2],
        "EventsDeadLettered": [1],
    }
    second.pop("_aws")
    assert second == {
        "Source": "verkada",
        "Vendor": "verkada",
        "service": "calven-relay",
        "SignatureRejected": [1],
        "Waited": [5],
    }


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
