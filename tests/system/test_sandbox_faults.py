"""How the sandbox fails as it is ordered to."""

import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from localrun.sandbox import Sandbox
from localrun.sandbox_state import Received
from localrun.serve import Served
from tests.sandbox_client import KEY, SECRET, Calven, away, counted, leave, occupancy, serving
from tests.timed import Timed, slowness, wait_until


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
        ("fail", {"mode": "429", "retry_after": 7}),
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
