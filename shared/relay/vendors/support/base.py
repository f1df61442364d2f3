"""What a vendor's module declares."""

import base64
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

from relay.errors import Unparseable
from relay.events import Event, ThinEvent, Webhook, unparseable_if_invalid
from relay.vendors.support.proof import Scheme

if TYPE_CHECKING:
    from relay.vendors.support.listing import DoorList, EventList, LeaveList

Family = Literal["access-control", "hris"]
Fresh = Literal["id", "number", "iso", "seconds", "milliseconds"]
Subject = Literal["door", "person", "leave"]
Confidence = Literal["high", "medium", "low"]
"""How sure the facts are that a module follows: official text and independent code agree, one good source
says so, or only part of it is known. None has been confirmed on live traffic."""

_FIELD_OF_HOST = re.compile(r"\{(\w+)\}")
_LABEL = re.compile(r"[A-Za-z0-9-]{1,63}")

COMMON_KEYS = frozenset({"vendor", "enabled", "shadow", "silentAfterHours", "forwardMode", "reconcile"})
FAMILY_KEYS: Mapping[Family, frozenset[str]] = {
    "access-control": frozenset({"calvenSourceId", "unmappedDoors"}),
    "hris": frozenset({"partDays", "timeOffTypes"}),
}


class VendorApi(Protocol):
    """The vendor's API as a thin vendor's module sees it, bound to one source's credentials."""

    def get(self, path: str, absent: Collection[int] = (404,)) -> Any:
        """The JSON at a path, None for a status in `absent` only.

        Raises `VendorUnavailable`, for an answer that is null too, and `VendorRefused`.
        """

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """The JSON that answers a JSON body, or None for 404. Raises as `get` does."""

    def email(self, employee: str, ask: Callable[[], str | None]) -> str | None:
        """An employee's e-mail address: asked once a day, None where there is none. Raises likewise."""

    def name(self, kind: str, id: str, ask: Callable[[], Mapping[str, str]]) -> str | None:  # noqa: A002
        """What the vendor calls the thing of a kind with that id; `ask` gives all names by id, once a day.

        None where there is no such id. Raises likewise.
        """

    def setting(self, name: str) -> str:
        """A value of the secret's `api` that belongs into a path; raises `VendorRefused` without one."""

    def now(self) -> float:
        """Unix seconds: the version of what is being asked."""


@dataclass(frozen=True, kw_only=True)
class OAuth:
    """Where an API's access token comes from: a path, and the form made of the secret's `api`.

    The answer is RFC 6749's: `access_token`, and `expires_in` in seconds. Where the secret has a
    `refreshToken` the answer may hold the next one, which is asked with from then on.

    What differs from vendor to vendor: `host` makes the token endpoint's URL of the API's, `headers` are
    those of the token's request, `answer` is the token's name in the answer, and `carry` makes the headers
    with which a token is sent.
    """

    path: str
    form: Callable[[Mapping[str, str]], Mapping[str, str]]
    host: Callable[[str], str] = lambda url: url
    headers: Callable[[Mapping[str, str]], Mapping[str, str]] = lambda _: {}
    answer: str = "access_token"
    carry: Callable[[str], Mapping[str, str]] = lambda token: {"authorization": f"Bearer {token}"}


@dataclass(frozen=True, kw_only=True)
class Api:
    """How a vendor's API is reached: its public host, and the headers made of the secret's `api`.

    With `oauth` each request carries its token as well, unless the headers authorize it already. `fields` and
    `optional` are all that the secret's `api` may hold, beside the `baseUrl` that every vendor's may.
    `instead` are fields that may stand there in place of `fields`. A field's name in braces in `host`, as in
    `https://{company}.example.com`, stands for its value.
    """

    host: str
    fields: tuple[str, ...]
    optional: tuple[str, ...] = ()
    instead: tuple[str, ...] = ()
    headers: Callable[[Mapping[str, str]], Mapping[str, str]] = lambda _: {}
    oauth: OAuth | None = None

    def host_for(self, credentials: Mapping[str, str]) -> str:
        """The host of whoever has these credentials.

        Raises KeyError for a field that is missing, and ValueError for a value that would be more than one
        part of the host's name: another host must not get the credentials.
        """
        for name in _FIELD_OF_HOST.findall(self.host):
            if not _LABEL.fullmatch(credentials[name]):
                raise ValueError(f"api.{name} is not one part of a host's name, without dots")
        return self.host.format_map(credentials)


