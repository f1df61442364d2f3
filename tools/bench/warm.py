"""Rows of a warm process: processor time a webhook, requests an event, and whether it stays flat."""

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from statistics import fmean, median
from typing import Any

from bench import artifacts
from bench.events import DOORS, SECRET, Events
from bench.figures import Figure, compared, interleaved
from bench.stage import CALVEN, Stage, configuration, handler
from localrun.template import STACK

BADGES, LEAVES = handler("access_control"), handler("hris")
FLOOR = "floor.handler"
EVENTS, WARM_UP = 150, 20
SCALE_EVENTS = 60
MORE_DOORS = (1_000, 50_000)
Json = dict[str, Any]


def each(called: Mapping[str, Any]) -> float:
    """CPU microseconds of a call, over a run."""
    return fmean(called["us"])


def direct(stage: Stage, events: Events) -> list[Figure]:
    """CPU of a badge webhook from its event to its answer, all in one process, next to the floor's.

    A badge changes two counts, those of its level and its building, or the one of its level.
    """
    some = {"two counts": events.arrivals, "one count": events.badges}

    def run(name: str, counts: str) -> float:
        environment = {"BENCH_COUNTS": "2" if counts == "two counts" else "1"}
        badges = some[counts](WARM_UP + EVENTS)
        return each(stage.called(name, badges, skip=WARM_UP, environment=environment))

    runs: dict[tuple[str, str], Callable[[], float]] = {
        (name, counts): partial(run, name, counts) for counts in some for name in (BADGES, FLOOR)
    }
    found = interleaved(runs)
    row, aims = "warm, direct", {"two counts": 1.15, "one count": 1.3}
    return [
        compared(row, f"CPU of a badge, {counts}", found[BADGES, counts], found[FLOOR, counts], "µs", aim)
        for counts, aim in aims.items()
    ]


def usual(stage: Stage, events: Events) -> list[Figure]:
    """CPU of a badge of two counts next to that of the reference handler, without and with its tracer."""
    theirs = [artifacts.reference(), artifacts.runtime()]
    tracers = {
        "tracer off": {"POWERTOOLS_TRACE_DISABLED": "true"},
        # It traces where it finds itself in Lambda, and tells a daemon that does not listen.
        "tracer on": {"LAMBDA_TASK_ROOT": str(theirs[0]), "AWS_XRAY_DAEMON_ADDRESS": "127.0.0.1:9"},
    }

    def run(name: str, **more: Any) -> float:
        return each(stage.called(name, events.arrivals(WARM_UP + EVENTS), skip=WARM_UP, **more))

    runs: dict[str, Callable[[], float]] = {"ours": partial(run, BADGES)}
    for tracer, environment in tracers.items():
        runs[tracer] = partial(run, "app.handler", path=theirs, environment=environment)
    found = interleaved(runs)
    ours, row, aims = found.pop("ours"), "warm, usual", {"tracer off": 0.6, "tracer on": 0.5}
    return [
        compared(row, f"CPU of a badge, its {tracer}", ours, found[tracer], "µs", aim)
        for tracer, aim in aims.items()
    ]


def stand_ins() -> dict[str, str]:
    """What the stand-ins of `inside.logic` are told: the secrets and the configuration."""
    secrets = {f"{STACK}/calven": CALVEN, f"{STACK}/access-control/kisi": SECRET}
    texts = {name: json.dumps(secret) for name, secret in secrets.items()}
    return {
        "BENCH_SECRETS": json.dumps({**texts, f"{STACK}/person-key": "0" * 64}),
        "BENCH_CONFIG": configuration(DOORS).model_dump_json(by_alias=True),
    }


def logic(stage: Stage, events: Events) -> list[Figure]:
    """Badges a second on one core, with stand-ins in memory where the wire begins."""
    environment = stand_ins()

    def run(name: str) -> float:
        some = events.badges(1_100, people=50)
        return 1e6 / each(stage.called(name, some, skip=100, environment=environment))

    found = interleaved({name: partial(run, name) for name in ("logic.handler", "logic.whole")})
    row, unit = "warm, logic only", "events/s"
    return [
        Figure(
            row=row, what="verify to settle", value=median(found["logic.handler"]), unit=unit, at_least=5_000
        ),
        Figure(row=row, what="with log and figures", value=median(found["logic.whole"]), unit=unit),
    ]


def requests(stage: Stage, events: Events) -> list[Figure]:
    """Requests that leave the process for one event."""
    kinds: Sequence[tuple[str, str, Callable[[int], list[Json]], Json]] = (
        ("direct badge", BADGES, events.badges, {}),
        ("direct leave", LEAVES, lambda count: [events.leave() for _ in range(count)], {}),
        (
            "queued badge",
            BADGES,
            events.badges,
            {"environment": {"FORWARD_MODE": "queued"}, "wanted": "202"},
        ),
    )
    figures: list[Figure] = []
    for kind, called, some, more in kinds:
        for when, number, skip in (("warm", 40, 20), ("first", 1, 0)):
            found = stage.called(called, some(number), skip=skip, count=True, **more)["requests"]
            sent = {to: count / (number - skip) for to, count in _by_service(found).items()}
            said = ", ".join(f"{count:g} {to}" for to, count in sent.items() if count)
            what, row, unit = f"{kind}, {when}", "requests", "an event"
            figures.append(Figure(row=row, what=what, value=sum(sent.values()), unit=unit, note=said))
            if (kind, when) == ("direct badge", "warm"):
                figures += [
                    Figure(row=row, what=f"of it {to}", value=sent[to], unit=unit, at_most=most)
                    for to, most in (("Calven", 1), ("token", 0), ("DynamoDB", 4), ("Secrets Manager", 0))
                ]
    stage.empty_queue()
    return figures


def _by_service(found: Mapping[str, int]) -> dict[str, int]:
    services = {"GetSecretValue": "Secrets Manager", "SendMessageBatch": "SQS", "/v1/auth": "token"}
    counted = dict.fromkeys(("Calven", "token", "DynamoDB", "SQS", "Secrets Manager"), 0)
    for name, number in found.items():
        other = "Calven" if name.startswith("/") else "DynamoDB"
        counted[services.get(name, other)] += number
    return counted


def scale(stage: Stage, events: Events) -> list[Figure]:
    """CPU of a badge at many doors, and in a building where ten thousand people are.

    Of each run the median badge counts: few are enough then, as one that was interrupted does not tell.
    """
    versions = {doors: stage.push(doors) for doors in (DOORS, *MORE_DOORS)}

    def quiet(doors: int) -> float:
        stage.point_to(versions[doors])
        some = events.badges(WARM_UP + SCALE_EVENTS)
        return float(median(stage.called(BADGES, some, skip=WARM_UP)["us"]))

    def crowded() -> float:
        stage.point_to(versions[DOORS])
        some = events.guests(WARM_UP + SCALE_EVENTS)
        return float(median(stage.called(BADGES, some, skip=WARM_UP)["us"]))

    runs: dict[str, Callable[[], float]] = {f"{doors:,} doors": partial(quiet, doors) for doors in versions}
    found = interleaved({**runs, "10,000 people": crowded})
    stage.point_to(versions[DOORS])
    base = found.pop(f"{DOORS:,} doors")
    return [compared("scale", what, runs_there, base, "µs", 1.1) for what, runs_there in found.items()]
