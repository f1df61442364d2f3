"""The table of answers, over the whole way from an API Gateway event to Calven."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from relay import vendors
from relay.deadline import WAITED_FOR, Deadline
from relay.delivery.outcome import Outcome
from relay.entrypoints import webhook
from relay.envelope import SCHEDULE, Envelope
from relay.errors import Contended
from tests.rig import Rig, sample

FORWARDED = [
    ("kisi", "badge-in", 2),
    ("verkada", "badge-in", 2),
    ("deel", "approved", 1),
    ("hibob", "approved", 1),
]
VENDORS = [vendor for vendor, *_ in FORWARDED]
IGNORED = {"status": "ignored"}


@pytest.mark.parametrize(("vendor", "event", "events"), FORWARDED)
def test_forwarded(rig: Rig, vendor: str, event: str, events: int) -> None:
    """A signed event is answered 200 once Calven has accepted what follows from it."""
    assert rig.post(vendor, event) == (200, {"status": "forwarded", "events": events})
    assert len(rig.calven()) == events
    assert rig.waiting() == rig.dead_letters() == []


@pytest.mark.parametrize("vendor", VENDORS)
@pytest.mark.parametrize("fault", ["wrong", "missing", "empty", "malformed", "of another body"])
def test_bad_signature(rig: Rig, vendor: str, fault: str) -> None:
    """A bad, missing or malformed signature is 401 without saying which, and nothing reaches Calven."""
    right = dict(rig.signature(vendor, b"{}" if fault == "of another body" else _body(vendor)).headers)
    (name, value), *_ = right.items()
    headers = {
        "wrong": dict(rig.signature(vendor, _body(vendor), "not the secret").headers),
        "missing": {},
        "empty": {name: ""},
        "malformed": {name: value[:-3] + "\u00e9\x00|"},
        "of another body": right,
    }[fault]
    assert rig.post(vendor, _body(vendor), headers=headers) == (401, {"error": "invalid signature"})
    assert rig.requests() == rig.waiting() == rig.dead_letters() == []


def _body(vendor: str) -> bytes:
    return json.dumps(sample(vendor, "approved" if vendor in ("deel", "hibob") else "badge-in")).encode()


def test_stale_signature(rig: Rig) -> None:
    """A signature that was right over five minutes ago is 401."""
    body = _body("verkada")
    headers = rig.signature("verkada", body).headers
    rig.clock.advance(301)
    assert rig.post("verkada", body, headers=headers)[0] == 401


def test_base64_body(rig: Rig) -> None:
    """A body that the gateway has put into base64 is decoded before it is verified."""
    assert rig.post("kisi", "badge-in", as_base64=True)[0] == 200


@pytest.mark.parametrize("vendor", VENDORS)
def test_get_is_for_handshakes(rig: Rig, vendor: str) -> None:
    """Vendors without a handshake by GET get 405 for it, whatever they sign."""
    assert rig.post(vendor, _body(vendor), method="GET")[0] == 405


def test_disabled_source(rig: Rig, tmp_path: Path) -> None:
    """A disabled source is answered 200 and ignored."""
    rig.push("sources: {kisi-sydney: {vendor: kisi, enabled: false}}", tmp_path)
    rig.relay = rig.built()
    assert rig.post("kisi", "badge-in") == (200, IGNORED | {"reason": "disabled"})


@pytest.mark.parametrize(
    ("vendor", "event", "reason"),
    [
        ("kisi", "denied", "denied"),
        ("kisi", "door-held-open", "other_event"),
        ("kisi", "request-to-exit", "anonymous"),
        ("verkada", "denied", "denied"),
        ("verkada", "door-opened", "door_state"),
        ("verkada", "press-to-exit", "anonymous"),
        ("verkada", "camera", "other_event"),
        ("deel", "requested", "requested"),
        ("deel", "rejected", "declined"),
        ("deel", "simulated", "simulation"),
        ("deel", "contract-created", "other_event"),
        ("hibob", "requested", "requested"),
        ("hibob", "declined", "declined"),
        ("hibob", "employee-updated", "other_event"),
        ("hibob", "ping", "ping"),
        ("hibob", "ping-text", "ping"),
    ],
)
def test_ignored(rig: Rig, vendor: str, event: str, reason: str) -> None:
    """What Calven has no use for is answered 200 with the reason, and stored nowhere."""
    assert rig.post(vendor, event) == (200, IGNORED | {"reason": reason})
    assert rig.calven() == rig.waiting() == rig.dead_letters() == []


@pytest.mark.parametrize("ping", ["ping", "ping-text"])
def test_ping_is_unsigned(rig: Rig, ping: str) -> None:
    """HiBob's ping is answered 200 without a signature; nothing else is."""
    assert rig.post("hibob", ping, headers={})[0] == 200
    assert (
        rig.post("hibob", b'{"text": "Ping test", "type": "timeoff.request.approved"}', headers={})[0] == 401
    )


