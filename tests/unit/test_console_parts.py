"""What serves the console: who may use it, when it reads, and what it says AWS denies."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from botocore.stub import Stubber
from click.testing import CliRunner
from starlette.responses import PlainTextResponse
from starlette.types import Message, Receive, Scope, Send

from console import INSTALL
from console.feed import Feed, ReadFailed, Snapshot
from console.guard import Guard
from console.hub import trouble
from console.readers import Readers
from console.watched import permission, watched
from localrun import console as beside
from localrun import settings
from localrun.serve import bind
from relayctl.main import main
from relayctl.target import Target

HOST = "127.0.0.1:8081"
TARGET = Target(
    stack="relay",
    api_url="http://127.0.0.1:1",
    table="table",
    unprocessed_queue_url="http://127.0.0.1:1/queue",
    dead_letter_queue_url="http://127.0.0.1:1/dead",
    region="us-east-1",
    endpoint="http://127.0.0.1:1",
)


async def hello(scope: Scope, _: Receive, send: Send) -> None:
    """A page, and a socket."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.accept"})
    else:
        await PlainTextResponse("hello")(scope, _, send)


def ask(
    headers: dict[str, str], *, token: str = "", query: str = "", kind: str = "http"
) -> tuple[int | str, dict[str, str]]:
    """The status of the answer, or the type of what a socket is sent; and the headers."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    given = {"host": HOST, **headers}
    scope: Scope = {
        "type": kind,
        "method": "GET",
        "path": "/",
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in given.items()],
    }
    asyncio.run(Guard(hello, 8081, token)(scope, receive, send))
    found = {name.decode(): value.decode() for name, value in sent[0].get("headers", ())}
    return sent[0].get("status", sent[0]["type"]), found


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"host": "localhost:8081"}, 200),
        ({"host": "relay.evil.example"}, 403),
        ({"host": "127.0.0.1:9999"}, 403),
        ({"host": ""}, 403),
        ({"origin": f"http://{HOST}"}, 200),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
    ],
)
def test_only_this_machine(headers: dict[str, str], status: int) -> None:
    """Another host or origin is refused, in a request as in a socket."""
    answered, said = ask(headers)
    assert (answered, said["x-frame-options"]) == (status, "DENY")
    accepted = "websocket.accept" if status == 200 else "websocket.close"
    assert ask(headers, kind="websocket")[0] == accepted


def test_token_becomes_a_cookie() -> None:
    """The first request has the token in its query; from then on the cookie is enough, and needed."""
    assert ask({}, token="a-token")[0] == 403
    assert ask({}, token="a-token", query="token=another")[0] == 403
    assert ask({}, token="a-token", query="token=a-token", kind="websocket")[0] == "websocket.close"
    status, said = ask({}, token="a-token", query="token=a-token&x=1")
    assert (status, said["location"]) == (303, "/?x=1")
    cookie, *attributes = said["set-cookie"].split("; ")
    assert {"HttpOnly", "SameSite=strict"} <= set(attributes)
    for kind, answered in (("http", 200), ("websocket", "websocket.accept")):
        assert ask({"cookie": f"other=1; {cookie}"}, token="a-token", kind=kind)[0] == answered
    assert ask({"cookie": cookie.replace("a-token", "b-token")}, token="a-token")[0] == 403


def after(seconds: float, heard: list[Snapshot[int]], read: Callable[[], int], *, listeners: int = 1) -> None:
    """Listen to a feed for so long."""

    async def run() -> None:
        feed: Feed[int, int] = Feed(read, lambda value: value, 60)
        stops = [feed.listen(heard.append) for _ in range(listeners)]
        await asyncio.sleep(seconds)
        feed.wake()
        await asyncio.sleep(seconds)
        for stop in stops:
            stop()
        await asyncio.sleep(0.05)
        count = len(heard)
        feed.wake()
        await asyncio.sleep(seconds)
        assert len(heard) == count, "nobody listens any more"

    asyncio.run(run())


@pytest.mark.slow
def test_feed_reads_once_for_all() -> None:
    """Two that listen share a read; it is read again when asked for, and not when nobody listens."""
    reads: list[int] = []

    def read() -> int:
        reads.append(1)
        return len(reads)

    heard: list[Snapshot[int]] = []
    after(0.3, heard, read, listeners=2)
    assert [snapshot.value for snapshot in heard] == [1, 1, 2, 2]


@pytest.mark.slow
def test_feed_goes_on_after_failures() -> None:
    """What fails is said, beside what was read before, and the next read is made."""
    answers: list[Any] = [7, ReadFailed("AWS denies dynamodb:Query")]

    def read() -> int:
        answer = answers.pop(0) if answers else ValueError("nobody foresaw it")
        if isinstance(answer, Exception):
            raise answer
        return int(answer)

    heard: list[Snapshot[int]] = []
    after(0.3, heard, read)
    assert [snapshot.value for snapshot in heard] == [7, 7]
    assert trouble(*heard) == "AWS denies dynamodb:Query"


def test_feed_reads_again_soon_after_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is seldom read, and could not be, is read again before its time: the page says so no longer."""
    monkeypatch.setattr("console.feed.AGAIN_SECONDS", 0.05)
    answers: list[Any] = [ReadFailed("AWS denies sqs:ReceiveMessage"), 7]
    heard: list[Snapshot[int]] = []
    is_read = asyncio.Event()

    def hear(snapshot: Snapshot[int]) -> None:
        heard.append(snapshot)
        if snapshot.value:
            is_read.set()

    def read() -> int:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return int(answer)

    async def run() -> None:
        feed: Feed[int, int] = Feed(read, lambda value: value, 300)
        stop = feed.listen(hear)
        await asyncio.wait_for(is_read.wait(), 30)
        stop()

    asyncio.run(run())
    assert [(snapshot.value, snapshot.error) for snapshot in heard[-2:]] == [
        (None, "AWS denies sqs:ReceiveMessage"),
        (7, ""),
    ]


