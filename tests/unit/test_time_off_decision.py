"""Leave: what a change comes to, for the leave and for its employees, without a table."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.config.model import TimeOffType
from relay.errors import InvalidLeave
from relay.events import LeaveChange, same_person
from relay.time_off.decision import (
    REPLACED,
    Arrival,
    Decision,
    Plan,
    arrival_of,
    decision_on,
    plan_for,
)
from relay.time_off.rules import KEPT, Held, Leave, TimeOff
from relay.time_off.submission import Employee, Lease, Term, employee_after
from tests.unit.test_time_off_rules import SKIP, TODAY, change, day, days

SAM, KIM, LEE = "Sam@example.com", "kim@example.com", "lee@example.com"
NOW = 1793764800.0
RECEIVED = round(NOW * 1000)
TERM = Term("mine", NOW, 5)
NOBODY: dict[str, Any] = {"email": None}
NO_DATES: dict[str, Any] = {"start": None, "end": None}
ENDED: dict[str, Any] = {"state": "ended", "version": "2"}


def arrived(**fields: Any) -> Arrival:
    """A change of the leave from the first to the fifth, as it arrives from Deel."""
    return arrival_of(change(**fields), "deel", SKIP, TODAY)


def known_after(**fields: Any) -> Leave:
    """The leave as the ledger has it after such a change."""
    return decision_on(arrived(**fields), None, None, None, received_at=RECEIVED).leave


APPROVED = known_after()


def decided(known: Leave | None = None, replaced: Leave | None = None, **fields: Any) -> Decision:
    """What such a change comes to."""
    return decision_on(arrived(**fields), known, replaced, None, received_at=RECEIVED)


@pytest.mark.parametrize(
    ("known", "fields", "reason"),
    [
        (None, {}, "unchanged"),
        (None, {"state": "requested"}, "requested"),
        (None, {"end": "2027-02-01", "first_day_part": True}, "part_day"),
        (None, {"state": "ended", "declined": True}, "declined"),
        (known_after(state="requested"), ENDED, "not_approved"),
        (APPROVED, {}, "superseded"),
        (known_after(version="2"), {}, "superseded"),
        (known_after(version="2"), {"state": "ended", "declined": True}, "superseded"),
        (known_after(state="ended"), {}, "superseded"),
    ],
)
def test_reason(known: Leave | None, fields: dict[str, Any], reason: str) -> None:
    """Why there may be nothing to send; what is old says nothing, whatever it is."""
    decision = decided(known, **fields)
    assert decision.reason == reason
    assert decision.is_news == (reason != "superseded")


@pytest.mark.parametrize(
    ("fields", "counted_as", "version"),
    [({}, None, "1"), ({"early": "0"}, None, "0"), ({"early": "3"}, "2", "2"), ({}, "2", "2")],
)
def test_version(fields: dict[str, Any], counted_as: str | None, version: str) -> None:
    """A change ahead of its time counts as of its receipt, and when it comes again as it first did."""
    decision = decision_on(arrived(**fields), None, None, counted_as, received_at=RECEIVED)
    assert decision.leave.version == version


@pytest.mark.parametrize("address", [NOBODY, {"email": "no address"}])
def test_no_address(address: dict[str, Any]) -> None:
    """Approved leave of nobody knows whom is refused by name, where it is news and could be told."""
    with pytest.raises(InvalidLeave) as invalid:
        decided(**address)
    assert invalid.value.reason == "no_email"
    assert decided(known_after(version="2", state="ended", **NOBODY), **address).reason == "superseded"
    assert decided(state="requested", **address).emails == ()
    refused = decided(**address, open_ended=True).refused
    assert refused
    assert refused.reason == "open_ended"


@pytest.mark.parametrize(
    ("known", "replaced", "email"),
    [(APPROVED, None, SAM), (None, APPROVED, SAM), (APPROVED, replace(APPROVED, email=KIM), SAM)],
)
def test_address_that_the_ledger_knows(known: Leave | None, replaced: Leave | None, email: str) -> None:
    """A change that names nobody is of whom the leave is, or else the one that it replaces."""
    assert decided(known, replaced, version="2", leave_id="2", replaces="1", **NOBODY).leave.email == email


def test_former_addresses() -> None:
    """A leave keeps every address that it was under, but for the one that it is under now."""
    second = decided(APPROVED, version="2", email=KIM)
    assert (second.leave.former, second.emails) == (("sam@example.com",), (KIM, "sam@example.com"))
    third = decided(second.leave, version="3", email=LEE)
    assert third.leave.former == ("sam@example.com", KIM)
    back = decided(third.leave, version="4", email="SAM@example.com")
    assert back.leave.former == (KIM, LEE)


@pytest.mark.parametrize(
    ("known", "fields", "ends_unseen", "of_no_use"),
    [
        (None, {}, True, False),
        (None, NOBODY, True, True),
        (None, NO_DATES, True, True),
        (None, {"declined": True}, False, False),
        (None, {"state": "requested"}, False, False),
        (known_after(state="requested"), NOBODY, False, False),
        (known_after(**ENDED, **NOBODY), NOBODY, True, True),
        (known_after(**ENDED, **NOBODY), {**NOBODY, "version": "3"}, False, False),
    ],
)
def test_end_of_what_was_never_seen(
    known: Leave | None, fields: dict[str, Any], ends_unseen: bool, of_no_use: bool
) -> None:
    """The end of leave older than the relay is sent where it says whose and when; else it is of no use."""
    decision = decided(known, **{**ENDED, **fields})
    assert (decision.ends_unseen, decision.leave.unseen) == (ends_unseen, of_no_use)
    assert bool(decision.emails) != (of_no_use or not decision.leave.email)


def test_refused() -> None:
    """A change that cannot be told keeps the days that it still covers; an old one is not even refused."""
    fields: dict[str, Any] = {"version": "2", "start": "2027-02-04", "end": None, "open_ended": True}
    decision = decided(APPROVED, **fields)
    assert decision.refused
    assert decision.refused.reason == "open_ended"
    assert list(decision.leave.days()) == [day(4), day(5)]
    assert decided(known_after(version="3"), **fields).refused is None


def test_replaced_by_what_cannot_be_told() -> None:
    """What takes the place of a leave, and cannot be told, keeps the days of that leave that it covers."""
    fields: dict[str, Any] = {"leave_id": "2", "replaces": "1", "version": "2", "start": "2027-02-04"}
    decision = decided(None, APPROVED, **fields, end=None)
    assert decision.refused
    assert list(decision.leave.days()) == [day(4), day(5)]
    again = decided(decision.leave, decision.replaced, **fields, end=None)
    assert list(again.leave.days()) == [day(4), day(5)]


def test_type_without_a_name() -> None:
    """Where nobody knows what the id of a type means, the ledger's type stays; a configured id says it."""
    known = known_after(type_name="Vacation")
    unnamed: dict[str, Any] = {"version": "2", "type_name": "7", "type_unnamed": True}
    assert decided(known, **unnamed, end="2027-02-03").leave.type == "holiday"
    assert decided(known, **{**unnamed, "type_name": None}).leave.type == "holiday"
    assert decided(**unnamed).leave.type == "leave"
    by_id = SKIP.model_copy(update={"time_off_types": {"7": "sick"}})
    arrival = arrival_of(change(**unnamed), "deel", by_id, TODAY)
    assert decision_on(arrival, known, None, None, received_at=RECEIVED).leave.type == "sick"
    assert change(**unnamed).content == change(type_name="7").content


