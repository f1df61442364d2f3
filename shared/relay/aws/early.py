"""Markers of what came ahead of its own time: seen again it is a repeat, whatever the clock says by then.

A vendor's clock may be wrong. What is ahead of its receipt counts as of its receipt, so that one wrong clock
freezes nothing that follows; delivered again, it would count as of a later receipt, and overtake what came in
between. So the first delivery leaves `early#<source>#<subject>` / `<the vendor's own time or id>` for 16
days, and with it the time that it counted as. One mechanism for badges, readings and leave.
"""

from relay.aws.table import Item, Key, Update

KEPT_SECONDS = 16 * 24 * 3600


def marker_key(source: str, subject: str, own: str, *, shadow: bool = False) -> Key:
    """Where the marker of an event is: `own` is what tells it from the subject's other events.

    What counted in `shadow` only has not counted yet where the source is live.
    """
    return f"early#{'shadow#' if shadow else ''}{source}#{subject}", own


def counted_as(marker: Item | None) -> str | None:
    """The time that the event counted as when it first came; None where it was not early, or is new."""
    return str(marker["as"]) if marker else None


def marked(key: Key, as_of: str, now: float) -> Update:
    """What leaves the marker, in the write that lets the event count."""
    # Of two deliveries at once the second meets a conflict, reads again and finds the first one's time.
    return Update(key=key, set={"as": as_of, "expires_at": int(now) + KEPT_SECONDS}, expect={"as": None})