@pytest.mark.parametrize(
    ("vendor", "event", "reason"),
    [
        ("kisi", "unmapped-door", "unmapped_door"),
        ("deel", "deleted", "unknown_leave"),
        ("deel", sample("deel", "approved", data__resource__requester__work_email=None), "no_email"),
        ("deel", sample("deel", "approved", data__resource__end_date="2027-01-01"), "invalid_dates"),
        ("deel", sample("deel", "approved", data__resource__status="ODD"), "unparseable"),
        ("kisi", b"{}", "unparseable"),
        ("kisi", b"\xff\x00 no JSON", "unparseable"),
        ("verkada", b"[]", "unparseable"),
        ("deel", b'{"data": {"meta": {"event_type": "time-off.updated"}}}', "unparseable"),
        ("hibob", b'{"type": "timeoff.request.approved"}', "unparseable"),
    ],
)
def test_dead_lettered(rig: Rig, vendor: str, event: Any, reason: str) -> None:
    """What can never be forwarded as it stands is safe in the dead-letter queue, with its reason: 202."""
    assert rig.post(vendor, event) == (202, {"status": "queued", "reason": reason})
    [letter] = rig.dead_letters()
    assert letter["reason"] == reason
    assert letter["source"] == rig.source(vendor)
    assert letter["vendor"] == vendor
    assert letter["kind"] == ("occupancy" if vendor in ("kisi", "verkada") else "time_off")
    assert letter["attempts"] == 1
    assert letter["received_at"]
    assert letter["first_failed_at"]
    assert [form for form in ("calven", "event", "request") if form in letter] == [
        "request" if reason == "unparseable" else "event"
    ]
    assert rig.calven() == rig.waiting() == []


def test_ignored_doors(rig: Rig, tmp_path: Path) -> None:
    """A source may say that its unmapped doors are to be ignored."""
    rig.push("sources: {kisi-sydney: {vendor: kisi, unmappedDoors: ignore}}", tmp_path)
    rig.relay = rig.built()
    assert rig.post("kisi", "badge-in") == (200, IGNORED | {"reason": "unmapped_door"})


def test_refused_by_calven(rig: Rig) -> None:
    """A refused event is a dead letter by itself; the others of its request are forwarded."""
    rig.refuse(locations=[rig.config.places["sydney"].location_id])
    assert rig.post("kisi", "badge-in") == (202, {"status": "queued", "reason": "unknown_location"})
    assert rig.counts() == {"sydney-l3": 1}
    [letter] = rig.dead_letters()
    assert [fact["place"] for fact in letter["calven"]] == ["sydney"]


def test_unknown_user(rig: Rig) -> None:
    """Leave of somebody whom Calven does not know is a dead letter, to be computed anew when redriven."""
    rig.refuse(users=["Sam@example.com"])
    assert rig.post("deel", "approved")[1]["reason"] == "unknown_user"
    [letter] = rig.dead_letters()
    assert letter["event"]["form"] == "leave"
    assert "result" not in letter


@pytest.mark.parametrize(
    ("mode", "reason"),
    [
        ("500", "calven_unavailable"),
        ("503", "calven_unavailable"),
        ("429", "calven_unavailable"),
        ("reset", "calven_unavailable"),
        ("garbage", "calven_unavailable"),
        ("missing-results", "calven_unavailable"),
        ("401", "calven_configuration"),
        ("403", "calven_configuration"),
    ],
)
@pytest.mark.parametrize(
    ("vendor", "event"), [("kisi", "badge-in"), ("deel", "approved"), ("hibob", "approved")]
)
def test_calven_down(rig: Rig, vendor: str, event: str, mode: str, reason: str) -> None:
    """What Calven does not take now waits in the Unprocessed queue: 202, delivered once Calven is back."""
    rig.fail(mode)
    assert rig.post(vendor, event) == (202, {"status": "queued", "reason": reason})
    assert rig.dead_letters() == []
    rig.recover()
    rig.clock.advance(30)
    assert rig.retry() == {"batchItemFailures": []}
    assert rig.waiting() == rig.dead_letters() == []
    if vendor == "kisi":
        assert rig.counts() == {"sydney-l3": 1, "sydney": 1}
    else:
        assert len(rig.away("Sam@example.com" if vendor == "deel" else "kim@example.com")) == 5


