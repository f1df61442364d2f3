"""What is kept of a request: all that it takes to send it again, and nothing that proves who sent it."""

import base64
import json
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from localrun import captures
from localrun.captures import Captures, captured
from localrun.settings import StartError
from relay import vendors
from relayctl import samples
from relayctl.captured import read
from tests.rig import NOON

AT = datetime(2026, 11, 26, 9, 15, tzinfo=UTC)
PATH = "/webhooks/hris/hibob"


def folder_of(path: Path, *, secret: bool = False) -> Captures:
    """Captures into a folder, of bodies that all are secrets, or none."""
    return Captures(path, lambda _source, _body: secret)


def keep(into: Captures, body: bytes = b"{}", **changes: Any) -> None:
    """Keep a request."""
    request = {"source": "hibob", "method": "POST", "path": PATH, "query": "", "headers": {}, "body": body}
    into.keep(**{**request, **changes})


@given(body=st.binary(max_size=200), topic=st.sampled_from([None, "approve"]))
def test_comes_back(tmp_path_factory: pytest.TempPathFactory, body: bytes, topic: str | None) -> None:
    """What was kept is read again as it came in, whatever the body."""
    file = tmp_path_factory.mktemp("captured") / "one.json"
    path = f"{PATH}/{topic}" if topic else PATH
    file.write_text(json.dumps(captured(AT, "POST", path, "", {}, body)))
    found = read(file)
    assert (found.body, found.source, found.topic) == (body, "hibob", topic)


@pytest.mark.parametrize("vendor", vendors.NAMES)
def test_no_proof(vendor: str) -> None:
    """Of no vendor is anything kept that its signature or token consists of."""
    record = vendors.load(vendor)
    for scheme in record.schemes:
        proof = scheme.sign(b"{}", "whsec_c2VjcmV0c2VjcmV0c2VjcmV0", NOON)
        query = "&".join(f"{name}={value}" for name, value in proof.query.items())
        made = captured(AT, "POST", PATH, query, {"Content-Type": "application/json", **proof.headers}, b"{}")
        assert made["headers"] == {"content-type": "application/json"}
        assert made["leftOut"] == sorted(
            [*(name.lower() for name in proof.headers), *(f"?{name}" for name in proof.query)]
        )
        text = json.dumps(made)
        assert not [value for value in (*proof.headers.values(), *proof.query.values()) if value in text]


def test_files(tmp_path: Path) -> None:
    """Each request is a file that only its owner reads, in a folder that only its owner enters."""
    folder = tmp_path / "new"
    into = folder_of(folder)
    keep(into)
    keep(into, b"\xff", source="../../etc/passwd")
    first, second = sorted(folder.iterdir())
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(first.stat().st_mode) == 0o600
    assert first.name.endswith("-hibob.json")
    assert second.name.endswith("-.._.._etc_passwd.json")
    assert base64.b64decode(json.loads(second.read_text())["base64"]) == b"\xff"


def test_bounded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """There are only so many files, and none is overwritten or deleted for another."""
    keep(Captures(tmp_path, lambda _source, _body: False, most=2))
    into = Captures(tmp_path, lambda _source, _body: False, most=2)
    keep(into)
    keep(into)
    assert len(list(tmp_path.iterdir())) == 2
    assert "not captured: there are 2 files" in capsys.readouterr().err


def test_not_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A secret that a vendor hands over is not kept, nor what the relay would not take."""
    keep(folder_of(tmp_path, secret=True), b'{"verification_token": "x"}')
    keep(folder_of(tmp_path), b"x" * (captures.MOST_BYTES + 1))
    assert not list(tmp_path.iterdir())
    assert capsys.readouterr().err.splitlines() == [
        "not captured: the vendor hands over a secret in it",
        "not captured: larger than any webhook that the relay takes",
    ]


def test_no_folder(tmp_path: Path) -> None:
    """What is no folder is an error at the start."""
    (tmp_path / "file").touch()
    with pytest.raises(StartError, match="CAPTURE="):
        folder_of(tmp_path / "file")


def test_folder_that_goes_away(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that cannot be written is said, and costs nobody an answer."""
    folder = tmp_path / "new"
    into = folder_of(folder)
    folder.rmdir()
    keep(into)
    assert capsys.readouterr().err == "not captured: No such file or directory\n"


@pytest.mark.parametrize("vendor", ["kisi", "deel"])
def test_bare_body(tmp_path: Path, vendor: str) -> None:
    """A body alone is a body, and no request."""
    file = tmp_path / "body.json"
    file.write_bytes(samples.body(vendor, None))
    found = read(file)
    assert (found.body, found.source) == (samples.body(vendor, None), None)


@pytest.mark.parametrize(
    "content",
    [
        {"method": "GET", "path": PATH, "body": ""},
        {"method": "POST", "path": "/elsewhere", "body": ""},
        {"method": "POST", "path": 7, "body": ""},
        {"method": "POST", "path": PATH, "body": None},
        {"method": "POST", "path": PATH, "base64": "?"},
        {"method": "POST", "path": PATH, "base64": 7},
    ],
)
def test_unreadable(tmp_path: Path, content: object) -> None:
    """A request that is none of the relay's is refused by a sentence."""
    file = tmp_path / "one.json"
    file.write_text(json.dumps(content))
    with pytest.raises(click.ClickException, match=r"one\.json"):
        read(file)


def test_no_file(tmp_path: Path) -> None:
    """So is a file that cannot be read, or is too large to be a webhook's."""
    with pytest.raises(click.ClickException, match="No such file"):
        read(tmp_path / "nothing")
    (tmp_path / "large").write_bytes(b"x" * (2 * 1024 * 1024 + 1))
    with pytest.raises(click.ClickException, match="larger than any webhook"):
        read(tmp_path / "large")
