"""How a reconciliation is to be done."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date

from relay.reconciliation.rules import Difference


@dataclass(frozen=True, slots=True)
class Wishes:
    """`by_hand` is somebody's own run, `dry` one that changes nothing. `accept_ends` lets a list end many.

    `first` and `last` are the days of which leave is listed, where they are others than usual; then the run
    says nothing about when the source was reconciled. `progress` is told how many entries have been listed,
    `look` is shown differences before anything comes of them, and the ends that a refused run leaves undone.
    """

    by_hand: bool = False
    dry: bool = False
    accept_ends: bool = False
    first: date | None = None
    last: date | None = None
    progress: Callable[[int], None] = lambda _listed: None
    look: Callable[[Sequence[Difference]], None] = lambda _differences: None
