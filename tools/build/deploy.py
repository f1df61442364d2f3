"""Deploys a stage with SAM, each time under a revision of its own.

SAM names a function's version after what its template says, and `!Ref ForwardMode` says the same whatever the
parameter's value is: without a revision, a deploy that changes parameters alone publishes no version, and the
alias keeps the old environment.
https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/sam-resource-function.html
"""

import argparse
import os
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


def commit() -> str:
    """The commit that is checked out, shortened; nothing outside a repository."""
    command = ["git", "rev-parse", "--short", "HEAD"]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def revision(now: float, commit: str) -> str:
    """A name for this deploy: Unix seconds, which are ten digits until 2286, and the commit.

    SAM takes the first ten characters for a version's logical id, so these must be the ones that change.
    """
    return f"{int(now)}-{commit}" if commit else str(int(now))


def overrides(configuration: str, stage: str) -> list[str]:
    """The stage's parameters, as `samconfig.toml` has them: SAM drops those once the command names any."""
    of_stage: dict[str, Any] = tomllib.loads(configuration).get(stage, {})
    written = of_stage.get("deploy", {}).get("parameters", {}).get("parameter_overrides", [])
    return [written] if isinstance(written, str) else [*written]


def main() -> int:
    """Deploy; further arguments are SAM's. The exit code is SAM's too."""
    parser = argparse.ArgumentParser(description="Deploy a stage under a revision of its own")
    parser.add_argument("sam", help="the program")
    parser.add_argument("stage", help="a part of samconfig.toml")
    parser.add_argument("--config-file", type=Path, default=ROOT / "samconfig.toml", help="where answers are")
    arguments, further = parser.parse_known_args()
    known = overrides(arguments.config_file.read_text("utf-8"), arguments.stage)
    # SAM lets the last value of a parameter win, and --guided has stored the revision of that day.
    built_for = os.environ.get("RUNTIME") or "3.13"
    parameters = [*known, f"PythonVersion={built_for}", f"Revision={revision(time.time(), commit())}"]
    where = ["--config-file", str(arguments.config_file), "--config-env", arguments.stage]
    command = [arguments.sam, "deploy", *where, "--parameter-overrides", *parameters, *further]
    return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
