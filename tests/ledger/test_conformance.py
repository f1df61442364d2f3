"""What holds for every vendor, without naming one: who is let in, and what becomes of what is.

A vendor is bound to the body by its signature, or it sends a token with whatever body; the scheme says which.
"""

import copy
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import pytest

from localrun.template import STACK
from relay import vendors
from relay.entrypoints.request import RawRequest, verify
from relay.errors import Unparseable
from relay.events import ASK_NOW, Event, MalformedEvent, ThinEvent
from relay.vendors.support.base import Vendor
from relay.vendors.support.proof import Credentials
from relayctl import samples
from tests.recorded import Api, asked, every, webhook
from tests.rig import NOON, Rig

KNOWN = [vendors.load(name) for name in vendors.NAMES]
ALL = [vendor for vendor in KNOWN if vendor.sends_webhooks]
SILENT = [vendor for vendor in KNOWN if not vendor.sends_webhooks]
SIGNING = [vendor for vendor in ALL if vendor.scheme.credentials == "signingSecrets"]
REFUSED = (401, {"error": "invalid signature"})
DEAD = {"unmapped_door", "unparseable", "open_ended", "unknown_leave"}
"""Why a sample may end as a dead letter: it shows just that."""

each_vendor = pytest.mark.parametrize("vendor", ALL, ids=lambda vendor: vendor.name)
each_of_two_proofs = pytest.mark.parametrize(
    "vendor", [vendor for vendor in ALL if vendor.second_scheme], ids=lambda vendor: vendor.name
)
each_signing = pytest.mark.parametrize("vendor", SIGNING, ids=lambda vendor: vendor.name)


def first(vendor: Vendor) -> bytes:
    """The body of the vendor's first sample."""
    return samples.body(vendor.name, None)


def topic(vendor: Vendor, name: str | None = None) -> dict[str, Any]:
    """Where a sample is posted to, for a vendor whose URLs say what happened."""
    found = samples.topic(vendor, name)
    return {"topic": found} if found else {}


def opens_unsigned(vendor: Vendor, body: bytes) -> bool:
    """Whether a body is one with which the vendor tries the URL before anything is signed."""
    return vendor.is_ping(body) or vendor.handshake(body) is not None


@each_vendor
def test_unsigned(rig: Rig, vendor: Vendor) -> None:
    """Without its proof nothing gets in: neither with no header nor with an empty one."""
    proof = rig.signature(vendor.name, first(vendor))
    assert rig.post(vendor.name, first(vendor), headers={}, **topic(vendor)) == REFUSED
    headers, query = dict.fromkeys(proof.headers, ""), dict.fromkeys(proof.query, "")
    assert rig.post(vendor.name, first(vendor), headers=headers, query=query, **topic(vendor)) == REFUSED
    assert rig.requests() == []


@pytest.mark.parametrize("vendor", SILENT, ids=lambda vendor: vendor.name)
def test_sends_no_webhooks(rig: Rig, vendor: Vendor) -> None:
    """Nothing proves a webhook of a vendor that sends none: not another's proof, nor a list in the secret."""
    name = f"{STACK}/{vendor.family}/{rig.source(vendor.name)}"
    assert rig.post(vendor.name, first(vendor), headers={}) == REFUSED
    for other in ALL:
        proof = rig.signature(other.name, first(vendor))
        assert rig.post(vendor.name, first(vendor), headers=proof.headers, query=proof.query) == REFUSED
    rig.aws.secrets.put_secret_value(
        SecretId=name, SecretString=json.dumps({"signingSecrets": ["s3cret"], "tokens": ["s3cret"]})
    )
    assert rig.post(vendor.name, first(vendor), headers={"authorization": "s3cret"}) == REFUSED
    rig.aws.secrets.delete_secret(SecretId=name, ForceDeleteWithoutRecovery=True)
    assert rig.post(vendor.name, first(vendor), headers={}, relay=rig.built()) == REFUSED
    assert rig.requests() == []
    with pytest.raises(ValueError, match="sends no webhooks"):
        samples.signed(vendor, first(vendor), {}, NOON)


@each_vendor
def test_wrong_secret(rig: Rig, vendor: Vendor) -> None:
    """A proof made with another secret is none."""
    wrong = rig.signature(vendor.name, first(vendor), secret="whsec_b3RoZXI=")
    answer = rig.post(vendor.name, first(vendor), headers=wrong.headers, query=wrong.query, **topic(vendor))
    assert answer == REFUSED


