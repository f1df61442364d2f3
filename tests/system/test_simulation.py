"""`make simulate`: the same for the same seed, exact, and as real threads that sleep have it."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from localrun.template import Template
from simulate import scenarios, sqs, world
from simulate.calven import Calven, Told
from simulate.figures import Sample, percentile
from simulate.lambdas import Throttle
from simulate.people import Badge, Building, People, counts
from simulate.real_time import RealTime
from simulate.threads import SLOWED, agree, on
from simulate.waits import VirtualTime
from simulate.watch import Watch
from simulate.world import NOON, NotExact, virtual

pytestmark = [pytest.mark.no_cover, pytest.mark.slow]

BUILDING = Building(people=300)


def simulated(seed: int, rate: float = 20, seconds: float = 5) -> Sample:
    """A short run in virtual time."""
    timeline = VirtualTime(NOON)
    try:
        return on(timeline, seed, rate, seconds)
    finally:
        timeline.close()


def test_same_for_the_same_seed() -> None:
    """A seed is one run, with all its conflicts; another one is another run."""
    first = simulated(1)
    assert simulated(1) == first
    assert simulated(2) != first
    assert first.settling, "badges of one site meet"


@pytest.mark.long(60)
def test_as_real_threads() -> None:
    """Real threads that sleep as long answer as fast, within the tolerance that the documentation names."""
    # Threads sleep eight times as long as in virtual time, so that what the machine takes is small beside it.
    virtually, really = simulated(1, seconds=6), on(RealTime(SLOWED), 1, seconds=6)
    medians = [percentile([seconds for _, seconds in each.answers], 50) for each in (virtually, really)]
    assert len(virtually.answers) == len(really.answers)
    assert agree(virtually, really), medians


def test_more_badges_meet_more_often() -> None:
    """Ten times the badges of one site conflict more than twice as often each."""
    few, many = simulated(1, rate=4, seconds=10), simulated(1, rate=40, seconds=4)
    assert many.a_badge(many.settling) > 2 * few.a_badge(few.settling)
    assert percentile(many.known, 99) > percentile(few.known, 99)


def test_full_queue() -> None:
    """A full queue is drained in full batches, by two invocations faster than by one."""
    one, found = scenarios.queued(1, 1, 1, 1)
    two, _ = scenarios.queued(1, 1, 2, 1)
    assert two > one
    assert found.badges / found.calven_requests > 50
    assert {status for status, _ in found.answers} == {202}


def test_schedule() -> None:
    """The schedule asks as much for each site, and takes its time for it."""
    few, many = scenarios.swept(2, 1), scenarios.swept(20, 1)
    assert few["requests"] < many["requests"] <= 10 * few["requests"]
    assert few["seconds"] < many["seconds"]


def badges(number: int) -> list[Badge]:
    """So many badges, some of them of people who leave."""
    return list(People(BUILDING, 1).badges(1, NOON, number))[:number]


def test_people() -> None:
    """Nobody comes in twice, or leaves without being in, or badges twice within two minutes."""
    inside: dict[str, float] = {}
    left: dict[str, float] = {}
    for badge in badges(600):
        if badge.entered:
            assert badge.person not in inside
            assert badge.at - left.get(badge.person, 0) >= 120
            inside[badge.person] = badge.at
        else:
            assert badge.at - inside.pop(badge.person) >= 120
            left[badge.person] = badge.at
    assert left, "some leave"
    assert counts(badges(600))["s0"] == len(inside)


def test_what_is_not_exact() -> None:
    """A badge that Calven never hears of is a problem, and so is a count that is not the people's."""
    watch, calven = Watch(lambda: NOON), Calven()
    [badge] = badges(1)
    site, floor = badge.places
    fate = watch.sent(badge)
    position = {"event": {"S": f"kisi-0|{badge.id}"}}
    written = {("people#x", "person#y"): position}
    written |= {("day#x", f"count#{place}"): {"at": {"N": "7"}} for place in badge.places}
    watch.written(written)
    calven.latest = {site: Told(7, 1), floor: Told(7, 1)}
    assert [problem for problem in watch.problems(calven) if "unknown" in problem]
    watch.told(site, 7)
    watch.told(floor, 6)
    assert fate.known_at is None, "the floor's count is not told as it is now"
    watch.told(floor, 8)
    assert fate.known_at == NOON
    assert watch.problems(calven) == []
    calven.latest[site] = Told(9, 2)
    assert [problem for problem in watch.problems(calven) if site in problem]


def test_a_fault_is_told() -> None:
    """A relay that told Calven a wrong count would end the run."""
    with virtual(BUILDING, 1) as run:
        run.expect(badges(1))
        run.event_source.start()
        run.timeline.start(run.settle)
    run.calven.latest["s0"] = replace(run.calven.latest["s0"], people=2)
    with pytest.raises(NotExact, match="s0 has 1 people"):
        run.check()


def test_throttle() -> None:
    """The API lets a burst through, then so many a second."""
    throttle = Throttle(rate=2, burst=3, now=0)
    assert [throttle.admits(0) for _ in range(4)] == [True, True, True, False]
    assert [throttle.admits(at) for at in (0.4, 0.5, 0.6, 1.0, 9, 9, 9, 9)] == [
        *(False, True, False, True),
        *(True, True, True, False),
    ]


def test_as_the_template() -> None:
    """Functions, queue and API are simulated as the template has them."""
    template = Template()
    memory = {name: function.memory for name, function in template.functions.items()}
    assert memory["AccessControlFunction"] == world.WEBHOOK_MB
    assert memory["RetryFunction"] == world.RETRY_MB
    assert memory["OccupancyResetFunction"] == world.SCHEDULE_MB
    rates = [template.resolve({"Ref": name}) for name in ("AccessControlRate", "AccessControlBurst")]
    assert [int(rate) for rate in rates] == [world.RATE, world.BURST]
    queue = template.resources["UnprocessedQueue"]["Properties"]
    assert queue["VisibilityTimeout"] == sqs.VISIBILITY_SECONDS
    mapping = template.resources["RetryFunction"]["Properties"]["Events"]["Unprocessed"]["Properties"]
    assert mapping["BatchSize"] == sqs.BATCH
    assert mapping["MaximumBatchingWindowInSeconds"] == sqs.WINDOW_SECONDS
    assert int(template.resolve({"Ref": "RetryConcurrency"})) == 2


def test_command(tmp_path: Path) -> None:
    """The command prints its tables, and saves them."""
    file = tmp_path / "figures.json"
    options = ["--only", "peak", "--peak-minutes", "0.1", "--json", str(file)]
    command = [sys.executable, "-m", "simulate", *options]
    path = {"PYTHONPATH": str(Path(__file__).parents[2] / "tools"), "PATH": ""}
    ended = subprocess.run(command, capture_output=True, text=True, check=False, env=path, timeout=300)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("## Peak")
    assert "exact" in ended.stderr
    [rows] = json.loads(file.read_text())["tables"].values()
    assert rows[0]["429"] == 0
    assert set(rows[0]) == set(rows[1])
