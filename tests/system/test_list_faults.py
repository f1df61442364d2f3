"""Lists that go wrong: nothing ends unasked, nothing is lost, and once the list is whole everything heals."""

import json
import time
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import httpx
import pytest
from click.testing import CliRunner, Result

from localrun.template import STACK
from relayctl.main import main
from tests.rig import Rig
from tests.stack import deploy

pytestmark = [pytest.mark.no_cover, pytest.mark.slow]

NOOR = "noor@example.com"
"""Whose leave all of it is: the stand-in knows one employee's address."""
LEAVES = 9
WEEK = 7


def relayctl(*arguments: str) -> Result:
    """A command on the rig's stack, with JSON as its output."""
    return CliRunner().invoke(main, ("--stack", STACK, "--json", *arguments))


class Vendor:
    """BambooHR, which has no webhooks and lists a month a page, and what is approved there."""

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        self._today = datetime.now(UTC).date()
        self.approved: set[int] = set()

    def days(self, numbers: Sequence[int] | set[int]) -> set[str]:
        """The days of some leaves: two in each week."""
        return {day.isoformat() for number in numbers for day in self._of(number)}

    def _of(self, number: int) -> tuple[date, date]:
        first = self._today + timedelta(days=10 + number * WEEK)
        return first, first + timedelta(days=1)

    def say(self, number: int, status: str) -> None:
        """A request is approved, or cancelled."""
        first, last = (day.isoformat() for day in self._of(number))
        dates = {first: "1", last: "1"}
        self._rig.happen("bamboohr", status, id=str(number), start=first, end=last, dates=dates)
        (self.approved.add if status == "approved" else self.approved.discard)(number)

    def reconcile(self, code: int, *wishes: str) -> dict[str, Any]:
        """`relayctl reconcile`, and the retry function for what it queued."""
        result = relayctl("reconcile", "bamboohr", *wishes)
        assert result.exit_code == code, result.output
        self._rig.retry()
        [report] = json.loads(result.stdout)
        return dict(report)

    def fail(self, mode: str, after: int, count: int | None) -> None:
        """Have its list go wrong."""
        order = {"vendor": "bamboohr", "mode": mode, "after": after, "count": count}
        self._rig.vendors.post("/_vendors/fail", json=order).raise_for_status()

    def mend(self) -> None:
        """Have its list be right."""
        self._rig.vendors.delete("/_vendors/fail").raise_for_status()


@pytest.fixture
def vendor(rig: Rig) -> Vendor:
    """A vendor whose leave has been brought in."""
    deploy(rig)
    rig.clock.now = time.time()
    vendor = Vendor(rig)
    for number in range(LEAVES):
        vendor.say(number, "approved")
    vendor.reconcile(0)
    assert set(rig.away(NOOR)) == vendor.days(vendor.approved)
    return vendor


@pytest.mark.parametrize(
    ("mode", "after", "count", "status"),
    [
        ("503", 1, 1, "complete"),
        ("error-body", 2, None, "incomplete"),
        ("empty", 0, None, "refused"),
        ("empty", 2, 1, "complete"),
        ("skip", 1, 1, "complete"),
        ("repeat", 1, None, "refused"),
    ],
)
def test_faulty_list(rig: Rig, vendor: Vendor, mode: str, after: int, count: int | None, status: str) -> None:
    """Whatever the list does, no leave that is still approved is given back; then everything heals."""
    held = set(vendor.approved)
    vendor.say(2, "canceled")
    vendor.say(LEAVES, "approved")
    vendor.fail(mode, after, count)
    report = vendor.reconcile(0 if status == "complete" else 1)
    assert report["status"] == status
    assert set(rig.away(NOOR)) >= vendor.days(held & vendor.approved)
    vendor.mend()
    assert vendor.reconcile(0)["status"] == "complete"
    assert set(rig.away(NOOR)) == vendor.days(vendor.approved)
    assert vendor.reconcile(0)["queued"] == 0


def test_audit_after_faults(rig: Rig, vendor: Vendor) -> None:
    """Calven shows all of it; of a day that is taken out by hand it lacks exactly that day."""
    vendor.fail("repeat", 1, None)
    vendor.reconcile(1)
    vendor.mend()
    vendor.reconcile(0)
    result = relayctl("calven", "audit")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert (found["days"], found["missing"], found["unknown"]) == (2 * LEAVES, [], [])
    gone = min(vendor.days([3]))
    rig.sandbox.request("DELETE", "/_sandbox/away", json={"email": NOOR, "day": gone}).raise_for_status()
    result = relayctl("calven", "audit")
    assert result.exit_code == 1
    [missing] = json.loads(result.stdout)["missing"]
    assert (missing["employee"], missing["start"], missing["end"]) == (NOOR, gone, gone)


def test_what_is_gone_has_ended(rig: Rig, vendor: Vendor) -> None:
    """A whole list that lacks one leave ends it; one that lacks all of them ends none unasked."""
    rig.vendors.delete("/_vendors/happened")
    for number in range(1, LEAVES):
        vendor.say(number, "approved")
    vendor.reconcile(0)
    vendor.approved.discard(0)
    assert set(rig.away(NOOR)) == vendor.days(vendor.approved)
    rig.vendors.delete("/_vendors/happened")
    assert vendor.reconcile(1)["status"] == "refused"
    assert set(rig.away(NOOR)) == vendor.days(vendor.approved)
    vendor.reconcile(0, "--accept-ends")
    assert rig.away(NOOR) == {}


@pytest.mark.parametrize(
    "order", [{}, {"vendor": "nobody", "mode": "empty"}, {"vendor": "deel", "mode": "loud"}]
)
def test_malformed_order(rig: Rig, order: dict[str, Any]) -> None:
    """An order that is none is refused, and what is in force is shown."""
    assert rig.vendors.post("/_vendors/fail", json=order).status_code == 400
    assert rig.vendors.get("/_vendors/fail").json() == []
    sent = {"vendor": "deel", "mode": "skip", "after": 1, "count": 2}
    rig.vendors.post("/_vendors/fail", json=sent).raise_for_status()
    assert rig.vendors.get("/_vendors/fail").json() == [sent]
    listed = httpx.get(
        f"{rig.vendors.base_url}/rest/v2/time_offs", headers={"authorization": "Bearer t"}, trust_env=False
    )
    assert listed.status_code == 200
    assert rig.vendors.get("/_vendors/fail").json() == [{**sent, "after": 0}]
