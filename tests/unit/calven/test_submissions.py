"""What the client submits to Calven, in which batches, and what it makes of the answers."""

from collections.abc import Callable

import httpx
import pytest

from relay.calven import Calven, CalvenEvent
from relay.deadline import Deadline
from tests.rig import NOON, Clock
from tests.unit.calven.stand_ins import (
    ACCEPTED,
    CONFIGURATION,
    LIFETIME,
    SECRET,
    UNAVAILABLE,
    FakeCalven,
    Reply,
    events_of,
    fail,
    in_time,
    leave,
    occupancy,
    results,
    seen,
    statuses,
    taken,
)


def numbered(count: int) -> list[CalvenEvent]:
    """That many occupancy events, `e0` and on."""
    return [occupancy(f"e{i}") for i in range(count)]


# Batches


def test_nothing_to_send(calven: Calven, fake: FakeCalven, clock: Clock) -> None:
    """No events make no request."""
    assert calven.submit([], Deadline(NOON + 5, clock)) == {}
    assert not fake.requests


def test_batches(wired: Calven, sandbox: httpx.Client) -> None:
    """A hundred events go into a request at most, in their order."""
    found = wired.submit(numbered(250), in_time())
    assert set(statuses(found).values()) == {ACCEPTED}
    assert taken(sandbox) == [f"e{i}" for i in range(250)]
    requests = sandbox.get("/_sandbox/requests").json()[1:]
    assert [len(request["body"]["occupancyEvents"]) for request in requests] == [100, 100, 50]


def test_groups(calven: Calven, fake: FakeCalven, clock: Clock) -> None:
    """A request is of one endpoint and one source, and events that lie apart travel together."""
    events = [occupancy("a1", "A"), occupancy("b1", "B"), leave("l1"), occupancy("a2", "A"), leave("l2")]
    calven.submit(events, Deadline(NOON + 5, clock))
    sent = [[event["eventId"] for event in events_of(request)] for request in fake.requests[1:]]
    assert sent == [["a1", "a2"], ["b1"], ["l1", "l2"]]


def test_no_event_twice(calven: Calven, fake: FakeCalven, clock: Clock) -> None:
    """An `eventId` is once in a request, however often it is submitted."""
    calven.submit([occupancy("e1"), occupancy("e2"), occupancy("e1")], Deadline(NOON + 5, clock))
    assert [event["eventId"] for event in events_of(fake.requests[1])] == ["e1", "e2"]


# Results


def test_results(calven: Calven, fake: FakeCalven, clock: Clock) -> None:
    """Results belong to events by `eventId`, in any order; without a result an event is not accepted."""
    fake.reply("/v1/occupancy", results(("e3", 3), ("e2", 2), ("other", 1), ("e0", 0), ("e1", 1)))
    found = calven.submit(numbered(5), Deadline(NOON + 5, clock))
    assert statuses(found) == {
        "e0": ACCEPTED,
        "e1": ("refused", "unknown_user"),
        "e2": ("refused", "unknown_location"),
        "e3": ("refused", "rejected"),
        "e4": UNAVAILABLE,
    }
    assert found["e2"].detail == "code 2: code 2"


def test_result_without_message(calven: Calven, fake: FakeCalven, clock: Clock) -> None:
    """A result's message may be missing or null."""
    of_events = [{"eventId": "e0", "resultCode": 1}, {"eventId": "e1", "resultCode": 1, "message": None}]
    fake.reply("/v1/occupancy", httpx.Response(201, json={"results": of_events}))
    found = calven.submit(numbered(2), Deadline(NOON + 5, clock))
    assert {result.detail for result in found.values()} == {"code 1: "}


def test_missing_result(wired: Calven, sandbox: httpx.Client) -> None:
    """The event that Calven loses from its results waits, the others are done with."""
    fail(sandbox, "missing-results", count=1, endpoint="/v1/occupancy")
    assert statuses(wired.submit(numbered(3), in_time())) == {
        "e0": ACCEPTED,
        "e1": ACCEPTED,
        "e2": UNAVAILABLE,
    }


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"null", b"{}", b'{"results": {}}', b'{"results": [{"eventId": "e0"}]}', b"<html>"],
)
def test_unreadable_200(calven: Calven, fake: FakeCalven, clock: Clock, body: bytes) -> None:
    """A 200 that does not tell what became of the events leaves them waiting."""
    fake.reply("/v1/occupancy", httpx.Response(200, content=body))
    assert statuses(calven.submit([occupancy("e0")], Deadline(NOON + 5, clock))) == {"e0": UNAVAILABLE}


