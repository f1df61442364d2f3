"""The Calven sandbox enforces the documented API, and fails when it is told to."""

import hashlib
import hmac
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from localrun.sandbox import Sandbox
from localrun.sandbox_state import Received
from localrun.serve import Served
from tests.timed import Timed, slowness, wait_until

KEY, SECRET = "55DE3799-key", "sandbox-secret"
LIFETIME = 600.0
# printf k1000 | openssl dgst -sha256 -hmac s
HASH_OF_K1000_KEYED_WITH_S = "8eb9c898d1e93cefc3f6f40a74eaca79f798e01f565c3d90daf2ebd170470736"


@dataclass
class Calven:
    """A client of a running sandbox, whose clock the test sets."""

    clock: list[float]
    http: httpx.Client
    headers: dict[str, str] = field(default_factory=dict)

    def log_in(self) -> None:
        """Fetches a token for the calls that follow."""
        token = self.authenticate().json()["token"]
        self.headers = {"Authorization": f"Bearer {token}"}

    def authenticate(self, **changes: Any) -> httpx.Response:
        """`POST /v1/auth`, rightly signed but for the changes."""
        timestamp = changes.get("timestamp", int(self.clock[0]))
        return self.http.post("/v1/auth", json={**signed(timestamp), **changes})

    def post(self, path: str, body: Any, **headers: str) -> httpx.Response:
        """A call with the token."""
        return self.http.post(path, json=body, headers={**self.headers, **headers})

    def order(self, path: str, body: Any) -> None:
        """An order to the sandbox, which takes it."""
        assert self.http.post(f"/_sandbox/{path}", json=body).status_code == 204

    def view(self, path: str) -> Any:
        """What the sandbox shows."""
        return self.http.get(f"/_sandbox/{path}").json()


def signed(timestamp: Any) -> dict[str, Any]:
    """The body of `POST /v1/auth` at a time."""
    digest = hmac.new(SECRET.encode(), f"{KEY}{timestamp}".encode(), hashlib.sha256).hexdigest()
    return {"apiKey": KEY, "timestamp": timestamp, "hash": digest}


def occupancy(**changes: Any) -> dict[str, Any]:
    """An occupancy event."""
    event = {
        "timestamp": "2026-03-02T09:00:00.000Z",
        "locationId": "D0FA9F18",
        "locationType": "level",
        "eventId": "e-1",
        "occupied": True,
        "occupancy": 3,
    }
    return {name: value for name, value in {**event, **changes}.items() if value is not ...}


def leave(**changes: Any) -> dict[str, Any]:
    """A time off event."""
    event = {
        "eventId": "e-1",
        "email": "bob@example.com",
        "eventType": "scheduled",
        "startDate": "2026-12-30",
        "endDate": "2027-01-02",
        "timeOffType": "leave",
    }
    return {name: value for name, value in {**event, **changes}.items() if value is not ...}


def counted(*events: dict[str, Any]) -> dict[str, Any]:
    """The body of an occupancy submission."""
    return {"sourceId": "Lobby", "occupancyEvents": list(events)}


def away(*events: dict[str, Any]) -> dict[str, Any]:
    """The body of a time off submission."""
    return {"timeOffEvents": list(events)}


@pytest.fixture(scope="module")
def server() -> Iterator[Calven]:
    """One sandbox for all tests, each of which starts with a clean one."""
    clock = [0.0]
    sandbox = Sandbox({"apiKey": KEY, "apiSecret": SECRET}, token_lifetime=LIFETIME, now=lambda: clock[0])
    with Served(sandbox) as url, httpx.Client(base_url=url, trust_env=False) as http:
        yield Calven(clock, http)


@pytest.fixture
def calven(server: Calven) -> Calven:
    """A client with a token, and a sandbox that remembers nothing but its state."""
    server.clock[0] = 1_780_000_000.0
    server.http.delete("/_sandbox/fail")
    server.order("unknown", {})
    server.order("locations", {"locations": None})
    server.log_in()
    server.http.delete("/_sandbox/requests")
    return server


def test_hmac_token(calven: Calven) -> None:
    """A rightly signed claim gets a token with its end in Unix seconds, as documented."""
    answer = calven.authenticate()
    assert answer.status_code == 200
    body = answer.json()
    assert (body.pop("token"), body.pop("message")) > ("", "")
    assert body == {"authenticated": True, "expiration": int(calven.clock[0] + LIFETIME)}


