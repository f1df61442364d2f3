"""What the relay uses of AWS: for a badge, a change of leave, a run of the schedule, a month.

Requests and units of the table are those that the tests count, sizes of log lines those of the demo.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass

DAYS_A_MONTH = 30.4
HOURS_A_MONTH = DAYS_A_MONTH * 24

# What people do.
DAYS_IN = 13
"""So many days a month somebody is in the office: three in five."""
BADGES_A_DAY = 8
LEAVE_CHANGES_A_YEAR = 12
OPEN_HOURS = 21 * 10
"""Hours a month in which people badge."""

# How long things take, in seconds: docs/explanations/performance.md.
ROUND_TRIP = 0.005
CALVEN = 0.1
DIRECT = 0.12
STORE = 0.03
COLD = 0.4
COLD_SHARE = 0.01

# What is written to the log, in bytes, measured in the demo; CloudWatch adds 26 for each line.
EVENT_LINE, STORED_LINE, IGNORED_LINE = 600, 450, 380
SOURCE_FIGURES_LINE, CALVEN_FIGURES_LINE, REASON_FIGURES_LINE = 454, 326, 220
SCHEDULE_LINE = 191
RECONCILED_LINE, RECONCILED_FIGURES_LINE, AGE_LINE = 201, 332, 250
START_AND_REPORT = 450
ACCESS_LINE = 350
"""The template's format, filled in."""
OF_EACH_LINE = 26

# Of the ledger.
CONFLICTS = 0.02
"""So many direct badges are settled once more, because another changed the same count meanwhile.

As simulated at one badge a second and site, more than the companies have: 0.01 at a third, 0.09 at five.
"""

# Of reconciliation: how long a run takes that lists one page, and each further page of HR.
RECONCILED_SECONDS = 1
PAGE, PAGE_SECONDS = 100, 0.5
LISTED_READS, LISTED_WRITES = 2_600 / 50_000, 2_000 / 50_000
BACKFILL_READS, BACKFILL_WRITES = 200_000 / 50_000, 360_000 / 50_000
FULL_BATCH = 100

POLLS = 5 * 3 * 60 * HOURS_A_MONTH
"""Lambda asks an idle queue with five connections, each of which waits 20 s."""
SECRETS_HELD, READS_AN_HOUR = 3, 12
"""A process reads the secrets that it uses every five minutes."""


@dataclass(frozen=True, slots=True)
class Company:
    """Who uses a relay. `processes` is how many of each webhook function Lambda holds while people badge."""

    employees: int
    sites: int
    access_sources: int
    processes: int
    hr_sources: int = 1

    @property
    def sources(self) -> int:
        """All sources."""
        return self.access_sources + self.hr_sources

    @property
    def badges(self) -> float:
        """Badges a month."""
        return self.employees * DAYS_IN * BADGES_A_DAY

    @property
    def leave_changes(self) -> float:
        """Changes of leave a month."""
        return self.employees * LEAVE_CHANGES_A_YEAR / 12

    @property
    def batch(self) -> float:
        """Badges in a batch of the queue: the first, and those that come in the second after it."""
        return 1 + self.badges / (OPEN_HOURS * 3600)


@dataclass(frozen=True, slots=True)
class Use:
    """What AWS counts: requests, runs of functions, units of the table, and so on."""

    api: float = 0
    runs: float = 0
    gb_seconds: float = 0
    log_bytes: float = 0
    access_bytes: float = 0
    reads: float = 0
    writes: float = 0
    sqs: float = 0
    secret_calls: float = 0
    out_bytes: float = 0

    def times(self, number: float) -> "Use":
        """So many of it."""
        return Use(**{name: value * number for name, value in asdict(self).items()})


def together(uses: Iterable[Use]) -> Use:
    """The sum of several."""
    total: dict[str, float] = {}
    for use in uses:
        for name, value in asdict(use).items():
            total[name] = total.get(name, 0) + value
    return Use(**total)


def lines(*sizes: float) -> float:
    """What CloudWatch counts for lines of these sizes in bytes."""
    return sum(sizes) + OF_EACH_LINE * len(sizes)


def run(seconds: float, memory: float, *sizes: float) -> Use:
    """One run of a function with `memory` GB, which writes lines of these sizes beside Lambda's own two."""
    log_bytes = START_AND_REPORT + 2 * OF_EACH_LINE + lines(*sizes)
    return Use(runs=1, gb_seconds=seconds * memory, log_bytes=log_bytes)


def request(seconds: float, memory: float, *sizes: float) -> Use:
    """One webhook's request, its cold start included where it has one."""
    at_api = Use(api=1, access_bytes=lines(ACCESS_LINE), out_bytes=500)
    return together([at_api, run(seconds + COLD * COLD_SHARE, memory, *sizes)])


def badge_settlement(number: float) -> Use:
    """What the ledger does for badges of so many people who enter a site and one of its first five places.

    Read are each person, the marker of each badge, the item with both counts, and what Calven was told.
    Written are each person and that item in one transaction, which costs double, and by itself what Calven
    accepted.
    """
    return Use(reads=2 * number + 2, writes=2 * (number + 1) + 1, out_bytes=1_500)


