"""The Calven client sends every event once, in few requests, and knows what became of each."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from moto import mock_aws

from localrun.sandbox import Sandbox
from localrun.serve import bind
from relay.aws.secrets import Secrets
from relay.calven import Calven, CalvenEvent, Misconfigured, Refused, Result, Transient
from relay.deadline import Deadline
from tests.rig import NOON, Clock, Sandboxes
from tests.servers import aws_client, http_of, wire
from tests.timed import Timed, tolerance

KEY, SECRET = "55DE3799-key", "s3cret-of-the-key"
CREDENTIALS = {"apiKey": KEY, "apiSecret": SECRET}
LIFETIME = 3600
# printf k1000 | openssl dgst -sha256 -hmac s
HASH_OF_K1000_KEYED_WITH_S = "8eb9c898d1e93cefc3f6f40a74eaca79f798e01f565c3d90daf2ebd170470736"

Reply = httpx.Response | Exception


class FakeCalven:
    """Calven without a wire: it accepts everything, but for the replies that a test scripts for a path."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.requests: list[httpx.Request] = []
        self.script: dict[str, list[Reply]] = {}

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """Answer one request."""
        self.requests.append(request)
        path = request.url.path
        if scripted := self.script.get(path):
            reply = scripted.pop(0)
            if isinstance(reply, Exception):
                raise reply
            return reply
        if path == "/v1/auth":
            return httpx.Response(200, json={"token": "t", "expiration": self._clock() + LIFETIME})
        if path == "/v1/auth/token":
            return httpx.Response(200, json={"access_token": "t", "expires_in": LIFETIME})
        return results(*((event["eventId"], 0) for event in events_of(request)))

    def reply(self, path: str, *replies: Reply | int) -> None:
        """Answer the next requests to a path with these; a number is a status."""
        self.script[path] = [httpx.Response(r) if isinstance(r, int) else r for r in replies]

    def paths(self) -> list[str]:
        """Where the requests went, in order."""
        return [request.url.path.removeprefix("/v1/") for request in self.requests]


def events_of(request: httpx.Request) -> list[dict[str, Any]]:
    """The events in a request."""
    body = json.loads(request.content)
    events: list[dict[str, Any]] = body.get("occupancyEvents") or body["timeOffEvents"]
    return events


def results(*codes: tuple[str, int]) -> httpx.Response:
    """Calven's 200 with a result for each event."""
    found = [{"eventId": event_id, "resultCode": code, "message": f"code {code}"} for event_id, code in codes]
    return httpx.Response(200, json={"timestamp": "2026-11-04T04:00:00.000Z", "results": found})


def occupancy(event_id: str, source: str = "Lobby", **changes: Any) -> CalvenEvent:
    """One occupancy event."""
    payload = {
        "timestamp": "2026-11-04T04:00:00.000Z",
        "locationId": "D0FA9F18",
        "locationType": "level",
        "eventId": event_id,
        "occupied": True,
        "occupancy": 3,
    }
    return CalvenEvent(
        endpoint="/v1/occupancy", event_id=event_id, payload=payload | changes, source_id=source
    )


def leave(event_id: str, not_after: float = float("inf"), **changes: Any) -> CalvenEvent:
    """One time off event."""
    payload = {
        "eventId": event_id,
        "email": "bob@example.com",
        "eventType": "scheduled",
        "startDate": "2026-12-30",
        "endDate": "2027-01-02",
    }
    return CalvenEvent(
        endpoint="/v1/timeoff", event_id=event_id, payload=payload | changes, not_after=not_after
    )


def numbered(count: int) -> list[CalvenEvent]:
    """That many occupancy events, `e0` and on."""
    return [occupancy(f"e{i}") for i in range(count)]


def statuses(found: dict[str, Result]) -> dict[str, tuple[str, str]]:
    """Status and reason of each event."""
    return {event_id: (result.status, result.reason) for event_id, result in found.items()}


