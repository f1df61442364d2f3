"""How Verkada lists what happened: by tokens, in a shape of its own."""

from typing import Any

import pytest

from relay.errors import Unparseable, VendorUnavailable
from relay.events import BadgeEvent, Counting, Ignored, MalformedEvent
from relay.vendors.support.listing import Span
from tests.listing import entries, pages
from tests.scripted_api import SINCE, SPAN, UNTIL, Scripted, client, listed, listing, run


def test_pages() -> None:
    """Verkada gives a token for the key, which is used for all pages; they follow each other by tokens."""
    good = entries("verkada")["badge-in"]
    answers = [
        {"events": [good], "next_page_token": "p/2"},
        {"events": [], "next_page_token": "p/3"},
        {"events": [good], "next_page_token": ""},
    ]
    found, script = run("verkada", answers, Span(since=SINCE + 0.5, until=UNTIL + 0.5))
    assert len(found) == 2
    window = {"start_time": str(int(SINCE) - 1), "end_time": str(int(UNTIL) + 1), "page_size": "200"}
    assert script.queries == [window, {**window, "page_token": "p/2"}, {**window, "page_token": "p/3"}]
    assert {one.path for one in script.asked} == {"/events/v1/access"}
    assert {one.headers["x-verkada-auth"] for one in script.asked} == {"t0ken"}
    assert all("x-api-key" not in one.headers for one in script.asked)
    [asked] = script.tokens
    assert (asked.method, asked.path, asked.headers["x-api-key"]) == ("POST", "/token", "k3y")
    assert asked.body == b""


def test_repeats_itself() -> None:
    """A page that names itself ends in an error, not in a loop."""
    with pytest.raises(Unparseable, match="itself"):
        run("verkada", [{"events": [], "next_page_token": "p"}])


def test_remote_unlocks() -> None:
    """Who unlocks from elsewhere counts in the list where they do in the webhook."""
    remote = entries("verkada")["remote-unlock"]
    with client("verkada", pages("verkada", [remote])) as api:
        [ignored] = listed("verkada", api)
        counting = Counting(remote_unlocks=True)
        [counted] = listed("verkada", api, Span(since=SINCE, until=UNTIL, counting=counting))
    assert ignored == Ignored(event_id=remote["event_id"], reason="remote")
    assert isinstance(counted, BadgeEvent)
    assert counted.person == "alex@example.com"


def test_unknown_kind() -> None:
    """An accepted credential of a kind that nobody documented is not lost."""
    entry = {**entries("verkada")["badge-in"], "event_type": "DOOR_VEIN_ACCEPTED"}
    with client("verkada", pages("verkada", [entry])) as api:
        [event] = listed("verkada", api)
    assert isinstance(event, MalformedEvent)
    assert "unknown kind" in event.detail


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("DOOR_LOCKDOWN", "other_event"),
        ("DOOR_OPENED", "door_state"),
        ("DOOR_REMOTE_UNLOCK_ACCEPTED", "remote"),
    ],
)
@pytest.mark.parametrize("nothing", [{"event_info": None}, {"event_info": []}, {"timestamp": None}])
def test_ignored_that_says_little(kind: str, reason: str, nothing: dict[str, Any]) -> None:
    """What its webhook would ignore is ignored in the list too, whatever it lacks: the run stays complete."""
    entry = {**entries("verkada")["badge-in"], "event_type": kind, **nothing}
    with client("verkada", pages("verkada", [entry])) as api:
        assert listed("verkada", api) == [Ignored(event_id=entry["event_id"], reason=reason)]


@pytest.mark.parametrize("remote_unlocks", [False, True])
def test_badge_that_says_little(remote_unlocks: bool) -> None:
    """An accepted credential that does not say where cannot be read."""
    kind = "DOOR_REMOTE_UNLOCK_ACCEPTED" if remote_unlocks else "DOOR_KEYCARD_ENTERED_ACCEPTED"
    entry = {**entries("verkada")["badge-in"], "event_type": kind, "event_info": None}
    span = Span(since=SINCE, until=UNTIL, counting=Counting(remote_unlocks=remote_unlocks))
    with client("verkada", pages("verkada", [entry])) as api:
        [event] = listed("verkada", api, span)
    assert isinstance(event, MalformedEvent)
    assert event.detail == "event_info: missing"


def test_answer_without_a_token() -> None:
    """A token endpoint that answers something else is asked again later."""
    script = Scripted([], token={"message": "no"})
    with client("verkada", script.app()) as api, pytest.raises(VendorUnavailable, match="no token"):
        listing("verkada").page(api, SPAN, None)
