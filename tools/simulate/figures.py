"""What a run came to, in numbers that several runs can be put together from, and as tables."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from simulate.watch import Fate
from simulate.world import Measured, World

IN_TIME_SECONDS = 1.0


@dataclass(slots=True)
class Sample:
    """Some badges of one run or several, and what was used for them.

    `answers` are seconds until a badge was taken, with 200 or 202, `known` those until Calven knew of it.
    Everything after `badges` is a sum over so many badges that Calven came to know of meanwhile.
    """

    answers: list[tuple[int, float]] = field(default_factory=list)
    known: list[float] = field(default_factory=list)
    refused: dict[str, int] = field(default_factory=dict)
    badges: int = 0
    settling: int = 0
    noting: int = 0
    requests: int = 0
    reads: float = 0
    writes: float = 0
    tried: float = 0
    runs: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    calven_requests: int = 0
    queue_requests: int = 0
    complaints: dict[str, int] = field(default_factory=dict)

    def __add__(self, other: "Sample") -> "Sample":
        both = {}
        mine, others = asdict(self), asdict(other)
        for name, value in mine.items():
            both[name] = _sum(value, others[name])
        return Sample(**both)

    def a_badge(self, number: float) -> float:
        """So many of something a badge."""
        return number / max(self.badges, 1)


def _sum(one: Any, other: Any) -> Any:
    if not isinstance(one, Mapping):
        return one + other
    return {name: one.get(name, 0) + other.get(name, 0) for name in (*one, *(set(other) - set(one)))}


def sample(world: World, before: Measured, fates: Sequence[Fate]) -> Sample:
    """What a world's run came to since an instant, and what became of these badges."""
    after = world.before_sweeps
    counts = after.counts.since(before.counts)
    found = Sample(
        badges=after.known - before.known,
        settling=counts.conflicts["settling"],
        noting=counts.conflicts["noting"],
        requests=counts.requests.total(),
        reads=counts.read_units,
        writes=counts.write_units,
        tried=counts.tried_units,
        runs=_since(after.invocations, before.invocations),
        seconds=_since(after.seconds, before.seconds),
        calven_requests=after.calven_requests - before.calven_requests,
        queue_requests=after.queue_requests - before.queue_requests,
        complaints=dict(world.complaints),
    )
    for fate in fates:
        found.answers.append((fate.status, fate.answered_at - fate.badge.at))
        if fate.known_at is not None:
            found.known.append(fate.known_at - fate.badge.at)
        for status in fate.others:
            found.refused[str(status)] = found.refused.get(str(status), 0) + 1
    return found


def _since(after: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value - before.get(name, 0) for name, value in after.items()}


def percentile(values: Sequence[float], part: float) -> float:
    """The value below which so many hundredths of the values are; 0 of none."""
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * part / 100), len(ordered) - 1)] if ordered else 0.0


Row = Mapping[str, Any]
"""The cells of a row by their column."""


def table(title: str, rows: Sequence[Row]) -> Iterator[str]:
    """The lines of a Markdown table."""
    yield f"## {title}"
    yield ""
    columns = list(rows[0])
    yield f"| {' | '.join(columns)} |"
    yield f"| {' | '.join('---' for _ in columns)} |"
    for row in rows:
        yield f"| {' | '.join(cell(row[column]) for column in columns)} |"
    yield ""


def cell(value: Any) -> str:
    """A number with as many digits as say something."""
    if not isinstance(value, float):
        return f"{value:,}" if isinstance(value, int) else str(value)
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def service_row(found: Sample) -> dict[str, Any]:
    """How badges were answered, and when Calven knew."""
    answers = [seconds for _, seconds in found.answers]
    many = max(len(answers), 1)
    in_time = [status for status, seconds in found.answers if status == 200 and seconds <= IN_TIME_SECONDS]
    return {
        "200 within 1 s": f"{100 * len(in_time) / many:.1f} %",
        "202": f"{100 * sum(status == 202 for status, _ in found.answers) / many:.1f} %",
        "429": found.refused.get("429", 0),
        "5xx": sum(number for status, number in found.refused.items() if status.startswith("5")),
        "answer p50 s": percentile(answers, 50),
        "p99 s": percentile(answers, 99),
        "known p50 s": percentile(found.known, 50),
        "known p99 s": percentile(found.known, 99),
    }


def work_row(found: Sample) -> dict[str, Any]:
    """What was used for a badge."""
    each: Callable[[float], float] = found.a_badge
    return {
        "conflicts settling": each(found.settling),
        "noting": each(found.noting),
        "DynamoDB requests": each(found.requests),
        "read units": each(found.reads),
        "write units done": each(found.writes),
        "tried": each(found.tried),
        "Lambda s": each(sum(found.seconds.values())),
    }
