"""CloudWatch Logs, as far as the local run needs it: groups that hold the last lines, in front of moto.

moto has CloudWatch Logs too, but keeps everything, and takes over a second more to start. A filter pattern is
not looked at: whoever reads gets every line of the time asked for, and chooses by itself.
"""

import json
from collections import deque
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

MOST_LINES = 20_000
"""So many lines a group keeps, the newest."""
_PAGE = 10_000
_TARGET = b"Logs_20140328."


@dataclass(frozen=True, slots=True)
class _Line:
    number: int
    at: int
    text: str


class LogGroups:
    """An application that keeps log lines, and passes on every request that is not about them."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._groups: dict[str, deque[_Line]] = {}
        self._count = 0
        # A run that follows another must not seem to repeat its lines.
        self._run = uuid4().hex

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request."""
        target = dict(scope.get("headers", ())).get(b"x-amz-target", b"")
        if not target.startswith(_TARGET):
            await self._app(scope, receive, send)
            return
        asked = json.loads(await Request(scope, receive).body())
        match target.removeprefix(_TARGET):
            case b"PutLogEvents":
                response = self._put(asked)
            case b"FilterLogEvents":
                response = self._filter(asked)
            case _:
                response = _answer({"__type": "UnknownOperationException"}, 400)
        await response(scope, receive, send)

    def _put(self, asked: dict[str, Any]) -> Response:
        lines = self._groups.setdefault(asked["logGroupName"], deque(maxlen=MOST_LINES))
        for event in asked["logEvents"]:
            self._count += 1
            lines.append(_Line(self._count, event["timestamp"], event["message"]))
        return _answer({})

    def _filter(self, asked: dict[str, Any]) -> Response:
        """A page of lines, after the one whose number the token is."""
        after, start = int(asked.get("nextToken", 0)), asked.get("startTime", 0)
        end = asked.get("endTime", float("inf"))
        kept = self._groups.get(asked["logGroupName"], ())
        lines = [line for line in kept if line.number > after and start <= line.at <= end]
        answer: dict[str, Any] = {"events": [self._shown(line) for line in lines[:_PAGE]]}
        if len(lines) > _PAGE:
            answer["nextToken"] = str(lines[_PAGE - 1].number)
        return _answer(answer)

    def _shown(self, line: _Line) -> dict[str, Any]:
        event_id = f"{self._run}-{line.number}"
        return {"eventId": event_id, "timestamp": line.at, "message": line.text, "logStreamName": "local"}


def _answer(content: dict[str, Any], status: int = 200) -> Response:
    return Response(json.dumps(content), status, media_type="application/x-amz-json-1.1")
