"""A building of three levels of places, people who badge in it, and where they are in truth."""

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime

from hypothesis import strategies as st

from relay.config.model import Config, Door
from relay.events import BadgeEvent, Direction
from relay.occupancy.rules import Badge, through
from tests.rig import NOON

NOON_MS = int(NOON * 1000)


def config(timezone: str = "Australia/Sydney", reset_at: str = "04:00") -> Config:
    """The building `hq`, with more places than its own item has room for, and another one, `annex`."""
    within = {"hq": None, "l1": "hq", "l2": "hq", "l3": "hq", "l4": "hq", "annex": None, "annex-1": "annex"}
    within |= {"l1-a": "l1", "l1-b": "l1", "l2-a": "l2"}
    types = {"hq": "location", "annex": "location"}
    site = {"timezone": timezone, "resetAt": reset_at}
    return Config.model_validate(
        {
            "places": {
                name: {
                    "locationId": name,
                    "locationType": types.get(name, "zone"),
                    **({"within": outer} if outer else site),
                }
                for name, outer in within.items()
            }
        }
    )


CONFIG = config()
PLACES = ("hq", "l1", "l2", "l3", "l4", "l1-a", "l1-b", "l2-a")


def badge(
    event_id: str, person: str, direction: Direction, place: str, at: int = NOON_MS, source: str = "kisi"
) -> Badge:
    """A passage of a door that leads in to or out of a place."""
    event = BadgeEvent(
        event_id=event_id,
        at=datetime.fromtimestamp(at / 1000, UTC),
        door=f"{direction} {place}",
        person=person,
    )
    return through(event, Door(place=place, direction=direction), source, at / 1000, CONFIG)


def badges(max_size: int = 12, spread_ms: int = 6000, prefix: str = "e") -> st.SearchStrategy[list[Badge]]:
    """Badges of a few people within some seconds, several of them at the same instant."""
    directions: st.SearchStrategy[Direction] = st.sampled_from(("in", "out"))
    one = st.tuples(
        st.sampled_from(("ann", "ben", "cat")),
        directions,
        st.sampled_from(PLACES),
        st.integers(0, spread_ms // 1000).map(lambda second: NOON_MS + 1000 * second),
    )
    return st.lists(one, max_size=max_size).map(
        lambda found: [
            badge(f"{prefix}{number}", person, direction, place, at)
            for number, (person, direction, place, at) in enumerate(found)
        ]
    )


@st.composite
def disordered(draw: st.DrawFn, some: list[Badge]) -> list[Badge]:
    """The same badges in another order, some of them more than once."""
    repeated = draw(st.lists(st.sampled_from(some), max_size=4)) if some else []
    return draw(st.permutations([*some, *repeated]))


def positions(some: Iterable[Badge]) -> dict[str, str | None]:
    """Where everybody is: where each one's last badge led to."""
    return {badge.person: badge.target for badge in sorted(some, key=lambda b: (b.at, b.event_id))}


def truth(some: Iterable[Badge]) -> Counter[str]:
    """How many people are in each place, by counting them."""
    return Counter(place for where in positions(some).values() for place in CONFIG.path(where))
