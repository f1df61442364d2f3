"""The client of Calven, before a stand-in, the sandbox or a wire."""

import json
from collections.abc import Callable, Iterator

import httpx
import pytest
from moto import mock_aws

from localrun.sandbox import Sandbox
from relay.aws.secrets import Secrets
from relay.calven import Calven
from tests.rig import Clock
from tests.sandboxes import Sandboxes
from tests.servers import aws_client, http_of
from tests.unit.calven.stand_ins import CREDENTIALS, LIFETIME, FakeCalven


@pytest.fixture
def clock() -> Clock:
    """The time that the client and Calven go by."""
    return Clock()


@pytest.fixture
def put() -> Iterator[Callable[..., None]]:
    """Store the `calven` secret, anew or over the last one."""
    with mock_aws():
        aws_client("secretsmanager").create_secret(Name="stack/calven")

        def put(**secret: str) -> None:
            text = json.dumps(CREDENTIALS | secret)
            aws_client("secretsmanager").put_secret_value(SecretId="stack/calven", SecretString=text)

        yield put


@pytest.fixture
def secrets(put: Callable[..., None], clock: Clock) -> Secrets:
    """The stack's secrets, of which `calven` is one."""
    put()
    return Secrets(aws_client("secretsmanager"), "stack", clock)


@pytest.fixture
def fake(clock: Clock) -> FakeCalven:
    """Calven, which a test tells what to answer."""
    return FakeCalven(clock)


@pytest.fixture
def calven(fake: FakeCalven, secrets: Secrets, clock: Clock) -> Iterator[Calven]:
    """The client, without a wire."""
    with http_of(fake) as http:
        yield Calven("https://calven.test/", secrets, http, clock)


@pytest.fixture
def sandbox(sandboxes: Sandboxes, clock: Clock) -> Iterator[httpx.Client]:
    """The strict sandbox on a wire, and what it has seen."""
    sandboxes.current = Sandbox(CREDENTIALS, token_lifetime=LIFETIME, now=clock)
    with httpx.Client(base_url=sandboxes.url, trust_env=False) as http:
        yield http
        http.delete("/_sandbox/fail")


@pytest.fixture
def wired(sandbox: httpx.Client, secrets: Secrets, clock: Clock) -> Iterator[Calven]:
    """The client on a wire to the sandbox."""
    with http_of() as http:
        yield Calven(str(sandbox.base_url), secrets, http, clock)