def test_replaced() -> None:
    """A replaced leave ends for good: the one that is known, or one of which nobody has heard yet."""
    second: dict[str, Any] = {"leave_id": "2", "replaces": "1", "version": "2"}
    ended = decided(None, APPROVED, **second).replaced
    assert ended == replace(APPROVED, state="ended", version=REPLACED)
    assert decided(None, ended, **second).replaced is None
    unheard = decided(**second).replaced
    assert unheard
    assert (unheard.state, unheard.version, unheard.email) == ("ended", REPLACED, SAM)
    assert decided(unheard, version="9").reason == "superseded"
    assert decided(version="2", replaces="1").replaced is None


def test_replaced_of_somebody_else() -> None:
    """Whose the replaced leave was is touched as well."""
    assert decided(None, replace(APPROVED, email=KIM), leave_id="2", replaces="1").emails == (SAM, KIM)


def planned(employees: Sequence[Employee], known: Leave | None = None, **fields: Any) -> Plan:
    """What such a change comes to for these employees."""
    arrival = arrived(**fields)
    return plan_for(arrival, decision_on(arrival, known, None, None, received_at=RECEIVED), employees, TERM)


def holding(email: str = SAM, **fields: Any) -> Employee:
    """An employee with the leave from the first to the fifth, which Calven holds."""
    confirmed = Held("leave", confirmed=True, email=email, origins=frozenset({"deel"}))
    held = dict.fromkeys(map(day, range(1, 6)), confirmed)
    return Employee(email, leaves={"deel/1": replace(APPROVED, email=email)}, held=held, **fields)


