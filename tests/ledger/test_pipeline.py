"""What becomes of the parts of a delivery, and of the others in a batch."""

import base64
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from localrun.serve import Served
from relay.config.store import TAKEN_UP_SECONDS
from relay.envelope import SCHEDULE, Envelope
from relay.events import LeaveChange, ThinEvent
from relayctl import dead_letters
from relayctl.dead_letters import Selection
from tests.rig import NOON, Rig, sample
from tests.timed import Timed, slowness

GOOD = sample("deel", "approved")["data"]["resource"]
BAD = {**GOOD, "id": "other", "status": "ODD"}


class BobApi:
    """HiBob's API, as the test has it answer."""

    def __init__(self) -> None:
        self.token, self.hangs, self.over = "old", False, threading.Event()
        self.email: str | None = "kim@example.com"
        self.kind = "days"
        self.status = "approved"
        self.calls = 0

    def answer(self, request: Request) -> Response:
        """A request or a person, for the right credentials."""
        self.calls += 1
        if self.hangs:
            self.over.wait(30)
        expected = "Basic " + base64.b64encode(f"user:{self.token}".encode()).decode()
        if request.headers["authorization"] != expected:
            return JSONResponse({}, 401)
        if "people" in request.url.path:
            return JSONResponse({"email": self.email})
        found = {"status": self.status, "startDate": "2027-04-05", "endDate": "2027-04-09"}
        return JSONResponse({**found, "type": self.kind})


@pytest.fixture
def bob(rig: Rig) -> Iterator[BobApi]:
    """HiBob's API behind the rig's HiBob source."""
    api = BobApi()
    app = Starlette(routes=[Route("/{path:path}", api.answer, methods=["GET", "POST"])])
    with Served(app) as url:
        rig.secrets["hibob"]["api"] = {"baseUrl": url, "serviceUserId": "user", "serviceUserToken": "old"}
        put(rig)
        yield api
        api.over.set()


def put(rig: Rig, **api: str) -> None:
    """Store HiBob's secret, with some credentials changed."""
    secret = {**rig.secrets["hibob"], "api": {**rig.secrets["hibob"]["api"], **api}}
    rig.aws.secrets.put_secret_value(
        SecretId=f"{rig.target().stack}/hris/hibob", SecretString=json.dumps(secret)
    )


@pytest.mark.parametrize("mode", ["direct", "queued"])
def test_one_bad_part(rig: Rig, mode: str) -> None:
    """Of several leaves in one delivery the readable ones are forwarded, each other one is a dead letter."""
    event = sample("deel", "approved", data__resource=[BAD, GOOD])
    assert rig.post("deel", event, relay=rig.built(FORWARD_MODE=mode))[0] == 202
    rig.retry()
    assert len(rig.away("Sam@example.com")) == 5
    [letter] = rig.dead_letters()
    assert (letter["reason"], letter["detail"]) == ("unparseable", "data.resource.status: unknown")


def test_bad_part_is_parsed_again(rig: Rig) -> None:
    """The dead letter of a part holds that part alone, and is parsed again when it is redriven."""
    rig.post("deel", sample("deel", "approved", data__resource=[BAD, GOOD]))
    [letter] = rig.dead_letters()
    rig.aws.sqs.send_message(QueueUrl=rig.resources.unprocessed_queue_url, MessageBody=json.dumps(letter))
    assert rig.retry() == {"batchItemFailures": []}
    assert [again["detail"] for again in rig.dead_letters()] == ["data.resource.status: unknown"] * 2


def test_no_part(rig: Rig) -> None:
    """A delivery of nothing is ignored by name."""
    answer = rig.post("deel", sample("deel", "approved", data__resource=[]))
    assert answer == (200, {"status": "ignored", "reason": "no_event"})


def test_rotated_token(rig: Rig, bob: BobApi) -> None:
    """A vendor's API that refuses the credentials is asked once more with those of now."""
    assert rig.post("hibob", "approved")[0] == 200
    bob.token = "new"
    put(rig, serviceUserToken="new")
    assert rig.post("hibob", "cancelled")[0] == 200
    assert rig.dead_letters() == rig.waiting() == []


