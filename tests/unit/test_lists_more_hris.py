"""What further HR systems' APIs list is what their webhooks say, page by page.

The others' lists are tried in `test_lists_hris`, those of doors in `test_lists_access_control`.
"""

import time
from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

import pytest
import yaml
from pydantic import SecretStr
from starlette.responses import JSONResponse

from relay import vendors
from relay.aws.secrets import SourceSecret
from relay.aws.table import Table
from relay.config.model import Source
from relay.deadline import Deadline
from relay.errors import Unparseable, VendorRefused
from relay.events import Event, LeaveChange, ThinEvent, iso, unparseable_if_invalid
from relay.reconciliation.rules import differs
from relay.time_off.decision import arrival_of
from relay.vendors.support.api import VendorApis, VendorClient
from relay.vendors.support.base import VendorApi
from relay.vendors.support.listing import LeaveList, Window
from relay.vendors.support.memory import VendorMemory
from relayctl import samples as relayctl_samples
from tests.listing import EVENTS, entries, pages
from tests.moto_table import SESSION
from tests.recorded import Api, asked, events
from tests.scripted_api import Scripted, all_pages, client, no_rotation
from tests.servers import http_of

BEGAN = datetime.fromisoformat("2026-11-04T04:00:00Z").timestamp()
WINDOW = Window(first=date(2026, 10, 28), last=date(2027, 12, 9), began=BEGAN)
MAY = Window(first=date(2027, 5, 1), last=date(2027, 5, 20), began=BEGAN)
"""Few days: all on one page, where a page is some days."""
DAYS = {"first": "2026-10-28", "last": "2027-12-09"}
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


def headers(script: Scripted, name: str) -> set[str]:
    """What the requests had in a header."""
    return {one.headers[name] for one in script.asked}


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
        None,
    ],
    ids=repr,
)
def test_error_that_comes_as_an_answer(vendor: str, body: Any) -> None:
    """An answer without the list is never an empty list."""
    with pytest.raises(Unparseable):
        run(vendor, [body])


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


@pytest.mark.parametrize("vendor", ["kombo", "merge"])
def test_cursor(vendor: str) -> None:
    """The next page is the one that the cursor names, until there is none."""
    first, second = entry(vendor), entry(vendor, id="another-1")
    script_of = [answer(vendor, first, following="c=2/+"), answer(vendor, second)]
    found, script = run(vendor, script_of)
    assert [change_of(event).leave_id for event in found] == [first["id"], "another-1"]
    assert [query.get("cursor") for query in script.queries] == [None, "c=2/+"]
    window = [{name: value for name, value in query.items() if name != "cursor"} for query in script.queries]
    assert window[0] == window[1] == EXPECTED_QUERIES[vendor]


EXPECTED_QUERIES = {
    "kombo": {
        "date_from": DAYS["first"],
        "date_until": DAYS["last"],
        "include_deleted": "true",
        "page_size": "250",
    },
    "merge": {
        "ended_after": "2026-10-27T00:00:00Z",
        "include_deleted_data": "true",
        "expand": "employee",
        "page_size": "100",
    },
}


@pytest.mark.parametrize("vendor", ["kombo", "merge"])
def test_cursor_that_is_not_there(vendor: str) -> None:
    """Only null says that there is no more: a page without the key may not be the last one."""
    page = answer(vendor, entry(vendor))
    del (page["data"] if vendor == "kombo" else page)["next"]
    with pytest.raises(Unparseable, match="no next"):
        run(vendor, [page])


def test_remote_pages() -> None:
    """Remote's pages are numbered; each is asked for with the days."""
    first, second = entry("remote"), entry("remote", id="another-1")
    answers = [
        {"data": {"timeoffs": [one], "current_page": number, "total_pages": 2}}
        for number, one in ((1, first), (2, second))
    ]
    found, script = run("remote", answers)
    assert [change_of(event).leave_id for event in found] == [first["id"], "another-1"]
    asked_for = {"start_date": DAYS["first"], "end_date": DAYS["last"], "page_size": "100"}
    assert script.queries == [{**asked_for, "page": "1"}, {**asked_for, "page": "2"}]
    assert headers(script, "authorization") == {"Bearer t0ken"}


@pytest.mark.parametrize(("status", "is_known"), [(200, True), (404, False)])
def test_remote_knows(status: int, is_known: bool) -> None:
    """Time off that Remote's list lacks is asked for by its id."""
    knows = listing("remote").knows
    assert knows is not None
    script = Scripted([JSONResponse({"data": {"timeoff": entry("remote")}}, status)])
    with client("remote", script.app()) as api:
        assert knows(api, "5e0f3b1c") is is_known
    assert paths(script) == ["/v1/timeoff/5e0f3b1c"]


def test_keypay_window() -> None:
    """KeyPay lists a business's requests at once, by days; names may begin with either letter."""
    capitals = {name[:1].upper() + name[1:]: value for name, value in entry("keypay").items()}
    found, script = run("keypay", [answer("keypay", entry("keypay"), capitals)])
    assert found[0] == found[1]
    assert paths(script) == ["/api/v2/business/41/leaverequest"]
    assert script.queries == [{"fromDate": DAYS["first"], "toDate": DAYS["last"]}]


