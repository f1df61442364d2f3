"""Access tokens of vendors whose refresh token changes with each use: one chain, shared by all containers.

Each answer of such a vendor's token endpoint (RFC 6749, section 6) holds a new refresh token, and the old one
dies: at once, or when the new access token is first used. So one container at a time refreshes, and stores
the pair before anybody uses it; all containers use the same access token until it ends.

The pair is the secret `<stack>/tokens/<source>`. `vendor#<source>` / `tokens#<chain>` in the table is the
lease of whoever refreshes, and names the version of the secret that is the newest, because Secrets Manager
may still answer with the one before. It also names the version that is about to be stored, so that a pair is
found again whose holder died between storing and naming it.
"""

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from relay.aws.secrets import Secrets
from relay.aws.table import Conflict, Key, Table, Update
from relay.deadline import LEAST_REFRESH_SECONDS, Deadline
from relay.errors import TokenRefused, VendorUnavailable
from relay.vendors.support.api import Grant, GrantRefused, early

if TYPE_CHECKING:
    from relay.deadline import Clock

LEASE_SECONDS = 60.0
"""Longer than a refresh can take: the vendor's answer, the store and the note of it."""
STORE_SECONDS = 5.0
"""What storing the pair gets, however impatient the vendor of the event is."""
LOOK_SECONDS = 0.2
LOOKS = 15
"""How often, and how many times, it is looked whether another container has refreshed."""
REFUSED_SECONDS = 30.0
"""So long after a refusal the endpoint is not asked again with the same token."""
FRESH_SECONDS = 600.0
"""A token that is refused so soon after it was made is not renewed: another one would fare no better, and
Secrets Manager keeps each version for a day."""
WHAT_TO_DO = (
    "authorise the relay anew at the vendor, then put the new api.refreshToken into the source's secret"
)


@dataclass(frozen=True, slots=True)
class Pair:
    """The newest tokens of a chain, which `chain` tells from others. Times are Unix seconds."""

    chain: str
    refresh_token: str = field(repr=False)
    access_token: str = field(repr=False)
    made_at: float
    ends_at: float

    def is_good(self, now: float, refused: str | None) -> bool:
        """Whether the access token may be used: it has not ended, and is not the one that was refused.

        One that was refused right after it was made is used all the same: another one would fare no better.
        """
        if self.access_token == refused and now - self.made_at > FRESH_SECONDS:
            return False
        return now < self.ends_at


@dataclass(frozen=True, slots=True)
class Lease:
    """The item of a source. `version` is the newest pair's, `following` that of the pair about to be stored.

    `refused` is a digest of the refresh token that was refused last, `refused_since` the time of the first
    refusal since anything was granted. Times are Unix seconds.
    """

    chain: str = ""
    version: str = ""
    following: str = ""
    holder: str = ""
    until: float = 0.0
    refused: str = ""
    refused_at: float = 0.0
    refused_since: float = 0.0
    revision: int = 0

    def is_held(self, now: float) -> bool:
        """Whether somebody is refreshing."""
        return self.holder != "" and self.until > now


def lease_key(source: str, chain: str) -> Key:
    """Where the lease of a source's chain is in the table.

    Each chain has its own: a container that still holds the secret of before must not begin the old one anew
    in its place, after which the new one's first token would be used twice.
    """
    return f"vendor#{source}", f"tokens#{chain}"


def lease_of(item: Mapping[str, Any] | None) -> Lease:
    """The lease as it is stored; an empty one where there is none."""
    if item is None:
        return Lease()
    return Lease(
        version=item["version"],
        following=item["following"],
        holder=item["holder"],
        until=item["until"] / 1000,
        refused=item["refused"],
        refused_at=item["refused_at"] / 1000,
        refused_since=item["refused_since"] / 1000,
        revision=item["revision"],
    )


def chain_of(host: str, credentials: Mapping[str, str]) -> str:
    """What tells one chain from another: a new refresh token, client or host begins a new one."""
    said = (host, credentials.get("clientId", ""), credentials.get("refreshToken", ""))
    return digest("|".join(said))


