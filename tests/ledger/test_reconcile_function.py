"""The reconcile function asks for what is due, and runs each source; what fails is told, and not raised."""

import json
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import JSONResponse

from localrun.serve import Served
from localrun.settings import DEMO
from localrun.template import STACK
from relay import vendors
from relay.config.model import Source
from relay.config.versions import push
from relay.entrypoints import reconcile
from relay.events import iso
from relay.reconciliation.runs import LEASE_SECONDS, Runs
from tests.rig import NOON, Rig
from tests.scripted_api import Scripted

pytestmark = pytest.mark.slow

MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0
Printed = Callable[[], str]


def asked(rig: Rig) -> list[str]:
    """Which sources the schedule asks for; their messages are taken away."""
    reconcile.handle(rig.relay, {"source": "aws.events"}, 800, "request-4")
    url, names = rig.resources.reconcile_queue_url, list[str]()
    while found := rig.aws.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", []):
        for message in found:
            rig.aws.sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
            names.append(json.loads(message["Body"])["source"])
    return names


def ask(rig: Rig, body: str) -> None:
    """Put a message into the queue of sources that are to be reconciled."""
    rig.aws.sqs.send_message(QueueUrl=rig.resources.reconcile_queue_url, MessageBody=body)


def ask_for(rig: Rig, source: str) -> None:
    """Ask for one source."""
    ask(rig, json.dumps({"source": source}))


def lines(text: str, message: str) -> list[dict[str, Any]]:
    """The lines of the log that say this."""
    found = [json.loads(line) for line in text.splitlines() if '"message"' in line]
    return [line for line in found if line["message"] == message]


def figures(text: str, metric: str) -> dict[str, float]:
    """The last figure of a metric, by source."""
    found: dict[str, float] = {}
    for line in text.splitlines():
        if '"_aws"' in line and metric in (told := json.loads(line)):
            found[told["Source"]] = told[metric][-1]
    return found


def put_secret(rig: Rig, family: str, source: str, api: dict[str, str] | None) -> None:
    """Store a source's secret with another `api`, or without one; a new relay has not read the old one."""
    secret = {**rig.secrets[source], "api": api} if api else {"signingSecrets": ["another-secret"]}
    rig.aws.secrets.put_secret_value(SecretId=f"{STACK}/{family}/{source}", SecretString=json.dumps(secret))
    rig.relay = rig.built()


def by_interval(rig: Rig, wanted: Collection[str]) -> set[str]:
    """The demo's sources that can be asked, of vendors whose usual interval is one of these."""
    found: set[str] = set()
    for name, source in rig.config.sources.items():
        vendor = vendors.load(source.vendor)
        usual = "15m" if vendor.family == "access-control" else "1d" if vendor.sends_webhooks else "1h"
        if vendor.lists and usual in wanted:
            found.add(name)
    return found


def test_due(rig: Rig) -> None:
    """Each source is asked for once, and again when its interval is over."""
    everything = by_interval(rig, ("15m", "1h", "1d"))
    found = asked(rig)
    assert sorted(found) == sorted(everything)
    assert {"kisi-sydney", "deel", "bamboohr"} <= everything
    assert "envoy" not in everything
    rig.reconcile()
    assert asked(rig) == []
    rig.clock.advance(15 * MINUTE)
    assert set(asked(rig)) == by_interval(rig, ("15m",))
    rig.clock.advance(45 * MINUTE)
    assert set(asked(rig)) == by_interval(rig, ("15m", "1h"))
    rig.clock.advance(23 * HOUR)
    assert set(asked(rig)) == everything


def test_chosen_interval(rig: Rig, tmp_path: Path) -> None:
    """A source is asked for as often as its configuration says, or not at all."""
    yaml = (DEMO / "relay.yaml").read_text("utf-8")
    yaml = yaml.replace("{vendor: deel,", "{vendor: deel, reconcile: 15m,")
    yaml = yaml.replace("{vendor: hibob,", '{vendor: hibob, reconcile: "off",')
    rig.push(yaml.replace("{vendor: brivo}", "{vendor: brivo, enabled: false}"), tmp_path)
    rig.relay = rig.built()
    assert not {"hibob", "brivo"} & set(asked(rig))
    rig.reconcile()
    rig.clock.advance(15 * MINUTE)
    assert set(asked(rig)) == (by_interval(rig, ("15m",)) - {"brivo"}) | {"deel"}


