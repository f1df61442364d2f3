"""What the relay remembers of vendors' employees and events, so that it asks and decides only once.

`vendor#<source>` / `email#<employee>` is an employee's e-mail address for a day after it was asked,
`vendor#<source>` / `names#<kind>` what the vendor calls things of a kind, by id, for as long;
`vendor#<source>` / `seen#<event>` when an event without a time of its own first came, for as long as a
delivery of it may come again. `heard` / `<source>` is when a source was last heard of, to some minutes.
`vendor#<source>` / `offered` holds, for a day, what a vendor handed over as the secret of a source that has
none yet. `vendor#<source>` / `news` is when a vendor last said that there is something to ask for.
"""

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from relay.aws.table import Conflict, Key, Table, Update
from relay.errors import TableUnavailable

if TYPE_CHECKING:
    from relay.deadline import Clock, Deadline

DAY_SECONDS = 24 * 3600
SEEN_SECONDS = 40 * DAY_SECONDS
MOST_OFFERED = 20
HEARD_SECONDS = 300.0
"""How exactly it is known when a source was last heard of: a write for each webhook would tell no more."""


class VendorMemory:
    """Raises `TableUnavailable`."""

    def __init__(
        self, table: Table, clock: "Clock" = time.time, heard: dict[str, float] | None = None
    ) -> None:
        self._table = table
        self._clock = clock
        self._heard = {} if heard is None else heard

    def until(self, deadline: "Deadline") -> "VendorMemory":
        """The memory, each of whose calls ends by that deadline."""
        return VendorMemory(self._table.until(deadline), self._clock, self._heard)

    def heard(self, source: str) -> None:
        """Note that a source has sent something; where that cannot be done it is, some minutes later."""
        now = self._clock()
        if now - self._heard.get(source, float("-inf")) >= HEARD_SECONDS:
            # Before the write: while the table fails, not every webhook is to try it.
            self._heard[source] = now
            with suppress(TableUnavailable, Conflict):
                # It never expires: a source that was forgotten would look new, and would not be silent.
                self._table.write([Update(key=("heard", source), set={"at": round(now * 1000)})])

    def last_heard(self, sources: Sequence[str]) -> dict[str, float]:
        """When each source was last heard of, Unix seconds; one that is new counts from now."""
        found = self.heard_at(sources)
        for source in sources:
            if source not in found:
                self.heard(source)
        now = self._clock()
        return {source: found.get(source, now) for source in sources}

    def heard_at(self, sources: Sequence[str]) -> dict[str, float]:
        """When each source was last heard of, Unix seconds, without those that never were."""
        found = self._table.get([("heard", source) for source in sources])
        return {key[1]: item["at"] / 1000 for key, item in found.items()}

    def note_news(self, source: str) -> None:
        """Note that a vendor has something to be asked for: should nobody ask now, the schedule does."""
        values = {"at": round(self._clock() * 1000), "expires_at": int(self._clock()) + SEEN_SECONDS}
        with suppress(Conflict):  # somebody else has noted it now
            self._table.write([Update(key=self._key(source, "news"), set=values)])

    def last_news(self, sources: Sequence[str]) -> dict[str, float]:
        """When each source's vendor last said that there is news, Unix seconds; those that said so only."""
        found = self._table.get([self._key(source, "news") for source in sources])
        keys = {source: self._key(source, "news") for source in sources}
        return {source: found[key]["at"] / 1000 for source, key in keys.items() if key in found}

    def email(self, source: str, employee: str) -> str | None:
        """An employee's address, where it was asked within a day."""
        key = self._key(source, f"email#{employee}")
        item = self._table.get([key]).get(key)
        return item["email"] if item and item["expires_at"] > self._clock() else None

    def remember_email(self, source: str, employee: str, email: str) -> None:
        """Remember an address; where that cannot be done it is asked again."""
        values = {"email": email, "expires_at": int(self._clock()) + DAY_SECONDS}
        with suppress(TableUnavailable, Conflict):
            self._table.write([Update(key=self._key(source, f"email#{employee}"), set=values)])

    def names(self, source: str, kind: str) -> Mapping[str, str]:
        """The names of a kind by id, where they were asked within a day; none otherwise."""
        key = self._key(source, f"names#{kind}")
        item = self._table.get([key]).get(key)
        # DynamoDB deletes an expired item within days, not at once.
        return item["names"] if item and item["expires_at"] > self._clock() else {}

    def remember_names(self, source: str, kind: str, names: Mapping[str, str]) -> None:
        """Remember names; where that cannot be done they are asked again."""
        values = {"names": dict(names), "expires_at": int(self._clock()) + DAY_SECONDS}
        with suppress(TableUnavailable, Conflict):
            self._table.write([Update(key=self._key(source, f"names#{kind}"), set=values)])

    def first_seen(self, source: str, event_id: str, at: float) -> float:
        """When an event first came, Unix seconds: `at` if that is now."""
        key, now = self._key(source, f"seen#{event_id}"), int(self._clock())
        with suppress(Conflict):
            # The write itself finds out who was first. Mostly the event is new, which saves a read.
            values = {"at": round(at * 1000), "expires_at": now + SEEN_SECONDS}
            self._table.write([Update(key=key, set=values, expect={"at": None})])
            return at
        item = self._table.get([key]).get(key)
        known = item["at"] / 1000 if item else at
        if at < known:  # this one came first, and waited
            with suppress(Conflict):
                self._table.write([Update(key=key, set={"at": round(at * 1000)})])
        return min(at, known)

    def offer(self, source: str, secret: str) -> None:
        """Keep a secret that a vendor hands over, beside the latest few, for the operator to confirm."""
        # Until there is a secret anybody may post one, so that a single one could be displaced.
        kept = [secret, *(other for other in self.offered(source) if other != secret)][:MOST_OFFERED]
        values = {"secrets": kept, "expires_at": int(self._clock()) + DAY_SECONDS}
        with suppress(Conflict):
            self._table.write([Update(key=self._key(source, "offered"), set=values)])

    def offered(self, source: str) -> list[str]:
        """What was handed over within a day, the latest first."""
        key = self._key(source, "offered")
        item = self._table.get([key]).get(key)
        return list(item["secrets"]) if item and item["expires_at"] > self._clock() else []

    def _key(self, source: str, what: str) -> Key:
        return f"vendor#{source}", what
