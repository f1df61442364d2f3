"""What vendors really send, from the webhook to the days and counts that Calven holds in the end.

Each case is one of a kind, and a property beside it plays others of its kind: days with an amount each,
halves, ends that are exclusive.
"""

import base64
import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localrun.serve import Served
from tests.played import FEW, FIRST, Played, ask_there, away, fresh_rig
from tests.rig import Rig, sample
from tests.sandboxes import Sandboxes


@pytest.fixture(scope="module")
def played() -> Iterator[tuple[Played, str]]:
    """A vendor's API and its URL."""
    api = Played()
    with Served(api.app()) as url:
        yield api, url


# HiBob

REQUESTS = "/v1/timeoff/employees/3373576791477190995/requests/32832853"
REQUEST = {
    "requestId": 32832853,
    "status": "approved",
    "policyTypeDisplayName": "Holiday",
    "employeeEmail": " kim@example.com",
}


@pytest.mark.parametrize(
    ("fields", "days"),
    [
        (
            {
                "type": "days",
                "startDate": "2027-03-01",
                "startDatePortion": "afternoon",
                "endDate": "2027-03-03",
                "endDatePortion": "morning",
            },
            ["2027-03-02"],
        ),
        ({"type": "hours", "date": "2027-03-01", "hoursOnDate": 2}, []),
        ({"type": "hours", "date": "2027-03-01", "hoursOnDate": "8"}, ["2027-03-01"]),
        (
            {"type": "hoursOnRange", "startDate": "2027-03-08", "endDate": "2027-03-09", "dailyHours": 8},
            ["2027-03-08", "2027-03-09"],
        ),
        ({"type": "hoursOnRange", "startDate": "2027-03-08", "endDate": "2027-03-09", "dailyHours": 2}, []),
        ({"type": "hoursOnRange", "date": "2027-03-08", "hoursOnDate": 0, "dailyHours": 8}, ["2027-03-08"]),
        ({"type": "portionOnRange", "date": "2027-03-08", "dayPortion": "morning", "dailyHours": 8}, []),
        ({"type": "percentageOnRange", "date": "2027-03-08", "percentageOfDay": 50, "dailyHours": 8}, []),
        (
            {
                "type": "differentDayDurations",
                "startDate": "2027-03-08",
                "endDate": "2027-03-10",
                "durations": [
                    {"date": "2027-03-08", "hours": 8},
                    {"date": "2027-03-09", "hours": 2, "minutes": 30},
                    {"date": "2027-03-10", "hours": 7, "minutes": 30},
                ],
            },
            ["2027-03-08", "2027-03-10"],
        ),
        (
            {"type": "days", "dateRange": {"startDate": "2027-03-08", "endDate": "2027-03-09"}},
            ["2027-03-08", "2027-03-09"],
        ),
    ],
)
def test_hibob(rig: Rig, played: tuple[Played, str], fields: dict[str, Any], days: list[str]) -> None:
    """Portions of either name, hours of a day, of every day and of each day."""
    ask_there(rig, "hibob", played, {REQUESTS: {**REQUEST, **fields}})
    _, answer = rig.post("hibob", "approved")
    assert away(rig, "kim@example.com") == days
    assert days or answer == {"status": "ignored", "reason": "part_day"}


def test_hibob_whole_day_hours(rig: Rig, played: tuple[Played, str], tmp_path: Any) -> None:
    """How many hours make a whole day is the source's to say."""
    found = {"type": "hours", "date": "2027-03-01", "hoursOnDate": 4}
    ask_there(rig, "hibob", played, {REQUESTS: {**REQUEST, **found}})
    rig.push("sources: {hibob: {vendor: hibob, wholeDayHours: 3.5}}", tmp_path)
    rig.post("hibob", "approved")
    assert away(rig, "kim@example.com") == ["2027-03-01"]


# Gusto

