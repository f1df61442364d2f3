"""Input from whoever has the URL, or the secret: a clear answer, nothing personal in the log, never a 500."""

import base64
import json
import re
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from relay.observability import logger
from tests.rig import Rig, content, sample

pytestmark = [pytest.mark.no_cover, pytest.mark.slow]

VENDORS = ["kisi", "verkada", "deel", "hibob"]
DEEP = b"[" * 100_000 + b"]" * 100_000
HUGE_NUMBER = b"9" * 100_000


@pytest.mark.parametrize("vendor", VENDORS)
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"0",
        b'""',
        b"[[]]",
        b"[null]",
        b"\x00",
        b"\xef\xbb\xbf{}",
        b'{"type": NaN}',
        b'{"type": 1e999}',
        b'{"type": "\\ud800"}',
        b'{"type": "a", "type": "b"}',
        DEEP,
        b'{"type":' + DEEP + b"}",
        HUGE_NUMBER,
        b'{"type": "lock.unlock", "object_id": ' + HUGE_NUMBER + b"}",
    ],
    ids=lambda body: repr(body[:20]),
)
def test_signed_nonsense(rig: Rig, vendor: str, body: bytes) -> None:
    """A signed body that is no event is ignored, or a dead letter that still holds it."""
    status, answer = rig.post(vendor, body)
    assert (status, answer["status"]) in {(200, "ignored"), (202, "queued")}
    if status == 202:
        assert [letter["reason"] for letter in rig.dead_letters()] == ["unparseable"]
    assert rig.requests() == []


@pytest.mark.parametrize(
    ("vendor", "event", "changes"),
    [
        ("kisi", "badge-in", {"created_at": "0001-01-01T00:00:00Z"}),
        ("kisi", "badge-in", {"created_at": "9999-12-31T23:59:59-23:59"}),
        ("kisi", "badge-in", {"created_at": 1e18}),
        ("kisi", "badge-in", {"created_at": "2026-11-02"}),
        ("kisi", "badge-in", {"uuid": ""}),
        ("kisi", "badge-in", {"object_id": ""}),
        ("kisi", "badge-in", {"object_id": [1]}),
        ("verkada", "badge-in", {"data__created": 10**30}),
        ("verkada", "badge-in", {"data__created": -100_000}),
        ("verkada", "badge-in", {"data__door_id": None, "data__door_info": None}),
        ("verkada", "badge-in", {"data__notification_type": "door_retina_scan_accepted"}),
        ("deel", "approved", {"data__resource": None}),
        ("deel", "approved", {"data__resource__id": ""}),
        ("deel", "approved", {"data__meta__tracking_id": "t" * 1000, "data__resource": [1] * 50}),
        ("hibob", "approved", {"data__employeeId": "../../v1/people"}),
        ("hibob", "approved", {"data__timeoffRequestId": "1?x=1"}),
    ],
)
def test_odd_values(rig: Rig, vendor: str, event: str, changes: dict[str, Any]) -> None:
    """A value that cannot be is a dead letter, `unparseable`."""
    answer = rig.post(vendor, sample(vendor, event, **changes))
    assert answer == (202, {"status": "queued", "reason": "unparseable"})
    assert len(rig.dead_letters()) == 1


@pytest.mark.parametrize(
    ("number", "reason", "letters", "waiting"), [(100, "unparseable", 100, 0), (101, "large_delivery", 0, 1)]
)
def test_many_unreadable(rig: Rig, number: int, reason: str, letters: int, waiting: int) -> None:
    """Each unreadable part of a delivery is a dead letter; a delivery of more than 100 waits whole."""
    answer = rig.post("deel", sample("deel", "approved", data__resource=[1] * number))
    assert answer == (202, {"status": "queued", "reason": reason})
    assert (len(rig.dead_letters()), len(rig.waiting())) == (letters, waiting)


@pytest.mark.parametrize(
    ("vendor", "event", "changes"),
    [
        ("kisi", "badge-in", {"object_id": "a\u0000b \U0001f600\u202e"}),
        ("kisi", "badge-in", {"object_id": "x" * 5000}),
        ("kisi", "badge-in", {"object_id": 10**300}),
        (
            "deel",
            "approved",
            {"data__resource__start_date": "0001-01-01", "data__resource__end_date": "9999-12-31"},
        ),
        (
            "deel",
            "approved",
            {"data__resource__start_date": "9999-12-31", "data__resource__end_date": "9999-12-31"},
        ),
        ("deel", "approved", {"data__resource__start_date": "soon"}),
        ("deel", "approved", {"data__resource__id": "x" * 3000}),
        ("deel", "approved", {"data__resource__requester__work_email": "x" * 3000 + "@example.com"}),
    ],
)
def test_odd_keys(rig: Rig, vendor: str, event: str, changes: dict[str, Any]) -> None:
    """Ids and dates that no table key or calendar takes cost nothing but their own event."""
    status, _ = rig.post(vendor, sample(vendor, event, **changes))
    assert status == 202
    assert len(rig.dead_letters()) + len(rig.waiting()) == 1
    assert rig.post("kisi", "badge-in") == (200, {"status": "forwarded", "events": 2})


