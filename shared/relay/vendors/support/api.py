"""Questions to a vendor's own API, with the credentials in its source's secret.

The host is the vendor module's, or the secret's `api.baseUrl`; never one that a payload names.
"""

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from relay.aws.secrets import SourceSecret
from relay.deadline import Deadline
from relay.errors import Unparseable, VendorRefused, VendorUnavailable
from relay.events import read_json, storable
from relay.http import RETRIED_STATUSES, Answer, Http, NoAnswer
from relay.vendors.support.base import Api, OAuth
from relay.vendors.support.memory import VendorMemory

if TYPE_CHECKING:
    from relay.deadline import Clock
    from relay.vendors.support.tokens import RotatingTokens

GONE = frozenset({404})
# 64 characters, an `@` and a domain of 255 (RFC 5321, 4.5.3.1).
LONGEST_ADDRESS = 320
EARLY_SECONDS = 60.0
# No token lives for thirty years: such an answer says something else.
MOST_SECONDS = 10**9
REFRESH_SECONDS = 4.0
"""What a token endpoint gets at least, once it is asked with a refresh token."""
MOST_REFRESH_SECONDS = 30.0
"""What it gets at most, also where nobody waits: less than the lease of whoever refreshes."""
UNSAID_SECONDS = 300.0
"""How long a token is used whose answer does not say when it ends."""

_Credentials = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Grant:
    """What a token endpoint gave: an access token for so many seconds, and maybe the next refresh token."""

    access_token: str = field(repr=False)
    seconds: float
    refresh_token: str | None = field(default=None, repr=False)


class GrantRefused(Exception):
    """The token endpoint answered that the refresh token is not good."""


def early(seconds: float) -> float:
    """How long before its end a token is not used any more."""
    # Of one that lives for a minute, a minute would be all of it.
    return min(EARLY_SECONDS, seconds / 4)


class Tokens:
    """Access tokens to vendors' APIs, kept until they expire; one container's, by host and credentials."""

    def __init__(self, clock: "Clock" = time.time) -> None:
        self._clock = clock
        self._kept: dict[tuple[str, _Credentials], tuple[str, float]] = {}

    def get(self, host: str, credentials: _Credentials) -> str | None:
        """A token that is still good."""
        token, until = self._kept.get((host, credentials), ("", 0.0))
        return token if self._clock() < until else None

    def keep(self, host: str, credentials: _Credentials, token: str, seconds: float) -> None:
        """Keep a token that is good for so long."""
        self._kept[host, credentials] = token, self._clock() + seconds - early(seconds)

    def drop(self, host: str, credentials: _Credentials) -> None:
        """Forget a token that was refused."""
        self._kept.pop((host, credentials), None)


class VendorApis:
    """What a container's questions to vendors' APIs share. `rotating` are its refresh tokens, once needed."""

    def __init__(
        self,
        http: Http,
        memory: VendorMemory,
        rotating: Callable[[], "RotatingTokens"],
        clock: "Clock" = time.time,
        tokens: Tokens | None = None,
    ) -> None:
        self.http = http
        self.memory = memory
        self.clock = clock
        self.tokens = tokens or Tokens(clock)
        self.rotating = rotating

    def until(self, deadline: Deadline) -> "VendorApis":
        """The same, each of whose calls to AWS ends by that deadline."""
        memory = self.memory.until(deadline)
        return VendorApis(self.http, memory, lambda: self.rotating().until(deadline), self.clock, self.tokens)


