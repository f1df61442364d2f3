"""The Calven sandbox lets a key with that role read users and plans, and takes days out of plans by hand."""

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import httpx
import pytest

from localrun import gateway
from localrun.sandbox import Sandbox
from localrun.serve import Served

SUBMITTER = {"apiKey": "key", "apiSecret": "secret"}
READER = {"apiKey": "reader", "apiSecret": "reader-secret"}
ATTENDANCE = "/v1/analytics/user-booking-attendance"
ENDPOINTS = ["/v1/analytics/users", f"{ATTENDANCE}?startDate=2026-12-01&endDate=2026-12-01"]


class Calven:
    """A client of a sandbox, with a token of each key."""

    def __init__(self, http: httpx.Client) -> None:
        self.http = http
        self.submitter, self.reader = self._token(SUBMITTER), self._token(READER)

    def _token(self, key: dict[str, str]) -> dict[str, str]:
        claim = {"client_id": key["apiKey"], "client_secret": key["apiSecret"]}
        token = self.http.post("/v1/auth/token", json=claim).json()["access_token"]
        return {"authorization": f"Bearer {token}"}

    def read(self, path: str, **query: str) -> httpx.Response:
        """A GET with the reader's token."""
        return self.http.get(path, params=query or None, headers=self.reader)

    def users(self) -> dict[str, str]:
        """Each user's id by address."""
        return {user["email"]: user["userId"] for user in self.read("/v1/analytics/users").json()}

    def plans(self, start: str, end: str) -> list[tuple[str, str, str]]:
        """Who plans what on which day."""
        found = self.read(ATTENDANCE, startDate=start, endDate=end).json()
        return [(each["userId"], each["day"], each["plan"]) for each in found]

    def leave(self, start: str, end: str, **changes: Any) -> None:
        """Somebody's leave, taken."""
        event = {"eventId": "e", "eventType": "scheduled", "startDate": start, "endDate": end, **changes}
        answer = self.http.post("/v1/timeoff", json={"timeOffEvents": [event]}, headers=self.submitter)
        assert answer.status_code == 200


@pytest.fixture
def calven() -> Iterator[Calven]:
    """A new sandbox."""
    with (
        Served(Sandbox(SUBMITTER, reader=READER)) as url,
        httpx.Client(base_url=url, trust_env=False) as http,
    ):
        yield Calven(http)


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_role(calven: Calven, endpoint: str) -> None:
    """Only the reader's token opens it; a key that may submit is 403, a token that is none is 401."""
    assert calven.read(endpoint).status_code == 200
    assert calven.http.get(endpoint, headers=calven.submitter).status_code == 403
    assert calven.http.get(endpoint).status_code == 401
    assert calven.http.post(endpoint, headers=calven.reader).status_code == 405
    assert calven.read(f"{endpoint.partition('?')[0]}/nothing").status_code == 404


def test_reader_submits_nothing(calven: Calven) -> None:
    """The reader's key is 403 where events are posted."""
    for path in ("/v1/occupancy", "/v1/timeoff"):
        assert calven.http.post(path, json={}, headers=calven.reader).status_code == 403


def test_without_reader() -> None:
    """A sandbox with one key knows no other."""
    with Served(Sandbox(SUBMITTER)) as url:
        claim = {"client_id": "reader", "client_secret": "reader-secret"}
        assert httpx.post(f"{url}/v1/auth/token", json=claim).status_code == 401


def test_users(calven: Calven) -> None:
    """Users are those whose leave was taken and those who were named, but for those told to be unknown."""
    assert calven.read("/v1/analytics/users").json() == []
    calven.leave("2026-12-30", "2026-12-31", email="bob.example@example.com")
    calven.leave("2026-12-30", "2026-12-31", uid="U-7")
    added = calven.http.post(
        "/_sandbox/users", json={"users": ["ann@example.com", "bob.example@example.com"]}
    )
    assert added.status_code == 204
    [bob, by_id, ann] = calven.read("/v1/analytics/users").json()
    assert set(bob) == {
        "email",
        "firstName",
        "lastName",
        "onboarded",
        "primaryGroupId",
        "primaryLocationId",
        "status",
        "userId",
        "userName",
    }
    assert (bob["email"], bob["firstName"], bob["lastName"]) == ("bob.example@example.com", "Bob", "Example")
    assert (by_id["userId"], by_id["email"], ann["email"]) == ("U-7", "", "ann@example.com")
    calven.http.post("/_sandbox/unknown", json={"users": ["bob.example@example.com", "U-7"]})
    assert set(calven.users()) == {"ann@example.com"}
    assert calven.plans("2026-12-30", "2026-12-31") == []


