"""Alarms, dashboard and runbook, held against what the code emits: nothing is watched that nobody says."""

import json
import re
from collections.abc import Callable
from contextlib import redirect_stdout
from fnmatch import fnmatchcase
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from moto import mock_aws

from build import cost
from localrun.template import STACK
from localrun.vendor_api import SPENT
from tests.rig import Rig, sample
from tests.sandboxes import Sandboxes
from tests.template import deployed, of_type

ROOT = Path(__file__).parents[2]
NAMESPACE = "CalvenRelay/${AWS::StackName}"
Figure = tuple[str, frozenset[str]]
"""A metric and the names of its dimensions."""
SEARCH = re.compile(r"SEARCH\('\{\"([^\"]+)\",([\w,]+)\} MetricName=\"(\w+)\"'")


def ours(text: Any) -> bool:
    """Whether a namespace is the relay's own."""
    return text in (NAMESPACE, {"Fn::Sub": NAMESPACE})


def watched() -> set[Figure]:
    """What alarms and dashboard read under the relay's namespace."""
    found: set[Figure] = set()
    for alarm in of_type("AWS::CloudWatch::Alarm").values():
        stats = [each["MetricStat"]["Metric"] for each in alarm.get("Metrics", []) if "MetricStat" in each]
        for metric in stats or [alarm]:
            if ours(metric["Namespace"]):
                names = frozenset(each["Name"] for each in metric.get("Dimensions", []))
                found.add((metric["MetricName"], names))
    for widget in dashboard()["widgets"]:
        for entry in widget["properties"]["metrics"]:
            if isinstance(entry[0], dict):
                search = SEARCH.match(entry[0]["expression"])
                assert search is not None
                assert search[1] == NAMESPACE
                found.add((search[3], frozenset(search[2].split(","))))
            elif ours(entry[0]):
                found.add((entry[1], frozenset()))
    return found


def filtered() -> set[Figure]:
    """The figures that CloudWatch makes of log lines."""
    filters = of_type("AWS::Logs::MetricFilter").values()
    made = [transformation for each in filters for transformation in each["MetricTransformations"]]
    assert all(ours(each["MetricNamespace"]) for each in made)
    return {(each["MetricName"], frozenset()) for each in made}


def matches(pattern: str, line: str) -> bool:
    """Whether a line of JSON has the values that a filter pattern asks its fields for.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntax.html
    """
    fields = json.loads(line)
    terms = re.findall(r'\$\.(\w+) = "([^"]+)"', pattern)
    assert pattern.count("$.") == len(terms) > 0
    return all(fnmatchcase(str(fields.get(name)), wanted) for name, wanted in terms)


def dashboard() -> dict[str, Any]:
    """The dashboard's body."""
    (properties,) = of_type("AWS::CloudWatch::Dashboard").values()
    body: dict[str, Any] = json.loads(properties["DashboardBody"]["Fn::Sub"])
    return body


def emitted(text: str) -> set[Figure]:
    """The figures in what the functions print."""
    found: set[Figure] = set()
    for line in text.splitlines():
        if '"_aws"' in line:
            for directive in json.loads(line)["_aws"]["CloudWatchMetrics"]:
                for dimensions in directive["Dimensions"]:
                    found |= {(metric["Name"], frozenset(dimensions)) for metric in directive["Metrics"]}
    return found


def live(rig: Rig) -> None:
    """Have everything happen that the relay counts."""
    rig.post("kisi", "badge-in")
    rig.post("kisi", "denied")
    rig.post("kisi", "unmapped-door")
    rig.post("kisi", "badge-in", headers={})
    rig.fail("503")
    rig.post("kisi", sample("kisi", "badge-out"))
    rig.retry()
    rig.recover()
    secret = rig.secrets["doorflow"]
    spent = {**secret, "api": {**secret["api"], "refreshToken": SPENT}}
    name = f"{STACK}/access-control/doorflow"
    rig.aws.secrets.put_secret_value(SecretId=name, SecretString=json.dumps(spent))
    rig.post("doorflow", "admitted")
    rig.reset()
    rig.reconcile()
    rig.clock.advance(24 * 3600)
    rig.reconcile()


@pytest.fixture(scope="module")
def said(sandboxes: Sandboxes) -> set[Figure]:
    """What the relay emits when everything happens that it counts."""
    output = StringIO()
    with mock_aws(), Rig(sandboxes) as rig, redirect_stdout(output):
        live(rig)
    return emitted(output.getvalue())


