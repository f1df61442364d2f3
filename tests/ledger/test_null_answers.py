"""A vendor's answer that is null says nothing: least of all that there is nothing."""

from collections.abc import Iterator
from typing import Any

import pytest

from localrun.serve import Served
from tests.played import Answers, Played, ask_there, away
from tests.rig import Rig, sample

FACTORIAL = "/api/2026-10-01/resources/timeoff/leaves"
PEOPLE: dict[str, Answers] = {
    "gusto": {
        "/v1/time_off/requests/ad158cfb-99e4-4741-9db3-000000000001": {
            "status": "approved",
            "employee": {"uuid": "7"},
            "days": {"2027-03-01": "8.000"},
        },
        "/v1/employees/7": {"work_email": "kim@example.com"},
    },
    "hibob": {
        "/v1/timeoff/employees/3373576791477190995/requests/32832853": {
            "status": "approved",
            "startDate": "2027-03-01",
            "endDate": "2027-03-01",
        },
        "/v1/people/3373576791477190995": {"email": "kim@example.com"},
    },
    "personio": {
        "/v2/absence-periods/0b7f3a52-6a0f-4a3c-9f5e-000000000001": {
            "person": {"id": "7"},
            "starts_from": {"date_time": "2027-03-01T00:00:00"},
            "ends_at": {"date_time": "2027-03-02T00:00:00"},
            "approval": {"status": "APPROVED"},
        },
        "/v2/persons/7": {"email": "kim@example.com"},
    },
    "remote": {
        "/v1/timeoff/5e0f3b1c-77aa-4f1e-9a44-000000000001": {
            "status": "approved",
            "employment_id": "7",
            "start_date": "2027-03-01",
            "end_date": "2027-03-01",
        },
        "/v1/employments/7": {"work_email": "kim@example.com"},
    },
}
"""What each thin vendor's API answers: a leave, then the person whose it is."""


@pytest.fixture(scope="module")
def played() -> Iterator[tuple[Played, str]]:
    """A vendor's API and its URL."""
    api = Played()
    with Served(api.app()) as url:
        yield api, url


@pytest.mark.parametrize("vendor", PEOPLE)
def test_leave(rig: Rig, played: tuple[Played, str], vendor: str) -> None:
    """Leave about which the API says nothing keeps its days, and the event waits; 404 would end it."""
    leave, _ = PEOPLE[vendor]
    ask_there(rig, vendor, played, PEOPLE[vendor])
    rig.post(vendor, "approved")
    assert away(rig, "kim@example.com") == ["2027-03-01"]
    rig.clock.advance(60)
    played[0].answers = {**PEOPLE[vendor], leave: None}
    again: Any = sample("gusto", "approved", uuid="another") if vendor == "gusto" else "approved"
    assert rig.post(vendor, again) == (202, {"status": "queued", "reason": "vendor_unavailable"})
    assert away(rig, "kim@example.com") == ["2027-03-01"]
    played[0].answers = {}
    rig.retry()
    assert away(rig, "kim@example.com") == []


@pytest.mark.parametrize("vendor", PEOPLE)
def test_person(rig: Rig, played: tuple[Played, str], vendor: str) -> None:
    """A person about whom the API says nothing may have an address all the same."""
    _, person = PEOPLE[vendor]
    ask_there(rig, vendor, played, {**PEOPLE[vendor], person: None})
    assert rig.post(vendor, "approved") == (202, {"status": "queued", "reason": "vendor_unavailable"})
    played[0].answers = PEOPLE[vendor]
    rig.retry()
    assert away(rig, "kim@example.com") == ["2027-03-01"]


@pytest.mark.slow
def test_asked_by_id(rig: Rig, played: tuple[Played, str]) -> None:
    """Leave that a list lacks, and about which the API then says nothing, does not end."""
    leaves = [
        {**sample("factorial", "approve"), "id": str(number), "start_on": day, "finish_on": day}
        for number, day in ((1, "2027-06-07"), (2, "2027-07-07"), (3, "2027-08-09"))
    ]
    answers: Answers = {
        FACTORIAL: {"data": leaves, "meta": {"has_next_page": False}},
        "/api/2026-10-01/resources/employees/employees/3141": {"email": "jo@example.com"},
    }
    ask_there(rig, "factorial", played, answers)
    rig.reconcile_by_hand("factorial")
    rig.retry()
    assert len(away(rig, "jo@example.com")) == 3
    rig.clock.advance(3600)
    shorter = {"data": leaves[:2], "meta": {"has_next_page": False}}
    played[0].answers = {**answers, FACTORIAL: shorter, f"{FACTORIAL}/3": None}
    report = rig.reconcile_by_hand("factorial")
    rig.retry()
    assert (report.status, report.ends) == ("incomplete", 0)
    assert len(away(rig, "jo@example.com")) == 3
