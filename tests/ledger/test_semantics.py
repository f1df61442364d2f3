"""What other people's bug reports are about, played from the webhook to what Calven holds in the end."""

import json
import tracemalloc
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from localrun.serve import Served
from localrun.template import STACK
from relay.config.store import MAX_AGE_SECONDS
from tests.rig import Rig, sample

pytestmark = [pytest.mark.no_cover, pytest.mark.slow]

HOUR = 3600
YAML = """
sources:
  generic: {vendor: generic, TYPES}
  factorial: {vendor: factorial}
  kisi-sydney: {vendor: kisi}
places:
  site: {locationId: SITE, locationType: location}
  room: {locationId: ROOM, locationType: space, within: site}
doors:
  generic: {in: {place: site}, out: {place: site, direction: out}}
  kisi-sydney: {"48211": {place: site}}
sensors:
  generic: {one: {place: room}, two: {place: room}}
"""


def at(rig: Rig, seconds: float = 0) -> str:
    """A time so many seconds from now."""
    return datetime.fromtimestamp(rig.clock() + seconds, UTC).isoformat()


@pytest.fixture
def building(rig: Rig, tmp_path: Path) -> Callable[..., Rig]:
    """A relay of one site, with the keys of its generic source as the test says."""

    def configured(types: str = "partDays: skip") -> Rig:
        rig.push(YAML.replace("TYPES", types), tmp_path)
        rig.clock.advance(MAX_AGE_SECONDS + 1)
        return rig

    return configured


def leave(rig: Rig, state: str, changed: float, event: str = "e", **fields: Any) -> tuple[int, Any]:
    """A change of leave 1, so many seconds ahead of now."""
    days = {"email": "noa@example.com", "start": "2027-10-04", "end": "2027-10-08"}
    body = {"type": "leave", "id": event, "leave": "1", "state": state, "changedAt": at(rig, changed)}
    return rig.post("generic", {**body, **days, **fields}, family="hris")


def badge(rig: Rig, event: str, person: str, door: str = "in", seconds: float = 0) -> tuple[int, Any]:
    """A badge of somebody."""
    return rig.post(
        "generic", {"type": "badge", "id": event, "at": at(rig, seconds), "door": door, "person": person}
    )


def reading(rig: Rig, event: str, seconds: float = 0, **said: Any) -> tuple[int, Any]:
    """A reading of sensor one, unless another is named."""
    body = {"type": "reading", "id": event, "at": at(rig, seconds), "sensor": "one", **said}
    return rig.post("generic", body)


def test_leave_of_a_fast_clock(building: Callable[..., Rig]) -> None:
    """An old change that is delivered again is a repeat, although its time was ahead when it came first."""
    rig = building()
    start = rig.clock()
    leave(rig, "approved", HOUR, "a")
    assert len(rig.away("noa@example.com")) == 5
    rig.clock.advance(1)
    leave(rig, "ended", HOUR + 59, "b")
    for later in (1, 10 * 60, 2 * HOUR, 24 * HOUR):
        rig.clock.advance(later)
        assert leave(rig, "approved", start + HOUR - rig.clock(), "a")[1]["reason"] == "superseded"
        assert rig.away("noa@example.com") == {}
    leave(rig, "approved", 0, "c")
    assert len(rig.away("noa@example.com")) == 5, "a later change by a clock that was set right counts"


def test_readings_of_a_fast_clock(building: Callable[..., Rig]) -> None:
    """A repeat changes nothing, however wrong its clock and however many readings ago it was."""
    rig = building()
    start = rig.clock()
    reading(rig, "first", HOUR, people=9)
    for number in range(20):
        rig.clock.advance(60)
        reading(rig, f"e{number}", people=0)
    assert reading(rig, "first", start + HOUR - rig.clock(), people=9)[1]["reason"] == "duplicate"
    rig.clock.advance(2 * HOUR)
    assert reading(rig, "first", start + HOUR - rig.clock(), people=9)[1]["reason"] == "duplicate"
    assert rig.counts()["room"] == 0


def test_early_reading_that_was_superseded(building: Callable[..., Rig]) -> None:
    """A reading of a fast clock that came too late to count does not count when it comes again."""
    rig = building()
    early = at(rig, HOUR)
    first = {"type": "reading", "id": "first", "at": early, "sensor": "one", "people": 1}
    rig.clock.advance(10)
    reading(rig, "second", people=5)
    assert rig.post("generic", first, received_at=rig.clock() - 5)[1]["status"] == "queued"
    rig.retry()
    rig.clock.advance(50)
    assert rig.post("generic", first)[1]["reason"] == "duplicate"
    assert rig.counts()["room"] == 5


