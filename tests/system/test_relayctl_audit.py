"""`relayctl calven audit`: what Calven does not show, whom it does not know, and what is sent once more."""

import json
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from click.testing import CliRunner, Result
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from localrun.serve import Served
from localrun.template import STACK
from relay.deadline import Deadline
from relay.time_off.items import employee_key
from relay.time_off.ledger import Leaves
from relayctl import analytics
from relayctl.main import main
from tests.rig import Rig, sample
from tests.stack import deploy

KIM, LOU = "kim@example.com", "lou@example.com"
ATTENDANCE = "/v1/analytics/user-booking-attendance"
READER = f"{STACK}/calven-reader"


def command(*arguments: str) -> Result:
    """`relayctl calven audit` on the rig's stack."""
    return CliRunner().invoke(main, ("--stack", STACK, "calven", "audit", *arguments))


def audited(*arguments: str) -> dict[str, Any]:
    """What it prints as JSON."""
    found: dict[str, Any] = json.loads(command("--json", *arguments).stdout)
    return found


@pytest.fixture
def stack(rig: Rig) -> Rig:
    """The rig as a stack, with the clock of the command."""
    deploy(rig)
    rig.clock.now = time.time()
    return rig


def in_days(number: int) -> str:
    """The day so many days from now."""
    return (datetime.now(UTC).date() + timedelta(days=number)).isoformat()


def approve(rig: Rig, email: str, first: int, last: int, status: int = 200) -> None:
    """Approve some coming days of somebody's."""
    days = {"data__resource__start_date": in_days(first), "data__resource__end_date": in_days(last)}
    ids = {"data__resource__id": f"{email}-{first}", "data__meta__tracking_id": f"{email}-{first}"}
    who = {"data__resource__requester__work_email": email}
    assert rig.post("deel", sample("deel", "approved", **days, **ids, **who))[0] == status


def take_out(rig: Rig, email: str, day: int) -> None:
    """Have somebody take a day out of their plan."""
    order = {"email": email, "day": in_days(day)}
    rig.sandbox.request("DELETE", "/_sandbox/away", json=order).raise_for_status()


def times_off(rig: Rig) -> list[dict[str, Any]]:
    """What was sent of time off, event by event."""
    requests = rig.requests("/v1/timeoff")
    return [event for request in requests for event in request["body"]["timeOffEvents"]]


def test_all_is_well(stack: Rig) -> None:
    """What Calven shows as the ledger has it is exit code 0."""
    approve(stack, KIM, 10, 12)
    approve(stack, LOU, 20, 20)
    result = command()
    assert result.exit_code == 0, result.output
    last = f"compared: 4 confirmed days of 2 employees, from {in_days(0)} to {in_days(20)}"
    assert result.stdout.splitlines() == ["missing at Calven: nothing", "Calven does not know: nothing", last]


def test_missing(stack: Rig) -> None:
    """A day that Calven does not show is missing: exit code 1, and nothing is sent."""
    approve(stack, KIM, 10, 12)
    take_out(stack, KIM, 11)
    sent = len(times_off(stack))
    result = command()
    assert result.exit_code == 1
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert lines[:3] == [
        "missing at Calven:",
        "employee start end type plan",
        f"{KIM} {in_days(11)} {in_days(11)} holiday nothing",
    ]
    assert len(times_off(stack)) == sent


