"""The sample events in `events/`: read, made new, signed."""

import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from pydantic import ValidationError

from relay import vendors
from relay.aws.secrets import SourceSecret
from relay.events import LeaveChange, Webhook
from relay.vendors.support.base import Family, Fresh, Vendor
from relay.vendors.support.proof import Signature
from relayctl import changes

EVENTS = Path(__file__).resolve().parents[2] / "events"


class UnknownSample(Exception):
    """No sample of that name; the message lists those that there are."""


def names(vendor: str) -> list[str]:
    """The samples of a vendor, in order; the first is the one that `send` takes when none is named."""
    return sorted(path.stem for path in (EVENTS / vendor).glob("*.json"))


def body(vendor: str, name: str | None) -> bytes:
    """A sample as recorded; raises `UnknownSample`."""
    known = names(vendor)
    if not known or name not in (None, *known):
        raise UnknownSample(f"{vendor} has the sample events {', '.join(known) or 'none'}")
    return (EVENTS / vendor / f"{name or known[0]}.json").read_bytes()


def topic(vendor: Vendor, name: str | None) -> str | None:
    """The topic of a sample, which its name begins with, for a vendor whose URLs have one."""
    return (name or names(vendor.name)[0]).partition("-")[0] if vendor.topics else None


def family(vendor: Vendor, content: bytes) -> Family:
    """The route for a sample: the vendor's, or of one that may be either, the one for what it says."""
    events = vendor.read(Webhook(body=content, received_at=0.0)) if len(vendor.families) > 1 else ()
    return "hris" if any(isinstance(event, LeaveChange) for event in events) else vendor.family


def renewed(vendor: Vendor, recorded: bytes, now: datetime) -> bytes:
    """The sample as an event of this moment: with new ids and times, so that it is no duplicate."""
    payload = json.loads(recorded)
    for path, kind in vendor.fresh.items():
        for place in changes.places(payload, path.split(".")):
            place.put(_fresh(kind, now))
    return as_body(payload)


def as_body(payload: Any) -> bytes:
    """A payload as a body."""
    return json.dumps(payload).encode()


def _fresh(kind: Fresh, now: datetime) -> str | int:
    match kind:
        case "id":
            return str(uuid4())
        case "number":
            return str(uuid4().int % 10**12)
    return changes.as_text(kind, now)


def signed(vendor: Vendor, content: bytes, secret: Mapping[str, Any], now: float) -> Signature:
    """What the vendor would add to the request; raises `ValueError` where the secret has nothing for it."""
    try:
        lists = SourceSecret.model_validate(secret).lists
    except ValidationError:
        raise ValueError("the source's secret is not what the relay can read") from None
    if not vendor.sends_webhooks:
        raise ValueError(f"{vendor.title} sends no webhooks: relayctl reconcile asks it what happened")
    for scheme in vendor.schemes:
        if accepted := lists.get(scheme.credentials):
            return scheme.sign(content, accepted[0], now)
    wanted = " and no ".join(scheme.credentials for scheme in vendor.schemes)
    raise ValueError(f"the source's secret has no {wanted}")


def vendor_named(name: str) -> Vendor:
    """The vendor's record; raises `UnknownSample` naming the vendors that there are."""
    try:
        return vendors.load(name)
    except vendors.UnknownVendor:
        raise UnknownSample(f"unknown vendor {name!r}: there are {', '.join(vendors.NAMES)}") from None
