"""What was measured: one figure a line, with the floor of the same run and what was aimed at."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

from rich.console import Console
from rich.table import Table

RUNS = 10
"""Of each measurement: fresh processes, of which the median counts."""
T = TypeVar("T")
K = TypeVar("K")
_JUDGED = {None: "", True: "met", False: "missed"}


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One value, and what it should be at most or at least; with a floor that is for value ÷ floor.

    `paired` is that ratio where each run has its own floor. A figure without a target is only told.
    """

    row: str
    what: str
    value: float
    unit: str
    floor: float | None = None
    paired: float | None = None
    at_most: float | None = None
    at_least: float | None = None
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """The value as a multiple of the floor."""
        return self.paired or (self.value / self.floor if self.floor else None)

    @property
    def met(self) -> bool | None:
        """Whether it is what was aimed at; None where nothing was."""
        judged = self.value if self.ratio is None else self.ratio
        if self.at_most is None and self.at_least is None:
            return None
        return (self.at_most is None or judged <= self.at_most) and (
            self.at_least is None or judged >= self.at_least
        )


def interleaved(runs: Mapping[K, Callable[[], T]]) -> dict[K, list[T]]:
    """Ten runs of each, taken by turns."""
    taken: dict[K, list[T]] = {name: [] for name in runs}
    for _ in range(RUNS):
        for name, run in runs.items():
            taken[name].append(run())
    return taken


def compared(
    row: str, what: str, runs: Sequence[float], floors: Sequence[float], unit: str, at_most: float | None
) -> Figure:
    """The median of the runs, and of their ratios to the floor's, which were taken by turns.

    What else a machine does falls on both of a pair, so that the ratio is steadier than either.
    """
    paired = median(run / floor for run, floor in zip(runs, floors, strict=True))
    return Figure(
        row=row,
        what=what,
        value=median(runs),
        unit=unit,
        floor=median(floors),
        paired=paired,
        at_most=at_most,
    )


def show(figures: Sequence[Figure]) -> None:
    """Print the table."""
    table = Table("row", "what", "measured", "floor", "ratio", "target", "")
    last = ""
    for figure in figures:
        if last and figure.row != last:
            table.add_section()
        table.add_row(
            "" if figure.row == last else figure.row,
            figure.what,
            f"{_number(figure.value)} {figure.unit}".strip(),
            "" if figure.floor is None else _number(figure.floor),
            "" if figure.ratio is None else f"{figure.ratio:.2f}",
            _target(figure),
            " ".join(filter(None, (_JUDGED[figure.met], figure.note))),
        )
        last = figure.row
    Console(width=140).print(table)


def save(figures: Sequence[Figure], file: Path, about: dict[str, Any]) -> None:
    """Write the figures as JSON."""
    each = [{**asdict(figure), "ratio": figure.ratio, "met": figure.met} for figure in figures]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({**about, "figures": each}, indent=2) + "\n", "utf-8")


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _target(figure: Figure) -> str:
    if figure.at_most is not None:
        return f"≤ {_number(figure.at_most)}{' ×' if figure.floor else ''}"
    return "" if figure.at_least is None else f"≥ {_number(figure.at_least)}"
