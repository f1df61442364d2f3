"""What several files of these tests ask for."""

from pathlib import Path
from textwrap import dedent

import pytest

from relay.config.file import RelayYaml
from relayctl.relay_yaml import load
from tests.config_files import Loads


@pytest.fixture
def loads(tmp_path: Path) -> Loads:
    """Load a text as `relay.yaml`."""

    def loads(text: str | bytes) -> RelayYaml:
        path = tmp_path / "relay.yaml"
        path.write_bytes(text if isinstance(text, bytes) else dedent(text).encode())
        return load(path)

    return loads
