"""Rows of a process that starts: to its first answer, its imports, and the package that it loads."""

import io
import zipfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from bench import artifacts
from bench.figures import RUNS, Figure
from bench.lambda_process import LambdaProcess
from bench.stage import INSIDE, PYTHON, Events, Stage, batch, probe
from e2e.emulator import ROOT

_MB = 1e6
WEBHOOK_CLIENTS = "secretsmanager dynamodb httpx"
FUNCTIONS: Mapping[str, str] = {
    "access_control": WEBHOOK_CLIENTS,
    "hris": WEBHOOK_CLIENTS,
    "retry": WEBHOOK_CLIENTS,
    "occupancy_reset": WEBHOOK_CLIENTS,
    "pre_traffic": "lambda codedeploy",
}
"""Each function, and the clients that its path needs."""


def handler(function: str) -> str:
    """Its handler's dotted name."""
    return f"functions.{function}.app.handler"


def first_events(stage: Stage, events: Events) -> dict[str, dict[str, Any]]:
    """An event for each function but the one that only CodeDeploy calls."""
    return {
        "access_control": events.badges(1)[0],
        "hris": events.leave(0),
        "retry": batch([events.message(f"person-{number}") for number in range(10)]),
        "occupancy_reset": {"source": "aws.events"},
    }


def cold(stage: Stage, events: Events, package: Path) -> list[Figure]:
    """From the start of a process to its first answer, next to the reference handler's."""
    reference = artifacts.reference()
    taken: dict[str, list[float]] = {}
    for _ in range(RUNS):
        for function, event in first_events(stage, events).items():
            taken.setdefault(function, []).append(_first(handler(function), package, event, stage))
        badge = events.badges(1)[0]
        taken.setdefault("reference", []).append(_first("app.handler", reference, badge, stage))
    floor = median(taken.pop("reference"))
    return [
        Figure(row="cold", what=name, value=median(runs), unit="ms", floor=floor, at_most=0.35)
        for name, runs in taken.items()
    ]


def _first(name: str, package: Path, event: Mapping[str, Any], stage: Stage) -> float:
    with LambdaProcess(PYTHON, name, [package], stage.environment) as process:
        process.invoke(event)
        return process.seconds_to_first_answer * 1000


def imports(stage: Stage, package: Path) -> list[Figure]:
    """CPU time and modules of each handler's import, with its clients, and of the same without bytecode."""
    figures = []
    bare = artifacts.without_bytecode(package)
    for function, clients in FUNCTIONS.items():
        environment = {**stage.environment, "BENCH_CLIENTS": clients, "AWS_LAMBDA_RUNTIME_API": "bench"}
        ours = {"import": [f"functions.{function}.app"]}
        runs = {
            "ours": partial(probe, ours, [package], environment),
            "floor": partial(probe, {"import": ["import_floor"]}, [package], environment),
            "bare": partial(probe, ours, [bare], environment),
        }
        found = {name: [run() for _ in range(RUNS)] for name, run in runs.items()}
        ms = {name: median(each["ms"] for each in some) for name, some in found.items()}
        modules = {name: float(some[0]["modules"]) for name, some in found.items()}
        figures += [
            Figure(row="import", what=function, value=ms["ours"], unit="ms", floor=ms["floor"], at_most=1.1),
            Figure(row="import", what=f"{function}: modules", value=modules["ours"], unit="", floor=modules["floor"]),
            Figure(row="import", what=f"{function}: no bytecode", value=ms["bare"], unit="ms", floor=ms["ours"]),
        ]
    return figures


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
