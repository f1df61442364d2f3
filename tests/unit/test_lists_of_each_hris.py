"""What is particular to each further HR system's list: cursors, windows, statuses, companies."""

import time
from typing import Any

import pytest
from pydantic import SecretStr
from starlette.responses import JSONResponse

from relay import vendors
from relay.aws.secrets import SourceSecret
from relay.aws.table import Table
from relay.deadline import Deadline
from relay.errors import Unparseable, VendorRefused
from relay.events import LeaveChange, ThinEvent, unparseable_if_invalid
from relay.vendors.support.api import VendorApis, VendorClient
from relay.vendors.support.base import VendorApi
from relay.vendors.support.memory import VendorMemory
from tests.moto_table import SESSION
from tests.recorded import Api, asked
from tests.scripted_api import Scripted, client, no_rotation
from tests.servers import http_of
from tests.unit.test_lists_more_hris import _once, answer, change_of, entry, listing, paths, run

DAYS = {"first": "2026-10-28", "last": "2027-12-09"}


def headers(script: Scripted, name: str) -> set[str]:
    """What the requests had in a header."""
    return {one.headers[name] for one in script.asked}


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


@pytest.mark.parametrize(
    ("status", "word", "is_known"),
    [(200, "approved", True), (200, "Canceled", False), (200, "unheard of", True), (404, "approved", False)],
)
def test_remote_knows(status: int, word: str, is_known: bool) -> None:
    """Time off that Remote's list lacks is asked for by its id; what was cancelled may stay there as such."""
    knows = listing("remote").knows
    assert knows is not None
    found = {**entry("remote"), "status": word}
    script = Scripted([JSONResponse({"data": {"timeoff": found}}, status)])
    with client("remote", script.app()) as api:
        assert knows(api, "5e0f3b1c") is is_known
    assert paths(script) == ["/v1/timeoff/5e0f3b1c"]


@pytest.mark.parametrize(
    ("amount", "said"),
    [
        ({"hours": 7, "minutes": 30}, [7.5]),
        ({"hours": 8, "minutes": 480}, [8]),
        ({"hours": 0, "minutes": 480}, [8]),
        ({"hours": 0, "minutes": 0}, [0]),
        ({"hours": None, "minutes": None}, []),
    ],
)
def test_remote_days(amount: dict[str, Any], said: list[float]) -> None:
    """A day's minutes may be the hours once more; where a day says no amount, the leave's own days count."""
    one = entry("remote")
    days = [{"day": one["start_date"], **amount}]
    [event], _ = run("remote", [answer("remote", {**one, "timeoff_days": days})])
    assert [day.value for day in change_of(event).days] == said


def test_remote_day_without_an_amount() -> None:
    """A day that does not say how much is a whole one, and costs the others nothing of what they say."""
    amounts: list[dict[str, Any]] = [{"hours": 4}, {"hours": None}, {"hours": None, "minutes": 30}]
    days = [{"day": f"2027-06-1{place}", **amount} for place, amount in enumerate(amounts)]
    [event], _ = run("remote", [answer("remote", {**entry("remote"), "timeoff_days": days})])
    said = [(day.on[8:], day.value, day.unit) for day in change_of(event).days]
    assert said == [("10", 4, "hours"), ("11", 1, "days"), ("12", 0.5, "hours")]


@pytest.mark.parametrize(("ids", "email"), [(["e2", "e1"], "e1@example.com"), (["e2"], None)])
def test_kombo_address_of_another(ids: list[str], email: str | None) -> None:
    """An employee whom Kombo lists unasked lends nobody an address."""
    change = LeaveChange(event_id="e", leave_id="1", state="approved", version="v", start="2027-01-01")
    thin = ThinEvent(event_id="e", subject="1", employee="e1", change=change)
    results = [{"id": one, "work_email": f"{one}@example.com"} for one in ids]
    api = Api("kombo", lambda _: {"data": {"results": results}})
    assert vendors.load("kombo").ask(thin, api) == [change.model_copy(update={"email": email})]


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
