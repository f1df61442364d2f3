"""What badges make of people and counts: pure functions, no storage.

`relay.occupancy.ledger` reads what is around some badges, has `settle` decide, and writes the changes.
"""

from collections import defaultdict
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
    lie at least `least_gap_ms` behind the report before and before the next one. In a closed day the day's
    zero follows, unless something newer was reported. Every other count around the badges that is pending is
    reported with them.
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
        facts = [change.count.fact(place, ledger.day) for change in changes]
        told = _spaced(facts, least_gap_ms, ledger.counts[place].at)
        # The last one is pending: it is among what follows, in a closed day with the zero behind it.
        reports += [
            _Report(change.badge, fact)
            for change, fact in zip(changes[:-1], facts[:-1], strict=True)
            if fact in told
        ]
        next_day = place in ledger.reported_next_day
        pending = count.pending_facts(place, ledger.day, reported_next_day=next_day)
        reports += [_Report(badge, fact) for fact in pending]
    return reports


def merged_reports(facts: Iterable[Fact], least_gap_ms: int) -> dict[str, str]:
    """Of the reports that several settlements have made of counts, those that a later one follows too soon.

    By their ids; beside each the id of the last report of its count, which stands for it.
    """
    of_counts: defaultdict[tuple[str | None, str], dict[str, Fact]] = defaultdict(dict)
    for fact in facts:
        of_counts[fact.day, fact.location_id][fact.event_id] = fact
    merged: dict[str, str] = {}
    for reports in of_counts.values():
        in_order = sorted(reports.values(), key=lambda fact: (fact.version, fact.at))
        older = [fact for fact in in_order if fact.version < in_order[-1].version]
        # In a closed day its zero is of the same version, and stays.
        last = in_order[len(older)]
        told = _spaced([*older, last], least_gap_ms)
        merged |= {fact.event_id: last.event_id for fact in older if fact not in told}
    return merged


def _spaced(facts: Sequence[Fact], least_gap_ms: int, before: int = 0) -> list[Fact]:
    """Of the reports of a count, in their order: the last, and those far enough from it and from each other.

    `before` is when the count was reported last (ms), before these.
    """
    spaced = list(facts[-1:])
    # From the last one on, as that is reported in any case.
    for fact in reversed(facts[:-1]):
        if spaced[-1].at - fact.at >= least_gap_ms and fact.at - before >= least_gap_ms:
            spaced.append(fact)
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
