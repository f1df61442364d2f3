"""`relayctl reconcile`: what it prints, what it queues, and its exit codes."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from click.testing import CliRunner, Result
from starlette.applications import Starlette
from starlette.routing import Mount

from localrun.serve import Served
from localrun.template import STACK
from localrun.vendor_api import create as create_vendor_api
from relay import vendors
from relay.reconciliation.runs import Runs
from relayctl.main import main
from tests import listing
from tests.rig import NOON, Rig
from tests.stack import deploy

JO = "jo@example.com"
API = {"kisi": {"apiKey": "example", "placeId": "1"}, "factorial": {"apiKey": "example"}}


def command(*arguments: str) -> Result:
    """`relayctl reconcile` on the rig's stack."""
    return CliRunner().invoke(main, ("--stack", STACK, "reconcile", *arguments))


def reports(*arguments: str) -> list[dict[str, Any]]:
    """The reports that it prints."""
    found: list[dict[str, Any]] = json.loads(command("--json", *arguments).stdout)
    return found


@pytest.fixture
def stack(rig: Rig) -> Rig:
    """The rig as a stack, with the clock of the command, and with secrets that let no vendor be asked."""
    deploy(rig)
    rig.clock.now = time.time()
    for source, configured in rig.config.sources.items():
        for family in vendors.load(configured.vendor).families:
            put_secret(rig, family, source, {})
    return rig


def put_secret(rig: Rig, family: str, source: str, api: Mapping[str, str]) -> None:
    """Give a source's secret this `api`."""
    secret = json.dumps({**rig.secrets[source], "api": api})
    rig.aws.secrets.put_secret_value(SecretId=f"{STACK}/{family}/{source}", SecretString=secret)


@contextmanager
def listed_by(rig: Rig, vendor: str, entries: Sequence[Any]) -> Iterator[str]:
    """A vendor's API that lists these entries, and knows the demo's employees; the source that asks it."""
    source, family = rig.source(vendor), vendors.load(vendor).family
    routes = [*listing.pages(vendor, entries).routes, Mount("/", create_vendor_api())]
    with Served(Starlette(routes=routes)) as url:
        put_secret(rig, family, source, {**API[vendor], "baseUrl": url})
        yield source


def unlock(number: int, door: int, at: float) -> dict[str, Any]:
    """An unlock as Kisi lists it."""
    entry = listing.entries("kisi")["badge-in"]
    created_at = datetime.fromtimestamp(at, UTC).isoformat()
    return {**entry, "uuid": f"unlock-{number}", "object_id": door, "created_at": created_at}


def in_days(number: int) -> str:
    """The day so many days from now."""
    return (datetime.now(UTC).date() + timedelta(days=number)).isoformat()


def leave(number: int, first: int, last: int | None = None, changed: float = 0) -> dict[str, Any]:
    """A leave of some coming days, as Factorial lists it; `changed` seconds after all others."""
    return {
        **listing.entries("factorial")["approve"],
        "id": f"leave-{number}",
        "start_on": in_days(first),
        "finish_on": in_days(first if last is None else last),
        "updated_at": datetime.fromtimestamp(NOON + changed, UTC).isoformat(),
    }


def settle(rig: Rig) -> list[str]:
    """Let the retry function do what was queued; the days that Calven holds then."""
    rig.clock.now = time.time()
    rig.retry()
    rig.retry()
    return sorted(rig.away(JO))


def test_backfill(stack: Rig) -> None:
    """Leave that no webhook told of is shown, queued, and told; a second time nothing is."""
    leaves = [leave(1, 10, 12), leave(2, 20)]
    with listed_by(stack, "factorial", leaves) as source:
        result = command(source)
        assert result.exit_code == 0, result.output
        assert settle(stack) == [in_days(10), in_days(11), in_days(12), in_days(20)]
        before = len(stack.requests("/v1/timeoff"))
        assert reports(source)[0]["queued"] == 0
        assert stack.waiting() == []
        assert len(stack.requests("/v1/timeoff")) == before
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert lines[0] == "source leave employee in the HR system in the ledger at Calven"
    assert lines[1].startswith(f"factorial leave-1 3141 {in_days(10)} – {in_days(12)} ")
    assert lines[1].endswith(" nothing unknown")
    assert lines[-2] == "factorial complete 2 2 0 0 0 2"


def test_moved_and_gone(stack: Rig) -> None:
    """Moved leave and leave that is not there any more are shown with what Calven held of them."""
    leaves = [leave(number, 10 * number) for number in range(1, 5)]
    with listed_by(stack, "factorial", leaves) as source:
        command(source)
        settle(stack)
    leaves = [leave(1, 10, 11, changed=1), *leaves[2:]]
    with listed_by(stack, "factorial", leaves):
        result = command(source, "--dry-run", "--json")
        assert result.exit_code == 1
        [report] = json.loads(result.stdout)
        assert report == reports(source)[0] | {"queued": 0}
    moved, gone = report["differences"]
    assert moved["listed"]["days"] == [[in_days(10), in_days(11)]]
    assert moved["ledger"]["days"] == [[in_days(10), in_days(10)]]
    assert moved["calven"] == {"state": "confirmed", "days": 1, "of": 2}
    assert (gone["leave"], gone["employee"], gone["listed"]) == ("leave-2", JO, None)
    assert settle(stack) == [in_days(10), in_days(11), in_days(30), in_days(40)]


