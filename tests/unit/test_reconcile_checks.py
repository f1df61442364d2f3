"""What the doctor says of a source that is reconciled."""

import pytest

from relay.reconciliation.runs import State
from relayctl.reconcile_checks import finding
from tests.rig import NOON

DAY = 86400.0
NOW_MS = round(NOON * 1000)


@pytest.mark.parametrize(
    ("state", "ok", "says"),
    [
        (State(), True, "nobody has reconciled it by hand yet"),
        (State(status="complete", complete=NOW_MS, since=NOW_MS), True, "nobody has reconciled"),
        (State(status="complete", complete=NOW_MS, by_hand=NOW_MS, listed=3), True, "3 listed"),
        (State(status="refused", detail="the list lacks 4 of 4 leaves", by_hand=1), False, "lacks 4 of 4"),
        (State(status="incomplete", detail="vendor_refused: 401", since=1), False, "vendor_refused: 401"),
        (State(complete=NOW_MS - round(2.1 * DAY * 1000), by_hand=1), False, "not to its end since"),
        (State(complete=NOW_MS - round(1.9 * DAY * 1000), by_hand=1), True, "0 listed"),
    ],
)
def test_finding(state: State, ok: bool, says: str) -> None:
    """A list that is not trusted, and one that has not been read for twice its interval, are problems."""
    found = finding("deel", state, DAY, NOON)
    assert (found.ok, says in found.detail) == (ok, True), found
    assert found.ok or "relayctl reconcile deel" in found.next
