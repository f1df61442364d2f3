"""Each alarm goes off for what it is there for, and for nothing else: metrics are played to all of them."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from tests import alarms
from tests.alarms import Measured
from tests.template import FOLDERS, ROOT, chosen, deployed, of_type, resource

NOW = 1_795_651_200.0
"""A day's beginning, UTC, and so the beginning of a window of any length."""
HOUR, DAY = 3600, 86_400


def ago(*points: tuple[float, float]) -> list[tuple[float, float]]:
    """Values, each so many seconds before now."""
    return [(NOW - seconds, value) for seconds, value in points]


def steady(value: float, *, every: float = 60, since: float = HOUR) -> list[tuple[float, float]]:
    """The same value time and again, up to now."""
    return ago(*((seconds, value) for seconds in range(30, int(since), int(every))))


@dataclass(frozen=True)
class Case:
    """What makes an alarm go off, and what does not."""

    fires: Measured
    quiet: Measured


ONCE = ago((30, 1))
"""One, a moment ago."""
LONG_AGO = ago((2 * HOUR, 1000))

CASES: Mapping[str, Case] = {
    "DeadLettersAlarm": Case(
        fires={"EventsDeadLettered": ago((30, 3)), "EventsDeadLettered(unmapped_door)": ago((30, 2))},
        quiet={"EventsDeadLettered": ago((30, 3)), "EventsDeadLettered(unmapped_door)": ago((30, 3))},
    ),
    "UnmappedDoorsAlarm": Case(
        fires={"EventsDeadLettered(unmapped_door)": ago((3500, 1))}, quiet={"EventsDeadLettered": ONCE}
    ),
    "DeadLetterQueueFillingAlarm": Case(
        fires={"ApproximateNumberOfMessagesVisible(DeadLetterQueue)": ago((30, 100))},
        quiet={"ApproximateNumberOfMessagesVisible(DeadLetterQueue)": steady(99)},
    ),
    "DeadLetterAgeAlarm": Case(
        fires={"ApproximateAgeOfOldestMessage(DeadLetterQueue)": steady(10 * DAY)},
        quiet={"ApproximateAgeOfOldestMessage(DeadLetterQueue)": steady(10 * DAY - 1)},
    ),
    "QueueAgeAlarm": Case(
        fires={"ApproximateAgeOfOldestMessage(UnprocessedQueue)": steady(1800)},
        quiet={"ApproximateAgeOfOldestMessage(UnprocessedQueue)": ago((30, 1800), (400, 1799))},
    ),
    "OldestWaitAlarm": Case(
        fires={"OldestWaitSeconds": ago((1100, 1801), (1100, 30))},
        quiet={"OldestWaitSeconds": ago((1300, 5000), (20, 1799))},
    ),
    "CalvenCredentialsAlarm": Case(
        fires={"EventsQueued(calven_configuration)": ONCE},
        quiet={"EventsQueued(calven_unavailable)": ONCE, "EventsQueued": ONCE},
    ),
    "ForwardFailuresAlarm": Case(
        fires={"CalvenRequests": steady(2), "CalvenFailures": steady(1)},
        quiet={"CalvenRequests": steady(3), "CalvenFailures": steady(1)},
    ),
    "RejectedSignaturesAlarm": Case(
        fires={"SignatureRejected": steady(4)}, quiet={"SignatureRejected": steady(3)}
    ),
    "ReconcileAgeAlarm": Case(
        fires={"ReconcileAge": ago((1700, 26 * HOUR), (1700, 60))},
        quiet={"ReconcileAge": steady(26 * HOUR - 1, every=900)},
    ),
    "ReconcileRefusedAlarm": Case(
        fires={"ReconcileRefused": ago((3500, 1), (30, 0))},
        quiet={"ReconcileRefused": [*steady(0), *ago((2 * HOUR, 1))]},
    ),
    "SilentSourcesAlarm": Case(
        fires={"SilentSources": ago((800, 1))}, quiet={"SilentSources": steady(0, every=900)}
    ),
    "ScheduleSilentAlarm": Case(
        fires={"SilentSources": ago((1801, 0), (2701, 0), (3601, 0))},
        quiet={"SilentSources": ago((1799, 0), (2699, 0), (3599, 0))},
    ),
    "ReconcileSilentAlarm": Case(
        fires={"SourcesDue": ago((1801, 0), (2701, 0), (3601, 0))},
        quiet={"SourcesDue": ago((1799, 0), (2699, 0), (3599, 0))},
    ),
    "RefreshTokenRefusedAlarm": Case(
        fires={"TokenRefusedSeconds": ago((1000, 600))}, quiet={"TokenRefusedSeconds": ago((30, 599))}
    ),
    "ApiServerErrorsAlarm": Case(fires={"5xx(WebhookApi)": ONCE}, quiet={"4xx(WebhookApi)": ONCE}),
    "ApiThrottledAlarm": Case(fires={"ApiThrottled": ONCE}, quiet={"ApiThrottled": LONG_AGO}),
    "LedgerThrottlesAlarm": Case(
        fires={"WriteThrottleEvents(LedgerTable)": ONCE}, quiet={"WriteThrottleEvents(LedgerTable)": LONG_AGO}
    ),
    "LedgerErrorsAlarm": Case(
        fires={"SystemErrors(LedgerTable, Query)": ONCE},
        quiet={"SystemErrors(LedgerTable, Query)": LONG_AGO, "UserErrors": ONCE},
    ),
    "InternalErrorsAlarm": Case(
        fires={"EventsQueued(internal_error)": ONCE}, quiet={"EventsQueued(calven_unavailable)": ONCE}
    ),
    "AccessControlInternalErrorsAlarm": Case(
        fires={"AccessControlInternalErrors": ago((59, 1))},
        quiet={"AccessControlInternalErrors": ago((181, 1)), "HrisInternalErrors": ONCE},
    ),
    "HrisInternalErrorsAlarm": Case(
        fires={"HrisInternalErrors": ago((59, 1))},
        # An event that waits for a mended version fails again in the retry function: no reason to go back.
        quiet={"HrisInternalErrors": ago((181, 1)), "EventsQueued(internal_error)": steady(1)},
    ),
    "AccessControlServerErrorsAlarm": Case(
        fires={"AccessControlServerErrors": ONCE}, quiet={"HrisServerErrors": ONCE}
    ),
    "HrisServerErrorsAlarm": Case(
        fires={"HrisServerErrors": ONCE}, quiet={"AccessControlServerErrors": ONCE}
    ),
    "AckLatencyAlarm": Case(
        fires={"AckLatency": steady(1800)},
        quiet={"AckLatency": [*steady(500, every=1, since=900), *ago((30, 30_000))]},
    ),
}


