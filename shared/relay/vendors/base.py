"""What a vendor's module declares."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from relay.events import Event, LeaveNotice, Webhook
from relay.signatures import Scheme

Family = Literal["access-control", "hris"]
Fresh = Literal["id", "iso", "seconds"]


class VendorApi(Protocol):
    """The vendor's API as a thin vendor's module sees it, bound to one source's credentials."""

    def get(self, path: str, absent: Collection[int] = (404,)) -> Any:
        """The JSON at a path, None for a status in `absent`. Raises `VendorUnavailable`, `VendorRefused`."""

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """The JSON that answers a JSON body, or None for 404. Raises as `get` does."""

    def now(self) -> float:
        """Unix seconds: the version of what is being asked."""


@dataclass(frozen=True, kw_only=True)
class Api:
    """How a thin vendor's API is reached: its public host and the headers made of the secret's `api`."""

    host: str
    headers: Callable[[Mapping[str, str]], Mapping[str, str]]


@dataclass(frozen=True, kw_only=True)
class Vendor:
    """One vendor: where its facts come from, how it signs, and how its payloads become events.

    `parse` is pure; it raises `Unparseable`. `fetch` turns a `LeaveNotice` into what the API says.
    `ack_seconds` is how long the vendor waits for an answer. `is_ping` recognises the unsigned bodies with
    which the vendor tries the URL. `fresh` names the fields (dotted) of a sample that `relayctl send`
    renews, so that it is a new event each time.
    """

    name: str
    family: Family
    docs: str
    scheme: Scheme
    parse: Callable[[Webhook], Sequence[Event]]
    ack_seconds: float = 5.0
    is_ping: Callable[[bytes], bool] = lambda _: False
    api: Api | None = None
    fetch: Callable[[LeaveNotice, VendorApi], Sequence[Event]] | None = None
    fresh: Mapping[str, Fresh] = field(default_factory=dict)
