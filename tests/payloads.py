"""Payloads for the vendors' parsers: samples, what a vendor may add to them, and what nobody should send."""

import copy
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, get_args

from hypothesis import strategies as st

from relay import vendors
from relay.errors import Unparseable
from relay.events import Event, MalformedEvent, Webhook
from tests.rig import EVENTS, NOON, sample

MARKER = "marker@example.com"
"""A value that must turn up in no error."""

STRANGE = (
    "",
    " ",
    "\u0000",
    "\ufffd",
    "9" * 400,
    "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59-14:00",
    "2026-11-31",
    "../../v1/people",
    MARKER,
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from((10**400, -(10**30), 2**63))
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
    | st.sampled_from(STRANGE)
)
ANY_JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)


def parse(vendor: str, payload: Any) -> Sequence[Event]:
    """What a vendor's module makes of a payload, or of a body as it is."""
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return vendors.load(vendor).read(Webhook(body=body, received_at=NOON))


def refusal(act: Callable[[], object]) -> Unparseable | None:
    """How an act refuses what it was given, if it does."""
    try:
        act()
    except Unparseable as refused:
        return refused
    return None


def reads_or_refuses(vendor: str, body: bytes) -> None:
    """Parse whatever it is: events come out, or a refusal that repeats nothing of the payload."""
    events: Sequence[Event] = ()

    def read() -> None:
        nonlocal events
        events = parse(vendor, body)

    told = [str(refusal(read)), *(event.detail for event in events if isinstance(event, MalformedEvent))]
    assert not any(MARKER in text or len(text) > 500 for text in told)
    assert all(isinstance(event, get_args(get_args(Event)[0])) for event in events)


def samples(vendor: str) -> list[Any]:
    """Every sample of a vendor."""
    return [sample(vendor, file.stem) for file in sorted((EVENTS / vendor).glob("*.json"))]


def extended(value: Any) -> Any:
    """A payload with fields that no documentation names, in every object."""
    match value:
        case Mapping():
            return {**{key: extended(inner) for key, inner in value.items()}, "x_new": {"deep": [1, None]}}
        case list():
            return [extended(entry) for entry in value]
    return value


@st.composite
def mutated(draw: st.DrawFn, vendor: str) -> bytes:
    """The body of a sample with some of its values replaced by others or left out."""
    payload = copy.deepcopy(draw(st.sampled_from(samples(vendor))))
    for _ in range(draw(st.integers(1, 3))):
        found = list(places(payload))
        if found:
            container, key = draw(st.sampled_from(found))
            if draw(st.booleans()):
                container[key] = draw(ANY_JSON)
            else:
                del container[key]
    return json.dumps(draw(st.sampled_from((payload, [payload], [payload, 7])))).encode()


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Each value of a payload, by what holds it and its key there."""
    entries = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    for key, inner in entries:
        yield value, key
        yield from places(inner)
