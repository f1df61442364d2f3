"""Lists that go wrong: a vendor without webhooks is reconciled under each fault, and again when it is over.

BambooHR is only ever asked, and a leave that its list lacks has ended: so whatever the list does, no leave
that is still approved may be given back; and once it is whole again Calven must show what is approved, and
hear nothing more.
"""

import json
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

from chaos.stage import LISTED, Stage
from relay.reconciliation.report import Report
from relay.reconciliation.source import reconcile
from relay.reconciliation.wishes import Wishes
from relayctl import samples
from relayctl.in_process import invocation_of

NOOR = "noor@example.com"
"""Whose leave all of it is: the stand-in for BambooHR knows one employee's address."""
LEAVES = 9
DRAIN_SECONDS = 150.0


@dataclass(frozen=True)
class ListFault:
    """How a list goes wrong: the mode, after how many pages, and how often (None: until it is mended)."""

    name: str
    mode: str
    after: int = 0
    count: int | None = None


LIST_FAULTS = (
    ListFault("list: first page fails", "503"),
    ListFault("list: a page fails once", "503", after=2, count=1),
    ListFault("list: an error as 200", "error-body", after=3),
    ListFault("list: empty", "empty"),
    ListFault("list: pages repeat", "repeat", after=1),
    ListFault("list: a page repeats once", "repeat", after=3, count=1),
    ListFault("list: changes while read", "skip", after=1, count=1),
)


@dataclass
class Outcome:
    """What became of a fault: changes before it, those at Calven after it, days lost, the slowest run."""

    fault: str
    changes: int = 0
    at_calven: int = 0
    lost: int = 0
    slowest: float = 0.0
    problems: list[str] = field(default_factory=list)

    def note(self, problem: str) -> None:
        """Note what is not as it should be."""
        self.problems.append(f"{self.fault}: {problem}")


class Lists:
    """BambooHR and what is approved there."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._today = datetime.now(UTC).date()
        self._approved: set[int] = set()

    def play(self) -> list[Outcome]:
        """Bring all leave in, and reconcile under one fault after the other."""
        for number in range(LEAVES):
            self._say(number, "approved")
        outcomes = [self._reconciled(Outcome("list: none", changes=LEAVES))]
        return outcomes + [self._under(fault, number) for number, fault in enumerate(LIST_FAULTS)]

    def _under(self, fault: ListFault, number: int) -> Outcome:
        """Something changes, the list goes wrong, and is mended."""
        outcome = Outcome(fault.name, changes=2)
        held = self._days(self._approved)
        self._say(number, "canceled")
        self._say(LEAVES + number, "approved")
        self._stage.break_list(LISTED, fault.mode, fault.after, fault.count)
        self._run(outcome)
        lost = held & self._days(self._approved) - self._shown()
        outcome.lost = len(lost)
        if lost:
            outcome.note(f"{len(lost)} days away were given back that are still approved")
        self._stage.mend_lists()
        return self._reconciled(outcome)

    def _reconciled(self, outcome: Outcome) -> Outcome:
        """Reconcile a whole list: Calven shows what is approved, and a second run sends nothing."""
        report = self._run(outcome)
        if report.status != "complete":
            outcome.note(f"a whole list was {report.status}: {report.detail}")
        if self._shown() == self._days(self._approved):
            outcome.at_calven = outcome.changes
        else:
            outcome.note(f"{NOOR} is away on other days than approved")
        if again := self._run(outcome).queued:
            outcome.note(f"reconciled once more, {again} messages were queued")
        return outcome

    def _run(self, outcome: Outcome) -> Report:
        began = time.monotonic()
        with invocation_of(self._stage.target) as invocation:
            report = reconcile(invocation, LISTED, Wishes(by_hand=True))
        outcome.slowest = max(outcome.slowest, time.monotonic() - began)
        if report.queued:
            self._stage.drain(DRAIN_SECONDS)
        return report

    def _say(self, number: int, status: str) -> None:
        first, last = self._of(number)
        dates = {first.isoformat(): "1", last.isoformat(): "1"}
        content: dict[str, Any] = json.loads(samples.body(LISTED, status))
        content |= {"id": str(number), "start": first.isoformat(), "end": last.isoformat(), "dates": dates}
        self._stage.happen(LISTED, status, content)
        (self._approved.add if status == "approved" else self._approved.discard)(number)

    def _of(self, number: int) -> tuple[date, date]:
        first = self._today + timedelta(days=10 + 7 * number)
        return first, first + timedelta(days=1)

    def _days(self, numbers: Iterable[int]) -> set[str]:
        return {day.isoformat() for number in numbers for day in self._of(number)}

    def _shown(self) -> set[str]:
        return set(self._stage.state()["away"].get(NOOR, {}))
