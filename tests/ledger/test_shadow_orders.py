"""Random histories of a live and a shadowed source, shadow switched on and off: what Calven hears of them."""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from moto import mock_aws

from relay.time_off.days import span
from tests.moto_table import FEW, many
from tests.rig import Rig
from tests.sandboxes import Sandboxes
from tests.shadowing import Trial

pytestmark = [pytest.mark.no_cover, pytest.mark.slow]

SOURCES = st.sampled_from(("live", "trial", "trial"))
PEOPLE = st.sampled_from(("ann@example.com", "ben@example.com", "cat@example.com"))
BADGES = st.tuples(st.just("badge"), SOURCES, PEOPLE, st.sampled_from(("in", "in", "out")))
LEAVES = st.tuples(
    st.just("leave"),
    SOURCES,
    st.sampled_from(("1", "2")),
    PEOPLE,
    st.integers(1, 6),
    st.integers(0, 3),
    st.sampled_from(("approved", "approved", "ended")),
)
OTHERS = st.sampled_from((("switch",), ("switch",), ("outage",), ("recover",), ("drain",), ("schedule",)))
HISTORIES = st.lists(st.one_of(BADGES, LEAVES, OTHERS), min_size=8, max_size=20)
SHADOW = {"status": "ignored", "reason": "shadow"}
SLOW = ("ledger_unavailable", "no_time")
"""On a busy machine moto may take longer than a vendor waits: the event is in the queue then."""


@dataclass
class World:
    """The relay, and what is true: who is inside by live badges, and the days of each approved leave."""

    trial: Trial
    shadowed: bool = True
    inside: dict[str, bool] = field(default_factory=dict)
    leaves: dict[tuple[str, str], tuple[str, frozenset[str]]] = field(default_factory=dict)

    def play(self, history: Sequence[Sequence[Any]]) -> None:
        """Let it happen; after each step nothing of a shadowed source has reached Calven."""
        for step in history:
            before = len(self.trial.rig.requests())
            self._act(*step)
            if self.shadowed:
                self._check(self.trial.rig.requests()[before:])

    def _act(self, what: str, *details: Any) -> None:
        match what:
            case "badge":
                self._badge(*details)
            case "leave":
                self._leave(*details)
            case "switch":
                self._switch(shadowed=not self.shadowed)
            case "outage":
                self.trial.rig.fail("503")
            case "recover":
                self.trial.rig.recover()
            case "drain":
                self.trial.rig.retry()
            case "schedule":
                self.trial.schedule()

    def _badge(self, source: str, person: str, direction: str) -> None:
        self._check_answer(source, self.trial.badge(source, person, direction))
        if source == "live" or not self.shadowed:
            self.inside[person] = direction == "in"

    def _leave(self, source: str, leave: str, who: str, first: int, length: int, state: str) -> None:
        last = first + length
        answer = self.trial.leave(source, f"{first:02}", f"{last:02}", state, leave, email=who)
        self._check_answer(source, answer)
        days = span(date(2027, 3, first), date(2027, 3, last)) if state == "approved" else ()
        self.leaves[source, leave] = who, frozenset(f"{day:%d}" for day in days)

    def _check_answer(self, source: str, answer: dict[str, Any]) -> None:
        if answer.get("reason") in SLOW:
            self.trial.rig.retry()
        elif source == "trial" and self.shadowed:
            assert answer == SHADOW

    def _switch(self, *, shadowed: bool) -> None:
        self.shadowed = shadowed
        self.trial.push(trial=shadowed)
        if not shadowed:
            self.trial.resume()

    def _check(self, requests: Sequence[dict[str, Any]]) -> None:
        """What was sent is what the live source tells, whatever made it be sent just now."""
        for request in requests:
            body = request["body"]
            if request["path"] == "/v1/occupancy":
                assert body["sourceId"] == "live"
            for event in body.get("timeOffEvents", ()):
                if event["eventType"] == "scheduled":
                    assert set(_days(event)) <= self.away(event["email"], ("live",))

    def away(self, email: str, sources: Sequence[str]) -> set[str]:
        """The days on which somebody is away by leave of these sources."""
        found: set[str] = set()
        for (source, _), (who, days) in self.leaves.items():
            if source in sources and who == email:
                found |= days
        return found

    def settle(self) -> None:
        """All works, and both sources are live."""
        self.trial.rig.recover()
        if self.shadowed:
            self._switch(shadowed=False)
        for _ in range(2):
            self.trial.rig.retry()
            self.trial.schedule()


def _days(event: dict[str, Any]) -> Iterator[str]:
    first, last = date.fromisoformat(event["startDate"]), date.fromisoformat(event["endDate"])
    return (f"{day:%d}" for day in span(first, last))


@settings(FEW, max_examples=many(3).max_examples)
@given(history=HISTORIES)
def test_shadow(sandboxes: Sandboxes, history: list[Any]) -> None:
    """In shadow nothing is sent; in the end Calven shows all approved leave, and whom live badges counted."""
    with tempfile.TemporaryDirectory() as folder, mock_aws(), Rig(sandboxes) as rig:
        world = World(Trial(rig, Path(folder)))
        world.play(history)
        world.settle()
        for person in ("ann@example.com", "ben@example.com", "cat@example.com"):
            assert set(world.trial.away(person)) == world.away(person, ("live", "trial"))
        people = sum(world.inside.values())
        assert world.trial.shown().get("LEVEL", 0) == people
        assert rig.dead_letters() == rig.waiting() == []
