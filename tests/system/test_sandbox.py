"""The Calven sandbox enforces the documented API, and fails when it is told to."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.sandbox_client import (
    KEY,
    SECRET,
    Calven,
    away,
    counted,
    leave,
    occupancy,
    serving,
    signed,
)


@pytest.fixture(scope="module")
def server() -> Iterator[Calven]:
    """One sandbox for all tests, each of which starts with a clean one."""
    with serving() as calven:
        yield calven


@pytest.fixture
def calven(server: Calven) -> Calven:
    """A client with a token, and a sandbox that remembers nothing but its state."""
    server.start_anew()
    return server


def test_occupancy_answer(calven: Calven) -> None:
    """A well-formed submission is answered with the source, the time and a result for each event."""
    answer = calven.post("/v1/occupancy", counted(occupancy(), occupancy(eventId="e-2")))
    assert answer.status_code == 200
    assert answer.json() == {
        "sourceId": "Lobby",
        "timestamp": "2026-05-28T20:26:40.000Z",
        "results": [
            {"eventId": "e-1", "resultCode": 0, "message": "Success"},
            {"eventId": "e-2", "resultCode": 0, "message": "Success"},
        ],
    }


def test_time_off_answer(calven: Calven) -> None:
    """The answer about time off names no source."""
    answer = calven.post("/v1/timeoff", away(leave()))
    assert answer.status_code == 200
    assert set(answer.json()) == {"timestamp", "results"}


@pytest.mark.parametrize(
    "changes",
    [
        {"timestamp": "2021-09-01T12:00:00+10:00"},
        {"timestamp": "2021-09-01T12:00Z"},
        {"locationType": "zone"},
        {"occupied": False, "occupancy": 0},
        {"occupancy": ...},
        {"occupancy": 2.5},
    ],
)
def test_occupancy_accepted(calven: Calven, changes: dict[str, Any]) -> None:
    """What the documentation allows is accepted, and kept as it was sent."""
    assert calven.post("/v1/occupancy", counted(occupancy(**changes))).status_code == 200
    assert [entry["event"] for entry in calven.view("events")] == [occupancy(**changes)]


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        counted(),
        {"occupancyEvents": [occupancy()]},
        {"sourceId": "", "occupancyEvents": [occupancy()]},
        {"sourceId": 7, "occupancyEvents": [occupancy()]},
        {"sourceId": "Lobby", "occupancyEvents": occupancy()},
        {**counted(occupancy()), "extra": True},
        {**counted(occupancy()), "source_id": "Lobby"},
        counted(occupancy(), occupancy()),
        counted(*(occupancy(eventId=str(number)) for number in range(101))),
        *(
            counted(occupancy(eventId="e-2"), occupancy(**changes))
            for changes in (
                {"timestamp": ...},
                {"timestamp": "2021-09-01T12:00:00.000"},
                {"timestamp": "2021-09-01 12:00:00Z"},
                {"timestamp": "2021-13-01T12:00:00Z"},
                {"timestamp": "2021-09-01"},
                {"timestamp": 1630497600},
                {"timestamp": "2021-09-01T12:00:00Z "},
                {"locationId": ...},
                {"locationId": ""},
                {"locationId": 17},
                {"locationType": ...},
                {"locationType": "Level"},
                {"locationType": "room"},
                {"eventId": ...},
                {"eventId": None},
                {"occupied": ...},
                {"occupied": "true"},
                {"occupied": 1},
                {"occupied": None},
                {"occupancy": -1},
                {"occupancy": "3"},
                {"occupancy": True},
                {"occupancy": None},
                {"email": "bob@example.com"},
                {"personId": "x"},
                {"location_id": "x"},
            )
        ),
    ],
)
def test_occupancy_refused_whole(calven: Calven, body: Any) -> None:
    """A body that breaks a rule is refused with all of its events."""
    assert calven.post("/v1/occupancy", body).status_code == 400
    assert calven.view("events") == []


@pytest.mark.parametrize(
    "changes",
    [
        {"timeOffType": ...},
        {"timeOffType": "sick"},
        {"email": ..., "uid": "ABC123"},
        {"eventType": "cancelled", "timeOffType": ...},
        {"endDate": "2026-12-30"},
    ],
)
def test_time_off_accepted(calven: Calven, changes: dict[str, Any]) -> None:
    """What the documentation allows is accepted, and kept as it was sent."""
    assert calven.post("/v1/timeoff", away(leave(**changes))).status_code == 200
    assert [entry["event"] for entry in calven.view("events")] == [leave(**changes)]


@pytest.mark.parametrize(
    "body",
    [
        {},
        away(),
        {"sourceId": "hibob", **away(leave())},
        away(leave(), leave()),
        away(*(leave(eventId=str(number)) for number in range(101))),
        *(
            away(leave(eventId="e-2"), leave(**changes))
            for changes in (
                {"eventId": ...},
                {"email": ...},
                {"email": ""},
                {"email": None},
                {"eventType": ...},
                {"eventType": "canceled"},
                {"eventType": "cancelled"},
                {"startDate": ...},
                {"startDate": "2026-12-30T00:00:00Z"},
                {"startDate": "20261230"},
                {"startDate": "2026-W53-3"},
                {"startDate": "2026-02-30"},
                {"endDate": ...},
                {"endDate": "2026-12-29"},
                {"endDate": None},
                {"timeOffType": "vacation"},
                {"timeOffType": None},
                {"note": "surgery"},
                {"time_off_type": "sick"},
            )
        ),
    ],
)
def test_time_off_refused_whole(calven: Calven, body: Any) -> None:
    """A body that breaks a rule is refused with all of its events."""
    assert calven.post("/v1/timeoff", body).status_code == 400
    assert calven.view("events") == []


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"null",
        b"\xff\xfe",
        b"[" * 5000,
        b'{"sourceId": "\\ud800"}',
        b'{"a": NaN}',
        b'{"a": 1e999}',
    ],
)
def test_not_json(calven: Calven, content: bytes) -> None:
    """Bytes that are no JSON object are refused, and the record of requests stays readable."""
    headers = {**calven.headers, "content-type": "application/json"}
    assert calven.http.post("/v1/occupancy", content=content, headers=headers).status_code == 400
    assert len(calven.view("requests")) == 1


def test_hundred_events(calven: Calven) -> None:
    """A hundred events are accepted."""
    body = counted(*(occupancy(eventId=str(number)) for number in range(100)))
    assert len(calven.post("/v1/occupancy", body).json()["results"]) == 100


def test_other_endpoints(calven: Calven) -> None:
    """What the sandbox does not play is 404, another method 405."""
    assert calven.post("/v1/presence", {}).status_code == 404
    assert calven.post("/v2/auth", {}).status_code == 404
    assert calven.http.get("/v1/occupancy").status_code == 405


def test_unknown_user_and_location(calven: Calven) -> None:
    """An unknown user or place is refused in its own result, and the others are loaded."""
    calven.order("unknown", {"users": ["bob@example.com"], "locations": ["nowhere"]})
    answer = calven.post("/v1/occupancy", counted(occupancy(locationId="nowhere"), occupancy(eventId="e-2")))
    assert [result["resultCode"] for result in answer.json()["results"]] == [2, 0]
    answer = calven.post("/v1/timeoff", away(leave(), leave(eventId="e-2", email="eve@example.com")))
    assert [result["resultCode"] for result in answer.json()["results"]] == [1, 0]
    assert [entry["event"]["eventId"] for entry in calven.view("events")] == ["e-2", "e-2"]


def test_known_locations(calven: Calven) -> None:
    """A sandbox that was told its locations knows no others."""
    calven.order("locations", {"locations": ["D0FA9F18"]})
    answer = calven.post("/v1/occupancy", counted(occupancy(), occupancy(eventId="e-2", locationId="other")))
    assert [result["resultCode"] for result in answer.json()["results"]] == [0, 2]


def test_requests_hold_no_credentials(calven: Calven) -> None:
    """The record of a request has everything but tokens, hashes and secrets."""
    calven.authenticate()
    calven.post("/v1/auth/token", {"client_id": KEY, "client_secret": SECRET})
    calven.post("/v1/occupancy", counted(occupancy()), correlationId="c-1")
    text = calven.http.get("/_sandbox/requests").text
    for secret in (SECRET, signed(int(calven.clock[0]))["hash"], calven.headers["Authorization"]):
        assert secret not in text
    last = calven.view("requests")[-1]
    assert (last["method"], last["path"], last["status"]) == ("POST", "/v1/occupancy", 200)
    assert (last["time"], last["body"]) == ("2026-05-28T20:26:40.000+00:00", counted(occupancy()))
    assert last["headers"]["correlationid"] == "c-1"
    calven.http.delete("/_sandbox/requests")
    assert calven.view("requests") == calven.view("events") == []


def test_events_tell_their_source(calven: Calven) -> None:
    """The accepted events stand in the order in which they came, with endpoint and source."""
    calven.post("/v1/timeoff", away(leave()))
    calven.post("/v1/occupancy", counted(occupancy()))
    events = calven.view("events")
    assert [(each["path"], each.get("sourceId")) for each in events] == [
        ("/v1/timeoff", None),
        ("/v1/occupancy", "Lobby"),
    ]


def test_state_of_occupancy(calven: Calven) -> None:
    """A place's state is that of the latest timestamp, in whatever order and zone they come."""
    for number, timestamp in enumerate(
        ("2026-03-02T09:00:00Z", "2026-03-02T09:30:00+01:00", "2026-03-02T09:00:00Z")
    ):
        event = occupancy(locationId="state", eventId=str(number), timestamp=timestamp, occupancy=number)
        calven.post("/v1/occupancy", counted(event))
    assert calven.view("state")["occupancy"]["state"]["occupancy"] == 2


def test_state_of_leave(calven: Calven) -> None:
    """A person's days away are those scheduled and not cancelled since."""
    person = {"email": "state@example.com"}
    steps = [
        leave(**person, startDate="2026-12-30", endDate="2027-01-01"),
        leave(**person, startDate="2027-01-01", endDate="2027-01-02", timeOffType="sick"),
        leave(**person, startDate="2026-12-31", endDate="2026-12-31", eventType="cancelled", timeOffType=...),
    ]
    for step in steps:
        calven.post("/v1/timeoff", away(step))
    days = {"2026-12-30": "leave", "2027-01-01": "sick", "2027-01-02": "sick"}
    assert calven.view("state")["away"]["state@example.com"] == days
    calven.post(
        "/v1/timeoff", away(leave(**person, eventType="cancelled", timeOffType=..., endDate="9999-12-31"))
    )
    assert "state@example.com" not in calven.view("state")["away"]
