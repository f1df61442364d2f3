"""What further HR systems' APIs list is what their webhooks say, page by page.

The others' lists are tried in `test_lists_hris`, those of doors in `test_lists_access_control`.
"""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

import pytest
import yaml
from starlette.responses import JSONResponse

from relay import vendors
from relay.config.model import Source
from relay.errors import Unparseable, VendorRefused, VendorUnavailable
from relay.events import Event, LeaveChange, ThinEvent, iso
from relay.reconciliation.rules import differs
from relay.time_off.decision import arrival_of
from relay.vendors.support.base import VendorApi
from relay.vendors.support.listing import LeaveList, Window
from relayctl import samples as relayctl_samples
from tests.listing import EVENTS, entries, pages
from tests.recorded import Api, asked, events
from tests.scripted_api import Scripted, all_pages, client

BEGAN = datetime.fromisoformat("2026-11-04T04:00:00Z").timestamp()
WINDOW = Window(first=date(2026, 10, 28), last=date(2027, 12, 9), began=BEGAN)
MAY = Window(first=date(2027, 5, 1), last=date(2027, 5, 20), began=BEGAN)
"""Few days: all on one page, where a page is some days."""
VENDORS = ["bamboohr", "keypay", "kombo", "merge", "remote", "vacationtracker"]
COARSE = ("vacationtracker", "part-of-days")
"""Of this leave the list says less than the webhook."""
SAMPLES = [(vendor, name) for vendor in VENDORS for name in entries(vendor) if vendor != "kombo"]
SAMPLES.remove(COARSE)
SAID = {"leave_id", "state", "email", "start", "end", "open_ended", "type_name"}
SAID |= {"first_day_part", "last_day_part", "days", "each_day", "total"}
HOW_OFTEN = {"bamboohr": 14, "vacationtracker": 6}
"""How many pages a list has at least: of some vendors several, whatever is on them."""


def listing(vendor: str) -> LeaveList:
    """What a vendor's record says of its list."""
    found = vendors.load(vendor).lists
    assert isinstance(found, LeaveList)
    return found


def listed(vendor: str, api: VendorApi, window: Window = WINDOW, most: int = 20) -> list[Event]:
    """The events of all pages."""
    return all_pages(lambda following: listing(vendor).page(api, window, following), most)


def paths(script: Scripted) -> list[str]:
    """What was asked, by path."""
    return [one.path for one in script.asked]


def run(vendor: str, answers: Sequence[Any], window: Window = WINDOW) -> tuple[list[Event], Scripted]:
    """What a vendor's list says whose API gives these answers, and what it was asked."""
    script = Scripted(answers)
    with client(vendor, script.app()) as api:
        return listed(vendor, api, window), script


def entry(vendor: str, **changes: Any) -> dict[str, Any]:
    """The entry of the vendor's first sample, with some of its fields changed."""
    found: dict[str, Any] = entries(vendor)[next(iter(entries(vendor)))]
    return {**found, **changes}


def answer(vendor: str, *listed_ones: Any, following: Any = None) -> Any:
    """A page of a vendor's list with these entries, which says what follows in the vendor's own way."""
    held = list(listed_ones)
    number = following - 1 if isinstance(following, int) else 1
    return {
        "bamboohr": held,
        "keypay": held,
        "kombo": {"status": "success", "data": {"next": following, "results": held}},
        "merge": {"next": following, "previous": None, "results": held},
        "remote": {"data": {"timeoffs": held, "current_page": number, "total_pages": following or number}},
        "vacationtracker": {"status": "ok", "data": held, "nextToken": following},
    }[vendor]


def change_of(event: Event) -> LeaveChange:
    """The change that a listed event is about."""
    change = event.change if isinstance(event, ThinEvent) else event
    assert isinstance(change, LeaveChange)
    return change


@pytest.mark.parametrize("vendor", VENDORS)
def test_every_sample(vendor: str) -> None:
    """Each sample is in the list, or stands there as one that is not."""
    content = yaml.safe_load((EVENTS / vendor / "list.yaml").read_text("utf-8"))
    assert sorted(content["entries"]) == relayctl_samples.names(vendor)


