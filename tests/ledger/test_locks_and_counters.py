"""PDK, Seam, Nuki and Milesight as their pages describe them, signed by hand and posted to the relay."""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any

import pytest

from tests.rig import Rig, sample

PDK_SECRET = b"demo-pdk-secret-not-a-real-one"
NUKI_SECRET = b"demo-nuki-secret-not-a-real-one"


def body_of(vendor: str, name: str, **changes: Any) -> bytes:
    """A sample, changed, as bytes."""
    return json.dumps(sample(vendor, name, **changes)).encode()


def pdk_headers(body: bytes) -> Mapping[str, str]:
    """What PDK adds."""
    return {"x-pdk-signature": hmac.new(PDK_SECRET, body, hashlib.sha1).hexdigest()}


def test_pdk(rig: Rig) -> None:
    """A body is one event however often it comes; the same passage a second later is another one."""
    body = body_of("pdk", "allowed")
    assert rig.post("pdk", body, headers=pdk_headers(body)) == (200, {"status": "forwarded", "events": 2})
    assert rig.post("pdk", body, headers=pdk_headers(body))[1]["status"] == "ignored"
    assert rig.counts() == {"sydney-l3": 1, "sydney": 1}
    later = body_of("pdk", "allowed", metadata__occurred=1793659776000)
    assert rig.post("pdk", later, headers=pdk_headers(later))[1]["reason"] == "unchanged"
    sha256 = {"x-pdk-signature": hmac.new(PDK_SECRET, body, hashlib.sha256).hexdigest()}
    assert rig.post("pdk", body, headers=sha256)[0] == 401


def test_pdk_names(rig: Rig) -> None:
    """Without ids the names stand in, and nobody's name leaves the relay."""
    body = body_of("pdk", "allowed-by-name")
    assert rig.post("pdk", body, headers=pdk_headers(body))[1]["status"] == "forwarded"
    assert rig.counts() == {"sydney-l3": 1, "sydney": 1}
    assert "Robin" not in json.dumps(rig.requests())
    kept = rig.aws.dynamodb.scan(TableName=rig.resources.table)["Items"]
    assert kept
    assert "Robin" not in str(kept)
    nobody = body_of("pdk", "allowed-without-holder")
    assert rig.post("pdk", nobody, headers=pdk_headers(nobody))[1]["reason"] == "anonymous"


def test_seam(rig: Rig) -> None:
    """Svix signs the id, the time and the body, with three headers."""
    body, now = body_of("seam", "by-phone"), str(int(rig.clock()))
    key = b"demo-seam-secret-not-a-real-one"
    message = b".".join((b"msg_1", now.encode(), body))
    signature = base64.b64encode(hmac.new(key, message, hashlib.sha256).digest()).decode()
    headers = {"svix-id": "msg_1", "svix-timestamp": now, "svix-signature": f"v1,{signature}"}
    assert rig.post("seam", body, headers=headers) == (200, {"status": "forwarded", "events": 2})
    others = {name.replace("svix-", "webhook-"): value for name, value in headers.items()}
    assert rig.post("seam", body, headers=others)[0] == 401
    assert rig.post("seam", "by-hand")[1] == {"status": "ignored", "reason": "anonymous"}


def test_nuki(rig: Rig) -> None:
    """Nuki signs the body; who opens at the keypad counts, who opens from the web does not."""
    for name, said in (
        ("at-keypad", {"status": "forwarded", "events": 2}),
        ("from-web", {"status": "ignored", "reason": "remote"}),
    ):
        body = body_of("nuki", name)
        digest = hmac.new(NUKI_SECRET, body, hashlib.sha256).hexdigest()
        assert rig.post("nuki", body, headers={"x-nuki-signature-sha256": digest}) == (200, said)


@pytest.mark.parametrize(("setting", "status"), [("", "ignored"), (", remoteUnlocks: count", "forwarded")])
@pytest.mark.parametrize(
    ("vendor", "name", "door"),
    [
        ("nuki", "from-app", "123456789"),
        ("seam", "from-elsewhere", "00000000-0000-4000-8000-0000000000d1"),
        ("verkada", "remote-unlock", "0e0cbec9-599b-48ee-b9ad-ee7504e75056"),
    ],
)
def test_remote_unlock(
    rig: Rig, tmp_path: Any, vendor: str, name: str, door: str, setting: str, status: str
) -> None:
    """A remote unlock counts only where the source says so."""
    yaml = (
        f"sources: {{{vendor}: {{vendor: {vendor}{setting}}}}}\n"
        "places: {site: {locationId: LOC, locationType: location}}\n"
        f"doors: {{{vendor}: {{'{door}': {{place: site}}}}}}\n"
    )
    rig.push(yaml, tmp_path)
    _, answer = rig.post(vendor, name)
    assert answer["status"] == status
    assert answer.get("reason") in (None, "remote")


def test_milesight(rig: Rig) -> None:
    """A counter's number is its place's, or what it counted in less what it counted out."""
    pair = base64.b64encode(b"demo:demo-milesight-token-not-a-real-one").decode()
    headers = {"authorization": f"Basic {pair}"}
    for name, place, people in (("count-of-regions", "canteen", 10), ("in-and-out", "lounge", 23)):
        body = body_of("milesight", name)
        assert rig.post("milesight", body, headers=headers) == (200, {"status": "forwarded", "events": 1})
        assert rig.counts()[place] == people
        assert rig.post("milesight", body, headers={"authorization": f"Bearer {pair}"})[0] == 401
