"""Shadowed sources by the rules alone: which they are, what of them is wanted, held and pending."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.config.model import Config, Lineage
from relay.envelope import RELAY, in_envelopes
from relay.occupancy.changeover import lineage
from relay.occupancy.days import day_of
from relay.occupancy.rules import Count, Fact, unqueued_facts
from relay.time_off.days import span
from relay.time_off.pending import by_person, pending_days, pending_leaves
from relay.time_off.rules import Held, Leave, TimeOff, sources_by_day, to_send, wanted, with_origins
from relay.time_off.submission import Employee
from tests.unit.test_time_off_rules import KINDS, TODAY, day, leave

NOW = 1_793_764_800_000
SAM = "sam@example.com"
TRIAL = frozenset({"trial"})
TODAY_AT_SITE = day_of("SITE", "UTC", "04:00", datetime.fromtimestamp(NOW / 1000, UTC).date())


def config(lineage: Lineage | None = None, **shadow: bool) -> Config:
    """Sources that are shadowed or not."""
    sources = {name: {"vendor": "generic", "shadow": shadowed} for name, shadowed in shadow.items()}
    return Config.model_validate({"sources": sources, "lineage": lineage or Lineage()})


def test_lifted() -> None:
    """A source whose shadow is taken away is live since then, also under another name."""
    old = config(live=False, trial=True)
    assert lineage(old, config(live=False, trial=True), 2, NOW).live_since == {}
    assert lineage(old, config(live=False, trial=False), 2, NOW).live_since == {"trial": NOW}
    renamed = lineage(old, config(live=False, pilot=False), 2, NOW)
    assert (renamed.renamed, renamed.live_since) == ({"pilot": "trial"}, {"trial": NOW})


def test_live_since_is_kept_while_it_matters() -> None:
    """For as long as the ledger keeps a day of before, and the source is not shadowed again."""
    old = config(Lineage(live_since={"trial": NOW}), trial=False)
    assert lineage(old, config(trial=False), 3, NOW + 1).live_since == {"trial": NOW}
    assert lineage(old, config(trial=True), 3, NOW + 1).live_since == {}
    assert lineage(old, config(trial=False), 3, NOW + 17 * 86_400_000).live_since == {}


def test_removed_in_shadow() -> None:
    """A source that was removed while it was shadowed stays so, until it is configured again."""
    removed = lineage(config(live=False, trial=True), config(live=False), 2, NOW)
    assert removed.shadowed == ("trial",)
    gone = config(removed, live=False)
    assert gone.shadowed == {"trial"}
    assert gone.is_shadowed("trial")
    again = lineage(gone, config(live=False, trial=False), 3, NOW + 1)
    assert (again.shadowed, again.live_since) == ((), {"trial": NOW + 1})


def test_other_key_for_the_same_day() -> None:
    """The day in shadow is another one, that of a live source the same as ever."""
    assert TODAY_AT_SITE.for_source(shadowed=False) == TODAY_AT_SITE
    shadow = TODAY_AT_SITE.for_source(shadowed=True)
    assert shadow.key == f"{TODAY_AT_SITE.key}#shadow"
    assert (shadow.start, shadow.end) == (TODAY_AT_SITE.start, TODAY_AT_SITE.end)


@pytest.mark.parametrize(("ended", "late", "told"), [(False, False, 0), (True, False, 1), (True, True, 0)])
def test_what_the_schedule_tells(ended: bool, late: bool, told: int) -> None:
    """Of a count that a shadowed source changed last only that the day has ended, in nobody's name."""
    count = Count(people=2, version=3, source="trial", event_id="e", at=NOW, ended=ended, late=late)
    pending = unqueued_facts(TODAY_AT_SITE, {"SITE": count}, (), TRIAL)
    assert len(pending) == told
    assert [fact.people for _, fact in pending] == [0] * told
    assert [one.source for one in in_envelopes(pending, config(trial=True), NOW / 1000)] == [RELAY] * told


def test_whose_name_it_is_told_in() -> None:
    """A live source's facts are told in its own name."""
    fact = Fact(event_id="e", location_id="S", location_type="zone", place="s", at=NOW, people=1, version=1)
    assert [one.source for one in in_envelopes([("trial", fact)], config(trial=False), 1.0)] == ["trial"]