GUSTO = "/v1/time_off/requests/ad158cfb-99e4-4741-9db3-000000000001"


@FEW
@given(
    st.dictionaries(
        st.integers(0, 14), st.sampled_from(("0.000", "2.000", "4.000", "7.600", "8.000")), min_size=1
    )
)
def test_gusto(sandboxes: Sandboxes, played: tuple[Played, str], hours: dict[int, str]) -> None:
    """Each day by its own hours, wherever the short ones lie; the type is `policy_type`."""
    found = {
        "uuid": "ad158cfb-99e4-4741-9db3-000000000001",
        "status": "approved",
        "policy_type": "vacation",
        "employee": {"uuid": "E", "full_name": "Max Example"},
        "days": {str(FIRST + timedelta(days=n)): text for n, text in hours.items()},
    }
    whole = sorted(str(FIRST + timedelta(days=n)) for n, text in hours.items() if float(text) >= 6)
    with fresh_rig(sandboxes) as rig:
        person = {"work_email": "max@example.com"}
        ask_there(rig, "gusto", played, {GUSTO: found, "/v1/employees/E": person})
        rig.post("gusto", "approved")
        assert rig.away("max@example.com") == dict.fromkeys(whole, "holiday")


# Factorial


@pytest.mark.parametrize("as_list", [True, False])
def test_factorial_bulk_delete(rig: Rig, as_list: bool) -> None:
    """What is deleted in bulk is given back, be it one leave or a list of them."""
    rig.post("factorial", "approve", topic="approve")
    assert len(away(rig, "jo@example.com")) == 5
    gone = sample("factorial", "delete", approved=None, deleted_at="2026-11-21T10:00:00Z")
    assert rig.post("factorial", [gone] if as_list else gone, topic="bulk_delete")[0] == 200
    assert away(rig, "jo@example.com") == []


def test_factorial_days(rig: Rig) -> None:
    """A leave that names its days' shares has exactly the whole ones, in days or in hours."""
    rig.post("factorial", "approve-days", topic="approve")
    assert away(rig, "jo@example.com") == ["2027-06-07", "2027-06-09"]
    used = {"2027-06-07": 2, "2027-06-08": "8.0", "2027-06-09": 4}
    days = {"used_units_by_day": used, "workable_units_by_day": {**dict.fromkeys(used, 8), "2027-06-09": 4}}
    later = {"updated_at": "2026-11-05T09:29:00Z", "duration_by_day_attributes": days}
    rig.post("factorial", sample("factorial", "approve-days", **later), topic="update")
    assert away(rig, "jo@example.com") == ["2027-06-08", "2027-06-09"]


# KeyPay


@pytest.mark.parametrize(
    ("total", "last", "days"),
    [
        ({"TotalHours": 2.0}, 5, []),
        ({"TotalUnits": 2.0, "LeaveUnitType": "Hours"}, 5, []),
        ({"TotalUnits": "0.5", "LeaveUnitType": "days "}, 5, []),
        ({"TotalUnits": 1, "LeaveUnitType": "Days"}, 5, ["05"]),
        ({"TotalUnits": 1, "LeaveUnitType": "Weeks"}, 9, ["05", "06", "07", "08", "09"]),
        ({"TotalHours": 10}, 7, ["06"]),
        ({"TotalHours": 22.8}, 7, ["05", "06", "07"]),
        ({}, 6, ["05", "06"]),
    ],
)
def test_keypay(rig: Rig, total: dict[str, Any], last: int, days: list[str]) -> None:
    """A total that is short leaves out what may be part days: the ends, never the days between."""
    payload = sample("keypay", "approved")
    notification = payload["Notifications"][0]
    del notification["TotalHours"]
    notification |= {"FromDate": "2027-04-05T00:00:00", "ToDate": f"2027-04-0{last}T00:00:00", **total}
    rig.post("keypay", payload)
    assert away(rig, "ash@example.com") == [f"2027-04-{day}" for day in days]


