"""HiBob's webhooks become notices, and notices become what HiBob's API says."""

import base64
import json
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.errors import Unparseable
from relay.events import Event, Ignored, LeaveChange, ThinEvent, Webhook, iso
from relay.vendors import hibob
from tests.payloads import ANY_JSON, MARKER, extended, mutated, parse, reads_or_refuses, refusal
from tests.rig import EVENTS as FILES
from tests.rig import NOON, content, sample

KIM = "3373576791477190995"
AT = "2026-11-03T09:29:00.831502"
PERSON = f"/v1/people/{KIM}"


def notice(name: str, leave: str, **fields: Any) -> ThinEvent:
    """The notice of a version 2 webhook about Kim's leave."""
    event_id = f"637323:timeoff.request.{name}:{leave}:{AT}"
    return ThinEvent(**{"event_id": event_id, "subject": leave, "employee": KIM, **fields})


APPROVED = notice("approved", "32832853")
UPDATED = notice("updated", "32832857", replaces="32832853")
EVENTS: dict[str, Event] = {
    "approved": APPROVED,
    "approved-v1": notice("approved", "32832853", event_id=":timeoff.request.approved:32832853:"),
    "cancelled": notice("cancelled", "32832854"),
    "declined": notice("declined", "32832859"),
    "deleted": notice("deleted", "32832858"),
    "imported": notice("imported", "32832860"),
    "requested": notice("requested", "32832855"),
    "set-end-date": notice("setEndDate", "32832853"),
    "half-days": notice("approved", "32832861"),
    "two-hours": notice("approved", "32832862"),
    "hours-on-range": notice("approved", "32832863"),
    "different-days": notice("approved", "32832864"),
    "updated": UPDATED,
    "employee-updated": Ignored(reason="other_event"),
}
PINGS = ("ping", "ping-text")


@pytest.mark.parametrize("name", EVENTS)
def test_samples(name: str) -> None:
    """Each time-off event of either version is a notice; every other event is ignored."""
    assert parse("hibob", sample("hibob", name)) == [EVENTS[name]]


@pytest.mark.parametrize("name", EVENTS)
def test_unknown_fields(name: str) -> None:
    """Fields that HiBob adds change nothing."""
    assert parse("hibob", extended(sample("hibob", name))) == [EVENTS[name]]


@pytest.mark.parametrize("name", PINGS)
def test_pings(name: str) -> None:
    """Both bodies with which Bob tries a URL are recognised."""
    assert hibob.is_ping(content("hibob", name))


@pytest.mark.parametrize("body", [b"Ping test", b' {"text" : "Ping test"}\n', b'"Ping test"\n'])
def test_pings_in_other_words(body: bytes) -> None:
    """A ping may come without quotes, and with space around it."""
    assert hibob.is_ping(body)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"ping test",
        b'{"text":"Ping test","more":1}',
        b'{"text":"Ping"}',
        b'["Ping test"]',
        b"\xff",
        b"9" * 99,
    ],
)
def test_no_pings(body: bytes) -> None:
    """Nothing else is taken for a ping: it goes unsigned."""
    assert not hibob.is_ping(body)


@pytest.mark.parametrize(
    ("before", "replaced"),
    [
        ({"originalRequestId": "1", "previousRequestId": "1"}, ["1"]),
        ({"originalRequestId": "1", "previousRequestId": "2"}, ["2", "1"]),
        ({"originalRequestId": "1", "previousRequestId": None}, ["1"]),
        ({"originalRequestId": "32832857", "previousRequestId": None}, [None]),
    ],
    ids=["the first change", "a change was missed", "the first alone", "itself"],
)
def test_replaced(before: Mapping[str, Any], replaced: list[str | None]) -> None:
    """A request takes the place of the one before it, and of the first of them all."""
    payload = sample("hibob", "updated")
    payload["data"] |= before
    assert parse("hibob", payload) == [notice("updated", "32832857", replaces=each) for each in replaced]


def test_events_are_no_pings() -> None:
    """No event is taken for a ping."""
    assert not any(hibob.is_ping(content("hibob", name)) for name in EVENTS)


@pytest.mark.parametrize("bad", ["../../people", "1?x=2", "x" * 65, "1%2f2", "1\n2"])
@pytest.mark.parametrize(
    "field", ["timeoffRequestId", "employeeId", "previousRequestId", "originalRequestId"]
)
def test_ids_that_would_be_paths(field: str, bad: str) -> None:
    """Ids become parts of a path of HiBob's API: nothing but an id is accepted."""
    payload = sample("hibob", "updated")
    payload["data"][field] = bad
    with pytest.raises(Unparseable, match=rf"^data\.{field}: string_pattern_mismatch$"):
        parse("hibob", payload)


