"""The stand-ins for the vendors' APIs list what has happened."""

import json
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from localrun import vendor_api, vendor_lists
from localrun.serve import Served
from relay import vendors
from relay.aws.secrets import SourceSecret
from relay.deadline import Deadline
from relay.events import BadgeEvent, Event, LeaveChange, SensorReading, ThinEvent
from relay.vendors.support.api import VendorClient
from relay.vendors.support.base import Vendor
from relay.vendors.support.listing import LeaveList, Page, Span, Window
from relayctl import samples
from tests.rig import Rig, sample
from tests.scripted_api import all_pages

VENDOR_LIST = """
calls:
- {path: /rest/v2/time_offs, auth: "authorization: Bearer", answer: {data: "{{entries}}", page: {next: null}}}
- {method: POST, path: /token, auth: "x-api-key:", answer: {token: demo}}
entries:
  approved:
    id: "{{data.resource.id}}"
    status: approved
    since: 2026-11-03
    changed: "{{data.resource.updated_at}}"
  rejected: {id: "{{data.resource.id}}", status: rejected, requester: "{{data.resource.requester}}"}
  canceled: null
"""


@pytest.fixture
def lists(tmp_path: Path) -> Iterator[httpx.Client]:
    """A client of the vendors' APIs, of which Deel's and Kisi's list what has happened."""
    (tmp_path / "deel").mkdir()
    (tmp_path / "deel" / "list.yaml").write_text(VENDOR_LIST)
    (tmp_path / "kisi").mkdir()
    (tmp_path / "kisi" / "list.yaml").write_text(
        'calls: [{path: "/event_sets/{set}", answer: "{{entries}}", paged_by: page}]\n'
        'entries: {badge-in: {uuid: "{{uuid}}"}, denied: {uuid: "{{uuid}}", at: ""}}\n'
        "fresh: [at]\n"
    )
    with (
        Served(vendor_api.create(tmp_path)) as url,
        httpx.Client(base_url=url, headers={"authorization": "Bearer token"}, trust_env=False) as client,
    ):
        yield client


def happen(lists: httpx.Client, vendor: str, name: str, **changes: Any) -> dict[str, Any]:
    """Tell of a sample, as `relayctl send` does before it posts it; returns its payload."""
    payload: dict[str, Any] = sample(vendor, name, **changes)
    said = {"vendor": vendor, "sample": name, "payload": payload}
    assert lists.post("/_vendors/happened", json=said).status_code == 204
    return payload


def test_vendor_lists_what_happened(lists: httpx.Client) -> None:
    """A list has each leave once, as it was said last, with values of the payload that was really sent."""
    assert lists.get("/rest/v2/time_offs").json() == {"data": [], "page": {"next": None}}
    sent = happen(lists, "deel", "approved")["data"]["resource"]
    entry = {"id": sent["id"], "status": "approved", "since": "2026-11-03", "changed": sent["updated_at"]}
    assert lists.get("/rest/v2/time_offs").json()["data"] == [entry]
    other = happen(lists, "deel", "rejected")["data"]["resource"]
    happen(lists, "deel", "approved")
    profile = other["requester"]
    rejected = {"id": other["id"], "status": "rejected", "requester": profile}
    assert lists.get("/rest/v2/time_offs").json()["data"] == [rejected, entry]
    happen(lists, "deel", "requested")
    assert entry in lists.get("/rest/v2/time_offs").json()["data"]
    happen(lists, "deel", "canceled")
    assert lists.get("/rest/v2/time_offs").json()["data"] == [rejected]


def test_vendor_lists_badges(lists: httpx.Client) -> None:
    """Each event is listed, one that the relay ignores too; a time that nobody said is that of now."""
    happen(lists, "kisi", "badge-in", uuid="one")
    happen(lists, "kisi", "badge-in", uuid="two")
    happen(lists, "kisi", "denied", uuid="three")
    happen(lists, "kisi", "door-held-open", uuid="four")
    found = lists.get("/event_sets/1").json()
    assert [entry["uuid"] for entry in found] == ["one", "two", "three"]
    assert lists.get("/event_sets/1?page=1").json() == found
    assert lists.get("/event_sets/1?page=2").json() == []
    assert {entry["at"][:4] for entry in found} == {f"{time.gmtime().tm_year}"}


def test_vendor_list_wants_credentials(lists: httpx.Client) -> None:
    """The header that a call names must be there, with its scheme."""
    for headers, status in (({"authorization": "Basic x"}, 401), ({"authorization": "Bearer x"}, 200)):
        assert lists.get("/rest/v2/time_offs", headers=headers).status_code == status
    assert lists.post("/token").status_code == 401
    assert lists.post("/token", headers={"x-api-key": "key"}).json() == {"token": "demo"}