def test_plans(calven: Calven) -> None:
    """Each day away within the dates is a plan `a`, under the id that the user has in the directory."""
    calven.leave("2026-12-30", "2027-01-02", email="bob@example.com")
    calven.leave("2026-12-31", "2026-12-31", email="bob@example.com", eventType="cancelled")
    calven.leave("2026-12-29", "2026-12-30", email="ann@example.com")
    bob, ann = calven.users()["bob@example.com"], calven.users()["ann@example.com"]
    expected = [
        (bob, "2026-12-30T00:00:00.000Z", "a"),
        (bob, "2027-01-01T00:00:00.000Z", "a"),
        (ann, "2026-12-30T00:00:00.000Z", "a"),
    ]
    assert calven.plans("20261230", "2027-01-01") == expected
    [first, *_] = calven.read(ATTENDANCE, startDate="20261230", endDate="20261230").json()
    elsewhere = {"startDate": "20261230", "endDate": "20261230", "locationId": "elsewhere"}
    assert calven.read(ATTENDANCE, **{**elsewhere, "locationId": first["primaryLocationId"]}).json()
    assert calven.read(ATTENDANCE, **elsewhere).json() == []


def test_thirty_days(calven: Calven) -> None:
    """Thirty days may be asked for at once, and not one more."""
    start = date(2026, 12, 1)
    for days, status in ((29, 200), (30, 400)):
        end = (start + timedelta(days=days)).isoformat()
        assert calven.read(ATTENDANCE, startDate=start.isoformat(), endDate=end).status_code == status


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ({}, "startDate: YYYYMMDD or YYYY-MM-DD is required"),
        ({"startDate": "2026-12-01"}, "endDate: YYYYMMDD or YYYY-MM-DD is required"),
        ({"startDate": "2026-W49-1", "endDate": "20261201"}, "startDate: YYYYMMDD or YYYY-MM-DD is required"),
        ({"startDate": "20261301", "endDate": "20261201"}, "startDate: YYYYMMDD or YYYY-MM-DD is required"),
        ({"startDate": "20261202", "endDate": "20261201"}, "endDate is before startDate"),
    ],
)
def test_wrong_dates(calven: Calven, query: dict[str, str], problem: str) -> None:
    """Dates that are missing, none, or the wrong way round are 400."""
    answer = calven.read(ATTENDANCE, **query)
    assert (answer.status_code, answer.json()["errors"]) == (400, [problem])


def test_day_taken_out_by_hand(calven: Calven) -> None:
    """A day that somebody takes out of a plan is away no longer; one that is not in it is 404."""
    calven.leave("2026-12-30", "2026-12-31", email="bob@example.com")
    day = {"email": "bob@example.com", "day": "2026-12-30"}
    statuses = [calven.http.request("DELETE", "/_sandbox/away", json=day).status_code for _ in range(2)]
    assert statuses == [204, 404]
    assert [day for _, day, _ in calven.plans("20261230", "20261231")] == ["2026-12-31T00:00:00.000Z"]
    assert calven.http.get("/_sandbox/state").json()["away"] == {"bob@example.com": {"2026-12-31": "leave"}}
    assert calven.http.request("DELETE", "/_sandbox/away", json={"email": "x"}).status_code == 400


def test_order_to_lose_is_passed_on() -> None:
    """The sandbox passes an order to lose webhooks on to where they come in, and answers as that does."""
    with Served(gateway.create([], {})) as front, Served(Sandbox(SUBMITTER, gateway=front)) as url:
        lose = f"{url}/_sandbox/lose"
        assert httpx.post(lose, json={"vendor": "deel", "count": 3}).status_code == 204
        assert httpx.get(lose).json() == httpx.get(f"{front}/_local/lose").json() == {"deel": 3}
        assert httpx.post(lose, json={"vendor": "acme"}).json()["errors"] == ["vendor: there is no acme"]
        assert httpx.delete(lose).status_code == 204
        assert httpx.get(lose).json() == {}


@pytest.mark.parametrize(("gateway_url", "status"), [(None, 404), ("http://127.0.0.1:9", 502)])
def test_nowhere_to_lose(gateway_url: str | None, status: int) -> None:
    """Where no webhooks come in, the order is refused."""
    with Served(Sandbox(SUBMITTER, gateway=gateway_url)) as url:
        assert httpx.post(f"{url}/_sandbox/lose", json={"vendor": "deel"}).status_code == status
