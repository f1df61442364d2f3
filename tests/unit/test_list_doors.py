"""How vendors list the doors and sensors that there are: all pages, with the ids that their events have."""

from collections.abc import Sequence
from typing import Any

import pytest
from starlette.responses import JSONResponse

from relay import vendors
from relay.errors import Unparseable, VendorRefused, VendorUnavailable
from relay.events import BadgeEvent, SensorReading
from relay.vendors.support.base import VendorApi
from relay.vendors.support.listing import Listed
from tests.listing import pages
from tests.recorded import events
from tests.scripted_api import Scripted, client

FIRST = {
    "kisi": "badge-in",
    "verkada": "badge-in",
    "brivo": "access-granted",
    "doorflow": "admitted",
    "disruptive": "desk-occupied",
    "envoy": "employee-sign-in",
}
"""A sample that happened at a door, or was seen by a sensor, of the vendor's list."""


def test_every_vendor_that_lists() -> None:
    """Of each vendor that lists its doors there is a sample here."""
    assert sorted(FIRST) == sorted(name for name in vendors.NAMES if vendors.load(name).doors)


def everything(vendor: str, api: VendorApi, most: int = 10) -> list[Listed]:
    """All pages of a vendor's list of doors."""
    listing = vendors.load(vendor).doors
    assert listing is not None
    found: list[Listed] = []
    following = None
    for _ in range(most):
        page = listing.page(api, following)
        found += page.listed
        following = page.following
        if following is None:
            return found
    raise AssertionError(f"a list of more than {most} pages")


def run(vendor: str, answers: Sequence[Any]) -> tuple[list[Listed], Scripted]:
    """What a vendor lists whose API gives these answers, and what it was asked."""
    script = Scripted(answers)
    with client(vendor, script.app()) as api:
        return everything(vendor, api), script


@pytest.mark.parametrize("vendor", FIRST)
def test_ids_and_names_are_those_of_events(vendor: str) -> None:
    """What the list calls a door is what its events call it."""
    with client(vendor, pages(vendor, [])) as api:
        listed = everything(vendor, api)
    [event] = events(vendor, FIRST[vendor])
    assert isinstance(event, BadgeEvent | SensorReading)
    door = Listed("door", event.door, event.name) if isinstance(event, BadgeEvent) else None
    sensor = Listed("sensor", event.sensor, event.name) if isinstance(event, SensorReading) else None
    assert (door or sensor) in listed


def doors(first: int, count: int, key: str = "id") -> list[dict[str, Any]]:
    """So many doors with consecutive ids."""
    return [{key: number, "name": f"Door {number}"} for number in range(first, first + count)]


def test_kisi() -> None:
    """By an offset, as far as a page was long, however few the vendor gives; an empty page is the end."""
    listed, script = run("kisi", [doors(1, 100), doors(101, 7), []])
    assert [one.id for one in listed] == [f"{number}" for number in range(1, 108)]
    assert listed[0] == Listed("door", "1", "Door 1")
    assert script.queries == [
        {"place_id": "5501", "limit": "250", "offset": f"{offset}"} for offset in (0, 100, 107)
    ]
    assert {one.path for one in script.asked} == {"/locks"}
    assert script.asked[0].headers["authorization"] == "KISI-LOGIN k3y"


def test_verkada() -> None:
    """By a cursor, until there is none."""
    answers = [
        {"doors": doors(1, 2, "door_id"), "cursor": "next"},
        {"doors": doors(3, 1, "door_id"), "cursor": None},
    ]
    listed, script = run("verkada", answers)
    assert [one.id for one in listed] == ["1", "2", "3"]
    assert script.queries == [{"limit": "200"}, {"limit": "200", "cursor": "next"}]
    assert script.asked[0].headers["x-verkada-auth"] == "t0ken"
    with pytest.raises(Unparseable, match="names itself"):
        run("verkada", [{"doors": [], "cursor": "same"}])


def test_brivo() -> None:
    """By an offset."""
    listed, script = run("brivo", [{"data": doors(1, 100)}, {"data": doors(101, 1)}, {"data": []}])
    assert len(listed) == 101
    assert [query["offset"] for query in script.queries] == ["0", "100", "101"]
    assert {query["pageSize"] for query in script.queries} == {"100"}


def test_doorflow() -> None:
    """By the page's number."""
    listed, script = run("doorflow", [doors(1, 2), doors(3, 1), []])
    assert [one.id for one in listed] == ["1", "2", "3"]
    assert script.queries == [{"page": "1"}, {"page": "2"}, {"page": "3"}]


def test_envoy() -> None:
    """By the page's number; a location's name may be among its attributes."""
    plain, other = {"id": "7", "name": "Sydney"}, {"id": "8", "attributes": {"name": "Perth"}}
    listed, script = run("envoy", [{"data": [plain, other]}, {"data": []}])
    assert listed == [Listed("door", "7", "Sydney"), Listed("door", "8", "Perth")]
    assert script.asked[0].path == "/v1/locations"
    assert script.asked[0].headers["x-api-key"] == "k3y"


def test_disruptive() -> None:
    """Devices that see people are sensors, by their labels; a page of others is not the end."""
    project = "projects/project-1/devices"
    answers = [
        {"devices": [{"name": f"{project}/t1", "type": "temperature"}], "nextPageToken": "next"},
        {
            "devices": [
                {"name": f"{project}/d1", "type": "deskOccupancy", "labels": {"name": "Desk 1"}},
                {"name": f"{project}/m1", "type": "motion"},
            ],
            "nextPageToken": "",
        },
    ]
    listed, script = run("disruptive", answers)
    assert listed == [Listed("sensor", "d1", "Desk 1"), Listed("sensor", "m1")]
    assert script.queries == [{}, {"pageToken": "next"}]


@pytest.mark.parametrize("vendor", ["kisi", "brivo", "doorflow", "envoy"])
def test_the_same_page_for_ever(vendor: str) -> None:
    """A vendor that takes no number gives the first page again: that is no list without an end."""
    answer: Any = doors(1, 2)
    answer = answer if vendor in ("kisi", "doorflow") else {"data": answer}
    with pytest.raises(Unparseable, match="the same as the one before"):
        run(vendor, [answer])


@pytest.mark.parametrize("vendor", FIRST)
@pytest.mark.parametrize(
    "answer",
    [
        {},
        "doors",
        {"error": "something went wrong"},
        {"doors": {}, "data": "x", "devices": 1},
        [{"name": "without an id"}],
        {"doors": [{}], "data": [7], "devices": [{"type": "motion"}]},
        JSONResponse({}, 404),
    ],
)
def test_no_list(vendor: str, answer: Any) -> None:
    """Whatever else comes instead is no empty list, even where the status is 200."""
    with pytest.raises(Unparseable):
        run(vendor, [answer])


@pytest.mark.parametrize("vendor", FIRST)
def test_null(vendor: str) -> None:
    """Nor is null, behind which there may be a list the next time."""
    with pytest.raises(VendorUnavailable):
        run(vendor, [JSONResponse(None)])


@pytest.mark.parametrize("vendor", FIRST)
def test_refused_and_later(vendor: str) -> None:
    """A refusal is one, and an API that is asked too often says how long to wait."""
    with pytest.raises(VendorRefused, match="403"):
        run(vendor, [JSONResponse({}, 403)])
    with pytest.raises(VendorUnavailable) as caught:
        run(vendor, [JSONResponse({}, 429, {"retry-after": "17"})])
    assert caught.value.retry_after == 17
