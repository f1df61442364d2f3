"""`relayctl import`: leave from a file, every faulty line named, and nothing sent that is known already."""

import json
import re
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from click.testing import CliRunner, Result

from localrun.template import STACK
from relayctl import leave_file
from relayctl.leave_file import BadFile
from relayctl.main import main
from tests.rig import Rig, sample
from tests.stack import deploy

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "a-system-that-cannot-be-asked.md"
AS_IAM_KNOWS_IT = {"SendMessageBatch": "SendMessage", "TransactWriteItems": "UpdateItem"}
HEADER = "email,start,end"
READ_AT = "2026-11-26T09:00:00.000Z"


def command(*arguments: str, given: bytes | None = None) -> Result:
    """`relayctl import` of Deel's source on the rig's stack; `given` is its standard input."""
    return CliRunner().invoke(main, ("--stack", STACK, "import", "deel", *arguments), input=given)


@pytest.fixture
def stack(rig: Rig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Rig:
    """The rig as a stack, with the clock of the command, which runs in an empty folder."""
    monkeypatch.chdir(tmp_path)
    deploy(rig)
    rig.clock.now = time.time()
    return rig


def in_days(number: int) -> str:
    """The day so many days from now."""
    return (date.today() + timedelta(days=number)).isoformat()  # noqa: DTZ011 - as the command takes it


def write(*rows: str, header: str = HEADER, name: str = "leave.csv") -> str:
    """A file of rows."""
    Path(name).write_text("\n".join((header, *rows)) + "\n", "utf-8")
    return name


def row(person: str, first: int, last: int | None = None) -> str:
    """A row of some coming days of somebody's."""
    return f"{person}@example.com,{in_days(first)},{in_days(first if last is None else last)}"


def imported(stack: Rig, *arguments: str) -> dict[str, Any]:
    """Import, and let the retry function do what was queued; what the command reports."""
    result = command("--json", *arguments)
    found: dict[str, Any] = json.loads(result.stdout)
    stack.clock.now = time.time()
    stack.retry()
    return found


def test_rows(stack: Rig) -> None:
    """Rows become leave; a second time nothing is sent."""
    file = write(row("kim", 10, 12), row("lou", 20))
    report = imported(stack, file)
    assert (report["status"], report["listed"], report["found"], report["queued"]) == ("complete", 2, 2, 2)
    assert list(stack.away("kim@example.com")) == [in_days(10), in_days(11), in_days(12)]
    before = len(stack.requests("/v1/timeoff"))
    again = imported(stack, file)
    assert (again["status"], again["queued"], again["differences"]) == ("complete", 0, [])
    assert len(stack.requests("/v1/timeoff")) == before


def test_table(stack: Rig) -> None:
    """Each difference is a row: the file's days, the ledger's, and what Calven holds of them."""
    header = f"leave,{HEADER}"
    imported(stack, write(f"1,{row('kim', 10, 11)}", f"2,{row('lou', 20)}", header=header))
    result = command(write(f"1,{row('kim', 11, 13)}", f"3,{row('max', 30)}", header=header))
    assert result.exit_code == 0
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    was, by_now = f"{in_days(10)} – {in_days(11)} leave", f"{in_days(11)} – {in_days(13)} leave"
    assert lines[0] == "source leave employee in the file in the ledger at Calven"
    assert lines[1] == f"deel 1 kim@example.com {by_now} {was} confirmed (2 of 4 days)"
    assert lines[2] == f"deel 3 max@example.com {in_days(30)} leave nothing no"
    assert lines[-2] == "deel complete 2 2 0 0 0 2"
    assert lines[-1].startswith("2 queued: ")


def test_dry_run(stack: Rig) -> None:
    """A dry run changes nothing, and exits 1 where there are differences."""
    file = write(row("kim", 10))
    assert command(file, "--dry-run").exit_code == 1
    assert stack.waiting() == []
    imported(stack, file)
    assert command(file, "--dry-run").exit_code == 0


def test_snapshot(stack: Rig) -> None:
    """What a snapshot lacks has ended, and what another file lacks has not; what is over is no end."""
    rows = [row("kim", number) for number in range(10, 14)]
    imported(stack, write(*rows))
    days = {"data__resource__start_date": in_days(-3), "data__resource__end_date": in_days(-1)}
    assert stack.post("deel", sample("deel", "approved", **days))[0] == 200
    assert imported(stack, write(*rows[1:]))["ends"] == 0
    report = imported(stack, write(*rows[1:]), "--snapshot")
    assert (report["status"], report["ends"]) == ("complete", 1)
    [end] = report["differences"]
    assert end["listed"] is None
    assert end["calven"] == {"state": "confirmed", "days": 1, "of": 1}
    assert in_days(10) not in stack.away("kim@example.com")
    imported(stack, write(*rows), "--snapshot")
    assert in_days(10) in stack.away("kim@example.com")


def test_snapshot_that_would_end_many(stack: Rig) -> None:
    """A snapshot that lacks most of the leave ends none, until somebody lets it."""
    imported(stack, write(*(row("kim", number) for number in range(10, 14))))
    file = write(row("kim", 10))
    result = command(file, "--snapshot")
    assert result.exit_code == 1
    assert result.stdout.count("not listed") == 3
    said = "relayctl import deel leave.csv --snapshot --accept-ends"
    assert said in result.stderr
    stack.retry()
    assert len(stack.away("kim@example.com")) == 4
    assert imported(stack, file, "--snapshot", "--accept-ends")["ends"] == 3
    assert list(stack.away("kim@example.com")) == [in_days(10)]


def test_faulty_lines(stack: Rig) -> None:
    """Each faulty line is named, without what stands in it; with one nothing is imported."""
    header = f"{HEADER},state,first_day_part"
    bad = [
        "kim@example.com,11/12/2026,2026-12-11,,",
        f"kim,{in_days(1)},,held,maybe",
        f"kim@example.com,{in_days(9)},{in_days(3)},,",
        "kim@example.com,2026-12-11,2026-12-11,,,,more",
    ]
    file = write(f"{row('lou', 5)},,", *bad, header=header)
    result = command(file)
    assert result.exit_code == 1
    assert [line for line in result.stderr.splitlines() if line.startswith("line ")] == [
        "line 3: start is no date such as 2026-12-24",
        "line 4: state is none of approved, requested, ended",
        "line 4: first_day_part is neither true nor false",
        "line 5: the leave ends before it starts",
        "line 6: it has more fields than the header",
    ]
    assert "kim" not in result.output
    assert stack.waiting() == []
    report = imported(stack, file, "--skip-faulty")
    assert (report["status"], report["queued"], len(report["faulty"])) == ("complete", 1, 5)
    assert list(stack.away("lou@example.com")) == [in_days(5)]


@pytest.mark.parametrize(
    ("last", "problem"),
    [
        ('"max@example.com,', "line 4: no CSV from here on: is a quotation mark not closed?"),
        ("x" * 200_000 + ",,", "line 4: no CSV from here on: a field is too long"),
    ],
)
def test_file_that_breaks_off(stack: Rig, last: str, problem: str) -> None:
    """What stands before the line that is no CSV is read, and its faults are named, too."""
    file = write(row("kim", 10), "kim@example.com,never,never", last)
    assert [line for line in command(file).stderr.splitlines() if line.startswith("line ")][-1] == problem
    report = imported(stack, file, "--skip-faulty")
    assert (report["queued"], len(report["faulty"])) == (1, 3)
    assert list(stack.away("kim@example.com")) == [in_days(10)]


def test_faulty_snapshot(stack: Rig) -> None:
    """A faulty line may be any leave: a snapshot with one ends nothing."""
    rows = [row("kim", number) for number in range(10, 14)]
    imported(stack, write(*rows))
    report = imported(stack, write(*rows[1:], "kim@example.com,never,never"), "--snapshot", "--skip-faulty")
    assert (report["status"], report["ends"], report["unreadable"]) == ("incomplete", 0, 1)
    assert len(stack.away("kim@example.com")) == 4


def test_json_lines(stack: Rig) -> None:
    """JSON lines of the generic format count by their own times, so that an older one changes nothing."""
    now = datetime.now(UTC)

    def line(start: int, changed: datetime, **more: Any) -> str:
        days = {"email": "kim@example.com", "start": in_days(start), "end": in_days(start)}
        return json.dumps(
            {"type": "leave", "id": "x", "leave": "1", **days, "changedAt": str(changed), **more}
        )

    Path("a.jsonl").write_text(line(10, now - timedelta(hours=1)))
    assert imported(stack, "a.jsonl")["queued"] == 1
    Path("b.jsonl").write_text(line(20, now - timedelta(hours=2)))
    assert imported(stack, "b.jsonl")["queued"] == 0
    Path("c.jsonl").write_text(line(30, now - timedelta(minutes=1), state="ended", reason="none of yours"))
    result = command("c.jsonl")
    assert result.stderr.splitlines()[0] == "line 1: it has a key that the format does not have"
    Path("d.jsonl").write_text(f"\n{line(10, now, state='ended')}\n")
    assert imported(stack, "d.jsonl")["queued"] == 1
    assert stack.away("kim@example.com") == {}


def test_standard_input(stack: Rig) -> None:
    """A file may come from a pipe, with a byte order mark, and with semicolons."""
    content = "\ufeff" + "\n".join([HEADER.replace(",", ";"), row("kim", 10).replace(",", ";")])
    result = command("-", given=content.encode())
    assert result.exit_code == 0, result.output
    stack.retry()
    assert list(stack.away("kim@example.com")) == [in_days(10)]


def test_what_is_over(stack: Rig) -> None:
    """Leave that is over, and that the ledger has forgotten, is not news each night."""
    report = imported(stack, write(row("kim", -200), row("kim", -1), row("kim", 0)))
    assert (report["listed"], report["queued"]) == (3, 1)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("import", "dael", "x"), "no source 'dael' is configured: did you mean 'deel'?"),
        (("import", "kisi-sydney", "x"), "kisi-sydney is no HR system"),
    ],
)
def test_wrong_source(stack: Rig, arguments: tuple[str, ...], said: str) -> None:
    """Only a configured HR system has leave."""
    Path("x").write_text(HEADER)
    result = CliRunner().invoke(main, ("--stack", STACK, *arguments))
    assert result.exit_code == 2
    assert said in result.stderr


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "it is empty"),
        (b"\xef\xbb\xbf \n", "it is empty"),
        (b"email,start,end\nk\xfcm@example.com,,", "line 2: not UTF-8"),
        (b"kim@example.com,2026-12-11,2026-12-11\n", "line 1: no header with columns of leave, email"),
        (b"email,start,end,stat\n", "line 1: unknown column 'stat': did you mean 'state'?"),
        (b"email,start,end,end\n", "line 1: the column end is there twice"),
        (b"email,state\n", "line 1: no column start, end"),
    ],
)
def test_bad_file(stack: Rig, content: bytes, said: str) -> None:
    """What is no such file is refused whole: exit code 1."""
    with pytest.raises(BadFile, match="^" + said[:20].replace("(", r"\(")):
        leave_file.read(content, READ_AT)
    result = command("-", "--skip-faulty", given=content)
    assert result.exit_code == 1
    assert said in result.stderr
    assert "kim@" not in result.stderr