def test_several_sensors(building: Callable[..., Rig]) -> None:
    """Two sensors of a place are summed up, and it is occupied while one of them is."""
    rig = building()
    reading(rig, "a", people=5)
    reading(rig, "b", people=3, sensor="two")
    assert rig.counts()["room"] == 8
    rig.clock.advance(1)
    reading(rig, "c", occupied=True)
    reading(rig, "d", occupied=False, sensor="two")
    assert rig.calven()[-1]["occupied"] is True
    assert "occupancy" not in rig.calven()[-1]


@pytest.mark.parametrize(("people", "occupied", "told"), [(5, False, True), (0, True, False)])
def test_count_decides(building: Callable[..., Rig], people: int, occupied: bool, told: bool) -> None:
    """Of a count and a state that contradict each other the count decides."""
    rig = building()
    reading(rig, "a", people=people, occupied=occupied)
    assert (rig.calven()[-1]["occupancy"], rig.calven()[-1]["occupied"]) == (people, told)


def test_one_person_of_several_spellings(building: Callable[..., Rig]) -> None:
    """Composed or decomposed, with blanks around it or in another case, an address is one person's."""
    rig = building()
    spellings = ("jos\u00e9@example.com", "jose\u0301@example.com", " ann@example.com", "Ann@example.com ")
    for number, person in enumerate(spellings):
        badge(rig, f"b{number}", person, seconds=number)
    badge(rig, "b5", "badge 7", seconds=5)
    badge(rig, "b6", " badge 7 ", seconds=6)
    assert rig.counts()["site"] == 3


def test_spelling_of_what_is_cancelled(building: Callable[..., Rig]) -> None:
    """Leave is cancelled under the spelling that it was scheduled under, whoever writes it how now."""
    rig = building()
    leave(rig, "approved", 0, "a", email=" Jos\u00e9@example.com ")
    leave(rig, "approved", 1, "b", email="jose\u0301@example.com", end="2027-10-05")
    leave(rig, "ended", 2, "c", email="JOS\u00c9@example.com")
    said = [(event["eventType"], event["email"], event["endDate"][8:]) for event in rig.calven()]
    assert said == [
        ("scheduled", "Jos\u00e9@example.com", "08"),
        ("cancelled", "Jos\u00e9@example.com", "08"),
        ("cancelled", "Jos\u00e9@example.com", "05"),
    ]


def test_blanks(building: Callable[..., Rig]) -> None:
    """Blanks around an address, a date or a type are nothing."""
    rig = building("timeOffTypes: {Vacation: holiday}")
    blanks = {"email": " noa@example.com ", "leaveType": "Vacation ", "start": " 2027-10-04"}
    assert leave(rig, "approved", 0, **blanks)[1]["status"] == "forwarded"
    assert set(rig.away("noa@example.com").values()) == {"holiday"}


@pytest.mark.parametrize(
    ("before", "after", "part", "days"),
    [
        ("timeOffTypes: {}", "timeOffTypes: {Vacation: holiday}", False, {"holiday": 5}),
        ("timeOffTypes: {Vacation: holiday}", "timeOffTypes: {Vacation: sick}", False, {"sick": 5}),
        ("timeOffTypes: {Vacation: sick}", "timeOffTypes: {Vacation: leave}", False, {"leave": 5}),
        ("partDays: skip", "partDays: whole", True, {"leave": 5}),
        ("partDays: whole", "partDays: skip", True, {"leave": 4}),
    ],
)
def test_mended_configuration(
    building: Callable[..., Rig], before: str, after: str, part: bool, days: dict[str, int]
) -> None:
    """The same content sent again is read with the configuration of now, in every direction."""
    rig = building(before)
    start = rig.clock()

    def send() -> None:
        leave(rig, "approved", start - rig.clock(), leaveType="Vacation", firstDayPart=part)

    send()
    building(after)
    send()
    kinds = list(rig.away("noa@example.com").values())
    assert {kind: kinds.count(kind) for kind in kinds} == days


