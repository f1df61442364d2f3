"""Which differences have been queued already: what nothing comes of is queued once, not every day.

`reconcile#<source>` / `queued#<leave id>` has what was queued, for as long as a dead letter is kept. A leave
that Calven cannot be told (no address, no end) would else be a new dead letter with each run.
"""

import json
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from relay.aws.table import Conflict, Key, Table, Update
from relay.reconciliation.rules import Difference

if TYPE_CHECKING:
    from relay.deadline import Clock

KEPT_SECONDS = 14 * 24 * 3600
MAX_ITEMS = 100


class Queued:
    """What has been queued of one source. Raises `TableUnavailable`."""

    def __init__(self, table: Table, source: str, clock: "Clock" = time.time) -> None:
        self._table = table
        self._source = source
        self._clock = clock

    def new(self, differences: Sequence[Difference], order: int) -> list[Difference]:
        """Those that have not been queued like this, with the configuration of this order."""
        found = self._table.get([self._key(difference) for difference in differences])
        now = self._clock()
        fresh: list[Difference] = []
        for difference in differences:
            item = found.get(self._key(difference))
            if item is None or item["expires_at"] <= now or item["said"] != _said(difference, order):
                fresh.append(difference)
        return fresh

    def note(self, differences: Sequence[Difference], order: int) -> None:
        """Note that these are queued; where that fails they are queued once more."""
        expires_at = int(self._clock()) + KEPT_SECONDS
        # A page may list one id twice, and a transaction takes no two updates of one item.
        by_key: dict[Key, Update] = {}
        for difference in differences:
            key = self._key(difference)
            values = {"said": _said(difference, order), "expires_at": expires_at}
            by_key[key] = Update(key=key, set=values)
        updates = list(by_key.values())
        for start in range(0, len(updates), MAX_ITEMS):
            try:
                self._table.write(updates[start : start + MAX_ITEMS])
            except Conflict:
                continue

    def _key(self, difference: Difference) -> Key:
        return f"reconcile#{self._source}", f"queued#{difference.change.leave_id}"


def _said(difference: Difference, order: int) -> str:
    """What the list said of a leave, to whom, and what the ledger had of it."""
    change, known = difference.change, difference.known
    before = [known.version, known.content, known.received] if known else []
    return json.dumps([change.content, difference.employee, order, before])