@given(st.binary() | ANY_JSON.map(lambda value: json.dumps(value).encode()) | mutated("hibob"))
def test_anything(body: bytes) -> None:
    """Whatever bytes and whatever JSON arrive are read or refused, without repeating them."""
    hibob.is_ping(body)
    reads_or_refuses("hibob", body)


class Bob:
    """HiBob's API: what it answers by method and path, and what it was asked."""

    def __init__(self, answers: Mapping[str, Any]) -> None:
        self.answers = answers
        self.asked: list[str] = []
        self.time = NOON

    def get(self, path: str, absent: Collection[int] = (404,)) -> Any:
        """The answer to a GET."""
        assert (405 in absent) == path.startswith("/v1/people/")
        return self._answer(f"GET {path}")

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """The answer to a POST."""
        assert body == {"fields": ["root.email"]}
        return self._answer(f"POST {path}")

    def email(self, employee: str, ask: Callable[[], str | None]) -> str | None:
        """Asked each time."""
        assert employee == KIM
        return ask()

    def name(self, kind: str, id: str, ask: Callable[[], Mapping[str, str]]) -> str | None:  # noqa: A002
        """HiBob names its policies in the request."""
        raise AssertionError(kind, id, ask)

    def setting(self, name: str) -> str:
        """HiBob's paths hold nothing but ids."""
        raise AssertionError(name)

    def _answer(self, question: str) -> Any:
        self.time += 10
        self.asked.append(question)
        return self.answers.get(question)

    def now(self) -> float:
        """The time, which passes with each question."""
        return self.time


def request(leave: str = "32832853", **fields: Any) -> dict[str, Any]:
    """A request as HiBob's API gives it."""
    return {**json.loads((FILES / "hibob" / "api" / f"request-{leave}.json").read_text()), **fields}


def answers(found: Any, leave: str = "32832853", person: Any = None) -> dict[str, Any]:
    """What HiBob knows: a request, and its employee."""
    asked = f"GET /v1/timeoff/employees/{KIM}/requests/{leave}"
    return {asked: found, f"GET {PERSON}": person or {"email": "kim@example.com"}}


def fetched(found: Any, about: ThinEvent = APPROVED, person: Any = None) -> LeaveChange:
    """What becomes of a notice when HiBob says so."""
    (event,) = hibob.VENDOR.ask(about, Bob(answers(found, about.subject, person)))
    assert isinstance(event, LeaveChange)
    return event


CHANGE = LeaveChange(
    event_id=APPROVED.event_id,
    leave_id="32832853",
    state="approved",
    version=iso(NOON),
    email="kim@example.com",
    start="2027-04-05",
    end="2027-04-09",
    type_name="Holiday",
)


def test_approved() -> None:
    """An approved request has its dates, its policy's name and the employee's e-mail address."""
    assert fetched(request()) == CHANGE


def test_version_is_the_time_of_asking() -> None:
    """The version is the time when the question was asked, not when its answer came."""
    assert fetched(request()).version == iso(NOON)


@pytest.mark.parametrize(
    ("about", "leave", "state", "declined"),
    [
        ("approved", "32832853", "approved", False),
        ("cancelled", "32832854", "ended", False),
        ("requested", "32832855", "requested", False),
        ("declined", "32832859", "ended", True),
        ("imported", "32832860", "approved", False),
    ],
)
def test_what_it_became(about: str, leave: str, state: str, declined: bool) -> None:
    """The state is what HiBob's API says, for each sample."""
    change = fetched(request(leave), notice(about, leave))
    assert (change.leave_id, change.state, change.declined) == (leave, state, declined)


@pytest.mark.parametrize(
    ("said", "state"),
    [
        ({"status": "Pending"}, "requested"),
        ({"status": "rejected"}, "ended"),
        ({"status": "canceled"}, "ended"),
        ({"status": "deleted"}, "ended"),
        ({"status": None, "approved": True}, "approved"),
    ],
)
def test_statuses(said: dict[str, Any], state: str) -> None:
    """A status counts in any case and spelling; where there is none, `approved` does."""
    assert fetched(request(**said)).state == state


@pytest.mark.parametrize("said", [{"status": MARKER}, {"status": None}, {"status": "", "approved": False}])
def test_unknown_status(said: dict[str, Any]) -> None:
    """A status that was never documented is refused, and not repeated."""
    with pytest.raises(Unparseable, match=r"^status: unknown$"):
        fetched(request(**said))


