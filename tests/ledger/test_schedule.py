"""The scheduled function: days end, and nothing stays unreported."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from tests.rig import NOON, Rig, sample

HOUR = 3600.0
PLACES = """
places:
  sydney:
    {locationId: 0B6F4E1C-1D7A-4C7E-9C55-6E0D3A9F1A01, locationType: location, timezone: Australia/Sydney}
  sydney-l3: {locationId: 5C2D9A37-84E6-4B0B-8B1F-2F7C1D6E3B03, locationType: level, within: sydney}
"""
RESET = NOON + 13 * HOUR
"""04:00 in Sydney, the day after `NOON`."""


def badge(rig: Rig, event: str = "badge-in", **changes: object) -> object:
    """A badge of this moment."""
    at = f"{datetime.fromtimestamp(rig.clock(), UTC):%FT%TZ}"
    return rig.post("kisi", sample("kisi", event, uuid=f"{event} {at}", created_at=at, **changes))


def test_day_ends(rig: Rig) -> None:
    """Places that held somebody are reported empty at the reset's instant, once, by their source."""
    badge(rig)
    assert rig.reset() == {"facts": 0}
    rig.clock.now = RESET + 120
    assert rig.reset() == {"facts": 2}
    zeros = rig.calven()[2:]
    assert {zero["timestamp"] for zero in zeros} == {"2026-11-04T17:00:00.000Z"}
    assert {(zero["occupied"], zero["occupancy"]) for zero in zeros} == {(False, 0)}
    assert rig.requests("/v1/occupancy")[-1]["body"]["sourceId"] == "Kisi Sydney"
    assert rig.counts() == {"sydney-l3": 0, "sydney": 0}
    assert rig.reset() == {"facts": 0}


def test_new_day(rig: Rig) -> None:
    """A new day starts from zero: who forgot to badge out yesterday is counted once today."""
    badge(rig)
    rig.clock.now = RESET + 120
    rig.reset()
    rig.clock.advance(4 * HOUR)
    badge(rig)
    assert rig.counts() == {"sydney-l3": 1, "sydney": 1}


def test_calven_down_at_reset(rig: Rig) -> None:
    """Zeros that Calven does not take wait in the Unprocessed queue."""
    badge(rig)
    rig.clock.now = RESET + 120
    rig.fail("503")
    rig.reset()
    rig.recover()
    rig.clock.advance(30)
    assert rig.retry() == {"batchItemFailures": []}
    assert rig.counts() == {"sydney-l3": 0, "sydney": 0}


def test_sweep(rig: Rig) -> None:
    """A count that was recorded and never told, as after a crash, is told by the next run."""
    relay = rig.built()
    del relay.calven
    badge_body = sample("kisi", "badge-in", created_at="2026-11-04T03:50:00Z")
    assert rig.post("kisi", badge_body, relay=relay)[1]["reason"] == "internal_error"
    assert rig.calven() == []
    assert rig.reset() == {"facts": 2}
    assert rig.counts() == {"sydney-l3": 1, "sydney": 1}
    assert rig.reset() == {"facts": 0}


def test_dead_letter_is_told_once(rig: Rig) -> None:
    """A count that Calven refused is the dead-letter queue's: the sweep does not send it again."""
    rig.refuse(locations=[rig.config.places["sydney"].location_id])
    badge(rig)
    rig.clock.advance(600)
    assert rig.reset() == {"facts": 0}
    assert len(rig.dead_letters()) == 1


def test_no_table(rig: Rig) -> None:
    """Without the table a run does nothing and fails nothing: the next one does it."""
    rig.aws.dynamodb.delete_table(TableName=rig.resources.table)
    assert rig.reset() == {"facts": 0}


def test_push_that_cannot_be_finished(rig: Rig, tmp_path: Path, printed: Callable[[], str]) -> None:
    """A version that cannot be read any more keeps no other site's day open."""
    badge(rig)
    rig.push("sources: {kisi-sydney: {vendor: kisi}}\n" + PLACES, tmp_path)
    key = {"pk": {"S": "config#1"}, "sk": {"S": "main"}}
    rig.aws.dynamodb.delete_item(TableName=rig.resources.table, Key=key)
    rig.clock.now = RESET + 120
    assert rig.reset(rig.built()) == {"facts": 2}
    assert "a push is not finished" in printed()
    assert set(rig.counts().values()) == {0}
