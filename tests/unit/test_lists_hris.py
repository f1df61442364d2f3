"""HR systems list what their webhooks say: page by page, and nothing that is no list is taken for one."""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from datetime import date
from typing import Any, Literal

import pytest
import yaml
from pydantic import SecretStr
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from localrun.serve import Served
from relay import vendors
from relay.aws.secrets import SourceSecret
from relay.config.model import Source
from relay.deadline import Deadline
from relay.errors import Unparseable, VendorRefused
from relay.events import Event, LeaveChange, MalformedEvent, ThinEvent, iso
from relay.http import Http
from relay.reconciliation.rules import differs
from relay.time_off.decision import arrival_of
from relay.vendors.support.api import VendorApis, VendorClient
from relay.vendors.support.listing import LeaveList, Page, Window
from relay.vendors.support.memory import VendorMemory
from relayctl import samples as relayctl_samples
from tests import listing
from tests.memory import Memory
from tests.recorded import Api, events
from tests.rig import NOON
from tests.scripted_api import all_pages, no_rotation
from tests.servers import http_of

CREDENTIALS: Mapping[str, Mapping[str, str]] = {
    "deel": {"apiToken": "a-token"},
    "factorial": {"apiKey": "a-key"},
    "gusto": {"accessToken": "a-token", "companyUuid": "company-1"},
    "hibob": {"serviceUserId": "user", "serviceUserToken": "a-token"},
    "personio": {"clientId": "client", "clientSecret": "a-secret"},
}
WINDOW = Window(first=date(2026, 10, 28), last=date(2027, 12, 9), began=NOON)
TOKEN = "/v2/auth/token"
FACTORIAL = "/api/2026-10-01/resources/timeoff/leaves"
each_vendor = pytest.mark.parametrize("vendor", CREDENTIALS)

Answer = Callable[[str, Mapping[str, str]], Any]
"""What an API answers to a path and a query; None is 404."""


