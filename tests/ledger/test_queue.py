"""The retry function: each message its own outcome, nothing lost on the way."""

import json
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest

from relay.aws.table import Update
from relay.config.store import partition
from relay.delivery.pipeline import CHUNK
from relay.entrypoints import queue
from relay.entrypoints.queue import PORTION
from relay.envelope import SCHEDULE, Envelope
from relay.events import ThinEvent
from tests.rig import Rig, sample

pytestmark = pytest.mark.slow


def queued(rig: Rig, mode: str = "503") -> None:
    """Leave a badge, a leave and a thin webhook in the Unprocessed queue, and Calven failing."""
    rig.fail(mode)
    for vendor, event in (("kisi", "badge-in"), ("deel", "approved"), ("hibob", "approved")):
        assert rig.post(vendor, event)[0] == 202


def test_one_request_for_a_batch(rig: Rig) -> None:
    """A batch goes to Calven in as few requests as there are endpoints and sources."""
    queued(rig)
    rig.recover()
    rig.clock.advance(30)
    before = len(rig.requests())
    assert rig.retry() == {"batchItemFailures": []}
    paths = [request["path"] for request in rig.requests()[before:]]
    assert sorted(paths) == ["/v1/auth", "/v1/occupancy", "/v1/timeoff"]
    assert rig.waiting() == []


def test_unreadable_door_among_others(rig: Rig) -> None:
    """A door whose item cannot be read keeps its own badge waiting, and no other badge of the batch."""
    storing = rig.built(FORWARD_MODE="queued")
    for door in ("48211", "48212"):
        badge = sample("kisi", "badge-in", uuid=door, object_id=door, actor_id=door)
        assert rig.post("kisi", badge, relay=storing)[0] == 202
    version = rig.relay.config.snapshot().version
    door_key = (partition(version, "kisi-sydney"), "door#48211")
    rig.relay.table.write([Update(key=door_key, set={"body": "{"})])
    assert len(rig.retry(rig.built())["batchItemFailures"]) == 1
    [waiting] = rig.waiting()
    assert (waiting["event"]["door"], waiting["event"]["form"]) == ("48211", "badge")


def test_still_down(rig: Rig) -> None:
    """While Calven is down every message stays, and Calven is asked once for the whole batch."""
    queued(rig)
    rig.clock.advance(30)
    before = len(rig.requests("/v1/"))
    failures = rig.retry()["batchItemFailures"]
    assert len(failures) == 3
    assert len(rig.requests("/v1/")) == before + 1
    rig.recover()
    rig.clock.advance(30)
    assert rig.retry() == {"batchItemFailures": []}
    assert rig.counts() == {"sydney-l3": 1, "sydney": 1}


def test_half_down(rig: Rig) -> None:
    """One request that fails as a whole ends the batch's requests, although another one was accepted."""
    storing = rig.built(FORWARD_MODE="queued")

    def badge(person: str) -> None:
        at = f"{datetime.fromtimestamp(rig.clock(), UTC):%Y-%m-%dT%H:%M:%SZ}"
        body = sample("kisi", "badge-in", uuid=person, actor_id=person, created_at=at)
        assert rig.post("kisi", body, relay=storing)[0] == 202

    badge("1")
    leave = sample("deel", "approved")["data"]["resource"]
    for number in range(CHUNK):
        requester = {"id": str(number), "work_email": f"person-{number}@example.com"}
        body = sample("deel", "approved", data__resource={**leave, "id": str(number), "requester": requester})
        assert rig.post("deel", body, relay=storing)[0] == 202
    rig.clock.advance(30)
    badge("2")
    rig.fail("503", endpoint="/v1/timeoff")
    assert len(rig.retry()["batchItemFailures"]) == CHUNK + 1, "each waits, the last badge too"
    paths = [request["path"] for request in rig.requests()]
    assert paths == ["/v1/auth", "/v1/occupancy", "/v1/timeoff"]
    rig.recover()
    rig.clock.advance(30)
    assert rig.retry() == {"batchItemFailures": []}
    assert rig.counts() == {"sydney-l3": 2, "sydney": 2}


def test_history_of_an_outage(rig: Rig) -> None:
    """What happened during an outage arrives with its own times and counts, in whatever order."""
    rig.fail("503")
    for event, at in (("badge-in", "03:00:00"), ("badge-out", "03:20:00"), ("badge-in", "03:40:00")):
        badge = sample("kisi", event, uuid=f"{event} {at}", created_at=f"2026-11-04T{at}Z")
        assert rig.post("kisi", badge)[0] == 202
    rig.recover()
    rig.retry()
    location = rig.config.places["sydney-l3"].location_id
    history = {e["timestamp"]: e["occupancy"] for e in rig.calven() if e["locationId"] == location}
    assert history == {
        "2026-11-04T03:00:00.000Z": 1,
        "2026-11-04T03:20:00.000Z": 0,
        "2026-11-04T03:40:00.000Z": 1,
    }
    assert rig.counts()["sydney-l3"] == 1


