"""The open door: our own format, signed as Standard Webhooks says."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook

from relay.events import iso
from tests.payloads import ANY_JSON, mutated, reads_or_refuses
from tests.rig import Rig, content, sample

ROOT = Path(__file__).parents[2]


def post(rig: Rig, payload: Any, family: str = "access-control") -> tuple[int, Any]:
    """Post a payload, signed by the scheme's own package."""
    body = content("generic", payload).decode()
    signer, now = Webhook(rig.secrets["generic"]["signingSecrets"][0]), rig.clock()
    at = datetime.fromtimestamp(now, UTC)
    headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(int(now)),
        "webhook-signature": signer.sign("msg_1", at, body),
    }
    return rig.post("generic", body.encode(), headers=headers, family=family)


def test_forwarded(rig: Rig) -> None:
    """Badges and readings become occupancy, leave becomes time off."""
    assert post(rig, "badge-in") == (200, {"status": "forwarded", "events": 2})
    assert post(rig, "reading") == (200, {"status": "forwarded", "events": 1})
    assert post(rig, "leave-approved", "hris") == (200, {"status": "forwarded", "events": 1})
    assert post(rig, "leave-ended", "hris") == (200, {"status": "forwarded", "events": 1})
    assert rig.counts() == {"sydney-l3": 1, "sydney": 1, "desk-7": 1}
    assert rig.away("noa@example.com") == {}


def test_any_order(rig: Rig) -> None:
    """An end that comes before the approval it followed still ends it."""
    late = sample("generic", "leave-ended", email="noa@example.com", start="2027-10-04", end="2027-10-08")
    assert post(rig, late, "hris")[0] == 200
    assert post(rig, "leave-approved", "hris") == (200, {"status": "ignored", "reason": "superseded"})
    assert rig.away("noa@example.com") == {}


def test_other_route(rig: Rig) -> None:
    """Leave on the access-control route, and a badge on the HR route, are dead letters."""
    for event, family in (("leave-approved", "access-control"), ("badge-in", "hris")):
        assert post(rig, event, family) == (202, {"status": "queued", "reason": "unparseable"})
    assert {letter["detail"] for letter in rig.dead_letters()} == {
        "event: it belongs to the other family's route"
    }
    assert rig.requests() == []


def test_one_at_fault(rig: Rig) -> None:
    """Of a list the good ones are forwarded, each other one is a dead letter of its own."""
    badges = sample("generic", "badges")
    answer = post(rig, [*badges, {**badges[0], "at": "yesterday"}, {"type": "sneeze"}])
    assert answer == (202, {"status": "queued", "reason": "unparseable"})
    assert rig.counts()["sydney"] == 2
    assert len(rig.dead_letters()) == 2


def people(number: int) -> list[dict[str, Any]]:
    """The badges of so many people."""
    badge = sample("generic", "badge-in")
    return [{**badge, "id": f"b{n}", "person": f"p{n}"} for n in range(number)]


def test_many(rig: Rig) -> None:
    """A hundred events are forwarded at once; more wait for the retry function, which takes a thousand."""
    assert post(rig, people(100))[1]["status"] == "forwarded"
    assert post(rig, people(1000)) == (202, {"status": "queued", "reason": "large_delivery"})
    rig.clock.advance(30)
    assert rig.retry() == {"batchItemFailures": []}
    assert rig.counts()["sydney"] == 1000
    assert rig.dead_letters() == []


def test_one_of_many_at_fault(rig: Rig) -> None:
    """Of a large delivery too the good ones are forwarded, and the other one is a dead letter of its own."""
    many = people(101)
    many[50]["at"] = "yesterday"
    assert post(rig, many)[1]["reason"] == "large_delivery"
    rig.clock.advance(30)
    rig.retry()
    assert rig.counts()["sydney"] == 100
    [letter] = rig.dead_letters()
    assert letter["detail"].startswith("badge.at")


