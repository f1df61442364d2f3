"""`relayctl dlq`: what an operator sees of the dead letters, and does with them."""

import base64
import json
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import chain, repeat
from typing import Any
from unittest.mock import DEFAULT, Mock

import pytest
from botocore.exceptions import ClientError
from click.testing import CliRunner, Result

from localrun.aws import Aws, create
from localrun.template import Template
from localrun.world import World
from relayctl import dead_letters, target
from relayctl.dead_letters import Selection
from relayctl.main import main
from tests.rig import Rig
from tests.servers import aws_error

Command = Callable[..., Result]


@pytest.fixture
def command(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> Command:
    """`relayctl dlq` on the rig's stack."""
    monkeypatch.setattr(target, "deployed", lambda _: rig.target())

    def run(*arguments: str, answer: str | None = None) -> Result:
        # Nobody takes what is redriven here, so nobody waits for it.
        wait = ("--wait", "0") if arguments[0] == "redrive" else ()
        return CliRunner().invoke(main, ("--stack", "relay", "dlq", *arguments, *wait), input=answer)

    return run


def letter(
    rig: Rig, number: int, *, reason: str = "rejected", source: str = "deel", hours: float = 1
) -> None:
    """Put a dead letter into its queue, so many hours old."""
    received_at = (datetime.now(UTC) - timedelta(hours=hours)).isoformat()
    envelope = {
        "id": f"letter-{number}",
        "source": source,
        "vendor": "deel",
        "kind": "time_off",
        "reason": reason,
        "detail": "Calven answered 400",
        "received_at": received_at,
        "attempts": 3,
        "event": {"form": "ignored", "reason": "requested"},
    }
    put(rig, json.dumps(envelope))


def put(rig: Rig, body: str) -> None:
    """Put a message into the dead-letter queue."""
    rig.aws.sqs.send_message(QueueUrl=rig.resources.dead_letter_queue_url, MessageBody=body)


def three(rig: Rig) -> None:
    """Three letters: of two reasons, two sources and three ages."""
    letter(rig, 1, hours=1)
    letter(rig, 2, reason="unmapped_door", source="kisi-sydney", hours=5)
    letter(rig, 3, reason="unmapped_door", hours=50)


CHOICES: dict[str, tuple[Sequence[str], set[int]]] = {
    "all": ((), {1, 2, 3}),
    "all, said": (("--all",), {1, 2, 3}),
    "a reason": (("--reason", "unmapped_door"), {2, 3}),
    "two reasons": (("--reason", "unmapped_door", "--reason", "rejected"), {1, 2, 3}),
    "a source": (("--source", "kisi-sydney"), {2}),
    "an id": (("--id", "letter-3"), {3}),
    "two ids": (("--id", "letter-3", "--id", "letter-1"), {1, 3}),
    "older": (("--older-than", "2h"), {2, 3}),
    "newer": (("--newer-than", "2d"), {1, 2}),
    "between": (("--older-than", "90m", "--newer-than", "1d"), {2}),
    "both": (("--reason", "unmapped_door", "--source", "deel"), {3}),
    "none": (("--reason", "open_ended"), set()),
}


def ids(envelopes: Sequence[dict[str, Any]]) -> set[int]:
    """The numbers of letters."""
    return {int(envelope["id"].removeprefix("letter-")) for envelope in envelopes}


@pytest.mark.parametrize("choice", CHOICES)
def test_choice(rig: Rig, command: Command, choice: str) -> None:
    """Every command takes the letters that fit all that was said, and leaves the others."""
    three(rig)
    arguments, meant = CHOICES[choice]
    assert ids(json.loads(command("list", "--json", *arguments).stdout)) == meant
    assert ids([json.loads(line) for line in command("export", *arguments).stdout.splitlines()]) == meant
    dry = command("redrive", "--dry-run", "--json", *arguments)
    assert json.loads(dry.stdout) == {"redriven": 0, "meant": len(meant)}
    assert ids(rig.dead_letters()) == {1, 2, 3}
    result = command("redrive", "--json", *arguments)
    found = json.loads(result.stdout)
    assert (found["redriven"], found["meant"], found["back"]) == (len(meant), len(meant), {})
    assert ids(rig.waiting()) == meant
    assert ids(rig.dead_letters()) == {1, 2, 3} - meant


def test_purge(rig: Rig, command: Command) -> None:
    """Letters are deleted after a yes only, and only those that are meant."""
    three(rig)
    refused = command("purge", "--reason", "rejected", answer="n\n")
    assert refused.exit_code == 1
    assert "Delete 1 dead letter for good?" in refused.stderr
    assert ids(rig.dead_letters()) == {1, 2, 3}
    assert command("purge", "--reason", "rejected", answer="y\n").stdout == "1 dead letter deleted\n"
    assert ids(rig.dead_letters()) == {2, 3}
    assert json.loads(command("purge", "--yes", "--json").stdout) == {"purged": 2}
    assert rig.dead_letters() == []
    assert rig.waiting() == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("list", "--all", "--reason", "rejected"),
        ("redrive", "--older-than", "soon"),
        ("redrive", "--rate", "0"),
        ("show",),
    ],
)
def test_usage(command: Command, arguments: Sequence[str]) -> None:
    """Wrong usage is exit code 2."""
    assert command(*arguments).exit_code == 2


