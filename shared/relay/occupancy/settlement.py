"""What badges make of people and counts: pure functions, no storage.

`relay.occupancy.ledger` reads what is around some badges, has `settle` decide, and writes the changes.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from relay.config.model import Config
from relay.occupancy.days import Day
from relay.occupancy.rules import Badge, Cause, Count, Fact, Position, count_after, differences, with_name


@dataclass(frozen=True, slots=True)
class Ledger:
    """What the ledger holds around some badges of one operating day.

    `positions` are those of their people, `counts` those of the places around their doors and around these
    positions. `closed_at` is when the day was closed (ms), None before that. `reported_next_day` are those of
    the places that were reported in the day after it. `early` are the ids of the badges that are known to
    have come before their own time.
    """

    day: Day
    positions: Mapping[str, Position]
    counts: Mapping[str, Count]
    closed_at: int | None = None
    reported_next_day: frozenset[str] = frozenset()
    early: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Settlement:
    """What became of a badge: facts to report for it, or the reason why there are none.

    A badge with reason `merged` has changed counts that are reported with a later badge. `merged_into` are
    the ids of the facts that report them. `counts` are the places, by name, whose count it changed, before
    and after.
    """

    facts: Sequence[Fact] = ()
    reason: str = ""
    merged_into: frozenset[str] = frozenset()
    counts: Mapping[str, tuple[int, int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Changes:
    """What badges make of the ledger: the positions and counts to write, and what became of each badge.

    `early` are badges, by their id, that came before their own time and were not known yet.
    """

    positions: Mapping[str, Position]
    counts: Mapping[str, Count]
    settlements: Sequence[Settlement]
    early: Mapping[str, Badge] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Change:
    """A place's count after one of some badges, which goes by its number, and how many were in it before."""

    badge: int
    count: Count
    before: int


@dataclass(frozen=True, slots=True)
class _Report:
    """A fact, and the number of the badge for which it is reported."""

    badge: int
    fact: Fact


def places_around(badges: Sequence[Badge], config: Config) -> list[str]:
    """The places around the doors of badges."""
    found: dict[str, None] = {}
    for badge in badges:
        found |= dict.fromkeys(config.around(badge.place))
    return list(found)


def other_places(positions: Iterable[Position], known: Collection[str]) -> list[str]:
    """The places in which people are, without those that are known."""
    found: dict[str, None] = {}
    for position in positions:
        found |= dict.fromkeys(position.path)
    return [place for place in found if place not in known]


def settle(badges: Sequence[Badge], ledger: Ledger, config: Config, least_gap_ms: int = 0) -> Changes:
    """Move people, and count the places left and entered. Older badges and duplicates move nobody.

    Each count that changes is reported. Of several changes of one place the last is, and before it those that
    lie at least `least_gap_ms` before the next one reported. In a closed day the day's zero follows, unless
    something newer was reported. Every other count around the badges that is pending is reported with them.
    """
    state = _State(ledger, config)
    reasons = [state.apply(number, badge) for number, badge in enumerate(badges)]
    reports = _reports(badges, state, least_gap_ms)
    return Changes(
        positions={name: where for name, where in state.positions.items() if where != ledger.positions[name]},
        counts={place: state.counts[place] for place in state.changes_of},
        settlements=[_settlement(n, reason, reports, state.changes_of) for n, reason in enumerate(reasons)],
        early=state.early,
    )