def sent(plan: Plan) -> list[TimeOff]:
    """All that the plan's submissions send."""
    return [time_off for submission in plan.submissions for time_off in submission.sending.values()]


def test_approved() -> None:
    """An approval makes its days held, unconfirmed, under a lease, and sends them."""
    plan = planned([Employee(SAM)])
    assert sent(plan) == [TimeOff(day(1), day(5), "leave")]
    [employee] = plan.changed
    assert employee == plan.submissions[0].employee
    assert employee.leaves == {"deel/1": APPROVED}
    assert set(employee.held.values()) == {
        Held("leave", confirmed=False, email=SAM, origins=frozenset({"deel"}))
    }
    assert employee.lease == TERM.lease


@pytest.mark.parametrize(("ends_at", "is_busy"), [(NOW + 1, True), (NOW, False)])
def test_lease_of_another(ends_at: float, is_busy: bool) -> None:
    """While somebody else submits, a change is only recorded."""
    lease = Lease("other", ends_at)
    plan = planned([Employee(SAM, lease=lease)])
    assert plan.is_busy == is_busy
    assert bool(plan.submissions) == (not is_busy)
    [employee] = plan.changed
    assert employee.leaves == {"deel/1": APPROVED}
    assert (employee.lease == lease) == is_busy


def test_nothing_to_send() -> None:
    """A repeat changes nobody, whoever has the lease, and makes nobody wait."""
    for lease in (None, Lease("other", NOW + 1)):
        assert planned([holding(lease=lease)], APPROVED) == Plan((), (), is_busy=False)


def test_moved_address() -> None:
    """Leave of another address leaves the one employee and comes to the other."""
    plan = planned([Employee(KIM), holding()], APPROVED, version="2", email=KIM)
    assert sent(plan) == [TimeOff(day(1), day(5), "leave"), TimeOff(day(1), day(5), None, SAM)]
    assert [list(employee.leaves) for employee in plan.changed] == [["deel/1"], []]


def test_mended_spelling() -> None:
    """The same change with the address spelled anew goes out under that; held days keep their own."""
    mended = planned([replace(holding(), held={})], APPROVED, email="sam@example.com")
    assert [submission.employee.email for submission in mended.submissions] == ["sam@example.com"]
    [changed] = planned([holding()], APPROVED, email="sam@example.com").changed
    assert (changed.email, {held.email for held in changed.held.values()}) == ("sam@example.com", {SAM})


def test_deletion_keeps_the_spelling() -> None:
    """A change that names nobody brings no older spelling of the address back."""
    mended = replace(holding(), email="sam@example.com")
    [changed] = planned([mended], APPROVED, **ENDED, **NOBODY).changed
    assert changed.email == "sam@example.com"


def test_replacing() -> None:
    """A replacement takes the place of the leave before it, whatever becomes of itself."""
    fields: dict[str, Any] = {"leave_id": "2", "replaces": "1", "start": "2027-02-04"}
    assert sent(planned([holding()], version="2", **fields)) == [TimeOff(day(1), day(3), None, SAM)]
    plan = planned([holding()], known_after(version="3", leave_id="2"), version="2", **fields)
    assert sent(plan) == [TimeOff(day(1), day(5), None, SAM)]