def test_vacationtracker_statuses() -> None:
    """Vacation Tracker lists one status after the other, each with its pages."""
    first, second = entry("vacationtracker"), entry("vacationtracker", id="leaveRequest-2")
    more = answer("vacationtracker", first, following="n=2/+")
    answers = [answer("vacationtracker"), more, answer("vacationtracker", second), answer("vacationtracker")]
    found, script = run("vacationtracker", answers)
    assert [change_of(event).leave_id for event in found] == [first["id"], "leaveRequest-2"]
    assert [(query["status"], query.get("nextToken")) for query in script.queries] == [
        ("OPEN", None),
        ("APPROVED", None),
        ("APPROVED", "n=2/+"),
        ("CANCELLED", None),
        ("DENIED", None),
        ("DELETED", None),
        ("EXPIRED", None),
    ]
    assert {query["startDate"] for query in script.queries} == {DAYS["first"]}
    assert {query["endDate"] for query in script.queries} == {DAYS["last"]}
    assert {query["expand"] for query in script.queries} == {"user,leaveType"}
    assert headers(script, "x-api-key") == {"k3y"}


def test_bamboohr_days() -> None:
    """BambooHR is asked for some days after the other; what reaches over an edge is taken once."""
    over_an_edge = entry("bamboohr", start="2026-11-20", end="2026-12-05", dates={"2026-12-01": "1"})
    before = entry("bamboohr", id="7", start="2026-10-01", end="2027-01-05", dates={"2026-12-01": "1"})
    found, script = run("bamboohr", [answer("bamboohr", over_an_edge, before)])
    assert [change_of(event).leave_id for event in found] == ["1342", "7"]
    spans = [(query["start"], query["end"]) for query in script.queries]
    assert spans[:2] == [(DAYS["first"], "2026-11-27"), ("2026-11-28", "2026-12-28")]
    assert spans[-1] == ("2027-12-05", DAYS["last"])
    assert {query["status"] for query in script.queries} == {"approved,denied,superceded,requested,canceled"}
    assert headers(script, "accept") == {"application/json"}
    assert headers(script, "authorization") == {"Basic azN5Ong="}


def test_kombo_absence() -> None:
    """An absence of Kombo's list, once its employee's address has been asked."""
    [event] = _once("kombo", entry("kombo"))
    [change] = asked(vendors.load("kombo"), event, Api("kombo"))
    assert isinstance(change, LeaveChange)
    said = (change.state, change.email, change.start, change.end, change.type_name)
    assert said == ("approved", "sol@example.com", "2027-04-12", "2027-04-14", "Vacation")
    assert (change.first_day_part, change.last_day_part, change.total) == (True, False, None)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"start_half_day": None, "end_half_day": None}, {"total": {"value": 2.5, "unit": "days"}}),
        ({"start_half_day": False, "end_half_day": True}, {"last_day_part": True}),
        (
            {"start_half_day": None, "unit": "HOURS", "amount": 2},
            {"total": {"value": 2.0, "unit": "hours"}},
        ),
        ({"start_half_day": None, "amount": None, "unit": None}, {}),
        ({"status": "DECLINED"}, {"state": "ended", "declined": True, "first_day_part": True}),
        ({"status": "REQUESTED"}, {"state": "requested", "first_day_part": True}),
        ({"end_date": None}, {"open_ended": True, "first_day_part": True}),
        (
            {"status": None, "remote_deleted_at": "2026-11-03T00:00:00Z"},
            {"state": "ended", "first_day_part": True},
        ),
    ],
    ids=str,
)
def test_kombo_changed(changes: dict[str, Any], expected: dict[str, Any]) -> None:
    """Halves of a day, amounts, statuses and deletion, each as Kombo says it."""
    [event] = _once("kombo", entry("kombo", **changes))
    shown = change_of(event).model_dump(mode="json", exclude_defaults=True)
    for name in ("form", "event_id", "leave_id", "version", "start", "end", "type_name"):
        shown.pop(name, None)
    assert shown == {"state": "approved", **expected}


def test_kombo_gone_employee() -> None:
    """An employee whom Kombo does not know, or who has no work address, has none."""
    [event] = _once("kombo", entry("kombo"))
    empty = {"status": "success", "data": {"next": None, "results": []}}
    for reply in (JSONResponse({}, 404), JSONResponse(empty)):
        with unparseable_if_invalid(), client("kombo", Scripted([reply]).app()) as api:
            [change] = vendors.load("kombo").ask(event, _Forgetful(api))  # type: ignore[arg-type]
        assert change_of(change).email is None


class _Forgetful:
    """An API that remembers no address."""

    def __init__(self, api: VendorApi) -> None:
        self._api = api

    def email(self, employee: str, ask: Any) -> str | None:
        """Asked each time."""
        found: str | None = ask()
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._api, name)


@pytest.mark.parametrize("company", ["acme.example.com/x", "a b", "acme.bamboohr.com", "acme@evil", "../x"])
def test_bamboohr_company(company: str) -> None:
    """A company that would make another host of BambooHR's gets no credentials."""
    api = vendors.load("bamboohr").api
    assert api is not None
    assert api.host_for({"company": "acme-2"}) == "https://acme-2.bamboohr.com"
    secret = SourceSecret(api={"company": SecretStr(company), "apiKey": SecretStr("k3y")})
    with http_of() as http:
        memory = VendorMemory(Table(SESSION.client("dynamodb"), "none"), time.time)
        apis = VendorApis(http, memory, no_rotation)
        with pytest.raises(VendorRefused, match="company"):
            VendorClient(apis, api, secret, Deadline(time.time() + 1), "bamboohr")
