"""Files of leave: CSV with a header, or JSON lines of the generic format; and what is wrong with their lines.

A message names the line and the column, and nothing that stands there: it is about people.
"""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from io import StringIO
from typing import Any

from pydantic import ValidationError

from relay.config.file import did_you_mean
from relay.errors import Unparseable
from relay.events import LeaveChange, read_json, same_person
from relay.time_off.rules import ADDRESS
from relay.vendors.generic import Leave

COLUMNS: Mapping[str, str] = {
    "leave": "leave",
    "email": "email",
    "start": "start",
    "end": "end",
    "state": "state",
    "type": "leaveType",
    "first_day_part": "firstDayPart",
    "last_day_part": "lastDayPart",
}
"""The columns of a CSV file, and what the generic format calls them."""
REQUIRED = ("email", "start", "end")
SEPARATORS = (",", ";", "\t")
OF_OUR_OWN = "file"
"""An id in the place of one that the file does not give."""
WRONG: Mapping[str, str] = {
    "leave": "is no id of 1 to 200 characters",
    "email": "is longer than 320 characters",
    "start": "is no date such as 2026-12-24",
    "end": "is no date such as 2026-12-24",
    "state": "is none of approved, requested, ended",
    "changedAt": "is no time with a zone such as 2026-12-24T09:00:00Z",
    "firstDayPart": "is neither true nor false",
    "lastDayPart": "is neither true nor false",
    "everyDayPart": "is neither true nor false",
}


class BadFile(Exception):
    """A file of which no line can be read; the message says why."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a line. `column` is empty where it is the line as a whole."""

    line: int
    column: str
    problem: str

    def __str__(self) -> str:
        """For people."""
        return (
            f"line {self.line}: {self.column} {self.problem}"
            if self.column
            else f"line {self.line}: {self.problem}"
        )


@dataclass(frozen=True, slots=True)
class Entry:
    """A line that can be read, and where it is."""

    line: int
    change: LeaveChange


@dataclass(slots=True)
class Lines:
    """The lines of a file: those that can be read, and what is wrong with the others."""

    entries: list[Entry] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Record:
    """A line in the words of the generic format; `names` has the file's own word where that is another."""

    line: int
    values: Mapping[str, Any]
    names: Mapping[str, str]


def read(content: bytes, read_at: str) -> Lines:
    """Read a file, UTF-8 with a byte order mark or without. Raises `BadFile`.

    `read_at` (as in `relay.events.iso`) is the version of what has no time of its own.
    """
    text = _text(content)
    lines = Lines()
    if text.lstrip()[:1] in ("{", "["):
        records = _json_records(text, lines.faults)
    else:
        records = _csv_records(text, lines.faults)
    first_said: dict[tuple[str, str], Entry] = {}
    for record in records:
        entry = _entry(record, read_at, lines.faults)
        if entry is None:
            continue
        before = first_said.setdefault((entry.change.leave_id, entry.change.version), entry)
        if before is entry:
            lines.entries.append(entry)
        elif not _say_the_same(before.change, entry.change):
            problem = f"is that of line {before.line}, which says something else of it"
            lines.faults.append(Fault(entry.line, record.names.get("leave", "leave"), problem))
    return lines


def _say_the_same(one: LeaveChange, other: LeaveChange) -> bool:
    """Whether two lines say the same of a leave, however they write its employee's address."""
    # What a leave says is digested without the address.
    is_of_one = same_person(one.email or "") == same_person(other.email or "")
    return is_of_one and one.content == other.content


def _text(content: bytes) -> str:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise BadFile(f"line {line}: not UTF-8") from None
    if not text.strip():
        raise BadFile("it is empty")
    return text


def _json_records(text: str, faults: list[Fault]) -> Iterator[_Record]:
    # Not `splitlines`: JSON may hold characters that it takes for the end of a line.
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            values = read_json(line.encode())
        except Unparseable:
            values = None
        if not isinstance(values, dict):
            faults.append(Fault(number, "", "it is no JSON object"))
        else:
            yield _Record(number, values, {})