@given(
    headers=st.dictionaries(st.sampled_from(["x-signature", "content-encoding", "x"]), st.text()),
    body=st.binary(),
)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_request(rig: Rig, headers: dict[str, str], body: bytes) -> None:
    """Whatever somebody without the secret sends is refused."""
    assert rig.post("kisi", body, headers=headers)[0] in (401, 415)


def test_lone_surrogate_in_a_date(rig: Rig) -> None:
    """Half a surrogate pair in a leave's date makes a dead letter at once, with the request as it came."""
    payload = sample("deel", "approved", data__resource__start_date="2026-11-0\ud83d")
    assert rig.post("deel", payload) == (202, {"status": "queued", "reason": "unparseable"})
    [letter] = rig.dead_letters()
    assert (letter["source"], letter["detail"]) == ("deel", "start: string_unicode")
    assert base64.b64decode(letter["request"]["body"]) == json.dumps(payload).encode()
    assert rig.waiting() == []


def test_lone_surrogate_in_the_name_of_a_type(rig: Rig) -> None:
    """In what a kind of leave is called it is replaced, and the leave goes on."""
    payload = sample("deel", "approved", data__resource__type="Sick\ud83d")
    assert rig.post("deel", payload)[1]["status"] == "forwarded"


@pytest.mark.parametrize("email", ["", "   ", "sam", "a@b\r\nX: y", "a@\u0000", "a@b@example.com", "x" * 400])
def test_no_address(rig: Rig, email: str) -> None:
    """What is no e-mail address never reaches Calven."""
    answer = rig.post("deel", sample("deel", "approved", data__resource__requester__work_email=email))
    assert answer[1]["reason"] in ("no_email", "unparseable")
    assert rig.requests() == []


PERSONAL = {
    "name": "Marked-Name",
    "email": "marked-person@example.com",
    "card": "MARKED-4711",
    "secret": "marked-secret",
}


def marked(vendor: str) -> Any:
    """An event of a vendor full of marked personal data."""
    if vendor == "kisi":
        return sample("kisi", "badge-in", actor_name=PERSONAL["name"], actor_id=PERSONAL["email"])
    if vendor == "verkada":
        user = {"user_id": "1", "name": PERSONAL["name"], "email": PERSONAL["email"]}
        return sample("verkada", "badge-in", data__user_info=user, data__input_value=PERSONAL["card"])
    return sample(
        "deel",
        "approved",
        data__resource__requester__name=PERSONAL["name"],
        data__resource__requester__work_email=PERSONAL["email"],
        data__resource__reason=PERSONAL["card"],
    )


@pytest.mark.parametrize("vendor", ["kisi", "verkada", "deel"])
@pytest.mark.parametrize(
    "fault", ["none", "503", "400", "refused", "unparseable", "signature", "fault of ours"]
)
def test_nothing_personal_in_the_log(
    rig: Rig,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    vendor: str,
    fault: str,
) -> None:
    """No name, address, card or secret is in a log line, a metric or an answer, whatever goes wrong."""
    event = marked(vendor)
    relay = rig.built()
    if fault in ("503", "400"):
        rig.fail(fault)
    elif fault == "refused":
        everywhere = [place.location_id for place in rig.config.places.values()]
        rig.refuse(users=[PERSONAL["email"]], locations=everywhere)
    elif fault == "unparseable":
        event = {PERSONAL["email"]: event, "type": [PERSONAL["name"]], "data": PERSONAL}
    elif fault == "fault of ours":
        vars(relay).update(turns={}, vendor_apis=None)
    headers = {"x-signature": PERSONAL["secret"]} if fault == "signature" else None
    status, answer = rig.post(vendor, event, headers=headers, relay=relay)
    rig.retry(relay)
    logged = [logger.registered_formatter.format(record) for record in caplog.records]
    said = "".join((*logged, *capsys.readouterr(), json.dumps(answer)))
    assert status in (200, 202, 401)
    assert '"message":' in said
    assert not [value for value in PERSONAL.values() if value.lower() in said.lower()]
    assert "Traceback" not in said


def test_occupancy_is_anonymous(rig: Rig) -> None:
    """Nothing that names a person is in the table or reaches Calven's occupancy endpoint."""
    for vendor in ("kisi", "verkada"):
        assert rig.post(vendor, marked(vendor))[0] == 200
    stored = json.dumps(rig.aws.dynamodb.scan(TableName=rig.resources.table)["Items"])
    sent = json.dumps(rig.requests("/v1/occupancy"))
    for text in (stored, sent):
        assert not re.search("marked", text, re.IGNORECASE)


def test_one_person_in_two_systems(rig: Rig) -> None:
    """Somebody whom two sources know by the same e-mail address is counted once, in any case of letters."""
    email = "Somebody@example.com"
    user = {"user_id": "1", "email": email.upper()}
    assert rig.post("kisi", sample("kisi", "badge-in", actor_id=email))[0] == 200
    at = 1793659786 + 120
    answer = rig.post("verkada", sample("verkada", "badge-in", data__user_info=user, data__created=at))
    assert answer[1] == {"status": "ignored", "reason": "unchanged"}
    assert rig.counts() == {"sydney-l3": 1, "sydney": 1}


def test_content_is_what_was_recorded() -> None:
    """The samples are the bytes that are signed."""
    assert content("kisi", "badge-in").startswith(b"{")