def of_functions() -> Iterator[tuple[str, Case]]:
    """The alarms that every function has."""
    for function in FOLDERS:
        prefix = function.removesuffix("Function")
        longest = resource(function)["Timeout"] * 1000
        for kind in ("Errors", "Throttles"):
            metric = f"{kind}({function})"
            yield f"{prefix}{kind}Alarm", Case({metric: ONCE}, {metric: LONG_AGO, f"{kind}(Another)": ONCE})
        metric = f"Duration({function})"
        slow, quick = steady(0.8 * longest), steady(0.79 * longest)
        yield f"{prefix}DurationAlarm", Case({metric: slow}, {metric: quick})


ALL = {**CASES, **dict(of_functions())}


def red(name: str, measured: Measured, now: float = NOW) -> bool:
    """Whether an alarm of the template is red."""
    return alarms.is_red(chosen(resource(name)), measured, now)


@pytest.mark.parametrize("name", ALL)
def test_fires(name: str) -> None:
    """An alarm goes off for what it is there for."""
    assert red(name, ALL[name].fires)


@pytest.mark.parametrize("name", ALL)
def test_stays_quiet(name: str) -> None:
    """It does not for what comes near, or is another one's, or is over."""
    assert not red(name, ALL[name].quiet)


DEAD_MANS_SWITCHES = {"ScheduleSilentAlarm": "SilentSources", "ReconcileSilentAlarm": "SourcesDue"}
"""Alarms that are red while a schedule says nothing, and what it says."""


def test_every_alarm_is_played() -> None:
    """No alarm is left out; the reminder has a day of its own below."""
    assert set(ALL) | {"DeadLetterReminderAlarm"} == set(of_type("AWS::CloudWatch::Alarm"))


@pytest.mark.parametrize("name", sorted(set(of_type("AWS::CloudWatch::Alarm")) - set(DEAD_MANS_SWITCHES)))
def test_a_quiet_relay_is_a_good_one(name: str) -> None:
    """Without webhooks there are no metrics, and nobody is called for that."""
    assert not red(name, {})


@pytest.mark.parametrize(("name", "metric"), DEAD_MANS_SWITCHES.items())
def test_the_schedule_is_missed(name: str, metric: str) -> None:
    """Two runs of a schedule that did not do their work are noticed, and so is one that never ran."""
    runs = [(NOW - 20 * HOUR + number * 900, 0.0) for number in range(80)]
    assert not red(name, {metric: runs})
    last = runs[-1][0]
    one_missed, two_missed = last + 2 * 900 - 1, last + 2 * 900 + 1
    assert not red(name, {metric: runs}, one_missed)
    assert red(name, {metric: runs}, two_missed)
    assert red(name, {metric: runs}, last + DAY)
    assert red(name, {})