def test_too_many(rig: Rig) -> None:
    """More than a thousand events are a mistake or an attack: one dead letter."""
    short = [{"type": "badge"}] * 1001
    assert post(rig, short) == (202, {"status": "queued", "reason": "too_large"})
    assert [letter["reason"] for letter in rig.dead_letters()] == ["too_large"]


@pytest.mark.parametrize(
    "extra", [{"colour": "red"}, {"person": ""}, {"id": ""}, {"at": "2026-11-02T22:49:35"}]
)
def test_typing_errors_are_seen(rig: Rig, extra: dict[str, Any]) -> None:
    """Unknown fields, empty ids and times without a zone are refused by name."""
    assert post(rig, sample("generic", "badge-in", **extra))[1]["reason"] == "unparseable"
    detail = rig.dead_letters()[0]["detail"]
    assert next(iter(extra)) in detail or detail == "badge: extra_forbidden"


def test_as_strict_as_the_schema(rig: Rig) -> None:
    """What the schema forbids is refused: an empty list, numbers in quotes, truth for a number."""
    payloads: list[Any] = [[], *(sample("generic", "reading", people=people) for people in ("3", True))]
    for payload in payloads:
        assert post(rig, payload) == (202, {"status": "queued", "reason": "unparseable"})


def test_clocks_that_run_ahead(rig: Rig) -> None:
    """A change from the far future is refused, one from tomorrow does not outlast what comes after it."""
    ended = sample("generic", "leave-ended")
    assert post(rig, sample("generic", "leave-approved", changedAt="2999-01-01T00:00:00Z"), "hris")[0] == 202
    assert [letter["reason"] for letter in rig.dead_letters()] == ["unparseable"]
    ahead = sample("generic", "leave-approved", changedAt=iso(rig.clock() + 86400))
    assert post(rig, ahead, "hris") == (200, {"status": "forwarded", "events": 1})
    rig.clock.advance(600)
    assert post(rig, {**ended, "changedAt": iso(rig.clock())}, "hris")[1]["status"] == "forwarded"
    assert rig.away("noa@example.com") == {}


@pytest.mark.parametrize(("ahead", "away"), [(3600, False), (299, True)])
def test_clock_that_is_set_right(rig: Rig, ahead: int, away: bool) -> None:
    """A change by a clock that was set right counts; where it was minutes ahead, the vendor's order does."""
    approved = sample("generic", "leave-approved", changedAt=iso(rig.clock() + ahead))
    assert post(rig, approved, "hris")[0] == 200
    rig.clock.advance(2)
    post(rig, sample("generic", "leave-ended", changedAt=iso(rig.clock() - 1)), "hris")
    assert bool(rig.away("noa@example.com")) == away


def test_clock_that_runs_ahead_during_an_outage(rig: Rig) -> None:
    """A change from ahead does not grow newer in the queue than what has happened since."""
    rig.fail("503")
    ahead = sample("generic", "leave-approved", changedAt=iso(rig.clock() + 86400))
    assert post(rig, ahead, "hris")[0] == 202
    rig.clock.advance(600)
    ended = sample("generic", "leave-ended", changedAt=iso(rig.clock()))
    post(rig, ended, "hris")
    rig.recover()
    for _ in range(3):
        rig.clock.advance(900)
        rig.retry()
    assert rig.waiting() == []
    assert rig.away("noa@example.com") == {}


def test_schema() -> None:
    """The published schema names what the models read, and forbids the rest."""
    schema = json.loads((ROOT / "docs" / "reference" / "schema" / "generic.json").read_text())
    shapes = schema["$defs"]
    assert set(shapes) == {"Badge", "Reading", "Leave"}
    assert set(shapes["Badge"]["required"]) == {"type", "id", "at", "door"}
    assert {"changedAt", "firstDayPart", "leaveType"} <= set(shapes["Leave"]["properties"])
    assert all(shape["additionalProperties"] is False for shape in shapes.values())


@given(st.binary() | ANY_JSON.map(lambda value: json.dumps(value).encode()) | mutated("generic"))
def test_anything(body: bytes) -> None:
    """Whatever bytes and whatever JSON arrive are read or refused, without repeating them."""
    reads_or_refuses("generic", body)
