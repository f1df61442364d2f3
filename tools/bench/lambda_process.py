"""A function as Lambda runs it, without containers: a process of its own, fed by a small Runtime API.

Follows https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html. The process runs `awslambdaric`, the
runtime's own client, so that what starts, decodes and answers is what does so in a deployment.
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from math import isnan, nan
from pathlib import Path
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Any, Literal, Self

from localrun.template import ACCOUNT, REGION

VERSION = "/2018-06-01/runtime"
NAME = "bench"
MEMORY_MB = 1024
_POLL_SECONDS = 0.05
_CLOSED_PORT = "127.0.0.1:9"
_SAID_BYTES = 1_000
_MB = 1e6


class FunctionFailed(Exception):
    """An invocation without an answer: `error_type` as Lambda names it, such as `Runtime.ExitError`."""

    def __init__(self, error_type: str, detail: str) -> None:
        super().__init__(f"{error_type}: {detail}" if detail else error_type)
        self.error_type = error_type


@dataclass(frozen=True)
class Answer:
    """What the process posted, and when (`time.perf_counter`)."""

    kind: Literal["response", "error"]
    body: bytes
    at: float


@dataclass(frozen=True)
class _Invocation:
    request_id: str
    event: bytes
    seconds: float


class RuntimeApi:
    """The Runtime API for one process: `with RuntimeApi() as api:`, then an `offer` and its `answer`."""

    def __init__(self) -> None:
        self._offers: SimpleQueue[_Invocation | None] = SimpleQueue()
        self._answers: SimpleQueue[Answer] = SimpleQueue()
        self._under_way = ""
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.api = self
        self.address = "{}:{}".format(*self._server.server_address)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(_POLL_SECONDS,), daemon=True)

    def __enter__(self) -> Self:
        """Start serving."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop; whoever still waits for an event loses the connection."""
        self._offers.put(None)
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def offer(self, event: Mapping[str, Any], seconds: float) -> None:
        """Have an event ready for the process, which gets that many seconds from when it asks."""
        content = json.dumps(event, separators=(",", ":")).encode()
        self._offers.put(_Invocation(str(uuid.uuid4()), content, seconds))

    def answer(self, wait: float) -> Answer | None:
        """What the process posted, None if there is nothing within so many seconds."""
        try:
            return self._answers.get(timeout=wait)
        except Empty:
            return None

    def take(self) -> _Invocation | None:
        """The next event, waited for; None once this stops."""
        taken = self._offers.get()
        if taken is None:
            self._offers.put(None)
        else:
            self._under_way = taken.request_id
        return taken

    def posted(self, path: str, body: bytes) -> bool:
        """Take what was posted there; False where that is no place to post to now."""
        at = time.perf_counter()
        ours = f"{VERSION}/invocation/{self._under_way}"
        if self._under_way and path == f"{ours}/response":
            answer = Answer("response", body, at)
        elif path == f"{VERSION}/init/error" or (self._under_way and path == f"{ours}/error"):
            answer = Answer("error", body, at)
        else:
            return False
        self._under_way = ""
        self._answers.put(answer)
        return True