@pytest.mark.parametrize(
    "body",
    ["", "{", "[]", "null", '"deel"', "{}", '{"source": null}', '{"source": "nobody"}', '{"source": []}'],
)
def test_message_of_nobody(rig: Rig, printed: Printed, body: str) -> None:
    """A message that names no configured source is told in the log, and is done with."""
    record = {"body": body, "attributes": {"SentTimestamp": "1793764800000"}}
    assert reconcile.handle(rig.relay, {"Records": [record]}, 800, "request-5") == {"sources": 1}
    [line] = lines(printed(), "no such source to reconcile")
    assert line["level"] == "ERROR"


def test_vendor_that_cannot_be_asked(rig: Rig, printed: Printed) -> None:
    """A source whose vendor cannot be asked is not asked for, and a message for it does nothing."""
    ask_for(rig, "envoy")
    rig.reconcile_asked()
    [line] = lines(printed(), "not reconciled")
    assert (line["source"], line["detail"]) == ("envoy", "Envoy cannot be asked what happened")


def test_secret_without_api(rig: Rig, printed: Printed) -> None:
    """Without `api` a source is not asked; one that was asked before goes on telling its age."""
    rig.reconcile()
    printed()
    put_secret(rig, "hris", "deel", None)
    rig.clock.advance(2 * DAY)
    assert "deel" not in asked(rig)
    ages = figures(printed(), "ReconcileAge")
    assert ages["deel"] == 2 * DAY
    ask_for(rig, "deel")
    rig.reconcile_asked()
    [line] = lines(printed(), "not reconciled")
    assert (line["source"], line["detail"]) == ("deel", "its secret has no `api`")


def test_source_that_never_had_an_api(rig: Rig, printed: Printed) -> None:
    """A source that only has webhooks has no age."""
    put_secret(rig, "hris", "deel", None)
    rig.reconcile()
    rig.clock.advance(DAY)
    printed()
    rig.reconcile()
    ages = figures(printed(), "ReconcileAge")
    assert "deel" not in ages
    assert "hibob" in ages


def test_api_that_lists_nothing(rig: Rig, printed: Printed) -> None:
    """What webhooks are asked about with may not be enough to list: then the source is not asked, nor red."""
    api = {name: value for name, value in rig.secrets["gusto"]["api"].items() if name != "companyUuid"}
    put_secret(rig, "hris", "gusto", api)
    assert "gusto" not in asked(rig)
    ask_for(rig, "gusto")
    rig.reconcile_asked()
    [line] = lines(printed(), "not reconciled")
    assert (line["source"], line["detail"]) == ("gusto", "its secret has no api.companyUuid")


@pytest.mark.parametrize(
    ("status", "headers", "detail", "again"),
    [
        (503, {"retry-after": "10000"}, "vendor_unavailable: the vendor's API answered 503", True),
        (403, {}, "vendor_refused: the vendor's API answered 403", False),
        (200, {}, "unparseable: ", False),
    ],
)
def test_vendor_that_fails(
    rig: Rig, printed: Printed, status: int, headers: dict[str, str], detail: str, again: bool
) -> None:
    """A list that does not come is told, and grows old; the next run of the schedule asks, or tomorrow's."""
    rig.reconcile()
    rig.clock.advance(DAY)
    printed()
    with Served(Scripted([JSONResponse({"error": "x"}, status, headers)]).app()) as url:
        put_secret(rig, "hris", "deel", {**rig.secrets["deel"]["api"], "baseUrl": url})
        rig.reconcile()
    text = printed()
    [line] = [line for line in lines(text, "reconciled") if line["source"] == "deel"]
    assert line["status"] == "incomplete"
    assert line["detail"].startswith(detail)
    assert figures(text, "ReconcileDifferences")["deel"] == 0
    rig.clock.advance(15 * MINUTE)
    assert ("deel" in asked(rig)) is again
    assert figures(printed(), "ReconcileAge")["deel"] == DAY + 15 * MINUTE


def test_refused(rig: Rig, printed: Printed) -> None:
    """A list that lacks everybody's leave is refused, and counted as that; nobody's days are given back."""
    rig.reconcile_by_hand("bamboohr")
    rig.happen("bamboohr", "approved")
    rig.clock.advance(HOUR)
    rig.reconcile()
    rig.retry()
    text = printed()
    assert figures(text, "ReconcileDifferences")["bamboohr"] == 1
    assert figures(text, "ReconcileRefused")["bamboohr"] == 0
    held = rig.calven()
    assert held
    rig.vendors.delete("/_vendors/happened")
    rig.clock.advance(HOUR)
    rig.reconcile()
    rig.retry()
    text = printed()
    [line] = [line for line in lines(text, "reconciled") if line["source"] == "bamboohr"]
    assert (line["status"], line["ends"]) == ("refused", 1)
    assert figures(text, "ReconcileRefused")["bamboohr"] == 1
    assert rig.calven() == held