def stored_badges(rig: Rig, seconds_apart: int) -> None:
    """Have thirty people badge in, one after the other, and every badge stored first."""
    relay = rig.built(FORWARD_MODE="queued")
    for number in range(30):
        at = f"{datetime.fromtimestamp(rig.clock() - 900 + seconds_apart * number, UTC):%Y-%m-%dT%H:%M:%SZ}"
        badge = sample("kisi", "badge-in", uuid=f"badge {number}", actor_id=number, created_at=at)
        assert rig.post("kisi", badge, relay=relay)[0] == 202
    rig.clock.advance(30)


@pytest.mark.parametrize(("seconds_apart", "told"), [(0, [30]), (1, [10, 20, 30]), (10, list(range(1, 31)))])
def test_badges_of_a_batch(
    rig: Rig, caplog: pytest.LogCaptureFixture, seconds_apart: int, told: list[int]
) -> None:
    """A batch's badges are counted together, and each place is told once for ten seconds of them."""
    stored_badges(rig, seconds_apart)
    caplog.clear()
    assert rig.retry() == {"batchItemFailures": []}
    assert len(rig.requests("/v1/occupancy")) == 1
    location = rig.config.places["sydney"].location_id
    assert sorted(e["occupancy"] for e in rig.calven() if e["locationId"] == location) == told
    assert rig.counts() == {"sydney-l3": 30, "sydney": 30}
    logged = Counter((r.outcome, getattr(r, "reason", None)) for r in caplog.records if hasattr(r, "outcome"))
    assert logged == +Counter({("forwarded", "merged"): 30 - len(told), ("forwarded", None): len(told)})


