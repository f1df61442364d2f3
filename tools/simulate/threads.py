"""The simulation against real threads that really sleep: the same handlers, stand-ins and badges."""

from collections.abc import Sequence

from simulate.figures import Row, Sample, percentile, sample, service_row, work_row
from simulate.people import Building, People
from simulate.real_time import RealTime
from simulate.waits import VirtualTime
from simulate.world import NOON, passing

SLOWED = 8.0
"""So many times more slowly threads run: what the machine takes is then small beside what they sleep."""
RATE, SECONDS = 20.0, 6.0
RETRY_SECONDS = 1.0
TOLERANCE = 0.25
"""By so much at most the median of the answers may differ: which badges meet differs from run to run."""


def on(timeline: VirtualTime | RealTime, seed: int, rate: float = RATE, seconds: float = SECONDS) -> Sample:
    """Some seconds of badges of one site. Raises `NotExact`."""
    building = Building()
    with passing(timeline, building, seed, retry_seconds=RETRY_SECONDS) as world:
        start = world.measured()
        world.expect(People(building, seed).badges(rate, timeline.now(), seconds))
        world.event_source.start()
        timeline.start(world.drain)
    world.check()
    return sample(world, start, list(world.watch.fates.values()))


def compared(seed: int = 1) -> tuple[Sample, Sample]:
    """The same in virtual time and in real threads."""
    timeline = VirtualTime(NOON)
    simulated = on(timeline, seed)
    timeline.close()
    return simulated, on(RealTime(SLOWED), seed)


def agree(simulated: Sample, threaded: Sample) -> bool:
    """Whether the medians of both are as near to each other as they should be."""
    one, other = (percentile([seconds for _, seconds in each.answers], 50) for each in (simulated, threaded))
    return abs(one - other) <= TOLERANCE * one


def rows(simulated: Sample, threaded: Sample) -> Sequence[Row]:
    """Both as a table."""
    named = {"simulated": simulated, "real threads": threaded}
    return [{"": name, **service_row(each), **work_row(each)} for name, each in named.items()]
