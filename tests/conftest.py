"""Fixtures: dummy AWS credentials first, then a relay with everything around it played by stand-ins."""

import gc
import os
import ssl
from collections.abc import Callable, Iterator

os.environ |= {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "POWERTOOLS_METRICS_NAMESPACE": "CalvenRelay",
    # Local relays start without the console, but for those of its own tests.
    "CONSOLE_PORT": "off",
}

from functools import cache

import boto3
import pytest
from hypothesis import settings
from moto import mock_aws

from localrun import moto_speed, moto_transactions
from relay.observability import logger
from tests.rig import Rig
from tests.sandboxes import Sandboxes

# How long an example takes says more about what else the machine does than about the code.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the long tests, on all workers: else one of them would run alone at the end."""
    seconds = {item: marker.args[0] for item in items if (marker := item.get_closest_marker("long"))}
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    shares: list[list[pytest.Item]] = [[] for _ in range(workers)]
    for item in sorted(seconds, key=seconds.__getitem__, reverse=True):
        shortest = min(shares, key=lambda share: sum(seconds[each] for each in share))
        shortest.append(item)
    # Each worker is given an equal part of the list, and begins at its start.
    part = -(-len(items) // workers)
    items[:] = [item for item in items if item not in seconds]
    for worker, share in enumerate(shares):
        start = part * worker
        items[start:start] = share


@pytest.fixture
def printed(caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]) -> Callable[[], str]:
    """What the functions have printed since the last look: the log's lines, formatted, and figures."""

    def text() -> str:
        lines = [logger.registered_formatter.format(record) for record in caplog.records]
        caplog.clear()
        return "\n".join((*lines, capsys.readouterr().out))

    return text


@pytest.fixture(scope="session", autouse=True)
def read_once() -> Iterator[None]:
    """What is read from disk for every relay that is built, boto3's models and certificates, is read once."""
    # To look through all of botocore's models for garbage takes longer than most tests.
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 20)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(boto3.session, "Session", cache(boto3.session.Session))
        # Moto forgets the default session at each start, and the next one would read it all again.
        patch.setattr("boto3._get_default_session", boto3.session.Session)
        patch.setattr(ssl, "create_default_context", cache(ssl.create_default_context))
        moto_transactions.install()
        moto_speed.install()
        yield


@pytest.fixture(scope="session")
def sandboxes() -> Iterator[Sandboxes]:
    """One server, behind which each test gets a Calven sandbox of its own."""
    with Sandboxes() as served:
        yield served


@pytest.fixture
def rig(sandboxes: Sandboxes) -> Iterator[Rig]:
    """A relay with the demo's configuration and secrets, a sandbox, and a clock that the test moves."""
    with mock_aws(), Rig(sandboxes) as built:
        yield built