def test_list(rig: Rig, command: Command) -> None:
    """The list begins with how many there are of each reason and source, and how old the oldest is."""
    for number in range(60):
        letter(rig, number, hours=number / 2 + 1)
    letter(rig, 61, reason="unmapped_door", source="kisi-sydney")
    lines = [line.split() for line in command("list").stdout.splitlines()]
    assert lines[:3] == [
        ["letters", "reason", "source", "oldest"],
        ["60", "rejected", "deel", "1", "d"],
        ["1", "unmapped_door", "kisi-sydney", "1", "h"],
    ]
    shown = command("list").stdout
    assert "and 11 more" in shown
    assert shown.endswith("61 dead letters\n")


def test_empty(command: Command) -> None:
    """An empty queue is no failure."""
    assert (command("list").stdout, command("list", "--json").stdout) == ("0 dead letters\n", "[]\n")
    assert command("redrive").stdout == "0 dead letters sent through the relay again\n"


def test_show(rig: Rig, command: Command) -> None:
    """A letter is shown whole, with the body of the request that it holds."""
    rig.post("kisi", b'{"uuid": "\\u001b[31m"}')
    [dead] = rig.dead_letters()
    assert json.loads(command("show", dead["id"], "--json").stdout) == dead
    shown = command("show", dead["id"]).stdout
    assert shown.endswith('body of the request:\n{"uuid": "\\u001b[31m"}\n')
    assert json.loads(shown.partition("body of the request:")[0]) == dead


def test_show_unreadable_body(rig: Rig, command: Command) -> None:
    """Bytes that are no text, and what a terminal would act upon, are shown as such."""
    body = base64.b64encode(b"\xff\x1b[31m").decode()
    put(rig, json.dumps({"id": "odd", "request": {"body": body}}))
    assert command("show", "odd").stdout.endswith("\ufffd\\u001b[31m\n")


def test_show_nothing(command: Command) -> None:
    """An id that is not there is exit code 1."""
    result = command("show", "nothing")
    assert (result.exit_code, result.stderr) == (1, "Error: there is no dead letter 'nothing'\n")


def test_redriven_once_mended(rig: Rig, command: Command) -> None:
    """What is redriven goes the way of every event, with its first wait to come, and arrives."""
    rig.refuse(users=["Sam@example.com"])
    rig.post("deel", "approved")
    assert [dead["attempts"] for dead in rig.dead_letters()] == [1]
    rig.refuse(users=[])
    assert command("redrive").exit_code == 0
    assert [waiting["attempts"] for waiting in rig.waiting()] == [0]
    rig.retry()
    assert len(rig.away("Sam@example.com")) == 5
    assert rig.dead_letters() == []


def test_not_mended(rig: Rig, command: Command) -> None:
    """What comes back to the queue under its id can be redriven again."""
    rig.post("kisi", "unmapped-door")
    [before] = rig.dead_letters()
    for _ in range(2):
        assert command("redrive").stdout.startswith("1 dead letter sent")
        rig.retry()
        [after] = rig.dead_letters()
        assert (after["id"], after["reason"]) == (before["id"], "unmapped_door")


def test_comes_back_meanwhile(rig: Rig) -> None:
    """A letter that comes back while others are still redriven stays: the command ends."""
    for number in range(12):
        letter(rig, number)
    back: list[dict[str, Any]] = []

    def back_at_once(number: int) -> None:
        for envelope in rig.waiting()[:number]:
            put(rig, json.dumps(envelope))
            back.append(envelope)

    assert len(dead_letters.redrive(rig.target(), Selection(), back_at_once).sent) == 12
    assert len(back) == 12
    assert ids(rig.dead_letters()) == ids(back)


class Interrupt(BaseException):
    """Somebody pressed Ctrl-C."""


