"""Whichever answer of Calven gets lost or is a failure, the relay ends up where it would have anyway."""

from collections.abc import Iterator

import httpx
import pytest

from tests.machine import Instead, Taken
from tests.rig import NOON
from tests.scenarios import BADGES, BROKEN, LEAVE, SCENARIOS, TAKEN, New, begin, relays, undisturbed

pytestmark = [pytest.mark.no_cover, pytest.mark.slow]
"""They visit the same lines thousands of times, which other tests measure."""


@pytest.fixture(scope="module")
def new() -> Iterator[New]:
    """Makes a relay of its own for each run."""
    with relays() as make:
        yield make


@pytest.mark.parametrize("taken", ["at once", "late"])
@pytest.mark.parametrize("name", [*BADGES, *LEAVE])
def test_unknown_outcome(new: New, name: str, taken: Taken) -> None:
    """Where nobody knows whether Calven took what it was sent, the queue sees to the same end."""
    scenario, run = SCENARIOS[name], undisturbed(new, name)
    with new() as site:
        begin(site, scenario)
        site.machine.loss = (BROKEN, taken)
        site.leave_to_queue(scenario.then)
        site.recover_late()
        site.drain()
        assert (site.end(), site.told()) == (run.end, run.told)


@pytest.mark.parametrize(
    "instead",
    [
        httpx.ReadTimeout("no answer"),
        (200, b'{"results": ['),
        (200, b'{"results": []}'),
        (500, b""),
        (504, b""),
    ],
    ids=["time-out", "garbage", "no results", "error", "error of a gateway"],
)
@pytest.mark.parametrize("name", ["entry", "moved"])
def test_taken_without_an_answer(new: New, name: str, instead: Instead) -> None:
    """What Calven took, and whatever else comes instead of its answer, is sent again and does no harm."""
    scenario, run = SCENARIOS[name], undisturbed(new, name)
    with new() as site:
        begin(site, scenario)
        site.machine.loss = (instead, "at once")
        site.leave_to_queue(scenario.then)
        site.recover_late()
        site.drain()
        assert (site.end(), site.told()) == (run.end, run.told)


@pytest.mark.parametrize("mode", ["hang", "reset", "garbage", "missing-results", "503"])
@pytest.mark.parametrize("name", ["entry", "moved"])
def test_failing_calven(new: New, name: str, mode: str) -> None:
    """However Calven fails on the wire, the queue sees to the same end."""
    scenario, run = SCENARIOS[name], undisturbed(new, name)
    with new() as site:
        begin(site, scenario)
        site.fail_submissions(mode)
        site.leave_to_queue(scenario.then, received_at=NOON - 3.9)
        site.recover_late()
        site.drain()
        assert (site.end(), site.told()) == (run.end, run.told)


@pytest.mark.parametrize("taken", TAKEN)
@pytest.mark.parametrize("name", [name for name, scenario in LEAVE.items() if scenario.given])
def test_overtaken(new: New, name: str, taken: Taken) -> None:
    """A change that comes while nobody knows what became of the one before it has the last word."""
    scenario, run = LEAVE[name], undisturbed(new, name)
    with new() as site:
        site.machine.loss = (BROKEN, taken)
        site.leave_to_queue(scenario.given)
        site.machine.loss = None
        site.deliver(scenario.then)
        site.recover_late()
        site.drain()
        assert site.end() == run.end
