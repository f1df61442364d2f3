"""What the stack costs a month: computed from what it does, how often, and AWS's list prices.

`make docs` writes the tables into docs/explanations/cost.md. What the template says (memory, alarms,
schedules, queues that feed functions) is read from it; everything else is one of the numbers here and in
`build.usage`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from build.usage import (
    DAYS_A_MONTH,
    DAYS_IN,
    FULL_BATCH,
    HOURS_A_MONTH,
    OPEN_HOURS,
    POLLS,
    READS_AN_HOUR,
    SECRETS_HELD,
    Company,
    Use,
    backfill,
    direct_badge,
    direct_leave,
    ignored,
    queued_badge,
    queued_leave,
    reconciliation,
    schedule_run,
    together,
)
from localrun.template import Template

MILLION = 1_000_000

# AWS's list for us-east-1, in dollars, without the free tier. docs/explanations/cost.md says from when.
API_REQUEST = 1.00 / MILLION
RUN = 0.20 / MILLION
GB_SECOND = 0.0000133334
READ, WRITE = 0.125 / MILLION, 0.625 / MILLION
TABLE_GB = 0.25 + 0.20
"""A month, with point-in-time recovery."""
LOG_GB, LOG_GB_KEPT = 0.50, 0.03
SQS_REQUEST = 0.40 / MILLION
SECRET, SECRET_CALL = 0.40, 0.05 / 10_000
FIGURE = 0.30
ALARM_METRIC, COMPOSITE_ALARM = 0.10, 0.50
DASHBOARD, KEY = 3.00, 1.00
OUT_GB = 0.09
TRACE = 5.00 / MILLION

# Figures that CloudWatch bills: each by itself, and each source's again.
OF_SOURCE = (
    "EventsReceived",
    "EventsForwarded",
    "EventsIgnored",
    "EventsQueued",
    "EventsDeadLettered",
    "SignatureRejected",
    "AckLatency",
    "EndToEndLatency",
    "ReconcileDifferences",
    "ReconcileRefused",
    "ReconcileAge",
)
OF_ALL = (
    *OF_SOURCE,
    "CalvenRequests",
    "CalvenFailures",
    "CalvenLatency",
    "SilentSources",
    "SourcesDue",
    "OldestWaitSeconds",
    "TokenRefusedSeconds",
)

DAYS_KEPT = 16
BADGE_ITEM, LEAVE_ITEMS = 350, 1_400
"""Bytes kept of a person and a day; and of a leave, with its employee and its place in the index."""

COMPANIES = (
    Company(employees=500, sites=1, access_sources=1, processes=2),
    Company(employees=5_000, sites=3, access_sources=3, processes=3),
    Company(employees=50_000, sites=20, access_sources=20, processes=10),
)


def billed_metrics(alarm: Mapping[str, Any]) -> int:
    """The metrics that an alarm is billed by: one on metric math, by each metric in it."""
    metrics = [each for each in alarm.get("Metrics", []) if "MetricStat" in each]
    return max(len(metrics), 1)


def gigabytes(company: Company) -> float:
    """What the table holds."""
    people = company.employees * DAYS_IN / DAYS_A_MONTH * DAYS_KEPT * BADGE_ITEM
    return (people + company.employees * LEAVE_ITEMS) / 1e9


def log_dollars(log_bytes: float) -> float:
    """Dollars for what is written to the log in a month, and kept for one."""
    return log_bytes / 1e9 * (LOG_GB + LOG_GB_KEPT)


def dollars(use: Use) -> float:
    """What is billed by use."""
    return sum(by_service(use).values())


def by_service(use: Use) -> dict[str, float]:
    """What is billed by use, for each service."""
    return {
        "API Gateway: requests": use.api * API_REQUEST,
        "Lambda: requests": use.runs * RUN,
        "Lambda: duration": use.gb_seconds * GB_SECOND,
        "CloudWatch Logs: the functions' lines": log_dollars(use.log_bytes),
        "CloudWatch Logs: the API's access log": log_dollars(use.access_bytes),
        "DynamoDB: reads and writes": use.reads * READ + use.writes * WRITE,
        "SQS: requests": use.sqs * SQS_REQUEST,
        "Secrets Manager: calls": use.secret_calls * SECRET_CALL,
        "data to Calven and vendors": use.out_bytes / 1e9 * OUT_GB,
    }


@dataclass(frozen=True, slots=True)
class Bill:
    """What a company pays in one mode: the rows up to the first sum, and what does not belong to it."""

    rows: Mapping[str, float]
    figures_by_source: float
    traces: float
    backfill: float

    @property
    def without_sources(self) -> float:
        """A month with `metricsBySource: false`."""
        return sum(self.rows.values())

    @property
    def with_sources(self) -> float:
        """A month as it comes."""
        return self.without_sources + self.figures_by_source


class Stack:
    """What the template says."""

    def __init__(self, template: Template) -> None:
        self._template = template
        memory = {name: function.memory / 1024 for name, function in template.functions.items()}
        self.badge_memory = memory["AccessControlFunction"]
        self.leave_memory = memory["HrisFunction"]
        self.retry_memory = memory["RetryFunction"]
        self.schedule_memory = memory["OccupancyResetFunction"]
        self.reconcile_memory = memory["ReconcileFunction"]
        self.intervals = {each.function.logical_id: each.interval for each in template.schedules}
        self.fed_functions = len(template.event_sources)

    def runs(self, function: str) -> float:
        """How often its schedule starts a function, a month."""
        return HOURS_A_MONTH * 3600 / self.intervals[function]

    @cached_property
    def alarms(self) -> Sequence[int]:
        """The metrics of each alarm."""
        return [billed_metrics(alarm) for alarm in self._template.of_type("AWS::CloudWatch::Alarm").values()]

    @property
    def composite_alarms(self) -> int:
        """Alarms on other alarms."""
        return self._number("CloudWatch::CompositeAlarm")

    @property
    def watching(self) -> float:
        """Dollars a month for alarms, dashboard and the key of the alarms' topics."""
        alarms = sum(self.alarms) * ALARM_METRIC + self.composite_alarms * COMPOSITE_ALARM
        return alarms + self._number("CloudWatch::Dashboard") * DASHBOARD + self._number("KMS::Key") * KEY

    @property
    def alarms_in_words(self) -> str:
        """What is watched, for a row of the table."""
        alarms = f"{len(self.alarms)} alarms of {sum(self.alarms)} metrics"
        return f"{alarms}, {self.composite_alarms} composite; dashboard, KMS key"

    def _number(self, kind: str) -> int:
        return len(self._template.of_type(f"AWS::{kind}"))