def test_no_secret(rig: Rig) -> None:
    """Without a readable secret nothing can be verified: 503, so that the vendor tries again."""
    name = f"{rig.target().stack}/access-control/{rig.source('kisi')}"
    rig.aws.secrets.delete_secret(SecretId=name, ForceDeleteWithoutRecovery=True)
    status, body = rig.post("kisi", "badge-in")
    assert (status, body) == (503, {"error": "try again later"})
    assert rig.answer_headers["retry-after"] == "30"


@pytest.mark.parametrize("secret", ["{}", '{"tokens": ["x"]}', "no JSON"])
def test_unusable_secret(rig: Rig, secret: str) -> None:
    """A secret that lacks the list that the vendor's scheme takes is 503, not 401."""
    name = f"{rig.target().stack}/access-control/{rig.source('kisi')}"
    rig.aws.secrets.put_secret_value(SecretId=name, SecretString=secret)
    assert rig.post("kisi", "badge-in")[0] == 503


def test_rotated_secret(rig: Rig) -> None:
    """A new secret works at once, the old one beside it as long as both are listed, and not after."""
    name = f"{rig.target().stack}/access-control/{rig.source('kisi')}"
    body = _body("kisi")
    old, new = (rig.signature("kisi", body, secret).headers for secret in (None, "the new secret"))
    assert rig.post("kisi", body, headers=old)[0] == 200
    kept = rig.secrets[rig.source("kisi")]["signingSecrets"][0]
    rig.aws.secrets.put_secret_value(
        SecretId=name, SecretString=json.dumps({"signingSecrets": ["the new secret", kept]})
    )
    assert rig.post("kisi", body, headers=new)[0] == 200
    assert rig.post("kisi", body, headers=old)[0] == 200
    rig.aws.secrets.put_secret_value(
        SecretId=name, SecretString=json.dumps({"signingSecrets": ["the new secret"]})
    )
    rig.clock.advance(301)
    assert rig.post("kisi", body, headers=old)[0] == 401


def test_no_queue(rig: Rig) -> None:
    """Where neither Calven nor the queue takes an event, the vendor is asked to send it again: 503."""
    rig.fail("503")
    rig.aws.sqs.delete_queue(QueueUrl=rig.resources.unprocessed_queue_url)
    assert rig.post("kisi", "badge-in") == (503, {"error": "try again later"})
    assert rig.answer_headers["retry-after"] == "30"
    rig.recover()
    assert rig.post("kisi", "badge-in") == (200, {"status": "forwarded", "events": 2})


def test_no_table(rig: Rig) -> None:
    """Without configuration no source is known: 503. With it cached, events wait in the queue: 202."""
    assert rig.post("kisi", "door-held-open")[0] == 200
    rig.aws.dynamodb.delete_table(TableName=rig.resources.table)
    assert rig.post("deel", "approved") == (202, {"status": "queued", "reason": "ledger_unavailable"})
    assert rig.post("kisi", "badge-in", relay=rig.built())[0] == 503


def test_no_time_left(rig: Rig) -> None:
    """The clock starts at the gateway: with too little of the vendor's patience left, the event is queued."""
    late = rig.clock() - vendors.load("verkada").ack_seconds + 0.6
    answer = rig.post("verkada", "badge-in", received_at=late)
    assert answer == (202, {"status": "queued", "reason": "no_time"})
    assert rig.requests() == []
    rig.retry()
    assert rig.counts() == {"sydney-l3": 1, "sydney": 1}


def test_contended(rig: Rig) -> None:
    """While others keep the site's counts to themselves an event waits: it is no outage of the table."""
    late = rig.clock() - vendors.load("verkada").ack_seconds + 0.8
    site = rig.config.places["sydney"].location_id
    with rig.relay.turns.at(site, Deadline(rig.clock() + 5, rig.clock), rest_seconds=0):
        answer = rig.post("verkada", "badge-in", received_at=late)
    assert answer == (202, {"status": "queued", "reason": "contended"})
    rig.retry()
    assert rig.counts() == {"sydney-l3": 1, "sydney": 1}


