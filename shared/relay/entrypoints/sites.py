"""Closes the days of many sites at once: each has a time of its own, and one that fails holds up no other."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from relay.errors import NotNow
from relay.invocation import Invocation
from relay.observability import whereabouts
from relay.occupancy.rules import PendingFact

if TYPE_CHECKING:
    from relay.occupancy.closing import Notes

AT_ONCE = 8
"""So many sites are looked at at once: most of the time goes by while DynamoDB answers."""
SITES_TOGETHER = 6
"""Of so many sites one request reads which days are done: fifteen or sixteen days of each."""
SITE_SECONDS = 5.0
"""So long a site may take. The next run goes on where it was."""


@dataclass(frozen=True, slots=True)
class Looked:
    """What is pending of a site (by `locationId`); else the class and the text of the error."""

    site: str
    pending: Sequence[PendingFact] = ()
    error: str = ""
    detail: str = ""


def close_days(sites: Sequence[str], invocation: Invocation) -> Iterator[Looked]:
    """Close the days of some sites that are over, in the order of the sites. Its configuration is read."""
    groups = [sites[start : start + SITES_TOGETHER] for start in range(0, len(sites), SITES_TOGETHER)]
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="site") as pool:
        notes = pool.map(partial(_notes, invocation), groups)
        known = (of_group for group, of_group in zip(groups, notes, strict=True) for _ in group)
        yield from pool.map(partial(_close_days, invocation), sites, known)


def _notes(invocation: Invocation, sites: Sequence[str]) -> "Notes | None":
    """The notes of some sites; None where they cannot be read together, because of one of them or of all."""
    try:
        return _own(invocation).closing.notes(sites, invocation.config)
    except Exception:  # noqa: BLE001 - each site reads its own then, and says what is wrong
        return None


def _close_days(invocation: Invocation, site: str, notes: "Notes | None") -> Looked:
    try:
        invocation.deadline.check()
        own = _own(invocation)
        return Looked(site, own.closing.close_days(site, own.config, own.deadline, notes))
    except NotNow as error:
        return Looked(site, error=type(error).__name__, detail=str(error) or error.reason)
    except Exception as error:  # noqa: BLE001 - one site's fault ends no other's day, and is told
        return Looked(site, error=whereabouts(error))


def _own(invocation: Invocation) -> Invocation:
    return invocation.until(invocation.deadline.at_most(SITE_SECONDS))
