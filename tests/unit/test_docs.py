"""The documentation says what the code does."""

import subprocess
import sys
from pathlib import Path

import pytest

from relay import vendors

ROOT = Path(__file__).parents[2]


def test_made_from_the_code() -> None:
    """The table of vendors and the generic format's schema are what `make docs` writes."""
    command = [sys.executable, str(ROOT / "tools" / "build" / "docs.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", [name for name in vendors.NAMES if name != "generic"])
def test_page(name: str) -> None:
    """Each vendor's page has what it takes to set the vendor up, and says what is not sure."""
    vendor, page = vendors.load(name), (ROOT / "docs" / "reference" / "vendors" / f"{name}.md").read_text("utf-8")
    headings = [line for line in page.splitlines() if line.startswith("## ")]
    wanted = ["Set up", "Secret", "What becomes of each event", "Limits", "Not confirmed on live traffic"]
    assert [heading for heading in headings if heading != "## Configuration"] == [f"## {w}" for w in wanted]
    assert vendor.title in page.splitlines()[0]
    assert vendor.scheme.credentials in page
    assert (vendor.api is not None) == ('"api": {' in page)
    assert all(
        f"`{ignored}`" in page for ignored in {"`other_event`"[1:-1]} if "other event" in vendor.ignores
    )
