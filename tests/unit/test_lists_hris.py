"""HR systems list what their webhooks say: page by page, and nothing that is no list is taken for one."""

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import date
from typing import Any, Literal

import pytest
import yaml

from relay import vendors
from relay.config.model import Source
from relay.errors import Unparseable
from relay.events import LeaveChange, MalformedEvent, ThinEvent, iso
from relay.reconciliation.rules import differs
from relay.time_off.decision import arrival_of
from relay.vendors.support.listing import Page, Window
from relayctl import samples as relayctl_samples
from tests import listing
from tests.hris_apis import (
    CREDENTIALS,
    FACTORIAL,
    WINDOW,
    Vendors,
    changes,
    first_sample,
    lists,
    serving,
)
from tests.recorded import Api, events
from tests.rig import NOON

each_vendor = pytest.mark.parametrize("vendor", CREDENTIALS)


@pytest.fixture(scope="module")
def server() -> Iterator[Vendors]:
    """One server for all tests."""
    with serving() as vendors_of_all:
        yield vendors_of_all


@pytest.fixture
def api(server: Vendors) -> Vendors:
    """The server, which has not been asked for anything."""
    server.asked.clear()
    server.answering(lambda *_: None)
    return server


def samples() -> list[tuple[str, str]]:
    """Each sample that is in its vendor's list."""
    return [(vendor, name) for vendor in CREDENTIALS for name in listing.entries(vendor)]


@pytest.mark.parametrize(("vendor", "name"), samples())
def test_same_as_the_webhook(api: Vendors, vendor: str, name: str) -> None:
    """A thing is the same leave, state, days and type, of the same person, in a webhook and in the list."""
    api.app = listing.pages(vendor, [listing.entries(vendor)[name]])
    [event] = api.listed(vendor)
    webhook = events(vendor, name)[0]
    assert isinstance(webhook, LeaveChange)
    [change] = changes([event])
    assert change.event_id == event.event_id == f"list:{webhook.leave_id}:{change.content}"
    assert change.version == (webhook.version if lists(vendor).version == "own" else iso(NOON))
    if isinstance(event, ThinEvent):
        assert event.subject == webhook.leave_id
        [asked] = vendors.load(vendor).ask(event, Api(vendor))
        assert isinstance(asked, LeaveChange)
        assert asked.email
        change = asked
    assert said(change) == said(webhook) or is_gone(webhook)
    assert (change.leave_id, change.state) == (webhook.leave_id, webhook.state)


@pytest.mark.parametrize("part_days", ["skip", "whole"])
@pytest.mark.parametrize(("vendor", "name"), samples())
def test_no_difference(api: Vendors, vendor: str, name: str, part_days: Literal["skip", "whole"]) -> None:
    """What a webhook has told is no difference: a list that is read each day queues nothing."""
    api.app = listing.pages(vendor, [listing.entries(vendor)[name]])
    [change] = changes(api.listed(vendor))
    webhook = events(vendor, name)[0]
    assert isinstance(webhook, LeaveChange)
    source = Source(vendor=vendor, partDays=part_days, timeOffTypes={"Vacation": "holiday", "Sick": "sick"})
    today = date(2026, 11, 4)
    known = arrival_of(webhook, vendor, source, today).leave
    assert not differs(arrival_of(change, vendor, source, today), known, lists(vendor).version)


def said(change: LeaveChange) -> dict[str, Any]:
    """What a change says of a leave, but not how it came, nor what it replaces: no list says that.

    Whose it is matters only where somebody is to be told.
    """
    how = {"event_id", "version", "early", "listed_at", "replaces"}
    return change.model_dump(exclude=how | ({"email"} if change.state == "requested" else set()))


def is_gone(change: LeaveChange) -> bool:
    """Whether a webhook's vendor did not know the leave any more: then it says nothing but that it ended."""
    return change.state == "ended" and change.start is None and not change.days


@each_vendor
def test_every_sample(vendor: str) -> None:
    """Each sample is in the list, or stands there as one that is not."""
    content = yaml.safe_load((listing.EVENTS / vendor / "list.yaml").read_text("utf-8"))
    assert list(content["entries"]) == relayctl_samples.names(vendor)
    assert len(listing.entries(vendor)) >= 3


BROKEN: tuple[Any, ...] = (
    {"error": "quota"},
    {"errors": [{"message": "no"}]},
    {"message": "ok"},
    "fine",
    7,
    {},
    None,
)


@each_vendor
@pytest.mark.parametrize("answer", BROKEN, ids=str)
def test_no_list(api: Vendors, vendor: str, answer: Any) -> None:
    """An answer that is no list is none that is empty: everybody's leave would have ended."""
    api.answering(lambda path, query: answer)
    with pytest.raises(Unparseable):
        api.page(vendor)


@each_vendor
def test_empty_list(api: Vendors, vendor: str) -> None:
    """An empty list has one page with nothing on it."""
    api.app = listing.pages(vendor, [])
    assert api.page(vendor) == Page([], None)