def test_listed_leave_that_ended_meanwhile(rig: Rig, bob: BobApi) -> None:
    """What a list has said, and the API then says has ended, was never at Calven: no day is given back."""
    change = LeaveChange(
        event_id="list:1",
        leave_id="32832853",
        state="approved",
        version="2026-11-04T04:00:00.000Z",
        listed_at=datetime.fromtimestamp(NOON, UTC),
    )
    thin = ThinEvent(event_id="list:1", subject="32832853", employee="3373576791477190995", change=change)
    envelope = Envelope(
        source="hibob",
        vendor="hibob",
        kind="time_off",
        received_at=datetime.fromtimestamp(NOON, UTC),
        event=thin,
    )
    rig.aws.sqs.send_message(QueueUrl=rig.resources.unprocessed_queue_url, MessageBody=envelope.body())
    bob.status = "canceled"
    assert rig.retry() == {"batchItemFailures": []}
    assert (rig.calven(), rig.dead_letters()) == ([], [])


def outage(rig: Rig) -> Any:
    """A badge that waits until nobody waits for it any more."""
    rig.fail("503")
    rig.post("kisi", "badge-in")
    return rig.retry(age=SCHEDULE.max_age)


def refused(rig: Rig, event: str, vendor: str = "kisi", **unknown: Sequence[str]) -> Any:
    """An event about somebody, or some place, that Calven does not know; or that it refuses whole."""
    if unknown:
        rig.refuse(**unknown)
    else:
        rig.fail("400", endpoint="/v1/occupancy")
    return rig.post(vendor, event)


def leave(rig: Rig, **changes: Any) -> Any:
    """An approved leave with something wrong about it."""
    fields = {f"data__resource__{name}": value for name, value in changes.items()}
    return rig.post("deel", sample("deel", "approved", **fields))


def of_bob(rig: Rig, bob: BobApi, **answers: str) -> Any:
    """An approved leave about which HiBob's API says something else."""
    for name, value in answers.items():
        setattr(bob, name, value)
    return rig.post("hibob", "approved")


REASONS: dict[str, Callable[[Rig, BobApi], Any]] = {
    "unmapped_door": lambda rig, _: rig.post("kisi", "unmapped-door"),
    "unknown_user": lambda rig, _: refused(rig, "approved", "deel", users=["Sam@example.com"]),
    "unknown_location": lambda rig, _: refused(
        rig, "badge-in", locations=[place.location_id for place in rig.config.places.values()]
    ),
    "rejected": lambda rig, _: refused(rig, "badge-in"),
    "unparseable": lambda rig, _: rig.post(
        "kisi", {"type": "lock.unlock", "actor_name": "\u0000\uffff\U0001f600"}
    ),
    "open_ended": lambda rig, bob: of_bob(rig, bob, kind="openEnded"),
    "no_email": lambda rig, _: leave(rig, requester=None),
    "invalid_dates": lambda rig, _: leave(rig, end_date="2020-01-01"),
    "unknown_leave": lambda rig, _: rig.post("deel", "deleted"),
    "vendor_refused": lambda rig, bob: of_bob(rig, bob, token="revoked"),
    "retries_exhausted": lambda rig, _: outage(rig),
}


HEALED = {"unknown_user", "unknown_location", "rejected", "retries_exhausted"}
"""What is done with once Calven takes it."""


@pytest.mark.parametrize("reason", REASONS)
def test_reasons(rig: Rig, bob: BobApi, reason: str) -> None:
    """Each reason comes with all that a redrive needs, as ASCII, without credentials, and can be redriven."""
    REASONS[reason](rig, bob)
    queue = {"QueueUrl": rig.resources.dead_letter_queue_url, "MessageAttributeNames": ["All"]}
    [message] = rig.aws.sqs.receive_message(**queue, VisibilityTimeout=0)["Messages"]  # type: ignore[arg-type]
    assert message["Body"].isascii()
    letter = json.loads(message["Body"])
    repeated = {name: text["StringValue"] for name, text in message["MessageAttributes"].items()}
    assert repeated == {name: letter[name] for name in ("id", "source", "vendor", "kind", "reason")}
    assert letter["reason"] == reason
    assert letter["detail"]
    assert len({"calven", "event", "request"} & set(letter)) == 1
    told = (
        message["Body"].lower() + base64.b64decode(letter.get("request", {}).get("body", "")).decode().lower()
    )
    secrets = [*rig.signature("kisi", b"{}").headers, "authorization", "bearer", "basic "]
    assert not [secret for secret in secrets if secret.lower() in told]
    rig.recover()
    rig.refuse()
    assert len(dead_letters.redrive(rig.target(), Selection(), lambda number: number).sent) == 1
    assert rig.retry() == {"batchItemFailures": []}
    again = [letter["reason"] for letter in rig.dead_letters()]
    assert again == ([] if reason in HEALED else [reason])


