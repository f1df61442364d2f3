"""Rows of a process that starts: to its first answer, its imports, and the package that it loads."""

import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from bench import artifacts
from bench.events import Events
from bench.figures import Figure, compared, interleaved
from bench.lambda_process import LambdaProcess, cpu_microseconds
from bench.stage import PYTHON, Stage, handler, probe
from e2e.checks import Failed
from e2e.emulator import ROOT

_MB = 1e6
COLD_SECONDS = 60.0
"""So long a first answer may take: on a machine that is busy with other things it is not Lambda's."""
_WEBHOOK = "pydantic httpx secretsmanager dynamodb"
FUNCTIONS: Mapping[str, str] = {
    "access_control": _WEBHOOK,
    "hris": _WEBHOOK,
    "retry": _WEBHOOK,
    "occupancy_reset": _WEBHOOK,
    "reconcile": _WEBHOOK,
    "pre_traffic": "",
}
"""Each function, and what it loads at its start beside Powertools and boto3: libraries, AWS clients."""


def first_event(function: str, events: Events) -> dict[str, Any]:
    """An event for a function that has just started."""
    match function:
        case "access_control":
            return events.badges(1)[0]
        case "hris":
            return events.leave()
        case "retry":
            return events.messages(10)
    return {"source": "aws.events"}


def cold(stage: Stage, events: Events, package: Path) -> list[Figure]:
    """From the start of a process to its first answer, next to the reference handler's."""
    reference = artifacts.reference()
    compiled = artifacts.with_bytecode(reference)

    def ours(function: str) -> _Start:
        return _first(handler(function), package, first_event(function, events), stage)

    def theirs(folder: Path) -> _Start:
        return _first("app.handler", folder, first_event("access_control", events), stage)

    functions = [name for name in FUNCTIONS if name != "pre_traffic"]
    runs = {name: partial(ours, name) for name in functions}
    taken = interleaved(
        {**runs, "reference": partial(theirs, reference), "compiled": partial(theirs, compiled)}
    )
    figures: list[Figure] = []
    for name in functions:
        figures += _compared(name, taken[name], taken["reference"], 0.24)
    return figures + _compared("reference, compiled", taken["compiled"], taken["reference"], None)


@dataclass(frozen=True, slots=True)
class _Start:
    """Milliseconds from the start of a process to its first answer, and those of processor time."""

    took: float
    cpu: float


def _compared(
    what: str, starts: Sequence[_Start], floors: Sequence[_Start], at_most: float | None
) -> list[Figure]:
    took, floors_took = [start.took for start in starts], [start.took for start in floors]
    cpu, floors_cpu = [start.cpu for start in starts], [start.cpu for start in floors]
    return [
        compared("cold", what, took, floors_took, "ms", at_most),
        compared("cold", f"{what}: CPU", cpu, floors_cpu, "ms", None),
    ]


def _first(name: str, package: Path, event: Mapping[str, Any], stage: Stage) -> _Start:
    with LambdaProcess(PYTHON, name, [package, artifacts.runtime()], stage.environment) as process:
        check(name, process.invoke(event, COLD_SECONDS))
        return _Start(process.seconds_to_first_answer * 1000, cpu_microseconds(process.pid) / 1000)


def check(name: str, answer: Any) -> None:
    """Raise `Failed` for any answer but that the event's work is done."""
    done = "facts" in answer or "sources" in answer or answer.get("batchItemFailures") == []
    if not done and json.loads(answer.get("body", "{}")).get("status") != "forwarded":
        raise Failed(f"{name} answered {answer}")


def imports(stage: Stage, package: Path) -> list[Figure]:
    """CPU time and modules of each handler's import, with its clients, and of the same without bytecode.

    The floor has the runtime's own boto3, as a package without one has; all of it is compiled.
    """
    runtime = artifacts.runtime()
    bare = artifacts.without_bytecode(package)

    def measured(function: str) -> list[Figure]:
        environment = {
            **stage.environment,
            "BENCH_NEEDS": FUNCTIONS[function],
            "AWS_LAMBDA_RUNTIME_API": "bench",
        }
        ours, floor = {"import": [f"functions.{function}.app"]}, {"import": ["import_floor"]}
        runs = {
            "ours": partial(probe, ours, [package, runtime], environment),
            "floor": partial(probe, floor, [runtime, package], environment),
            "bare": partial(probe, ours, [bare, runtime], environment),
        }
        found = interleaved(runs)
        ms = {name: [each["ms"] for each in some] for name, some in found.items()}
        modules = {name: float(some[0]["modules"]) for name, some in found.items()}
        row, what = "import", function
        return [
            compared(row, what, ms["ours"], ms["floor"], "ms", 1.1),
            Figure(row=row, what=f"{what}: modules", value=modules["ours"], unit="", floor=modules["floor"]),
            compared(row, f"{what}: no bytecode", ms["bare"], ms["ours"], "ms", None),
        ]

    # It is processor time that counts, so that two at once do not disturb each other.
    with ThreadPoolExecutor(2) as two:
        return [figure for figures in two.map(measured, FUNCTIONS) for figure in figures]


def package() -> list[Figure]:
    """What is deployed: unzipped, zipped, and the three largest of its contents."""
    folder = ROOT / "build" / "package"
    files = [path for path in folder.rglob("*") if path.is_file()]
    sizes: dict[str, int] = {}
    zipped = io.BytesIO()
    with zipfile.ZipFile(zipped, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(files):
            archive.write(path, path.relative_to(folder))
            top = path.relative_to(folder).parts[0]
            sizes[top] = sizes.get(top, 0) + path.stat().st_size
    largest = sorted(sizes.items(), key=lambda found: -found[1])[:3]
    row = "package"
    return [
        Figure(row=row, what="unzipped", value=sum(sizes.values()) / _MB, unit="MB"),
        Figure(row=row, what="zipped", value=zipped.tell() / _MB, unit="MB"),
        *(Figure(row=row, what=f"of it {name}", value=size / _MB, unit="MB") for name, size in largest),
    ]