def traffic(company: Company, stack: Stack, *, queued: bool) -> Use:
    """A month of badges and changes of leave."""
    if queued:
        badge = queued_badge(company.batch, stack.badge_memory, stack.retry_memory)
        leave = queued_leave(stack.leave_memory, stack.retry_memory)
    else:
        badge, leave = direct_badge(stack.badge_memory), direct_leave(stack.leave_memory)
    return together([badge.times(company.badges), leave.times(company.leave_changes)])


def bill(company: Company, stack: Stack, *, queued: bool) -> Bill:
    """What a company pays a month."""
    reconciled = reconciliation(company, stack.runs("ReconcileFunction"), stack.reconcile_memory)
    calls = SECRETS_HELD * READS_AN_HOUR * OPEN_HOURS * company.processes
    used = together(
        [
            traffic(company, stack, queued=queued),
            schedule_run(company, stack.schedule_memory).times(stack.runs("OccupancyResetFunction")),
            Use(sqs=POLLS * stack.fed_functions, secret_calls=calls),
        ]
    )
    rows = {
        **by_service(used),
        "Secrets Manager: secrets": (2 + company.sources) * SECRET,
        "DynamoDB: storage and backups": gigabytes(company) * TABLE_GB,
        "reconciliation": dollars(reconciled),
        stack.alarms_in_words: stack.watching,
        f"{len(OF_ALL)} figures over all sources": len(OF_ALL) * FIGURE,
    }
    return Bill(
        rows=rows,
        figures_by_source=company.sources * len(OF_SOURCE) * FIGURE,
        traces=(used.runs + reconciled.runs) * TRACE,
        backfill=dollars(backfill(company, stack.retry_memory)),
    )