def digest(text: str) -> str:
    """A name for something secret that does not give it away: it is random and long."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


class RotatingTokens:
    """One container's view of the chains.

    Raises `TokenRefused`, `VendorUnavailable`, `SecretUnreadable` and `TableUnavailable`: all of them wait.
    """

    def __init__(
        self,
        table: Table,
        secrets: Secrets,
        clock: "Clock" = time.time,
        kept: dict[str, Pair] | None = None,
        deadline: Deadline | None = None,
    ) -> None:
        # What comes without a deadline: to store a pair there is more time than the event has.
        self._unbounded = table, secrets
        self._table = table.until(deadline) if deadline else table
        self._secrets = secrets.until(deadline) if deadline else secrets
        self._clock = clock
        self._kept = {} if kept is None else kept

    def until(self, deadline: Deadline) -> "RotatingTokens":
        """The tokens, with those that are kept; each call to AWS ends by that deadline."""
        return RotatingTokens(*self._unbounded, self._clock, self._kept, deadline)

    def access_token(
        self,
        source: str,
        host: str,
        credentials: Mapping[str, str],
        refresh: Callable[[str], Grant],
        deadline: Deadline,
        refused: str | None = None,
    ) -> str:
        """The access token of a source, refreshed where it has ended.

        `credentials` hold the `refreshToken` with which the chain begins, `refresh` asks the token endpoint
        with one, and `refused` is an access token that the API has just refused.
        """
        chain = chain_of(host, credentials)
        if kept := self._kept_token(source, chain, refused):
            return kept
        # Whoever loses the lease to another finds the token of that one when it looks again.
        for _ in range(LOOKS):
            lease = self._lease(source, chain)
            newest, version = self._newest(source, lease)
            if newest and newest.is_good(self._clock(), refused):
                self._kept[source] = newest
                return newest.access_token
            # Asked twice with one refresh token, a vendor may take it for stolen and end the whole chain.
            if lease.is_held(self._clock()):
                self._wait(deadline)
                continue
            current = newest.refresh_token if newest else credentials["refreshToken"]
            self._check_may_refresh(lease, current, deadline)
            if mine := self._take_lease(source, lease, version):
                return self._refresh_and_store(source, mine, current, refresh)
        raise VendorUnavailable("another function is renewing the access token")

    def _kept_token(self, source: str, chain: str, refused: str | None) -> str | None:
        """The access token that this container keeps, where it is still good."""
        kept = self._kept.get(source)
        if kept is None or kept.chain != chain or not kept.is_good(self._clock(), refused):
            return None
        return kept.access_token

    def _check_may_refresh(self, lease: Lease, current: str, deadline: Deadline) -> None:
        """Raise where the endpoint is not to be asked with the current refresh token now."""
        now = self._clock()
        if lease.refused == digest(current) and now - lease.refused_at < REFUSED_SECONDS:
            raise TokenRefused(WHAT_TO_DO, seconds=now - lease.refused_since)
        if deadline.left() < LEAST_REFRESH_SECONDS:
            raise VendorUnavailable("too little time to renew the access token")

    def _wait(self, deadline: Deadline) -> None:
        if deadline.left() < LOOK_SECONDS:
            raise VendorUnavailable("another function is renewing the access token")
        time.sleep(LOOK_SECONDS)

    def _lease(self, source: str, chain: str) -> Lease:
        key = lease_key(source, chain)
        return replace(lease_of(self._table.get([key]).get(key)), chain=chain)

    def _newest(self, source: str, lease: Lease) -> tuple[Pair | None, str]:
        """The newest pair of the chain that is stored, and its version; None for one that has not begun.

        What was about to be stored comes first: its holder may have died before it could name it.
        """
        unnamed = lease.following and not lease.is_held(self._clock())
        if unnamed and (pair := self._read_pair(source, lease.following)):
            return pair, lease.following
        if not lease.version:
            return None, ""
        pair = self._read_pair(source, lease.version)
        if pair is None:
            # Beginning the chain again would replay a token that has been used.
            raise VendorUnavailable(f"tokens/{source} lacks the version that is the newest")
        return pair, lease.version

    def _read_pair(self, source: str, version: str) -> Pair | None:
        text = self._secrets.read_version(f"tokens/{source}", version)
        if text is None:
            return None
        try:
            found = json.loads(text)
            tokens = found["refreshToken"], found["accessToken"]
            return Pair(found["chain"], *tokens, float(found["madeAt"]), float(found["endsAt"]))
        except (ValueError, TypeError, KeyError):
            raise VendorUnavailable(f"tokens/{source} is not what the relay stored there") from None

    def _take_lease(self, source: str, lease: Lease, version: str) -> Lease | None:
        """The lease, now this container's, with the version that it will store; None if another has it."""
        mine = Lease(
            chain=lease.chain,
            version=version,
            following=str(uuid4()),
            holder=uuid4().hex,
            until=self._clock() + LEASE_SECONDS,
            refused=lease.refused,
            refused_at=lease.refused_at,
            refused_since=lease.refused_since,
            revision=lease.revision + 1,
        )
        return mine if self._write(source, mine, lease.revision) else None

    def _refresh_and_store(
        self, source: str, mine: Lease, current: str, refresh: Callable[[str], Grant]
    ) -> str:
        """Refresh under the lease, and store the pair before its token is used."""
        try:
            grant = refresh(current)
        except GrantRefused:
            raise self._note_refusal(source, mine, current) from None
        # Where there was no answer the lease runs out: the vendor may yet grant what it was asked.
        now = self._clock()
        ends_at = now + grant.seconds - early(grant.seconds)
        pair = Pair(mine.chain, grant.refresh_token or current, grant.access_token, now, ends_at)
        # Not by the deadline of the event: an answer that is not stored is a refresh token lost.
        self.until(Deadline(now + STORE_SECONDS, self._clock)).store(source, mine, pair)
        self._kept[source] = pair
        return pair.access_token

    def store(self, source: str, mine: Lease, pair: Pair) -> None:
        """Store a pair under the lease, and name it the newest."""
        # Stored first, named after: a name without a pair would end the chain.
        self._secrets.write_version(f"tokens/{source}", mine.following, _text(pair))
        named = replace(mine, version=mine.following, following="", refused="", refused_since=0.0)
        self._let_go(source, named)

    def _note_refusal(self, source: str, mine: Lease, current: str) -> TokenRefused:
        """Let the lease go, so that nobody asks with that token for a while; the error to raise."""
        now = self._clock()
        since = mine.refused_since or now
        noted = replace(mine, following="", refused=digest(current), refused_at=now, refused_since=since)
        self._let_go(source, noted)
        return TokenRefused(WHAT_TO_DO, seconds=now - since)

    def _let_go(self, source: str, lease: Lease) -> None:
        """Write the lease without a holder. Where another has taken it since, it is theirs."""
        self._write(source, replace(lease, holder="", until=0.0, revision=lease.revision + 1), lease.revision)

    def _write(self, source: str, lease: Lease, revision: int) -> bool:
        values = {
            "version": lease.version,
            "following": lease.following,
            "holder": lease.holder,
            "until": round(lease.until * 1000),
            "refused": lease.refused,
            "refused_at": round(lease.refused_at * 1000),
            "refused_since": round(lease.refused_since * 1000),
            "revision": lease.revision,
        }
        try:
            key = lease_key(source, lease.chain)
            self._table.write([Update(key=key, set=values, expect={"revision": revision or None})])
        except Conflict:
            return False
        return True


def _text(pair: Pair) -> str:
    return json.dumps(
        {
            "chain": pair.chain,
            "refreshToken": pair.refresh_token,
            "accessToken": pair.access_token,
            "madeAt": pair.made_at,
            "endsAt": pair.ends_at,
        }
    )