class _Server(ThreadingHTTPServer):
    """The server; a process that was ended broke its connection, which is no problem."""

    daemon_threads = True
    api: RuntimeApi

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    """One connection. Whole answers in one segment, at once: 40 ms an invocation otherwise."""

    server: _Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def do_GET(self) -> None:
        """The next event."""
        if self.path != f"{VERSION}/invocation/next":
            self._send(404, b"{}", {})
            return
        invocation = self.server.api.take()
        if invocation is None:
            self.close_connection = True
            return
        headers = {
            "Lambda-Runtime-Aws-Request-Id": invocation.request_id,
            "Lambda-Runtime-Deadline-Ms": str(int((time.time() + invocation.seconds) * 1000)),
            "Lambda-Runtime-Invoked-Function-Arn": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{NAME}",
            "Lambda-Runtime-Trace-Id": _trace(),
        }
        self._send(200, invocation.event, headers)

    def do_POST(self) -> None:
        """An answer, or an error."""
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        known = self.server.api.posted(self.path, body)
        self._send(202 if known else 404, b"{}", {})

    def _send(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _trace() -> str:
    """A trace that is sampled, as that of a first request is."""
    return f"Root=1-{int(time.time()):08x}-{uuid.uuid4().hex[:24]};Parent={uuid.uuid4().hex[:16]};Sampled=1"


class LambdaProcess:
    """One process of a function: `with LambdaProcess(…) as process: process.invoke(event)`.

    `handler` is its dotted name; `path` is all that it imports from, the function's own folder first, and
    after it one that holds `awslambdaric`. Nothing of the caller's environment reaches it, only `environment`
    and what Lambda sets. The first event is waiting when the process asks, if it is sent at once.
    """

    def __init__(
        self, python: Path, handler: str, path: Sequence[Path], environment: Mapping[str, str]
    ) -> None:
        # Without `site`: a deployed function sees no virtual environment.
        self._command = (python, "-S", "-m", "awslambdaric", handler)
        self._folder = path[0]
        self._api = RuntimeApi()
        self._environment = {
            "AWS_LAMBDA_FUNCTION_NAME": NAME,
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(MEMORY_MB),
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_XRAY_DAEMON_ADDRESS": _CLOSED_PORT,
            "AWS_XRAY_CONTEXT_MISSING": "LOG_ERROR",
            "TZ": ":UTC",
            **environment,
            "AWS_LAMBDA_RUNTIME_API": self._api.address,
            "LAMBDA_TASK_ROOT": str(path[0]),
            "_HANDLER": handler,
            "PYTHONPATH": os.pathsep.join(map(str, path)),
            # A deployed package is read-only.
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        self.seconds_to_first_answer = nan
        """From just before the process was started until its first response."""

    def __enter__(self) -> Self:
        """Start the process."""
        with ExitStack() as started:
            started.enter_context(self._api)
            self._said = started.enter_context(tempfile.TemporaryFile())
            self._began = time.perf_counter()
            self._process = subprocess.Popen(
                self._command,
                cwd=self._folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=self._said,
                stderr=subprocess.STDOUT,
            )
            started.callback(self._end)
            self._started = started.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the process, and the server."""
        self._started.close()

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    def invoke(self, event: Mapping[str, Any], timeout: float = 15) -> Any:
        """The function's answer to an event; one at a time. Raises `FunctionFailed`.

        A process that does not answer in time is ended, as Lambda does.
        """
        self._api.offer(event, timeout)
        answer = self._answer(timeout)
        if answer.kind == "error":
            raise _failed(answer.body)
        if isnan(self.seconds_to_first_answer):
            self.seconds_to_first_answer = answer.at - self._began
        return json.loads(answer.body)

    def peak_memory(self) -> float:
        """The most memory that the process had at once so far, in MB; Linux tells it."""
        status = Path(f"/proc/{self.pid}/status").read_text("ascii", "replace")
        [kilobytes] = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")]
        return int(kilobytes) * 1024 / _MB

    def _answer(self, timeout: float) -> Answer:
        until = time.monotonic() + timeout
        while (left := until - time.monotonic()) > 0:
            ended = self._process.poll() is not None
            if answer := self._api.answer(0 if ended else min(left, _POLL_SECONDS)):
                return answer
            if ended:
                raise FunctionFailed("Runtime.ExitError", self._last_words())
        self._end()
        raise FunctionFailed("Sandbox.Timedout", f"no answer within {timeout:g} s")

    def _last_words(self) -> str:
        size = self._said.seek(0, os.SEEK_END)
        self._said.seek(max(size - _SAID_BYTES, 0))
        said = self._said.read().decode("utf-8", "replace").strip()
        return f"exit code {self._process.returncode}: {said}"

    def _end(self) -> None:
        self._process.kill()
        self._process.wait()


def _failed(body: bytes) -> FunctionFailed:
    """The error that a process posted."""
    try:
        error = json.loads(body)
        return FunctionFailed(str(error["errorType"]), str(error["errorMessage"]))
    except (ValueError, TypeError, LookupError):
        return FunctionFailed("Runtime.Unknown", body.decode("utf-8", "replace"))


def cpu_microseconds(pid: int) -> float:
    """The processor time of all threads that a process has, so far; Linux tells it in nanoseconds."""
    threads = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((thread / "schedstat").read_text("ascii").split()[0]) for thread in threads) / 1_000
