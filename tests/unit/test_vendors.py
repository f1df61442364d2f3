"""Which vendors there are follows from the package's folder alone."""

import json
import os
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

from relay import vendors
from relay.errors import Unparseable
from relay.events import ThinEvent
from tests.recorded import Api

SHARED = Path(__file__).parents[2] / "shared"
PROGRAM = """
import json, sys
from relay import vendors
from relay.errors import Unparseable
from relay.events import ThinEvent
from tests.recorded import Api
loaded = [name for name in sys.modules if name.startswith("relay.vendors.")]
print(json.dumps([vendors.__file__, vendors.NAMES, loaded, vendors.load("kisi").title]))
"""


def test_each_module_is_a_vendor() -> None:
    """A module of the package is a vendor of that name; a package in it, such as `support`, is none."""
    modules = [path.stem for path in (SHARED / "relay" / "vendors").glob("*.py") if path.stem != "__init__"]
    assert list(vendors.NAMES) == sorted(modules)
    for name in vendors.NAMES:
        assert vendors.load(name).name == name, f"shared/relay/vendors/{name}.py: its record has another name"


@pytest.mark.parametrize("name", ["nobody", "support", "support.base", "__init__", "", "../kisi"])
def test_no_vendor(name: str) -> None:
    """Nothing else is loaded, whatever a configuration says."""
    with pytest.raises(vendors.UnknownVendor):
        vendors.load(name)


def test_archive(tmp_path: Path) -> None:
    """The vendors are found in an archive too, and none is loaded before it is needed."""
    archive = tmp_path / "package.zip"
    with ZipFile(archive, "w") as file:
        for path in SHARED.rglob("*.py"):
            file.write(path, path.relative_to(SHARED))
    environment = {**os.environ, "PYTHONPATH": str(archive)}
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60)
    place, names, loaded, title = json.loads(done.stdout)
    assert place.startswith(str(archive))
    assert names == list(vendors.NAMES)
    assert all(name.startswith("relay.vendors.support") for name in loaded)
    assert title == "Kisi"


def test_nothing_to_ask() -> None:
    """A vendor without an API cannot be asked."""
    thin = ThinEvent(event_id="1", subject="1")
    with pytest.raises(Unparseable, match="no API"):
        vendors.load("kisi").ask(thin, Api("kisi"))
