"""What the stack costs: the sums of docs/explanations/cost.md, and what they are computed from."""

from pathlib import Path

import pytest

from build import cost, usage
from localrun.template import Template
from tests.template import deployed, of_type

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def stack() -> cost.Stack:
    """The template's own."""
    return cost.Stack(Template())


def test_alarm_on_math_is_billed_by_its_metrics() -> None:
    """An expression is none itself, and an alarm without one looks at one metric."""
    metric = {"Id": "m", "MetricStat": {}}
    assert cost.billed_metrics({"MetricName": "Errors"}) == 1
    assert cost.billed_metrics({"Metrics": [{"Id": "e", "Expression": "m + n"}, metric, metric]}) == 2


def test_memory_is_the_template_s(stack: cost.Stack) -> None:
    """What is read from the template, in GB and seconds."""
    assert (stack.badge_memory, stack.retry_memory, stack.intervals["ReconcileFunction"]) == (1, 0.5, 900)
    assert stack.watching > sum(stack.alarms) * cost.ALARM_METRIC


def test_use_adds_up() -> None:
    """Twice a use is the use with itself."""
    use = usage.Use(reads=3, log_bytes=100)
    assert usage.together([use, use]) == use.times(2)


def test_price_of_a_million() -> None:
    """A million of a unit costs what AWS's list says."""
    million = usage.Use(api=1, runs=1, reads=1, writes=1, sqs=1).times(cost.MILLION)
    assert cost.dollars(million) == pytest.approx(1.00 + 0.20 + 0.125 + 0.625 + 0.40)


def test_batches_are_cheaper() -> None:
    """The more badges in a batch, the less each costs; alone in it, more than a direct one."""
    alone, together = (cost.dollars(usage.queued_badge(number, 1, 0.5)) for number in (1, 100))
    assert together < cost.dollars(usage.direct_badge(1)) < alone


def test_sums(stack: cost.Stack) -> None:
    """Figures by source are all that `metricsBySource: false` leaves out."""
    company = usage.Company(employees=100, sites=1, access_sources=1, processes=1)
    bill = cost.bill(company, stack, queued=False)
    assert bill.without_sources == pytest.approx(sum(bill.rows.values()))
    assert bill.with_sources - bill.without_sources == pytest.approx(2 * len(cost.OF_SOURCE) * 0.30)


@pytest.mark.parametrize(("value", "shown"), [(0, "$0.00"), (0.001, "under $0.01"), (1234.5, "$1,234.50")])
def test_amount(value: float, shown: str) -> None:
    """Something is never shown as nothing."""
    assert cost.amount(value) == shown


def test_page_on_floods_has_these_prices() -> None:
    """What an hour at a route's limit costs, in docs/explanations/security.md, is by this list."""
    requests = deployed()["Parameters"]["AccessControlRate"]["Default"] * 3600
    page = " ".join((ROOT / "docs" / "explanations" / "security.md").read_text("utf-8").split())
    said = f"{requests:,} requests an hour: ${requests * cost.API_REQUEST:.2f} for the API"
    assert f"{said}, ${requests * cost.RUN:.2f} for Lambda's requests" in page
    assert f"about ${requests * 0.005 * cost.GB_SECOND:.2f} for their 5 ms each" in page


def test_access_line() -> None:
    """A line of the access log is about as long as it is counted."""
    values = {
        "requestId": "L2xQeiYrIAMEPJg=",
        "requestTime": "28/Nov/2026:02:28:15 +0000",
        "identity.sourceIp": "203.0.113.7",
        "routeKey": "POST /webhooks/access-control/{source}",
        "path": "/webhooks/access-control/kisi-sydney",
        "status": "200",
        "responseLatency": "123",
        "integrationLatency": "120",
        "integration.status": "200",
        "integration.integrationStatus": "200",
        "error.message": "-",
        "integrationErrorMessage": "-",
    }
    (stage,) = of_type("AWS::ApiGatewayV2::Stage").values()
    line = stage["AccessLogSettings"]["Format"]
    for name in sorted(values, key=len, reverse=True):
        line = line.replace(f"$context.{name}", values[name])
    assert "$context" not in line
    assert len(line) == pytest.approx(usage.ACCESS_LINE, rel=0.1)