class Vendors:
    """Vendors' APIs on one server: `app` answers, and `asked` is what was asked of it but tokens."""

    def __init__(self, url: Callable[[], str], http: Http) -> None:
        self._url = url
        self._http = http
        self.app: ASGIApp | None = None
        self.asked: list[tuple[str, dict[str, str]]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Note what is asked, and have the application answer it."""
        assert self.app is not None
        request = Request(scope)
        if request.url.path != TOKEN:
            self.asked.append((request.url.path, dict(request.query_params)))
        await self.app(scope, receive, send)

    def answering(self, answer: Answer) -> None:
        """Have the API answer so, and give tokens to whoever asks."""

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            request = Request(scope)
            found = answer(request.url.path, dict(request.query_params))
            if request.url.path == TOKEN:
                found = {"access_token": "token-1", "expires_in": 86400}
            response = JSONResponse(found, 404 if found is None else 200)
            await response(scope, receive, send)

        self.app = app

    def client(self, vendor: str, **credentials: str) -> VendorClient:
        """A vendor's API for a source with these credentials."""
        api = vendors.load(vendor).api
        assert api is not None
        given = {**CREDENTIALS[vendor], **credentials, "baseUrl": self._url()}
        secret = SourceSecret(api={name: SecretStr(value) for name, value in given.items() if value})
        memory = VendorMemory(Memory(), lambda: NOON)
        apis = VendorApis(self._http, memory, no_rotation, lambda: NOON)
        return VendorClient(apis, api, secret, Deadline(time.time() + 20), vendor)

    def page(self, vendor: str, following: str | None = None, window: Window = WINDOW) -> Page:
        """One page of a vendor's list."""
        return lists(vendor).page(self.client(vendor), window, following)

    def listed(self, vendor: str, window: Window = WINDOW) -> list[Event]:
        """All that a vendor's list has, page by page."""
        return all_pages(lambda following: self.page(vendor, following, window), most=9)


@pytest.fixture(scope="module")
def server() -> Iterator[Vendors]:
    """One server for all tests."""
    with _serving() as vendors_of_all:
        yield vendors_of_all


@contextmanager
def _serving() -> Iterator[Vendors]:
    urls: list[str] = []
    with http_of() as http:
        server = Vendors(lambda: urls[0], http)
        with Served(server) as url:
            urls.append(url)
            yield server


@pytest.fixture
def api(server: Vendors) -> Vendors:
    """The server, which has not been asked for anything."""
    server.asked.clear()
    server.answering(lambda *_: None)
    return server


def lists(vendor: str) -> LeaveList:
    """How a vendor's leave is listed."""
    found = vendors.load(vendor).lists
    assert isinstance(found, LeaveList)
    return found


def samples() -> list[tuple[str, str]]:
    """Each sample that is in its vendor's list."""
    return [(vendor, name) for vendor in CREDENTIALS for name in listing.entries(vendor)]


def changes(found: Sequence[Event]) -> list[LeaveChange]:
    """The leave changes that were listed, with those that still lack an address."""
    read = []
    for event in found:
        change = event.change if isinstance(event, ThinEvent) else event
        assert isinstance(change, LeaveChange)
        read.append(change)
    return read


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


def first_sample(vendor: str) -> Any:
    """The list's entry of a vendor's first sample, to be altered."""
    return deepcopy(next(iter(listing.entries(vendor).values())))


UNREADABLE: Mapping[str, Callable[[Any], Any]] = {
    "deel": lambda entry: {**entry, "status": "PONDERED"},
    "factorial": lambda entry: {**entry, "id": "../7"},
    "gusto": lambda entry: {**entry, "status": "pondered"},
    "hibob": lambda entry: {**entry, "requestId": "7", "changeType": "Pondered"},
    "personio": lambda entry: {**entry, "approval": {"status": "PONDERED"}},
}


@each_vendor
def test_unreadable_entry(api: Vendors, vendor: str) -> None:
    """An entry that cannot be read costs no other; its content is kept."""
    good = first_sample(vendor)
    broken = UNREADABLE[vendor](first_sample(vendor))
    api.app = listing.pages(vendor, [broken, good, None, "text"])
    found = api.listed(vendor)
    malformed = [event for event in found if isinstance(event, MalformedEvent)]
    assert [json.loads(event.body) for event in malformed] == [broken, None, "text"]
    assert len(found) == 4
    assert all(event.detail for event in malformed)
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


def test_deel_pages(api: Vendors) -> None:
    """Deel's pages follow a cursor, with the window."""
    entry = first_sample("deel")
    answers = {
        None: {"data": [entry], "has_next_page": True, "next": "a/b"},
        "a/b": {"data": [{**entry, "id": "second"}], "has_next_page": False},
    }
    policies = json.loads(_policies())
    api.answering(lambda path, query: policies if "policies" in path else answers[query.get("next")])
    assert [change.leave_id for change in changes(api.listed("deel"))] == [entry["id"], "second"]
    asked = {"start_date": "2026-10-28T00:00:00Z", "end_date": "2027-12-09T23:59:59Z", "page_size": "100"}
    pages = [query for path, query in api.asked if path == "/rest/v2/time_offs"]
    assert pages == [asked, {**asked, "next": "a/b"}]


def _policies() -> bytes:
    return next((listing.EVENTS / "deel" / "api").glob("policies-*.json")).read_bytes()


@pytest.mark.parametrize(
    "end",
    [
        {"has_next_page": True, "next": "same"},
        {"has_next_page": True},
        {"has_next_page": True, "next": None},
        {"count": 1},
    ],
    ids=str,
)
def test_deel_without_an_end(api: Vendors, end: Any) -> None:
    """A page that names itself, or does not say where the next one is, is no list."""
    api.answering(lambda path, query: {"data": [], **end})
    with pytest.raises(Unparseable, match=r"^list: "):
        api.page("deel", "same")


def test_deel_types(api: Vendors) -> None:
    """A type's name is asked for once; one that nobody has a name for goes by its id."""
    api.app = listing.pages("deel", [first_sample("deel") | {"id": f"leave-{n}"} for n in range(3)])
    assert {change.type_name for change in changes(api.listed("deel"))} == {"Vacation"}
    assert sum("policies" in path for path, _ in api.asked) == 1
    unknown = first_sample("deel") | {"time_off_type_id": "7"}
    api.app = listing.pages("deel", [unknown])
    assert [change.type_name for change in changes(api.listed("deel"))] == ["7"]
    unknown["recipient_profile"] = {"hris_profile_id": "nobody"}
    api.app = listing.pages("deel", [unknown])
    assert [change.type_name for change in changes(api.listed("deel"))] == ["7"]
    api.app = listing.pages("deel", [unknown | {"recipient_profile": {}}])
    [malformed] = api.listed("deel")
    assert isinstance(malformed, MalformedEvent)


def test_deel_half_days(api: Vendors) -> None:
    """The list's names of half days are read as the webhook's."""
    api.app = listing.pages("deel", [first_sample("deel") | {"half_start_date": True}])
    [change] = changes(api.listed("deel"))
    assert (change.first_day_part, change.last_day_part) == (True, False)


@pytest.mark.parametrize(
    ("person", "email"),
    [
        ({"data": {"emails": [{"type": "work", "value": " a@example.com "}]}}, "a@example.com"),
        ({"data": {"emails": [{"type": "personal", "value": "b@example.com"}]}}, None),
        ({"data": {"emails": [None, "x"], "work_email": "c@example.com"}}, "c@example.com"),
        ({"emails": "x"}, None),
        (None, None),
    ],
)
def test_deel_addresses(api: Vendors, person: Any, email: str | None) -> None:
    """Only a work address is one that Calven knows."""
    change = LeaveChange(event_id="e", leave_id="1", state="approved", version="v", start="2027-01-01")
    thin = ThinEvent(event_id="e", subject="1", employee="p1", change=change)
    api.answering(lambda path, query: person)
    assert vendors.load("deel").ask(thin, api.client("deel")) == [change.model_copy(update={"email": email})]
    assert api.asked == [("/rest/v2/people/p1", {})]


def test_factorial_pages(api: Vendors) -> None:
    """Factorial's pages go on behind a cursor, with the window and with deleted leaves."""
    entry = first_sample("factorial")
    answers = {
        None: {"data": [entry], "meta": {"has_next_page": True, "end_cursor": "MTY="}},
        "MTY=": {"data": [{**entry, "id": "2"}], "meta": {"has_next_page": False, "end_cursor": "Mjc="}},
    }
    api.answering(lambda path, query: answers[query.get("after_id")])
    assert [change.leave_id for change in changes(api.listed("factorial"))] == [entry["id"], "2"]
    asked = {
        "from": "2026-10-28",
        "to": "2027-12-09",
        "include_deleted_leaves": "true",
        "include_pending": "true",
        "limit": "100",
    }
    assert api.asked == [(FACTORIAL, asked), (FACTORIAL, {**asked, "after_id": "MTY="})]


@pytest.mark.parametrize(
    "meta",
    [
        {"meta": {"has_next_page": True, "end_cursor": "same"}},
        {"meta": {"has_next_page": True}},
        {"meta": {}},
        {"meta": None},
        {},
    ],
    ids=str,
)
def test_factorial_without_an_end(api: Vendors, meta: Any) -> None:
    """A page that names itself, or does not say whether there is another one, is no list."""
    api.answering(lambda path, query: {"data": [], **meta})
    with pytest.raises(Unparseable, match=r"^list: "):
        api.page("factorial", "same")


def test_factorial_deleted(api: Vendors) -> None:
    """A deleted leave has ended, at the time when it was deleted; one that never was approved is not told."""
    gone = first_sample("factorial") | {"deleted_at": "2026-11-04T01:00:00Z"}
    api.app = listing.pages("factorial", [gone, gone | {"id": "2", "approved": None}])
    approved, pending = changes(api.listed("factorial"))
    assert (approved.state, approved.declined, approved.version) == (
        "ended",
        False,
        "2026-11-04T01:00:00.000Z",
    )
    assert (pending.state, pending.declined) == ("ended", True)


def test_gusto_pages(api: Vendors) -> None:
    """Gusto's pages have numbers; the one after the last is empty, however short that was."""
    entry = first_sample("gusto")
    answers = {"1": [entry], "2": [{**entry, "uuid": "second"}], "3": []}
    api.answering(lambda path, query: answers[query["page"]])
    assert [change.leave_id for change in changes(api.listed("gusto"))] == [entry["uuid"], "second"]
    asked = {"start_date": "2026-10-28", "end_date": "2027-12-09", "per": "100"}
    path = "/v1/companies/company-1/time_off/requests"
    assert api.asked == [(path, {**asked, "page": number}) for number in ("1", "2", "3")]


def test_gusto_repeats_itself(api: Vendors) -> None:
    """An API that gives the same page for each number never ends."""
    api.answering(lambda path, query: [first_sample("gusto")])
    first = api.page("gusto")
    with pytest.raises(Unparseable, match=r"^list: a page is the one before$"):
        api.page("gusto", first.following)


def test_gusto_without_a_company(api: Vendors) -> None:
    """Only the listing needs to know the company: without it the operator is told what is missing."""
    with pytest.raises(VendorRefused, match=r"has no api\.companyUuid$"):
        lists("gusto").page(api.client("gusto", companyUuid=""), WINDOW, None)


def test_deel_without_a_token(api: Vendors) -> None:
    """Webhooks need no token: without it the operator is told what is missing."""
    with pytest.raises(VendorRefused, match=r"has no api\.apiToken$"):
        api.client("deel", apiToken="")


def test_personio_pages(api: Vendors) -> None:
    """Personio's pages follow a link, of which the host does not count."""
    entry = first_sample("personio")
    second = {**entry, "id": "second", "approval": {"status": "PENDING"}}
    link = {"links": {"next": {"href": "https://elsewhere.test/v2/absence-periods?limit=50&cursor=a%2Fb"}}}
    answers = {None: {"_data": [entry], "_meta": link}, "a/b": {"_data": [second], "_meta": {"links": {}}}}

    def answer(path: str, query: Mapping[str, str]) -> Any:
        if path == "/v2/absence-periods":
            return answers[query.get("cursor")]
        return {"_data": []}

    api.answering(answer)
    assert [change.leave_id for change in changes(api.listed("personio"))] == [entry["id"], "second"]
    asked = {
        "ends_at.date_time.gte": "2026-10-27T00:00:00Z",
        "starts_from.date_time.lte": "2027-12-10T23:59:59Z",
        "limit": "50",
    }
    pages = [query for path, query in api.asked if path == "/v2/absence-periods"]
    assert pages == [asked, {"limit": "50", "cursor": "a/b"}]


def test_personio_names_itself(api: Vendors) -> None:
    """A page whose link leads to itself is no list."""
    here = "/v2/absence-periods?cursor=1"
    link = {"links": {"next": {"href": f"https://api.personio.de{here}"}}}
    api.answering(lambda path, query: {"_data": [], "_meta": link})
    assert api.page("personio").following == here
    with pytest.raises(Unparseable, match="names itself"):
        api.page("personio", here)


def hibob(**fields: Any) -> Any:
    """The first sample of HiBob's changes, with other fields."""
    return first_sample("hibob") | fields


def bob(changes: Sequence[Any], out: Sequence[Any] = (), requests: Mapping[str, Any] | None = None) -> Answer:
    """HiBob's API, all of whose changes are of the first days that are asked for."""
    days = iter([list(changes)])

    def answer(path: str, query: Mapping[str, str]) -> Any:
        if path.endswith("/changes"):
            return {"changes": next(days, [])}
        if path.endswith("/whosout"):
            return {"outs": list(out) if query["from"] == "2026-10-28" else []}
        return (requests or {}).get(path.rpartition("/")[2])

    return answer


def test_hibob_calls(api: Vendors) -> None:
    """Both lists are asked for in steps that leave no time out, the changes for six months."""
    api.answering(bob([]))
    assert api.listed("hibob") == []
    changed = [query for path, query in api.asked if path == "/v1/timeoff/requests/changes"]
    assert changed[0] == {"since": "2026-05-08T04:00:00Z", "to": "2026-05-23T04:00:00Z"}
    assert changed[-1]["to"] == "2026-11-04T04:00:00Z"
    assert [query["since"] for query in changed[1:]] == [query["to"] for query in changed[:-1]]
    out = [query for path, query in api.asked if path == "/v1/timeoff/whosout"]
    assert out[0] == {
        "from": "2026-10-28",
        "to": "2026-11-28",
        "includeHourly": "true",
        "includePrivate": "true",
    }
    assert out[1]["from"] == "2026-11-29"
    assert out[-1]["to"] == "2027-12-09"


@pytest.mark.parametrize(
    ("entries", "state"),
    [
        ([{"changeType": "Created"}], "approved"),
        ([{"changeType": "Created"}, {"changeType": "Canceled"}], "ended"),
        ([{"changeType": "Deleted"}, {"changeType": "Created"}], "ended"),
        ([{"changeType": "Created", "status": "declined"}], "ended"),
        ([{"changeType": "Created", "status": "pending"}], "requested"),
        (
            [
                {"changeType": "Created", "createdOn": "2026-11-02T00:00:00"},
                {"changeType": "Canceled", "createdOn": "2026-11-01T00:00:00"},
            ],
            "approved",
        ),
    ],
    ids=str,
)
def test_hibob_last_change(api: Vendors, entries: Sequence[Mapping[str, str]], state: str) -> None:
    """The last change of a request counts: by its time, else an ending."""
    api.answering(bob([hibob(**fields) for fields in entries]))
    [change] = changes(api.listed("hibob"))
    assert change.state == state


def test_hibob_approved_long_ago(api: Vendors) -> None:
    """A request that has not changed for half a year is found by who is out, and asked about when it differs.

    One that has changed is as it changed.
    """
    out = hibob(status="approved")
    del out["changeType"], out["employeeEmail"]
    old = out | {"requestId": 11}
    canceled = hibob(changeType="Canceled")
    api.answering(bob([canceled], [out, old]))
    ended, approved = api.listed("hibob")
    assert (ended.event_id.split(":")[1], changes([ended])[0].state) == (str(out["requestId"]), "ended")
    assert isinstance(approved, ThinEvent)
    assert (approved.subject, approved.employee) == ("11", out["employeeId"])
    assert changes([approved])[0].state == "approved"


def test_hibob_amounts(api: Vendors) -> None:
    """What a list leaves out of a request in hours is asked for, of approved leave of the window only."""
    request = {"type": "differentDayDurations", "startPortion": None, "endPortion": None}
    durations = [{"date": "2027-04-05", "hours": 8}]
    full = {"status": "approved", "type": "differentDayDurations", "durations": durations}
    full |= {"startDate": "2027-04-05", "endDate": "2027-04-05", "policyTypeDisplayName": "Holiday"}
    dates = {"startDate": "2030-01-01", "endDate": "2030-01-02"}
    entries = [
        hibob(**request, requestId=1),
        hibob(**request, requestId=2),
        hibob(**request, requestId=3, changeType="Canceled"),
        hibob(**request, **dates, requestId=4),
    ]
    api.answering(bob(entries, requests={"1": {"data": full}}))
    named = {change.leave_id: change for change in changes(api.listed("hibob"))}
    asked = [path.rpartition("/")[2] for path, _ in api.asked if "/employees/" in path]
    assert sorted(asked) == ["1", "2"]
    assert [(day.on, day.value) for day in named["1"].days] == [("2027-04-05", 8)]
    assert named["2"].each_day is not None
    assert set(named) == {"1", "2", "3"}


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


@pytest.mark.parametrize("vendor", ["deel", "hibob"])
def test_cannot_know(vendor: str) -> None:
    """A list whose ids are not proven, or that needs more than an id, ends nothing by what it lacks."""
    assert lists(vendor).knows is None
    assert lists(vendor).lacks == "nothing"