def test_one_at_a_time(rig: Rig, printed: Printed) -> None:
    """A source that is being run is not asked for, and a message for it runs nothing."""
    runs = Runs(rig.relay.table, rig.clock)
    assert runs.begin("deel", lambda run, _state: run) is not None
    assert "deel" not in asked(rig)
    ask_for(rig, "deel")
    rig.reconcile_asked()
    [line] = lines(printed(), "reconciled")
    assert (line["source"], line["status"]) == ("deel", "busy")


def test_run_that_died(rig: Rig) -> None:
    """A run whose process died is asked for again as soon as its lease is over, whatever the interval."""
    rig.reconcile()
    runs = Runs(rig.relay.table, rig.clock)
    assert runs.begin("deel", lambda run, _state: run) is not None
    assert "deel" not in asked(rig)
    rig.clock.advance(LEASE_SECONDS + 1)
    assert "deel" in asked(rig)


def test_webhook_asks(rig: Rig) -> None:
    """A webhook that only says that there is news has its source reconciled, and Calven told."""
    rig.reconcile_by_hand("kombo")
    rig.happen("kombo", "absences-changed")
    assert rig.post("kombo", "absences-changed") == (200, {"status": "ignored", "reason": "ask_now"})
    assert rig.reconcile_asked() == ['{"source": "kombo"}']
    rig.retry()
    assert [event["eventType"] for event in rig.calven()] == ["scheduled"]


def test_news_that_was_not_asked_for(rig: Rig) -> None:
    """News is asked for by the schedule, where the run that was to do it came to nothing."""
    rig.reconcile_by_hand("kombo")
    rig.clock.advance(MINUTE)
    rig.happen("kombo", "absences-changed")
    relay = rig.built(RECONCILE_QUEUE_URL=f"{rig.resources.reconcile_queue_url}-gone")
    answer = rig.post("kombo", "absences-changed", relay=relay)
    assert answer == (200, {"status": "ignored", "reason": "ask_now"})
    assert rig.reconcile_asked() == []
    rig.clock.advance(MINUTE)
    assert '{"source": "kombo"}' in rig.reconcile()
    rig.retry()
    assert [event["eventType"] for event in rig.calven()] == ["scheduled"]
    rig.clock.advance(MINUTE)
    assert "kombo" not in asked(rig)


def test_news_in_the_queue(rig: Rig) -> None:
    """News that could not be read at first is asked for once it is redriven."""
    rig.reconcile_by_hand("kombo")
    rig.clock.advance(MINUTE)
    rig.redrive("kombo", "absences-changed")
    rig.retry()
    assert rig.reconcile_asked() == ['{"source": "kombo"}']


def test_webhooks_in_a_row(rig: Rig, printed: Printed) -> None:
    """What was asked for before a complete run began is not run once more: that has seen the same."""
    for _ in range(3):
        rig.post("kombo", "absences-changed")
    rig.clock.advance(MINUTE)
    rig.reconcile_by_hand("kombo")
    printed()
    assert len(rig.reconcile_asked(age=MINUTE)) == 3
    assert lines(printed(), "reconciled") == []
    rig.post("kombo", "absences-changed")
    rig.reconcile_asked()
    assert len(lines(printed(), "reconciled")) == 1


def test_incomplete_run_is_no_answer(rig: Rig, printed: Printed) -> None:
    """A run that began since and was not complete has not seen what another one would."""
    with Served(Scripted([JSONResponse({"error": "x"}, 403)]).app()) as url:
        put_secret(rig, "hris", "kombo", {**rig.secrets["kombo"]["api"], "baseUrl": url})
        for _ in range(2):
            ask_for(rig, "kombo")
        rig.clock.advance(MINUTE)
        rig.reconcile_asked(age=MINUTE)
    assert [line["status"] for line in lines(printed(), "reconciled")] == ["incomplete"] * 2


