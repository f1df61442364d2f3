"""How Kisi lists what happened: an event set, by its cursor."""

import json
from typing import Any

import pytest

from relay.errors import Unparseable, VendorUnavailable
from tests.listing import entries
from tests.scripted_api import SPAN, Scripted, client, listing, run


def unlocks(count: int) -> list[dict[str, Any]]:
    """So many unlocks at Kisi's doors."""
    return [{**entries("kisi")["badge-in"], "uuid": f"unlock-{n}"} for n in range(count)]


def test_pages() -> None:
    """Kisi collects a set first, which is asked for until it is finished, and then by its cursor."""
    head = {"id": 7, "status": "finished"}
    answers = [
        {"id": 7, "status": "created", "events": [], "cursor": None},
        {**head, "events": unlocks(2), "cursor": "a b&c"},
        {**head, "events": unlocks(1), "cursor": "d"},
        {**head, "events": [], "cursor": "d"},
        {**head, "events": unlocks(1), "cursor": "d"},
    ]
    script = Scripted(answers)
    with client("kisi", script.app()) as api:
        first = listing("kisi").page(api, SPAN, None)
        assert (list(first.events), first.following) == ([], "7")
        second = listing("kisi").page(api, SPAN, "7")
        assert (len(second.events), second.following) == (2, "7 a b&c")
        third = listing("kisi").page(api, SPAN, "7 a b&c")
        assert (len(third.events), third.following) == (1, "7 d")
        last = listing("kisi").page(api, SPAN, "7 d")
        assert (list(last.events), last.following) == ([], None)
        with pytest.raises(Unparseable, match="itself"):
            listing("kisi").page(api, SPAN, "7 d")
    assert [(one.method, one.path) for one in script.asked] == [("POST", "/event_sets")] + [
        ("GET", "/event_sets/7")
    ] * 4
    assert json.loads(script.asked[0].body) == {
        "event_set": {
            "interval": "2026-10-31T23:59:59.000Z/2026-11-04T04:00:00.000Z",
            "event_type": "lock.unlock",
            "place_id": 5501,
        }
    }
    assert script.queries[1:] == [
        {"limit": "250"},
        {"limit": "250", "cursor": "a b&c"},
        {"limit": "250", "cursor": "d"},
        {"limit": "250", "cursor": "d"},
    ]
    assert {one.headers["authorization"] for one in script.asked} == {"KISI-LOGIN k3y"}


def test_ends() -> None:
    """A set ends where there is no cursor, or no event."""
    head = {"id": 7, "status": "finished"}
    found, script = run("kisi", [head, {**head, "events": unlocks(2), "cursor": None}])
    assert (len(found), len(script.asked)) == (2, 2)
    found, _ = run("kisi", [head, {**head, "events": unlocks(2), "cursor": "x"}, {**head, "events": []}])
    assert len(found) == 2
    found, _ = run("kisi", [{"id": 7}, {"id": 7, "events": unlocks(1)}])
    assert len(found) == 1


def test_is_not_finished() -> None:
    """While Kisi collects, the same page is asked for again shortly after; a set that failed is no list."""
    script = Scripted([{"id": 7}, {"id": 7, "status": "running", "events": []}])
    with client("kisi", script.app()) as api:
        listing("kisi").page(api, SPAN, None)
        with pytest.raises(VendorUnavailable) as caught:
            listing("kisi").page(api, SPAN, "7")
    assert caught.value.retry_after == 2
    with pytest.raises(Unparseable, match="failed"):
        run("kisi", [{"id": 7}, {"id": 7, "status": "Failed", "events": []}])


@pytest.mark.parametrize("set_id", ["../places", "", None, {"a": 1}])
def test_names_no_path(set_id: Any) -> None:
    """What Kisi calls the set is an id: no other path is asked for its sake."""
    with pytest.raises(Unparseable):
        run("kisi", [{"id": set_id}])
