"""What Personio says of absences, and what Calven is told."""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from localrun.serve import Served
from relay.time_off.days import ROUNDING
from tests.played import FEW, FIRST, Answers, Played, ask_there, away, fresh_rig
from tests.rig import Rig
from tests.sandboxes import Sandboxes


@pytest.fixture(scope="module")
def played() -> Iterator[tuple[Played, str]]:
    """A vendor's API and its URL."""
    api = Played()
    with Served(api.app()) as url:
        yield api, url


PERIOD = "0b7f3a52-6a0f-4a3c-9f5e-000000000001"
PERIODS = f"/v2/absence-periods/{PERIOD}"


def period(start: str, end: str | None, first: str | None = None, last: str | None = None) -> dict[str, Any]:
    """An approved absence period as Personio answers it."""
    return {
        "id": PERIOD,
        "person": {"id": "801"},
        "absence_type": {"id": "t1"},
        "starts_from": {"date_time": start, "type": first},
        "ends_at": end and {"date_time": end, "type": last},
        "timezone_id": "Europe/Berlin",
        "approval": {"status": "APPROVED"},
    }


def personio(found: Any, breakdown: Mapping[str, tuple[str, float]] | None = None) -> Answers:
    """What Personio's API answers about one period."""
    answers: Answers = {
        PERIODS: found,
        "/v2/persons/801": {"_data": {"id": "801", "email": "alex@example.com"}},
        "/v2/absence-types": {"_data": [{"id": "t1", "name": "Vacation"}], "_meta": {}},
    }
    if breakdown is not None:
        shares = [
            {"date": day, "effective_duration": {"unit": unit, "value": value}}
            for day, (unit, value) in breakdown.items()
        ]
        answers[f"{PERIODS}/breakdowns"] = {"_data": shares, "_meta": {}}
    return answers


@pytest.mark.parametrize(
    ("answers", "days"),
    [
        (
            personio(period("2027-06-07T00:00:00", "2027-06-10T00:00:00", "FIRST_HALF", "SECOND_HALF")),
            ["2027-06-07", "2027-06-08", "2027-06-09"],
        ),
        (personio(period("2027-06-07T00:00:00", "2027-06-07T00:00:00")), ["2027-06-07"]),
        (
            personio(period("2027-06-07T00:00:00", "2027-06-10T00:00:00", "SECOND_HALF", "FIRST_HALF")),
            ["2027-06-08"],
        ),
        (personio(period("2027-06-14T09:00:00", "2027-06-14T11:00:00")), []),
        (personio(period("2027-06-14T08:00:00", "2027-06-14T17:00:00")), ["2027-06-14"]),
        (personio(period("2027-06-14T12:00:00", "2027-06-16T00:00:00")), ["2027-06-15"]),
        (
            personio(period(" 2027-06-14T00:00:00 ", "2027-06-16T00:00:00+02:00")),
            ["2027-06-14", "2027-06-15"],
        ),
        (
            personio(
                {"_data": period("2027-06-21T00:00:00", "2027-06-23T00:00:00")},
                {"2027-06-21": ("DAY", 0.5), "2027-06-22": ("DAY", 1)},
            ),
            ["2027-06-22"],
        ),
        (
            personio(
                {"data": period("2027-06-21T00:00:00", "2027-06-24T00:00:00")},
                {"2027-06-21": ("HOUR", 8), "2027-06-22": ("HOUR", 2), "2027-06-23": ("HOUR", 0)},
            ),
            ["2027-06-21"],
        ),
    ],
    ids=[
        "exclusive end",
        "one midnight",
        "halves",
        "two hours",
        "nine hours",
        "from noon on",
        "blanks and a zone",
        "breakdown",
        "breakdown in hours",
    ],
)
def test_personio(rig: Rig, played: tuple[Played, str], answers: Answers, days: list[str]) -> None:
    """A midnight ends the day before; the breakdown names each day's share, else halves and clock do."""
    ask_there(rig, "personio", played, answers)
    rig.post("personio", "approved")
    assert away(rig, "alex@example.com") == days
    assert set(rig.away("alex@example.com").values()) <= {"holiday"}, "the type's name is in another list"


@pytest.mark.parametrize(
    ("following", "path"),
    [
        ({"href": "https://elsewhere.example/v2/more?cursor=2"}, "/v2/more"),
        ({"href": "v2/more?cursor=2"}, "/v2/more"),
        ("/v2/more?cursor=2", "/v2/more"),
        # Behind a host's name this would be another host.
        ({"href": "@elsewhere.example/v2/more?cursor=2"}, "/@elsewhere.example/v2/more"),
        ({"href": ".elsewhere.example/v2/more?cursor=2"}, "/.elsewhere.example/v2/more"),
    ],
)
def test_personio_pages(rig: Rig, played: tuple[Played, str], following: Any, path: str) -> None:
    """A breakdown of several pages is read whole, and never at a host that a page names."""
    found = period("2027-06-21T00:00:00", "2027-06-23T00:00:00")
    day = {"date": "2027-06-21", "effective_duration": {"unit": "DAY", "value": 1}}
    pages = {
        f"{PERIODS}/breakdowns": {"_data": [day], "_meta": {"links": {"next": following}}},
        path: {"_data": [{**day, "date": "2027-06-22"}], "_meta": {"links": {}}},
    }
    ask_there(rig, "personio", played, personio(found) | pages)
    rig.post("personio", "approved")
    assert away(rig, "alex@example.com") == ["2027-06-21", "2027-06-22"]


