"""Virtual time: what is due first happens first, the same way each time, and one thread at a time."""

import threading
import time
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulate.clock import Timeline
from simulate.real_time import RealTime
from simulate.waits import Pool, VirtualTime

BEGIN = 1_000.0


def log_of(timeline: Timeline, waits: list[list[float]]) -> list[tuple[int, float]]:
    """Which worker did something when, each of which waits so long before each time."""
    log: list[tuple[int, float]] = []

    def work(number: int) -> None:
        for wait in waits[number]:
            timeline.sleep(wait)
            log.append((number, round(timeline.now() - BEGIN, 6)))

    for number in range(len(waits)):
        timeline.start(partial(work, number))
    timeline.run()
    return log


def virtual_log(waits: list[list[float]]) -> list[tuple[int, float]]:
    """The same in virtual time."""
    timeline = VirtualTime(BEGIN)
    try:
        return log_of(timeline, waits)
    finally:
        timeline.close()


@given(st.lists(st.lists(st.integers(0, 5).map(float), max_size=6), max_size=6))
def test_order(waits: list[list[float]]) -> None:
    """Everybody does what it does when its waits are over, and nobody before somebody who was due earlier."""
    log = virtual_log(waits)
    assert [at for _, at in log] == sorted(at for _, at in log)
    for number, of_one in enumerate(waits):
        due = [sum(of_one[: turn + 1]) for turn in range(len(of_one))]
        assert [at for who, at in log if who == number] == due
    assert virtual_log(waits) == log


def test_no_time_passes_here() -> None:
    """A day of waiting is over at once."""
    began = time.monotonic()
    log = virtual_log([[86_400.0] * 10] * 10)
    assert log[-1][1] == 864_000
    assert time.monotonic() - began < 30


def test_one_at_a_time() -> None:
    """What a thread does between two waits, no other one sees half done."""
    timeline = VirtualTime(BEGIN)
    count = 0

    def work() -> None:
        nonlocal count
        for turn in range(50):
            seen = count
            time.sleep(0)  # this thread's own: it gives the real processor away, and keeps the baton
            count = seen + 1
            timeline.sleep(turn % 7 / 10)

    for _ in range(20):
        timeline.start(work)
    timeline.run()
    timeline.close()
    assert count == 1_000


def test_start_at_an_instant() -> None:
    """Something begins at its instant, and what is late begins now."""
    timeline = VirtualTime(BEGIN)
    began: list[float] = []

    def note() -> None:
        began.append(timeline.now())

    timeline.start(note, BEGIN + 5)
    timeline.start(note, BEGIN - 5)
    timeline.run()
    timeline.close()
    assert began == [BEGIN, BEGIN + 5]


def test_failure() -> None:
    """What goes wrong in a thread ends the run, and is raised there."""
    timeline = VirtualTime(BEGIN)

    def fail() -> None:
        timeline.sleep(1)
        raise LookupError("wrong")

    timeline.start(fail)
    timeline.start(lambda: timeline.sleep(100))
    with pytest.raises(LookupError, match="wrong"):
        timeline.run()
    assert timeline.now() == BEGIN + 1


def test_sleep_of_the_relay() -> None:
    """`time.sleep` takes virtual time in a simulated thread, and real time everywhere else."""
    timeline = VirtualTime(BEGIN)
    before = time.sleep
    with timeline.instead_of_waiting():
        timeline.start(lambda: time.sleep(3_600))
        timeline.run()
        real = threading.Thread(target=partial(time.sleep, 0.05))
        began = time.monotonic()
        real.start()
        real.join()
        assert time.monotonic() - began >= 0.05
    timeline.close()
    assert timeline.now() == BEGIN + 3_600
    assert time.sleep is before


def test_real_time() -> None:
    """Real threads wait as long as they say, in their own time, and one that fails ends the run."""
    timeline = RealTime(slowed=2)
    began, waited = time.monotonic(), []

    def work() -> None:
        at = timeline.now()
        timeline.sleep(0.05)
        waited.append(timeline.now() - at)

    for _ in range(5):
        timeline.start(work)
    timeline.run()
    assert time.monotonic() - began >= 0.1
    assert min(waited) >= 0.049
    timeline.start(lambda: {}.clear(1))  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        timeline.run()


def test_pool() -> None:
    """So many calls of a pool go on at once; their answers come in order, and a failure where its turn is."""
    timeline = VirtualTime(BEGIN)
    found: list[object] = []

    def call(seconds: float, name: str) -> str:
        timeline.sleep(seconds)
        if name == "bad":
            raise LookupError(name)
        return f"{name} at {timeline.now() - BEGIN:g}"

    def work() -> None:
        with Pool(timeline, 2) as pool:
            answers = pool.map(call, [3.0, 1.0, 1.0], ["a", "b", "c"])
            found.extend((answer, timeline.now() - BEGIN) for answer in answers)
            failing = pool.map(call, [1.0, 1.0], ["bad", "late"])
            try:
                next(failing)
            except LookupError as error:
                found.append(str(error))
        found.append(timeline.now() - BEGIN)

    timeline.start(work)
    timeline.run()
    timeline.close()
    assert found == [("a at 3", 3), ("b at 1", 3), ("c at 2", 3), "bad", 4]
