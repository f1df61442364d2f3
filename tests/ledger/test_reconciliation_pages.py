"""How often a vendor is asked for a page that does not come."""

import pytest

from relay import vendors
from relay.deadline import BATCH, Deadline
from relay.errors import VendorUnavailable
from relay.invocation import Invocation
from relay.observability import Telemetry
from relay.reconciliation.pages import PAUSE_SECONDS, TRIES, Pages
from relay.vendors.support.base import VendorApi
from tests.rig import Rig

pytestmark = pytest.mark.slow
"""They wait as long as a vendor says."""


class Collecting:
    """A vendor that is not done when it is asked, so many times; `asked` counts them."""

    def __init__(self, times: int, retry_after: float | None) -> None:
        self._times = times
        self._retry_after = retry_after
        self.asked = 0

    def __call__(self, _: VendorApi) -> str:
        """Answer a question."""
        self.asked += 1
        if self.asked <= self._times:
            raise VendorUnavailable("not finished", retry_after=self._retry_after)
        return "finished"


def pages(rig: Rig, seconds: float = 100) -> Pages:
    """The pages of Kisi, for which there are so many seconds."""
    invocation = Invocation(
        rig.relay, Deadline(rig.clock() + seconds, rig.clock), Telemetry("reconcile"), BATCH
    )
    return Pages(invocation, "kisi-sydney", "access-control", vendors.load("kisi"))


def test_vendor_that_says_to_wait(rig: Rig) -> None:
    """It is asked until it is done, more often than one that says nothing."""
    vendor = Collecting(TRIES + 1, retry_after=0)
    assert pages(rig).ask(vendor) == "finished"
    assert vendor.asked == TRIES + 2


@pytest.mark.parametrize(
    ("retry_after", "seconds", "asked"),
    [(None, 100, TRIES), (None, PAUSE_SECONDS, 1), (10_000, 100, 1), (5, 4, 1)],
)
def test_vendor_that_is_not_done_in_time(
    rig: Rig, retry_after: float | None, seconds: float, asked: int
) -> None:
    """One that says nothing is asked a few times; none is waited for longer than there is time."""
    vendor = Collecting(100, retry_after)
    with pytest.raises(VendorUnavailable):
        pages(rig, seconds).ask(vendor)
    assert vendor.asked == asked
