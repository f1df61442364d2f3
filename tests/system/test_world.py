"""The world of the local run: the vendors that it plays, and how its process ends."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from localrun import vendor_api
from localrun.serve import Served
from localrun.world import World, WorldError
from tests.processes import gone


@pytest.fixture
def vendors(tmp_path: Path) -> Iterator[httpx.Client]:
    """A client of the vendors' APIs with one recorded answer, and the credentials to ask for it."""
    folder = tmp_path / "hibob" / "api"
    folder.mkdir(parents=True)
    shutil.copy(vendor_api.EVENTS / "hibob" / "api" / "calls.yaml", folder)
    (folder / "request-32832853.json").write_text('{"status": "approved"}')
    (folder / "person-3373576791477190995.json").write_text('{"email": "bob@example.com"}')
    with (
        Served(vendor_api.create(tmp_path)) as url,
        httpx.Client(base_url=url, auth=("id", "token")) as client,
    ):
        yield client


def test_vendor_api_plays_what_was_recorded(vendors: httpx.Client) -> None:
    """A recorded answer is given as it is, and what was not recorded is 404."""
    path = "/v1/timeoff/employees/3373576791477190995/requests/{}"
    assert vendors.get(path.format(32832853)).json() == {"status": "approved"}
    assert vendors.get(path.format(1)).status_code == 404
    assert vendors.get("/v1/people/3373576791477190995").json() == {"email": "bob@example.com"}
    assert vendors.get("/v1/people/..%2F..%2Fsecret").status_code == 404


def test_vendor_api_wants_credentials(vendors: httpx.Client) -> None:
    """Without Basic credentials there is no answer."""
    for headers in ({"authorization": "Bearer x"}, {"authorization": "Basic"}):
        request = vendors.build_request("GET", "/v1/people/3373576791477190995", headers=headers)
        assert vendors.send(request, auth=None).status_code == 401


def test_world_plays_all_three() -> None:
    """The sandbox takes the secret that it was given, and vendors' and AWS's APIs answer."""
    world = World({"apiKey": "key", "apiSecret": "secret"}, ["known"])
    urls = world.start()
    claim = {"client_id": "key", "client_secret": "secret"}
    assert httpx.post(f"{urls.sandbox}/v1/auth/token", json=claim).status_code == 200
    assert httpx.get(f"{urls.vendor_api}/v1/people/1").status_code == 401
    assert httpx.get(f"{urls.aws}/moto-api/data.json").status_code == 200
    world.stop()


def test_world_without_sandbox_ends_with_its_input() -> None:
    """Without credentials there is no sandbox; signals to the group do not end the process, stopping does."""
    world = World(None)
    assert world.start().sandbox is None
    pid = world.pid
    assert pid is not None
    os.kill(pid, signal.SIGINT)
    os.kill(pid, signal.SIGTERM)
    time.sleep(0.2)
    assert world.alive
    world.stop()
    world.stop()
    assert not world.alive
    assert gone(pid)


def test_world_ends_with_its_parent() -> None:
    """A parent that is killed outright leaves no child behind."""
    code = """
import time
from localrun.world import World
world = World(None)
world.start()
print(world.pid, flush=True)
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.kill()
    assert gone(pid)


def test_world_that_does_not_start(capfd: pytest.CaptureFixture[str]) -> None:
    """A child that dies before it is ready is an error that says so."""
    with pytest.raises(WorldError, match="did not start"):
        World({"wrong": "secret"}).start()
    assert "KeyError" in capfd.readouterr().err
