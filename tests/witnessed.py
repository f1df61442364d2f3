"""moto's server as a process of its own, which also tells what was written into counts."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from localrun.moto_server import Moto
from localrun.serve import Served
from relay.aws.attributes import deserialize
from relay.occupancy.counts import FIELDS, WITHIN


def again(body: bytes, receive: Receive) -> Receive:
    """A request whose body has been received, to be received once more."""
    messages: Iterator[Message] = iter([{"type": "http.request", "body": body}])

    async def received() -> Message:
        return next(messages, None) or await receive()

    return received


async def answered(app: ASGIApp, scope: Scope, body: bytes) -> Response:
    """An application's answer to a request whose body has been received."""
    messages: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": body}

    async def send(message: Message) -> None:
        messages.append(message)

    await app(scope, receive, send)
    start, *content = messages
    answer = Response(b"".join(message["body"] for message in content), start["status"])
    answer.raw_headers = list(start["headers"])
    return answer


class Witnessed:
    """moto's server, and under `/counts` what has been written into counts, in order."""

    def __init__(self) -> None:
        self._moto = Moto()
        self._counts: list[dict[str, Any]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["path"] == "/counts":
            await JSONResponse(self._counts)(scope, receive, send)
            return
        body = await Request(scope, receive).body()
        answer = await answered(self._moto, scope, body)
        if answer.status_code == 200:
            self._counts += written(body)
        await answer(scope, receive, send)


def written(body: bytes) -> Iterator[dict[str, Any]]:
    """The counts that a transaction writes, each item's own and those within it."""
    for action in json.loads(body).get("TransactItems", ()):
        if update := action.get("Update"):
            names, values = update["ExpressionAttributeNames"], update["ExpressionAttributeValues"]
            pairs = re.findall(r"(#\w+) = (:\w+)", update["UpdateExpression"])
            item = deserialize({names[name]: values[value] for name, value in pairs})
            if "people" in item:
                yield {name: item[name] for name in FIELDS}
            lists = [value for name, value in item.items() if name.startswith(WITHIN)]
            yield from (dict(zip(FIELDS, listed, strict=True)) for listed in lists)


def serve() -> None:
    """Be AWS: write the URL, and end when the input does."""
    with Served(Witnessed()) as url:
        sys.stdout.write(f"{url}\n")
        sys.stdout.flush()
        sys.stdin.read()


@contextmanager
def cloud() -> Iterator[str]:
    """The URL of AWS, as a process of its own: it takes as much time as all the containers together."""
    command = [sys.executable, "-c", "from tests.witnessed import serve; serve()"]
    pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=Path(__file__).parents[1], **pipes) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
