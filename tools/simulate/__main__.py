"""`make simulate`: the real handlers in virtual time, next to a table that conflicts as DynamoDB does."""

import json
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

# `build` is not installed, other than its neighbours.
sys.path.insert(0, str(Path(__file__).parents[1]))

from simulate import costs, scenarios, threads
from simulate.figures import Row, Sample, service_row, table, work_row
from simulate.world import NotExact

NAMES = ("contention", "queued", "schedule", "peak", "cost")
RATES = (10, 20, 40, 80, 160)
DRAINED = ((1, 1, 1), (1, 1, 2), (500, 1, 2), (500, 50, 2))
"""Sites, systems that have their doors, and how many batches are worked on at once."""
SITES = (10, 100, 500, 1_000)
PEAK_SCALE = 10

Start = Callable[..., "Future[Any]"]
"""Starts a run in a process of its own."""


@click.command()
@click.option("--only", type=click.Choice(NAMES), multiple=True, help="Simulate only this (again for more).")
@click.option("--seeds", default=5, show_default=True, help="So many runs of contention, with seeds from 1.")
@click.option("--peak-minutes", default=10.0, show_default=True, help="So much of the hour of the peak.")
@click.option("--json", "file", type=click.Path(dir_okay=False, path_type=Path), help="Save figures here.")
@click.option("--against-threads", is_flag=True, help="Compare a short run with real threads that sleep.")
@click.option("--processes", default=os.cpu_count() or 1, show_default=True, help="So many runs at once.")
def main(
    only: Sequence[str],
    seeds: int,
    peak_minutes: float,
    file: Path | None,
    against_threads: bool,
    processes: int,
) -> None:
    """Simulate the relay in virtual time. Every run ends with counts that are exact, or says so."""
    if against_threads:
        sys.exit(_compare())
    chosen = only or NAMES
    began = time.monotonic()
    # What a run replaces is its process's: runs do not share one.
    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn")) as pool:
        runs = Runs(pool.submit, range(1, seeds + 1), peak_minutes, chosen)
        try:
            found = {title: rows for name in chosen for title, rows in runs.tables(name)}
        except NotExact as error:
            pool.shutdown(cancel_futures=True)
            print(f"simulate: {error}", file=sys.stderr)
            sys.exit(1)
    for title, rows in found.items():
        print("\n".join(table(title, rows)))
    for name, sample in runs.samples.items():
        for complaint, number in sample.complaints.items():
            print(f"{name}: logged {number} times: {complaint}", file=sys.stderr)
    print(f"{time.monotonic() - began:.0f} s; every run was exact", file=sys.stderr)
    if file is not None:
        content = {"tables": found, "samples": {name: _brief(each) for name, each in runs.samples.items()}}
        file.write_text(json.dumps(content, indent=1) + "\n", "utf-8")


def _compare() -> int:
    """Show a run beside the same in real threads; the exit code."""
    simulated, threaded = threads.compared()
    print("\n".join(table("Against real threads", threads.rows(simulated, threaded))))
    if threads.agree(simulated, threaded):
        return 0
    print(f"simulate: the medians differ by more than {threads.TOLERANCE:.0%}", file=sys.stderr)
    return 1