@pytest.mark.no_cover
@each_vendor
def test_another_vendors_proof(rig: Rig, vendor: Vendor) -> None:
    """No other vendor's proof gets in, each made with its own secret."""
    for other in ALL:
        if other is not vendor:
            proof = rig.signature(other.name, first(vendor))
            answer = rig.post(
                vendor.name, first(vendor), headers=proof.headers, query=proof.query, **topic(vendor)
            )
            assert answer == REFUSED, other.name


@each_signing
def test_stale(rig: Rig, vendor: Vendor) -> None:
    """A proof that holds a time is refused when it is hours old, or hours ahead."""
    body, secret = first(vendor), rig.secrets[rig.source(vendor.name)]["signingSecrets"][0]
    fresh = vendor.scheme.sign(body, secret, rig.clock())
    for hours in (-2, 2):
        stale = vendor.scheme.sign(body, secret, rig.clock() + hours * 3600)
        if stale.headers != fresh.headers:
            assert rig.post(vendor.name, body, headers=stale.headers, **topic(vendor)) == REFUSED


@each_of_two_proofs
@pytest.mark.parametrize("kept", ["signingSecrets", "tokens"])
def test_two_proofs(rig: Rig, vendor: Vendor, kept: Credentials) -> None:
    """A source whose secret has only one list takes the proof of that list alone, with its own values."""
    values = {"signingSecrets": "whsec_c2lnbmluZyBzZWNyZXQ=", "tokens": "whsec_YSB0b2tlbiBvZiBvdXJz"}
    name = f"{STACK}/{vendor.family}/{rig.source(vendor.name)}"
    rig.aws.secrets.put_secret_value(SecretId=name, SecretString=json.dumps({kept: [values[kept]]}))
    for scheme in vendor.schemes:
        for kind, value in values.items():
            proof = scheme.sign(first(vendor), value, rig.clock())
            status, _ = rig.post(vendor.name, first(vendor), headers=proof.headers, query=proof.query)
            assert status == (200 if kind == kept == scheme.credentials else 401)


@each_of_two_proofs
def test_no_list(rig: Rig, vendor: Vendor) -> None:
    """A secret without either list is the operator's to mend; an empty one proves nothing."""
    source, proof = rig.source(vendor.name), rig.signature(vendor.name, first(vendor))
    for secret, expected in (({}, 503), ({"tokens": []}, 401), ({"signingSecrets": [""]}, 401)):
        name = f"{STACK}/{vendor.family}/{source}"
        rig.aws.secrets.put_secret_value(SecretId=name, SecretString=json.dumps(secret))
        relay = rig.built()
        assert rig.post(vendor.name, first(vendor), headers=proof.headers, relay=relay)[0] == expected