UNREADABLE: Mapping[str, Callable[[Any], Any]] = {
    "deel": lambda entry: {**entry, "status": "PONDERED"},
    "factorial": lambda entry: {**entry, "id": "../7"},
    "gusto": lambda entry: {**entry, "status": "pondered"},
    "hibob": lambda entry: {**entry, "requestId": "7", "changeType": "Pondered"},
    "personio": lambda entry: {**entry, "approval": {"status": "PONDERED"}},
}


@each_vendor
def test_unreadable_entry(api: Vendors, vendor: str) -> None:
    """An entry that cannot be read costs no other; its content is kept, under its own id."""
    good = first_sample(vendor)
    broken = UNREADABLE[vendor](first_sample(vendor))
    api.app = listing.pages(vendor, [broken, good, None, "text"])
    found = api.listed(vendor)
    malformed = [event for event in found if isinstance(event, MalformedEvent)]
    assert [json.loads(event.body) for event in malformed] == [broken, None, "text"]
    assert len(found) == 4
    assert all(event.detail for event in malformed)
    assert malformed[0].event_id
    assert "PONDERED" not in "".join(event.detail for event in malformed).upper()


@each_vendor
@pytest.mark.parametrize(("first", "last"), [("2026-10-28", "2026-12-31"), ("2027-09-01", "2027-12-09")])
def test_outside_of_the_window(api: Vendors, vendor: str, first: str, last: str) -> None:
    """Leave of other days is left out, even where the vendor lists it; nothing more is asked about it."""
    api.app = listing.pages(vendor, [first_sample(vendor)])
    window = Window(first=date.fromisoformat(first), last=date.fromisoformat(last), began=NOON)
    assert api.listed(vendor, window) == []
    assert not any("breakdowns" in path for path, _ in api.asked)


@each_vendor
def test_same_content(api: Vendors, vendor: str) -> None:
    """What is listed again has the same id, at another time too; what says something else has another."""
    entry = first_sample(vendor)
    api.app = listing.pages(vendor, [entry])
    [event] = api.listed(vendor)
    [later] = api.listed(vendor, Window(first=WINDOW.first, last=WINDOW.last, began=NOON + 86400))
    assert later.event_id == event.event_id
    assert changes([later])[0].content == changes([event])[0].content
    other = json.loads(json.dumps(entry).replace("-02-", "-03-").replace("-04-05", "-04-06"))
    other = json.loads(json.dumps(other).replace("-05-03", "-05-04").replace("-06-07", "-06-08"))
    other = json.loads(json.dumps(other).replace("-01-14", "-01-13"))
    assert other != entry
    api.app = listing.pages(vendor, [other])
    [changed] = api.listed(vendor)
    assert changed.event_id != event.event_id


@pytest.mark.parametrize(
    ("vendor", "path"),
    [
        ("factorial", f"{FACTORIAL}/leave-1"),
        ("gusto", "/v1/time_off/requests/leave-1"),
        ("personio", "/v2/absence-periods/leave-1"),
    ],
)
def test_knows(api: Vendors, vendor: str, path: str) -> None:
    """A vendor that can be asked for one leave says whether it still has it."""
    knows = lists(vendor).knows
    assert knows is not None
    assert not knows(api.client(vendor), "leave-1")
    api.answering(lambda path, query: {"id": "leave-1"})
    assert knows(api.client(vendor), "leave-1")
    assert {asked for asked, _ in api.asked} == {path}


@pytest.mark.parametrize(
    ("vendor", "found", "is_known"),
    [
        ("factorial", {"approved": True, "deleted_at": None}, True),
        ("factorial", {"approved": None}, True),
        ("factorial", {"approved": True, "deleted_at": "2026-11-04T01:00:00Z"}, False),
        ("factorial", {"approved": False}, False),
        ("gusto", {"status": "consumed"}, True),
        ("gusto", {"status": "deleted"}, False),
        ("personio", {"approval": {"status": "APPROVED"}}, True),
        ("personio", {"approval": {"status": "PENDING"}}, True),
        ("personio", {"approval": {"status": "REJECTED"}}, False),
        ("personio", {"approval": {"status": "canceled"}}, False),
        ("personio", {"approval": None}, True),
    ],
)
@pytest.mark.parametrize("is_wrapped", [False, True])
def test_knows_as_ended(
    api: Vendors, vendor: str, found: dict[str, Any], is_known: bool, is_wrapped: bool
) -> None:
    """Leave that the vendor still has, and says has ended, is none that it knows; what says less is leave."""
    knows = lists(vendor).knows
    assert knows is not None
    api.answering(lambda path, query: {"data": found} if is_wrapped else found)
    assert knows(api.client(vendor), "leave-1") is is_known


@pytest.mark.parametrize("vendor", ["deel", "hibob"])
def test_cannot_know(vendor: str) -> None:
    """A list whose ids are not proven, or that needs more than an id, ends nothing by what it lacks."""
    assert lists(vendor).knows is None
    assert lists(vendor).lacks == "nothing"
