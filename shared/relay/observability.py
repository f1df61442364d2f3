"""The only Logger and Metrics. One log line an event; nothing of a payload, a person or a secret in it."""

import logging
import traceback
from collections import Counter
from pathlib import Path
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit

logger = Logger(location=None)

for _library in ("botocore", "boto3", "urllib3", "httpx", "httpcore"):
    # Lambda sets the root's level: what libraries say below a warning holds URLs, bodies and secrets.
    logging.getLogger(_library).setLevel(logging.WARNING)


def whereabouts(error: Exception) -> str:
    """An unexpected error's class and line. Its message may hold what must not be logged."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{type(error).__name__} at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""


class Telemetry:
    """What became of the events of one invocation: a log line for each, and counts for CloudWatch."""

    def __init__(self, request_id: str) -> None:
        self._request_id = request_id
        self._counts: Counter[tuple[str, str, str]] = Counter()

    def event(self, outcome: str, *, source: str, vendor: str, **fields: Any) -> None:
        """Log one event's outcome and count it as `Events<Outcome>` of its source."""
        known = {name: value for name, value in fields.items() if value is not None}
        logger.info(
            "event", outcome=outcome, source=source, vendor=vendor, request_id=self._request_id, **known
        )
        self.count("Events" + outcome.title().replace("-", ""), source=source, vendor=vendor)

    def rejected(self, *, source: str, vendor: str) -> None:
        """Log and count a request whose signature is not its vendor's."""
        logger.warning("signature rejected", source=source, vendor=vendor, request_id=self._request_id)
        self.count("SignatureRejected", source=source, vendor=vendor)

    def problem(self, message: str, **fields: Any) -> None:
        """Log something that an operator has to look at. `message` holds no payload."""
        logger.error(message, request_id=self._request_id, **fields)

    def count(self, metric: str, *, source: str, vendor: str, by: int = 1) -> None:
        """Add to one of the counts, which go out when the invocation ends."""
        self._counts[metric, source, vendor] += by

    def flush(self) -> None:
        """Write the counts in CloudWatch's embedded metric format, one line for each source."""
        for source, vendor in sorted({(source, vendor) for _, source, vendor in self._counts}):
            metrics = EphemeralMetrics()
            metrics.add_dimension("Source", source)
            metrics.add_dimension("Vendor", vendor)
            for (metric, *of), count in self._counts.items():
                if of == [source, vendor]:
                    metrics.add_metric(metric, MetricUnit.Count, count)
            metrics.flush_metrics()
        self._counts.clear()
