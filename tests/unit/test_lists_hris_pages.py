"""The pages of what HR systems list: all of them are read, and no list is without an end."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from relay import vendors
from relay.errors import Unparseable, VendorRefused
from relay.events import LeaveChange, MalformedEvent, ThinEvent
from tests import listing
from tests.hris_apis import FACTORIAL, WINDOW, Vendors, changes, first_sample, lists, serving


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
    assert not any(change.type_unnamed for change in changes(api.listed("deel")))
    unknown = first_sample("deel") | {"time_off_type_id": "7"}
    api.app = listing.pages("deel", [unknown])
    [change] = changes(api.listed("deel"))
    assert (change.type_name, change.type_unnamed) == ("7", True)
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
