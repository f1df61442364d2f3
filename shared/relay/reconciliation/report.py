"""What a reconciliation found, for a log line, a metric, a table."""

from dataclasses import dataclass, field
from typing import Literal

from relay.reconciliation.rules import Difference

Status = Literal["complete", "incomplete", "refused", "busy", "unable"]


@dataclass(slots=True)
class Report:
    """What became of one source's run.

    `status` is `complete`; `incomplete` where the list was not read to its end, which `detail` explains;
    `refused` where it would have ended too many; `busy` where somebody else runs the source; `unable` where
    its vendor cannot be asked. `listed` counts what the list held, `ends` how many leaves it lacked. `queued`
    counts what went into the Unprocessed queue.
    """

    source: str
    vendor: str
    status: Status = "incomplete"
    detail: str = ""
    listed: int = 0
    unreadable: int = 0
    unmapped: int = 0
    ends: int = 0
    queued: int = 0
    differences: list[Difference] = field(default_factory=list)
    """What differs, where somebody looks at it."""
    found: int = 0
    """How many differences there were, those of events at doors included."""
    found_now: int = 0
    """How many of them this process has found: a run that was broken off goes on in another."""