def test_news_in_a_list_with_an_odd_entry(rig: Rig, printed: Printed) -> None:
    """A run that read the list to its end has seen what there is, also where it cannot read all of it."""
    odd = {"data": {"results": [{"id": "a-1", "status": "ODD"}], "next": None}}
    with Served(Scripted([odd]).app()) as url:
        put_secret(rig, "hris", "kombo", {**rig.secrets["kombo"]["api"], "baseUrl": url})
        for _ in range(2):
            ask_for(rig, "kombo")
        rig.clock.advance(MINUTE)
        rig.reconcile_asked(age=MINUTE)
    assert [line["status"] for line in lines(printed(), "reconciled")] == ["incomplete"]


def test_lost_badge(rig: Rig) -> None:
    """A badge that no webhook told of is counted with the next run."""
    rig.reconcile_by_hand("kisi-sydney")
    rig.happen("kisi", "badge-in", created_at=iso(rig.clock()))
    rig.clock.advance(15 * MINUTE)
    assert '{"source": "kisi-sydney"}' in rig.reconcile()
    rig.retry()
    assert rig.counts() == {"sydney-l3": 1, "sydney": 1}


def test_unknown_vendor(rig: Rig, printed: Printed) -> None:
    """A vendor that this version does not know keeps no other source from being asked."""
    sources = {**rig.config.sources, "deel": Source(vendor="a-newer-one")}
    newer = rig.config.model_copy(update={"sources": sources})
    push(rig.aws.dynamodb, rig.resources.table, newer, clock=rig.clock)
    rig.relay = rig.built()
    found = asked(rig)
    assert "deel" not in found
    assert "hibob" in found
    ask_for(rig, "deel")
    rig.reconcile_asked()
    [line] = lines(printed(), "not reconciled")
    assert (line["source"], line["error"]) == ("deel", "UnknownVendor")


def test_table_does_not_answer(rig: Rig, printed: Printed) -> None:
    """Without the table nothing is asked for and nothing runs; both are told."""
    rig.aws.dynamodb.delete_table(TableName=rig.resources.table)
    ask_for(rig, "deel")
    assert rig.reconcile() == ['{"source": "deel"}']
    text = printed()
    [line] = lines(text, "sources not asked for, the next run does it")
    assert line["error"] == "TableUnavailable"
    [line] = lines(text, "not reconciled")
    assert (line["source"], line["error"]) == ("deel", "TableUnavailable")


def test_queue_does_not_answer(rig: Rig, printed: Printed) -> None:
    """Sources that could not be asked for are asked for by the next run."""
    relay = rig.built(RECONCILE_QUEUE_URL=f"{rig.resources.reconcile_queue_url}-gone")
    reconcile.handle(relay, {"source": "aws.events"}, 800, "request-4")
    [line] = lines(printed(), "sources not asked for, the next run does it")
    assert line["error"] == "QueueUnavailable"
    assert "deel" in asked(rig)


def test_differences_that_cannot_be_queued(rig: Rig, printed: Printed) -> None:
    """Where the Unprocessed queue takes nothing, the run goes on in the next one."""
    rig.reconcile_by_hand("deel")
    rig.happen("deel", "approved")
    relay = rig.built(UNPROCESSED_QUEUE_URL=f"{rig.resources.unprocessed_queue_url}-gone")
    ask_for(rig, "deel")
    rig.reconcile_asked(relay)
    [line] = lines(printed(), "not reconciled")
    assert (line["source"], line["error"]) == ("deel", "QueueUnavailable")
    rig.clock.advance(1)
    assert '{"source": "deel"}' in rig.reconcile()
    rig.retry()
    assert [event["eventType"] for event in rig.calven()] == ["scheduled"]


def test_age(rig: Rig, printed: Printed) -> None:
    """The age counts from when the last complete run began; before the first one there is none."""
    assert asked(rig)
    assert figures(printed(), "ReconcileAge") == {}
    rig.reconcile()
    rig.clock.advance(15 * MINUTE)
    printed()
    asked(rig)
    assert figures(printed(), "ReconcileAge")["deel"] == 15 * MINUTE


def test_nothing_of_anybody_is_logged(rig: Rig, printed: Printed) -> None:
    """What is said of a run names no person and no credential."""
    for source in ("deel", "kisi-sydney"):
        rig.reconcile_by_hand(source)
    rig.happen("deel", "approved")
    rig.happen("kisi", "badge-in", created_at=iso(NOON))
    rig.clock.advance(DAY - 60)
    rig.reconcile()
    text = printed()
    assert lines(text, "reconciled")
    for secret in rig.secrets.values():
        assert not [value for value in secret.get("api", {}).values() if value in text and "://" not in value]
    assert "@example.com" not in text
