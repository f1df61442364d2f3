"""How the client gets a token, keeps it and renews it."""

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from moto import mock_aws

from relay.aws.secrets import Secrets
from relay.calven import Calven, Result
from relay.calven_errors import Misconfigured, Refused, Transient
from relay.deadline import Deadline
from tests.rig import NOON, Clock
from tests.servers import aws_client, http_of
from tests.unit.calven.stand_ins import (
    ACCEPTED,
    CONFIGURATION,
    CREDENTIALS,
    KEY,
    LIFETIME,
    SECRET,
    UNAVAILABLE,
    FakeCalven,
    Reply,
    fail,
    in_time,
    leave,
    occupancy,
    seen,
    statuses,
    taken,
)

# printf k1000 | openssl dgst -sha256 -hmac s
HASH_OF_K1000_KEYED_WITH_S = "8eb9c898d1e93cefc3f6f40a74eaca79f798e01f565c3d90daf2ebd170470736"


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