@pytest.mark.parametrize(
    ("configured", "start", "days"),
    [
        ("partDays: skip", "2027-10-07", []),
        ("partDays: whole", "2027-10-07", ["07", "08"]),
        ("partDays: whole", "2027-10-08", ["08", "08"]),
    ],
)
def test_end_of_leave_never_seen(
    building: Callable[..., Rig], configured: str, start: str, days: list[str]
) -> None:
    """What ends unseen gives back the days that the source's leave is read as having."""
    rig = building(configured)
    leave(rig, "ended", 0, start=start, firstDayPart=True, lastDayPart=True)
    assert [event[day][8:] for event in rig.calven() for day in ("startDate", "endDate")] == days


def test_change_that_cannot_be_told(building: Callable[..., Rig]) -> None:
    """What the new version does not cover is given back, and the change is a dead letter."""
    rig = building()
    leave(rig, "approved", 0, "a", start="2027-08-02", end="2027-08-03")
    answer = leave(rig, "approved", 1, "b", start="2027-08-10", end=None)
    assert answer == (202, {"status": "queued", "reason": "open_ended"})
    assert rig.away("noa@example.com") == {}
    assert [letter["reason"] for letter in rig.dead_letters()] == ["open_ended"]


def test_change_that_cannot_be_told_in_an_outage(building: Callable[..., Rig]) -> None:
    """The same while Calven is down: the days are given back first, then the change is a dead letter."""
    rig = building()
    leave(rig, "approved", 0, "a", start="2027-08-02", end="2027-08-03")
    rig.fail("503")
    leave(rig, "approved", 1, "b", start="2027-08-10", end=None)
    assert rig.dead_letters() == []
    rig.recover()
    rig.clock.advance(60)
    rig.retry()
    assert rig.away("noa@example.com") == {}
    assert [letter["reason"] for letter in rig.dead_letters()] == ["open_ended"]


@pytest.fixture
def people() -> Iterator[tuple[dict[str, str], str]]:
    """Factorial's employees, by their address now, and the URL of its API."""
    known = {"email": "zoe.old@example.com"}

    def answer(_: Request) -> JSONResponse:
        return JSONResponse(known)

    with Served(Starlette(routes=[Route("/{path:path}", answer, methods=["GET", "POST"])])) as url:
        yield known, url


def test_mended_address(rig: Rig, people: tuple[dict[str, str], str]) -> None:
    """An address that Calven did not know is asked of the vendor anew when its dead letter is redriven."""
    known, url = people
    secret = rig.secrets["factorial"]
    secret["api"]["baseUrl"] = url
    rig.aws.secrets.put_secret_value(SecretId=f"{STACK}/hris/factorial", SecretString=json.dumps(secret))
    rig.refuse(users=["zoe.old@example.com"])
    rig.post("factorial", "approve", topic="approve")
    [letter] = rig.dead_letters()
    assert letter["reason"] == "unknown_user"
    known["email"] = "anna.new@example.com"
    rig.aws.sqs.send_message(QueueUrl=rig.resources.unprocessed_queue_url, MessageBody=json.dumps(letter))
    rig.retry()
    assert len(rig.away("anna.new@example.com")) == 5


@pytest.mark.parametrize("created", ["2000-01-01T00:00:00Z", "1999-06-01T00:00:00Z", "2026-10-01T00:00:00Z"])
def test_dead_clock(building: Callable[..., Rig], created: str) -> None:
    """A badge of a clock that says a time of long ago is no count that anybody would ever correct."""
    rig = building()
    answer = rig.post("kisi", sample("kisi", "badge-in", created_at=created))
    assert answer == (202, {"status": "queued", "reason": "stale_time"})
    assert rig.calven() == []


def test_dead_clock_of_an_api(rig: Rig, people: tuple[dict[str, str], str]) -> None:
    """The same where a vendor's API says the time."""
    known, url = people
    known.clear()
    event = {"id": "1", "event_code": "10", "door_controller_id": "1340", "person_id": "7"}
    known.update(event, created_at="1999-06-01T00:00:00Z")
    secret = {**rig.secrets["doorflow"], "api": {"clientId": "c", "clientSecret": "s", "baseUrl": url}}
    name = f"{STACK}/access-control/doorflow"
    rig.aws.secrets.put_secret_value(SecretId=name, SecretString=json.dumps(secret))
    known["access_token"] = "played"
    notification = [{"action": "CREATE", "resource_type": "Event", "resource_id": "3141"}]
    assert rig.post("doorflow", notification)[1]["reason"] == "stale_time"