def test_interrupted(rig: Rig) -> None:
    """After an interrupted redrive every letter is in one of the queues, and the next run sends the rest."""
    for number in range(25):
        letter(rig, number)

    def interrupt(_: int) -> None:
        raise Interrupt

    with pytest.raises(Interrupt):
        dead_letters.redrive(rig.target(), Selection(), interrupt)
    sent, left = ids(rig.waiting()), ids(rig.dead_letters())
    assert len(sent) == 10
    assert sent | left == set(range(25))
    assert len(dead_letters.redrive(rig.target(), Selection(), lambda _: None).sent) == 15
    assert ids(rig.waiting()) == set(range(25))
    assert rig.dead_letters() == []


def test_queue_refuses(rig: Rig, command: Command) -> None:
    """Where the Unprocessed queue takes nothing, every letter stays: exit code 1."""
    letter(rig, 1)
    rig.aws.sqs.delete_queue(QueueUrl=rig.resources.unprocessed_queue_url)
    result = command("redrive")
    assert result.exit_code == 1
    assert "Traceback" not in result.output
    assert ids(rig.dead_letters()) == {1}


def test_rate(rig: Rig, command: Command) -> None:
    """With a rate, letters go no faster than that."""
    for number in range(4):
        letter(rig, number)
    began = datetime.now(UTC)
    assert command("redrive", "--rate", "8").exit_code == 0
    assert (datetime.now(UTC) - began).total_seconds() >= 0.5


def test_message_that_is_no_envelope(rig: Rig, command: Command) -> None:
    """What somebody else put into the queue is sent as it is, and comes back as a letter that says so."""
    put(rig, "hello")
    assert command("redrive").exit_code == 0
    rig.retry()
    [dead] = rig.dead_letters()
    assert dead["reason"] == "unparseable"


def test_unknown_reason(command: Command) -> None:
    """A reason that no letter ever has is a typing error, not a choice of nothing."""
    result = command("list", "--reason", "unmapped-door")
    assert result.exit_code == 2
    assert "did you mean 'unmapped_door'?" in result.stderr


