"""What is simulated: each function makes one run in virtual time, and ends with counts that are exact."""

from functools import partial

from simulate.figures import Sample, sample
from simulate.people import LEAVING, Building, People
from simulate.world import Measured, World, virtual

WARM_UP_SECONDS, MEASURED_SECONDS = 5.0, 15.0
FILLED_A_SECOND = 150.0
SETTLED_SECONDS = 120.0
"""After so long those who were first are in, and some of them leave."""
PEAK_RATE = 30.0
FULL_QUEUE = 9_000
SWEEP_APART_SECONDS = 15 * 60.0
SWEEPS_BEFORE = 3
"""After so many runs a new site's earlier days are done with."""


def contention(rate: float, seed: int) -> Sample:
    """Badges of one site, which all change its one count, forwarded while their vendor waits."""
    return steady(Building(), rate, seed, MEASURED_SECONDS)


def steady(building: Building, rate: float, seed: int, seconds: float, *, swept: bool = False) -> Sample:
    """Badges that come at one rate. Some people are in already; measured is what comes after a warm-up."""
    with virtual(building, seed) as world:
        timeline, people = world.timeline, People(building, seed)
        inside = int(rate * (WARM_UP_SECONDS + MEASURED_SECONDS) * LEAVING) + 1
        world.expect((people.enter(timeline.now() + n / FILLED_A_SECOND) for n in range(inside)), stored=True)
        began = timeline.now() + inside / FILLED_A_SECOND + SETTLED_SECONDS
        before: list[Measured] = []
        world.expect(people.badges(rate, began, WARM_UP_SECONDS + seconds))
        timeline.start(lambda: before.append(world.measured()), began + WARM_UP_SECONDS)
        if swept:
            for number in range(1, int(seconds / SWEEP_APART_SECONDS) + 1):
                timeline.start(partial(_sweep, world), began + number * SWEEP_APART_SECONDS)
        world.event_source.start()
        timeline.start(world.settle)
    fates = [fate for fate in world.watch.fates.values() if fate.badge.at >= began + WARM_UP_SECONDS]
    return sample(world, before[0], fates)


def _sweep(world: World) -> None:
    world.sweep()


def queued(sites: int, sources: int, concurrency: int, seed: int) -> tuple[float, Sample]:
    """A full queue: how many badges a second are drained, from the first batch until Calven knows all."""
    building = Building(sites, sources, people=max(10_000 // sites, 40))
    with virtual(building, seed, forward_mode="queued", concurrency=concurrency) as world:
        began = world.timeline.now()
        start = world.measured()
        filled = FULL_QUEUE / FILLED_A_SECOND
        world.expect(People(building, seed).badges(FILLED_A_SECOND, began, filled))
        # Everything has been stored by then.
        opened = began + filled + 5
        world.timeline.start(world.event_source.start, opened)
        world.timeline.start(world.settle)
    fates = list(world.watch.fates.values())
    last = max(fate.known_at or 0.0 for fate in fates)
    return len(fates) / (last - opened), sample(world, start, fates)


def swept(sites: int, seed: int) -> dict[str, float]:
    """A run of the schedule with nothing to report, after others that have closed the days before."""
    building = Building(sites=sites, people=20)
    found: dict[str, float] = {}
    with virtual(building, seed) as world:
        people = People(building, seed)
        began = world.timeline.now()
        # Somebody has come in at each site: there are counts, and Calven knows them.
        world.expect(people.enter(began + site * 0.02, site) for site in range(sites))
        world.event_source.start()

        def measure() -> None:
            world.settle()
            for _ in range(SWEEPS_BEFORE):
                world.timeline.sleep(SWEEP_APART_SECONDS)
                world.sweep()
            world.timeline.sleep(SWEEP_APART_SECONDS)
            before, at = world.measured(), world.timeline.now()
            world.sweep()
            counts = world.measured().counts.since(before.counts)
            found.update(
                requests=counts.requests.total(),
                read_units=counts.read_units,
                seconds=world.timeline.now() - at,
            )
            world.check()

        world.timeline.start(measure)
    return found


def peak(minutes: float, seed: int) -> Sample:
    """A tenth of a company with 1,000 sites, while all its people arrive."""
    building = Building(sites=100, sources=10, floors=19, doors=100, people=500)
    return steady(building, PEAK_RATE, seed, minutes * 60, swept=True)
