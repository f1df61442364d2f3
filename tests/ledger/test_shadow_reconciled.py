"""Reconciling a source in shadow, and once it is live again."""

from pathlib import Path

import pytest

from relay.config.model import Source
from relay.config.store import MAX_AGE_SECONDS, TAKEN_UP_SECONDS
from relay.reconciliation.wishes import Wishes
from relayctl import relay_yaml
from tests.ledger.test_reconciliation_events import OUTSIDE, Log, reconcile
from tests.rig import NOON, Rig

pytestmark = pytest.mark.slow

KISI, DEEL = "kisi-sydney", "deel"
DAY_BEGAN = NOON - 11 * 3600


def push(rig: Rig, folder: Path, source: str, *, shadow: bool) -> None:
    """Push the demo with a source shadowed or not, and let functions take that up."""
    values = {**rig.config.sources[source].model_dump(by_alias=True, exclude_defaults=True), "shadow": shadow}
    sources = {**rig.config.sources, source: Source.model_validate(values)}
    rig.push(relay_yaml.dump(rig.config.model_copy(update={"sources": sources})), folder)
    rig.clock.advance(MAX_AGE_SECONDS + 1)


def test_badges(rig: Rig, tmp_path: Path) -> None:
    """What is listed is recorded in shadow, once; when the source is live, all of the open day is listed."""
    push(rig, tmp_path, KISI, shadow=True)
    log = Log()
    log.badge("kim@example.com", NOON - 3600)
    log.badge("lou@example.com", NOON - 1800)
    log.badge("lou@example.com", NOON - 900, OUTSIDE)
    assert reconcile(rig, log).queued == 3
    assert reconcile(rig, log).queued == 0
    assert rig.requests("/v1/occupancy") == []
    push(rig, tmp_path, KISI, shadow=False)
    report = reconcile(rig, log, Wishes())
    assert (log.spans[-1].since, report.queued) == (DAY_BEGAN, 3)
    assert rig.counts() == {"sydney-l3": 1, "sydney": 2}
    # A run of a function that had not taken the push up would have counted in shadow: once more, therefore.
    rig.clock.advance(TAKEN_UP_SECONDS)
    assert reconcile(rig, log, Wishes()).queued == 0
    assert log.spans[-1].since == DAY_BEGAN
    reconcile(rig, log, Wishes())
    assert log.spans[-1].since > DAY_BEGAN


def test_leave(rig: Rig, tmp_path: Path) -> None:
    """Listed leave is recorded in shadow, a second list has no news, and the push sends it."""
    push(rig, tmp_path, DEEL, shadow=True)
    rig.happen("deel", "approved")
    first = rig.reconcile_by_hand(DEEL)
    assert (first.status, first.queued > 0) == ("complete", True)
    rig.retry()
    again = rig.reconcile_by_hand(DEEL)
    assert (again.found, again.queued) == (0, 0)
    assert rig.requests("/v1/timeoff") == rig.waiting() == []
    push(rig, tmp_path, DEEL, shadow=False)
    rig.reconcile()
    rig.retry()
    sent = len(rig.requests("/v1/timeoff"))
    assert sent > 0
    rig.clock.advance(86400)
    rig.reconcile()
    rig.retry()
    assert len(rig.requests("/v1/timeoff")) == sent