@pytest.mark.slow
def test_everything_watched_is_emitted(said: set[Figure]) -> None:
    """An alarm on a metric that nobody emits never goes off."""
    assert watched() <= said | filtered(), watched() - said - filtered()


def test_everything_emitted_is_watched(said: set[Figure]) -> None:
    """A metric that nobody looks at costs money."""
    assert {name for name, _ in said | filtered()} == {name for name, _ in watched()}


def test_figures_are_those_that_cost_counts(said: set[Figure]) -> None:
    """docs/explanations/cost.md counts each figure over all sources, and most of them for each source."""
    of_all = {name for name, dimensions in said if not dimensions}
    of_source = {name for name, dimensions in said if "Source" in dimensions}
    assert of_all == {*cost.OF_ALL}
    # It comes up only where a vendor refuses a token.
    assert of_source == {*cost.OF_SOURCE, "TokenRefusedSeconds"}


@pytest.mark.parametrize(
    ("vendor", "event", "name"),
    [("kisi", "badge-in", "AccessControlInternalErrors"), ("deel", "approved", "HrisInternalErrors")],
)
def test_faults_of_the_relay_are_counted(
    rig: Rig, printed: Callable[[], str], vendor: str, event: str, name: str
) -> None:
    """A fault's log line is the one that its function's filter looks for, and good events have none."""
    pattern = of_type("AWS::Logs::MetricFilter")[name]["FilterPattern"]
    relay = rig.built()
    assert rig.post(vendor, "denied" if vendor == "kisi" else "requested", relay=relay)[0] == 200
    assert not [line for line in printed().splitlines() if matches(pattern, line)]
    del relay.calven
    assert rig.post(vendor, event, relay=relay)[1]["reason"] == "internal_error"
    assert [line for line in printed().splitlines() if matches(pattern, line)]


@pytest.mark.parametrize(
    ("name", "status", "path", "counted"),
    [
        ("AccessControlServerErrors", "503", "/webhooks/access-control/kisi", True),
        ("AccessControlServerErrors", "500", "/webhooks/hris/deel", False),
        ("AccessControlServerErrors", "401", "/webhooks/access-control/kisi", False),
        ("HrisServerErrors", "502", "/webhooks/hris/factorial/approve", True),
        ("HrisServerErrors", "202", "/webhooks/hris/5xx", False),
    ],
)
def test_answers_are_counted_by_family(name: str, status: str, path: str, counted: bool) -> None:
    """A line of the access log counts for the family whose route was asked."""
    (stage,) = of_type("AWS::ApiGatewayV2::Stage").values()
    line = stage["AccessLogSettings"]["Format"].replace("$context.status", status)
    pattern = of_type("AWS::Logs::MetricFilter")[name]["FilterPattern"]
    assert matches(pattern, line.replace("$context.path", path)) is counted


def waits(text: str) -> list[float]:
    """How long events have waited that were tried in vain, as the functions print it."""
    figures = [json.loads(line) for line in text.splitlines() if '"OldestWaitSeconds"' in line]
    return [wait for line in figures for wait in line["OldestWaitSeconds"]]


def test_what_is_tried_in_vain_tells_its_wait(rig: Rig, printed: Callable[[], str]) -> None:
    """The longest wait of a batch goes out once; what was forwarded waits no more, a dead letter neither."""
    rig.fail("503")
    rig.post("deel", "approved")
    rig.post("hibob", "approved")
    printed()
    rig.retry(age=2000)
    assert waits(printed()) == [2000]
    rig.retry(age=27 * 3600)
    assert waits(printed()) == []
    rig.post("deel", "approved")
    rig.recover()
    rig.retry(age=3000)
    assert waits(printed()) == []


def test_an_event_that_moves_on_takes_its_wait_along(rig: Rig, printed: Callable[[], str]) -> None:
    """A badge that waits becomes facts in another message, and has waited as long as before."""
    stored = rig.built(FORWARD_MODE="queued")
    rig.post("kisi", "badge-in", relay=stored)
    rig.fail("503")
    rig.retry(age=1000)
    rig.retry(age=0)
    assert [round(wait) for wait in waits(printed())] == [1000, 1000]


def test_dimensions(said: set[Figure]) -> None:
    """No person, door or id is a dimension."""
    assert {names for _, names in said} == {
        frozenset(),
        frozenset({"Source", "Vendor"}),
        frozenset({"Reason"}),
    }


DEAD_MANS_SWITCHES = ("ScheduleSilentAlarm", "ReconcileSilentAlarm")
"""What is red while nobody says anything."""


