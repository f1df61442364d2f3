"""`python -m e2e`: what is deployed, checked from the front door to Calven. Exit code 1 at the first failure.

Without settings an emulator of AWS and Calven's sandbox are started, and ended again. `E2E_STACK` names a
stack that is deployed already, in the account and region of the environment: its own Calven gets the events,
and what needs the sandbox is skipped. Only files that `RELAY_CONFIG` and `RELAY_SECRETS` name are put there.
"""

import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import click
import httpx
from botocore.exceptions import BotoCoreError, ClientError
from ruamel.yaml import YAML

from e2e.checks import Failed, Skipped
from e2e.deploy import STACK, Deployment, make_token_secrets
from e2e.emulator import ROOT, Emulator
from e2e.relay import Calven, Relay
from e2e.steps import STEPS
from localrun import vendor_api
from localrun.sandbox import Sandbox
from localrun.seed import with_vendor_api
from localrun.serve import Served
from localrun.settings import DEMO, StartError, read_secrets
from relayctl import relay_yaml
from relayctl.relay_yaml import InvalidConfig

LOGS = ROOT / "build" / "e2e"
T = TypeVar("T")
_FAILURES = (
    Failed,
    BotoCoreError,
    ClientError,
    StartError,
    InvalidConfig,
    click.ClickException,
    httpx.HTTPError,
    LookupError,
    OSError,
    ValueError,
)


class Report:
    """One line a step."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._name = "settings"
        self.done = 0
        self.skipped: list[str] = []

    def step(self, name: str, run: Callable[[], T], tell: Callable[[T], str]) -> T | None:
        """Run a step and print its line; None where it was skipped."""
        self._name, began = name, time.monotonic()
        try:
            found = run()
        except Skipped as reason:
            self.skipped.append(name)
            self._line("skip", name, str(reason))
            return None
        self.done += 1
        self._line("ok", name, f"{tell(found)} ({time.monotonic() - began:.1f} s)")
        return found

    def fail(self, error: BaseException) -> None:
        """Print what the step under way failed with."""
        what = str(error) if isinstance(error, Failed) else f"{type(error).__name__}: {error}"
        self._line("FAIL", self._name, what)

    def summary(self) -> str:
        """The last line."""
        skipped = f", {len(self.skipped)} skipped ({', '.join(self.skipped)})" if self.skipped else ""
        return f"e2e: {self.done} steps passed{skipped} in {time.monotonic() - self._began:.0f} s"

    def _line(self, outcome: str, name: str, what: str) -> None:
        print(f"{outcome:<4} {name:<13} {what}", flush=True)


def main() -> int:
    """Check the relay; the exit code."""
    signal.signal(signal.SIGTERM, _interrupt)
    report = Report()
    try:
        with ExitStack() as cleanup:
            folder = Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="relay-e2e-")))
            stack = os.environ.get("E2E_STACK")
            relay = _deployed(report, stack, folder) if stack else _emulated(report, folder, cleanup)
            for step in STEPS:
                report.step(step.name, partial(step.run, relay), str)
    except _FAILURES as error:
        report.fail(error)
        logs = "" if os.environ.get("E2E_STACK") else f"; logs are in {LOGS}"
        print(f"e2e: failed after {report.done} steps{logs}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("e2e: interrupted", file=sys.stderr)
        return 130
    print(report.summary())
    return 0


def _interrupt(_number: int, _frame: Any) -> None:
    raise KeyboardInterrupt


def _deployed(report: Report, stack: str, folder: Path) -> Relay:
    """A stack in the environment's account."""
    config, secrets = os.environ.get("RELAY_CONFIG"), os.environ.get("RELAY_SECRETS")
    relay = Relay(
        stack=stack,
        folder=folder,
        config=Path(config) if config else None,
        secrets=read_secrets(Path(secrets)) if secrets else None,
    )
    report.step("stack", lambda: relay.target, lambda target: target.api_url)
    return relay


def _emulated(report: Report, folder: Path, cleanup: ExitStack) -> Relay:
    """The template on the emulator, with the demo's configuration and Calven's sandbox."""
    LOGS.mkdir(parents=True, exist_ok=True)
    config, secrets = _demo_config(folder), json.loads((DEMO / "secrets.json").read_bytes())
    places = relay_yaml.load(config).places.values()
    sandbox = Sandbox(secrets["calven"], locations=[place.location_id for place in places])
    calven_url = cleanup.enter_context(Served(sandbox))
    vendors_url = cleanup.enter_context(Served(vendor_api.create()))
    emulator = Emulator(folder, LOGS / "emulator.log")
    report.step("emulator", lambda: cleanup.enter_context(emulator), lambda started: started.url)
    _only_here(emulator)
    log = LOGS / "sam-deploy.log"
    log.unlink(missing_ok=True)
    deployment = Deployment(calven_url, emulator.url, folder, log)
    report.step("deploy", deployment.deploy, lambda _: STACK)
    report.step("routes", deployment.complete, str)
    make_token_secrets(STACK, secrets)
    return Relay(
        stack=STACK,
        folder=folder,
        calven=Calven(calven_url),
        config=config,
        secrets=with_vendor_api(secrets, vendors_url),
        vendor_api=vendors_url,
        deployment=deployment,
    )


def _demo_config(folder: Path) -> Path:
    """The demo's configuration, in which no site's day ends within hours, whenever this runs."""
    path, yaml = folder / "relay.yaml", YAML()
    document = yaml.load(DEMO / "relay.yaml")
    for place in document["places"].values():
        if "timezone" in place:
            here = datetime.now(ZoneInfo(place["timezone"]))
            place["resetAt"] = f"{(here.hour + 12) % 24:02}:00"
    yaml.dump(document, path)
    return path


def _only_here(emulator: Emulator) -> None:
    """Point this process and the commands that it starts at the emulator, whatever the user's settings."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    for name in ("NO_PROXY", "no_proxy"):
        os.environ[name] = ",".join(filter(None, (os.environ.get(name), "127.0.0.1,localhost")))
    os.environ.update(emulator.client_environment)


if __name__ == "__main__":
    sys.exit(main())