class _State:
    """Positions and counts while badges are applied to them, one after the other."""

    def __init__(self, ledger: Ledger, config: Config) -> None:
        self.ledger = ledger
        self.config = config
        self.positions = dict(ledger.positions)
        self.counts = dict(ledger.counts)
        self.changes_of: dict[str, list[_Change]] = {}
        self.early: dict[str, Badge] = {}

    def apply(self, number: int, badge: Badge) -> str:
        """Have a badge move its person; the reason, should there be nothing to report for it."""
        # Its marker may have been read before, and its position after it was settled elsewhere.
        settled = badge.id == self.ledger.positions[badge.person].event
        repeated = settled or badge.id in self.ledger.early or badge.id in self.early
        reason = "duplicate" if repeated else self.positions[badge.person].reason_to_ignore(badge)
        # A badge that moves nobody too: when it comes again, it is received later, and would count then.
        if badge.early and badge.id not in self.ledger.early:
            self.early[badge.id] = badge
        if reason:
            return reason
        return "merged" if self._move(number, badge) else "unchanged"

    def _move(self, number: int, badge: Badge) -> bool:
        """Move a badge's person; whether that changes a count."""
        position = self.positions[badge.person]
        path = self.config.around(badge.target)
        self.positions[badge.person] = replace(position, path=path, at=badge.at, event=badge.id, moved=False)
        moves = differences(position.path, path)
        for place, by in moves.items():
            before = self.counts[place].people
            self.counts[place] = self._count(badge, place, by)
            self.changes_of.setdefault(place, []).append(_Change(number, self.counts[place], before))
        return bool(moves)

    def _count(self, badge: Badge, place: str, by: int) -> Count:
        ledger = self.ledger
        cause = Cause(badge.source, badge.event_id)
        closed = ledger.closed_at is not None
        count = count_after(self.counts[place], place, by, cause, badge.at, ledger.day, closed=closed)
        return with_name(count, place, self.config)


def _reports(badges: Sequence[Badge], state: _State, least_gap_ms: int) -> list[_Report]:
    """What is reported of the counts, for the last badge that changed each, else for the first around it."""
    ledger = state.ledger
    around = [{*state.config.around(badge.place), *ledger.positions[badge.person].path} for badge in badges]
    reports: list[_Report] = []
    for place, count in state.counts.items():
        changes = state.changes_of.get(place, [])
        if changes:
            badge = changes[-1].badge
        else:
            badge = next(number for number, places in enumerate(around) if place in places)
        spaced = _spaced(changes, least_gap_ms)
        reports += [_Report(change.badge, change.count.fact(place, ledger.day)) for change in spaced]
        next_day = place in ledger.reported_next_day
        pending = count.pending_facts(place, ledger.day, reported_next_day=next_day)
        reports += [_Report(badge, fact) for fact in pending]
    return reports


def _spaced(changes: Sequence[_Change], least_gap_ms: int) -> list[_Change]:
    """Of the changes of a place before its last one, those far enough before the next one reported."""
    spaced: list[_Change] = []
    next_at = changes[-1].count.at if changes else 0
    # From the last one on, as that is reported in any case.
    for change in reversed(changes[:-1]):
        if next_at - change.count.at >= least_gap_ms:
            spaced.append(change)
            next_at = change.count.at
    spaced.reverse()
    return spaced


def _settlement(
    badge: int, reason: str, reports: Sequence[_Report], changes_of: Mapping[str, Sequence[_Change]]
) -> Settlement:
    facts = [report.fact for report in reports if report.badge == badge]
    counts = _changed_counts(badge, changes_of)
    # Also of a badge that moves nobody: what was pending around it goes along.
    if facts:
        return Settlement(facts, counts=counts)
    if reason != "merged":
        return Settlement(reason=reason)
    merged_into: set[str] = set()
    for changes in changes_of.values():
        if any(change.badge == badge for change in changes):
            merged_into.add(changes[-1].count.event_id)
    return Settlement(reason=reason, merged_into=frozenset(merged_into), counts=counts)


def _changed_counts(badge: int, changes_of: Mapping[str, Sequence[_Change]]) -> dict[str, tuple[int, int]]:
    """The places, by name, whose count a badge changed: before and after."""
    changed: dict[str, tuple[int, int]] = {}
    for place, changes in changes_of.items():
        for change in changes:
            if change.badge == badge:
                changed[change.count.name or place] = (change.before, change.count.people)
    return changed