def in_time(seconds: float = 5) -> Deadline:
    """A deadline of the real clock."""
    return Deadline(time.time() + seconds)


ACCEPTED = ("accepted", "")
UNAVAILABLE = ("waiting", "calven_unavailable")
CONFIGURATION = ("waiting", "calven_configuration")


@pytest.fixture
def clock() -> Clock:
    """The time that the client and Calven go by."""
    return Clock()


@pytest.fixture
def put() -> Iterator[Callable[..., None]]:
    """Store the `calven` secret, anew or over the last one."""
    with mock_aws():
        aws_client("secretsmanager").create_secret(Name="stack/calven")

        def put(**secret: str) -> None:
            text = json.dumps(CREDENTIALS | secret)
            aws_client("secretsmanager").put_secret_value(SecretId="stack/calven", SecretString=text)

        yield put


@pytest.fixture
def secrets(put: Callable[..., None], clock: Clock) -> Secrets:
    """The stack's secrets, of which `calven` is one."""
    put()
    return Secrets(aws_client("secretsmanager"), "stack", clock)


@pytest.fixture
def fake(clock: Clock) -> FakeCalven:
    """Calven, which a test tells what to answer."""
    return FakeCalven(clock)


@pytest.fixture
def calven(fake: FakeCalven, secrets: Secrets, clock: Clock) -> Iterator[Calven]:
    """The client, without a wire."""
    with http_of(fake) as http:
        yield Calven("https://calven.test/", secrets, http, clock)


@pytest.fixture
def sandbox(sandboxes: Sandboxes, clock: Clock) -> Iterator[httpx.Client]:
    """The strict sandbox on a wire, and what it has seen."""
    sandboxes.current = Sandbox(CREDENTIALS, token_lifetime=LIFETIME, now=clock)
    with httpx.Client(base_url=sandboxes.url, trust_env=False) as http:
        yield http
        http.delete("/_sandbox/fail")


@pytest.fixture
def wired(sandbox: httpx.Client, secrets: Secrets, clock: Clock) -> Iterator[Calven]:
    """The client on a wire to the sandbox."""
    with http_of() as http:
        yield Calven(str(sandbox.base_url), secrets, http, clock)


def seen(sandbox: httpx.Client) -> list[tuple[str, int]]:
    """The requests that the sandbox has answered, and how."""
    requests = sandbox.get("/_sandbox/requests").json()
    return [(request["path"].removeprefix("/v1/"), request["status"]) for request in requests]


def taken(sandbox: httpx.Client) -> list[str]:
    """The ids of the events that the sandbox has accepted, in order."""
    return [entry["event"]["eventId"] for entry in sandbox.get("/_sandbox/events").json()]


def fail(sandbox: httpx.Client, mode: str, **order: Any) -> None:
    """Have the sandbox fail."""
    sandbox.post("/_sandbox/fail", json={"mode": mode, **order}).raise_for_status()


# Requests


def test_hmac_request(calven: Calven, fake: FakeCalven, put: Callable[..., None], clock: Clock) -> None:
    """A token is asked for as documented: key, Unix seconds, hash; the secret does not travel."""
    put(apiKey="k", apiSecret="s")
    clock.now = 1000.9
    calven.submit([occupancy("e1")], Deadline(2000, clock))
    asked = fake.requests[0]
    assert (asked.method, str(asked.url)) == ("POST", "https://calven.test/v1/auth")
    assert json.loads(asked.content) == {"apiKey": "k", "timestamp": 1000, "hash": HASH_OF_K1000_KEYED_WITH_S}
    assert asked.headers["content-type"] == "application/json"
    assert "authorization" not in asked.headers


