"""Many dead letters: chosen, hidden, stopped at, given back."""

import json
import os
import signal
import threading
from collections.abc import Iterator, Sequence
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
from tests.letters import Command, three
from tests.rig import Rig
from tests.servers import aws_error


@pytest.fixture
def command(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> Command:
    """`relayctl dlq` on the rig's stack."""
    monkeypatch.setattr(target, "deployed", lambda _: rig.target())

    def run(*arguments: str, answer: str | None = None) -> Result:
        # Nobody takes what is redriven here, so nobody waits for it.
        wait = ("--wait", "0") if arguments[0] == "redrive" else ()
        return CliRunner().invoke(main, ("--stack", "relay", "dlq", *arguments, *wait), input=answer)

    return run


LETTERS = 300


def _text(number: int) -> str:
    reason = ("rejected", "unmapped_door", "unparseable")[number % 3]
    received_at = f"2026-11-04T00:{number // 60:02}:{number % 60:02}Z"
    envelope = {"id": f"letter-{number}", "reason": reason, "source": "deel", "received_at": received_at}
    request = {"request": {"body": "A" * 5000}} if reason == "unparseable" else {}
    return json.dumps({**envelope, **request})


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


class Twice:
    """SQS's client, which gives each message out twice in one answer, as two of its servers may at once."""

    def __init__(self, queue: Any) -> None:
        self._queue = queue

    def __getattr__(self, name: str) -> Any:
        """Every other call as it is."""
        return getattr(self._queue, name)

    def receive_message(self, **parameters: Any) -> dict[str, Any]:
        """What there is, once more."""
        answer = self._queue.receive_message(**parameters)
        messages = answer.get("Messages", [])
        return {**answer, "Messages": [*messages, *messages]}


def test_given_out_twice(many: target.Target, monkeypatch: pytest.MonkeyPatch) -> None:
    """A letter that SQS gives out twice at once is one letter."""
    twice = Twice(many.client("sqs"))
    monkeypatch.setattr(target.Target, "client", lambda *_: twice)
    read = dead_letters.read(many)
    assert len(read.letters) == len({letter["id"] for letter in read.letters}) == LETTERS
    assert read.hidden == 0


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
