"""`relayctl dlq`: what an operator sees of the dead letters, and does with them."""

import base64
import json
import signal
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from click.testing import CliRunner, Result

from relayctl import dead_letters, target
from relayctl.dead_letters import Selection
from relayctl.main import main
from tests.letters import Command, letter, put, three
from tests.rig import Rig


@pytest.fixture
def command(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> Command:
    """`relayctl dlq` on the rig's stack."""
    monkeypatch.setattr(target, "deployed", lambda _: rig.target())

    def run(*arguments: str, answer: str | None = None) -> Result:
        # Nobody takes what is redriven here, so nobody waits for it.
        wait = ("--wait", "0") if arguments[0] == "redrive" else ()
        return CliRunner().invoke(main, ("--stack", "relay", "dlq", *arguments, *wait), input=answer)

    return run


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
    "older than nothing": (("--older-than", "0s"), {1, 2, 3}),
    "newer than nothing": (("--newer-than", "0s"), set()),
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


def test_purge_what_was_asked_about(rig: Rig, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """A letter that comes while the question waits for its answer stays."""
    three(rig)

    def confirm(question: str, **_: object) -> None:
        assert question == "Delete 3 dead letters for good?"
        letter(rig, 4)

    monkeypatch.setattr("click.confirm", confirm)
    assert command("purge").stdout == "3 dead letters deleted\n"
    assert ids(rig.dead_letters()) == {4}


@pytest.mark.parametrize("act", [("redrive",), ("purge", "--yes")])
def test_ids(rig: Rig, command: Command, act: Sequence[str]) -> None:
    """An id names one letter, whole or by how it begins; of none, or several, nothing happens."""
    three(rig)
    letter(rig, 31)
    for wrong, code, said in (
        ("", 2, "--id is empty"),
        ("nosuch", 1, "there is no dead letter 'nosuch'"),
        ("letter-", 1, "4 dead letters begin with 'letter-'"),
    ):
        refused = command(*act, "--id", "letter-1", "--id", wrong)
        assert (refused.exit_code, said in refused.stderr) == (code, True)
    assert ids(rig.dead_letters()) == {1, 2, 3, 31}
    command(*act, "--id", "letter-3", "--id", "letter-2")
    assert ids(rig.dead_letters()) == {1, 31}


@pytest.mark.parametrize(
    "arguments",
    [
        ("list", "--all", "--reason", "rejected"),
        ("list", "--id", " "),
        ("show", ""),
        ("redrive", "--older-than", "soon"),
        ("redrive", "--rate", "0"),
        ("redrive", "--rate", "nan"),
        ("redrive", "--rate", "1e400"),
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
