"""What vendors' APIs answered when it was recorded, and what becomes of a sample when they are asked."""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from localrun.vendor_api import answer_file
from relay import vendors
from relay.entrypoints.request import RawRequest
from relay.events import Event, ThinEvent, Webhook
from relay.vendors.support.base import Vendor
from relayctl import samples
from tests.rig import NOON


class Api:
    """A vendor's API with the answers of `events/<vendor>/api`; `change` may alter one before it is given."""

    def __init__(self, vendor: str, change: Callable[[Any], Any] = lambda answer: answer) -> None:
        self._vendor, self._change = vendor, change
        self.asked: list[str] = []

    def get(self, path: str, absent: Collection[int] = (404,)) -> Any:
        """The answer as the stand-in for the vendor's API has it; None without one."""
        self.asked.append(path)
        file = answer_file(self._vendor, path.partition("?")[0])
        if file is None:
            assert 404 in absent
            return None
        return self._change(json.loads(file.read_text()))

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """Nothing is recorded."""
        self.asked.append(path)
        assert body

    def email(self, employee: str, ask: Callable[[], str | None]) -> str | None:
        """Asked each time."""
        assert employee
        return ask()

    def name(self, kind: str, id: str, ask: Callable[[], Mapping[str, str]]) -> str | None:  # noqa: A002
        """Asked each time."""
        assert kind
        return ask().get(id)

    def setting(self, name: str) -> str:
        """Any value."""
        return f"a-{name}"

    def now(self) -> float:
        """Always the same time."""
        return NOON


def webhook(vendor: Vendor, name: str, body: bytes | None = None) -> Webhook:
    """A sample as a verified webhook, signed at `NOON`."""
    body = samples.body(vendor.name, name) if body is None else body
    signature = vendor.scheme.sign(body, "whsec_c2VjcmV0", NOON)
    request = RawRequest("POST", "source", body, NOON, headers=signature.headers)
    topic = samples.topic(vendor, name)
    return Webhook(body=body, received_at=NOON, topic=topic, headers=vendor.keep(request.headers))


def events(vendor: str, name: str, api: Api | None = None) -> Sequence[Event]:
    """What a sample becomes, once the vendor's API has been asked."""
    record = vendors.load(vendor)
    return [
        event
        for parsed in record.read(webhook(record, name))
        for event in asked(record, parsed, api or Api(vendor))
    ]


def asked(vendor: Vendor, event: Event, api: Api) -> Sequence[Event]:
    """An event, or what the API says where it only announces something."""
    return vendor.ask(event, api) if isinstance(event, ThinEvent) else [event]


def every() -> list[tuple[str, str]]:
    """Each vendor with each of its samples."""
    return [(vendor, name) for vendor in vendors.NAMES for name in samples.names(vendor)]