@pytest.mark.parametrize("href", ["https://elsewhere.example", "https://[x/v2"])
def test_personio_page_nowhere(rig: Rig, played: tuple[Played, str], href: str) -> None:
    """A next page without a path, or no address at all, is unreadable: the list would else seem to end."""
    found = period("2027-06-21T00:00:00", "2027-06-23T00:00:00")
    nowhere = {"_data": [], "_meta": {"links": {"next": {"href": href}}}}
    ask_there(rig, "personio", played, personio(found) | {f"{PERIODS}/breakdowns": nowhere})
    assert rig.post("personio", "approved") == (202, {"status": "queued", "reason": "unparseable"})


@pytest.mark.parametrize("nothing", [None, {"unit": "HOUR", "value": None}, {}])
@pytest.mark.parametrize(
    ("first", "days"),
    [
        ({"unit": "DAY", "value": 0.5}, ["2027-06-12", "2027-06-14"]),
        ({"unit": "DAY", "value": 1}, ["2027-06-11", "2027-06-12", "2027-06-14"]),
    ],
)
def test_personio_day_without_a_value(
    rig: Rig, played: tuple[Played, str], nothing: Any, first: dict[str, Any], days: list[str]
) -> None:
    """A day of a breakdown that says nothing is whole, and the others are as they say."""
    shares = [
        {"date": "2027-06-11", "effective_duration": first},
        {"date": "2027-06-12", "effective_duration": nothing},
        {"date": "2027-06-14", "effective_duration": {"unit": "DAY", "value": 1}},
    ]
    answers = personio(period("2027-06-11T00:00:00", "2027-06-15T00:00:00"))
    ask_there(rig, "personio", played, answers | {f"{PERIODS}/breakdowns": {"_data": shares, "_meta": {}}})
    rig.post("personio", "approved")
    assert away(rig, "alex@example.com") == days


def test_personio_breakdown_without_values(rig: Rig, played: tuple[Played, str]) -> None:
    """A breakdown that says nothing of any day is none: the halves decide."""
    answers = personio(period("2027-06-07T00:00:00", "2027-06-09T00:00:00", "SECOND_HALF"))
    shares = [{"date": f"2027-06-0{day}", "effective_duration": None} for day in (7, 8)]
    ask_there(rig, "personio", played, answers | {f"{PERIODS}/breakdowns": {"_data": shares, "_meta": {}}})
    rig.post("personio", "approved")
    assert away(rig, "alex@example.com") == ["2027-06-08"]


def test_personio_open_end(rig: Rig, played: tuple[Played, str]) -> None:
    """A period without an end is a dead letter: no end is invented."""
    ask_there(rig, "personio", played, personio(period("2027-06-07T00:00:00", None)))
    assert rig.post("personio", "approved") == (202, {"status": "queued", "reason": "open_ended"})


def test_personio_half_a_surrogate_pair(rig: Rig, played: tuple[Played, str]) -> None:
    """In a type's name it is replaced, also where names are kept."""
    answers = personio(period("2027-06-07T00:00:00", "2027-06-09T00:00:00"))
    types = {"_data": [{"id": "t1", "name": "Vacation\ud83d"}], "_meta": {}}
    ask_there(rig, "personio", played, answers | {"/v2/absence-types": types})
    rig.post("personio", "approved")
    assert away(rig, "alex@example.com") == ["2027-06-07", "2027-06-08"]
    assert rig.relay.vendor_memory.names("personio", "absence-types") == {"t1": "Vacation?"}


def test_personio_half_a_surrogate_pair_in_an_address(rig: Rig, played: tuple[Played, str]) -> None:
    """An address that has one is none."""
    answers = personio(period("2027-06-07T00:00:00", "2027-06-09T00:00:00"))
    person = {"_data": {"id": "801", "email": "alex\ud83d@example.com"}}
    ask_there(rig, "personio", played, answers | {"/v2/persons/801": person})
    assert rig.post("personio", "approved")[1]["reason"] == "no_email"


@FEW
@given(
    length=st.integers(1, 12),
    amounts=st.dictionaries(st.integers(0, 11), st.floats(0, 1), max_size=12),
    halves=st.tuples(st.booleans(), st.booleans()),
)
@example(length=1, amounts={0: 1 - 2**-53}, halves=(False, False))
@example(length=1, amounts={0: 0.99}, halves=(False, False))
def test_personio_days(
    sandboxes: Sandboxes,
    played: tuple[Played, str],
    length: int,
    amounts: dict[int, float],
    halves: tuple[bool, bool],
) -> None:
    """Exactly the whole days reach Calven, by the breakdown where there is one, else by the halves."""
    days = [str(FIRST + timedelta(days=n)) for n in range(length)]
    kinds = ("SECOND_HALF" if halves[0] else "FIRST_HALF", "FIRST_HALF" if halves[1] else "SECOND_HALF")
    found = period(f"{days[0]}T00:00:00", f"{FIRST + timedelta(days=length)}T00:00:00", *kinds)
    named = {days[n]: ("DAY", value) for n, value in amounts.items() if n < length}
    by_halves = set(days) - ({days[0]} if halves[0] else set()) - ({days[-1]} if halves[1] else set())
    whole = {day for day, (_, value) in named.items() if value >= 1 - ROUNDING} if named else by_halves
    with fresh_rig(sandboxes) as rig:
        ask_there(rig, "personio", played, personio(found, named or None))
        rig.post("personio", "approved")
        assert away(rig, "alex@example.com") == sorted(whole)