def test_client_credentials_request(calven: Calven, fake: FakeCalven, put: Callable[..., None]) -> None:
    """Where the secret says so, the token is asked for with client credentials."""
    put(auth="client_credentials")
    calven.submit([occupancy("e1")], Deadline(NOON + 5, Clock()))
    assert fake.paths() == ["auth/token", "occupancy"]
    assert json.loads(fake.requests[0].content) == {"client_id": KEY, "client_secret": SECRET}
    assert fake.requests[1].headers["authorization"] == "Bearer t"


def test_submissions(calven: Calven, fake: FakeCalven, clock: Clock) -> None:
    """Occupancy carries its source once a request, time off carries none; both carry the token."""
    events = [occupancy("e1"), occupancy("e2"), leave("l1")]
    assert statuses(calven.submit(events, Deadline(NOON + 5, clock))) == dict.fromkeys(
        ("e1", "e2", "l1"), ACCEPTED
    )
    assert fake.paths() == ["auth", "occupancy", "timeoff"]
    _, first, second = fake.requests
    assert json.loads(first.content) == {
        "sourceId": "Lobby",
        "occupancyEvents": [events[0].payload, events[1].payload],
    }
    assert json.loads(second.content) == {"timeOffEvents": [events[2].payload]}
    assert {request.headers["authorization"] for request in (first, second)} == {"Bearer t"}


@pytest.mark.parametrize(("secret", "region"), [({}, "usce1"), ({"region": "ause1"}, "ause1")])
def test_region(
    calven: Calven, fake: FakeCalven, put: Callable[..., None], secret: dict[str, str], region: str
) -> None:
    """Every request names the region, the one for a token included; the US one where none is configured."""
    put(**secret)
    calven.submit([occupancy("e1")], Deadline(NOON + 5, Clock()))
    assert [request.headers["x-calven-region"] for request in fake.requests] == [region, region]


@pytest.mark.parametrize("auth", ["hmac", "client_credentials"])
def test_strict_sandbox_accepts(
    wired: Calven, sandbox: httpx.Client, put: Callable[..., None], auth: str, clock: Clock
) -> None:
    """What the client sends passes a server that holds it to every documented rule."""
    put(auth=auth)
    found = wired.submit([occupancy("e1"), leave("l1")], in_time())
    assert set(statuses(found).values()) == {ACCEPTED}
    assert taken(sandbox) == ["e1", "l1"]


# Tokens


def test_one_token(calven: Calven, fake: FakeCalven, clock: Clock) -> None:
    """Any number of submissions shares one token."""
    for i in range(5):
        calven.submit([occupancy(f"e{i}")], Deadline(NOON + 5, clock))
    assert fake.paths() == ["auth"] + ["occupancy"] * 5


def at_once(count: int, work: Callable[[int], dict[str, Result]]) -> list[dict[str, Result]]:
    """What several threads get that begin together."""
    together = threading.Barrier(count)

    def begin(i: int) -> dict[str, Result]:
        together.wait(30)
        return work(i)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(begin, range(count)))


def test_one_token_for_threads(wired: Calven, sandbox: httpx.Client) -> None:
    """Eight submissions at the same time fetch one token, and after it was revoked, one more."""

    def submit(i: int) -> dict[str, Result]:
        return wired.submit([occupancy(f"e{i}")], in_time())

    for tokens in (1, 2):
        assert all(next(iter(found.values())).status == "accepted" for found in at_once(8, submit))
        assert seen(sandbox).count(("auth", 200)) == tokens
        sandbox.post("/_sandbox/expire-tokens")


@pytest.mark.parametrize("auth", ["hmac", "client_credentials"])
def test_renewal_before_expiry(
    calven: Calven, fake: FakeCalven, put: Callable[..., None], clock: Clock, auth: str
) -> None:
    """A token is used until 60 seconds before its end."""
    put(auth=auth)
    for passed, tokens in ((0, 1), (LIFETIME - 61, 1), (LIFETIME - 60, 2), (2 * LIFETIME - 121, 2)):
        clock.now = NOON + passed
        calven.submit([occupancy("e")], Deadline(clock() + 5, clock))
        assert sum(path.startswith("auth") for path in fake.paths()) == tokens