def test_gone() -> None:
    """A request that HiBob does not know any more has ended; nothing else is asked."""
    bob = Bob(answers(None))
    (event,) = hibob.VENDOR.ask(notice("deleted", "32832853"), bob)
    assert event == LeaveChange(
        event_id=f"637323:timeoff.request.deleted:32832853:{AT}",
        leave_id="32832853",
        state="ended",
        version=iso(NOON),
    )
    assert bob.asked == [f"GET /v1/timeoff/employees/{KIM}/requests/32832853"]


@pytest.mark.parametrize("found", [request("32832857"), None])
def test_replacement(found: Any) -> None:
    """A notice's replaced request is kept, whatever the new one became."""
    assert fetched(found, UPDATED).replaces == "32832853"


def test_requested_asks_for_nobody() -> None:
    """The employee of a leave that is only requested is not asked for."""
    bob = Bob(answers(request(status="requested")))
    (event,) = hibob.VENDOR.ask(APPROVED, bob)
    assert isinstance(event, LeaveChange)
    assert event.email is None
    assert len(bob.asked) == 1


def test_email_in_the_request() -> None:
    """Where the request names the employee's address, the employee is not asked for."""
    bob = Bob(answers(request(employeeEmail="Kim.Else@example.com")))
    (event,) = hibob.VENDOR.ask(APPROVED, bob)
    assert isinstance(event, LeaveChange)
    assert event.email == "Kim.Else@example.com"
    assert len(bob.asked) == 1


@pytest.mark.parametrize(
    ("person", "email"),
    [
        ({"email": "kim@example.com"}, "kim@example.com"),
        ({"/root/email": "kim@example.com"}, "kim@example.com"),
        ({"/root/email": {"value": "kim@example.com"}}, "kim@example.com"),
        ({"email": None}, None),
        ({"email": ""}, None),
        ({"/root/email": {"value": None}}, None),
        ({"/root/email": 7}, None),
        ({"id": KIM}, None),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_email_of_the_employee(method: str, person: dict[str, Any], email: str | None) -> None:
    """The address comes from the plain GET or, where there is none, the field search; in any form."""
    bob = Bob({f"GET /v1/timeoff/employees/{KIM}/requests/32832853": request(), f"{method} {PERSON}": person})
    (event,) = hibob.VENDOR.ask(APPROVED, bob)
    assert isinstance(event, LeaveChange)
    assert event.email == email
    assert bob.asked[1:] == [f"GET {PERSON}", f"POST {PERSON}"][: 1 if method == "GET" else 2]


@pytest.mark.parametrize("person", [None, [], "kim@example.com"])
def test_no_employee(person: object) -> None:
    """An employee whom HiBob does not know has no address."""
    asked = f"GET /v1/timeoff/employees/{KIM}/requests/32832853"
    (event,) = hibob.VENDOR.ask(APPROVED, Bob({asked: request(), f"POST {PERSON}": person}))
    assert isinstance(event, LeaveChange)
    assert event.email is None


def test_unknown_type() -> None:
    """A type of request that nobody documented is refused."""
    with pytest.raises(Unparseable, match="type: unknown"):
        fetched(request(type="lunarMonths"))


def test_answers_with_unknown_fields() -> None:
    """Fields that HiBob adds to its answers change nothing."""
    assert fetched(extended(request()), person=extended({"email": "kim@example.com"})) == CHANGE


@given(ANY_JSON, ANY_JSON)
def test_any_answer(found: Any, person: Any) -> None:
    """Whatever HiBob's API answers becomes a change or is refused, without repeating it."""
    for answer in (found, request(status=found), request(startDate=found, employeeEmail=person)):
        bob = Bob(answers(answer, person=person))
        assert MARKER not in str(refusal(partial(hibob.VENDOR.ask, APPROVED, bob)))


def test_credentials() -> None:
    """HiBob is asked with the service user's id and token as Basic credentials, at its own host."""
    api = hibob.VENDOR.api
    assert api
    assert api.host == "https://api.hibob.com"
    header = api.headers({"serviceUserId": "relay", "serviceUserToken": "s:ecret"})["authorization"]
    assert base64.b64decode(header.removeprefix("Basic ")) == b"relay:s:ecret"


def test_never_at_a_url_of_the_payload() -> None:
    """What a webhook names as `getApi` is nowhere in what becomes of it."""
    payload = sample("hibob", "approved", data__getApi="https://attacker.example/")
    (event,) = hibob.VENDOR.read(Webhook(body=json.dumps(payload).encode(), received_at=NOON))
    assert event == APPROVED
