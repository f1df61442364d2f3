"""What HiBob lists."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest

from relay.events import ThinEvent
from tests.hris_apis import Answer, Vendors, changes, hibob, serving


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
