"""A function in a process of its own, fed by a Runtime API as Lambda feeds it.

What runs beside the process's own Python is a stand-in for `awslambdaric` that keeps to the documented API;
run by name, `pytest -m e2e`, it is `awslambdaric` itself, and the reference handler is built and put to work.
"""

import json
import os
import socket
import sys
import textwrap
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from bench import artifacts
from bench.events import webhook
from bench.lambda_process import VERSION, FunctionFailed, LambdaProcess, RuntimeApi
from e2e.emulator import BIN
from localrun import environment, seed
from localrun.aws import Aws, create
from localrun.settings import DEMO, read, read_secrets
from localrun.template import Template
from localrun.world import World
from relay import vendors
from relayctl import samples
from tests.timed import Timed, slowness

EVENT = {"badge": "Zoë"}
FUNCTION = """
    import os, sys, time
    import helper

    def handler(event, context):
        match event:
            case {"fail": detail}:
                raise KeyError(detail)
            case {"exit": code}:
                print("going", flush=True)
                os._exit(code)
            case {"sleep": seconds}:
                time.sleep(seconds)
            case {"print": characters}:
                print("x" * characters, flush=True)
            case {"hold": size}:
                bytearray(os.urandom(1)) * size
            case {"work": seconds}:
                while time.process_time() < seconds:
                    pass
            case {"tell": _}:
                return {"variables": dict(os.environ), "folder": os.getcwd(), "path": sys.path}
        return event
"""
CLIENT = """
    import http.client, importlib, json, os, sys

    api = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])

    def call(method, path, content=None):
        api.request(method, "/2018-06-01/runtime/" + path, content and json.dumps(content))
        answer = api.getresponse()
        return answer.headers["Lambda-Runtime-Aws-Request-Id"], answer.read()

    module, _, name = sys.argv[1].rpartition(".")
    try:
        handler = getattr(importlib.import_module(module), name)
    except ImportError as error:
        call("POST", "init/error", {"errorType": "Runtime.ImportModuleError", "errorMessage": str(error)})
        sys.exit(1)
    while True:
        request_id, event = call("GET", "invocation/next")
        try:
            call("POST", f"invocation/{request_id}/response", handler(json.loads(event), None))
        except KeyError as error:
            told = {"errorType": type(error).__name__, "errorMessage": str(error)}
            call("POST", f"invocation/{request_id}/error", told)
"""

Start = Callable[..., LambdaProcess]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A function's folder: `app.handler`, and a module of its own."""
    made = tmp_path / "function"
    made.mkdir()
    (made / "app.py").write_text(textwrap.dedent(FUNCTION), "utf-8")
    (made / "helper.py").write_text("", "utf-8")
    return made


@pytest.fixture(params=["stand-in", pytest.param("awslambdaric", marks=pytest.mark.e2e)])
def start(request: pytest.FixtureRequest, folder: Path, tmp_path: Path) -> Iterator[Start]:
    """What starts a process of the function, ended with the test."""
    if request.param == "awslambdaric":
        python, path = BIN / "python", [folder, artifacts.runtime()]
    else:
        client = tmp_path / "client"
        client.mkdir()
        (client / "awslambdaric.py").write_text(textwrap.dedent(CLIENT), "utf-8")
        python, path = Path(sys.executable), [folder, client]
    with ExitStack() as started:

        def process(handler: str = "app.handler", **variables: str) -> LambdaProcess:
            return started.enter_context(LambdaProcess(python, handler, path, variables))

        yield process


@pytest.fixture
def api() -> Iterator[tuple[RuntimeApi, httpx.Client]]:
    """A Runtime API, and a client that plays the process."""
    with RuntimeApi() as served:
        base_url = f"http://{served.address}{VERSION}"
        with httpx.Client(base_url=base_url, timeout=5, trust_env=False) as client:
            yield served, client


