"""`make bench`: measures, prints one table and saves it as JSON. Bounded, and on 127.0.0.1 only."""

import platform
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import httpx
from botocore.exceptions import BotoCoreError, ClientError

from bench import artifacts, services, startup, volume, warm
from bench.events import Events
from bench.figures import RUNS, Figure, save, show
from bench.lambda_process import FunctionFailed
from bench.stage import Stage
from e2e.checks import Failed
from e2e.emulator import ROOT
from localrun.world import WorldError

_FAILURES = (Failed, FunctionFailed, WorldError, BotoCoreError, ClientError, httpx.HTTPError, OSError)
ROWS = (
    "package",
    "import",
    "cold",
    "requests",
    "logic",
    "direct",
    "usual",
    "services",
    "queued",
    "scale",
    "memory",
    "burst",
)


@click.command()
@click.option(
    "--only", type=click.Choice(ROWS), multiple=True, help="Measure only this row (again for more)."
)
@click.option(
    "--save",
    "file",
    type=click.Path(dir_okay=False, path_type=Path),
    default=ROOT / "build" / "bench.json",
    help="Where the figures go as JSON.",
)
def main(only: Sequence[str], file: Path) -> None:
    """Measure the relay against a floor in the same run."""
    signal.signal(signal.SIGTERM, _interrupt)
    began = time.monotonic()
    try:
        figures = _measured(only or ROWS)
    except _FAILURES as error:
        what = str(error) if isinstance(error, Failed) else f"{type(error).__name__}: {error}"
        print(f"bench: {what}; logs are in {artifacts.FOLDER}", file=sys.stderr)
        sys.exit(1)
    took = time.monotonic() - began
    show(figures)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    save(figures, file, {"at": now, "seconds": round(took), "runs": RUNS, "machine": platform.machine()})
    print(f"{took:.0f} s; times and rates are medians of {RUNS} fresh processes; saved in {file}")


def _interrupt(_number: int, _frame: Any) -> None:
    raise KeyboardInterrupt


def _measured(rows: Sequence[str]) -> list[Figure]:
    figures: list[Figure] = []
    with ExitStack() as cleanup:
        folder = Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        package, events = artifacts.relay(), Events()
        stage = cleanup.enter_context(Stage(folder, [package, artifacts.runtime()]))

        def badge_cpu() -> float:
            """CPU microseconds of a direct badge of two counts, measured once."""
            direct = [found for found in figures if found.row == "warm, direct"]
            return (direct or warm.direct(stage, events))[0].value

        measure: Mapping[str, Callable[[], list[Figure]]] = {
            "package": startup.package,
            "import": lambda: startup.imports(stage, package),
            "cold": lambda: startup.cold(stage, events, package),
            "requests": lambda: warm.requests(stage, events),
            "logic": lambda: warm.logic(stage, events),
            "direct": lambda: warm.direct(stage, events),
            "usual": lambda: warm.usual(stage, events),
            "services": lambda: services.services(stage, events, badge_cpu()),
            "queued": lambda: volume.queued(stage, events, badge_cpu()),
            "scale": lambda: warm.scale(stage, events),
            "memory": lambda: volume.memory(stage, events, package),
        }
        if "scale" in rows and "queued" not in rows:
            volume.queued(stage, events, 1.0)  # it fills the crowded building
        for row, measured in measure.items():
            if row in rows:
                figures += _timed(row, measured)
    if "burst" in rows:
        figures += _timed("burst", volume.burst)
    return figures


def _timed(row: str, measure: Callable[[], list[Figure]]) -> list[Figure]:
    print(f"{row} …", end=" ", file=sys.stderr, flush=True)
    began = time.monotonic()
    found = measure()
    print(f"{time.monotonic() - began:.0f} s", file=sys.stderr)
    return found


if __name__ == "__main__":
    main()