def test_documented_hash() -> None:
    """The hash is the lower-case hex HMAC-SHA256 of key and timestamp with nothing between them."""
    claim = {"apiKey": "k", "timestamp": 1000, "hash": HASH_OF_K1000_KEYED_WITH_S}
    with Served(Sandbox({"apiKey": "k", "apiSecret": "s"}, now=lambda: 1000.0)) as url:
        assert httpx.post(f"{url}/v1/auth", json=claim).status_code == 200


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"hash": "0" * 64}, 401),
        ({"hash": signed(1_780_000_000)["hash"].upper()}, 401),
        ({"hash": "é"}, 401),
        ({"apiKey": "another"}, 401),
        ({"hash": ""}, 400),
        ({"timestamp": "1780000000"}, 400),
        ({"timestamp": 1_780_000_000.0 + 0.5}, 400),
        ({"timestamp": 1_780_000_000_000}, 401),
        ({"timestamp": -1}, 400),
        ({"timestamp": 10**400}, 400),
        ({"timestamp": None}, 400),
        ({"extra": 1}, 400),
    ],
)
def test_hmac_refusals(calven: Calven, changes: dict[str, Any], status: int) -> None:
    """A wrong claim is 401, a malformed one 400."""
    assert calven.authenticate(**changes).status_code == status


@pytest.mark.parametrize(("offset", "status"), [(-300, 200), (300, 200), (-301, 401), (301, 401)])
def test_hmac_clock(calven: Calven, offset: int, status: int) -> None:
    """A claim counts for five minutes, both ways."""
    assert calven.authenticate(timestamp=int(calven.clock[0]) + offset).status_code == status


def test_client_credentials(calven: Calven) -> None:
    """The key's secret itself gets a token too, and a wrong one gets 401."""
    answer = calven.post("/v1/auth/token", {"client_id": KEY, "client_secret": SECRET})
    assert answer.status_code == 200
    token = answer.json()["access_token"]
    assert answer.json() == {"access_token": token, "expires_in": 600, "token_type": "Bearer"}
    calven.headers = {"Authorization": f"Bearer {token}"}
    assert calven.post("/v1/timeoff", away(leave())).status_code == 200
    for wrong in ({"client_id": KEY, "client_secret": "wrong"}, {"client_id": "x", "client_secret": SECRET}):
        assert calven.post("/v1/auth/token", wrong).status_code == 401
    assert calven.post("/v1/auth/token", {"client_id": KEY}).status_code == 400


@pytest.mark.parametrize("path", ["/v1/auth", "/v1/auth/token", "/v1/occupancy", "/v1/timeoff"])
@pytest.mark.parametrize(
    "content_type", [None, "text/plain", "application/x-www-form-urlencoded", "application/jsonx"]
)
def test_content_type(calven: Calven, path: str, content_type: str | None) -> None:
    """Every call needs `application/json`, authentication included."""
    headers = {**calven.headers, **({"content-type": content_type} if content_type else {})}
    answer = calven.http.post(path, content=b"{}", headers=headers)
    assert answer.status_code == 400
    assert "content-type" in answer.text


@pytest.mark.parametrize(
    ("region", "status"), [("usce1", 200), ("ause1", 200), ("USCE1", 400), ("euwe1", 400), ("", 400)]
)
def test_region(calven: Calven, region: str, status: int) -> None:
    """The region header is one of two, where it is given."""
    headers = {"x-calven-region": region}
    assert calven.post("/v1/occupancy", counted(occupancy()), **headers).status_code == status
    assert (
        calven.http.post("/v1/auth", json=signed(int(calven.clock[0])), headers=headers).status_code == status
    )


@pytest.mark.parametrize("authorization", [None, "", "Bearer", "Bearer wrong", "Basic {token}", "{token}"])
@pytest.mark.parametrize("path", ["/v1/occupancy", "/v1/timeoff"])
def test_token_required(calven: Calven, path: str, authorization: str | None) -> None:
    """Nothing is accepted without a bearer token that was issued here."""
    token = calven.headers["Authorization"].removeprefix("Bearer ")
    calven.headers = {} if authorization is None else {"Authorization": authorization.format(token=token)}
    body = counted(occupancy()) if path == "/v1/occupancy" else away(leave())
    assert calven.post(path, body).status_code == 401
    assert calven.view("events") == []


def test_token_expires(calven: Calven) -> None:
    """A token is good until its end, or until the sandbox is told to expire it."""
    calven.clock[0] += LIFETIME - 1
    assert calven.post("/v1/timeoff", away(leave())).status_code == 200
    calven.clock[0] += 1
    assert calven.post("/v1/timeoff", away(leave())).status_code == 401
    calven.log_in()
    assert calven.post("/v1/timeoff", away(leave())).status_code == 200
    calven.order("expire-tokens", {})
    assert calven.post("/v1/timeoff", away(leave())).status_code == 401


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


@pytest.mark.parametrize("mode", ["500", "503", "429", "401", "403", "400"])
def test_fail_with_status(calven: Calven, mode: str) -> None:
    """Told to, it answers with a status and `Retry-After`, so often as it was told, and accepts nothing."""
    calven.order("fail", {"mode": mode, "count": 2, "retryAfter": 7})
    statuses = []
    for _ in range(3):
        answer = calven.post("/v1/timeoff", away(leave()))
        statuses.append((answer.status_code, answer.headers.get("retry-after")))
    assert statuses == [(int(mode), "7"), (int(mode), "7"), (200, None)]
    assert len(calven.view("events")) == 1
    assert [each["status"] for each in calven.view("requests")] == [int(mode), int(mode), 200]


