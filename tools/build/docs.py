"""`make docs`: writes what is made from the vendors' modules and pages, and what the stack costs.

That is, in docs/reference, the table of vendors and the generic format's JSON Schema; the tables of
docs/explanations/cost.md; and the demo of `make run`.

`--check` only says whether they are as they should be (exit code 1 where not).
"""

import json
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from localrun import demo_files
from localrun.settings import DEMO
from relay.vendors.generic import BODY
from relayctl import vendors

ROOT = Path(__file__).parents[2]
# This folder is not installed, other than its neighbours.
sys.path.insert(0, str(ROOT / "tools"))
from build import cost  # noqa: E402

REFERENCE = ROOT / "docs" / "reference"
VENDORS, SCHEMA = REFERENCE / "vendors" / "README.md", REFERENCE / "schema" / "generic.json"
COST = ROOT / "docs" / "explanations" / "cost.md"


def schema() -> dict[str, Any]:
    """The JSON Schema of a body in the generic format."""
    made = BODY.json_schema(by_alias=True)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "An event for the relay, or a list of up to 100",
        **made,
    }


def with_table(text: str, name: str, rows: Iterable[str]) -> str:
    """A page with a table between the comments of that name."""
    between = re.compile(rf"(<!-- {name} -->\n).*(<!-- /{name} -->)", re.DOTALL)
    table = "\n".join(rows)
    return between.sub(lambda found: f"{found[1]}{table}\n{found[2]}", text)


def cost_page() -> str:
    """The page of what the stack costs, with its tables as they are now."""
    text = COST.read_text("utf-8")
    for name, rows in cost.tables().items():
        text = with_table(text, name, rows)
    return text


def made() -> Iterator[tuple[Path, str]]:
    """Each file with what it should hold."""
    yield VENDORS, with_table(VENDORS.read_text("utf-8"), "vendors", vendors.table())
    yield COST, cost_page()
    yield SCHEMA, json.dumps(schema(), indent=2) + "\n"
    yield DEMO / "relay.yaml", demo_files.config()
    yield DEMO / "secrets.json", demo_files.secrets()


def main() -> int:
    """Write what differs, or with `--check` only name it."""
    stale = [(path, text) for path, text in made() if not path.exists() or path.read_text("utf-8") != text]
    for path, text in stale:
        if "--check" in sys.argv:
            print(f"{path.relative_to(ROOT)} is not what the code says: run `make docs`", file=sys.stderr)
        else:
            path.write_text(text, "utf-8")
            print(f"wrote {path.relative_to(ROOT)}")
    return int(bool(stale) and "--check" in sys.argv)


if __name__ == "__main__":
    sys.exit(main())
