"""What an envelope holds: its request parsed, and a thin vendor's API asked, into events to be settled."""

from collections.abc import Sequence
from uuid import uuid4

from relay import vendors
from relay.aws.secrets import SourceSecret
from relay.delivery.sightings import sighting
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
    not_ahead,
    utc,
)
from relay.invocation import Invocation
from relay.occupancy.rules import anonymous
from relay.vendors.support.api import VendorClient
from relay.vendors.support.base import Api, Vendor
from relay.vendors.support.seen import Sighting


class Parser:
    """Parses the envelopes of one invocation; a vendor's API that was silent once is not asked again in it.

    Every method raises `Stop` where an event goes no further.
    """

    def __init__(self, invocation: Invocation) -> None:
        self._invocation = invocation
        self._silent: set[str] = set()
        self.received = 0
        """How many events the requests held that were parsed."""
        self.seen: dict[str, set[Sighting]] = {}
        """What the events named, by source."""

    def parts(self, envelope: Envelope) -> list[tuple[Envelope, Event | None]]:
        """The events of an envelope, each with the envelope in which it waits if it comes to that."""
        if envelope.request is None:
            self._see(envelope.event, envelope)
            return [(envelope, envelope.event)]
        events = self._parse(envelope)
        if len(events) == 1 and isinstance(events[0], ThinEvent):
            # The request stays in the envelope: a thin event alone says less than its request.
            return [(envelope, events[0])]
        return [(part, part.event) for part in self._split(envelope, events)]

    def resolve(self, envelope: Envelope, event: Event | None) -> list[Envelope]:
        """The envelope; of a thin event, one for each event that the vendor's API says it was."""
        if not isinstance(event, ThinEvent):
            return [envelope]
        return self._split(envelope, self._fetch(event, envelope))

    def unresolved(self, envelope: Envelope) -> list[Envelope]:
        """An envelope for each event, with no API asked; a request of a thin event, as it is."""
        events = self._parse(envelope)
        if any(isinstance(event, ThinEvent) for event in events):
            return [envelope]
        return self._split(envelope, events)

    def _parse(self, envelope: Envelope) -> Sequence[Event]:
        self.received += 1
        if envelope.wrapped:
            raise Unparseable(envelope.detail)
        request = envelope.request or StoredRequest(body="")
        config = self._invocation.config
        source = config.sources.get(config.called(envelope.source))
        received_at = envelope.received_at.timestamp()
        webhook = request.webhook(received_at, source.counting if source else Counting())
        events = _vendor(envelope).read(webhook)
        # The queue has minutes for it; a vendor that waits has seconds.
        if len(events) > self._invocation.pace.most:
            raise NotNow(reason="large_delivery")
        # The request has counted as one, should it not be readable.
        self.received += max(len(events) - 1, 0)
        return [self._date(event, envelope) for event in events]

    def _date(self, event: Event, envelope: Envelope) -> Event:
        """The event, with a time that holds.

        It follows from the receipt, so that what waits in the queue does not grow newer there.
        """
        match event:
            case BadgeEvent() if event.undated:
                return self._date_badge(event, envelope)
            case ThinEvent() if event.change is not None:
                change = self._date_change(event.change, envelope)
                return event.model_copy(update={"change": change})
            case LeaveChange():
                return self._date_change(event, envelope)
        return event

    def _date_badge(self, badge: BadgeEvent, envelope: Envelope) -> BadgeEvent:
        """A badge without a time of its own counts from when it first came."""
        memory = self._invocation.vendor_memory
        first = memory.first_seen(self._key(envelope), badge.event_id, badge.at.timestamp())
        return badge.model_copy(update={"at": utc(first), "undated": None})

    def _date_change(self, change: LeaveChange, envelope: Envelope) -> LeaveChange:
        """A version without a time begins with `/`, and counts from when the change first came."""
        received_at = envelope.received_at.timestamp()
        if change.version.startswith("/"):
            memory = self._invocation.vendor_memory
            first = iso(memory.first_seen(self._key(envelope), change.event_id, received_at))
            change = change.model_copy(update={"version": first + change.version})
        return not_ahead(change, received_at)

    def _fetch(self, event: ThinEvent, envelope: Envelope) -> Sequence[Event]:
        vendor = _vendor(envelope)
        if vendor.fetch is None or vendor.api is None:
            raise Unparseable("event: the vendor has no API to ask what became of it")
        # Not begun when the answer could come too late: its envelope has to be stored in time.
        self._invocation.deadline.check()
        if envelope.source in self._silent:
            raise VendorUnavailable("the vendor's API did not answer for another event of this batch")
        return [_as_listed(found, event) for found in self._ask(vendor, vendor.api, event, envelope)]

    def _ask(self, vendor: Vendor, api: Api, event: ThinEvent, envelope: Envelope) -> Sequence[Event]:
        """Ask the vendor's API, once more with the credentials as they are now where it refuses them."""
        family = FAMILIES[envelope.kind]
        secret = self._invocation.secrets.source(family, envelope.source)
        try:
            return vendor.ask(event, self._client(api, secret, envelope))
        except (VendorRefused, TokenRefused) as refusal:
            renewed = self._invocation.secrets.refetch_source(family, envelope.source)
            # With the same credentials the vendor would only refuse again.
            if renewed is not None and renewed != secret:
                return vendor.ask(event, self._client(api, renewed, envelope))
            # Without a token all events of a source fail. What was refused with one may be this event alone.
            if isinstance(refusal, TokenRefused):
                self._silent.add(envelope.source)
            raise
        except VendorUnavailable:
            self._silent.add(envelope.source)
            raise

    def _client(self, api: Api, secret: SourceSecret, envelope: Envelope) -> VendorClient:
        invocation = self._invocation
        seconds = min(invocation.deadline.left_for_work(), invocation.pace.call_seconds)
        limit = invocation.deadline.at_most(seconds)
        # Calven did not know the address that was remembered: it may have been mended since.
        anew = envelope.reason == "unknown_user"
        return VendorClient(invocation.vendor_apis, api, secret, limit, envelope.source, anew=anew)

    def _split(self, envelope: Envelope, events: Sequence[Event]) -> list[Envelope]:
        """An envelope for each event, under an id of its own where there are several; nobody is named."""
        if not events:
            return [self._part(Ignored(reason="no_event"), envelope)]
        if len(events) == 1:
            return [self._part(events[0], envelope)]
        parts = [self._part(event, envelope) for event in events]
        return [part.model_copy(update={"id": uuid4().hex}) for part in parts]

    def _part(self, event: Event, envelope: Envelope) -> Envelope:
        """The envelope of one event; a malformed one stays a request, to be parsed again when redriven."""
        if isinstance(event, MalformedEvent):
            webhook = Webhook(body=event.body.encode(), received_at=envelope.received_at.timestamp())
            request = StoredRequest.of(webhook)
            return envelope.model_copy(update={"request": request, "detail": event.detail})
        self._see(event, envelope)
        if isinstance(event, BadgeEvent) and event.person is not None:
            event = anonymous(event, self._key(envelope), self._invocation.secrets.person_key())
        return envelope.model_copy(update={"event": event, "request": None})

    def _key(self, envelope: Envelope) -> str:
        """What goes on when a source is renamed goes by this: its people, and when an event first came."""
        return self._invocation.config.key(envelope.source)

    def _see(self, event: Event | None, envelope: Envelope) -> None:
        """Take down what an event names."""
        config = self._invocation.config
        source = config.called(envelope.source)
        found = sighting(event, config.sources.get(source))
        if found is not None:
            self.seen.setdefault(source, set()).add(found)


def _as_listed(found: Event, thin: ThinEvent) -> Event:
    """What became of a thin event, which a list has said where a list has said that."""
    listed_at = thin.change.listed_at if thin.change else None
    if listed_at is None or not isinstance(found, LeaveChange):
        return found
    return found.model_copy(update={"listed_at": listed_at})


def _vendor(envelope: Envelope) -> Vendor:
    try:
        return vendors.load(envelope.vendor)
    except vendors.UnknownVendor:
        raise Unparseable("no such vendor") from None
