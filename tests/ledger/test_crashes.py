"""Wherever a process ends and whichever answer gets lost, the relay ends up where it would have anyway.

A scenario runs once undisturbed. Then it runs anew for each of the relay's outward requests (to AWS, Calven
and HiBob) that changes something, and the process ends there: right before the request is sent, or once it
is carried out and before its answer is seen. A new process gets what the vendor, the queue or the schedule
brings again. To end before a request leaves behind what to end after the one before it does: where both
would be the same test, there is one of them. `test_one_request_further_each_time` ends at the others, too.

What must be equal in the end: what Calven shows, every occupancy event that it was told, who is where, how
many people are in each place and that Calven has accepted it, each leave, the days wanted and held, which of
them are confirmed, that no lease is in force, that nothing waits in the queue, and why letters are dead.
What may differ: the number of requests, revisions, the times at which something was recorded or asked, in
which time-off events the days came, and how often the same dead letter is there.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import count

import pytest

from tests.machine import Moment, Site
from tests.scenarios import (
    APPROVED,
    BADGES,
    LEAVE,
    MOMENTS,
    REFUSED,
    SAM,
    SCENARIOS,
    SCHEDULE,
    WEBHOOKS,
    New,
    Run,
    Scenario,
    begin,
    days,
    leave,
    meant,
    relays,
    undisturbed,
)

pytestmark = [pytest.mark.no_cover, pytest.mark.slow]
"""They visit the same lines thousands of times, which other tests measure."""

LEASE_SECONDS = 15.0
"""After so long a lease has run out, whoever held it."""
HARMLESS = ("BatchGetItem", "Query", "GetSecretValue", "GET ", "POST /v1/auth")
"""The requests that change nothing."""


@pytest.fixture(scope="module")
def new() -> Iterator[New]:
    """Makes a relay of its own for each run."""
    with relays() as make:
        yield make


OVERLAP = Scenario(
    then=[APPROVED, leave(2, "APPROVED", 4, 8, kind="Sick leave", leave="2")],
    away={SAM: {**days(1, 3), **days(4, 8, "sick")}},
)
REPLACED = replace(LEAVE["replaced"], given=[], then=[("hibob", "approved"), ("hibob", "updated")])


def deaths(requests: Sequence[str]) -> Iterator[tuple[int, str]]:
    """The requests to end at, with their numbers: those that change something."""
    for number, name in enumerate(requests, 1):
        if not name.startswith(HARMLESS):
            yield number, f"request {number} of {len(requests)}, {name}"


@pytest.mark.parametrize(
    ("name", "moment"), [*((name, "before") for name in WEBHOOKS), *((name, "after") for name in LEAVE)]
)
def test_delivered_again(new: New, name: str, moment: Moment) -> None:
    """Wherever the process ends, the same webhook again brings about what would have been.

    At once, it may find the lease of the process that ended in force, and leave the rest to the queue; after
    the lease has run out, it needs no queue.
    """
    scenario, run = WEBHOOKS[name], undisturbed(new, name)
    for number, request in deaths(run.requests):
        with new() as site:
            begin(site, scenario)
            site.machine.count(moment, number)
            site.deliver(scenario.then, wait=0 if moment == "before" else LEASE_SECONDS)
            if moment == "before":
                site.recover()
                site.drain()
            if scenario.left:
                site.sweep()
            assert site.end() == run.end, f"{name}: ended {moment} {request}"
            assert site.told() == run.told, f"{name}: ended {moment} {request}"


def test_refused_leave(new: New) -> None:
    """Wherever the process ends, leave that Calven refuses is a dead letter; cancelled, it leaves nothing.

    Where the outcome of an attempt is unknown, its days may be held, even if the next attempt is refused.
    """
    for number, request in deaths(undisturbed(new, "refused").requests):
        with new() as site:
            begin(site, REFUSED)
            site.machine.count("after", number)
            site.deliver(REFUSED.then, wait=LEASE_SECONDS)
            assert site.end()["dead"] == {"unknown_user"}, f"ended after {request}"
            site.refuse()
            site.deliver([leave(2, "CANCELED", 1, 5)])
            assert (site.end()["away"], site.end()["employees"]) == ({}, {}), f"ended after {request}"


@pytest.mark.parametrize("name", BADGES)
def test_never_delivered_again(new: New, name: str) -> None:
    """Where nobody delivers again, the schedule tells what was recorded, which is all or nothing."""
    scenario, run = BADGES[name], undisturbed(new, name)
    for number, request in deaths(run.requests):
        with new() as site:
            begin(site, scenario)
            site.machine.count("after", number)
            outlived = (site.machine.survives(partial(site.take, step)) for step in scenario.then)
            fatal = next(index for index, survived in enumerate(outlived) if not survived)
            site.restart()
            recorded = site.end()["people"] == run.ends[fatal + 1]["people"]
            site.sweep()
            assert site.end() == run.ends[fatal + recorded], f"{name}: ended after {request}"


@pytest.mark.parametrize("name", SCHEDULE)
def test_schedule(new: New, name: str) -> None:
    """Wherever a run of the schedule ends, the next one does the rest."""
    scenario, run = SCHEDULE[name], undisturbed(new, name)
    for number, request in deaths(run.requests):
        with new() as site:
            begin(site, scenario)
            site.machine.count("after", number)
            site.deliver(scenario.then, wait=900)
            site.recover()
            site.drain()
            assert site.end() == run.end, f"{name}: ended after {request}"
            assert site.told() == run.told, f"{name}: ended after {request}"


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("name", ["entry", "replaced", "leave while Calven is down", "end of a day"])
def test_one_request_further_each_time(new: New, name: str, moment: Moment) -> None:
    """However often the process ends, each time one request later, reads included, the end is the same."""
    scenario, run = SCENARIOS[name], undisturbed(new, name)
    with new() as site:
        begin(site, scenario)
        for step in scenario.then:
            for number in count(1):
                site.restart()
                site.machine.count(moment, number)
                if site.machine.survives(partial(site.take, step)):
                    break
                site.clock.advance(LEASE_SECONDS)
        site.recover()
        site.drain()
        assert (site.end(), site.told()) == (run.end, run.told)


def fill(site: Site, scenario: Scenario, mode: str) -> None:
    """Leave a scenario in the queue: recorded and not told, or as it came."""
    if mode == "direct":
        site.fail_submissions("503")
    site.relay = site.built(FORWARD_MODE=mode)
    site.leave_to_queue(scenario.then)
    site.recover()
    site.relay = site.built()
    site.machine.count()


@pytest.mark.parametrize(
    ("mode", "scenario"),
    [
        ("direct", BADGES["a day"]),
        ("queued", BADGES["a day"]),
        ("direct", OVERLAP),
        ("queued", REPLACED),
    ],
    ids=["badges recorded", "badges stored", "leave recorded", "leave stored"],
)
def test_retry_function(new: New, mode: str, scenario: Scenario) -> None:
    """Wherever the retry function ends, the queue delivers the batch again, and nothing is lost of it.

    Where several events of a batch that was only stored had been recorded when the process ended, Calven is
    told the latest count of each place, and not those in between.
    """
    with new() as site:
        fill(site, scenario, mode)
        site.drain()
        run = Run(meant(site, scenario), site.told(), list(site.machine.requests))
    for number, request in deaths(run.requests):
        with new() as site:
            fill(site, scenario, mode)
            site.machine.count("after", number)
            site.drain()
            assert site.end() == run.end, f"ended after {request}"
            assert site.told() <= run.told, f"ended after {request}"
            assert mode == "queued" or site.told() == run.told, f"ended after {request}"