def test_lone_surrogate(building: Callable[..., Rig]) -> None:
    """Half a surrogate pair in a field that nobody reads costs no event."""
    rig = building()
    payload = json.dumps(sample("kisi", "badge-in"))
    body = payload[:-1].encode() + b', "x_note": "\\ud83d"}'
    assert rig.post("kisi", body)[1]["status"] == "forwarded"


def test_ids_in_the_log(rig: Rig, printed: Callable[[], str]) -> None:
    """What stands where an id should be is not logged where it is no id, nor a line of a quarter of a MB."""
    payload = sample("verkada", "denied")
    payload["data"]["event_id"] = {"name": "Alex Example", "email": "alex@example.com"}
    rig.post("verkada", payload)
    rig.post("kisi", sample("kisi", "denied", uuid="u" * 240_000))
    log = printed()
    assert "alex@example.com" not in log
    assert max(map(len, log.splitlines())) < 2_000


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/occupancy/", {"sourceId": "s", "occupancyEvents": []}),
        ("/v1/timeoff/", {"timeOffEvents": []}),
    ],
)
def test_slash_at_the_end(rig: Rig, path: str, body: Any) -> None:
    """Calven's own SDK asks with a slash at the end of each path: the sandbox takes both."""
    key = rig.secrets["calven"]["apiKey"]
    refused = rig.sandbox.post("/v1/auth/", json={"apiKey": key, "timestamp": 0, "hash": "x"})
    assert refused.status_code == 401
    assert rig.sandbox.post(path, json=body).status_code == rig.sandbox.post(path[:-1], json=body).status_code
    assert rig.sandbox.post(path, json=body).status_code != 404


def deel(resources: Any, timestamp: str = "2026-11-03T01:39:38Z") -> bytes:
    """A body of Deel's with these resources."""
    payload = sample("deel", "approved", data__resource=resources, timestamp=timestamp)
    return json.dumps(payload, separators=(",", ":")).encode()


def most_memory(act: Callable[[], object]) -> float:
    """The most memory that an act takes at once, in MB."""
    tracemalloc.start()
    try:
        act()
        return tracemalloc.get_traced_memory()[1] / 1e6
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("timestamp", ["2026-11-03T01:39:38Z", "x" * 120_000])
def test_too_many_entries(rig: Rig, timestamp: str) -> None:
    """A body of more events than anybody means to send is one dead letter, and nothing is built of it."""
    body = deel([1] * ((255_000 - len(timestamp)) // 2), timestamp)
    answers: list[tuple[int, Any]] = []
    assert most_memory(lambda: answers.append(rig.post("deel", body))) < 15
    assert answers == [(202, {"status": "queued", "reason": "too_large"})]
    [letter] = rig.dead_letters()
    assert letter["reason"] == "too_large"


def test_entries_that_share_much(rig: Rig) -> None:
    """Entries that cannot be read cost a few times the memory of their body, whatever each would repeat."""
    body = deel([1] * 1000, "x" * 250_000)
    rig.post("deel", body)
    assert most_memory(rig.retry) < 15
    assert {letter["reason"] for letter in rig.dead_letters()} == {"unparseable"}
    assert len(rig.dead_letters()) <= 5
    assert rig.waiting() == []


@pytest.mark.parametrize("vendor", ["deel", "keypay", "doorflow", "vergesense", "factorial"])
def test_too_many_entries_of_others(rig: Rig, vendor: str) -> None:
    """The same for each vendor whose bodies may hold several events."""
    many = {"keypay": {"Id": "1", "Notifications": [1] * 1001}, "deel": json.loads(deel([1] * 1001))}
    topic: dict[str, Any] = {"topic": "update"} if vendor == "factorial" else {}
    answer = rig.post(vendor, many.get(vendor, [1] * 1001), **topic)
    assert answer == (202, {"status": "queued", "reason": "too_large"})


def test_large_deliveries(rig: Rig) -> None:
    """Many leaves are settled, submitted and noted a hundred at a time, and none waits for a lease."""
    dates = {"status": "APPROVED", "start_date": "2027-02-01", "end_date": "2027-02-05"}
    some = [
        {"id": f"{number}", "requester": {"work_email": f"p{number}@example.com"}} for number in range(105)
    ]
    assert rig.post("deel", deel([{**dates, **one} for one in some]))[0] == 202
    rig.clock.advance(60)
    rig.retry()
    assert len(rig.calven()) == 105
    assert rig.waiting() == []
    assert max(len(request["body"]["timeOffEvents"]) for request in rig.requests("/v1/timeoff")) <= 100