def test_resubmit(stack: Rig) -> None:
    """The missing days are sent once more as new events, and nothing else; the lease is free again."""
    approve(stack, KIM, 10, 14)
    approve(stack, LOU, 20, 20)
    for day in (10, 12, 13):
        take_out(stack, KIM, day)
    before = times_off(stack)
    result = command("--resubmit", "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["resubmitted"] == {"accepted": 2, "failed": [], "busy": []}
    again = times_off(stack)[len(before) :]
    said = [(one["eventType"], one["startDate"], one["endDate"], one["timeOffType"]) for one in again]
    assert said == [
        ("scheduled", in_days(10), in_days(10), "holiday"),
        ("scheduled", in_days(12), in_days(13), "holiday"),
    ]
    assert not {one["eventId"] for one in again} & {one["eventId"] for one in before}
    assert len(stack.away(KIM)) == 5
    employee = stack.relay.table.get([employee_key(KIM)])[employee_key(KIM)]
    assert employee["lease"] == []
    assert command().exit_code == 0


def test_resubmit_nothing(stack: Rig) -> None:
    """Where nothing is missing nothing is sent."""
    approve(stack, KIM, 10, 10)
    sent = len(times_off(stack))
    assert audited("--resubmit")["resubmitted"] is None
    assert len(times_off(stack)) == sent


def test_resubmit_waits_for_others(stack: Rig) -> None:
    """An employee of whom another submission is under way is left alone: exit code 1."""
    approve(stack, KIM, 10, 10)
    take_out(stack, KIM, 10)
    leaves = Leaves(stack.relay.table)
    assert leaves.lease(KIM, 60, Deadline(time.time() + 60)) is not None
    result = command("--resubmit")
    assert result.exit_code == 1
    assert f"not sent: {KIM}: another submission is under way" in result.stderr


def test_resubmit_of_what_has_ended(stack: Rig) -> None:
    """A day that is missing, and no longer wanted, is not sent again, and that is told: exit code 1."""
    approve(stack, KIM, 10, 11)
    take_out(stack, KIM, 10)
    leaves, deadline = Leaves(stack.relay.table), Deadline(time.time() + 60)
    employee = leaves.lease(KIM, 60, deadline)
    assert employee is not None
    changes = {
        "data__resource__id": f"{KIM}-10",
        "data__resource__start_date": in_days(10),
        "data__resource__end_date": in_days(11),
        "data__resource__requester__work_email": KIM,
    }
    assert stack.post("deel", sample("deel", "canceled", **changes))[0] == 202
    leaves.release(employee, deadline)
    result = command("--resubmit")
    assert result.exit_code == 1
    assert f"not taken: {KIM}: some of the days are not wanted so any more" in result.stderr


def test_change_meanwhile(stack: Rig) -> None:
    """What changes while days are sent again waits for that, and is not lost."""
    approve(stack, KIM, 10, 10)
    leaves, deadline = Leaves(stack.relay.table), Deadline(time.time() + 60)
    employee = leaves.lease(KIM, 60, deadline)
    assert employee is not None
    approve(stack, KIM, 20, 20, status=202)
    assert list(stack.away(KIM)) == [in_days(10)]
    leaves.release(employee, deadline)
    stack.retry()
    assert sorted(stack.away(KIM)) == [in_days(10), in_days(20)]
    leaves.release(employee, deadline)


def test_calven_refuses_again(stack: Rig) -> None:
    """What Calven does not take again is named: exit code 1."""
    approve(stack, KIM, 10, 10)
    take_out(stack, KIM, 10)
    stack.fail("400", endpoint="/v1/timeoff")
    result = command("--resubmit")
    assert result.exit_code == 1
    assert f"not taken: {KIM}: rejected" in result.stderr


def test_whom_calven_does_not_know(stack: Rig) -> None:
    """An employee whose address Calven does not know is named, with the days: exit code 1."""
    approve(stack, KIM, 10, 11)
    approve(stack, LOU, 20, 20)
    stack.refuse(users=[KIM])
    found = audited()
    assert found["unknown"] == [{"employee": KIM, "start": in_days(10), "end": in_days(11)}]
    assert found["missing"] == []
    assert command().exit_code == 1


def test_extra(stack: Rig) -> None:
    """Days away that the relay never told are shown when asked for, and are no problem."""
    approve(stack, KIM, 10, 10)
    key = stack.secrets["calven"]
    claim = {"client_id": key["apiKey"], "client_secret": key["apiSecret"]}
    token = stack.sandbox.post("/v1/auth/token", json=claim).json()["access_token"]
    days = {"eventType": "scheduled", "startDate": in_days(10), "endDate": in_days(11)}
    for email in (KIM, "max@example.com"):
        event = {"eventId": email, "email": email, **days}
        headers = {"authorization": f"Bearer {token}", "x-calven-region": "ause1"}
        answer = stack.sandbox.post("/v1/timeoff", json={"timeOffEvents": [event]}, headers=headers)
        answer.raise_for_status()
    assert audited()["extra"] is None
    result = command("--extra", "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["extra"] == [
        {"employee": KIM, "start": in_days(11), "end": in_days(11)},
        {"employee": "max@example.com", "start": in_days(10), "end": in_days(11)},
    ]
    of_source = audited("--extra", "--source", "deel")["extra"]
    assert of_source == [{"employee": KIM, "start": in_days(11), "end": in_days(11)}]
    assert "away at Calven, and never told by the relay:" in command("--extra").stdout


@pytest.mark.parametrize("last", [(), ("--to", "9999-12-31")])
def test_extra_at_the_end_of_the_calendar(stack: Rig, last: Sequence[str]) -> None:
    """There is no day after the year 9999, and none is asked about."""
    found = audited("--extra", "--from", "9999-12-20", *last)
    assert (found["to"], found["extra"]) == ("9999-12-31", [])


def test_days_and_source(stack: Rig) -> None:
    """The days, and the source whose leave is compared, can be chosen; days past are never compared."""
    approve(stack, KIM, -3, 2)
    approve(stack, KIM, 10, 10)
    assert audited()["days"] == 4
    assert audited("--from", in_days(-3))["from"] == in_days(0)
    assert audited("--from", in_days(2), "--to", in_days(9))["days"] == 1
    assert audited("--source", "deel")["days"] == 4
    assert audited("--source", "hibob")["employees"] == 0
    assert command("--to", in_days(-1)).exit_code == 2
    assert "did you mean 'deel'?" in command("--source", "deal").stderr


def test_pieces(stack: Rig) -> None:
    """Calven is asked for 30 days at a time, each day once."""
    approve(stack, KIM, 70, 70)
    assert command().exit_code == 0
    assert len(stack.requests(ATTENDANCE)) == 3


def test_without_secret(stack: Rig) -> None:
    """Without a key that reads, the command says how to put one."""
    stack.aws.secrets.delete_secret(SecretId=READER, ForceDeleteWithoutRecovery=True)
    result = command()
    assert result.exit_code == 1
    assert "relayctl secrets put calven-reader" in result.stderr


def test_key_that_may_not_read(stack: Rig) -> None:
    """A key of another role is named as the problem."""
    secret = json.dumps(stack.secrets["calven"])
    stack.aws.secrets.put_secret_value(SecretId=READER, SecretString=secret)
    result = command()
    assert result.exit_code == 1
    assert "Calven answered 403: give that API key the role Data Warehouse" in result.stderr


def test_secret_is_optional(stack: Rig) -> None:
    """The reader's secret is checked where there is one, and by its name; `put` takes it."""

    def secrets(*arguments: str, given: str | None = None) -> Result:
        return CliRunner().invoke(main, ("--stack", STACK, "secrets", *arguments), input=given)

    assert "ok       secret calven-reader" in secrets("check").stdout
    stack.aws.secrets.delete_secret(SecretId=READER, ForceDeleteWithoutRecovery=True)
    assert "calven-reader" not in secrets("check").stdout
    assert "problem  secret calven-reader: there is none" in secrets("check", "calven-reader").stdout
    assert secrets("put", "calven-reader", "--add").exit_code == 2
    content = json.dumps(stack.secrets["calven-reader"])
    assert secrets("put", "calven-reader", "--from-file", "-", given=content).exit_code == 0
    assert command().exit_code == 0


@pytest.fixture
def odd_calven(rig: Rig) -> Iterator[list[Response]]:
    """A Calven that gives tokens, and answers questions with what a test puts here."""
    answers: list[Response] = []

    async def token(_: Request) -> Response:
        return JSONResponse({"token": "t", "expiration": time.time() + 3600})

    async def answer(_: Request) -> Response:
        return answers.pop(0) if len(answers) > 1 else answers[0]

    routes = [
        Route("/v1/auth", token, methods=["POST"]),
        Route("/v1/analytics/{what}", answer),
    ]
    with Served(Starlette(routes=routes)) as url:
        deploy(rig, calven_url=url)
        yield answers


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Response("hello"), "Calven's answer is unreadable"),
        (JSONResponse({"error": "none"}), "Calven's answer is unreadable: /v1/analytics/users"),
        (JSONResponse([{"email": KIM}]), "Calven's answer is unreadable: /v1/analytics/users"),
        (Response(status_code=404), "Calven answered 404"),
        (Response(status_code=422), "Calven answered 422"),
        (Response(status_code=429, headers={"retry-after": "600"}), "Calven answered 429"),
    ],
)
def test_odd_answers(
    odd_calven: list[Response], answer: Response, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer that is no list of people is said so: exit code 1, no traceback."""
    monkeypatch.setattr(analytics, "PAUSE_SECONDS", 0.01)
    odd_calven.append(answer)
    result = command()
    assert result.exit_code == 1
    assert said in result.stderr


def test_asked_again(rig: Rig, odd_calven: list[Response]) -> None:
    """Calven is asked again after the wait that it names; plans of strangers are nobody's."""
    rig.clock.now = time.time()
    approve(rig, KIM, 1, 1)
    user = {"userId": "1", "email": " KIM@example.com ", "status": "active"}
    plans = [
        {"userId": "1", "day": f"{in_days(1)}T00:00:00.000Z", "plan": "r"},
        {"userId": "2", "day": f"{in_days(1)}T00:00:00.000Z", "plan": "a"},
    ]
    too_many = Response(status_code=429, headers={"retry-after": "0"})
    odd_calven += [too_many, JSONResponse([user]), too_many, JSONResponse(plans)]
    day = {"start": in_days(1), "end": in_days(1)}
    assert audited()["missing"] == [{"employee": KIM, **day, "type": "holiday", "plan": "remote"}]