def test_feed_keeps_what_is_young() -> None:
    """Whoever comes while it is kept is shown it without another read, whoever else has come or gone."""
    reads: list[int] = []

    async def run() -> None:
        feed: Feed[None, int] = Feed(lambda: reads.append(1), lambda _: len(reads), 60, kept=60)
        for _ in range(3):
            stop, other = feed.listen(lambda _: None), feed.listen(lambda _: None)
            await asyncio.sleep(0.05)
            assert feed.last.value == 1
            other()
            stop()
            await asyncio.sleep(0.05)
        feed.wake()
        stop = feed.listen(lambda _: None)
        await asyncio.sleep(0.1)
        stop()

    asyncio.run(run())
    assert len(reads) == 2, "the second was asked for"


def test_feed_shows_a_first_read_so_far() -> None:
    """What a first read has come to by now is shown, and is not taken for the whole."""
    heard: list[Snapshot[list[int]]] = []

    async def run() -> None:
        feed: Feed[list[int], list[int]]

        def read() -> list[int]:
            feed.show_so_far([1])
            return [1, 2]

        feed = Feed(read, lambda value: value, 60)
        stop = feed.listen(heard.append)
        await asyncio.sleep(0.1)
        feed.wake()
        await asyncio.sleep(0.1)
        stop()

    asyncio.run(run())
    assert [snapshot.value for snapshot in heard] == [[1], [1, 2], [1, 2]]
    assert not heard[0].at


def test_trouble() -> None:
    """A read that takes long is said to be behind."""
    assert trouble(Snapshot(1, 1.0), Snapshot(2, 2.0)) == ""
    assert trouble(Snapshot(1, 1.0, behind=4.2)) == "behind: a read has been under way for 4 s"


@pytest.mark.parametrize(
    ("service", "operation", "named"),
    [
        ("dynamodb", "BatchGetItem", "dynamodb:BatchGetItem"),
        ("sqs", "ChangeMessageVisibilityBatch", "sqs:ChangeMessageVisibility"),
        ("logs", "FilterLogEvents", "logs:FilterLogEvents"),
        ("monitoring", "GetMetricStatistics", "cloudwatch:GetMetricStatistics"),
    ],
)
def test_permission(service: str, operation: str, named: str) -> None:
    """IAM's name for what an operation needs."""
    assert permission(service, operation) == named


def test_denied_permission_is_named() -> None:
    """A read that AWS denies says which permission is missing."""
    target = watched(TARGET)
    readers = Readers(lambda: target)
    stubber = Stubber(readers.target.client("sqs"))
    stubber.add_client_error("get_queue_attributes", "AccessDenied", http_status_code=403)
    with (
        stubber,
        pytest.raises(ReadFailed, match=r"AWS denies sqs:GetQueueAttributes: have it allowed for relay"),
    ):
        readers.queues()


def test_relay_that_does_not_answer() -> None:
    """Where nothing answers, that is said, and the relay is looked for anew."""
    found: list[Target] = []

    def find() -> Target:
        found.append(TARGET)
        return TARGET

    readers = Readers(find)
    for _ in range(2):
        with pytest.raises(ReadFailed, match="AWS does not answer"):
            readers.places()
    assert len(found) == 2


def test_console_beside_the_relay() -> None:
    """The relay starts without a console where none is wanted or its port is taken, and says so."""
    assert beside.prepare(None).said == ""
    taken = bind()
    taken.listen()
    port = taken.getsockname()[1]
    refused = beside.prepare(port)
    assert refused.said.startswith(f"port {port}: ")
    assert "CONSOLE_PORT" in refused.said
    refused.start(8080)
    refused.stop()
    taken.close()
    ready = beside.prepare(0)
    assert ready.said.startswith("http://127.0.0.1:") or INSTALL in ready.said
    ready.stop()


@pytest.mark.parametrize(
    ("variables", "port"),
    [
        ({}, 8081),
        ({"PORT": "9000"}, 9001),
        ({"PORT": "9000", "CONSOLE_PORT": "7000"}, 7000),
        ({"PORT": "0"}, 0),
        ({"CONSOLE_PORT": "off"}, None),
    ],
)
def test_port_of_the_console(variables: dict[str, str], port: int | None) -> None:
    """It is the one after the relay's unless another is named."""
    assert settings.read(variables).port_of_console == port


@pytest.mark.parametrize(
    ("arguments", "variables", "code", "said"),
    [
        (("--local",), {"PORT": "9"}, 1, "no local relay answers"),
        (("--local", "--stack", "x"), {}, 2, "exclude each other"),
        (("--port", "70000"), {}, 2, "70000"),
    ],
)
def test_command(arguments: tuple[str, ...], variables: dict[str, str], code: int, said: str) -> None:
    """What cannot be served is said, and nothing is."""
    result = CliRunner().invoke(main, ("console", *arguments), env=variables)
    assert (result.exit_code, said in result.output) == (code, True)
