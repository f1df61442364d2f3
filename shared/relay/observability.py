"""The only Logger and Metrics. One log line an event; nothing of a payload, a person or a secret in it."""

import json
import logging
import os
import sys
import traceback
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

from aws_lambda_powertools import Logger
from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit
from aws_lambda_powertools.metrics.functions import is_metrics_disabled

# Lambda takes no other form for a line's time, and a line without one for INFO, whatever it says.
logger = Logger(service="calven-relay", location=None, use_rfc3339=True, utc=True)
# Where Lambda filters too, Powertools' own `setLevel` takes the filter's level, which must let figures pass.
logging.getLogger(logger.name).setLevel(os.environ.get("POWERTOOLS_LOG_LEVEL", "INFO"))

MOST_VALUES = 99
"""So many values of one metric go into a line, before Powertools begins another; they say enough."""

for _library in ("botocore", "boto3", "urllib3", "httpx", "httpcore"):
    # Lambda sets the root's level: what libraries say below a warning holds URLs, bodies and secrets.
    logging.getLogger(_library).setLevel(logging.WARNING)


def whereabouts(error: Exception) -> str:
    """An unexpected error's class and line. Its message may hold what must not be logged."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{type(error).__name__} at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""


Of = Mapping[str, str]
"""Names and values of the dimensions under which a figure goes out."""
Dimensions: TypeAlias = tuple[tuple[str, str], ...]
"""The same, as a key."""
TOTAL: Of = {}
"""No dimension: over all sources, which is what alarms look at."""
UNKNOWN = "unknown"
"""The `Source` of an event whose source is not configured any more."""


class Telemetry:
    """What became of the events of one invocation: a log line for each, and figures for CloudWatch.

    Counts and times (milliseconds) go out under `Source` and `Vendor` and, in the same line, under no
    dimension; what waits or is dead under its `Reason` too. Nobody outside chooses a value: sources are
    configured ones. Where `by_source` is false, figures go out under no dimension only: CloudWatch bills each
    combination.
    """

    def __init__(self, request_id: str) -> None:
        self.request_id = request_id
        self.by_source = True
        self._passed: dict[str, float] = {}
        self._figures: dict[Dimensions, dict[str, tuple[MetricUnit, list[float]]]] = {}

    def event(self, outcome: str, *, source: str, vendor: str, known: bool = True, **fields: Any) -> None:
        """Log one event's outcome and count it as `Events<Outcome>` of its source, `known` if configured."""
        said = {name: value for name, value in fields.items() if value is not None}
        logger.info(
            "event", outcome=outcome, source=source, vendor=vendor, request_id=self.request_id, **said
        )
        metric = "Events" + outcome.title().replace("-", "")
        self.count(metric, source=source if known else UNKNOWN, vendor=vendor)
        if outcome in ("queued", "dead-lettered"):
            self._add({"Reason": str(fields.get("reason"))}, metric, MetricUnit.Count, 1)

    def passed(self, step: str, at: float) -> None:
        """Note when (Unix seconds) the events had passed a step, at last; the first is the beginning."""
        self._passed[step] = at

    def times(self, now: float) -> dict[str, Any]:
        """For a line: milliseconds since the beginning (`took_ms`), and from there to each later step."""
        if not self._passed:
            return {}
        (_, began), *later = self._passed.items()
        steps = {step: max(round((at - began) * 1000), 0) for step, at in later}
        return {"took_ms": max(round((now - began) * 1000), 0), "steps": steps or None}

    def greeted(self, reason: str, *, source: str, vendor: str) -> None:
        """Log a request that brought no event, such as a ping. It counts as none."""
        logger.info(
            "event",
            outcome="ignored",
            source=source,
            vendor=vendor,
            request_id=self.request_id,
            reason=reason,
            answer=200,
        )

    def rejected(self, *, source: str, vendor: str, check: str) -> None:
        """Log and count a request whose signature is not its vendor's; `check` says what failed."""
        logger.warning(
            "signature rejected", source=source, vendor=vendor, check=check, request_id=self.request_id
        )
        self.count("SignatureRejected", source=source, vendor=vendor)

    def unknown_source(self, asked: str, *, family: str, why: str) -> None:
        """Log what was asked for where there is no such source on that route."""
        logger.warning(
            "unknown source", asked=asked[:100], family=family, why=why, request_id=self.request_id
        )

    def silent(self, sources: Mapping[str, float]) -> None:
        """Log which sources have been silent for how many hours, and how many they are: zero is said too."""
        for source, hours in sources.items():
            logger.warning("source silent", source=source, hours=round(hours), request_id=self.request_id)
        self._add(TOTAL, "SilentSources", MetricUnit.Count, len(sources))

    def token_refused(self, seconds: float, *, source: str, vendor: str) -> None:
        """Log and note for how long a vendor's token endpoint has been refusing the refresh token."""
        logger.error("refresh token refused", source=source, vendor=vendor, request_id=self.request_id)
        self._add(
            {"Source": source, "Vendor": vendor}, "TokenRefusedSeconds", MetricUnit.Seconds, round(seconds)
        )

    def reconciled(self, *, source: str, vendor: str, status: str, differences: int, **found: Any) -> None:
        """Log what a source's reconciliation came to, and count what webhooks had not told."""
        said = {name: value for name, value in found.items() if value}
        logger.info(
            "reconciled",
            source=source,
            vendor=vendor,
            status=status,
            differences=differences,
            request_id=self.request_id,
            **said,
        )
        self.count("ReconcileDifferences", source=source, vendor=vendor, by=differences)
        self.count("ReconcileRefused", source=source, vendor=vendor, by=int(status == "refused"))

    def reconcile_age(self, seconds: float, *, source: str, vendor: str) -> None:
        """Note how long ago the last complete reconciliation of a source began."""
        of = {"Source": source, "Vendor": vendor}
        self._add(of, "ReconcileAge", MetricUnit.Seconds, max(round(seconds), 0))

    def asked_to_reconcile(self, sources: int) -> None:
        """Note how many sources a run of the reconcile schedule has asked for: zero is said too."""
        self._add(TOTAL, "SourcesDue", MetricUnit.Count, sources)

    def still_waits(self, seconds: float) -> None:
        """Note for how long an event has waited that was tried once more in vain: SQS does not tell."""
        self._add(TOTAL, "OldestWaitSeconds", MetricUnit.Seconds, round(seconds))

    def problem(self, message: str, **fields: Any) -> None:
        """Log something that an operator has to look at. `message` holds no payload."""
        logger.error(message, request_id=self.request_id, **fields)

    def count(self, metric: str, *, source: str, vendor: str, by: int = 1) -> None:
        """Add to one of the counts, which go out when the invocation ends."""
        self._add({"Source": source, "Vendor": vendor}, metric, MetricUnit.Count, by)

    def took(self, metric: str, milliseconds: float, *, source: str, vendor: str) -> None:
        """Note how long something took for an event of a source."""
        took = max(round(milliseconds), 0)
        self._add({"Source": source, "Vendor": vendor}, metric, MetricUnit.Milliseconds, took)

    def asked_calven(self, status: int, milliseconds: float) -> None:
        """Note a request to Calven: its status, 0 where there was no answer, and how long it took."""
        self._add(TOTAL, "CalvenRequests", MetricUnit.Count, 1)
        self._add(TOTAL, "CalvenFailures", MetricUnit.Count, 0 if 200 <= status < 300 else 1)
        self._add(TOTAL, "CalvenLatency", MetricUnit.Milliseconds, round(milliseconds))

    def flush(self) -> None:
        """Write the figures in CloudWatch's embedded metric format, one line for each set of dimensions."""
        for dimensions, figures in self._figures.items():
            if is_metrics_disabled():
                break
            shown = {
                # What is known to be right goes in at once: `add_metric` looks at each value and unit.
                metric: {"Unit": unit.value, "Value": values[:MOST_VALUES]}
                for metric, (unit, values) in figures.items()
            }
            line = _line_of(dimensions if self.by_source or "Reason" in dict(dimensions) else ())
            sys.stdout.write(json.dumps(line.serialize_metric_set(shown), separators=(",", ":")) + "\n")
        self._figures.clear()

    def _add(self, of: Of, metric: str, unit: MetricUnit, value: float) -> None:
        figures = self._figures.setdefault(tuple(of.items()), {})
        _, values = figures.setdefault(metric, (unit, []))
        if unit is MetricUnit.Count and values:
            values[0] += value
        elif unit is MetricUnit.Seconds and values:
            values[0] = max(values[0], value)  # alarms ask for the longest, and a line holds so many values
        else:
            values.append(value)


@cache
def _line_of(dimensions: Dimensions) -> EphemeralMetrics:
    """What writes the figures of these dimensions. `Metrics` has the same ones for the whole process.

    The empty set of dimensions is always there beside those of a source.
    """
    line = EphemeralMetrics()
    if "Reason" in dict(dimensions):
        line.add_dimension("Reason", dict(dimensions)["Reason"])
    elif dimensions:
        line.add_dimensions(**dict(dimensions))
    return line