def test_happened_is_shown_and_forgotten(lists: httpx.Client) -> None:
    """All that was posted is shown in order; forgetting it empties the lists."""
    payload = happen(lists, "deel", "approved")
    happen(lists, "verkada", "badge-in")
    shown = lists.get("/_vendors/happened").json()
    assert shown[0] == {"vendor": "deel", "sample": "approved", "payload": payload}
    assert [said["vendor"] for said in shown] == ["deel", "verkada"]
    assert lists.delete("/_vendors/happened").status_code == 204
    assert lists.get("/_vendors/happened").json() == []
    assert lists.get("/rest/v2/time_offs").json()["data"] == []


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ({"vendor": "acme", "sample": "x", "payload": {}}, "vendor: there is no acme"),
        ({"vendor": "deel", "sample": "approved", "payload": {}}, "payload: there is nothing at data"),
        ({"vendor": "deel"}, "sample: Field required"),
    ],
)
def test_happened_that_is_malformed(lists: httpx.Client, said: dict[str, Any], problem: str) -> None:
    """What cannot have been sent is refused, and changes nothing."""
    answer = lists.post("/_vendors/happened", json=said)
    assert answer.status_code == 400
    assert answer.json()["errors"][0].startswith(problem)
    assert lists.get("/_vendors/happened").json() == []


def test_every_list_is_served() -> None:
    """The stand-in takes every sample of each vendor that can list, and answers every call of its list."""
    listings = vendor_lists.listings(vendor_api.EVENTS)
    with Served(vendor_api.create()) as url, httpx.Client(base_url=url, trust_env=False) as client:
        for vendor, listing in listings.items():
            assert set(listing.entries) <= set(samples.names(vendor))
            for name in samples.names(vendor):
                happen(client, vendor, name)
            for call in listing.calls:
                header, _, scheme = call.auth.partition(":")
                headers = {header: f"{scheme} token".strip()} if header else {}
                path = call.path.replace("{", "").replace("}", "")
                answer = client.request(call.method, path, headers=headers)
                assert answer.status_code == 200, f"{vendor}: {call.method} {call.path}"


LISTED = [name for name in vendors.NAMES if vendors.load(name).lists]


@pytest.mark.parametrize("name", LISTED)
def test_relay_reads_what_is_listed(rig: Rig, name: str) -> None:
    """The relay finds what has just happened in the list, by the id that the webhook has."""
    vendor, source = vendors.load(name), rig.source(name)
    secret = rig.secrets[source]
    now = time.time()
    first = samples.names(name)[0]
    body = samples.renewed(vendor, samples.body(name, first), datetime.now(UTC))
    said = {"vendor": name, "sample": first, "payload": json.loads(body)}
    with httpx.Client(base_url=secret["api"]["baseUrl"], trust_env=False) as stand_in:
        assert stand_in.post("/_vendors/happened", json=said).status_code == 204
        listed = everything(rig, vendor, SourceSecret.model_validate(secret), now)
        stand_in.delete("/_vendors/happened")
    happened = vendor_lists.Happened(vendor_lists.listings(vendor_api.EVENTS))
    happened.take(vendor_lists.HappenedRequest.model_validate(said))
    # A list that is asked in slices of days has everything in each: the stand-in looks at no window.
    found = list(dict.fromkeys(thing(event) for event in listed))
    if name == "kombo":
        # Its webhook names nothing.
        assert len(found) == 1
    else:
        assert found == list(happened.listed[name])


def everything(rig: Rig, vendor: Vendor, secret: SourceSecret, now: float) -> list[Event]:
    """All pages of a vendor's list: leave of 2026 to 2028, or events of the hour around now."""
    assert vendor.api is not None
    client = VendorClient(
        rig.relay.vendor_apis, vendor.api, secret, Deadline(now + 20), rig.source(vendor.name)
    )

    def page(following: str | None) -> Page:
        if isinstance(vendor.lists, LeaveList):
            window = Window(first=date(2026, 1, 1), last=date(2028, 1, 1), began=now)
            return vendor.lists.page(client, window, following)
        assert vendor.lists is not None
        return vendor.lists.page(client, Span(since=now - 1800, until=now + 1800), following)

    return all_pages(page, most=60)


def thing(event: Event) -> str:
    """What an event is about, by its id."""
    match event:
        case LeaveChange():
            return event.leave_id
        case ThinEvent():
            return event.subject
        case BadgeEvent() | SensorReading():
            return event.event_id
    raise AssertionError(event)