def amount(value: float) -> str:
    """Dollars as a table shows them."""
    if 0 < value < 0.005:
        return "under $0.01"
    return f"${value:,.2f}"


def row(*cells: str) -> str:
    """A row of a table."""
    return f"| {' | '.join(cells)} |"


def assumptions() -> Iterator[str]:
    """What the companies are taken to be."""
    yield row("employees", *[f"{each.employees:,}" for each in COMPANIES])
    yield row(*["---"] * (1 + len(COMPANIES)))
    yield row("badges a month", *[f"{each.badges:,.0f}" for each in COMPANIES])
    yield row("changes of leave a month", *[f"{each.leave_changes:,.0f}" for each in COMPANIES])
    yield row("sites", *[f"{each.sites}" for each in COMPANIES])
    yield row("sources", *[f"{each.sources}" for each in COMPANIES])
    yield row("processes of each webhook function", *[f"{each.processes}" for each in COMPANIES])
    yield row("badges in a batch, queued", *[f"{each.batch:.1f}" for each in COMPANIES])


def months() -> Iterator[str]:
    """The bills of a month."""
    stack = Stack(Template())
    modes = [(company, queued) for company in COMPANIES for queued in (False, True)]
    bills = [bill(company, stack, queued=queued) for company, queued in modes]
    heads = [f"{company.employees:,} {'queued' if queued else 'direct'}" for company, queued in modes]
    yield row("a month", *heads)
    yield row(*["---"] * (1 + len(bills)))
    for name in bills[0].rows:
        yield row(name, *[amount(each.rows[name]) for each in bills])
    yield row("**`metricsBySource: false`**", *[f"**{amount(each.without_sources)}**" for each in bills])
    yield row("figures by source", *[amount(each.figures_by_source) for each in bills])
    yield row("**figures by source too**", *[f"**{amount(each.with_sources)}**" for each in bills])
    yield row("beside that, `XRay=on`, at most", *[amount(each.traces) for each in bills])
    yield row("once, the first reconciliation by hand", *[amount(each.backfill) for each in bills])


def pieces() -> Iterator[str]:
    """What one of each kind of event comes to, a million times."""
    stack = Stack(Template())
    badge, leave, retry = stack.badge_memory, stack.leave_memory, stack.retry_memory
    kinds = {
        "badge, direct": direct_badge(badge),
        "badge, queued, alone in its batch": queued_badge(1, badge, retry),
        "badge, queued, in batches of ten": queued_badge(10, badge, retry),
        "badge, queued, in batches of a hundred": queued_badge(FULL_BATCH, badge, retry),
        "change of leave, direct": direct_leave(leave),
        "change of leave, queued": queued_leave(leave, retry),
        "what is ignored before the ledger": ignored(badge),
    }
    yield row("event", "read units", "write units", "log", "requests to SQS", "a million")
    yield row(*["---"] * 6)
    for name, use in kinds.items():
        kilobytes = (use.log_bytes + use.access_bytes) / 1000
        units = (f"{use.reads:.1f}", f"{use.writes:.1f}", f"{kilobytes:.1f} kB", f"{use.sqs:.1f}")
        yield row(name, *units, amount(dollars(use) * MILLION))


def tables() -> Mapping[str, Iterable[str]]:
    """The page's tables, by the name of the comment that stands before each."""
    return {"assumptions": assumptions(), "months": months(), "pieces": pieces()}