def test_large_messages_in_portions(rig: Rig) -> None:
    """Messages that are large together are worked on a megabyte at a time, each once, and none is lost."""
    stored_badges(rig, 0)
    stored, url = rig.waiting(), rig.resources.unprocessed_queue_url
    rig.aws.sqs.purge_queue(QueueUrl=url)
    for envelope in stored:
        # JSON may have any number of blanks behind it.
        rig.aws.sqs.send_message(QueueUrl=url, MessageBody=json.dumps(envelope) + " " * (PORTION // 10))
    assert rig.retry() == {"batchItemFailures": []}
    assert len(rig.requests("/v1/occupancy")) == 4
    assert rig.counts() == {"sydney-l3": 30, "sydney": 30}


def test_badges_of_a_batch_while_calven_is_down(rig: Rig) -> None:
    """Counted badges wait for Calven as the facts that tell them; the others of the batch are done with."""
    stored_badges(rig, 0)
    rig.fail("503")
    rig.retry()
    [waiting] = rig.waiting()
    assert {fact["people"] for fact in waiting["calven"]} == {30}
    rig.recover()
    assert rig.retry() == {"batchItemFailures": []}
    assert rig.counts() == {"sydney-l3": 30, "sydney": 30}


@pytest.mark.parametrize("body", ["", "no JSON", "[]", "{}", '{"id": 1}', "\ud83d\ude00"])
def test_poison(rig: Rig, body: str) -> None:
    """A message that is no envelope is a dead letter, and holds up none of the others."""
    queued(rig)
    if body:
        rig.aws.sqs.send_message(QueueUrl=rig.resources.unprocessed_queue_url, MessageBody=body)
    rig.recover()
    rig.clock.advance(30)
    assert rig.retry() == {"batchItemFailures": []}
    assert [letter["reason"] for letter in rig.dead_letters()] == (["unparseable"] if body else [])
    assert rig.counts() == {"sydney-l3": 1, "sydney": 1}


def test_exhausted(rig: Rig) -> None:
    """After 26 hours of trying an event becomes a dead letter that says what stood in its way."""
    queued(rig)
    rig.clock.advance(SCHEDULE.max_age)
    assert len(rig.retry(receive_count=110, age=SCHEDULE.max_age - 1)["batchItemFailures"]) == 3
    assert rig.retry(receive_count=111, age=SCHEDULE.max_age) == {"batchItemFailures": []}
    letters = rig.dead_letters()
    assert {letter["reason"] for letter in letters} == {"retries_exhausted"}
    assert all(letter["detail"].startswith("calven_unavailable") for letter in letters)
    assert {letter["attempts"] for letter in letters} == {112}


def test_refused_at_last(rig: Rig) -> None:
    """What Calven refuses once it is back is a dead letter."""
    queued(rig)
    rig.recover()
    rig.refuse(users=["Sam@example.com"], locations=[rig.config.places["sydney"].location_id])
    rig.clock.advance(30)
    assert rig.retry() == {"batchItemFailures": []}
    assert sorted(letter["reason"] for letter in rig.dead_letters()) == ["unknown_location", "unknown_user"]
    assert len(rig.away("kim@example.com")) == 5


def test_refused_whole(rig: Rig) -> None:
    """A refused request is halved until the events at fault stand alone; the rest arrives."""
    queued(rig)
    rig.recover()
    rig.fail("400", count=1, endpoint="/v1/timeoff")
    rig.clock.advance(30)
    assert rig.retry() == {"batchItemFailures": []}
    assert rig.dead_letters() == []
    assert len(rig.away("kim@example.com")) == len(rig.away("Sam@example.com")) == 5


def test_vendor_down(rig: Rig) -> None:
    """A thin vendor whose API does not answer leaves the request in the queue as it came."""
    secret = {**rig.secrets["hibob"], "api": {**rig.secrets["hibob"]["api"], "baseUrl": "http://127.0.0.1:9"}}
    name = f"{rig.target().stack}/hris/hibob"
    rig.aws.secrets.put_secret_value(SecretId=name, SecretString=json.dumps(secret))
    assert rig.post("hibob", "approved") == (202, {"status": "queued", "reason": "vendor_unavailable"})
    [envelope] = rig.waiting()
    assert set(envelope) >= {"request", "id", "first_failed_at"}
    assert "authorization" not in json.dumps(envelope).lower()
    rig.aws.secrets.put_secret_value(SecretId=name, SecretString=json.dumps(rig.secrets["hibob"]))
    rig.clock.advance(301)
    assert rig.retry() == {"batchItemFailures": []}
    assert len(rig.away("kim@example.com")) == 5


def test_vendor_refuses(rig: Rig) -> None:
    """A thin vendor that refuses the service user's credentials makes a dead letter of the request."""
    secret = {**rig.secrets["hibob"], "api": {"baseUrl": rig.secrets["hibob"]["api"]["baseUrl"]}}
    name = f"{rig.target().stack}/hris/hibob"
    rig.aws.secrets.put_secret_value(SecretId=name, SecretString=json.dumps(secret))
    assert rig.post("hibob", "approved") == (202, {"status": "queued", "reason": "vendor_refused"})
    assert [letter["reason"] for letter in rig.dead_letters()] == ["vendor_refused"]


def test_source_removed(rig: Rig, tmp_path: Any) -> None:
    """Events of a source that was taken out of the configuration wait for it to come back."""
    queued(rig)
    rig.recover()
    rig.push("places: {}", tmp_path)
    relay = rig.built()
    rig.clock.advance(30)
    assert len(rig.retry(relay)["batchItemFailures"]) == 2, "both leaves need their source"
    assert rig.dead_letters() == [], "what was settled goes to the places as they were"


def test_no_queue(rig: Rig) -> None:
    """A message that can be stored nowhere else stays where it is."""
    rig.fail("503")
    rig.post("kisi", "badge-in")
    rig.aws.sqs.delete_queue(QueueUrl=rig.resources.dead_letter_queue_url)
    assert len(rig.retry(age=SCHEDULE.max_age)["batchItemFailures"]) == 1


def test_fault_of_ours(rig: Rig) -> None:
    """An error that nobody foresaw in one message keeps that message, and none of the others."""
    storing = rig.built(FORWARD_MODE="queued")
    for vendor, event in (("kisi", "badge-in"), ("deel", "approved")):
        assert rig.post(vendor, event, relay=storing)[0] == 202
    relay = rig.built()
    vars(relay)["turns"] = {}
    assert len(rig.retry(relay)["batchItemFailures"]) == 1, "the badge stays"
    assert len(rig.away("Sam@example.com")) == 5
    assert rig.counts() == {}
    rig.clock.advance(30)
    assert rig.retry() == {"batchItemFailures": []}
    assert rig.counts() == {"sydney-l3": 1, "sydney": 1}


def test_duplicate_delivery(rig: Rig) -> None:
    """SQS may deliver a message twice in one batch: Calven gets each event once."""
    rig.fail("503")
    rig.post("kisi", "badge-in")
    [body] = map(json.dumps, rig.waiting())
    rig.recover()
    records = [
        {
            "messageId": f"m{i}",
            "receiptHandle": f"r{i}",
            "body": body,
            "attributes": {"ApproximateReceiveCount": "1", "SentTimestamp": "0"},
        }
        for i in range(2)
    ]
    answer = queue.handle(rig.relay, {"Records": records}, 50, "request")
    assert answer == {"batchItemFailures": []}
    assert len(rig.calven()) == 2


def test_no_table(rig: Rig) -> None:
    """While a new container cannot read the configuration, every message stays, with a wait of its own."""
    queued(rig)
    rig.recover()
    rig.aws.dynamodb.delete_table(TableName=rig.resources.table)
    rig.clock.advance(30)
    assert len(rig.retry(rig.built())["batchItemFailures"]) == 3
    assert len(rig.waiting()) == 3


def purge(rig: Rig) -> None:
    """Take out of the Unprocessed queue what can be received."""
    url = rig.resources.unprocessed_queue_url
    while messages := rig.aws.sqs.receive_message(QueueUrl=url).get("Messages"):
        rig.aws.sqs.delete_message(QueueUrl=url, ReceiptHandle=messages[0]["ReceiptHandle"])


def test_moved_on_at_its_age(rig: Rig) -> None:
    """An event that waits on in another message, as the facts it became, does not begin to wait anew."""
    assert rig.post("kisi", "badge-in", relay=rig.built(FORWARD_MODE="queued"))[0] == 202
    rig.fail("503")
    rig.clock.advance(30)
    assert rig.retry(age=SCHEDULE.max_age - 3600) == {"batchItemFailures": []}
    [waiting] = rig.waiting()
    assert waiting["calven"]
    rig.clock.advance(3000)
    assert len(rig.retry(age=3000)["batchItemFailures"]) == 1
    rig.clock.advance(700)
    assert rig.retry(age=3700) == {"batchItemFailures": []}
    [dead] = rig.dead_letters()
    assert dead["reason"] == "retries_exhausted"
    assert "queued_at" not in dead, "what is redriven waits anew"


def test_long_retry_after(rig: Rig) -> None:
    """A wait that is longer than SQS can delay a message is kept: Calven is not asked before."""
    rig.fail("503")
    rig.post("kisi", "badge-in")
    [waiting] = rig.waiting()
    rig.recover()
    not_before = datetime.fromtimestamp(rig.clock() + 3600, UTC)
    envelope = Envelope.model_validate({**waiting, "not_before": not_before})
    before = len(rig.requests())
    for seconds, stay in ((3598, 1), (3, 0)):
        purge(rig)
        rig.relay.queues.retry_later([(envelope, 0)])
        rig.clock.advance(seconds)
        assert len(rig.requests()) == before
        assert len(rig.retry()["batchItemFailures"]) == stay
    assert rig.counts() == {"sydney-l3": 1, "sydney": 1}


def test_changes_of_one_employee(rig: Rig) -> None:
    """Changes of one employee in one batch are all settled in it, in their order."""
    rig.fail("503")
    for event in ("approved", "rescheduled"):
        assert rig.post("deel", event)[0] == 202
        rig.clock.advance(60)
    rig.recover()
    assert rig.retry() == {"batchItemFailures": []}
    assert rig.waiting() == []
    rescheduled = sample("deel", "rescheduled")["data"]["resource"]
    away = sorted(rig.away("Sam@example.com"))
    assert (away[0], away[-1]) == (rescheduled["start_date"][:10], rescheduled["end_date"][:10])


def test_notice_of_its_own(rig: Rig) -> None:
    """One of several announcements in a delivery waits by itself until the vendor's API is asked."""
    rig.post("hibob", "approved", relay=rig.built(FORWARD_MODE="queued"))
    [waiting] = rig.waiting()
    purge(rig)
    notice = ThinEvent(event_id="e", subject="32832853", employee="3373576791477190995")
    envelope = Envelope.model_validate({**waiting, "request": None, "event": notice.model_dump()})
    rig.relay.queues.retry_later([(envelope, 0)])
    assert rig.retry() == {"batchItemFailures": []}
    assert len(rig.away("kim@example.com")) == 5


@pytest.mark.no_cover
def test_many_events_in_one_delivery(rig: Rig) -> None:
    """A delivery of more than a hundred events waits as it is, and the retry function takes all of it."""
    leave = sample("deel", "approved")["data"]["resource"]
    people = [
        {**leave, "id": f"leave {n}", "requester": {"id": str(n), "work_email": f"person-{n}@example.com"}}
        for n in range(101)
    ]
    body = sample("deel", "approved", data__resource=people)
    for relay in (rig.relay, rig.built(FORWARD_MODE="queued")):
        assert rig.post("deel", body, relay=relay) == (202, {"status": "queued", "reason": "large_delivery"})
    assert len(rig.waiting()) == 2
    assert rig.retry() == {"batchItemFailures": []}
    assert all(len(rig.away(f"person-{n}@example.com")) == 5 for n in range(101))
    assert rig.dead_letters() == []
