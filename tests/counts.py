"""A ledger of occupancy on moto, and what it counts."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from relay.aws.table import Table
from relay.config.model import Config
from relay.deadline import WAITED_FOR, Deadline
from relay.occupancy.closing import Closing
from relay.occupancy.days import operating_day
from relay.occupancy.ledger import Headcount
from relay.occupancy.positions import position_key
from relay.occupancy.reported import Reports, note_key
from relay.occupancy.rules import Badge, Fact, PendingFact
from relay.occupancy.settlement import Settlement
from tests.building import CONFIG, NOON_MS, badge
from tests.moto_table import Ledger

TODAY = operating_day(CONFIG, "hq", NOON_MS)

RESET = TODAY.end / 1000


def settle(
    headcount: Headcount,
    some: Sequence[Badge],
    deadline: Deadline,
    there: Config = CONFIG,
    apart: int = 0,
) -> list[Settlement]:
    """Settle badges of one operating day."""
    day = operating_day(there, there.site(some[0].place), some[0].at)
    return headcount.settle(some, day, there, deadline, replace(WAITED_FOR, apart=apart))


class Counts(Ledger):
    """A ledger with a `Headcount`, another one as another container has it, and all that Calven was told."""

    def __init__(self, *, calven_answers: bool = True) -> None:
        super().__init__()
        self.told: list[Fact] = []
        self.calven_answers = calven_answers

    def headcount(self, table: Table | None = None) -> Headcount:
        """A new container's headcount."""
        return Headcount(table or self.table, self.clock)

    def badge(self, badge: Badge, table: Table | None = None, seconds: float = 20) -> Settlement:
        """Settle a badge, and tell Calven."""
        [settled] = self.badges([badge], table, seconds)
        return settled

    def badges(
        self, some: Sequence[Badge], table: Table | None = None, seconds: float = 20, apart: int = 0
    ) -> list[Settlement]:
        """Settle badges of one day together, and tell Calven."""
        headcount = self.headcount(table)
        settled = settle(headcount, some, Deadline(self.clock() + seconds, self.clock), apart=apart)
        self.tell([fact for one in settled for fact in one.facts])
        return settled

    def fill(self) -> None:
        """Have counts of `l1`, `l1-a`, `l1-b`, `l3` and `l4` in the item of `hq`: it has no room for more."""
        for number, place in enumerate(("l1-a", "l1-b", "l3", "l4")):
            self.badge(badge(f"visit {number}", "visitor", "in", place, NOON_MS - 60_000 + number))
        self.badge(badge("visit ends", "visitor", "out", "hq", NOON_MS - 50_000))

    def close(self, site: str = "hq", table: Table | None = None, there: Config = CONFIG) -> list[Fact]:
        """Run the schedule for a site, and tell Calven."""
        facts = [fact for _, fact in self.pending(site, table, there)]
        self.tell(facts)
        return facts

    def pending(
        self, site: str = "hq", table: Table | None = None, there: Config = CONFIG
    ) -> list[PendingFact]:
        """Run the schedule for a site, without telling Calven."""
        return self.closing(table).close_days(site, there, Deadline(self.clock() + 20, self.clock))

    def closing(self, table: Table | None = None) -> Closing:
        """What a new container closes days with."""
        return Closing(table or self.table, self.headcount(table), self.clock)

    def made_by(self, act: Callable[[], object]) -> list[str]:
        """The requests that something makes."""
        before = len(self.requests)
        act()
        return self.requests[before:]

    @property
    def reports(self) -> Reports:
        """A new container's reports."""
        return Reports(self.table)

    def tell(self, facts: Sequence[Fact]) -> None:
        """Calven accepts these facts, unless it does not answer."""
        if self.calven_answers:
            self.told += facts
            self.reports.mark_reported(facts)

    def people(self) -> Counter[str]:
        """The people in each place that has any, as the ledger has them today."""
        counts = self.headcount(self.other).counts(TODAY)
        return Counter({place: count.people for place, count in counts if count.people})

    def noted(self) -> dict[str, int]:
        """The newest version of each place's count that today's note says Calven has."""
        note = self.item(note_key(TODAY.key)) or {}
        places = [name.removeprefix("place#") for name in note if name.startswith("place#")]
        return {place: note[f"place#{place}"][0] for place in places}

    def where(self, people: Iterable[str]) -> dict[str, str | None]:
        """Where these people are, as the ledger has them today."""
        found = {person: self.item(position_key(TODAY, person)) for person in people}
        return {person: next(iter(item["path"]), None) for person, item in found.items() if item}

    def shown(self) -> dict[str, int]:
        """What Calven shows: what it was told about each place with the latest time."""
        return {fact.place: fact.people or 0 for fact in sorted(self.told, key=lambda fact: fact.at)}


IN = badge("e1", "ann", "in", "l1")
