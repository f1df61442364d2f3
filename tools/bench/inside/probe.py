"""Runs inside a process that is measured, with the functions' own Python and the built package.

It reads an order as one line of JSON from its standard input, and answers with one line of JSON. Nothing but
the standard library is imported before the order says what to measure. What a handler prints goes nowhere.

- `{"import": ["functions.hris.app"]}`: CPU milliseconds of importing these modules, and how many came in.
- `{"handler": "functions.hris.app.handler", "events": "a file", "skip": 20}`: CPU microseconds of each call,
  one for each line of the file but the first ones; `"count": true` counts requests by name instead.
"""

import json
import os
import sys
import time
from collections import Counter
from collections.abc import Callable
from importlib import import_module
from typing import Any
from uuid import uuid4


class Context:
    """What Lambda tells a handler about its invocation, as far as the functions and Powertools ask."""

    function_name = "bench"
    memory_limit_in_mb = 1024
    invoked_function_arn = "arn:aws:lambda:us-east-1:123456789012:function:bench"

    def __init__(self) -> None:
        self.aws_request_id = str(uuid4())

    def get_remaining_time_in_millis(self) -> int:
        """Always a minute."""
        return 60_000


def imported(modules: list[str]) -> dict[str, Any]:
    """What importing these modules costs."""
    before, began = set(sys.modules), time.process_time()
    for name in modules:
        import_module(name)
    took = time.process_time() - began
    return {"ms": took * 1000, "modules": len(set(sys.modules) - before)}


def called(handler: str, events: str, skip: int, *, count: bool = False) -> dict[str, Any]:
    """What the calls of a handler cost, and its answers by status."""
    requests: Counter[str] = Counter()
    if count:
        _count(requests)
    module, _, name = handler.rpartition(".")
    call: Callable[[dict[str, Any], Context], Any] = getattr(import_module(module), name)
    answers: Counter[str] = Counter()
    spent: list[float] = []
    with open(events, encoding="utf-8") as lines:  # noqa: PTH123 - nothing is to be imported that need not be
        for number, line in enumerate(lines):
            if number == skip:
                requests.clear()
            event = json.loads(line)
            if "requestContext" in event:
                event["requestContext"]["timeEpoch"] = int(time.time() * 1000)
            # As the runtime sets it for each invocation; a tracer takes it up where one is on.
            os.environ["_X_AMZN_TRACE_ID"] = _trace()
            context, began = Context(), time.process_time()
            answer = call(event, context)
            spent.append((time.process_time() - began) * 1_000_000)
            answers[_said(answer)] += 1
    return {"us": spent[skip:], "answers": answers, "requests": requests}


def _trace() -> str:
    """A trace that is sampled."""
    return f"Root=1-{int(time.time()):08x}-{uuid4().hex[:24]};Parent={uuid4().hex[:16]};Sampled=1"


def _said(answer: Any) -> str:
    """An answer in a word: its status, or how many messages stay in the queue."""
    if "batchItemFailures" in answer:
        return f"{len(answer['batchItemFailures'])} kept"
    return str(answer.get("statusCode", "done"))


def _count(requests: "Counter[str]") -> None:
    """Count each request that leaves the process from now on: AWS's by operation, others by path."""
    import boto3  # noqa: PLC0415
    import httpcore  # noqa: PLC0415

    client, handle = boto3.session.Session.client, httpcore.ConnectionPool.handle_request

    def counted(*arguments: Any, **options: Any) -> Any:
        made: Any = client(*arguments, **options)
        made.meta.events.register("before-call", lambda model, **_: requests.update([model.name]))
        return made

    def handled(pool: httpcore.ConnectionPool, request: httpcore.Request) -> httpcore.Response:
        requests.update([request.url.target.decode("ascii").partition("?")[0]])
        return handle(pool, request)

    boto3.session.Session.client = counted  # type: ignore[method-assign]
    httpcore.ConnectionPool.handle_request = handled  # type: ignore[assignment,method-assign]


def main() -> None:
    """Carry out the order."""
    order = json.loads(sys.stdin.readline())
    out = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    result = imported(order["import"]) if "import" in order else called(**order)
    print(json.dumps(result), file=out, flush=True)


if __name__ == "__main__":
    main()