class VendorClient:
    """A vendor's API for one source; `anew` has it ask for addresses that are remembered too.

    Raises `VendorUnavailable`, `VendorRefused` and `TableUnavailable`.
    """

    def __init__(
        self,
        shared: VendorApis,
        api: Api,
        secret: SourceSecret,
        deadline: Deadline,
        source: str,
        *,
        anew: bool = False,
    ) -> None:
        credentials = {name: value.get_secret_value() for name, value in (secret.api or {}).items()}
        base_url = credentials.pop("baseUrl", "")
        self._credentials = credentials
        try:
            self._base_url = (base_url or _host(api, credentials)).rstrip("/")
            self._headers = {"accept": "application/json", **api.headers(credentials)}
            # A fixed token in the secret goes before one that is granted.
            self._oauth = None if "authorization" in self._headers else api.oauth
            self._form = self._oauth.form(credentials) if self._oauth else {}
            self._token_headers = self._oauth.headers(credentials) if self._oauth else {}
        except KeyError as missing:
            raise VendorRefused(f"the source's secret has no api.{missing.args[0]}") from None
        self._http = shared.http
        self._tokens = shared.tokens
        self._rotating = shared.rotating
        self._memory = shared.memory
        self._clock = shared.clock
        self._deadline = deadline
        self._source = source
        self._anew = anew

    def now(self) -> float:
        """Unix seconds."""
        return self._clock()

    def get(self, path: str, absent: Collection[int] = GONE) -> Any:
        """The JSON at a path; None where there is nothing."""
        return self._ask("GET", path, absent)

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """The JSON that answers a JSON body; None where there is nothing."""
        return self._ask("POST", path, GONE, body)

    def email(self, employee: str, ask: Callable[[], str | None]) -> str | None:
        """An employee's address as it was within a day, else as `ask` finds it."""
        known = None if self._anew else self._memory.email(self._source, employee)
        if known:
            return known
        email = ask()
        if email and len(email) <= LONGEST_ADDRESS and storable(email) == email:
            self._memory.remember_email(self._source, employee, email)
            return email
        return None

    def name(self, kind: str, id: str, ask: Callable[[], Mapping[str, str]]) -> str | None:  # noqa: A002
        """What the vendor calls something: as it was within a day, else as `ask` finds it."""
        known = self._memory.names(self._source, kind)
        if id not in known:
            known = {key: storable(name) for key, name in ask().items()}
            self._memory.remember_names(self._source, kind, known)
        return known.get(id)

    def setting(self, name: str) -> str:
        """A value of the secret's `api`, for a path."""
        if not (value := self._credentials.get(name)):
            raise VendorRefused(f"the source's secret has no api.{name}")
        # A slash in it would lead to another path.
        return quote(value, safe="")

    def _ask(
        self, method: str, path: str, absent: Collection[int], body: Mapping[str, Any] | None = None
    ) -> Any:
        if self._oauth is None:
            answer = self._send(method, path, self._headers, json=body)
        else:
            token = self._token(self._oauth)
            answer = self._send(method, path, {**self._headers, **self._oauth.carry(token)}, json=body)
            # A vendor may end a token before its time. One that is new is refused for another reason.
            if answer.status == 401:
                token = self._token(self._oauth, refused=token)
                answer = self._send(method, path, {**self._headers, **self._oauth.carry(token)}, json=body)
        return None if answer.status in absent else self._json(answer)

    def _token(self, oauth: OAuth, refused: str | None = None) -> str:
        """An access token that is good, and not the one that was refused."""
        if "refreshToken" in self._credentials:
            refresh = partial(self._refresh, oauth)
            return self._rotating().access_token(
                self._source, self._base_url, self._credentials, refresh, self._deadline, refused
            )
        if refused:
            self._tokens.drop(self._base_url, self._key())
        known = self._tokens.get(self._base_url, self._key())
        return known or self._new_token(oauth)

    def _new_token(self, oauth: OAuth) -> str:
        answer = self._send_for_token(oauth, self._form)
        # OAuth answers 400 to credentials that it does not know (RFC 6749, 5.2): to ask again helps nobody.
        if answer.status == 400:
            raise VendorRefused("the vendor's API gave no token: 400")
        grant = self._read_grant(oauth, answer)
        self._tokens.keep(self._base_url, self._key(), grant.access_token, grant.seconds)
        return grant.access_token

    def _refresh(self, oauth: OAuth, refresh_token: str) -> Grant:
        """What the token endpoint gives for a refresh token; raises `GrantRefused` where it is not good."""
        form = oauth.form({**self._credentials, "refreshToken": refresh_token})
        # An answer that is not waited for is a refresh token lost: better that a webhook is answered late.
        limit = Deadline(max(self._deadline.at, self._clock() + REFRESH_SECONDS), self._clock)
        answer = self._send_for_token(oauth, form, limit.at_most(MOST_REFRESH_SECONDS))
        # Vendors differ in which of these they answer to a refresh token that is used up.
        if answer.status in (400, 401, 403):
            raise GrantRefused
        return self._read_grant(oauth, answer)

    def _send_for_token(self, oauth: OAuth, form: Mapping[str, str], limit: Deadline | None = None) -> Answer:
        headers = {"accept": "application/json", **self._token_headers}
        url = oauth.host(self._base_url) + oauth.path
        return self._send_to("POST", url, headers, form=form, limit=limit)

    def _read_grant(self, oauth: OAuth, answer: Answer) -> Grant:
        found = self._json(answer)
        token = found.get(oauth.answer) if isinstance(found, dict) else None
        # It becomes a header's value, in which a line end would begin another header.
        if not isinstance(token, str) or not token.isascii() or not token.isprintable():
            raise VendorUnavailable("the vendor's API gave no token")
        seconds, following = found.get("expires_in"), found.get("refresh_token")
        # Some vendors say it as a text, or not at all.
        usable = isinstance(seconds, int | float) and 0 < seconds < MOST_SECONDS
        good = float(seconds) if usable else UNSAID_SECONDS
        return Grant(token, good, following if isinstance(following, str) and following else None)

    def _key(self) -> _Credentials:
        # A rotated secret is another key, so that no token of the former one is used with it.
        return tuple(sorted(self._credentials.items()))

    def _send(
        self, method: str, path: str, headers: Mapping[str, str], json: Mapping[str, Any] | None = None
    ) -> Answer:
        # Without its slash it would go on with the host's name, and take the token to another host.
        if not path.startswith("/"):
            raise Unparseable("the path of a question does not begin with a slash")
        return self._send_to(method, self._base_url + path, headers, json)

    def _send_to(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        json: Mapping[str, Any] | None = None,
        form: Mapping[str, str] | None = None,
        limit: Deadline | None = None,
    ) -> Answer:
        deadline = limit or self._deadline
        try:
            return self._http.request(method, url, headers, deadline, json=json, form=form)
        except NoAnswer as error:
            raise VendorUnavailable(f"no answer from the vendor's API: {error}") from None

    def _json(self, answer: Answer) -> Any:
        if answer.status in RETRIED_STATUSES or answer.status >= 500:
            wait = answer.retry_after(self._clock())
            raise VendorUnavailable(f"the vendor's API answered {answer.status}", retry_after=wait)
        # A redirect is refused too: it could lead the credentials to another host.
        if not 200 <= answer.status < 300:
            raise VendorRefused(f"the vendor's API answered {answer.status}")
        try:
            found = read_json(answer.body)
        except Unparseable:
            raise VendorUnavailable("the vendor's API answered no JSON") from None
        # It says nothing, and must not look like the answer that there is nothing.
        if found is None:
            raise VendorUnavailable("the vendor's API answered null")
        return found


def _host(api: Api, credentials: Mapping[str, str]) -> str:
    try:
        return api.host_for(credentials)
    except ValueError as wrong:
        raise VendorRefused(f"the source's secret: {wrong}") from None