def test_fail_until_cleared(calven: Calven) -> None:
    """Without a count it fails until it is told to work again, and one path may fail alone."""
    calven.order("fail", {"mode": "503", "endpoint": "/v1/occupancy"})
    calven.order("fail", {"mode": "500", "endpoint": "/v1/auth", "count": None})
    assert calven.post("/v1/timeoff", away(leave())).status_code == 200
    assert [calven.post("/v1/occupancy", counted(occupancy())).status_code for _ in range(3)] == [503] * 3
    assert calven.authenticate().status_code == 500
    calven.http.delete("/_sandbox/fail")
    assert calven.post("/v1/occupancy", counted(occupancy())).status_code == 200


def test_fail_with_garbage(calven: Calven) -> None:
    """Garbage is a 200 that cannot be read; nothing was accepted."""
    calven.order("fail", {"mode": "garbage", "count": 1})
    answer = calven.post("/v1/timeoff", away(leave()))
    assert answer.status_code == 200
    with pytest.raises(ValueError, match="Expecting value"):
        answer.json()
    assert calven.view("events") == []


def test_fail_with_missing_results(calven: Calven) -> None:
    """Of a submission's results the last one is missing, and its event was not taken."""
    calven.order("fail", {"mode": "missing-results", "count": 1})
    answer = calven.post("/v1/occupancy", counted(occupancy(), occupancy(eventId="e-2")))
    assert [result["eventId"] for result in answer.json()["results"]] == ["e-1"]
    assert [entry["event"]["eventId"] for entry in calven.view("events")] == ["e-1"]


def test_fail_with_reset(calven: Calven) -> None:
    """A reset breaks the connection, and the next request is served again."""
    calven.order("fail", {"mode": "reset", "count": 1})
    with pytest.raises(httpx.ReadError):
        calven.post("/v1/timeoff", away(leave()))
    assert calven.post("/v1/timeoff", away(leave())).status_code == 200
    assert [each["status"] for each in calven.view("requests")] == [None, 200]
    assert len(calven.view("events")) == 1


def test_fail_with_hang(calven: Calven) -> None:
    """A request that hangs is not answered, and is handled when the failure is cleared."""
    calven.order("fail", {"mode": "hang"})
    with pytest.raises(httpx.ReadTimeout):
        calven.http.post("/v1/timeoff", json=away(leave()), headers=calven.headers, timeout=0.2)
    statuses: list[int] = []
    waiting = threading.Thread(
        target=lambda: statuses.append(calven.post("/v1/timeoff", away(leave())).status_code)
    )
    waiting.start()
    waiting.join(0.3)
    assert waiting.is_alive()
    calven.http.delete("/_sandbox/fail")
    waiting.join(30)
    assert statuses == [200]
    assert len(calven.view("events")) == 1


def test_hang_does_not_hold_up_the_stop() -> None:
    """A server with a hanging request stops at once, and the request gets its 503."""
    server = Served(Sandbox({"apiKey": KEY, "apiSecret": SECRET}))
    url = server.start()
    httpx.post(f"{url}/_sandbox/fail", json={"mode": "hang"})
    statuses: list[int] = []
    waiting = threading.Thread(target=lambda: statuses.append(httpx.post(f"{url}/v1/auth").status_code))
    waiting.start()
    wait_until(lambda: httpx.get(f"{url}/_sandbox/requests").json())
    with Timed() as timed:
        server.stop()
        waiting.join(30)
        assert timed.seconds < 2 * slowness()
    assert statuses == [503]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("fail", {"mode": "explode"}),
        ("fail", {"mode": "500", "count": 0}),
        ("fail", {}),
        ("unknown", {"people": []}),
        ("locations", {}),
    ],
)
def test_malformed_order(calven: Calven, path: str, body: dict[str, Any]) -> None:
    """An order that the sandbox does not understand is 400, and changes nothing."""
    answer = calven.http.post(f"/_sandbox/{path}", json=body)
    assert answer.status_code == 400
    assert answer.json()["errors"]
    assert calven.post("/v1/timeoff", away(leave())).status_code == 200


def test_unknown_order(calven: Calven) -> None:
    """What is neither a view nor an order is 404."""
    assert calven.http.get("/_sandbox/nothing").status_code == 404
    assert calven.http.post("/_sandbox/nothing", json={}).status_code == 404


def test_oldest_requests_go() -> None:
    """At most ten thousand requests are remembered."""
    received = Received(time.time)
    for number in range(10_001):
        received.open("POST", f"/{number}", [], b"")
    assert (len(received.requests), received.requests[0]["path"]) == (10_000, "/1")
