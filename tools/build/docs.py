"""`make docs`: writes what is made from the vendors' modules and pages.

That is, in docs/reference, the table of vendors and the generic format's JSON Schema; and the demo of
`make run`.

`--check` only says whether they are as they should be (exit code 1 where not).
"""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from localrun import demo_files
from localrun.settings import DEMO
from relay.vendors.generic import BODY
from relayctl import vendors

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs" / "reference"
VENDORS, SCHEMA = REFERENCE / "vendors" / "README.md", REFERENCE / "schema" / "generic.json"
BETWEEN = re.compile(r"(<!-- vendors -->\n).*(<!-- /vendors -->)", re.DOTALL)


def schema() -> dict[str, Any]:
    """The JSON Schema of a body in the generic format."""
    made = BODY.json_schema(by_alias=True)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "An event for the relay, or a list of up to 100",
        **made,
    }


def made() -> Iterator[tuple[Path, str]]:
    """Each file with what it should hold."""
    rows = "\n".join(vendors.table())
    yield VENDORS, BETWEEN.sub(lambda found: f"{found[1]}{rows}\n{found[2]}", VENDORS.read_text("utf-8"))
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