def test_redriven_once_the_address_is_known(rig: Rig, bob: BobApi) -> None:
    """A leave of nobody known is a dead letter that asks the vendor anew when it is redriven."""
    bob.email = None
    assert rig.post("hibob", "approved")[1]["reason"] == "no_email"
    [dead] = rig.dead_letters()
    assert set(dead) >= {"request"}
    bob.email = "kim@example.com"
    assert len(dead_letters.redrive(rig.target(), Selection(), lambda number: number).sent) == 1
    assert rig.retry() == {"batchItemFailures": []}
    assert len(rig.away("kim@example.com")) == 5


def test_refused_token(rig: Rig, bob: BobApi) -> None:
    """Credentials that are refused and have not changed make a dead letter, after one more question."""
    bob.token = "another"
    assert rig.post("hibob", "approved") == (202, {"status": "queued", "reason": "vendor_refused"})
    assert bob.calls == 1


def test_silent_vendor(rig: Rig, bob: BobApi) -> None:
    """A vendor's API that does not answer is asked once for a batch, and holds up nobody else's events."""
    relay = rig.built(FORWARD_MODE="queued")
    events: list[tuple[str, Any]] = [("hibob", "approved"), ("kisi", "badge-in"), ("hibob", "cancelled")]
    for vendor, event in events:
        assert rig.post(vendor, event, relay=relay)[0] == 202
    rig.secrets["hibob"]["api"]["baseUrl"] = "http://127.0.0.1:9"
    put(rig)
    rig.relay = rig.built()
    assert len(rig.retry()["batchItemFailures"]) == 2
    assert rig.counts() == {"sydney-l3": 1, "sydney": 1}
    assert bob.calls == 0


@pytest.mark.slow
def test_slow_vendor(rig: Rig, bob: BobApi) -> None:
    """A vendor's API gets what is left of the webhook's deadline, and the event waits after that."""
    bob.hangs = True
    received_at = rig.clock() - 3.5
    with Timed() as timed:
        answer = rig.post("hibob", "approved", received_at=received_at, relay=rig.ticking())
        assert timed.seconds < 1.5 * slowness()
    assert answer == (202, {"status": "queued", "reason": "vendor_unavailable"})
    assert [envelope["reason"] for envelope in rig.waiting()] == ["vendor_unavailable"]


def test_calven_client_at_fault(rig: Rig) -> None:
    """An error that nobody foresaw while sending leaves every event of the batch in the queue."""
    relay = rig.built()
    del relay.calven
    assert rig.post("kisi", "badge-in", relay=relay)[1]["reason"] == "internal_error"
    assert rig.post("deel", "approved", relay=relay)[1]["reason"] == "internal_error"
    rig.clock.advance(30)
    assert rig.retry() == {"batchItemFailures": []}
    assert len(rig.away("Sam@example.com")) == 5


def test_unknown_vendor(rig: Rig) -> None:
    """A configuration that names a vendor of another version is 503: it may be known soon."""
    item = {
        "pk": {"S": "config#1"},
        "sk": {"S": "main"},
        "body": {"S": '{"sources": {"kisi-sydney": {"vendor": "acme", "new": 1}}, "newer": {}}'},
    }
    rig.aws.dynamodb.put_item(TableName=rig.resources.table, Item=item)
    assert rig.post("kisi", "badge-in")[0] == 503


def test_place_taken_away(rig: Rig, tmp_path: Any) -> None:
    """A settled event whose place is configured no more is told to the place as it was."""
    rig.fail("503")
    rig.post("kisi", "badge-in")
    rig.recover()
    rig.push("sources: {kisi-sydney: {vendor: kisi}}", tmp_path)
    assert rig.retry(rig.built()) == {"batchItemFailures": []}
    assert rig.dead_letters() == []
    assert {event["occupancy"] for event in rig.calven()} == {1}
    rig.clock.advance(TAKEN_UP_SECONDS + 1)
    rig.reset(rig.built())
    assert [event["occupancy"] for event in rig.calven()] == [1, 1, 0, 0]
