"""The vendors: a list for people, and the table in docs/reference/vendors."""

from collections.abc import Iterator, Sequence

from relay import vendors
from relay.vendors.support.base import Vendor

COLUMNS = ("vendor", "family", "signature", "direction", "waits", "confidence")
HEADINGS = (
    "system",
    "`vendor:`",
    "route",
    "signature",
    "what is forwarded",
    "ignored",
    "direction",
    "waits",
    "confidence",
)
_DIRECTIONS = {
    "event": "the event's",
    "door": "the door's",
    "event or door": "the event's, else the door's",
    "-": "",
}


def records() -> list[Vendor]:
    """Every vendor, access control first, by title; the open door last."""
    known = [vendors.load(name) for name in vendors.NAMES]
    return sorted(known, key=lambda vendor: (len(vendor.families), vendor.family, vendor.title.lower()))


def summary(vendor: Vendor) -> dict[str, object]:
    """What `relayctl vendors` tells of one."""
    return {
        "vendor": vendor.name,
        "title": vendor.title,
        "families": list(vendor.families),
        "signature": vendor.signature.replace("`", ""),
        "secret": " or ".join(scheme.credentials for scheme in vendor.schemes),
        "api": vendor.api is not None,
        "direction": vendor.direction,
        "ack_seconds": vendor.ack_seconds,
        "confidence": vendor.confidence,
        "docs": vendor.docs,
    }


def row(vendor: Vendor) -> Sequence[str]:
    """The same in one line, under `COLUMNS`."""
    signature = vendor.signature.replace("`", "")
    family, waits = " or ".join(vendor.families), f"{vendor.ack_seconds:g} s"
    return vendor.name, family, signature, vendor.direction, waits, vendor.confidence


def table() -> Iterator[str]:
    """The table in docs/reference/vendors, line by line."""
    yield f"| {' | '.join(HEADINGS)} |"
    yield f"|{' --- |' * len(HEADINGS)}"
    for vendor in records():
        cells = (
            f"[{vendor.title}]({vendor.name}.md)",
            f"`{vendor.name}`",
            " or ".join(vendor.families),
            vendor.signature,
            vendor.forwards,
            vendor.ignores,
            _DIRECTIONS[vendor.direction],
            f"{vendor.ack_seconds:g} s",
            vendor.confidence,
        )
        yield f"| {' | '.join(cells)} |"