def test_keypay_unknown_unit(rig: Rig) -> None:
    """A unit that nobody documented is a dead letter with the field's name."""
    payload = sample("keypay", "approved")
    payload["Notifications"][0] |= {"TotalUnits": 1, "LeaveUnitType": "Fortnights"}
    assert rig.post("keypay", payload) == (202, {"status": "queued", "reason": "unparseable"})
    assert rig.dead_letters()[0]["detail"] == "LeaveUnitType: unknown"


# PeopleForce, Vacation Tracker, Paylocity, Deel


@FEW
@given(st.dictionaries(st.integers(0, 9), st.sampled_from(("0.0", "0.25", "0.5", "1.0")), min_size=1))
def test_peopleforce(sandboxes: Sandboxes, amounts: dict[int, str]) -> None:
    """Each entry by its amount, wherever the short ones lie."""
    entries = [{"occurs_on": str(FIRST + timedelta(days=n)), "amount": text} for n, text in amounts.items()]
    days = {"starts_on": str(FIRST), "ends_on": str(FIRST + timedelta(days=9))}
    payload = sample("peopleforce", "approve", data__entries=entries)
    payload["data"]["attributes"] |= days
    whole = sorted(str(FIRST + timedelta(days=n)) for n, text in amounts.items() if text == "1.0")
    with fresh_rig(sandboxes) as rig:
        rig.post("peopleforce", payload)
        assert away(rig, "lee@example.com") == whole


@pytest.mark.parametrize("entries", [None, []])
@pytest.mark.parametrize(
    ("attributes", "days"),
    [
        ({"ends_on": "2027-08-02", "amount": "0.5", "unit": "days"}, []),
        ({"ends_on": "2027-08-02", "amount": "0.5", "unit": None}, []),
        ({"ends_on": "2027-08-02", "amount": "2.0", "unit": "hours"}, []),
        ({"ends_on": "2027-08-02", "amount": "8.0", "unit": "hours"}, ["02"]),
        ({"ends_on": "2027-08-02", "amount": "1.0", "unit": "days"}, ["02"]),
        ({"ends_on": "2027-08-04", "amount": "2.5", "unit": "days"}, ["03"]),
        ({"ends_on": "2027-08-03", "amount": None}, ["02", "03"]),
        ({"ends_on": "2027-08-03", "amount": "-1"}, ["02", "03"]),
    ],
)
def test_peopleforce_total(rig: Rig, entries: Any, attributes: dict[str, Any], days: list[str]) -> None:
    """Where no entry names a day the amount is that of all together."""
    payload = sample("peopleforce", "approve", data__entries=entries)
    payload["data"]["attributes"] |= attributes
    rig.post("peopleforce", payload)
    assert away(rig, "lee@example.com") == [f"2027-08-{day}" for day in days]


def test_vacation_tracker_days(rig: Rig) -> None:
    """A list of days says which are short, also where the leave is marked as part of a day."""
    rig.post("vacationtracker", "part-of-days")
    assert away(rig, "ira@example.com") == ["2027-03-23"]


def test_vacation_tracker_expired(rig: Rig) -> None:
    """A request that ran out was never approved: it gives nothing back that the relay does not hold."""
    assert rig.post("vacationtracker", "expired") == (200, {"status": "ignored", "reason": "declined"})
    assert rig.calven() == []


@pytest.mark.parametrize(
    ("fields", "days"),
    [
        ({"timeOffStartDate": "2027-02-16T08:00:00-06:00 ", "hoursPerDay": 2.0}, []),
        ({"timeOffStartDate": " 2027-02-16T08:00:00-06:00", "hoursPerDay": None}, []),
        ({"timeOffEndDate": "2027-02-18T10:00:00-06:00", "hoursPerDay": "2"}, []),
        ({"timeOffEndDate": "2027-02-17T17:00:00-06:00", "hoursPerDay": 8}, ["2027-02-16", "2027-02-17"]),
        ({"hoursPerDay": 2.0, "isAllDayEvent": True}, ["2027-02-16"]),
    ],
)
def test_paylocity(rig: Rig, fields: dict[str, Any], days: list[str]) -> None:
    """Blanks around dates are nothing; hours a day are those of each day."""
    rig.post("paylocity", sample("paylocity", "two-hours", **fields))
    assert away(rig, "jane@example.com") == days


