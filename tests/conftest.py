"""Fixtures: dummy AWS credentials first, then a relay with everything around it played by stand-ins."""

import os
from collections.abc import Iterator

os.environ |= {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "POWERTOOLS_METRICS_NAMESPACE": "CalvenRelay",
}

import pytest
from moto import mock_aws

from tests.rig import Rig, Sandboxes


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
