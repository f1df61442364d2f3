"""What an envelope holds: its request parsed, and a thin vendor's API asked, into events to be settled."""

from collections.abc import Sequence
from uuid import uuid4

from pydantic import ValidationError

from relay import vendors
from relay.aws.secrets import SourceSecret
from relay.container import Container
from relay.deadline import Deadline, Pace
from relay.envelope import FAMILIES, Envelope, StoredRequest
from relay.errors import NotNow, TokenRefused, Unparseable, VendorRefused, VendorUnavailable
from relay.events import (
    BadgeEvent,
    Counting,
    Event,
    Ignored,
    LeaveChange,
    MalformedEvent,
    ThinEvent,
    Webhook,
    iso,
    unparseable,
    utc,
)
from relay.occupancy.rules import anonymous
from relay.vendors.api import VendorClient
from relay.vendors.base import Api

AHEAD_SECONDS = 300.0
"""How far ahead of ours a vendor's clock may be."""


class Parser:
    """Opens the envelopes of one invocation; a vendor's API that was silent once is not asked again in it.

    Every method raises `Stop` where an event goes no further.
    """

    def __init__(self, container: Container, deadline: Deadline, pace: Pace) -> None:
        self._container = container
        self._deadline = deadline
        self._pace = pace
        self._silent: set[str] = set()
        self.received = 0

    def parts(self, envelope: Envelope) -> list[tuple[Envelope, Event | None]]:
        """The events of an envelope, each with the envelope in which it waits if it comes to that."""
        if envelope.request is None:
            return [(envelope, envelope.event)]
        events = self._parsed(envelope)
        if len(events) == 1 and isinstance(events[0], ThinEvent):
            return [(envelope, events[0])]
        return [(part, part.event) for part in self._split(envelope, events)]

    def read(self, envelope: Envelope, event: Event | None) -> list[Envelope]:
        """The envelope, or where its event only announces something, one for each event that it was."""
        if not isinstance(event, ThinEvent):
            return [envelope]
        return self._split(envelope, self._fetched(event, envelope))

    def unfetched(self, envelope: Envelope) -> list[Envelope]:
        """An envelope for each event, none asked about; a request that announces something, as it is."""
        events = self._parsed(envelope)
        thin = any(isinstance(event, ThinEvent) for event in events)
        return [envelope] if thin else self._split(envelope, events)

    def _parsed(self, envelope: Envelope) -> Sequence[Event]:
        self.received += 1
        request = envelope.request or StoredRequest(body="")
        source = self._container.config.current().sources.get(envelope.source)
        received_at = envelope.received_at.timestamp()
        webhook = request.webhook(received_at, source.counting if source else Counting())
        try:
            events = vendors.load(envelope.vendor).parse(webhook)
        except vendors.UnknownVendor:
            raise Unparseable("no such vendor") from None
        except ValidationError as error:
            raise unparseable(error) from None
        if len(events) > self._pace.most:
            raise NotNow(reason="large_delivery")
        self.received += max(len(events) - 1, 0)
        return [self._dated(event, envelope) for event in events]

    def _dated(self, event: Event, envelope: Envelope) -> Event:
        """The event, with a time that holds.

        One without a time of its own counts from when it first came. A leave change from ahead of its receipt
        counts as `AHEAD_SECONDS` ahead: one wrong clock must not outlast every later change. Both follow from
        the receipt, so that what waits in the queue does not grow newer there.
        """
        if isinstance(event, BadgeEvent) and event.undated:
            first = self._container.vendor_memory.first_seen(
                envelope.source, event.event_id, event.at.timestamp()
            )
            return event.model_copy(update={"at": utc(first), "undated": None})
        if isinstance(event, ThinEvent) and event.change is not None:
            change = self._dated(event.change, envelope)
            return event.model_copy(update={"change": change})
        if not isinstance(event, LeaveChange):
            return event
        received_at = envelope.received_at.timestamp()
        version = event.version
        if version.startswith("/"):
            seen = self._container.vendor_memory.first_seen(envelope.source, event.event_id, received_at)
            version = iso(seen) + version
        latest = iso(received_at + AHEAD_SECONDS)
        return event.model_copy(update={"version": version, "early": latest if version > latest else None})

    def _fetched(self, event: ThinEvent, envelope: Envelope) -> Sequence[Event]:
        vendor = vendors.load(envelope.vendor)
        if vendor.fetch is None or vendor.api is None:
            raise Unparseable("event: the vendor has no API to ask what became of it")
        self._deadline.check()
        if envelope.source in self._silent:
            raise VendorUnavailable("the vendor's API did not answer for another event of this batch")
        family = FAMILIES[envelope.kind]
        secret = self._container.secrets.source(family, envelope.source)
        try:
            return vendor.fetch(event, self._client(vendor.api, secret, envelope))
        except (VendorRefused, TokenRefused) as refusal:
            renewed = self._container.secrets.refetch_source(family, envelope.source)
            if renewed is not None and renewed != secret:
                return vendor.fetch(event, self._client(vendor.api, renewed, envelope))
            if isinstance(refusal, TokenRefused):
                self._silent.add(envelope.source)
            raise
        except VendorUnavailable:
            self._silent.add(envelope.source)
            raise
        except ValidationError as error:
            raise unparseable(error) from None

    def _client(self, api: Api, secret: SourceSecret, envelope: Envelope) -> VendorClient:
        limit = self._deadline.at_most(min(self._deadline.left_for_work(), self._pace.call_seconds))
        # Calven did not know the address that was remembered: it may have been mended since.
        anew = envelope.reason == "unknown_user"
        return VendorClient(self._container.vendor_apis, api, secret, limit, envelope.source, anew=anew)

    def _split(self, envelope: Envelope, events: Sequence[Event]) -> list[Envelope]:
        """An envelope for each event, under an id of its own where there are several; nobody is named."""
        parts = []
        for event in events or [Ignored(reason="no_event")]:
            part_id = {"id": uuid4().hex} if len(events) > 1 else {}
            parts.append(envelope.model_copy(update={**self._part(event, envelope), **part_id}))
        return parts

    def _part(self, event: Event, envelope: Envelope) -> dict[str, object]:
        """What an envelope holds of one event; of an unreadable one, a request of its own."""
        if isinstance(event, MalformedEvent):
            webhook = Webhook(body=event.body.encode(), received_at=envelope.received_at.timestamp())
            return {"request": StoredRequest.of(webhook), "detail": event.detail}
        shown = self._anonymous(event, envelope) if isinstance(event, BadgeEvent) else event
        return {"event": shown, "request": None}

    def _anonymous(self, badge: BadgeEvent, envelope: Envelope) -> BadgeEvent:
        if badge.person is None:
            return badge
        return anonymous(badge, envelope.source, self._container.secrets.person_key())