def test_refused(stack: Rig) -> None:
    """A list that would end most of the leave ends none: what it would end is shown, and how it is let."""
    with listed_by(stack, "factorial", [leave(number, 10 * number) for number in range(1, 5)]) as source:
        command(source)
        assert len(settle(stack)) == 4
    with listed_by(stack, "factorial", []):
        result = command(source)
        assert result.exit_code == 1
        assert result.stdout.count("not listed") == 4
        assert "relayctl reconcile factorial --accept-ends" in result.stderr
        assert len(settle(stack)) == 4
        assert command(source, "--accept-ends").exit_code == 0
        assert settle(stack) == []


def test_window(stack: Rig) -> None:
    """Other days can be asked about; what is not asked about stays as it is."""
    with listed_by(stack, "factorial", [leave(1, 10), leave(2, 50)]) as source:
        assert reports(source, "--from", in_days(40), "--to", in_days(60))[0]["listed"] == 1
        assert settle(stack) == [in_days(50)]


def test_sources_that_cannot_be_asked(stack: Rig) -> None:
    """Without a name all that can be asked are; one that was named has to be, and says why it cannot."""
    with listed_by(stack, "factorial", []) as source:
        result = command("--json")
        assert result.exit_code == 0
        assert [report["source"] for report in json.loads(result.stdout)] == [source]
        assert "deel is not asked: its secret has no `api`" in result.stderr
        found = reports("deel", source, "peopleforce", "deel")
    assert [report["status"] for report in found] == ["unable", "complete", "unable"]
    assert found[2]["detail"] == "PeopleForce cannot be asked what happened"
    assert command("deel").exit_code == 1
    stack.aws.secrets.delete_secret(SecretId=f"{STACK}/hris/deel", ForceDeleteWithoutRecovery=True)
    assert reports("deel")[0]["detail"].startswith("its secret cannot be used")


def test_every_vendor(rig: Rig) -> None:
    """Locally every vendor that can be asked is asked, and its list read to its end."""
    deploy(rig)
    found = reports("--dry-run")
    assert {report["vendor"] for report in found} == {
        name for name in vendors.NAMES if vendors.load(name).lists is not None
    }
    assert [(report["source"], report["detail"]) for report in found if report["status"] != "complete"] == []


def test_vendor_that_refuses(stack: Rig) -> None:
    """A list that cannot be read to its end is incomplete: exit code 1, and others are asked all the same."""
    with listed_by(stack, "factorial", [leave(1, 10)]) as factorial, Served(Starlette()) as nothing:
        put_secret(stack, "access-control", "kisi-sydney", {**API["kisi"], "baseUrl": nothing})
        result = command("kisi-sydney", factorial, "--json")
    assert result.exit_code == 1
    assert [report["status"] for report in json.loads(result.stdout)] == ["incomplete", "complete"]


def test_busy(stack: Rig) -> None:
    """A source of which another run is under way is left to that."""
    with listed_by(stack, "factorial", [leave(1, 10)]) as source:
        assert Runs(stack.relay.table).begin(source, lambda run, _state: run) is not None
        result = command(source)
    assert result.exit_code == 1
    assert "another run of this source is under way" in result.stdout


def test_doors(stack: Rig) -> None:
    """What webhooks have not told of doors is queued, with a line of what was listed, news and unmapped."""
    now = time.time()
    listed = [unlock(1, 48211, now - 5), unlock(2, 99999, now - 4)]
    with listed_by(stack, "kisi", listed) as source:
        result = command(source, "--dry-run")
        assert result.exit_code == 1
        assert "nothing is changed: that was a dry run" in result.stdout
        assert stack.waiting() == []
        [report] = reports(source)
        expected = {"status": "complete", "listed": 2, "found": 1, "unmapped": 1, "queued": 1}
        assert {name: report[name] for name in expected} == expected
        stack.retry()
        assert stack.counts()["sydney-l3"] == 1
        [again] = reports(source)
        assert (again["found"], again["queued"]) == (0, 0)
        assert command(source, "--dry-run").exit_code == 0
    assert Runs(stack.relay.table).state(source).by_hand


def test_unknown_source(stack: Rig) -> None:
    """A source that nobody configured is wrong usage, with what was meant."""
    result = command("kisi-sidney")
    assert result.exit_code == 2
    assert "no source 'kisi-sidney' is configured: did you mean 'kisi-sydney'?" in result.stderr


@pytest.mark.parametrize(
    "days",
    [
        ("--from", "2026-13-01"),
        ("--from", "2027-02-01", "--to", "2027-01-01"),
        ("--from", "9999-12-20"),
        ("--from", "9999-12-20", "--to", "9999-12-31"),
        ("--from", "0001-01-01"),
        ("--to", "2020-01-01"),
    ],
)
def test_wrong_days(stack: Rig, days: Sequence[str]) -> None:
    """Days that are none, end before they begin, or are where the calendar ends, are wrong usage."""
    assert command(*days).exit_code == 2


def test_days_at_doors(stack: Rig) -> None:
    """Doors are listed for the open day, whatever days are asked for, and that is said."""
    with listed_by(stack, "kisi", []) as source:
        result = command(source, "--from", in_days(-3), "--to", in_days(-2))
    assert f"{source} is listed for its open days: --from and --to are about leave" in result.stderr
