"""Another try for a write that another writer has overtaken: as long as there is time, and no longer."""

from collections.abc import Callable

import pytest

from relay.aws.conflicts import until_written
from relay.aws.table import Conflict
from relay.deadline import QUEUE_RESERVE_SECONDS, Deadline
from relay.errors import Contended, TableUnavailable

NOW = 1_000.0


class Writer:
    """A write that others overtake so many times."""

    def __init__(self, conflicts: int, meanwhile: Callable[[], None] = lambda: None) -> None:
        self.tries = 0
        self._conflicts = conflicts
        self._meanwhile = meanwhile

    def write(self) -> str:
        """Try once."""
        self.tries += 1
        self._meanwhile()
        if self.tries <= self._conflicts:
            raise Conflict
        return "written"


@pytest.mark.parametrize("conflicts", [0, 1, 3])
def test_written(conflicts: int) -> None:
    """A write is tried again until it is through."""
    writer = Writer(conflicts)
    assert until_written(writer.write, Deadline(NOW + 5, lambda: NOW)) == "written"
    assert writer.tries == conflicts + 1


@pytest.mark.parametrize("left", [-1.0, 0.0, QUEUE_RESERVE_SECONDS + 0.1])
def test_no_time(left: float) -> None:
    """Without time for another try there is one, and the reason tells it from an outage."""
    writer = Writer(9)
    with pytest.raises(Contended) as contended:
        until_written(writer.write, Deadline(NOW + left, lambda: NOW))
    assert writer.tries == 1
    assert contended.value.reason == "contended"
    assert TableUnavailable().reason == "ledger_unavailable"


def test_time_that_runs_out() -> None:
    """The tries end with the time, not with their number."""
    now = [NOW]

    def take_a_second() -> None:
        now[0] += 1

    writer = Writer(9, take_a_second)
    with pytest.raises(Contended):
        until_written(writer.write, Deadline(NOW + 3.5, lambda: now[0]))
    assert writer.tries == 3


@pytest.mark.parametrize("pauses", [(), (0,), (0, 0, 0)])
def test_number_of_tries(pauses: tuple[float, ...]) -> None:
    """There are as many tries as pauses, and one more: the last conflict is not slept over."""
    writer = Writer(9)
    with pytest.raises(Contended):
        until_written(writer.write, Deadline(NOW + 5, lambda: NOW), pauses)
    assert writer.tries == len(pauses) + 1
    assert until_written(Writer(len(pauses)).write, Deadline(NOW + 5, lambda: NOW), pauses) == "written"


def test_other_faults() -> None:
    """What is no conflict is not tried again."""
    tries = []

    def write() -> None:
        tries.append(1)
        raise TableUnavailable

    with pytest.raises(TableUnavailable):
        until_written(write, Deadline(NOW + 5, lambda: NOW))
    assert len(tries) == 1