def basic(name: str, password: str) -> Mapping[str, str]:
    """The header of Basic authentication, RFC 7617."""
    pair = base64.b64encode(f"{name}:{password}".encode()).decode()
    return {"authorization": f"Basic {pair}"}


@dataclass(frozen=True, kw_only=True)
class Vendor:
    """One vendor: where its facts come from, how it signs, and how its payloads become events.

    `scheme` is how it proves itself, `second_scheme` another way beside it, with the secret's other list.
    `parse` is pure; `fetch` turns a `ThinEvent` into what the API says. Both may let pydantic's
    `ValidationError` rise, so call `read` and `ask` instead. `topics` are the last segments of the URL for a
    vendor whose bodies do not name their event.
    `ack_seconds` is how long the vendor waits for an answer, `queued_status` what it is answered when an
    event waits. `is_ping` recognises the unsigned bodies with which the vendor tries the URL, `handshake`
    finds the secret in a body that hands one over. `keep` makes of a verified request's headers those that
    the parser needs, without credentials. `fresh` names the fields (dotted) of a sample that
    `relayctl send` renews, so that it is a new event each time; `subjects` those that say at which door (or
    by which sensor), by whom, and of which leave: all that a sample has of one kind say the same. `*` in a
    path is any key.

    `lists` says how its API lists what happened, for a vendor that can be asked. Where none of its webhooks
    exist, `sends_webhooks` is false, and it has to be asked. `doors` says how its API lists the doors and
    sensors that there are.

    `settings` are the keys of a source in `relay.yaml` that do something for this vendor and not for its
    whole family, `unused` those of its family that do nothing for it.

    The texts are for people: `title`, `signature`, `forwards`, `ignores`, and `direction`, which says who
    tells in from out (the event, the door's configuration, or nobody where there is none).
    """

    name: str
    title: str
    families: tuple[Family, ...]
    docs: str
    signature: str
    forwards: str
    ignores: str
    direction: Literal["event", "door", "event or door", "-"]
    confidence: Confidence
    scheme: Scheme
    second_scheme: Scheme | None = None
    parse: Callable[[Webhook], Sequence[Event]]
    topics: frozenset[str] = frozenset()
    ack_seconds: float = 5.0
    queued_status: Literal[200, 202] = 202
    is_ping: Callable[[bytes], bool] = lambda _: False
    handshake: Callable[[bytes], str | None] = lambda _: None
    keep: Callable[[Mapping[str, str]], Mapping[str, str]] = lambda _: {}
    api: Api | None = None
    fetch: Callable[[ThinEvent, VendorApi], Sequence[Event]] | None = None
    fresh: Mapping[str, Fresh] = field(default_factory=dict)
    subjects: Mapping[str, Subject] = field(default_factory=dict)
    settings: frozenset[str] = frozenset()
    unused: frozenset[str] = frozenset()
    lists: "LeaveList | EventList | None" = None
    doors: "DoorList | None" = None
    sends_webhooks: bool = True

    def read(self, webhook: Webhook) -> Sequence[Event]:
        """What a verified webhook says; raises `Unparseable` or `TooLarge`."""
        with unparseable_if_invalid():
            return self.parse(webhook)

    def ask(self, thin: ThinEvent, api: VendorApi) -> Sequence[Event]:
        """Ask the vendor's API what a thin event is about; raises `Unparseable`, and what `api` raises."""
        if self.fetch is None:
            raise Unparseable("event: the vendor has no API to ask what became of it")
        with unparseable_if_invalid():
            return self.fetch(thin, api)

    @property
    def needs_api(self) -> bool:
        """Whether its webhooks come to nothing without `api`; else only its lists are asked for with it."""
        return self.fetch is not None and self.api is not None and bool(self.api.fields)

    @property
    def family(self) -> Family:
        """The family of its sources; of one that may be either, the first."""
        return self.families[0]

    @property
    def schemes(self) -> tuple[Scheme, ...]:
        """All ways to prove itself, each with a list of its own in the secret; none without webhooks."""
        if not self.sends_webhooks:
            return ()
        return (self.scheme, self.second_scheme) if self.second_scheme else (self.scheme,)

    @property
    def keys(self) -> frozenset[str]:
        """The keys of a source in `relay.yaml` that do something."""
        of_families = [FAMILY_KEYS[family] for family in self.families]
        return COMMON_KEYS.union(*of_families, self.settings) - self.unused
