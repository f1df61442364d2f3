"""Leave as the table has it: the items of a version that is deployed are read by the next one."""

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from relay.time_off.items import (
    as_written,
    employee_from,
    employee_key,
    employee_update,
    leave_from,
    leave_key,
    leave_update,
)
from relay.time_off.rules import Held, Leave
from relay.time_off.submission import Employee, Lease
from tests.unit.test_time_off_rules import HELD, KINDS, TODAY, day
from tests.unit.test_time_off_submission import submitted

SAM = "Sam@example.com"
LEAVE = Leave(
    state="approved",
    version="2026-11-04T00:00:00.000Z",
    email=SAM,
    former=("kim@example.com",),
    start=day(1),
    end=day(5),
    gaps=frozenset({day(3), day(2)}),
    type="holiday",
    recorded=TODAY,
    content="0123456789abcdef",
    config=7,
)
LEAVE_ITEM: dict[str, Any] = {
    "state": "approved",
    "version": "2026-11-04T00:00:00.000Z",
    "email": SAM,
    "former": ["kim@example.com"],
    "start": "2027-02-01",
    "end": "2027-02-05",
    "gaps": ["2027-02-02", "2027-02-03"],
    "type": "holiday",
    "recorded": "2026-11-04",
    "unseen": False,
    "content": "0123456789abcdef",
    "config": 7,
}
EXPIRES_AT = 1803772800 - 23 * 86400 + 62 * 86400
"""Two months after the fifth of February 2027, in Unix seconds."""


def test_keys() -> None:
    """A leave is found by its id alone, an employee however the address is written."""
    assert leave_key("deel", "1") == ("leave#deel#1", "leave")
    assert employee_key(" SAM@example.com") == employee_key(SAM) == ("employee#sam@example.com", "leave")


def test_leave() -> None:
    """A leave is written where it still is what was read, or is not there yet."""
    new = leave_update("deel", "1", LEAVE, None)
    assert (new.key, new.expect) == (leave_key("deel", "1"), {"version": None})
    found_by_source = {"leave_of": "deel", "inferred": False, "lacked_at": 0, "received": 0, "repeated_at": 0}
    assert new.set == {**LEAVE_ITEM, **found_by_source, "expires_at": EXPIRES_AT}
    ended = leave_update("deel", "1", replace(LEAVE, state="ended", start=None, end=None), LEAVE)
    assert ended.expect == LEAVE_ITEM
    assert (ended.set["start"], ended.set["end"]) == ("", "")


def test_employee() -> None:
    """An employee is written where the revision is the one that was read; adjacent days are one range."""
    deel = frozenset({"deel"})
    held = {
        day(1): Held("holiday", True, SAM, deel),
        day(2): Held("holiday", True, SAM),  # a gap of the leave
        day(4): Held(None, False, origins=deel),
        day(5): Held("sick", False, origins=deel, instead=True),
    }
    employee = Employee(SAM, {"deel/1": LEAVE}, held, Lease("a", 1793764805.25), revision=3, round=2)
    update = employee_update(employee, TODAY)
    assert (update.key, update.expect) == (employee_key(SAM), {"revision": 3})
    assert update.set == {
        "email": SAM,
        "leaves": {"deel/1": LEAVE_ITEM},
        "held": [
            ["2027-02-01", "2027-02-02", "holiday", True, SAM],
            ["2027-02-04", "2027-02-04", "", False, ""],
            ["2027-02-05", "2027-02-05", "sick", False, ""],
        ],
        "origins": [],
        "instead": [["2027-02-05", "2027-02-05"]],
        "lease": ["a", 1793764805250],
        "revision": 4,
        "round": 2,
        "expires_at": EXPIRES_AT,
    }


def test_held_for_nobody() -> None:
    """A day that leave covers and that is held for no leave, as where its source has ended, is read so."""
    employee = Employee(SAM, {"deel/1": LEAVE}, {day(1): Held("holiday", True, SAM)})
    update = employee_update(employee, TODAY)
    assert update.set["origins"] == [["2027-02-01", "2027-02-01", []]]
    assert employee_from(update.set, SAM).held == employee.held


def test_new_employee() -> None:
    """Of whom nothing is stored has the address alone, and is written where still nothing is."""
    assert employee_from(None, SAM) == Employee(SAM)
    update = employee_update(Employee(SAM), TODAY)
    assert update.expect == {"revision": None}
    assert (update.set["revision"], update.set["lease"], update.set["held"]) == (1, [], [])


def test_items_of_before() -> None:
    """Items from before some attributes were kept are read as if these had never been needed.

    Of a day that is not confirmed nobody knows then what it was before.
    """
    item = {**LEAVE_ITEM}
    del item["unseen"]
    assert leave_from(item) == LEAVE
    assert leave_from(None) is None
    held = {day(6): Held("leave", True), day(7): Held("leave", False)}
    item = {**employee_update(Employee(SAM, {"deel/1": LEAVE}, held), TODAY).set}
    del item["round"], item["instead"]
    before = employee_from(item, "")
    assert before.round == 0
    assert [each.instead for each in before.held.values()] == [False, True]


def test_written() -> None:
    """A submission that is written has the revision that the table has."""
    submission = submitted()
    stored = employee_from(employee_update(submission.employee, TODAY).set, SAM)
    assert as_written(submission).employee.revision == stored.revision == submission.employee.revision + 1


DATES = st.dates(date(2026, 1, 1), date(2028, 12, 31))
RANGES = st.none() | st.tuples(DATES, st.integers(0, 30))


@st.composite
def leaves(draw: st.DrawFn) -> Leave:
    """Any leave."""
    found = draw(RANGES)
    return Leave(
        state=draw(st.sampled_from(("requested", "approved", "ended"))),
        version=draw(st.text(max_size=5)),
        email=draw(st.text(max_size=5)),
        former=tuple(draw(st.lists(st.text(max_size=5), max_size=3))),
        start=found and found[0],
        end=found and found[0] + timedelta(days=found[1]),
        gaps=frozenset(draw(st.sets(DATES, max_size=3))),
        type=draw(KINDS),
        recorded=draw(DATES),
        unseen=draw(st.booleans()),
        content=draw(st.text(max_size=5)),
        config=draw(st.integers(0, 9)),
    )


# Every instant of these is exact in milliseconds and as a float.
LEASES = st.none() | st.builds(
    Lease, st.text(min_size=1, max_size=5), st.integers(0, 2**33).map(lambda n: n / 8)
)
EMPLOYEES = st.builds(
    Employee,
    st.text(max_size=5),
    st.dictionaries(st.text(max_size=5), leaves(), max_size=3),
    HELD,
    LEASES,
    st.integers(0, 9),
    st.integers(0, 9),
)


@given(leaves())
def test_any_leave(leave: Leave) -> None:
    """A leave is read as it was written."""
    assert leave_from(leave_update("deel", "1", leave, None).set) == leave


@given(EMPLOYEES)
def test_any_employee(employee: Employee) -> None:
    """An employee is read as they were written, a revision later."""
    stored = employee_from(employee_update(employee, TODAY).set, "")
    assert stored == replace(employee, revision=employee.revision + 1)