def test_contended_site_rests(rig: Rig) -> None:
    """A site that was contended leaves its badges to the queue for a while, and then answers again."""
    site = rig.config.places["sydney"].location_id
    rest = WAITED_FOR.rest_seconds
    with suppress(Contended), rig.relay.turns.at(site, Deadline(rig.clock() + 1, rig.clock), rest):
        raise Contended
    rig.clock.advance(rest / 2 - 0.1)
    assert rig.post("verkada", "badge-in") == (202, {"status": "queued", "reason": "contended"})
    waiting = Envelope.model_validate(rig.waiting()[0])
    assert Outcome("queued", waiting, "contended").delay(SCHEDULE.first) <= 1.2
    rig.retry()
    assert rig.counts() == {"sydney-l3": 1, "sydney": 1}
    rig.clock.advance(rest + 0.2)
    assert rig.post("verkada", "badge-out")[0] == 200


@pytest.mark.parametrize(("vendor", "event", "_"), FORWARDED)
def test_queued_mode(rig: Rig, vendor: str, event: str, _: int) -> None:
    """`ForwardMode=queued` acknowledges from the queue alone; the retry function forwards."""
    relay = rig.built(FORWARD_MODE="queued")
    assert rig.post(vendor, event, relay=relay) == (202, {"status": "queued", "reason": "store_first"})
    assert rig.requests() == []
    assert rig.retry() == {"batchItemFailures": []}
    assert rig.calven()
    assert rig.waiting() == rig.dead_letters() == []


def test_queued_mode_ignores(rig: Rig) -> None:
    """In `ForwardMode=queued` too, what is to be ignored is, and what cannot be read is a dead letter."""
    relay = rig.built(FORWARD_MODE="queued")
    assert rig.post("kisi", "denied", relay=relay) == (200, IGNORED | {"reason": "denied"})
    assert rig.post("kisi", b"{}", relay=relay) == (202, {"status": "queued", "reason": "unparseable"})


@pytest.mark.parametrize(
    ("headers", "size", "status"),
    [({"content-encoding": "gzip"}, 10, 415), ({}, 256 * 1024 + 1, 413), ({}, 256 * 1024, 401)],
)
def test_unacceptable(rig: Rig, headers: dict[str, str], size: int, status: int) -> None:
    """Content encodings are 415 and bodies over 256 KiB 413, whoever sends them."""
    assert rig.post("kisi", b" " * size, headers=headers)[0] == status


def test_fault_of_ours(rig: Rig) -> None:
    """An error that nobody foresaw costs no event: it is queued as it came."""
    relay = rig.built()
    vars(relay)["turns"] = {}
    assert rig.post("kisi", "badge-in", relay=relay) == (
        202,
        {"status": "queued", "reason": "internal_error"},
    )
    assert rig.retry() == {"batchItemFailures": []}
    assert rig.counts() == {"sydney-l3": 1, "sydney": 1}


def test_most_impatient_vendor() -> None:
    """Until it is known who waits, the deadline is that of the vendor that waits least."""
    waits = {vendors.load(name).ack_seconds for name in vendors.NAMES}
    assert min(waits) == webhook.SHORTEST_ACK_SECONDS


@pytest.mark.parametrize("own", [None, "direct", "queued"])
@pytest.mark.parametrize("every", [None, "direct", "queued"])
def test_forward_mode(rig: Rig, tmp_path: Path, own: str | None, every: str | None) -> None:
    """A source's own mode counts, else that of all sources in `relay.yaml`, else the stack's."""
    for_source = f", forwardMode: {own}" if own else ""
    for_all = f"forwardMode: {every}\n" if every else ""
    rig.push(f"{for_all}sources: {{deel: {{vendor: deel{for_source}}}}}\nplaces: {{}}\n", tmp_path)
    rig.clock.advance(61)
    status = rig.post("deel", "approved")[1]["status"]
    assert status == ("queued" if (own or every) == "queued" else "forwarded")


def test_metrics_without_sources(rig: Rig, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where `metricsBySource` is false, figures go out under no dimension only."""
    rig.push("metricsBySource: false\nsources: {deel: {vendor: deel}}\nplaces: {}\n", tmp_path)
    rig.clock.advance(61)
    capsys.readouterr()
    rig.post("deel", "approved")
    said = capsys.readouterr().out
    assert '"EventsForwarded"' in said
    assert '"Source"' not in said