def _csv_records(text: str, faults: list[Fault]) -> Iterator[_Record]:
    separator, columns = _header(text)
    names = {COLUMNS[column]: column for column in columns}
    rows = csv.reader(StringIO(text, newline=""), delimiter=separator, strict=True)
    line = 1
    try:
        for row in rows:
            # A field in quotes may go over several lines.
            began, line = line, rows.line_num + 1
            is_header, is_blank = began == 1, not any(map(str.strip, row))
            if is_header or is_blank:
                continue
            if any(map(str.strip, row[len(columns) :])):
                faults.append(Fault(began, "", "it has more fields than the header"))
                continue
            given = zip(columns, map(str.strip, row), strict=False)
            yield _Record(began, {COLUMNS[column]: value for column, value in given if value}, names)
    except csv.Error as error:
        is_long = "field limit" in str(error)
        why = "a field is too long" if is_long else "is a quotation mark not closed?"
        faults.append(Fault(line, "", f"no CSV from here on: {why}"))


def _header(text: str) -> tuple[str, Sequence[str]]:
    """The separator, and the columns. Raises `BadFile`."""
    first = text.splitlines()[0]
    by_separator = {separator: _names(first, separator) for separator in SEPARATORS}
    separator = max(SEPARATORS, key=lambda one: len(COLUMNS.keys() & set(by_separator[one])))
    columns = by_separator[separator]
    if not COLUMNS.keys() & set(columns):
        # It may be somebody's leave: it is not shown.
        raise BadFile(f"line 1: no header with columns of {', '.join(COLUMNS)}")
    for column in columns:
        if column not in COLUMNS:
            raise BadFile(f"line 1: unknown column {column!r}{did_you_mean(column, COLUMNS)}")
        if columns.count(column) > 1:
            raise BadFile(f"line 1: the column {column} is there twice")
    if missing := [column for column in REQUIRED if column not in columns]:
        raise BadFile(f"line 1: no column {', '.join(missing)}")
    return separator, columns


def _names(line: str, separator: str) -> list[str]:
    return [name.strip().strip('"').strip().lower() for name in line.split(separator)]


def _entry(record: _Record, read_at: str, faults: list[Fault]) -> Entry | None:
    """A record as a leave change; None, with its faults noted, where it is none."""
    own = {"type": "leave", "id": OF_OUR_OWN, "leave": OF_OUR_OWN, "state": "approved", "changedAt": read_at}
    values = {**own, **record.values}
    if isinstance(values["state"], str):
        values["state"] = values["state"].strip().lower()
    try:
        leave = Leave.model_validate(values)
    except ValidationError as error:
        faults += [_fault(record, one["loc"], one["type"]) for one in error.errors(include_input=False)]
        return None
    change = leave.event()
    wrong = list(_missing(record, change))
    faults += wrong
    return None if wrong else Entry(record.line, _named(record, change, read_at))


def _fault(record: _Record, place: Sequence[int | str], kind: str) -> Fault:
    if kind == "extra_forbidden":
        # The name of a key that nobody knows is the file's own text.
        return Fault(record.line, "", "it has a key that the format does not have")
    name = str(place[0])
    if name == "type":
        return Fault(record.line, name, "is not leave, which alone can be imported")
    # What no encoding takes is half of a character.
    problems = {"missing": "is missing", "string_unicode": "holds what is no text"}
    problem = problems.get(kind) or WRONG.get(name, "cannot be read")
    return Fault(record.line, record.names.get(name, name), problem)


def _missing(record: _Record, change: LeaveChange) -> Iterator[Fault]:
    """What a change lacks: only the end of a leave that has an id may leave out whose it is and when."""
    if change.state == "ended" and "leave" in record.values:
        return
    for name, value in (("email", change.email), ("start", change.start), ("end", change.end)):
        if not value:
            yield Fault(record.line, name, "is missing")
    if change.email and not ADDRESS.fullmatch(change.email):
        yield Fault(record.line, "email", "is no address")


def _named(record: _Record, change: LeaveChange, read_at: str) -> LeaveChange:
    """The change with ids of its content: the same row is the same leave, and says the same, in each file."""
    has_id, has_time = "leave" in record.values, "changedAt" in record.values
    leave_id = change.leave_id if has_id else f"row-{_digest(_identity(change))}"
    said = [leave_id, change.content, change.email]
    return change.model_copy(
        update={
            "leave_id": leave_id,
            "event_id": f"file:{_digest(said)}",
            "version": change.version if has_time else read_at,
        }
    )


def _identity(change: LeaveChange) -> list[object]:
    """What makes a row without an id the leave that it is; not its state, so that it can be ended."""
    parts = [change.first_day_part, change.last_day_part, change.each_day is not None]
    return [same_person(change.email or ""), change.start, change.end, change.type_name, *parts]


def _digest(said: Sequence[object]) -> str:
    return sha256(json.dumps(said).encode()).hexdigest()[:32]