def test_list_that_says_less() -> None:
    """What a webhook says of each day of a leave is not lost to a list that has its range only."""
    vendor, name = COARSE
    with client(vendor, pages(vendor, [entries(vendor)[name]])) as api:
        in_list, *_ = listed(vendor, api)
    [in_webhook] = events(vendor, name)
    assert isinstance(in_webhook, LeaveChange)
    today = date(2026, 11, 4)
    known, found = (
        arrival_of(change, vendor, Source(vendor=vendor), today)
        for change in (in_webhook, change_of(in_list))
    )
    assert (known.leave.start, found.leave.start) == (date(2027, 3, 23), None)
    assert listing(vendor).days == "range"
    assert not differs(found, known.leave, listing(vendor).version, only_ranges=True)


@pytest.mark.parametrize(
    ("dates", "amount", "whole"),
    [
        ([], {"unit": "hours", "amount": "2"}, []),
        (None, {"unit": "hours", "amount": "8"}, [date(2027, 5, 7)]),
        (None, {"unit": "days", "amount": "0.5"}, []),
        ({}, {"unit": "days", "amount": "1"}, [date(2027, 5, 7)]),
        (None, None, [date(2027, 5, 7)]),
    ],
)
def test_bamboohr_without_dates(dates: Any, amount: Any, whole: list[date]) -> None:
    """Where the days of a request are not named, how much is taken in all says whether its day is whole."""
    odd = entry("bamboohr", start="2027-05-07", end="2027-05-07", dates=dates, amount=amount)
    [event] = _once("bamboohr", {name: value for name, value in odd.items() if value is not None})
    arrival = arrival_of(change_of(event), "bamboohr", Source(vendor="bamboohr"), date(2026, 11, 4))
    assert list(arrival.leave.days()) == whole


@pytest.mark.parametrize(("vendor", "name"), SAMPLES)
def test_says_what_the_webhook_says(vendor: str, name: str) -> None:
    """A leave in the list is the one that its webhook became, once the API has been asked."""
    with client(vendor, pages(vendor, [entries(vendor)[name]])) as api:
        found = {event.model_dump_json(): event for event in listed(vendor, api)}
    [event] = found.values()
    [in_list] = asked(vendors.load(vendor), event, Api(vendor))
    [in_webhook] = events(vendor, name)
    assert isinstance(in_webhook, LeaveChange)
    if in_webhook.state == "requested":
        # Nobody is told of a request, so nobody's address is asked; a list may have it all the same.
        in_webhook = in_webhook.model_copy(update={"email": change_of(in_list).email})
    said, expected = in_list.model_dump(include=SAID), in_webhook.model_dump(include=SAID)
    assert said == expected


@pytest.mark.parametrize("vendor", VENDORS)
def test_version(vendor: str) -> None:
    """A listed leave has the vendor's own time of change where webhooks have it too, else the list's."""
    [event] = _once(vendor, entry(vendor))
    own = "2026-11-03T09:29:00.000Z"
    assert listing(vendor).version == ("own" if vendor == "merge" else "asked")
    assert change_of(event).version == (own if vendor == "merge" else iso(BEGAN))


@pytest.mark.parametrize("vendor", VENDORS)
def test_event_id(vendor: str) -> None:
    """The id of what is listed is the same each time that the list says the same, and no other time."""
    first, again = _once(vendor, entry(vendor)), _once(vendor, entry(vendor))
    assert first == again
    status: Any = "CANCELED" if vendor in ("bamboohr", "remote") else "CANCELLED"
    other = _once(vendor, entry(vendor, status={"status": status} if vendor == "bamboohr" else status))
    assert change_of(other[0]).state == "ended"
    assert other[0].event_id != first[0].event_id


def _once(vendor: str, *listed_ones: Any) -> list[Event]:
    """What a list becomes that has these entries on its first page, and nothing on any other."""
    window = MAY if vendor == "bamboohr" else WINDOW
    return run(vendor, [answer(vendor, *listed_ones), answer(vendor)], window)[0]