class Runs:
    """The runs that were chosen, all of which are started at once, and the tables that they make."""

    def __init__(
        self, start: Start, seeds: Sequence[int], peak_minutes: float, chosen: Sequence[str]
    ) -> None:
        self.samples: dict[str, Sample] = {}
        self._peak_minutes = peak_minutes
        self._contention: dict[int, list[Future[Sample]]] = {}
        self._queued: dict[tuple[int, int, int], Future[tuple[float, Sample]]] = {}
        self._swept: dict[int, Future[dict[str, float]]] = {}
        # The longest first, so that no processor waits for one run at the end.
        if "peak" in chosen:
            self._peak = start(scenarios.peak, peak_minutes, seeds[0])
        if {"contention", "cost"}.intersection(chosen):
            for rate in reversed(RATES):
                self._contention[rate] = [start(scenarios.contention, rate, seed) for seed in seeds]
        if {"queued", "cost"}.intersection(chosen):
            self._queued = {each: start(scenarios.queued, *each, seeds[0]) for each in DRAINED}
        if "schedule" in chosen:
            self._swept = {sites: start(scenarios.swept, sites, seeds[0]) for sites in reversed(SITES)}

    def tables(self, name: str) -> Iterator[tuple[str, Sequence[Row]]]:
        """The tables of one scenario, with their titles. Raises `NotExact`."""
        match name:
            case "contention":
                yield "Contention: one site, direct", [*self._contention_rows(service_row)]
                yield "Contention: what a badge takes", [*self._contention_rows(work_row)]
            case "queued":
                yield "Queued: a full queue", [*self._queued_rows()]
            case "schedule":
                yield "Schedule: nothing is pending", [*self._schedule_rows()]
            case "peak":
                yield "Peak: 100 sites, 30 badges a second", self._peak_rows()
            case "cost":
                yield "Cost", [*self._cost_rows()]

    def _contention_sample(self, rate: int) -> Sample:
        found = Sample()
        for run in self._contention[rate]:
            found += run.result()
        self.samples[f"contention {rate}"] = found
        return found

    def _contention_rows(self, cells: Callable[[Sample], Row]) -> Iterator[Row]:
        for rate in RATES:
            yield {"badges a second": rate, **cells(self._contention_sample(rate))}

    def _queued_rows(self) -> Iterator[Row]:
        for sites, sources, concurrency in DRAINED:
            rate, found = self._queued[sites, sources, concurrency].result()
            self.samples[f"queued {sites} {sources} {concurrency}"] = found
            yield {
                "sites": sites,
                "systems": sources,
                "concurrency": concurrency,
                "badges a second": rate,
                "badges a Calven request": found.badges / max(found.calven_requests, 1),
                **work_row(found),
            }

    def _schedule_rows(self) -> Iterator[Row]:
        for sites in SITES:
            found = self._swept[sites].result()
            yield {
                "sites": sites,
                "DynamoDB requests": int(found["requests"]),
                "a site": found["requests"] / sites,
                "read units a site": found["read_units"] / sites,
                "seconds": found["seconds"],
            }

    def _peak_rows(self) -> Sequence[Row]:
        found = self._peak.result()
        self.samples["peak"] = found
        seconds = self._peak_minutes * 60
        rate = len(found.answers) / seconds
        used = {
            "badges a second": rate,
            "DynamoDB requests a second": rate * found.a_badge(found.requests),
            "write units a second": rate * found.a_badge(found.tried),
            "functions at once": sum(found.seconds.values()) / seconds,
        }
        here = {
            "": "simulated, 1:10",
            **service_row(found),
            **{name: float(each) for name, each in used.items()},
        }
        full = {**here, "": "1:1, ten times that", **{name: each * PEAK_SCALE for name, each in used.items()}}
        return [here, full]

    def _cost_rows(self) -> Iterator[Row]:
        for rate in RATES:
            of_rate = costs.million(self._contention_sample(rate), queued=False)
            yield {"badges": f"direct, one site, {rate} a second", **of_rate}
        if "peak" in self.samples:
            yield {"badges": "direct, the peak", **costs.million(self.samples["peak"], queued=False)}
        for sites, sources, concurrency in DRAINED[1:]:
            _, found = self._queued[sites, sources, concurrency].result()
            where = f"queued, sites: {sites}, systems: {sources}, full batches"
            yield {"badges": where, **costs.million(found, queued=True)}


def _brief(found: Sample) -> Mapping[str, Any]:
    """A sample without the list of every badge."""
    return {**asdict(found), "answers": len(found.answers), "known": len(found.known)}


if __name__ == "__main__":
    main()