def test_deel_under_contract(rig: Rig) -> None:
    """A request may stand under the id of its contract."""
    assert rig.post("deel", "under-contract")[1]["status"] == "forwarded"
    assert len(away(rig, "Sam@example.com")) == 5


# Doors and sensors


def test_vergesense_array(rig: Rig) -> None:
    """An array has a reading an entry; a space without a reference goes by its id; motion is ignored."""
    [entry] = sample("vergesense", "space-available")
    entries = [{**entry, "space_ref_id": None}, {**entry, "event_type": "motion_detected"}, entry]
    status, answer = rig.post("vergesense", entries)
    assert (status, answer["reason"]) == (202, "unmapped_door"), "the space's id is not configured"
    assert rig.dead_letters()[0]["detail"] == "sensor 602439 is not configured"
    assert rig.calven()[0]["occupied"] is False


@pytest.mark.parametrize(
    ("said", "occupied", "people"),
    [
        ({"state": "occupied", "person_count": 0}, False, 0),
        ({"state": "occupied", "person_count": 0, "signs_of_life": True}, True, None),
        ({"state": "available", "person_count": 2}, True, 2),
        ({"state": "available", "person_count": 0, "signs_of_life": True}, False, 0),
    ],
)
def test_vergesense_contradictions(
    rig: Rig, said: dict[str, Any], occupied: bool, people: int | None
) -> None:
    """Of a count and a state that contradict each other the count decides, but where somebody was noticed."""
    [entry] = sample("vergesense", "space-available")
    rig.post("vergesense", [{**entry, **said}])
    [event] = rig.calven()
    assert (event["occupied"], event.get("occupancy")) == (occupied, people)


def test_genea_unlocked_door(rig: Rig) -> None:
    """A badge at a door that stands unlocked counts."""
    assert rig.post("genea", "access-granted-unlocked")[1]["status"] == "forwarded"


def test_genea_unknown_grant(rig: Rig) -> None:
    """Access that is granted in a way that nobody documented is a dead letter, not a guess."""
    payload = sample("genea", "access-granted-at-door", event_action="SEQUR_ACCESS_GRANTED_DURESS")
    assert rig.post("genea", payload)[1]["reason"] == "unparseable"


@pytest.mark.parametrize("name", ["answered-call", "remote"])
def test_unifi_remote(rig: Rig, name: str) -> None:
    """Who opens a door from elsewhere does not pass it."""
    assert rig.post("unifi", name) == (200, {"status": "ignored", "reason": "anonymous"})


def unifi(rig: Rig, event: str, door: str, seconds: float, person: str = "p1") -> tuple[int, Any]:
    """Post an unlock of UniFi's with that id, signed so many seconds ago."""
    at = {"event_object_id": event, "data__location__id": door, "data__actor__id": person}
    body = json.dumps(sample("unifi", "access-granted", **at)).encode()
    now = rig.clock()
    rig.clock.now = now - seconds
    signature = rig.signature("unifi", body)
    rig.clock.now = now
    return rig.post("unifi", body, headers=signature.headers)


def test_unifi_signed_anew(rig: Rig, tmp_path: Any) -> None:
    """The event's id is the event: signed anew, an old one changes nothing."""
    yaml = """
        sources: {unifi: {vendor: unifi}}
        places: {site: {locationId: LOC, locationType: location}}
        doors: {unifi: {way-in: {place: site, direction: in}, way-out: {place: site, direction: out}}}
    """
    rig.push(yaml, tmp_path)
    unifi(rig, "1", "way-in", 12, person="p2")
    unifi(rig, "2", "way-in", 10)
    unifi(rig, "3", "way-out", 5)
    assert rig.counts() == {"site": 1}
    assert unifi(rig, "2", "way-in", 0)[1]["status"] == "ignored"
    assert rig.counts() == {"site": 1}