def test_end_of_leave_older_than_the_relay() -> None:
    """Days that Calven may have from before are given back, those that it confirmed keep what is known."""
    other = replace(APPROVED, start=day(3), end=day(3))
    employee = Employee(SAM, leaves={"deel/2": other}, held=days({3: "leave"}))
    plan = planned([employee], state="ended")
    assert sent(plan) == [TimeOff(day(1), day(2), None), TimeOff(day(4), day(5), None)]
    [changed] = plan.changed
    assert changed.held[day(3)] == Held("leave", confirmed=True, origins=frozenset({"deel"}))


def test_long_ago() -> None:
    """What is too long ago is dropped with the next change."""
    old = TODAY - KEPT - timedelta(days=1)
    leave = Leave(state="approved", version="1", start=old, end=old, recorded=old)
    employee = Employee(SAM, leaves={"deel/old": leave}, held={old: Held("leave", confirmed=True)})
    [changed] = planned([employee]).changed
    assert list(changed.leaves) == ["deel/1"]
    assert old not in changed.held


@dataclass
class Memory:
    """What the ledger would keep, and a Calven that accepts everything at once."""

    leaves: dict[str, Leave] = field(default_factory=dict)
    employees: dict[str, Employee] = field(default_factory=dict)

    def take(self, one: LeaveChange) -> None:
        """Decide about a change, and keep what it comes to."""
        arrival = arrival_of(one, "deel", SKIP, TODAY)
        decision = decision_on(arrival, self.leaves.get(one.leave_id), None, None, received_at=RECEIVED)
        if decision.is_news:
            self.leaves[one.leave_id] = decision.leave
        touched = [self.employees.get(same_person(email), Employee(email)) for email in decision.emails]
        plan = plan_for(arrival, decision, touched, TERM)
        assert not plan.is_busy
        for employee in plan.changed:
            self.employees[same_person(employee.email)] = employee
        for submission in plan.submissions:
            results = dict.fromkeys(submission.sending, True)
            after = employee_after(submission, submission.employee, results, uncertain=False)
            self.employees[same_person(after.email)] = after

    def away(self) -> dict[str, dict[date, TimeOffType | None]]:
        """The days that Calven holds, all of them confirmed, of everybody who has any."""
        assert all(held.confirmed for each in self.employees.values() for held in each.held.values())
        held = {
            email: {on: each.type for on, each in employee.held.items()}
            for email, employee in self.employees.items()
        }
        return {email: of_employee for email, of_employee in held.items() if of_employee}


@st.composite
def histories(draw: st.DrawFn) -> list[LeaveChange]:
    """Changes of two leaves, each of a version of its own, of people who change their address."""
    some: list[LeaveChange] = []
    for version in range(1, draw(st.integers(2, 7))):
        first = draw(st.integers(1, 6))
        last = first + draw(st.integers(0, 4))
        fields = {
            "event_id": f"e{version}",
            "version": str(version),
            "leave_id": draw(st.sampled_from("12")),
            "state": draw(st.sampled_from(("approved", "approved", "ended", "requested"))),
            "email": draw(st.sampled_from((SAM, "SAM@EXAMPLE.COM", KIM, LEE))),
            "type_name": draw(st.sampled_from((None, "Vacation", "Sick"))),
            "start": day(first).isoformat(),
            "end": day(last).isoformat(),
        }
        some.append(change(**fields))
    return some


def approved(some: Sequence[LeaveChange]) -> dict[str, dict[date, TimeOffType]]:
    """The truth: the days of the leaves whose last change is an approval."""
    last = {one.leave_id: one for one in sorted(some, key=lambda one: one.version)}
    found: dict[str, dict[date, TimeOffType]] = {}
    for one in sorted(last.values(), key=lambda one: one.version):
        if one.state == "approved":
            leave = arrival_of(one, "deel", SKIP, TODAY).leave
            found.setdefault(same_person(leave.email), {}).update(dict.fromkeys(leave.days(), leave.type))
    return found


@given(histories().flatmap(lambda some: st.tuples(st.just(some), st.permutations([*some, *some]))))
def test_any_order(found: tuple[list[LeaveChange], list[LeaveChange]]) -> None:
    """In whatever order the changes come, and how often: Calven comes to hold the days that are approved."""
    some, arriving = found
    memory = Memory()
    for one in arriving:
        memory.take(one)
    assert memory.away() == approved(some)
