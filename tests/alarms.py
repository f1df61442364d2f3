"""CloudWatch's alarms, as far as the template uses them: what state an alarm is in, given what was measured.

By the documented rules:
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarm-evaluation.html (windows that end now),
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarms-and-missing-data.html (what is missing),
and https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/using-metric-math.html (expressions).
"""

import ast
import math
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import fmean
from typing import Any

Json = Mapping[str, Any]
Points = Sequence[tuple[float, float]]
"""When something was measured (Unix seconds), and its value."""
Measured = Mapping[str, Points]
"""By metric: its name, with its dimensions' values where it has any, as in `EventsQueued(unmapped_door)`."""
Series = dict[float, float]
"""A value for each window in which there was one, by the window's beginning."""

FURTHER_WINDOWS = 2
"""So many windows more than it evaluates does CloudWatch look at, where data are missing."""
COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "GreaterThanOrEqualToThreshold": operator.ge,
    "GreaterThanThreshold": operator.gt,
    "LessThanThreshold": operator.lt,
    "LessThanOrEqualToThreshold": operator.le,
}


@dataclass(frozen=True)
class Windows:
    """The windows that an alarm looks at: their beginnings, newest first, and their length in seconds."""

    begins: tuple[float, ...]
    period: float


def is_red(alarm: Json, measured: Measured, now: float) -> bool:
    """Whether an alarm is in the state ALARM. One that keeps its state on missing data is not known here."""
    wanted = alarm["EvaluationPeriods"]
    period = period_of(alarm)
    begins = tuple(now - period * (number + 1) for number in range(wanted + FURTHER_WINDOWS))
    series = series_of(alarm, measured, Windows(begins, period))
    compare = COMPARISONS[alarm["ComparisonOperator"]]
    breaches = [compare(series[begin], alarm["Threshold"]) if begin in series else None for begin in begins]
    found = [breach for breach in breaches if breach is not None]
    if len(found) >= wanted and None in breaches:
        # Enough is known, if older: then what is missing is not looked at.
        evaluated: list[bool] = found[:wanted]
    else:
        missing = {"breaching": True, "notBreaching": False}[alarm["TreatMissingData"]]
        evaluated = [missing if breach is None else breach for breach in breaches[:wanted]]
    return bool(sum(evaluated) >= alarm.get("DatapointsToAlarm", wanted))


def period_of(alarm: Json) -> float:
    """The length of an alarm's windows; all metrics of an expression have the same."""
    stats = [each["MetricStat"]["Period"] for each in alarm.get("Metrics", []) if "MetricStat" in each]
    [period] = set(stats or [alarm["Period"]])
    return float(period)


def series_of(alarm: Json, measured: Measured, windows: Windows) -> Series:
    """What an alarm compares with its threshold, window by window."""
    if "Metrics" not in alarm:
        statistic = alarm.get("Statistic") or alarm["ExtendedStatistic"]
        return aggregate(measured.get(key_of(alarm), ()), statistic, windows)
    named: dict[str, Series] = {}
    for each in alarm["Metrics"]:
        if "MetricStat" in each:
            stat = each["MetricStat"]
            named[each["Id"]] = aggregate(measured.get(key_of(stat["Metric"]), ()), stat["Stat"], windows)
    [expression] = [each["Expression"] for each in alarm["Metrics"] if each.get("ReturnData", True)]
    return Expression(named, windows).value(expression)


def key_of(metric: Json) -> str:
    """A metric's key in what was measured."""
    values = [str(text(each["Value"])) for each in metric.get("Dimensions", [])]
    return f"{metric['MetricName']}({', '.join(values)})" if values else metric["MetricName"]


def text(value: Any) -> Any:
    """A dimension's value: the logical id that it refers to, or itself."""
    match value:
        case {"Ref": name} | {"Fn::GetAtt": [name, _]}:
            return name
        case _:
            return value


def aggregate(points: Points, statistic: str, windows: Windows) -> Series:
    """A statistic of the values in each window that has any."""
    found: Series = {}
    earliest, latest = windows.begins[-1], windows.begins[0] + windows.period
    points = [point for point in points if earliest <= point[0] < latest]
    for begin in windows.begins:
        values = [value for at, value in points if begin <= at < begin + windows.period]
        if values:
            found[begin] = statistic_of(values, statistic)
    return found


def statistic_of(values: Sequence[float], statistic: str) -> float:
    """A statistic by CloudWatch's name for it. A percentile is the value that so many do not exceed."""
    if statistic.startswith("p"):
        rank = math.ceil(len(values) * float(statistic[1:]) / 100)
        return sorted(values)[rank - 1]
    functions: dict[str, Callable[[Sequence[float]], float]] = {
        "Sum": sum,
        "Maximum": max,
        "Minimum": min,
        "Average": fmean,
        "SampleCount": len,
    }
    return float(functions[statistic](values))


OPERATORS: dict[type[ast.AST], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Lt: operator.lt,
    ast.Eq: operator.eq,
}


@dataclass(frozen=True)
class Expression:
    """Metric math over series. A window counts where every series that a term names has it.

    `FILL` fills every window, those of a metric that was never measured too.
    """

    named: Mapping[str, Series]
    windows: Windows

    def value(self, expression: str) -> Series:
        """The series that an expression makes."""
        written = expression.replace("&&", " and ").replace("||", " or ").strip()
        return self._series(ast.parse(written, mode="eval").body)

    def _series(self, node: ast.AST) -> Series:
        match node:
            case ast.Name(id=name):
                return self.named[name]
            case ast.Constant(value=int() | float() as number):
                return dict.fromkeys(self.windows.begins, float(number))
            case ast.BinOp(left=left, op=sign, right=right):
                return self._combined(OPERATORS[type(sign)], left, right)
            case ast.Compare(left=left, ops=[sign], comparators=[right]):
                return self._combined(OPERATORS[type(sign)], left, right)
            case ast.BoolOp(op=ast.And(), values=[left, right]):
                return self._combined(lambda one, other: bool(one and other), left, right)
            case ast.Call(func=ast.Name(id=name), args=arguments):
                return self._call(name, arguments)
            case _:
                raise AssertionError(ast.dump(node))

    def _combined(self, of_two: Callable[[float, float], float], left: ast.AST, right: ast.AST) -> Series:
        one, other = self._series(left), self._series(right)
        return {begin: float(of_two(one[begin], other[begin])) for begin in one if begin in other}

    def _call(self, name: str, arguments: Sequence[ast.AST]) -> Series:
        match name, arguments:
            case "FILL", [series, value]:
                return self._series(value) | self._series(series)
            case "HOUR", [series]:
                return {
                    begin: float(datetime.fromtimestamp(begin, UTC).hour) for begin in self._series(series)
                }
            case "IF", [condition, true, false]:
                return self._chosen(self._series(condition), true, false)
            case _:
                raise AssertionError(name)

    def _chosen(self, condition: Series, true: ast.AST, false: ast.AST) -> Series:
        # An operand that is not chosen may be undefined, such as a share of nothing.
        found: Series = {}
        for begin, holds in condition.items():
            alone = Expression(
                {name: {begin: series[begin]} for name, series in self.named.items() if begin in series},
                Windows((begin,), self.windows.period),
            )
            found |= alone._series(true if holds else false)
        return found