@pytest.mark.parametrize(
    ("action", "reason"), [(5018, "denied"), (5012, "denied"), (5019, "other_event"), (2004, None)]
)
def test_brivo_default(rig: Rig, action: int, reason: str | None) -> None:
    """Without `securityActions` the one of a user's entry counts, and no other."""
    payload = sample("brivo", "access-granted", securityAction__securityActionId=action)
    payload["securityAction"]["action"] = "Text that says nothing"
    assert rig.post("brivo", payload)[1].get("reason") == reason


@pytest.mark.parametrize(
    "written", ["2026-11-03 01:26:22 UTC", "Tue, 03 Nov 2026 01:26:22 GMT", " 2026-11-03 01:26:22"]
)
def test_envoy_times(rig: Rig, written: str) -> None:
    """Times as Envoy's own fixtures have them."""
    payload = sample("envoy", "sign-in", **{"payload__attributes__signed-in-at": written})
    assert rig.post("envoy", payload)[1]["status"] == "forwarded"
    assert {event["timestamp"][:19] for event in rig.calven()} == {"2026-11-03T01:26:22"}


def test_envoy_tokens(rig: Rig) -> None:
    """Envoy sends a token bare, as Bearer, or as a user name and a password with HTTP Basic."""
    token = rig.secrets["envoy"]["tokens"][0]
    basic = base64.b64encode(token.encode()).decode()
    for proof in (token, f"Bearer {token}", f"Basic {basic}"):
        assert rig.post("envoy", "sign-in", headers={"authorization": proof})[0] == 200
    assert rig.post("envoy", "sign-in", headers={"authorization": "Basic dXNlcjpwYXNzd29yZA=="})[0] == 401


def sign_in(rig: Rig, entry: str, email: str | None) -> None:
    """Post a sign-in of Envoy's."""
    at = {"payload__attributes__signed-in-at": "2026-11-04 03:00:00"}
    rig.post("envoy", sample("envoy", "sign-in", payload__id=entry, payload__attributes__email=email, **at))


def test_envoy_people(rig: Rig) -> None:
    """Whoever signs in is known by the e-mail address, as at other vendors' doors, else by the entry's id."""
    sign_in(rig, "1", "robin@example.com")
    sign_in(rig, "2", " Robin@example.com")
    badge = {"actor__email": "robin@example.com", "occurred": "2026-11-04T03:30:00Z"}
    rig.post("brivo", sample("brivo", "access-granted", **badge))
    assert rig.counts()["sydney"] == 1
    sign_in(rig, "3", None)
    sign_in(rig, "4", " ")
    assert rig.counts()["sydney"] == 3


@pytest.mark.parametrize(
    ("vendor", "name", "field"),
    [
        ("kisi", "badge-in", "created_at"),
        ("brivo", "access-granted", "occurred"),
        ("genea", "access-granted-at-door", "event_time"),
        ("vergesense", "space-report", "timestamp"),
    ],
)
@pytest.mark.parametrize(
    "written", ["2026-11-04 01:26:22 UTC", "Wed, 04 Nov 2026 01:26:22 GMT", " 2026-11-04T01:26:22Z "]
)
def test_times_of_others(rig: Rig, vendor: str, name: str, field: str, written: str) -> None:
    """The same forms are read of every vendor whose events have a time."""
    assert rig.post(vendor, sample(vendor, name, **{field: written}))[1]["status"] == "forwarded"
    assert rig.calven()[0]["timestamp"][:19] == "2026-11-04T01:26:22"