def test_alarms_have_a_section_in_the_runbook() -> None:
    """Each alarm goes somewhere, says what missing data means, and links to what to do; none is left over."""
    path = "docs/guides/operate.md"
    _, _, runbook = (ROOT / path).read_text("utf-8").partition("\n## Alarms\n")
    sections = [line.removeprefix("### ") for line in runbook.splitlines() if line.startswith("### ")]
    alarms = {**of_type("AWS::CloudWatch::Alarm"), **of_type("AWS::CloudWatch::CompositeAlarm")}
    anchors = set()
    for name, alarm in alarms.items():
        assert alarm["AlarmActions"], name
        missing = "breaching" if name in DEAD_MANS_SWITCHES else "notBreaching"
        assert alarm.get("TreatMissingData", missing) == missing
        anchors.add(alarm["AlarmDescription"].rpartition(f"{path}#")[2])
    known = {anchor for section in sections for anchor in section.split(", ")}
    assert anchors == known, anchors ^ known


def test_alarms_reach_encrypted_topics() -> None:
    """Topics are encrypted with a key that CloudWatch may use, and mail somebody where one is named."""
    topics = of_type("AWS::SNS::Topic")
    assert set(topics) == {"AlarmTopic", "PageTopic"}
    for topic in topics.values():
        assert topic["KmsMasterKeyId"] == {"Ref": "AlarmKey"}
        assert topic["Subscription"]["Fn::If"][1] == [
            {"Protocol": "email", "Endpoint": {"Ref": "AlarmEmail"}}
        ]
    assert {"cloudwatch.amazonaws.com"} <= {
        statement["Principal"].get("Service")
        for statement in deployed()["Resources"]["AlarmKey"]["Properties"]["KeyPolicy"]["Statement"]
    }


def test_queries_use_fields_of_the_log(rig: Rig, printed: Callable[[], str]) -> None:
    """The saved queries ask for what the log's lines have."""
    rig.post("kisi", "badge-in")
    rig.post("kisi", "unmapped-door")
    rig.post("kisi", "badge-in", headers={})
    rig.reconcile_by_hand("bamboohr")
    rig.happen("bamboohr", "approved")
    for _ in range(2):
        rig.clock.advance(3600)
        rig.reconcile()
        rig.retry()
        rig.vendors.delete("/_vendors/happened")
    rig.aws.dynamodb.delete_table(TableName=rig.resources.table)
    rig.reconcile()
    lines = [json.loads(line) for line in printed().splitlines() if '"message"' in line]
    fields = {name for line in lines for name in line} | {"attempts", "letters", "last", "events", "rejected"}
    for query in of_type("AWS::Logs::QueryDefinition").values():
        words = set(re.findall(r"\b[a-z]+_?[a-z]*\b", re.sub(r'"[^"]*"', "", query["QueryString"])))
        syntax = {
            "fields",
            "filter",
            "sort",
            "stats",
            "count",
            "latest",
            "pct",
            "as",
            "by",
            "asc",
            "desc",
            "or",
        }
        assert words - syntax - {"timestamp", "p"} <= fields, words - syntax - fields


def test_one_id_from_the_answer_to_calven(rig: Rig) -> None:
    """The delivery's id is in the vendor's answer, in Calven's header, and in the envelope of what waits."""
    rig.post("kisi", "badge-in")
    assert rig.answer_headers["x-correlation-id"] == "request-1"
    request = rig.requests("/v1/occupancy")[0]
    assert {name.lower(): value for name, value in request["headers"].items()}["correlationid"] == "request-1"
    rig.fail("503")
    rig.post("kisi", "badge-out")
    assert [envelope["correlation_id"] for envelope in rig.waiting()] == ["request-1"]


def test_silent_sources(rig: Rig, printed: Callable[[], str]) -> None:
    """A source is silent after 72 hours, counted from when the schedule first looked for it.

    One whose vendor sends no webhooks is not.
    """
    rig.post("kisi", "badge-in")
    rig.reset()
    rig.clock.advance(71 * 3600)
    rig.post("deel", "approved")
    rig.reset()
    assert "source silent" not in printed()
    rig.clock.advance(2 * 3600)
    rig.reset(rig.built())
    log = printed()
    named = {json.loads(line)["source"] for line in log.splitlines() if "source silent" in line}
    assert "kisi-sydney" in named
    assert not named & {"deel", "bamboohr"}
    assert (
        f'"SilentSources":[{len(named)}.0]' in log.replace(" ", "")
        or f'"SilentSources":[{len(named)}]' in log
    )
