"""When a source is due to be reconciled. Pure functions."""

from collections.abc import Mapping

from relay.config.model import Interval, Source
from relay.reconciliation.runs import State
from relay.vendors.support.base import Vendor

SECONDS: Mapping[Interval, float] = {"15m": 900.0, "1h": 3600.0, "1d": 86400.0}
EARLY_SECONDS = 60.0
"""So much before its time a run may begin, so that a schedule which is seconds early does not skip it."""

CLOCKS_APART_SECONDS = 1.0
"""How much the clocks of two functions may differ."""


def interval_of(source: Source, vendor: Vendor) -> float | None:
    """How often a source is reconciled, in seconds; None where it is not, or cannot be."""
    if vendor.lists is None or not source.enabled:
        return None
    chosen = source.reconcile or _default(vendor)
    # `off` is not among them.
    return SECONDS.get(chosen)


def _default(vendor: Vendor) -> Interval:
    if not vendor.sends_webhooks:
        return "1h"
    return "1d" if vendor.family == "hris" else "15m"


def is_due(state: State, interval: float, now: float, news: float = 0.0) -> bool:
    """Whether a source is to be run now.

    That is when it is time, when a run of the schedule is not over, and when the vendor has had `news` since
    the last run began that read its list to the end. Times are Unix seconds.
    """
    if state.until > now * 1000:
        return False
    if state.run is not None and not state.run.by_hand:
        return True
    if news and news + CLOCKS_APART_SECONDS > state.last_read / 1000:
        return True
    return now - state.began / 1000 >= interval - EARLY_SECONDS