def test_missing_file(stack: Rig) -> None:
    """A file that is not there is named."""
    result = command("nowhere.csv")
    assert result.exit_code == 1
    assert "nowhere.csv: No such file" in result.stderr


def test_policy(stack: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """The guide's policy allows the calls that an import makes, and no others."""
    [policy] = re.findall(r"^```json\n(.*?)^```$", GUIDE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    allowed: set[str] = set()
    for statement in json.loads(policy)["Statement"]:
        actions = statement["Action"]
        allowed.update([actions] if isinstance(actions, str) else actions)
    called: set[str] = set()

    def note(model: Any, **_: Any) -> None:
        called.add(f"{model.service_model.service_name}:{AS_IAM_KNOWS_IT.get(model.name, model.name)}")

    session = boto3.session.Session()
    session.events.register("before-call", note)
    monkeypatch.setattr(boto3.session, "Session", lambda *_arguments, **_names: session)
    rows = [row("kim", number) for number in range(10, 14)]
    assert command(write(*rows), "--snapshot").exit_code == 0
    stack.clock.now = time.time()
    stack.retry()
    assert command(write(*rows[1:]), "--snapshot").exit_code == 0
    assert called | {"cloudformation:DescribeStacks"} == allowed


def test_columns() -> None:
    """Columns are read in any order and case, tab-separated, with quotes; each line knows where it is."""
    text = "Type\tEMAIL\tEnd\tstart\tlast_day_part\n"
    text += '"Annual\nleave"\t kim@example.com \t2026-12-02\t2026-12-01\tyes\n\n'
    text += "Sick\tlou@example.com\t2026-12-02\t2026-12-02\n"
    lines = leave_file.read(text.encode(), READ_AT)
    assert lines.faults == []
    first, second = lines.entries
    assert (first.line, second.line) == (2, 5)
    assert (first.change.type_name, first.change.email) == ("Annual\nleave", "kim@example.com")
    assert (first.change.start, first.change.end) == ("2026-12-01", "2026-12-02")
    assert (first.change.first_day_part, first.change.last_day_part) == (False, True)
    assert second.change.version == READ_AT


def test_same_row_twice() -> None:
    """The same row twice is one leave; one id with other words is a fault of the later line."""
    rows = ["1,kim@example.com,2026-12-01,2026-12-02"] * 2
    rows += ["1,kim@example.com,2026-12-01,2026-12-03", ",lou@example.com,2026-12-01,2026-12-03"]
    lines = leave_file.read("\n".join(["leave,email,start,end", *rows]).encode(), READ_AT)
    assert [entry.line for entry in lines.entries] == [2, 5]
    assert [str(fault) for fault in lines.faults] == [
        "line 4: leave is that of line 2, which says something else of it"
    ]
    assert lines.entries[1].change.leave_id.startswith("row-")


def test_same_row_with_another_spelling_of_the_address() -> None:
    """Addresses are equal without regard to case, so that such rows say the same."""
    rows = ["Kim@example.com,2026-12-01,2026-12-02", "kim@example.com,2026-12-01,2026-12-02"]
    lines = leave_file.read("\n".join(["email,start,end", *rows]).encode(), READ_AT)
    assert ([entry.line for entry in lines.entries], lines.faults) == ([2], [])


def test_id_of_a_row() -> None:
    """A row without an id is the same leave in each file, also when it ends."""
    ids = set()
    for state in ("approved", "ended"):
        text = f"email,start,end,state\nKim@example.com,2026-12-01,2026-12-02,{state}\n"
        [entry] = leave_file.read(text.encode(), READ_AT).entries
        assert entry.change.state == state
        ids.add(entry.change.leave_id)
    assert len(ids) == 1


def test_json_lines_that_are_no_leave() -> None:
    """Each line is an object that says leave."""
    lines = [
        '{"type": "badge", "id": "1", "at": "2026-12-01T09:00:00Z", "door": "1"}',
        "[]",
        '{"leave": "1", "state": "ended"}',
        '{"leave": "2", "start": "2026-12-01", "end": "2026-12-01"}',
        '{"leave": "3", "email": "kim", "start": "2026-12-01", "end": "2026-12-01"}',
        "{",
    ]
    read = leave_file.read("\n".join(lines).encode(), READ_AT)
    assert [str(fault) for fault in read.faults] == [
        "line 1: type is not leave, which alone can be imported",
        "line 1: it has a key that the format does not have",
        "line 1: it has a key that the format does not have",
        "line 2: it is no JSON object",
        "line 4: email is missing",
        "line 5: email is no address",
        "line 6: it is no JSON object",
    ]
    [entry] = read.entries
    assert (entry.change.leave_id, entry.change.state) == ("1", "ended")