def test_renewal_on_401(wired: Calven, sandbox: httpx.Client) -> None:
    """A token that Calven refuses before its time is renewed, and the events are sent again."""
    wired.submit([occupancy("e1")], in_time())
    sandbox.post("/_sandbox/expire-tokens")
    assert statuses(wired.submit([occupancy("e2")], in_time())) == {"e2": ACCEPTED}
    assert seen(sandbox)[2:] == [("occupancy", 401), ("auth", 200), ("occupancy", 200)]


def test_read(calven: Calven, fake: FakeCalven, clock: Clock) -> None:
    """A question is asked with a token, which one 401 renews, and answered with JSON."""
    path = "/v1/analytics/users"
    fake.reply(path, 401, httpx.Response(200, json=[{"userId": "1"}]))
    assert calven.read(f"{path}?a=b", Deadline(clock() + 5, clock)) == [{"userId": "1"}]
    assert fake.paths() == ["auth", "analytics/users"] * 2
    asked = fake.requests[-1]
    assert (asked.method, asked.url.query, asked.content) == ("GET", b"a=b", b"")
    assert asked.headers["authorization"] == "Bearer t"
    assert asked.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (503, Transient),
        (httpx.Response(200, text="hello"), Transient),
        (httpx.ConnectError("hush"), Transient),
        (403, Misconfigured),
        (422, Refused),
    ],
)
def test_read_without_answer(
    calven: Calven, fake: FakeCalven, clock: Clock, reply: Reply | int, error: type[Exception]
) -> None:
    """A question without an answer says why."""
    fake.reply("/v1/analytics/users", reply)
    with pytest.raises(error) as failed:
        calven.read("/v1/analytics/users", Deadline(clock() + 5, clock))
    assert type(failed.value) is error


def test_other_key(fake: FakeCalven, secrets: Secrets, clock: Clock) -> None:
    """Another key is that of another secret."""
    text = json.dumps(CREDENTIALS | {"apiKey": "reader"})
    aws_client("secretsmanager").create_secret(Name="stack/calven-reader", SecretString=text)
    fake.reply("/v1/analytics/users", httpx.Response(200, json=[]))
    with http_of(fake) as http:
        reader = Calven("https://calven.test", secrets, http, clock, key="calven-reader")
        assert reader.read("/v1/analytics/users", Deadline(clock() + 5, clock)) == []
    assert json.loads(fake.requests[0].content)["apiKey"] == "reader"


def test_401_again(wired: Calven, sandbox: httpx.Client) -> None:
    """A second 401 is not met with a third token: it is the operator's to mend."""
    fail(sandbox, "401", endpoint="/v1/occupancy")
    assert statuses(wired.submit([occupancy("e1")], in_time())) == {"e1": CONFIGURATION}
    assert seen(sandbox) == [("auth", 200), ("occupancy", 401)] * 2


def test_rotated_key(calven: Calven, fake: FakeCalven, put: Callable[..., None], clock: Clock) -> None:
    """A key that Calven refuses is read anew for the next submission, as it may have been replaced."""
    fake.reply("/v1/auth", 401)
    assert statuses(calven.submit([occupancy("e1")], Deadline(NOON + 5, clock))) == {"e1": CONFIGURATION}
    put(apiKey="the-new-key")
    assert statuses(calven.submit([occupancy("e1")], Deadline(NOON + 5, clock))) == {"e1": ACCEPTED}
    assert [json.loads(r.content)["apiKey"] for r in fake.requests[:2]] == [KEY, "the-new-key"]


@pytest.mark.parametrize("status", [301, 400, 401, 403, 404, 405, 415, 422])
def test_refused_key(calven: Calven, fake: FakeCalven, clock: Clock, status: int) -> None:
    """Whatever refuses the token is the operator's to mend: no event is at fault, and all of them wait."""
    fake.reply("/v1/auth", *[status] * 8)
    found = calven.submit([occupancy("e1"), occupancy("e2")], Deadline(NOON + 5, clock))
    assert statuses(found) == {"e1": CONFIGURATION, "e2": CONFIGURATION}
    assert fake.paths() == ["auth"]


