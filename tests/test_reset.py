"""The scheduled function: days end, and nothing stays unreported."""

from datetime import UTC, datetime

from tests.rig import NOON, Rig, sample

HOUR = 3600.0
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
