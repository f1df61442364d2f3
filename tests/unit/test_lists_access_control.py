"""What access-control vendors' APIs list is what their webhooks say."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pytest
from starlette.responses import JSONResponse

from relay.errors import Unparseable, VendorRefused, VendorUnavailable
from relay.events import BadgeEvent, MalformedEvent, SensorReading, iso
from tests.listing import entries, pages
from tests.recorded import events
from tests.scripted_api import CREDENTIALS, SINCE, UNTIL, client, listed, run

VENDORS = sorted(CREDENTIALS)
SAMPLES = [(vendor, name) for vendor in VENDORS for name in entries(vendor)]


@pytest.mark.parametrize(("vendor", "name"), SAMPLES)
def test_says_what_the_webhook_says(vendor: str, name: str) -> None:
    """A thing in the list is the very event that the webhook about it became."""
    with client(vendor, pages(vendor, [entries(vendor)[name]])) as api:
        found = listed(vendor, api)
    said = list(events(vendor, name))
    if vendor == "disruptive":
        # Labels, and with them the name, come with a webhook and with the list of devices only.
        said = [event.model_copy(update={"name": None}) for event in said]
    assert found == said


@pytest.mark.parametrize("vendor", VENDORS)
def test_all_samples(vendor: str) -> None:
    """A list of everything says all of it; an empty one says nothing."""
    with client(vendor, pages(vendor, list(entries(vendor).values()))) as api:
        assert len(listed(vendor, api)) == len(entries(vendor))
    with client(vendor, pages(vendor, [])) as api:
        assert listed(vendor, api) == []


@pytest.mark.parametrize("vendor", VENDORS)
def test_not_authenticated(vendor: str) -> None:
    """An API that does not take the credentials is a refusal, no empty list."""
    answers = [JSONResponse({"error": "no"}, 403)]
    with pytest.raises(VendorRefused, match="403"):
        run(vendor, answers)


@pytest.mark.parametrize("vendor", VENDORS)
@pytest.mark.parametrize(
    "answer",
    [
        {"error": "something went wrong"},
        {"events": None, "data": None, "devices": None},
        {},
        "events",
        {"events": "many", "data": {}, "devices": 1, "id": 1},
        JSONResponse({}, 404),
    ],
)
def test_no_list(vendor: str, answer: Any) -> None:
    """Whatever else comes instead of a list is no empty list, even where the status is 200."""
    with pytest.raises(Unparseable):
        run(vendor, [answer])


@pytest.mark.parametrize("vendor", VENDORS)
def test_null(vendor: str) -> None:
    """Nor is null, behind which there may be a list the next time."""
    with pytest.raises(VendorUnavailable):
        run(vendor, [JSONResponse(None)])


@pytest.mark.parametrize("vendor", VENDORS)
def test_asked_again_later(vendor: str) -> None:
    """An API that is asked too often says how long to wait."""
    answers = [JSONResponse({}, 429, {"retry-after": "17"})]
    with pytest.raises(VendorUnavailable) as caught:
        run(vendor, answers)
    assert caught.value.retry_after == 17


@dataclass(frozen=True)
class Entry:
    """How a vendor's entry is changed: its time, and so that it cannot be read."""

    sample: str
    at: Callable[[dict[str, Any], datetime], dict[str, Any]]
    broken: Callable[[dict[str, Any]], Any]


def with_text(name: str) -> Callable[[dict[str, Any], datetime], dict[str, Any]]:
    """Puts a time there, as ISO 8601."""
    return lambda entry, at: {**entry, name: at.isoformat().replace("+00:00", "Z")}


def without(name: str) -> Callable[[dict[str, Any]], Any]:
    """Takes a field away."""
    return lambda entry: {key: value for key, value in entry.items() if key != name}


ENTRIES = {
    "kisi": Entry("badge-in", with_text("created_at"), without("object_id")),
    "verkada": Entry("badge-in", with_text("timestamp"), without("event_info")),
    "brivo": Entry("access-granted", with_text("occurred"), without("eventObject")),
    "doorflow": Entry("admitted", with_text("created_at"), without("event_code")),
    "disruptive": Entry("desk-occupied", with_text("timestamp"), without("data")),
}


def entry_at(vendor: str, at: datetime) -> dict[str, Any]:
    """A vendor's entry that happened then."""
    kind = ENTRIES[vendor]
    return kind.at(entries(vendor)[kind.sample], at)


def when(seconds: float) -> datetime:
    """Unix seconds as a time in UTC."""
    return datetime.fromisoformat(iso(seconds))


@pytest.mark.parametrize("vendor", VENDORS)
def test_outside_of_the_span(vendor: str) -> None:
    """What happened before or after the span is left out, whatever the vendor makes of the parameters."""
    times = [SINCE - 60, SINCE, SINCE + 1, UNTIL, UNTIL + 1]
    with client(vendor, pages(vendor, [entry_at(vendor, when(at)) for at in times])) as api:
        found = listed(vendor, api)
    happened = [event.at.timestamp() for event in found if isinstance(event, BadgeEvent | SensorReading)]
    assert len(found) == 3
    # A day's first instant is of that day: a badge at the very second of the reset is not left out.
    assert happened == [SINCE, SINCE + 1, UNTIL]


@pytest.mark.parametrize("vendor", VENDORS)
@pytest.mark.parametrize("alone", [True, False])
def test_unreadable_entry(vendor: str, alone: bool) -> None:
    """An entry that cannot be read costs no other, and is kept as it came, under its own id."""
    kind = ENTRIES[vendor]
    good = entries(vendor)[kind.sample]
    broken = kind.broken(good)
    content = [broken] if alone else [good, broken, "no object", good]
    with client(vendor, pages(vendor, content)) as api:
        found = listed(vendor, api)
    malformed = [event for event in found if isinstance(event, MalformedEvent)]
    assert len(found) == len(content)
    assert len(malformed) == (1 if alone else 2)
    kept = json.loads(malformed[0].body)
    assert kept == ({"event": broken} if vendor == "disruptive" else broken)
    assert malformed[0].detail
    assert [malformed[0].event_id] == [event.event_id for event in events(vendor, kind.sample)]