def test_halving(wired: Calven, sandbox: httpx.Client) -> None:
    """Of a request that is refused whole, only the events at fault are refused, in few more requests."""
    events = numbered(130)
    for at_fault in (17, 64, 120):
        events[at_fault] = occupancy(f"e{at_fault}", locationType="corridor")
    found = wired.submit(events, in_time(20))
    refused = {event_id for event_id, result in found.items() if result.status == "refused"}
    assert refused == {"e17", "e64", "e120"}
    assert {found[event_id].reason for event_id in refused} == {"rejected"}
    assert taken(sandbox) == [f"e{i}" for i in range(130) if i not in (17, 64, 120)]
    assert len(seen(sandbox)) < 50


def test_failure_amid_halving(calven: Calven, fake: FakeCalven, clock: Clock) -> None:
    """Of a request that was refused and halved, what was accepted before a failure stays so too."""
    fake.reply("/v1/occupancy", 400, 400, results(("e0", 0)), 422, 503)
    found = calven.submit([*numbered(4), leave("l1")], Deadline(NOON + 5, clock))
    assert statuses(found) == {
        "e0": ACCEPTED,
        "e1": ("refused", "rejected"),
        "e2": UNAVAILABLE,
        "e3": UNAVAILABLE,
        "l1": UNAVAILABLE,
    }
    assert "503" in found["e3"].detail
    assert found["l1"].detail == ""


@pytest.mark.parametrize("status", [400, 405, 409, 413, 415, 422])
def test_refused_whole(calven: Calven, fake: FakeCalven, clock: Clock, status: int) -> None:
    """Any other 4xx is the event's fault once it stands alone."""
    fake.reply("/v1/timeoff", status)
    found = calven.submit([leave("l1"), occupancy("e1")], Deadline(NOON + 5, clock))
    assert statuses(found) == {"l1": ("refused", "rejected"), "e1": ACCEPTED}
    assert str(status) in found["l1"].detail


# Failures


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_not_now(calven: Calven, fake: FakeCalven, clock: Clock, status: int) -> None:
    """Busy or broken, Calven may be asked again after its own wait; until then nothing more is sent."""
    fake.reply("/v1/occupancy", httpx.Response(status, headers={"retry-after": "90"}))
    found = calven.submit([*numbered(150), leave("l1")], Deadline(NOON + 5, clock))
    assert len(found) == 151
    assert set(statuses(found).values()) == {UNAVAILABLE}
    assert {result.retry_after for result in found.values()} == {90}
    assert str(status) in found["e0"].detail
    assert fake.paths() == ["auth", "occupancy"]


@pytest.mark.parametrize("status", [307, 401, 403, 404])
def test_operators_to_mend(calven: Calven, fake: FakeCalven, clock: Clock, status: int) -> None:
    """A wrong role or base URL is the operator's to mend: the events wait, and nothing more is sent."""
    fake.reply("/v1/occupancy", status, status)
    found = calven.submit([occupancy("e1"), leave("l1")], Deadline(NOON + 5, clock))
    assert statuses(found) == {"e1": CONFIGURATION, "l1": CONFIGURATION}
    assert "timeoff" not in fake.paths()


def test_first_batches_stay_accepted(calven: Calven, fake: FakeCalven, clock: Clock) -> None:
    """What was accepted before a failure stays so; only what came with it and after it waits."""
    fake.reply("/v1/occupancy", results(("e1", 0)), 503)
    found = calven.submit([occupancy("e1"), occupancy("e2", "B"), leave("l1")], Deadline(NOON + 5, clock))
    assert statuses(found) == {"e1": ACCEPTED, "e2": UNAVAILABLE, "l1": UNAVAILABLE}


# Secrets


@pytest.mark.parametrize("auth", ["hmac", "client_credentials"])
@pytest.mark.parametrize(
    "reply", [400, 401, 403, 422, 500, httpx.ReadTimeout(SECRET), httpx.Response(200, content=SECRET)]
)
@pytest.mark.parametrize("path", ["/v1/auth", "/v1/auth/token", "/v1/occupancy"])
def test_no_secret_shows(
    calven: Calven, fake: FakeCalven, put: Callable[..., None], auth: str, reply: Reply | int, path: str
) -> None:
    """Neither the key's secret nor a token is in what a failure leaves behind."""
    put(auth=auth)
    token = "bearer-t0ken"
    fake.reply("/v1/auth", httpx.Response(200, json={"token": token, "expiration": NOON + LIFETIME}))
    fake.reply("/v1/auth/token", httpx.Response(200, json={"access_token": token, "expires_in": LIFETIME}))
    fake.reply(path, reply, reply)
    found = calven.submit([occupancy("e1")], Deadline(NOON + 5, Clock()))
    for text in (repr(found), str(found), repr(calven)):
        assert SECRET not in text
        assert token not in text
