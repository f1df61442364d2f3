"""The note of what Calven has been told, on DynamoDB as moto has it."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from relay.aws.table import Update
from relay.config.model import Config
from relay.deadline import Deadline
from relay.occupancy.reported import MOST_ALONE, TRIES, Reports, fact_key, note_key
from relay.occupancy.rules import Fact
from relay.occupancy.settlement import Settlement
from tests.building import NOON_MS, badge
from tests.counts import IN, TODAY, Counts, settle


@pytest.fixture
def ledger() -> Iterator[Counts]:
    """An empty ledger at noon."""
    with Counts() as counts:
        yield counts


def test_newer_note_meanwhile(ledger: Counts) -> None:
    """What another container notes before a refused note is tried again stays: versions are only raised."""
    ledger.calven_answers = False
    places = ("l1", "l2", "l1")
    some = [badge(f"e{n}", f"p{n}", "in", place, NOON_MS + n) for n, place in enumerate(places)]
    first, second, third = (ledger.badge(one).facts for one in some)
    other = Reports(ledger.other)
    other.mark_reported([fact for fact in second if fact.place == "hq"])
    meanwhile = iter([(), third])
    ledger.before("UpdateItem", lambda: other.mark_reported(next(meanwhile)), times=2)
    made = ledger.made_by(lambda: ledger.reports.mark_reported(first))
    assert made == ["UpdateItem", "UpdateItem"]
    assert ledger.noted() == {"hq": 3, "l1": 2}


def test_notes_of_many_days(ledger: Counts) -> None:
    """Notes of more than a few days are one request; one that is newer already does not stop the others."""
    clock = {"locationType": "location", "timezone": "UTC", "resetAt": "04:00"}
    many = Config.model_validate({"places": {f"s{n}": {"locationId": f"s{n}", **clock} for n in range(6)}})
    facts: list[Fact] = []
    for number in range(6):
        site = f"s{number}"
        one = replace(badge(f"e{number}", "ann", "in", "annex"), place=site, target=site)
        [settled] = settle(ledger.headcount(), [one], Deadline(ledger.clock() + 20, ledger.clock), many)
        facts += settled.facts
    ledger.reports.mark_reported(facts[:2])
    made = ledger.made_by(lambda: ledger.reports.mark_reported(facts))
    assert made == ["TransactWriteItems", "TransactWriteItems"]
    for fact in facts:
        note = ledger.item(note_key(fact.day or ""))
        assert note
        assert note[f"place#{fact.location_id}"] == [1, 1]
    assert ledger.made_by(lambda: ledger.reports.mark_reported(facts)) == ["TransactWriteItems"]


def test_notes_of_many_places(ledger: Counts) -> None:
    """A day's many places are noted in updates whose conditions are as long as DynamoDB takes them."""
    sent: list[dict[str, Any]] = []
    for operation in ("UpdateItem", "TransactWriteItems"):
        ledger.client.meta.events.register(
            f"provide-client-params.dynamodb.{operation}", lambda params, **_: sent.append(params)
        )
    [fact] = ledger.badge(badge("e", "ann", "in", "hq")).facts
    sent.clear()
    many = [fact.model_copy(update={"location_id": f"place {number}"}) for number in range(300)]
    elsewhere = [fact.model_copy(update={"day": f"other#{number}"}) for number in range(MOST_ALONE)]
    ledger.reports.mark_reported([*many, *elsewhere])
    together = [part["Update"] for params in sent for part in params.get("TransactItems", [])]
    conditions = [params["ConditionExpression"] for params in (*sent, *together) if "Key" in params]
    assert len(together) == MOST_ALONE + 1
    assert max(map(len, conditions)) <= 4096
    noted = ledger.noted()
    assert {f"place {number}" for number in range(300)} <= set(noted)
    ledger.reports.mark_queued(many)
    note = ledger.item(note_key(TODAY.key)) or {}
    assert sum(name.startswith("queued#") for name in note) == 300


def test_note_that_is_always_held(ledger: Counts) -> None:
    """Where other writes hold a note each time, it is left; what was told is told again as the same event."""
    ledger.calven_answers = False
    facts = ledger.badge(IN).facts
    for _ in range(TRIES):
        ledger.fail("UpdateItem", {"Error": {"Code": "TransactionConflictException", "Message": "held"}})
    ledger.reports.mark_reported(facts)
    assert ledger.noted() == {}
    assert sorted(ledger.badge(IN).facts, key=str) == sorted(facts, key=str)


def test_note_beside_a_count(ledger: Counts) -> None:
    """A note that was written beside a count, as it was before there was one of the day, holds."""
    ledger.fill()
    ledger.calven_answers = False
    facts = ledger.badge(badge("e1", "ann", "in", "l2")).facts
    for fact in facts:
        beside = {"reported": fact.version, "reported_as": fact.people, "swept": fact.version}
        ledger.table.write([Update(key=fact_key(fact), set=beside)])
    assert ledger.badge(badge("e1", "ann", "in", "l2")) == Settlement((), "duplicate")
    counts = dict(ledger.headcount().counts(TODAY))
    for fact in facts:
        count = counts[fact.place]
        assert (count.reported, count.reported_as, count.queued) == (fact.version, 1, fact.version)
    later = ledger.badge(badge("e2", "ben", "in", "l2", NOON_MS + 1)).facts
    ledger.reports.mark_reported(later)
    counts = dict(ledger.headcount().counts(TODAY))
    for fact in facts:
        count = counts[fact.place]
        assert (count.reported, count.reported_as, count.queued) == (fact.version + 1, 2, fact.version)
