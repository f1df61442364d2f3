"""Sources that nobody configured: each is a 404, and asks AWS for next to nothing."""

import hashlib
from pathlib import Path
from typing import Any

import pytest

from localrun.settings import DEMO
from relay.aws.clients import Clients
from relay.container import Container
from tests.rig import Rig, content


@pytest.mark.parametrize(
    ("vendor", "source", "family"),
    [
        ("kisi", "nobody", None),
        ("kisi", "", None),
        ("kisi", None, "hris"),
        ("deel", None, "access-control"),
    ],
)
def test_unknown_source(rig: Rig, vendor: str, source: str | None, family: str | None) -> None:
    """A source that is not configured is 404, and so is one of the other family's route."""
    status, body = rig.post(
        vendor, content(vendor, "badge-in" if vendor == "kisi" else "approved"), source=source, family=family
    )
    assert (status, body) == (404, {"error": "unknown source"})


def test_source_that_was_just_pushed(rig: Rig, tmp_path: Path) -> None:
    """A source is known a second after it is pushed; what stays unknown is looked for once a minute."""
    yaml = (DEMO / "relay.yaml").read_text("utf-8")

    def answer(source: str) -> int:
        rig.clock.advance(2)
        return rig.post("kisi", "badge-in", source=source, headers={})[0]

    assert answer("perth") == 404
    rig.push(yaml.replace("kisi-sydney", "perth"), tmp_path)
    # It has no secret yet.
    assert answer("perth") == 503
    assert answer("darwin") == 404
    rig.push(yaml.replace("kisi-sydney", "darwin"), tmp_path)
    assert answer("darwin") == 404
    rig.clock.advance(60)
    assert answer("darwin") == 503


def counted(rig: Rig, **settings: str) -> tuple[Container, list[str]]:
    """A relay, and the names of the AWS calls that it makes from now on."""
    made: list[str] = []

    class Counted(Clients):
        def client(self, service: Any) -> Any:
            found = super().client(service)
            found.meta.events.register("provide-client-params", lambda model, **_: made.append(model.name))
            return found

    return rig.built(Counted(), **settings), made


def test_a_flood_of_unknown_sources_asks_nobody(rig: Rig) -> None:
    """Names that nobody configured cost no call to AWS but the one read a minute of the configuration."""
    relay, made = counted(rig)
    for number in range(100):
        assert rig.post("kisi", "badge-in", source=f"unknown-{number}", relay=relay)[0] == 404
    assert made == ["BatchGetItem"] * 2  # the pointer, and the version that it names
    rig.clock.advance(61)
    for number in range(100):
        assert rig.post("kisi", "badge-in", source=f"unknown-{number}", relay=relay)[0] == 404
    assert made == ["BatchGetItem"] * 3


def test_strangers_beside_the_front_door_ask_nobody(rig: Rig) -> None:
    """Where a CDN stands in front, a request without its header costs no call at all."""
    known = hashlib.sha256(b"value").hexdigest()
    relay, made = counted(rig, FRONT_DOOR_SHA256=known)
    assert rig.post("kisi", "badge-in", relay=relay) == (403, {"error": "not by this way"})
    assert made == []
    signed = rig.signature("kisi", content("kisi", "badge-in")).headers
    headers = {**signed, "X-Front-Door": "value"}
    assert rig.post("kisi", "badge-in", headers=headers, relay=relay)[0] == 200
