"""Many badges of a site at once, through the queue: a place is told once for ten seconds, and all count."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.config.store import MAX_AGE_SECONDS
from tests.played import FEW, fresh_rig
from tests.rig import NOON, Rig
from tests.sandboxes import Sandboxes

pytestmark = [pytest.mark.no_cover, pytest.mark.slow]

YAML = """
sources:
  generic: {vendor: generic, forwardMode: queued}
places:
  site: {locationId: SITE, locationType: location, timezone: Australia/Sydney}
  level: {locationId: LEVEL, locationType: level, within: site}
doors:
  generic:
    in: {place: site}
    out: {place: site, direction: out}
    up: {place: level}
    down: {place: level, direction: out}
"""
INSIDE: Mapping[str, frozenset[str]] = {
    "in": frozenset({"SITE"}),
    "up": frozenset({"SITE", "LEVEL"}),
    "down": frozenset({"SITE"}),
    "out": frozenset(),
}
"""Where somebody is behind each door."""
LEAST_GAP = 10


def site(rig: Rig, path: Path) -> Rig:
    """A relay of one site, whose badges are all stored first."""
    rig.push(YAML, path)
    rig.clock.advance(MAX_AGE_SECONDS + 1)
    return rig


def badge(rig: Rig, event: str, person: str, door: str, at: float) -> None:
    """A badge of somebody at a time."""
    body = {"type": "badge", "id": event, "door": door, "person": person}
    assert rig.post("generic", {**body, "at": datetime.fromtimestamp(at, UTC).isoformat()})[0] == 202


def told(events: Sequence[Mapping[str, Any]], place: str) -> list[tuple[float, int]]:
    """The times and counts that Calven was told of a place, in order of time."""
    of_place = [event for event in events if event["locationId"] == place]
    return sorted(
        (datetime.fromisoformat(one["timestamp"]).timestamp(), one["occupancy"]) for one in of_place
    )


@pytest.mark.parametrize("people", [50, 51, 100])
def test_burst(rig: Rig, tmp_path: Path, caplog: pytest.LogCaptureFixture, people: int) -> None:
    """However many transactions a batch takes, a place is told once for ten seconds, for all of them."""
    site(rig, tmp_path)
    start = rig.clock() - 9.9
    for number in range(people):
        badge(rig, f"e{number}", f"p{number}", "up", start + number * 9.9 / people)
    caplog.clear()
    rig.retry()
    assert [count for _, count in told(rig.calven(), "SITE")] == [people]
    assert [count for _, count in told(rig.calven(), "LEVEL")] == [people]
    reasons = [getattr(record, "reason", None) for record in caplog.records if hasattr(record, "outcome")]
    assert reasons.count("merged") == people - 1


def test_behind_a_report(rig: Rig, tmp_path: Path) -> None:
    """What follows too soon on the report of the batch before is left out, where something is told later."""
    site(rig, tmp_path)
    start = rig.clock() - 60
    badge(rig, "first", "first", "in", start)
    rig.retry()
    for second in (1, 5, 11, 15, 22):
        badge(rig, f"e{second}", f"p{second}", "in", start + second)
    rig.retry()
    badge(rig, "last", "last", "in", start + 23)
    rig.retry()
    found = [(round(at - start), count) for at, count in told(rig.calven(), "SITE")]
    assert found == [(0, 1), (11, 4), (22, 6), (23, 7)]


def test_late_burst(rig: Rig, tmp_path: Path) -> None:
    """Late badges of a closed day are told like that too, and its zero once behind them."""
    site(rig, tmp_path)
    rig.reset()
    # 04:00 in Sydney.
    end = NOON - 11 * 3600
    for number in range(80):
        badge(rig, f"e{number}", f"p{number}", "in", end - 3600 + number * 0.1)
    rig.retry()
    found = [(round(at - end, 1), count) for at, count in told(rig.calven(), "SITE")]
    assert found == [(-3592.1, 80), (0, 0)]


PASSAGES = st.lists(
    st.tuples(st.integers(0, 60), st.sampled_from(sorted(INSIDE)), st.integers(0, 40_000)),
    min_size=40,
    max_size=100,
    unique_by=lambda passage: passage[2],
)
BURSTS = st.lists(
    st.tuples(PASSAGES, st.sampled_from((None, "503", "missing-results"))), min_size=1, max_size=3
)


@FEW
@given(bursts=BURSTS)
def test_any_bursts(sandboxes: Sandboxes, tmp_path_factory: Any, bursts: Sequence[Any]) -> None:
    """Whatever fails meanwhile, Calven shows where people are, and was told each place ten seconds apart."""
    with fresh_rig(sandboxes) as rig:
        site(rig, tmp_path_factory.mktemp("site"))
        last: dict[int, str] = {}
        for number, (passages, fault) in enumerate(bursts):
            rig.clock.advance(60)
            for person, door, at in passages:
                badge(rig, f"{number}-{at}", f"p{person}", door, rig.clock() - 41 + at / 1000)
            last |= {person: door for person, door, _ in sorted(passages, key=lambda passage: passage[2])}
            play(rig, fault)
        truth = {place: sum(place in INSIDE[door] for door in last.values()) for place in ("SITE", "LEVEL")}
        shown = {place: told(rig.calven(), place) for place in truth}
        assert {place: events[-1][1] if events else 0 for place, events in shown.items()} == truth
        assert rig.dead_letters() == []
        # Nothing is pending: the schedule has nothing to tell.
        rig.clock.advance(120)
        before = len(rig.calven())
        rig.reset()
        rig.retry()
        assert len(rig.calven()) == before


def play(rig: Rig, fault: str | None) -> None:
    """Have the retry function work, while Calven fails once and after that."""
    before = len(rig.calven())
    if fault:
        rig.fail(fault)
        rig.retry()
        rig.recover()
        rig.clock.advance(60)
    rig.retry()
    assert rig.waiting() == []
    for place in ("SITE", "LEVEL"):
        times = [at for at, _ in told(rig.calven()[before:], place)]
        assert all(after - at >= LEAST_GAP for at, after in pairwise(times))