@pytest.mark.no_cover
@each_signing
def test_every_byte_counts(vendor: Vendor) -> None:
    """A body of which any byte is another one is not the body that was signed; nor is one cut short."""
    body, secret = first(vendor), "whsec_c2VjcmV0"
    secrets: dict[Credentials, list[str]] = {"signingSecrets": [secret]}
    headers = vendor.scheme.sign(body, secret, NOON).headers
    changed = [body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :] for at in range(len(body))]
    for other in [*changed, body[: len(body) // 2], b""]:
        request = RawRequest("POST", "source", other, NOON, headers=headers)
        assert verify(request, vendor, secrets, NOON) is None
    assert verify(RawRequest("POST", "source", body, NOON, headers=headers), vendor, secrets, NOON)


@pytest.mark.no_cover
@each_vendor
def test_proven_nonsense(rig: Rig, vendor: Vendor) -> None:
    """A proven body that is no event is ignored or kept as a dead letter, never an error."""
    for body in (b"", b"{", b"[]", b"null", b"{}", b'"x"', b"\xff"):
        status, answer = rig.post(vendor.name, body, **topic(vendor))
        assert (status, answer["status"]) in {(200, "ignored"), (vendor.queued_status, "queued")}, body
    assert rig.requests() == []


@pytest.mark.parametrize(
    ("name", "event"), [(name, event) for name, event in every() if vendors.load(name).sends_webhooks]
)
def test_sample(rig: Rig, printed: Callable[[], str], name: str, event: str) -> None:
    """Each sample reaches Calven, or is ignored or kept by name; nothing personal is in the log."""
    vendor = vendors.load(name)
    body = samples.body(name, event)
    family = samples.family(vendor, body) if not opens_unsigned(vendor, body) else vendor.family
    status, answer = rig.post(name, body, family=family, **topic(vendor, event))
    if answer["status"] == "forwarded":
        assert status == 200
        assert rig.calven()
    elif answer["status"] == "ignored":
        assert status == 200
        assert answer["reason"]
    else:
        assert (status, answer["status"]) == (vendor.queued_status, "queued")
        assert {letter["reason"] for letter in rig.dead_letters()} == {answer["reason"]} <= DEAD
    log = printed()
    assert "Traceback" not in log
    assert not [text for text in personal(json.loads(body)) if text in log]
    assert not [text for text in credentials(rig, name) if text in log]


@each_vendor
def test_some_sample_is_forwarded(rig: Rig, vendor: Vendor) -> None:
    """The first sample, which `relayctl send` takes when none is named, is one that Calven is told about.

    Of a vendor whose webhooks only say that there is news, it has the vendor be asked.
    """
    _, answer = rig.post(vendor.name, first(vendor), **topic(vendor))
    if answer.get("reason") == ASK_NOW:
        url = rig.resources.reconcile_queue_url
        [message] = rig.aws.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)["Messages"]
        assert json.loads(message["Body"]) == {"source": rig.source(vendor.name)}
        assert vendor.lists
        return
    assert answer["status"] == "forwarded"
    assert answer["events"] > 0


@pytest.mark.no_cover
@pytest.mark.parametrize(("name", "event"), every())
def test_fields_left_out(name: str, event: str) -> None:
    """With any field left out a sample is still read, or refused by name."""
    vendor = vendors.load(name)
    for payload in shortened(json.loads(samples.body(name, event))):
        for found in read(vendor, event, payload):
            outcome(vendor, found, Api(name))


@pytest.mark.no_cover
@pytest.mark.parametrize("vendor", [vendor for vendor in ALL if vendor.fetch], ids=lambda vendor: vendor.name)
def test_answers_fields_left_out(vendor: Vendor) -> None:
    """So is what the vendor's API answers."""
    for name in samples.names(vendor.name):
        body = samples.body(vendor.name, name)
        for notice in read(vendor, name, json.loads(body)):
            for left_out in range(12):
                outcome(vendor, notice, Api(vendor.name, partial(without, left_out)))


def read(vendor: Vendor, name: str, payload: Any) -> Sequence[Event]:
    """What a payload becomes, nothing where it is refused."""
    with suppress(Unparseable):
        return vendor.read(webhook(vendor, name, samples.as_body(payload)))
    return ()


def outcome(vendor: Vendor, event: Event, api: Api) -> None:
    """What an event becomes when the API is asked, unless it is refused: nothing to be asked about again."""
    with suppress(Unparseable):
        if isinstance(event, ThinEvent):
            assert not any(
                isinstance(found, ThinEvent | MalformedEvent) for found in asked(vendor, event, api)
            )


def shortened(payload: Any) -> Iterator[Any]:
    """The payload without each of its fields in turn."""
    for path in list(paths(payload)):
        shorter = copy.deepcopy(payload)
        node = shorter
        for key in path[:-1]:
            node = node[key]
        del node[path[-1]]
        yield shorter


def without(number: int, answer: Any) -> Any:
    """An answer without its field of that number, whole where it has fewer."""
    return next((found for at, found in enumerate(shortened(answer)) if at == number), answer)


def paths(value: Any, *before: Any) -> Iterator[tuple[Any, ...]]:
    """The way to each field."""
    entries = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    for key, inner in entries:
        yield (*before, key)
        yield from paths(inner, *before, key)


def personal(value: Any) -> Iterator[str]:
    """The names and addresses in a payload."""
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from personal(inner)
    elif isinstance(value, str) and ("@" in value or " Example" in value):
        yield value


def credentials(rig: Rig, vendor: str) -> Iterator[str]:
    """Every value of the source's secret that is one."""
    for key, found in rig.secrets[rig.source(vendor)].items():
        values = found if isinstance(found, list) else [v for k, v in found.items() if k != "baseUrl"]
        yield from (value for value in values if len(value) > 8 and key)