def leave_settlement() -> Use:
    """What the ledger does for a change of leave.

    Read are the leave, its employee, a marker and the address. Written are leave and employee in one
    transaction, the leave's place in the index, the address, and the employee when Calven has answered.
    """
    return Use(reads=4, writes=2 * 2 + 1 + 1 + 1, out_bytes=1_500)


def conflict() -> Use:
    """What a conflict costs: a badge is read and written in vain."""
    return Use(reads=4, writes=4)


def direct_badge(memory: float) -> Use:
    """A badge that goes to Calven while its vendor waits."""
    received = request(DIRECT, memory, EVENT_LINE, CALVEN_FIGURES_LINE, SOURCE_FIGURES_LINE)
    return together([received, badge_settlement(1), conflict().times(CONFLICTS)])


def direct_leave(memory: float) -> Use:
    """A change of leave that goes to Calven while its vendor waits."""
    received = request(DIRECT, memory, EVENT_LINE, CALVEN_FIGURES_LINE, SOURCE_FIGURES_LINE)
    return together([received, leave_settlement()])


def ignored(memory: float) -> Use:
    """A webhook that needs nothing of the ledger."""
    return request(STORE / 2, memory, IGNORED_LINE, SOURCE_FIGURES_LINE)


def store_first(memory: float) -> Use:
    """A webhook that is put into the queue first."""
    received = request(STORE, memory, STORED_LINE, SOURCE_FIGURES_LINE, REASON_FIGURES_LINE)
    return together([received, Use(sqs=1)])


def drain(settled: Use, number: float, memory: float) -> Use:
    """A batch of the queue: the messages, the run, and the note of what is under way, written twice.

    A request to SQS receives or deletes ten messages at most.
    """
    seconds = CALVEN + 6 * ROUND_TRIP + 0.001 * number
    event_lines = number * lines(EVENT_LINE)
    work = run(seconds, memory, CALVEN_FIGURES_LINE, SOURCE_FIGURES_LINE)
    noted = Use(reads=1, writes=2, sqs=2 * max(1, number / 10), log_bytes=event_lines)
    return together([settled, work, noted])


def queued_badge(batch: float, memory: float, retry_memory: float) -> Use:
    """A badge that is stored first, and forwarded in a batch of so many."""
    share = drain(badge_settlement(batch), batch, retry_memory).times(1 / batch)
    return together([store_first(memory), share])


def queued_leave(memory: float, retry_memory: float) -> Use:
    """A change of leave that is stored first, and forwarded by itself."""
    return together([store_first(memory), drain(leave_settlement(), 1, retry_memory)])


def schedule_run(company: Company, memory: float) -> Use:
    """A run of the schedule: each site's counts of today and which days are done, all readings, all sources.

    One request says of six sites which of fifteen days are done. Eight sites are looked at at once.
    """
    reads = 1 + 16 * company.sites + 16 + company.sources
    seconds = 0.05 + ROUND_TRIP * (19 + (1 + 1 / 6) * company.sites / 8)
    return together([run(seconds, memory, SCHEDULE_LINE), Use(reads=reads)])


def reconciliation(company: Company, runs: float, memory: float) -> Use:
    """A month of asking the vendors: badges with each run of the schedule, and HR once a day.

    The schedule looks at each source and says how old its last run is; a message then starts the source's
    own run. Both read its secret anew. A badge is seen twice.
    """
    asks = together(
        [
            run(0.1 + ROUND_TRIP * company.sources, memory),
            Use(reads=1 + company.sources, secret_calls=company.sources),
            Use(log_bytes=company.sources * lines(AGE_LINE)),
        ]
    )
    asked = Use(reads=2, writes=4, sqs=3, secret_calls=1)
    of_access = together([run(RECONCILED_SECONDS, memory, RECONCILED_LINE, RECONCILED_FIGURES_LINE), asked])
    leaves = company.employees
    listed = Use(reads=LISTED_READS * leaves, writes=LISTED_WRITES * leaves)
    hr_seconds = RECONCILED_SECONDS + PAGE_SECONDS * leaves / PAGE
    of_hr = together([run(hr_seconds, memory, RECONCILED_LINE, RECONCILED_FIGURES_LINE), asked, listed])
    return together(
        [
            asks.times(runs),
            of_access.times(runs * company.access_sources),
            Use(reads=2 * company.badges),
            of_hr.times(DAYS_A_MONTH * company.hr_sources),
        ]
    )


def backfill(company: Company, retry_memory: float) -> Use:
    """The first reconciliation by hand: each employee's leave of the coming year, through the queue."""
    leaves = company.employees
    units = Use(reads=BACKFILL_READS * FULL_BATCH, writes=BACKFILL_WRITES * FULL_BATCH, sqs=FULL_BATCH / 10)
    return drain(units, FULL_BATCH, retry_memory).times(leaves / FULL_BATCH)
