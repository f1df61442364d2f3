"""How Brivo lists what happened: from the newest back."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from relay import vendors
from relay.errors import Unparseable
from relay.events import BadgeEvent, Counting, Ignored
from relay.vendors.support.listing import Span
from tests.listing import entries, pages
from tests.scripted_api import SINCE, UNTIL, client, listed, run


def with_time(at: datetime) -> dict[str, Any]:
    """An event that occurred then."""
    return {**entries("brivo")["access-granted"], "occurred": at.isoformat().replace("+00:00", "Z")}


def a_page(count: int, first: datetime) -> list[dict[str, Any]]:
    """So many events, newest first, a second from each other."""
    return [
        {**with_time(first - timedelta(seconds=n)), "uuid": f"{first.isoformat()}-{n}"} for n in range(count)
    ]


def test_pages() -> None:
    """Brivo's pages go back in time: each begins where the one before ended, until one is not full."""
    noon = datetime.fromisoformat("2026-11-03T12:00:00Z")
    answers = [
        {"data": a_page(100, noon), "pageSize": 100},
        {"data": a_page(99, noon - timedelta(hours=1)), "pageSize": 100},
    ]
    found, script = run("brivo", answers)
    assert len(found) == 199
    window = {"filter": "occurred__gt:2026-10-31T23:59:59.000Z", "pageSize": "100"}
    assert script.queries == [window, {**window, "offset": "2026-11-03T11:58:21Z"}]
    assert {one.path for one in script.asked} == {"/v1/api/events/access"}
    assert {(one.headers["authorization"], one.headers["api-key"]) for one in script.asked} == {
        ("Bearer t0ken", "k3y")
    }
    [asked] = script.tokens
    assert asked.body == b"grant_type=password&username=root&password=p4ss"
    assert (asked.headers["authorization"], asked.headers["api-key"]) == ("Basic Y2xpZW50OnMzY3JldA==", "k3y")


def test_repeats_itself() -> None:
    """More events in one second than a page holds end in an error, not in a loop; and so do pages untimed."""
    same = [{**entries("brivo")["access-granted"], "uuid": f"u{n}"} for n in range(100)]
    with pytest.raises(Unparseable, match="itself"):
        run("brivo", [{"data": same}])
    with pytest.raises(Unparseable, match="occurred"):
        run("brivo", [{"data": [{"uuid": "u", "securityAction": {}}] * 100}])


def test_actions() -> None:
    """The actions that count in the webhook count in the list."""
    span = Span(since=SINCE, until=UNTIL, counting=Counting(security_actions=[5064]))
    with client("brivo", pages("brivo", list(entries("brivo").values()))) as api:
        found = listed("brivo", api, span)
    assert [type(event) for event in found] == [Ignored, BadgeEvent, Ignored]


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://api.brivo.com", "https://auth.brivo.com"),
        ("https://api.eu.brivo.com", "https://auth.eu.brivo.com"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
    ],
)
def test_token_host(url: str, host: str) -> None:
    """Brivo gives tokens on a host beside the API's."""
    api = vendors.load("brivo").api
    assert api is not None
    assert api.oauth is not None
    assert api.oauth.host(url) == host