def failure(process: LambdaProcess, event: dict[str, Any], timeout: float = 15) -> FunctionFailed:
    """How an invocation fails."""
    with pytest.raises(FunctionFailed) as raised:
        process.invoke(event, timeout)
    return raised.value


def test_next_has_the_event_and_its_headers(api: tuple[RuntimeApi, httpx.Client]) -> None:
    """A process gets the event with all that the runtime reads from headers, its seconds counted from now."""
    served, client = api
    served.offer(EVENT, seconds=15)
    time.sleep(0.05)
    asked = time.time()
    taken = client.get("/invocation/next")
    assert (taken.status_code, taken.json()) == (200, EVENT)
    headers = {name: taken.headers[f"lambda-runtime-{name}"] for name in ("aws-request-id", "trace-id")}
    assert str(uuid.UUID(headers["aws-request-id"])) == headers["aws-request-id"]
    assert headers["trace-id"].startswith("Root=1-")
    assert headers["trace-id"].endswith(";Sampled=1")
    assert taken.headers["lambda-runtime-invoked-function-arn"].startswith("arn:aws:lambda:")
    end = int(taken.headers["lambda-runtime-deadline-ms"]) / 1000
    assert asked + 14.99 < end < time.time() + 15.01, "the deadline counts from when the process asks"


def test_answers_are_taken_once_and_of_what_is_under_way(api: tuple[RuntimeApi, httpx.Client]) -> None:
    """A response to anything but the invocation under way is refused, and is nobody's answer."""
    served, client = api
    served.offer(EVENT, seconds=15)
    request_id = client.get("/invocation/next").headers["lambda-runtime-aws-request-id"]
    for path in (
        f"/invocation/{uuid.uuid4()}/response",
        f"/invocation/{request_id}",
        "/invocation//response",
    ):
        assert client.post(path, content=b"{}").status_code == 404, f"{path} is no place for an answer"
    assert served.answer(0) is None
    assert client.post(f"/invocation/{request_id}/response", content=b'{"ok": true}').status_code == 202
    answer = served.answer(0)
    assert answer is not None
    assert (answer.kind, answer.body) == ("response", b'{"ok": true}')
    assert client.post(f"/invocation/{request_id}/response", content=b"{}").status_code == 404


@pytest.mark.parametrize("path", ["/init/error", "/invocation/{}/error"])
def test_errors_are_answers(api: tuple[RuntimeApi, httpx.Client], path: str) -> None:
    """What the process says went wrong, at its start or with an event, is taken as an error."""
    served, client = api
    served.offer(EVENT, seconds=15)
    request_id = client.get("/invocation/next").headers["lambda-runtime-aws-request-id"]
    assert client.post(path.format(request_id), content=b"{}").status_code == 202
    answer = served.answer(0)
    assert answer is not None
    assert answer.kind == "error"


def test_next_waits_for_an_event(api: tuple[RuntimeApi, httpx.Client]) -> None:
    """A process that asks early gets the event once there is one."""
    served, client = api
    with ThreadPoolExecutor() as pool:
        asked = pool.submit(client.get, "/invocation/next")
        time.sleep(0.1)
        assert not asked.done()
        served.offer(EVENT, seconds=15)
        assert asked.result(5).json() == EVENT


def test_stop_lets_go_of_who_waits() -> None:
    """The server stops at once, whoever waits for an event, and has nothing more to say."""
    with (
        ExitStack() as stack,
        ThreadPoolExecutor() as pool,
        httpx.Client(timeout=5, trust_env=False) as client,
    ):
        with RuntimeApi() as served:
            asked = pool.submit(client.get, f"http://{served.address}{VERSION}/invocation/next")
            time.sleep(0.1)
            timed = stack.enter_context(Timed())
        assert timed.seconds < 1 * slowness()
        assert isinstance(asked.exception(5), httpx.TransportError)


