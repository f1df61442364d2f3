"""A site whose clock is changed while people are inside."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.config.model import Config
from relay.occupancy.changeover import lineage
from relay.occupancy.days import operating_day
from tests.ledger.test_changeover import DAY, RESETS, ZONES
from tests.rig import NOON

pytestmark = [pytest.mark.no_cover, pytest.mark.slow]
"""They visit the same lines thousands of times, which other tests measure."""


@given(
    st.lists(
        st.tuples(st.integers(0, 40 * 3600), st.sampled_from(ZONES), st.sampled_from(RESETS)), max_size=6
    )
)
def test_clocks(changes: list[tuple[int, str, str]]) -> None:
    """A site's open day goes on to the next reset of the new clock; no instant is without its one day."""
    at = int(NOON)
    config = _site("UTC", "04:00")
    for later, zone, reset in changes:
        at += later
        before = operating_day(config, "HQ", at * 1000)
        after = _site(zone, reset)
        new = after.model_copy(update={"lineage": lineage(config, after, 1, at * 1000)})
        open_day = operating_day(new, "HQ", at * 1000)
        assert open_day.key == before.key, "the open day stays the one that it is"
        if (zone, reset) != (config.places["hq"].timezone, config.places["hq"].reset_at):
            assert open_day.end == operating_day(after, "HQ", at * 1000).end
        config = new
    day = operating_day(config, "HQ", int(NOON) * 1000 - 3 * DAY * 1000)
    keys = set()
    while day.start < (at + 3 * DAY) * 1000:
        assert day.start < day.end
        assert {operating_day(config, "HQ", instant).key for instant in (day.start, day.end - 1)} == {day.key}
        assert day.key not in keys
        keys.add(day.key)
        following = operating_day(config, "HQ", day.end)
        assert following.start == day.end
        day = following


def _site(zone: str, reset: str) -> Config:
    place = {"locationId": "HQ", "locationType": "location", "timezone": zone, "resetAt": reset}
    return Config.model_validate({"places": {"hq": place}})
