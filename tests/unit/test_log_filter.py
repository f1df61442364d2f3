"""Lambda's filter of log lines, as documented, lets every figure pass, whatever the stack's `LogLevel` is.

https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-log-level.html
"""

import json
import os
import subprocess
import sys
from datetime import datetime
from typing import Any

import pytest

from tests.template import FOLDERS, chosen, deployed, resource

LEVELS = ["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"]
"""From the least to the most severe, as Lambda knows them."""
LOG_LEVELS = deployed()["Parameters"]["LogLevel"]["AllowedValues"]

PROGRAM = """
from relay.observability import Telemetry, logger
telemetry = Telemetry("request-1")
logger.debug("debug")
telemetry.event("queued", source="kisi", vendor="kisi", reason="internal_error")
telemetry.took("AckLatency", 12, source="kisi", vendor="kisi")
telemetry.rejected(source="kisi", vendor="kisi", check="no x-signature")
telemetry.asked_calven(503, 12)
telemetry.silent({"kisi": 80})
telemetry.token_refused(700, source="doorflow", vendor="doorflow")
telemetry.problem("unavailable")
telemetry.flush()
"""
FIGURES = {
    "EventsQueued",
    "AckLatency",
    "SignatureRejected",
    "CalvenRequests",
    "CalvenFailures",
    "CalvenLatency",
    "SilentSources",
    "TokenRefusedSeconds",
}


def level_of(line: str) -> str:
    """The level that Lambda takes a line for: INFO without a level and a time that it can read."""
    fields: dict[str, Any] = json.loads(line)
    level = str(fields.get("level")).upper()
    return level if level in LEVELS and is_rfc3339(fields.get("timestamp")) else "INFO"


def is_rfc3339(text: Any) -> bool:
    """Whether a text is a date, a `T`, a time and an offset with a colon."""
    try:
        moment = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return False
    # RFC 3339 has one form; `fromisoformat` also reads others of ISO 8601.
    return moment.tzinfo is not None and text[10] == "T" and (text[-1] == "Z" or text[-3] == ":")


def kept(line: str, at_least: str) -> bool:
    """Whether Lambda passes a line on to CloudWatch."""
    return LEVELS.index(level_of(line)) >= LEVELS.index(at_least)


def emitted(function: str, log_level: str) -> tuple[list[str], str]:
    """What a function prints in the environment that the template makes, and the filter's level."""
    logging = resource(function)["LoggingConfig"]
    filtered_at = chosen(logging["ApplicationLogLevel"], LogLevel=log_level)
    variables = resource(function)["Environment"]["Variables"]
    environment = {
        "PATH": os.environ["PATH"],
        "AWS_LAMBDA_LOG_LEVEL": filtered_at,  # Lambda sets it where it filters
        "POWERTOOLS_LOG_LEVEL": chosen(variables["POWERTOOLS_LOG_LEVEL"], LogLevel=log_level),
        "POWERTOOLS_METRICS_NAMESPACE": "CalvenRelay",
        "TZ": "Australia/Sydney",
    }
    command = [sys.executable, "-W", "error", "-c", PROGRAM]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.splitlines(), filtered_at


@pytest.mark.parametrize("log_level", LOG_LEVELS)
def test_figures_pass(log_level: str) -> None:
    """No figure is lost at any level: alarms see all that happens."""
    lines, filtered_at = emitted("AccessControlFunction", log_level)
    passed = [json.loads(line) for line in lines if kept(line, filtered_at)]
    figures = [line for line in passed if "_aws" in line]
    assert {name for line in figures for name in line} >= FIGURES


@pytest.mark.parametrize(("log_level", "logged"), [("DEBUG", 6), ("INFO", 5), ("WARN", 4), ("ERROR", 2)])
def test_log_level_says_what_is_logged(log_level: str, logged: int) -> None:
    """Lines below the stack's `LogLevel` are not logged, the others are, and Lambda drops none of them."""
    lines, filtered_at = emitted("AccessControlFunction", log_level)
    texts = [line for line in lines if "_aws" not in json.loads(line)]
    assert [line for line in texts if kept(line, filtered_at)] == texts
    assert len(texts) == logged


def test_times_are_those_that_lambda_reads() -> None:
    """Each line's time is RFC 3339, in UTC wherever the function runs."""
    lines, _ = emitted("HrisFunction", "INFO")
    times = [json.loads(line)["timestamp"] for line in lines if "_aws" not in json.loads(line)]
    assert all(is_rfc3339(time) and time.endswith("+00:00") for time in times)


def test_a_filter_at_warn_would_drop_the_figures() -> None:
    """What this keeps from happening: a filter at `LogLevel` takes figures for INFO, and drops them."""
    lines, _ = emitted("AccessControlFunction", "WARN")
    figures = [line for line in lines if "_aws" in json.loads(line)]
    assert figures
    assert not [line for line in figures if kept(line, "WARN")]
    assert not is_rfc3339("2026-11-26 18:14:47,549+0000")


@pytest.mark.parametrize("function", FOLDERS)
@pytest.mark.parametrize("log_level", LOG_LEVELS)
def test_filters_of_every_function(function: str, log_level: str) -> None:
    """Reports of the platform and figures pass in each function."""
    logging = resource(function)["LoggingConfig"]
    assert logging["SystemLogLevel"] == "INFO"
    application = chosen(logging["ApplicationLogLevel"], LogLevel=log_level)
    assert LEVELS.index(application) <= LEVELS.index("INFO")
