"""What a function loads when it starts is a budget: a module more is time on every cold start, and billed.

`imports.json` beside this file lists, for each function, its modules, and of the libraries and the standard
library the packages, whose parts differ from release to release. A change that is worth its time is written
there by `.venv/bin/python tests/system/test_imports.py`.
"""

import json
import os
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from relay import vendors

ROOT = Path(__file__).parents[2]
BUDGET = Path(__file__).with_name("imports.json")
FUNCTIONS = sorted(path.parent.name for path in (ROOT / "functions").glob("*/app.py"))
ENVIRONMENT = {
    "STACK_NAME": "stack",
    "TABLE_NAME": "table",
    "UNPROCESSED_QUEUE_URL": "https://sqs.test/unprocessed",
    "DEAD_LETTER_QUEUE_URL": "https://sqs.test/dead",
    "CALVEN_BASE_URL": "https://api.calven.com",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_LAMBDA_RUNTIME_API": "as Lambda says",
}
NEVER = (
    "relay.config.file",
    "relay.config.versions",
    "relayctl",
    "localrun",
    "moto",
    "aws_xray_sdk",
    "email_validator",
)
"""What operators' tools and tests use, and no request."""


def loaded(function: str) -> dict[str, list[str]]:
    """What importing a function's handler loads, in a process of its own, as Lambda does it."""
    program = (
        "import json, sys; before = set(sys.modules); sys.modules |= dict.fromkeys(sys.argv[1:]); "
        f"import functions.{function}.app; "
        "new = [name for name, module in sys.modules.items() if module and name not in before]; "
        "print(json.dumps(new))"
    )
    environment = {"PATH": os.environ["PATH"], **ENVIRONMENT}
    command = [sys.executable, "-c", program, *not_deployed()]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=True)
    standard = sys.stdlib_module_names
    names = [name for name in json.loads(done.stdout) if name.partition(".")[0] not in _ALWAYS]
    return {
        "ours": [name for name in names if name.partition(".")[0] in ("relay", "functions")],
        "libraries": sorted({name.partition(".")[0] for name in names} - {*standard, "relay", "functions"}),
        "standard": sorted({name.partition(".")[0] for name in names} & standard),
    }


_ALWAYS = ("__editable___calven_relay_0_1_0_finder",)


def not_deployed() -> list[str]:
    """What is installed here and not deployed: httpx, for one, loads more where it finds more."""
    lock = (ROOT / "requirements.lock").read_text("utf-8")
    deployed = {re.sub(r"[-_.]+", "-", name) for name in re.findall(r"^([\w.-]+)==", lock, re.MULTILINE)}
    deployed.add("calven-relay")
    return [
        top
        for top, names in metadata.packages_distributions().items()
        if not {re.sub(r"[-_.]+", "-", name.lower()) for name in names} & deployed
    ]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_budget(function: str) -> None:
    """A handler loads no module that it did not before, and the list names none that it no longer loads."""
    budget: dict[str, Any] = json.loads(BUDGET.read_text("utf-8"))[function]
    found = loaded(function)
    for kind in ("ours", "libraries"):
        new, gone = set(found[kind]) - set(budget[kind]), set(budget[kind]) - set(found[kind])
        assert not new, f"{function} loads more of {kind}: {sorted(new)}; is it worth the time?"
        assert not gone, f"{function} no longer loads {sorted(gone)}: write the budget anew"
    new = set(found["standard"]) - set(budget["standard"])
    assert not new, f"{function} loads more of Python's own: {sorted(new)}; is it worth the time?"


@pytest.mark.parametrize("function", FUNCTIONS)
def test_nothing_that_no_request_uses(function: str) -> None:
    """No tool's module, and no vendor's: of these, each is loaded with the first request of a source."""
    names = set(loaded(function)["ours"]) | set(loaded(function)["libraries"])
    assert not {name for name in names if name.startswith(NEVER)}
    assert not names & {f"relay.vendors.{vendor}" for vendor in vendors.NAMES}


def main() -> None:
    """Write the budget anew; of the standard library, what another release of Python loads stays in it."""
    found = {function: loaded(function) for function in FUNCTIONS}
    known: dict[str, dict[str, list[str]]] = json.loads(BUDGET.read_text("utf-8"))
    for function, kinds in found.items():
        kinds["standard"] = sorted({*kinds["standard"], *known.get(function, {}).get("standard", ())})
    BUDGET.write_text(json.dumps(found, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