@pytest.mark.slow
def test_reminder_of_dead_letters() -> None:
    """While a dead letter waits, the alarm begins once a day; an alarm tells of itself when it begins.

    Its end is not told, so that a day has one mail.
    """
    queue = "ApproximateNumberOfMessagesVisible(DeadLetterQueue)"
    waiting = {queue: [(NOW - HOUR + minute * 60, 1.0) for minute in range(4 * 24 * 60)]}
    states = [red("DeadLetterReminderAlarm", waiting, NOW + minute * 60) for minute in range(3 * 24 * 60)]
    begins = [minute for minute in range(1, len(states)) if states[minute] and not states[minute - 1]]
    assert begins == [(24 * day + 9) * 60 for day in range(3)]
    none = {queue: [(at, 0.0) for at, _ in waiting[queue]]}
    assert not any(red("DeadLetterReminderAlarm", none, NOW + minute * 60) for minute in range(24 * 60))
    assert "OKActions" not in resource("DeadLetterReminderAlarm")


def test_what_is_tried_in_vain_is_seen_although_sqs_is_silent() -> None:
    """An event tried every quarter of an hour has an alarm after half an hour, and it stays red.

    SQS leaves what was received three times or more out of its age:
    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html
    """
    tries = [30, 90, 210, 450, 930, *(1830 + 1080 * number for number in range(20))]
    waits = {"OldestWaitSeconds": [(NOW + wait, float(wait)) for wait in tries]}
    assert not red("OldestWaitAlarm", waits, NOW + 1800)
    assert all(red("OldestWaitAlarm", waits, NOW + 1831 + minute * 60) for minute in range(300))
    assert not red("QueueAgeAlarm", waits, NOW + HOUR)


def test_dead_letters_are_told_in_time() -> None:
    """The age counts from when a dead letter was sent, and so does its retention: four days are left.

    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/setting-up-dead-letter-queue-retention.html
    """
    alarm, queue = resource("DeadLetterAgeAlarm"), resource("DeadLetterQueue")
    assert queue["MessageRetentionPeriod"] - alarm["Threshold"] == 4 * DAY


def page() -> dict[str, None]:
    """The alarms that page, by the rule of the one that does: any of them."""
    (composite,) = of_type("AWS::CloudWatch::CompositeAlarm").values()
    rule = composite["AlarmRule"]["Fn::Sub"]
    assert " OR ".join(f"ALARM(${{{name}}})" for name in named(rule)) == " ".join(rule.split())
    return named(rule)


def test_page_is_explained() -> None:
    """Its section of the runbook names the alarms that page, and no others."""
    section = (ROOT / "docs/guides/operate.md").read_text("utf-8").partition("### relay-down\n")[2]
    means = section.partition("- **Do:**")[0]
    names = [resource(name)["AlarmName"]["Fn::Sub"].removeprefix("${AWS::StackName}-") for name in page()]
    assert re.findall(r"`([a-z-]+)`", means) == names


def pages(measured: Measured) -> bool:
    """Whether somebody is paged."""
    return any(red(name, measured) for name in page())


LOSES_TIME = (
    "QueueAgeAlarm",
    "OldestWaitAlarm",
    "CalvenCredentialsAlarm",
    "ForwardFailuresAlarm",
    "ApiServerErrorsAlarm",
    "AccessControlErrorsAlarm",
    "HrisErrorsAlarm",
    "RetryErrorsAlarm",
)


@pytest.mark.parametrize("name", ALL)
def test_page(name: str) -> None:
    """What loses time pages; what can wait for a mail does not."""
    assert pages(ALL[name].fires) is (name in LOSES_TIME)
    assert not pages(ALL[name].quiet)


def named(rule: str) -> dict[str, None]:
    """The alarms that a rule names, in order."""
    return dict.fromkeys(part.partition("}")[0] for part in rule.split("${")[1:])


def test_budget() -> None:
    """A budget is made where one is asked for, and tells whom the alarms tell; without one there is none.

    https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/aws-resource-budgets-budget.html
    """
    budget: dict[str, Any] = deployed()["Resources"]["Budget"]
    assert budget["Condition"] == "HasBudget"
    condition = {"Fn::If": ["HasBudget", True, False]}
    assert [chosen(condition, MonthlyBudget=dollars) for dollars in ("0", "50")] == [False, True]
    assert budget["Properties"]["Budget"]["BudgetLimit"] == {
        "Amount": {"Ref": "MonthlyBudget"},
        "Unit": "USD",
    }
    told = budget["Properties"]["NotificationsWithSubscribers"]
    kinds = {each["Notification"]["NotificationType"]: each["Notification"]["Threshold"] for each in told}
    assert kinds == {"ACTUAL": 80, "FORECASTED": 100}
    assert all(each["Subscribers"][0]["Address"] == {"Ref": "AlarmEmail"} for each in told)
    [assertion] = deployed()["Rules"]["BudgetTellsSomebody"]["Assertions"]
    assert assertion["Assert"] == {"Fn::Not": [{"Fn::Equals": [{"Ref": "AlarmEmail"}, ""]}]}