LEAVES: st.SearchStrategy[dict[str, Leave]] = st.dictionaries(
    st.sampled_from(("live/1", "live/2", "trial/1", "trial/2")),
    st.builds(
        lambda first, length, kind, version: leave(first, first + length, kind, version),
        st.integers(1, 9),
        st.integers(0, 4),
        KINDS,
        st.sampled_from("123"),
    ),
)
ORIGINS = st.sampled_from([frozenset[str](), frozenset({"live"}), TRIAL, frozenset({"live", "trial"})])
HELD = st.dictionaries(
    st.integers(1, 12).map(day), st.builds(Held, KINDS, st.booleans(), st.just(SAM), ORIGINS)
)
EMPLOYEES = st.builds(Employee, st.just(SAM), LEAVES, HELD)


@given(EMPLOYEES)
def test_what_is_sent_in_shadow(employee: Employee) -> None:
    """Only days that live leave wants are scheduled, and what is held for the shadowed source stays."""
    live = {name: one for name, one in employee.leaves.items() if name.startswith("live/")}
    for sent in employee.to_send(TRIAL):
        for on in span(sent.start, sent.end):
            held = employee.held.get(on)
            assert (on in wanted(live.values())) == (sent.type is not None)
            assert held is None or not held.confirmed or "trial" not in held.origins


@given(EMPLOYEES)
def test_nothing_is_shadowed(employee: Employee) -> None:
    """Without a shadowed source it does not matter for whom days are held."""
    alike = employee.held_alike()
    assert employee.to_send() == to_send(wanted(employee.leaves.values()), alike)


@given(LEAVES, HELD)
def test_origins(leaves: dict[str, Leave], held: dict[date, Held]) -> None:
    """A shadowed source keeps its days, a live one has those that its leave covers; nobody loses the last."""
    live = sources_by_day({name: one for name, one in leaves.items() if name.startswith("live/")})
    after = with_origins(held, live, TRIAL)
    for on, before in held.items():
        origins = after[on].origins
        assert ("trial" in origins) == ("trial" in before.origins)
        if on in live:
            assert "live" in origins
        assert bool(origins) == bool(before.origins or on in live)
    assert with_origins(after, live, TRIAL) == after


@given(EMPLOYEES)
def test_pending(employee: Employee) -> None:
    """What is pending of a source, and what is sent in shadow, are together what is sent once it is live."""
    of_source = {name[6:]: one for name, one in employee.leaves.items() if name.startswith("trial/")}
    days = pending_days("trial", employee, TRIAL)
    live = {day for day in _days(employee.to_send()) if day not in days}
    assert live <= set(_days(employee.to_send(TRIAL)))
    ids = pending_leaves("trial", of_source, employee, TRIAL)
    assert bool(ids) == bool(days and of_source)


def test_pending_of_no_leave() -> None:
    """Days to be given back are told by the leave of the last news, if it is known whose that is."""
    employee = Employee(SAM, held={day(1): Held("leave", confirmed=True, email=SAM, origins=TRIAL)})
    ended = Leave("ended", "1", SAM, recorded=TODAY)
    leaves = {
        "old": replace(ended, received=1),
        "new": replace(ended, received=2),
        "early": ended,
        "unseen": replace(ended, received=3, unseen=True),
    }
    assert pending_leaves("trial", leaves, employee, TRIAL) == ["new"]
    assert pending_leaves("trial", {"unseen": leaves["unseen"]}, employee, TRIAL) == []


def _days(sending: Sequence[TimeOff]) -> list[date]:
    return [on for each in sending for on in span(each.start, each.end)]


def test_by_person() -> None:
    """A leave is also that of whom it was before its address changed."""
    moved = Leave("approved", "1", "Kim@example.com", former=("sam@example.com",), recorded=TODAY)
    nobody = Leave("ended", "1", recorded=TODAY)
    found = by_person({"1": moved, "2": nobody})
    assert {person: list(leaves) for person, leaves in found.items()} == {
        "kim@example.com": ["1"],
        "sam@example.com": ["1"],
    }