def test_slow_redrive_of_a_choice(rig: Rig, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """However slowly, all that are chosen are redriven, past the time for which they were hidden."""
    monkeypatch.setattr(dead_letters, "HIDE_SECONDS", 1)
    for number in range(6):
        letter(rig, number, source="kisi-sydney" if number % 2 else "deel")
    result = command("redrive", "--source", "kisi-sydney", "--rate", "1.5", "--json")
    assert json.loads(result.stdout)["redriven"] == 3
    assert len(ids(rig.waiting())) == 3
    assert len(rig.dead_letters()) == 3


def test_hidden_letters(rig: Rig, command: Command) -> None:
    """A listing from which somebody else keeps letters says so, with exit code 1."""
    three(rig)
    rig.aws.sqs.receive_message(QueueUrl=rig.resources.dead_letter_queue_url, VisibilityTimeout=60)
    result = command("list", "--json")
    assert len(json.loads(result.stdout)) == 2
    assert result.exit_code == 1
    assert "about 1 more" in result.stderr


def test_prefixes(rig: Rig, command: Command) -> None:
    """An id is shown whole, and its beginning is enough where no other one begins so."""
    three(rig)
    letter(rig, 31)
    assert "letter-31" in command("list").stdout
    assert json.loads(command("show", "letter-2").stdout)["id"] == "letter-2"
    assert json.loads(command("show", "letter-3").stdout)["id"] == "letter-3", "it is one's whole id"
    assert "dead letters begin with 'letter'" in command("show", "letter").stderr


def test_told_to_stop(rig: Rig, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """A listing that is told to stop gives back what it holds."""
    three(rig)
    received = dead_letters._received  # noqa: SLF001 - the signal comes in the middle of it

    def stopped(queue: Any, url: str, there: int) -> Iterator[list[dead_letters.Letter]]:
        for some in received(queue, url, there):
            yield some
            signal.raise_signal(signal.SIGHUP)

    with monkeypatch.context() as patch:
        patch.setattr(dead_letters, "_received", stopped)
        assert command("list").exit_code == 128 + signal.SIGHUP
    assert len(rig.dead_letters()) == 3


def test_what_comes_back(rig: Rig, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """A redrive says what came back, and why, with exit code 1."""
    three(rig)

    def back(_: target.Target, __: float) -> int:
        for envelope in rig.waiting():
            put(rig, json.dumps(envelope))
        return 0

    monkeypatch.setattr("relayctl.dead_letters.until_tried", back)
    result = command("redrive", "--reason", "unmapped_door")
    assert result.exit_code == 1
    assert "2 of them came back: unmapped_door" in result.stdout


@pytest.fixture(scope="module")
def many() -> Iterator[target.Target]:
    """A relay of the local run's own AWS, with 300 letters, each third of them with a request of 5 KB."""
    world = World(None)
    aws = Aws(url := world.start().aws)
    resources = create(Template(), aws)
    for start in range(0, LETTERS, 10):
        entries = [{"Id": str(i), "MessageBody": _text(i)} for i in range(start, start + 10)]
        aws.sqs.send_message_batch(QueueUrl=resources.dead_letter_queue_url, Entries=entries)  # type: ignore[arg-type]
    yield target.Target(
        stack="relay",
        api_url="http://127.0.0.1:1",
        table=resources.table,
        unprocessed_queue_url=resources.unprocessed_queue_url,
        dead_letter_queue_url=resources.dead_letter_queue_url,
        region="us-east-1",
        endpoint=url,
    )
    aws.close()
    world.stop()


LETTERS = 300


def _text(number: int) -> str:
    reason = ("rejected", "unmapped_door", "unparseable")[number % 3]
    received_at = f"2026-11-04T00:{number // 60:02}:{number % 60:02}Z"
    envelope = {"id": f"letter-{number}", "reason": reason, "source": "deel", "received_at": received_at}
    request = {"request": {"body": "A" * 5000}} if reason == "unparseable" else {}
    return json.dumps({**envelope, **request})


def _numbers(relay: target.Target) -> tuple[int, int]:
    """How many letters can be seen, and how many are hidden."""
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    answer = relay.client("sqs").get_queue_attributes(
        QueueUrl=relay.dead_letter_queue_url, AttributeNames=names
    )
    visible, hidden = (int(answer["Attributes"][name]) for name in names)
    return visible, hidden


def test_many(many: target.Target) -> None:
    """Hundreds of letters are read complete and in order, several calls at once, and all given back."""
    told: list[int] = []
    reading = dead_letters.read(many, done=told.append)
    assert [letter["id"] for letter in reading.letters] == [f"letter-{i}" for i in range(LETTERS)]
    assert (reading.hidden, sum(told)) == (0, LETTERS)
    assert _numbers(many) == (LETTERS, 0)


def test_so_far(many: target.Target) -> None:
    """What a reading has come to is told from its first letters on, with how many are yet to come."""
    told: list[dead_letters.Reading] = []
    dead_letters.read(many, so_far=told.append)
    assert len(told[0].letters) <= dead_letters.MOST_AT_ONCE * dead_letters.BATCH
    assert [len(one.letters) + one.hidden for one in told] == [LETTERS] * len(told)
    assert (len(told[-1].letters), {one.is_whole for one in told}) == (LETTERS, {False})


def test_fields(many: target.Target) -> None:
    """Of hundreds of letters no more is kept than is to be shown."""
    unparseable = Selection(reasons=frozenset({"unparseable"}))
    letters = dead_letters.read(many, unparseable, fields=("id", "kind")).letters
    assert len(letters) == LETTERS / 3
    assert {name for letter in letters for name in letter} == {"id", "received_at"}
    assert _numbers(many) == (LETTERS, 0)


def test_many_but_one_is_hidden(many: target.Target) -> None:
    """What somebody else holds is missing, and counted."""
    queue, url = many.client("sqs"), many.dead_letter_queue_url
    [held] = queue.receive_message(QueueUrl=url, VisibilityTimeout=60)["Messages"]
    reading = dead_letters.read(many)
    assert (len(reading.letters), reading.hidden) == (LETTERS - 1, 1)
    queue.change_message_visibility(QueueUrl=url, ReceiptHandle=held["ReceiptHandle"], VisibilityTimeout=0)
    assert _numbers(many) == (LETTERS, 0)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
@pytest.mark.parametrize(
    "command", [("list", "--json"), ("redrive", "--reason", "open_ended"), ("purge", "--yes")]
)
def test_stopped_among_many(
    many: target.Target, monkeypatch: pytest.MonkeyPatch, number: signal.Signals, command: Sequence[str]
) -> None:
    """Told to stop while several calls are under way, and again meanwhile, a command gives back all."""
    receive, give_back, lock = dead_letters._receive, dead_letters._give_back, threading.Lock()  # noqa: SLF001
    calls = 0

    def received(*arguments: Any) -> list[dead_letters.Letter]:
        nonlocal calls
        letters = receive(*arguments)
        with lock:
            calls += 1
            if calls == 12:
                os.kill(os.getpid(), number)
        return letters

    def given_back(*arguments: Any) -> None:
        signal.raise_signal(number)
        give_back(*arguments)

    monkeypatch.setattr(target, "local", lambda _: many)
    monkeypatch.setattr(dead_letters, "_receive", received)
    monkeypatch.setattr(dead_letters, "_give_back", given_back)
    result = CliRunner().invoke(main, ("--local", "dlq", *command))
    assert result.exit_code == (1 if number == signal.SIGINT else 128 + number)
    assert 12 <= calls < LETTERS / 10
    assert _numbers(many) == (LETTERS, 0)


def test_queue_fails_among_many(many: target.Target, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where one of several calls fails, what the others have received is given back."""
    receive, lock = dead_letters._receive, threading.Lock()  # noqa: SLF001
    calls = 0

    def received(*arguments: Any) -> list[dead_letters.Letter]:
        nonlocal calls
        with lock:
            calls += 1
            if calls == 12:
                raise aws_error("InternalError")
        return receive(*arguments)

    monkeypatch.setattr(dead_letters, "_receive", received)
    with pytest.raises(ClientError):
        dead_letters.read(many)
    assert _numbers(many) == (LETTERS, 0)


def test_some_are_not_given_back(many: target.Target) -> None:
    """A call that fails while letters are given back takes no other letters with it, and is told."""
    queue, url = many.client("sqs"), many.dead_letter_queue_url
    letters = [letter for some in dead_letters._received(queue, url, LETTERS) for letter in some]  # noqa: SLF001
    give_back = dead_letters._give_back  # noqa: SLF001
    failing = Mock(wraps=queue)
    first = aws_error("InternalError")
    change = queue.change_message_visibility_batch
    failing.change_message_visibility_batch = Mock(side_effect=chain([first], repeat(DEFAULT)), wraps=change)
    with pytest.raises(ClientError):
        give_back(failing, url, [letter.receipt for letter in letters])
    assert _numbers(many) == (LETTERS - 10, 10)
    give_back(queue, url, [letter.receipt for letter in letters])
    assert _numbers(many) == (LETTERS, 0)


def test_queue_that_is_gone(many: target.Target) -> None:
    """Where nothing can be given back, that is not tried for hundreds of letters."""
    failing = Mock()
    failing.change_message_visibility_batch.side_effect = aws_error("InternalError")
    with pytest.raises(ClientError):
        dead_letters._give_back(failing, "", map(str, range(1000)))  # noqa: SLF001
    assert failing.change_message_visibility_batch.call_count < 10


def test_longer_where_letters_are_left() -> None:
    """After an empty answer SQS is asked to look longer where it says that letters are left; not locally."""
    queue = Mock()
    queue.get_queue_attributes.return_value = {
        "Attributes": {
            "ApproximateNumberOfMessages": "3",
            "ApproximateNumberOfMessagesNotVisible": "0",
            "ApproximateNumberOfMessagesDelayed": "0",
        }
    }
    queue.receive_message.return_value = {}
    waits = []
    for queue.meta.endpoint_url in ("https://sqs.us-east-1.amazonaws.com", "http://127.0.0.1:4566"):
        queue.receive_message.reset_mock()
        assert list(dead_letters._received(queue, "", 3)) == [[]] * 3  # noqa: SLF001
        waits.append([call.kwargs["WaitTimeSeconds"] for call in queue.receive_message.call_args_list])
    assert waits == [[0, 1, 1], [0, 0, 0]]


def test_ignored_signals_stay_ignored(rig: Rig, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """After `nohup` a listing goes on when its terminal closes."""
    three(rig)
    give_back = dead_letters._give_back  # noqa: SLF001

    def given_back(*arguments: Any) -> None:
        signal.raise_signal(signal.SIGHUP)
        give_back(*arguments)

    monkeypatch.setattr(dead_letters, "_give_back", given_back)
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert command("list").exit_code == 0
    finally:
        signal.signal(signal.SIGHUP, before)


def test_purge_of_hidden_letters(rig: Rig, command: Command) -> None:
    """A purge from which somebody else keeps letters says so, with exit code 1."""
    three(rig)
    rig.aws.sqs.receive_message(QueueUrl=rig.resources.dead_letter_queue_url, VisibilityTimeout=60)
    result = command("purge", "--yes")
    assert (result.exit_code, result.stdout) == (1, "2 dead letters deleted\n")
    assert "about 1 more" in result.stderr