@pytest.mark.parametrize(
    "secret", [None, "", "no JSON", '{"apiKey": "k"}', '{"apiKey": "k", "apiSecret": ""}']
)
def test_no_credentials(fake: FakeCalven, clock: Clock, secret: str | None) -> None:
    """Without a `calven` secret that can be used nothing is sent, and the operator is told which it is."""
    with mock_aws(), http_of(fake) as http:
        aws = aws_client("secretsmanager")
        aws.create_secret(Name="stack/calven", **({"SecretString": secret} if secret else {}))
        calven = Calven("https://calven.test", Secrets(aws, "stack", clock), http, clock)
        found = calven.submit([occupancy("e1"), leave("l1")], Deadline(NOON + 5, clock))
    assert statuses(found) == {"e1": CONFIGURATION, "l1": CONFIGURATION}
    assert "stack/calven" in found["e1"].detail
    assert not fake.requests


@pytest.mark.parametrize("reply", [503, httpx.Response(200, content=b"{"), httpx.ReadTimeout("")])
def test_no_token_for_now(calven: Calven, fake: FakeCalven, clock: Clock, reply: Reply | int) -> None:
    """Without an answer to the request for a token the events wait; Calven has not seen them."""
    fake.reply("/v1/auth", reply)
    found = calven.submit([occupancy("e1")], Deadline(NOON + 5, clock))
    assert statuses(found) == {"e1": UNAVAILABLE}
    assert not found["e1"].uncertain
    assert fake.paths() == ["auth"]


def test_token_that_no_header_can_carry(calven: Calven, fake: FakeCalven, clock: Clock) -> None:
    """A token that is none that can be sent raises nothing."""
    issued = {"token": "t\u00f6ken", "expiration": NOON + LIFETIME}
    fake.reply("/v1/auth", *[httpx.Response(200, json=issued) for _ in range(2)])
    assert statuses(calven.submit([occupancy("e1")], Deadline(NOON + 5, clock))) == {"e1": UNAVAILABLE}


# Calls


def test_each_call_has_its_own_id_and_observer(wired: Calven, sandbox: httpx.Client) -> None:
    """Calls at the same time mix up neither their correlation ids nor who is told of their requests."""
    observed: list[list[int]] = [[] for _ in range(4)]

    def submit(i: int) -> dict[str, Result]:
        return wired.submit(
            [occupancy(f"e{i}")],
            in_time(),
            correlation_id=f"c{i}",
            observe=lambda status, _: observed[i].append(status),
        )

    assert all(next(iter(found.values())).status == "accepted" for found in at_once(4, submit))
    sent = set()
    for request in sandbox.get("/_sandbox/requests").json():
        if request["path"] == "/v1/occupancy":
            [event] = request["body"]["occupancyEvents"]
            sent.add((request["headers"]["correlationid"], event["eventId"]))
    assert sent == {(f"c{i}", f"e{i}") for i in range(4)}
    # One of them has fetched the token for all.
    assert sorted(observed) == [[200]] * 3 + [[200, 200]]


def test_a_call_ends_with_its_answer(calven: Calven, fake: FakeCalven, clock: Clock) -> None:
    """What is asked later, for nobody, carries no id of an earlier call and is not told to its observer."""
    observed: list[int] = []
    deadline = Deadline(NOON + 5, clock)
    calven.submit(
        [occupancy("e1")], deadline, correlation_id="c1", observe=lambda status, _: observed.append(status)
    )
    calven.authenticate(deadline)
    assert [request.headers.get("correlationId") for request in fake.requests] == ["c1", "c1", None]
    assert observed == [200, 200]


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


# Time


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
