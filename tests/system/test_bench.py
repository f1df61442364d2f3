"""The bench's own arithmetic, and that what it calls the relay's logic really settles a badge."""

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from bench import figures, warm
from bench.events import BADGES_A_MESSAGE, DOORS, LEVELS, Events
from bench.figures import Figure
from bench.stage import INSIDE, configuration
from localrun.template import STACK
from relay.envelope import Envelope
from relay.events import BadgeEvent, Counting
from relay.vendors import generic

ROOT = Path(__file__).parents[2]
FIGURE = Figure(row="row", what="what", value=12.0, unit="ms")


def test_ratio() -> None:
    """A value next to a floor is judged by their ratio, any other by itself."""
    assert FIGURE.met is None
    assert FIGURE.ratio is None
    assert replace(FIGURE, floor=10.0).ratio == pytest.approx(1.2)
    assert replace(FIGURE, floor=10.0, at_most=1.3).met
    assert not replace(FIGURE, floor=10.0, at_most=1.1).met
    assert replace(FIGURE, at_most=12.0).met
    assert not replace(FIGURE, at_most=11.9).met
    assert replace(FIGURE, at_least=12.0).met
    assert not replace(FIGURE, at_least=12.1).met


def test_nothing_at_most() -> None:
    """A target of nothing is a target."""
    assert replace(FIGURE, value=0.0, at_most=0).met
    assert replace(FIGURE, value=1.0, at_most=0).met is False


def test_table_and_file(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Each figure is a line of the table, and an object of the file, with its ratio and whether it is met."""
    some = [FIGURE, replace(FIGURE, what="other", floor=8.0, at_most=1.3, note="so it is")]
    figures.show(some)
    printed = capsys.readouterr().out
    assert [line for line in printed.splitlines() if "other" in line and "1.50" in line and "missed" in line]
    figures.save(some, tmp_path / "new" / "bench.json", {"machine": "m"})
    saved = json.loads((tmp_path / "new" / "bench.json").read_text("utf-8"))
    assert saved["machine"] == "m"
    assert [(each["what"], each["ratio"], each["met"]) for each in saved["figures"]] == [
        ("what", None, None),
        ("other", 1.5, False),
    ]


def test_interleaved() -> None:
    """Runs are taken by turns, as many of each, and compared pair by pair."""
    order: list[str] = []

    def run(name: str) -> float:
        order.append(name)
        return float(len(order)) * (2 if name == "ours" else 1)

    found = figures.interleaved({name: partial(run, name) for name in ("ours", "floor")})
    assert order == ["ours", "floor"] * figures.RUNS
    figure = figures.compared("row", "what", [2.0, 20.0, 9.0], [1.0, 10.0, 9.0], "ms", 2.0)
    assert (figure.value, figure.floor, figure.ratio, figure.met) == (9.0, 9.0, 2.0, True)
    assert all(len(runs) == figures.RUNS for runs in found.values())


def test_people_move() -> None:
    """Every badge that is measured changes a count: nobody comes in twice without having left."""
    config, events = configuration(DOORS), Events()
    doors = config.doors["kisi"]
    inside: set[str] = set()
    for _ in range(3):
        for badges in (
            events.badges(1),
            events.badges(60),
            events.badges(200, people=50),
            events.guests(25),
            events.crowd(7),
            events.arrivals(12),
        ):
            for event in badges:
                badge = json.loads(event["body"])
                way = doors[badge["object_id"]].direction
                assert (badge["actor_id"] in inside) == (way == "out")
                (inside.add if way == "in" else inside.remove)(badge["actor_id"])
    assert len(config.places) == 3 + LEVELS


def test_days_are_taken_once() -> None:
    """Every leave that is measured takes a day that its employee still had."""
    events = Events()
    taken = [leave for _ in range(4) for leave in json.loads(events.leaves_together(100)["body"])]
    taken += [json.loads(events.leave()["body"])["data"]["resource"] for _ in range(4)]
    days = {
        (leave.get("email") or leave["requester"]["work_email"], leave.get("start") or leave["start_date"])
        for leave in taken
    }
    assert len(days) == len(taken)


def test_large_messages() -> None:
    """The worst batch has messages of 250 kB, each a request with a hundred badges of the longest names."""
    [first, second] = Events().large_messages(2)["Records"]
    people: set[str] = set()
    for record in (first, second):
        assert 250_000 <= len(record["body"]) <= 256 * 1024
        request = Envelope.model_validate_json(record["body"]).request
        assert request is not None
        badges = generic.parse(request.webhook(time.time(), Counting()))
        assert len(badges) == BADGES_A_MESSAGE
        people |= {badge.person for badge in badges if isinstance(badge, BadgeEvent) and badge.person}
    assert len(people) == 2 * BADGES_A_MESSAGE


@pytest.mark.parametrize("handler", ["logic.handler", "logic.whole"])
def test_logic(handler: str, tmp_path: Path) -> None:
    """The stand-ins let every badge through to Calven, and refuse one that is not signed so."""
    badges = Events().badges(30)
    badges[-1]["headers"]["x-signature"] = "0" * 64
    file = tmp_path / "events.jsonl"
    file.write_text("".join(json.dumps(badge) + "\n" for badge in badges), "utf-8")
    order = {"handler": handler, "events": str(file), "skip": 0}
    environment = {
        **warm.stand_ins(),
        "PATH": os.defpath,
        "PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "shared", INSIDE))),
        "STACK_NAME": STACK,
        "TABLE_NAME": "table",
        "UNPROCESSED_QUEUE_URL": "https://sqs.test/unprocessed",
        "DEAD_LETTER_QUEUE_URL": "https://sqs.test/dead",
        "CALVEN_BASE_URL": "https://api.calven.com",
        "POWERTOOLS_METRICS_NAMESPACE": "bench",
    }
    done = subprocess.run(
        [sys.executable, INSIDE / "probe.py"],
        input=json.dumps(order) + "\n",
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["answers"] == {"200": 29, "401": 1}
