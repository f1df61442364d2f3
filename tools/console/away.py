"""The view Away: who is away on which days, four weeks at a time. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from console.rows import Row, message_row, number_of, tag, text
from relay.time_off.rules import Held, wanted
from relay.time_off.submission import Employee

DAYS = 28
MOST_PEOPLE = 500
"""So many are shown at once; a search finds the others."""


@dataclass(frozen=True, slots=True)
class Day:
    """A day away: its type, and whether Calven has confirmed it. `given_back`: it is being cancelled."""

    type: str
    confirmed: bool
    given_back: bool = False

    @property
    def words(self) -> str:
        """For people."""
        if self.given_back:
            return f"{self.type}, being given back"
        return f"{self.type}, {'confirmed' if self.confirmed else 'pending'}"


def monday(day: date) -> date:
    """The first day of a week."""
    return day - timedelta(days=day.weekday())


def days_from(first: date) -> list[date]:
    """Four weeks."""
    return [first + timedelta(days=number) for number in range(DAYS)]


def days_away(employee: Employee) -> dict[date, Day]:
    """Each day on which an employee is or is to be away, as Calven may hold it or shall."""
    want = wanted(employee.leaves.values())
    found: dict[date, Day] = {}
    for day, held in employee.held.items():
        found[day] = _held_day(held, want.get(day))
    for day, kind in want.items():
        found.setdefault(day, Day(kind, confirmed=False))
    return found


def _held_day(held: Held, wanted_type: str | None) -> Day:
    if wanted_type is None:
        return Day(held.type or "leave", held.confirmed, given_back=True)
    return Day(wanted_type, held.confirmed and held.type == wanted_type)


def away_head(first: date, today: date) -> str:
    """The heading: a column for each day, by weeks."""
    days = days_from(first)
    weeks = "".join(
        tag("th", text(f"{day:%d %b %Y}"), colspan="7", scope="colgroup", class_="week") for day in days[::7]
    )
    names = "".join(
        tag(
            "th",
            f"{text(f'{day:%a}'[:2])}<br>{day.day}",
            scope="col",
            class_=_day_class(day, today),
            title=f"{day:%A %d %B}",
        )
        for day in days
    )
    return tag("tr", tag("th", "Who", rowspan="2", scope="col", class_="who") + weeks) + tag("tr", names)


def _day_class(day: date, today: date) -> str:
    kinds = ["day"]
    if day.weekday() >= 5:
        kinds.append("weekend")
    if day.weekday() == 0:
        kinds.append("monday")
    if day == today:
        kinds.append("today")
    return " ".join(kinds)


def away_rows(people: Sequence[Employee], first: date, today: date, search: str = "") -> list[Row]:
    """A row for everybody who is away within four weeks and whose address has the search in it."""
    days, sought = days_from(first), search.strip().casefold()
    classes = {day: _day_class(day, today) for day in days}
    found: list[Row] = []
    for employee in people:
        if sought not in employee.email.casefold():
            continue
        away = {day: one for day, one in days_away(employee).items() if day in classes}
        if away:
            found.append(_person_row(employee.email, away, classes))
    if not found:
        return [message_row("none", _nobody(people, search), DAYS + 1)]
    left = len(found) - MOST_PEOPLE
    if left > 0:
        words = f"and {number_of(left, 'more person', 'more people')}: search for an address"
        return [*found[:MOST_PEOPLE], message_row("more", words, DAYS + 1)]
    return found


def _nobody(people: Sequence[Employee], search: str) -> str:
    if search.strip():
        return f"nobody whose address has “{search.strip()}” in it is away in these four weeks"
    if people:
        return "nobody is away in these four weeks: look at others with the buttons above"
    return "no leave yet: send one with `relayctl send hibob`, or in Try"


def _person_row(email: str, away: Mapping[date, Day], classes: Mapping[date, str]) -> Row:
    cells = "".join(_day_cell(email, day, away.get(day), classes[day]) for day in classes)
    return Row(email, tag("tr", tag("th", text(email), scope="row", class_="who") + cells))


def _day_cell(email: str, day: date, away: Day | None, class_: str) -> str:
    if away is None:
        return tag("td", class_=class_)
    state = "confirmed" if away.confirmed and not away.given_back else "pending"
    mark = tag("span", away.type[0].upper(), class_=f"away {away.type} {state}")
    words = f"{email}, {day}: {away.words}"
    return tag(
        "td",
        mark,
        class_=class_,
        title=f"{day:%a %d %b}: {away.words}",
        aria_label=words,
        data_testid=f"away-{email}-{day}",
        data_type=away.type,
        data_state=state,
    )
