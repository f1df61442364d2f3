"""What the client makes of a wire that breaks, and of too little time."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from localrun.serve import bind
from relay.aws.secrets import Secrets
from relay.calven import Calven
from relay.deadline import Deadline
from tests.rig import NOON, Clock
from tests.servers import http_of, wire
from tests.timed import Timed, tolerance
from tests.unit.calven.stand_ins import (
    ACCEPTED,
    UNAVAILABLE,
    FakeCalven,
    Reply,
    fail,
    in_time,
    leave,
    occupancy,
    results,
    statuses,
)

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("reply", "uncertain"),
    [
        (httpx.ConnectError(""), False),
        (httpx.ConnectTimeout(""), False),
        (httpx.ReadTimeout(""), True),
        (httpx.ReadError(""), True),
        (httpx.RemoteProtocolError(""), True),
        (502, True),
        (504, True),
        (429, False),
        (503, False),
        (403, False),
        (httpx.Response(200, content=b"{"), False),
        (results(), False),
    ],
)
def test_uncertain(
    calven: Calven, fake: FakeCalven, clock: Clock, reply: Reply | int, uncertain: bool
) -> None:
    """Only a request that was given up without Calven's own answer may yet be taken, and no other one."""
    fake.reply("/v1/occupancy", reply)
    found = calven.submit([occupancy("e1"), leave("l1")], Deadline(NOON + 5, clock))
    assert found["e1"].uncertain is uncertain
    assert not found["l1"].uncertain


@pytest.mark.parametrize(("mode", "uncertain"), [("reset", True), ("garbage", False), ("hang", True)])
def test_broken_on_the_wire(wired: Calven, sandbox: httpx.Client, mode: str, uncertain: bool) -> None:
    """A reset, an answer cut short and a server that hangs leave the events waiting."""
    fail(sandbox, mode, endpoint="/v1/occupancy")
    with Timed() as timed:
        found = wired.submit([occupancy("e1")], in_time(0.5))
        assert timed.seconds < 0.5 + tolerance()
    assert statuses(found) == {"e1": UNAVAILABLE}
    assert found["e1"].uncertain is uncertain


def test_nobody_listens(secrets: Secrets, clock: Clock) -> None:
    """Where no connection comes about, nothing was sent."""
    with bind() as unheard, http_of() as http:
        calven = Calven("http://{}:{}".format(*unheard.getsockname()), secrets, http, clock)
        found = calven.submit([occupancy("e1")], in_time())
    assert statuses(found) == {"e1": UNAVAILABLE}
    assert not found["e1"].uncertain


def test_deadline_bounds_everything(wired: Calven, sandbox: httpx.Client) -> None:
    """Token, batches and halves share one deadline, and what is left when it has passed waits."""
    fail(sandbox, "hang", endpoint="/v1/timeoff")
    with Timed() as timed:
        found = wired.submit([occupancy("e1"), leave("l1"), leave("l2")], in_time(1))
        assert timed.seconds < 1 + tolerance()
    assert statuses(found) == {"e1": ACCEPTED, "l1": UNAVAILABLE, "l2": UNAVAILABLE}


def test_deadline_bounds_a_dripping_answer(secrets: Secrets, clock: Clock) -> None:
    """An answer that trickles in is not waited for beyond the deadline, be it that for a token."""
    head = b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n"
    with wire(lambda: (head, *(b" ", 0.1) * 100)) as url, http_of() as http, Timed() as timed:
        found = Calven(url, secrets, http, clock).submit([occupancy("e1")], in_time(0.5))
        assert timed.seconds < 0.5 + tolerance()
    assert statuses(found) == {"e1": UNAVAILABLE}


@pytest.mark.parametrize(
    ("head", "drop"),
    [
        pytest.param(b"\x16\x03\x03\x40\x00", b"\x00", id="handshake"),
        pytest.param(b"HTTP/1.1 200 OK\r\n", b"a: b\r\n", id="headers"),
        pytest.param(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n", b" ", id="body"),
    ],
)
def test_call_seconds_bound_a_dripping_answer(
    secrets: Secrets, clock: Clock, head: bytes, drop: bytes
) -> None:
    """What trickles in is not waited for beyond the seconds that each request has, whatever it is."""
    scheme = "https" if head.startswith(b"\x16") else "http"
    with wire(lambda: (head, *(drop, 0.1) * 100)) as url, http_of() as http, Timed() as timed:
        calven = Calven(url.replace("http:", f"{scheme}:"), secrets, http, clock)
        found = calven.submit([occupancy("e1")], in_time(30), call_seconds=0.5)
        assert timed.seconds < 0.5 + tolerance()
    assert statuses(found) == {"e1": UNAVAILABLE}


def test_deadline_bounds_the_wait_for_a_token(secrets: Secrets, clock: Clock) -> None:
    """Who waits for the token that another thread is fetching waits no longer than its own deadline."""
    asked = threading.Event()

    def hang() -> Iterator[float]:
        asked.set()
        yield 60

    with http_of() as http, ThreadPoolExecutor() as pool:
        with wire(hang) as url:
            calven = Calven(url, secrets, http, clock)
            patient = pool.submit(calven.submit, [occupancy("e1")], in_time(30))
            assert asked.wait(30)
            with Timed() as timed:
                found = calven.submit([occupancy("e2")], in_time(0.3))
                assert timed.seconds < 0.3 + tolerance()
        assert statuses(patient.result()) == {"e1": UNAVAILABLE}
    assert statuses(found) == {"e2": UNAVAILABLE}


def test_call_seconds(wired: Calven, sandbox: httpx.Client) -> None:
    """Each request may be bounded more tightly than all of them together."""
    fail(sandbox, "hang", endpoint="/v1/occupancy")
    with Timed() as timed:
        found = wired.submit([occupancy("e1")], in_time(30), call_seconds=0.4)
        assert timed.seconds < 0.4 + tolerance()
    assert statuses(found) == {"e1": UNAVAILABLE}


def test_no_time_left(calven: Calven, fake: FakeCalven, clock: Clock) -> None:
    """After the deadline nothing is sent."""
    found = calven.submit([occupancy("e1")], Deadline(NOON - 1, clock))
    assert statuses(found) == {"e1": UNAVAILABLE}
    assert not found["e1"].uncertain
    assert not fake.requests


def test_lapsed_lease(calven: Calven, fake: FakeCalven, clock: Clock) -> None:
    """Once its sender's lease has run out, an event is not sent, nor anything with it."""
    found = calven.submit([leave("l1"), leave("l2", not_after=NOON - 1)], Deadline(NOON + 5, clock))
    assert statuses(found) == {"l1": UNAVAILABLE, "l2": UNAVAILABLE}
    assert not any(result.uncertain for result in found.values())
    assert not fake.requests


def test_lease_bounds_its_request(wired: Calven, sandbox: httpx.Client) -> None:
    """A request is given up when the earliest lease in it runs out, before the deadline."""
    fail(sandbox, "hang", endpoint="/v1/timeoff")
    with Timed() as timed:
        found = wired.submit([leave("l1", not_after=NOON + 0.4), leave("l2")], in_time(30))
        assert timed.seconds < 0.4 + tolerance()
    assert found["l1"].uncertain
