"""What the relay remembers of a vendor's employees and events lasts as long as it says."""

import json
from collections.abc import Iterator

import pytest

from relay.aws.clients import CLIENT
from relay.aws.table import Table
from relay.container import Container
from relay.errors import TableUnavailable
from relay.vendors.support.memory import VendorMemory
from tests.moto_table import SESSION, Ledger
from tests.rig import Rig, sample


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    """An empty table."""
    with Ledger() as empty:
        yield empty


def test_email_for_a_day(ledger: Ledger) -> None:
    """An address is known for a day, of that employee of that source, and then asked again."""
    memory = VendorMemory(ledger.table, ledger.clock)
    assert memory.email("merge", "7") is None
    memory.remember_email("merge", "7", "pat@example.com")
    assert memory.email("merge", "7") == "pat@example.com"
    assert memory.email("merge", "8") is memory.email("other", "7") is None
    ledger.clock.advance(24 * 3600)
    assert memory.email("merge", "7") is None


def test_first_seen(ledger: Ledger) -> None:
    """An event's first time is kept, whatever comes later."""
    memory = VendorMemory(ledger.table, ledger.clock)
    assert memory.first_seen("keypay", "a", 1000.25) == 1000.25
    assert memory.first_seen("keypay", "a", 2000.0) == 1000.25
    assert memory.first_seen("keypay", "b", 2000.0) == 2000.0
    assert memory.first_seen("keypay", "b", 1500.0) == 1500.0
    assert memory.first_seen("keypay", "b", 2000.0) == 1500.0


def test_offered(ledger: Ledger) -> None:
    """The latest few secrets that were handed over are kept for a day, each once."""
    memory = VendorMemory(ledger.table, ledger.clock)
    for secret in ("a", "b", "a", *map(str, range(19))):
        memory.offer("gusto", secret)
    assert memory.offered("gusto") == [*map(str, reversed(range(19))), "a"]
    ledger.clock.advance(24 * 3600)
    assert memory.offered("gusto") == []


@pytest.mark.slow
def test_unavailable() -> None:
    """Without a table an address is not remembered, which costs a question; the rest fails by name."""
    nowhere = SESSION.client("dynamodb", endpoint_url="http://127.0.0.1:9", config=CLIENT)
    memory = VendorMemory(Table(nowhere, "none"))
    memory.remember_email("merge", "7", "pat@example.com")
    with pytest.raises(TableUnavailable):
        memory.email("merge", "7")


def test_asked_once_an_employee(rig: Rig) -> None:
    """Webhooks about an employee whose address is known need no API of the vendor's, for a day."""

    def approve(number: int, relay: Container) -> object:
        day = f"2027-06-0{number}"
        leave = sample("factorial", "approve", id=str(number), start_on=day, finish_on=day)
        return rig.post("factorial", leave, topic="approve", relay=relay)[1]["status"]

    assert approve(1, rig.relay) == "forwarded"
    secret = {**rig.secrets["factorial"], "api": {"apiKey": "k", "baseUrl": "http://127.0.0.1:9"}}
    name = f"{rig.relay.settings.stack_name}/hris/factorial"
    rig.aws.secrets.put_secret_value(SecretId=name, SecretString=json.dumps(secret))
    without_api = rig.built()
    assert approve(2, without_api) == "forwarded"
    rig.clock.advance(24 * 3600)
    assert approve(3, without_api) == "queued"
    assert [envelope["reason"] for envelope in rig.waiting()] == ["vendor_unavailable"]


def test_an_earlier_delivery_again(rig: Rig) -> None:
    """A delivery without a time of its own that comes again after a newer one changes nothing."""
    assert rig.post("keypay", "approved") == (200, {"status": "forwarded", "events": 1})
    rig.clock.advance(60)
    assert rig.post("keypay", "cancelled") == (200, {"status": "forwarded", "events": 1})
    rig.clock.advance(60)
    assert rig.post("keypay", "second-attempt") == (200, {"status": "ignored", "reason": "superseded"})
    assert rig.away("ash@example.com") == {}


def test_an_earlier_delivery_that_waited(rig: Rig) -> None:
    """So does one whose first attempt waited, and was overtaken by what came after it."""
    stored = rig.built(FORWARD_MODE="queued")
    assert rig.post("keypay", "approved", relay=stored)[0] == 202
    rig.clock.advance(60)
    assert rig.post("keypay", "cancelled")[0] in (200, 202)
    rig.clock.advance(60)
    assert rig.post("keypay", "second-attempt") == (200, {"status": "ignored", "reason": "superseded"})
    rig.retry()
    assert rig.away("ash@example.com") == {}


def test_handshake_of_half_a_surrogate_pair(rig: Rig) -> None:
    """What could not be kept is no handshake: it is refused as anything that is not signed."""
    body = json.dumps({"verification_token": "\ud800abcdefgh"}).encode()
    assert rig.post("gusto", body, headers={}) == (401, {"error": "invalid signature"})


def test_handshake(rig: Rig) -> None:
    """What Gusto hands over is kept for the operator as long as the source has no secret, and not logged."""
    assert rig.post("gusto", "handshake", headers={}) == (200, {"status": "ignored", "reason": "handshake"})
    assert rig.relay.vendor_memory.offered("gusto") == []
    name = f"{rig.relay.settings.stack_name}/hris/gusto"
    rig.aws.secrets.put_secret_value(SecretId=name, SecretString='{"api": {"accessToken": "a"}}')
    fresh = rig.built()
    assert rig.post("gusto", "handshake", headers={}, relay=fresh)[0] == 200
    assert fresh.vendor_memory.offered("gusto") == ["demo-gusto-verification-token-not-a-real-one"]
    assert rig.post("gusto", "approved", relay=fresh)[0] == 503
