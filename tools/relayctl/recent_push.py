"""What is queued right behind a push must not meet a function that has read the configuration before it."""

import time

from relay.config.store import FRESH_SECONDS, NEWEST_SECONDS, POINTER
from relayctl.output import working
from relayctl.target import Target

TAKEN_UP_SECONDS = FRESH_SECONDS + 1
"""So long after a push, a function reads again where a door is missing or a source is in shadow."""
SOURCES_KNOWN_SECONDS = NEWEST_SECONDS + 0.2
"""So long after a push, a function reads again where it does not know a source."""


def wait_for_push(target: Target, seconds: float = TAKEN_UP_SECONDS) -> None:
    """Wait until functions look at a configuration that was pushed just now: so long after it."""
    pointer = target.ledger().get([POINTER]).get(POINTER) or {}
    since = time.time() - pointer.get("swapped_at", 0) / 1000
    if since < seconds:
        with working("waiting until functions take the last push up"):
            # A clock here that is behind AWS's is no reason to wait for longer.
            time.sleep(seconds - max(since, 0))