@pytest.mark.parametrize("vendor", VENDORS)
def test_empty(vendor: str) -> None:
    """A list that is proven to be empty is one."""
    found, script = run(vendor, [answer(vendor)])
    assert found == []
    assert len(paths(script)) == HOW_OFTEN.get(vendor, 1)


@pytest.mark.parametrize("vendor", VENDORS)
@pytest.mark.parametrize(
    "body",
    [
        {"status": "error", "error": {"message": "no"}},
        {"message": "no"},
        {"data": None},
        {"data": {}},
        {"data": {"timeoffs": []}},
        {"data": {"results": []}},
        {"results": None},
        {"results": []},
        "no",
    ],
    ids=repr,
)
def test_error_that_comes_as_an_answer(vendor: str, body: Any) -> None:
    """An answer without the list is never an empty list."""
    with pytest.raises(Unparseable):
        run(vendor, [body])


@pytest.mark.parametrize("vendor", VENDORS)
def test_null(vendor: str) -> None:
    """Nor is null, behind which there may be a list the next time."""
    with pytest.raises(VendorUnavailable):
        run(vendor, [JSONResponse(None)])


@pytest.mark.parametrize("vendor", VENDORS)
def test_refused(vendor: str) -> None:
    """Wrong credentials are no empty list either."""
    with pytest.raises(VendorRefused, match="403"):
        run(vendor, [JSONResponse({"error": "forbidden"}, 403)])


@pytest.mark.parametrize("vendor", VENDORS)
def test_no_such_list(vendor: str) -> None:
    """Nor is a path that the vendor does not have (any more)."""
    with pytest.raises(Unparseable):
        run(vendor, [JSONResponse({"error": "not found"}, 404)])


@pytest.mark.parametrize("vendor", ["kombo", "merge", "remote", "vacationtracker"])
def test_page_that_repeats_itself(vendor: str) -> None:
    """A page that names itself as the next one ends the listing, with an error."""
    following = 2 if vendor == "remote" else "again"
    with pytest.raises(Unparseable, match="page"):
        run(vendor, [answer(vendor, entry(vendor), following=following)])


@pytest.mark.parametrize("vendor", VENDORS)
@pytest.mark.parametrize("spoilt", [{"id": None}, {"id": "../7"}, {"status": "WAITING"}, 7], ids=repr)
def test_unreadable_entry(vendor: str, spoilt: Any) -> None:
    """An entry that cannot be read, alone or among others, costs no other."""
    if vendor == "vacationtracker" and spoilt == {"id": "../7"}:
        pytest.skip("its ids go into no path")
    odd = entry(vendor, **spoilt) if isinstance(spoilt, dict) else spoilt
    for others in ([], [entry(vendor)]):
        found = _once(vendor, odd, *others)
        assert [event.form for event in found][:1] == ["unread"]
        assert len(found) == 1 + len(others)


OTHER_DAYS = {
    "bamboohr": ("start", "end"),
    "keypay": ("fromDate", "toDate"),
    "kombo": ("start_date", "end_date"),
    "merge": ("start_time", "end_time"),
    "remote": ("start_date", "end_date"),
    "vacationtracker": ("startDate", "endDate"),
}


@pytest.mark.parametrize("vendor", VENDORS)
@pytest.mark.parametrize(
    ("start", "end", "is_listed"),
    [
        ("2026-10-20", "2026-10-27", False),
        ("2026-10-20", "2026-10-28", True),
        ("2027-12-09", "2027-12-20", True),
        ("2027-12-10", "2027-12-20", False),
    ],
)
def test_other_days(vendor: str, start: str, end: str, is_listed: bool) -> None:
    """Leave that is listed though none of its days was asked for is left out."""
    first, last = OTHER_DAYS[vendor]
    found, _ = run(vendor, [answer(vendor, entry(vendor, **{first: start, last: end}))])
    ids = {change_of(event).leave_id for event in found}
    assert len(ids) == is_listed
