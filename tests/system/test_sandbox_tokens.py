"""How the sandbox issues tokens, and refuses those who have none."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from localrun.sandbox import Sandbox
from localrun.serve import Served
from tests.sandbox_client import (
    KEY,
    LIFETIME,
    SECRET,
    Calven,
    away,
    counted,
    leave,
    occupancy,
    serving,
    signed,
)

# printf k1000 | openssl dgst -sha256 -hmac s
HASH_OF_K1000_KEYED_WITH_S = "8eb9c898d1e93cefc3f6f40a74eaca79f798e01f565c3d90daf2ebd170470736"


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