def test_exchange_is_not_held_up() -> None:
    """A whole answer is one segment: a second one would wait 40 ms for the first one's acknowledgement."""
    with RuntimeApi() as served:
        host, port = served.address.split(":")
        served.offer(EVENT, seconds=15)
        with socket.create_connection((host, int(port)), timeout=5) as sock:
            sock.sendall(f"GET {VERSION}/invocation/next HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            head, _, body = sock.recv(65536).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    assert json.loads(body or b"null") == EVENT, "the body came in a segment of its own"


def test_broken_connection_says_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    """A process that was ended in the middle of things leaves no traceback here."""
    with RuntimeApi() as served:
        host, port = served.address.split(":")
        with socket.create_connection((host, int(port))) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            sock.sendall(b"GET ")
        time.sleep(0.1)
    assert capfd.readouterr().err == ""


def test_process_answers(start: Start) -> None:
    """Events go in and answers come out, one after the other; the first one's time is kept."""
    began = time.perf_counter()
    process = start()
    assert process.invoke(EVENT) == EVENT
    first = process.seconds_to_first_answer
    assert 0 < first < time.perf_counter() - began
    assert process.invoke({"next": 1}) == {"next": 1}
    assert process.seconds_to_first_answer == first


def test_process_has_lambdas_environment_only(
    start: Start, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process gets what is given and what Lambda sets, and nothing of the caller's."""
    monkeypatch.setenv("OF_THE_CALLER", "hush")
    told = start(GIVEN="yes", AWS_REGION="eu-west-1").invoke({"tell": 1})
    variables = told["variables"]
    assert "OF_THE_CALLER" not in variables
    assert "HOME" not in variables
    expected = {
        "GIVEN": "yes",
        "AWS_REGION": "eu-west-1",
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "LAMBDA_TASK_ROOT": str(folder),
        "_HANDLER": "app.handler",
        "TZ": ":UTC",
    }
    assert {name: variables.get(name) for name in expected} == expected
    assert told["folder"] == str(folder)
    assert str(folder) in told["path"]
    others = [path for path in told["path"] if path.endswith("site-packages")]
    assert others == [], "it sees what a deployed function does not have"


def test_process_writes_no_bytecode(start: Start, folder: Path) -> None:
    """A deployed package is read-only, so no start may leave the next one what it has compiled."""
    start().invoke(EVENT)
    assert list(folder.rglob("__pycache__")) == []


def test_failed_event_fails_alone(start: Start) -> None:
    """A handler's exception is told by its type, and the process answers the next event."""
    process = start()
    failed = failure(process, {"fail": "door"})
    assert failed.error_type == "KeyError"
    assert "door" in str(failed)
    assert process.invoke(EVENT) == EVENT


def test_failed_start(start: Start) -> None:
    """A handler that cannot be imported is told as such, and not as a time-out."""
    failed = failure(start("nowhere.handler"), EVENT)
    assert failed.error_type == "Runtime.ImportModuleError"
    assert "nowhere" in str(failed)


def test_process_that_ends(start: Start) -> None:
    """A process that is gone fails this event and all later ones, with its last words."""
    process = start()
    for event in ({"exit": 3}, EVENT):
        failed = failure(process, event)
        assert failed.error_type == "Runtime.ExitError"
        assert "exit code 3: going" in str(failed)


def test_late_answer(start: Start) -> None:
    """A process that does not answer in time is ended, so that no late answer is taken for the next one's."""
    process = start()
    process.invoke(EVENT)
    began = time.monotonic()
    assert failure(process, {"sleep": 30}, timeout=0.3).error_type == "Sandbox.Timedout"
    assert time.monotonic() - began < 15
    assert failure(process, EVENT).error_type == "Runtime.ExitError"


def test_output_holds_nobody_up(start: Start) -> None:
    """A handler may print more than a pipe holds."""
    event = {"print": 300_000}
    assert start().invoke(event, timeout=5) == event


def test_memory(start: Start) -> None:
    """Peak memory includes what was given back."""
    process = start()
    process.invoke(EVENT)
    before = process.peak_memory()
    process.invoke({"hold": 60_000_000})
    assert process.peak_memory() - before == pytest.approx(60, rel=0.2)


def test_process_ends_with_its_context(folder: Path, start: Start) -> None:
    """Nothing is left of the process or of its server."""
    process = start()
    process.invoke(EVENT)
    pid, threads = process.pid, threading.active_count()
    os.kill(pid, 0)
    process.__exit__(None, None, None)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    until = time.monotonic() + 30
    while threading.active_count() > threads - 1 and time.monotonic() < until:
        time.sleep(0.01)
    assert threading.active_count() < threads, "the server's thread is still there"


def badge(person: int, secret: str) -> dict[str, Any]:
    """A Kisi badge of the demo's door, now, as the HTTP API passes it on."""
    recorded = json.loads(samples.body("kisi", "badge-in")) | {"actor_id": person}
    renewed = json.loads(samples.renewed(vendors.load("kisi"), samples.as_body(recorded), datetime.now(UTC)))
    return webhook("access-control", "kisi", renewed, "kisi-sydney", {"signingSecrets": [secret]})


@pytest.fixture(scope="module")
def variables() -> Iterator[dict[str, str]]:
    """The functions' environment, with everything around them played by stand-ins."""
    found: dict[str, str] = {}
    template, settings = Template(), read({})
    environment.prepare(found, template)
    config, secrets = seed.load_config(settings.config), read_secrets(DEMO / "secrets.json")
    world = World(secrets["calven"], [place.location_id for place in config.places.values()])
    urls = world.start()
    try:
        aws = Aws(urls.aws)
        resources = create(template, aws)
        seed.seed(aws, resources, config, secrets)
        aws.close()
        yield found | environment.of_functions(settings, urls, resources)
    finally:
        world.stop()


@pytest.mark.e2e
@pytest.mark.parametrize(
    ("built", "handler", "bytecode"),
    [
        (artifacts.relay, "functions.access_control.app.handler", True),
        (artifacts.reference, "app.handler", False),
    ],
)
def test_both_do_the_job(
    variables: dict[str, str], built: Callable[[], Path], handler: str, bytecode: bool
) -> None:
    """A badge that Kisi signed reaches Calven once; one that somebody else signed does not."""
    folder = built()
    compiled = sorted(folder.rglob("*.pyc"))
    assert bool(compiled) is bytecode
    secret = read_secrets(DEMO / "secrets.json")["kisi-sydney"]["signingSecrets"][0]
    event = badge(os.getpid() + bytecode, secret)
    with LambdaProcess(BIN / "python", handler, [folder, artifacts.runtime()], variables) as process:
        told = process.invoke(event)
        assert (told["statusCode"], json.loads(told["body"])) == (200, {"status": "forwarded", "events": 2})
        assert process.invoke(badge(1, "somebody else's"))["statusCode"] == 401
        again = badge(os.getpid() + bytecode, secret)
        assert json.loads(process.invoke(again)["body"])["status"] == "ignored"
    assert sorted(folder.rglob("*.pyc")) == compiled, "running it has written bytecode"


@pytest.mark.e2e
def test_runtime_has_no_more_than_lambdas() -> None:
    """What a library would use if it found it is not there; all that is there has its bytecode."""
    folder = artifacts.runtime()
    assert {path.name for path in folder.iterdir()}.isdisjoint(
        {"h2", "httpx", "moto", "ministack", "pydantic"}
    )
    sources = [path for path in folder.rglob("*.py") if "tests" not in path.parts]
    bare = [path for path in sources if not list((path.parent / "__pycache__").glob(f"{path.stem}.*.pyc"))]
    assert bare == []


@pytest.mark.e2e
def test_reference_is_built_only_when_it_changes() -> None:
    """What is there is used again as long as its sources are the same."""
    before = (artifacts.reference() / "app.py").stat()
    after = (artifacts.reference() / "app.py").stat()
    assert (after.st_ino, after.st_ctime_ns) == (before.st_ino, before.st_ctime_ns), "it was built again"
