"""How Disruptive Technologies lists what happened: one device after the other."""

import json
from typing import Any

import pytest

from relay.errors import Unparseable
from relay.events import MalformedEvent
from tests.listing import entries, pages
from tests.scripted_api import SPAN, client, listed, listing, run


def test_unreadable_entry_is_a_webhook() -> None:
    """What is kept of it is what a webhook would have brought."""
    broken = {**entries("disruptive")["motion"], "data": {"motion": {"state": "DANCING"}}}
    with client("disruptive", pages("disruptive", [broken])) as api:
        [event] = listed("disruptive", api)
    assert isinstance(event, MalformedEvent)
    assert event.detail == "event.data.state: unknown"
    assert json.loads(event.body)["event"]["eventId"] == broken["eventId"]


def test_pages() -> None:
    """Devices are listed page by page, and then each one's events."""
    motion = entries("disruptive")["motion"]
    answers = [
        {"devices": [{"name": "projects/p/devices/a"}, {"name": "b"}], "nextPageToken": "D"},
        {"events": [motion], "nextPageToken": "E"},
        {"events": [motion], "nextPageToken": ""},
        {"events": [], "nextPageToken": ""},
        {"devices": [{"name": "projects/p/devices/c"}], "nextPageToken": ""},
        {"events": [motion, motion], "nextPageToken": ""},
    ]
    found, script = run("disruptive", answers)
    assert len(found) == 4
    devices = "/v2/projects/project-1/devices"
    assert [one.path for one in script.asked] == [
        devices,
        f"{devices}/a/events",
        f"{devices}/a/events",
        f"{devices}/b/events",
        devices,
        f"{devices}/c/events",
    ]
    window = {"startTime": "2026-10-31T23:59:59.000Z", "endTime": "2026-11-04T04:00:00.000Z"}
    token = {"pageToken": "E"}
    assert script.queries == [{}, window, {**window, **token}, window, {"pageToken": "D"}, window]
    assert {one.headers["authorization"] for one in script.asked} == {"Basic a2V5OnMzY3JldA=="}


def test_without_devices() -> None:
    """A project without a device has nothing to list, and an empty page of devices may have another one."""
    found, script = run("disruptive", [{"devices": []}])
    assert (found, len(script.asked)) == ([], 1)
    found, script = run("disruptive", [{"devices": [], "nextPageToken": "D"}, {"devices": []}])
    assert (found, len(script.asked)) == ([], 2)


@pytest.mark.parametrize(
    "answers",
    [
        [{"devices": [], "nextPageToken": "D"}],
        [{"devices": [{"name": "projects/p/devices/a"}]}, {"events": [], "nextPageToken": "E"}],
    ],
)
def test_repeats_itself(answers: list[Any]) -> None:
    """A page that names itself ends in an error, not in a loop."""
    with pytest.raises(Unparseable, match="itself"):
        run("disruptive", answers)


@pytest.mark.parametrize("name", ["projects/p/devices/..", "a?b", "", None, ["a"]])
def test_names_no_path(name: Any) -> None:
    """What a device is called is an id: no other path is asked for its sake."""
    with pytest.raises(Unparseable):
        run("disruptive", [{"devices": [{"name": name}]}])


@pytest.mark.parametrize("following", ["{", "[]", '{"devices": ["../x"]}'])
def test_reads_where_it_was(following: str) -> None:
    """Where a listing goes on is only what it wrote itself."""
    with client("disruptive", pages("disruptive", [])) as api, pytest.raises(Unparseable):
        listing("disruptive").page(api, SPAN, following)
