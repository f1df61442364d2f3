"""The local run reads its template and settings, keeps the user's AWS out, and leaves nothing behind."""

import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import httpx
import pytest

from localrun import environment, seed, settings
from localrun.aws import Resources
from localrun.serve import bind
from localrun.template import EventSource, Function, Route, Schedule, Template, interval
from localrun.world import Urls
from relay.vendors import NAMES, load
from relayctl import secret_store
from tests.processes import gone

COMMAND = "import sys; from localrun.run import run; sys.exit(run())"

TEMPLATE = """
Parameters:
  Memory: {Type: Number, Default: 640}
  Secret: {Type: String}
Conditions:
  Always: !Equals [a, a]
Globals:
  Function:
    Timeout: 20
    Environment:
      Variables: {LEVEL: INFO, STACK: !Sub "${AWS::StackName}-x", TABLE: !Ref Table, SECRET: !Ref Secret}
Resources:
  Queue:
    Type: AWS::SQS::Queue
  Table:
    Type: AWS::DynamoDB::Table
  Worker:
    Type: AWS::Serverless::Function
    Properties:
      Handler: worker.handler
      MemorySize: !Ref Memory
      ReservedConcurrentExecutions: !If [Always, 5, !Ref AWS::NoValue]
      Environment:
        Variables: {LEVEL: DEBUG}
      Events:
        Any: {Type: HttpApi, Properties: {Path: "/files/{name+}", Method: any}}
        Queue: {Type: SQS, Properties: {Queue: !GetAtt Queue.Arn}}
        Clock: {Type: ScheduleV2, Properties: {ScheduleExpression: rate(2 hours)}}
"""


@pytest.fixture
def template(tmp_path: Path) -> Template:
    """A template with the short forms, defaults and references that a template may have."""
    path = tmp_path / "template.yaml"
    path.write_text(TEMPLATE)
    return Template(path)


def test_template_functions(template: Template) -> None:
    """What a function leaves out comes from Globals, from parameters' defaults, else from Lambda's."""
    worker = Function("Worker", "worker.handler", 640, 20, "/aws/lambda/Worker")
    assert template.functions == {"Worker": worker}
    assert template.routes == [Route("ANY", "/files/{name+}", worker)]
    assert template.event_sources == [EventSource("Queue", worker, 10, 2)]
    assert template.schedules == [Schedule(worker, 7200)]


def test_template_environment(template: Template) -> None:
    """Variables are known as far as a template alone tells them."""
    assert template.environment == {"LEVEL": "DEBUG", "STACK": "calven-relay-local-x"}


def test_real_template() -> None:
    """The project's own template has the routes, the queues and the schedules that the local run serves."""
    template = Template()
    assert {(route.method, route.path) for route in template.routes} == {
        (method, path)
        for method in ("GET", "POST")
        for path in (
            "/webhooks/access-control/{source}",
            "/webhooks/hris/{source}",
            "/webhooks/hris/{source}/{topic}",
        )
    }
    assert [(source.function.handler, source.batch_size) for source in template.event_sources] == [
        ("functions.retry.app.handler", 100),
        ("functions.occupancy_reset.app.handler", 10),
        ("functions.reconcile.app.handler", 1),
    ]
    assert [(each.function.handler, each.interval) for each in template.schedules] == [
        ("functions.occupancy_reset.app.handler", 900),
        ("functions.reconcile.app.handler", 900),
    ]


@pytest.mark.parametrize(
    ("expression", "seconds"),
    [
        ("rate(1 minute)", 60),
        ("rate(15 minutes)", 900),
        ("rate(1 day)", 86_400),
        ("cron(2/15 * * * ? *)", 900),
        ("cron(*/5 * * * ? *)", 300),
        ("cron(* * * * ? *)", 60),
        ("cron(0,30 * * * ? *)", 1800),
        ("cron(7 * * * ? *)", 3600),
        ("cron(0 4 * * ? *)", 86_400),
    ],
)
def test_interval(expression: str, seconds: int) -> None:
    """A schedule becomes the seconds between two calls."""
    assert interval(expression) == seconds


def test_interval_of_nothing_known() -> None:
    """What is no schedule is an error, not a guess."""
    with pytest.raises(ValueError, match="not a schedule"):
        interval("at(2026-01-01T00:00:00)")


def test_settings_have_defaults(tmp_path: Path) -> None:
    """Everything has a default, and an empty variable counts as unset."""
    found = settings.read({"PORT": "", "FORWARD_MODE": "", "PATH": "/bin"})
    assert (found.port, found.forward_mode, found.retry_base_seconds) == (8080, "direct", 30)
    assert (found.calven_base_url, found.secrets) == (None, None)
    assert found.config.is_file()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "http"),
        ("PORT", "65536"),
        ("CALVEN_BASE_URL", "api.calven.com"),
        ("RELAY_CONFIG", "/nowhere/relay.yaml"),
        ("RELAY_SECRETS", "/nowhere/secrets.json"),
        ("RETRY_BASE_SECONDS", "0"),
        ("FORWARD_MODE", "batch"),
    ],
)
def test_wrong_setting(name: str, value: str) -> None:
    """A variable that is wrong is named with its value; the exit code is that of wrong usage."""
    with pytest.raises(settings.StartError) as caught:
        settings.read({name: value, "PATH": "/bin"})
    assert caught.value.exit_code == 2
    (problem,) = caught.value.problems
    assert problem.startswith(f"{name}={value}: ")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("{\n  nonsense", "line 2"),
        ("[]", "dictionary"),
        ('{"calven": "hidden"}', "calven"),
        ('{"calven": {"apiKey": "k"}}', "apiSecret is missing"),
        ("{}", "apiKey is missing"),
    ],
)
def test_wrong_secrets(tmp_path: Path, content: str, problem: str) -> None:
    """A file of secrets that cannot be used is an error that names file and place, and repeats no secret."""
    path = tmp_path / "secrets.json"
    path.write_text(content)
    with pytest.raises(settings.StartError) as caught:
        settings.read_secrets(path)
    assert caught.value.exit_code == 2
    assert str(path) in caught.value.problems[0]
    assert problem in caught.value.problems[0]
    assert "hidden" not in str(caught.value)


def test_demo_secrets_are_usable() -> None:
    """There is a source of each vendor, with a secret that `relayctl secrets put` would take."""
    found = settings.read_secrets(settings.DEMO / "secrets.json")
    config = seed.load_config(settings.DEMO / "relay.yaml")
    assert set(found) == {"calven", "calven-reader", *config.sources}
    assert {source.vendor for source in config.sources.values()} == set(NAMES)
    for name, source in config.sources.items():
        secret_store.checked_source(load(source.vendor), found[name])


def test_environment_forgets_the_users_aws() -> None:
    """No profile, endpoint, credential or proxy of the user's reaches the functions."""
    variables = {
        "AWS_PROFILE": "work",
        "AWS_SESSION_TOKEN": "real",
        "AWS_ENDPOINT_URL_SQS": "https://sqs.example.com",
        "AWS_REGION": "eu-west-1",
        "NO_PROXY": "example.com",
        "POWERTOOLS_LOG_LEVEL": "DEBUG",
    }
    environment.prepare(variables, Template())
    assert not {"AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_SQS"} & set(variables)
    assert (variables["AWS_REGION"], variables["AWS_ACCESS_KEY_ID"]) == ("us-east-1", "local")
    assert variables["NO_PROXY"] == "example.com,127.0.0.1,localhost"
    assert variables["no_proxy"] == "127.0.0.1,localhost"
    assert variables["POWERTOOLS_LOG_LEVEL"] == "DEBUG"
    assert variables["POWERTOOLS_METRICS_NAMESPACE"] == "CalvenRelay/calven-relay-local"


@pytest.mark.parametrize(
    ("base_url", "expected"), [(None, "http://sandbox"), ("http://127.0.0.1:9/x/", "http://127.0.0.1:9/x")]
)
def test_functions_know_calven(base_url: str | None, expected: str) -> None:
    """The functions call the sandbox, or the Calven that was named."""
    chosen = settings.read({"CALVEN_BASE_URL": base_url or "", "RETRY_BASE_SECONDS": "1"})
    urls = Urls("http://aws", None if base_url else "http://sandbox", "http://vendors")
    variables = environment.of_functions(
        chosen, urls, Resources("table", "http://aws/q", "http://aws/d", "http://aws/r", "http://aws/o")
    )
    assert variables["CALVEN_BASE_URL"] == expected
    assert variables["RETRY_BASE_SECONDS"] == "1"
    assert variables["AWS_ENDPOINT_URL"] == "http://aws"
    assert variables["RECONCILE_QUEUE_URL"] == "http://aws/r"
    assert variables["OCCUPANCY_RESET_QUEUE_URL"] == "http://aws/o"


def run(**variables: str) -> subprocess.CompletedProcess[str]:
    """The local run's own process, to its end."""
    return subprocess.run(
        [sys.executable, "-c", COMMAND],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_port_taken() -> None:
    """A port that is taken is one clear line with the way out, and exit code 1."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        ended = run(PORT=str(port))
    assert ended.returncode == 1
    assert ended.stdout == ""
    assert (
        ended.stderr == f"port {port}: Address already in use; take another one with PORT=<number> make run\n"
    )


def test_port_taken_meanwhile() -> None:
    """A port that another program begins to listen on while the run starts is the same clear line."""
    with bind() as other:
        port = other.getsockname()[1]
        threading.Timer(0.5, other.listen).start()
        ended = run(PORT=str(port))
    assert ended.returncode == 1
    assert ended.stdout == ""
    assert (
        ended.stderr == f"port {port}: Address already in use; take another one with PORT=<number> make run\n"
    )


def test_wrong_usage() -> None:
    """Every variable at fault has its line, and the exit code is 2."""
    ended = run(PORT="x", FORWARD_MODE="y")
    assert ended.returncode == 2
    assert [line.partition(":")[0] for line in ended.stderr.splitlines()] == ["PORT=x", "FORWARD_MODE=y"]


class Running:
    """A local run in a process of its own, on a free port, with what it printed until it was ready."""

    def __init__(self, **variables: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", COMMAND],
            env={**os.environ, "PORT": "0", **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.lines: list[str] = []
        for line in self.process.stdout:
            self.lines.append(line.strip())
            if line == "ready\n":
                break

    @property
    def url(self) -> str:
        """Where it listens."""
        found = [line for line in self.lines if "/webhooks/" in line]
        return found[0].partition("/webhooks/")[0]

    def about(self) -> dict[str, str | None]:
        """What it tells the tools."""
        about: dict[str, str | None] = httpx.get(f"{self.url}/_local").json()
        return about

    def world(self) -> int:
        """Its child's process id."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return int(children.read_text().split()[0])

    def end(self, number: signal.Signals | None = None) -> tuple[int, str]:
        """Sends a signal, and returns exit code and standard error."""
        if number is not None:
            self.process.send_signal(number)
        _, error = self.process.communicate(timeout=60)
        return self.process.returncode, error


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_run_serves_and_stops_cleanly(number: signal.Signals) -> None:
    """A run says where it is and `ready`, serves, and ends on a signal with 0 and without a word."""
    running = Running()
    world = running.world()
    assert running.lines[-1] == "ready"
    assert f"{running.url}/webhooks/access-control/kisi-sydney" in running.lines
    assert f"{running.url}/webhooks/hris/hibob" in running.lines
    assert httpx.post(f"{running.url}/webhooks/hris/deel", json={}).status_code == 401
    assert httpx.post(f"{running.url}/webhooks/hris/nobody", json={}).status_code == 404
    about = running.about()
    assert about["stack"] == "calven-relay-local"
    assert about["calven_url"] == about["sandbox_url"]
    assert httpx.get(f"{about['sandbox_url']}/_sandbox/requests").json() == []
    assert running.end(number) == (0, "")
    assert gone(world)


def test_run_with_another_calven(tmp_path: Path) -> None:
    """With another Calven there is no sandbox; a source without a secret is named, and the others served."""
    secrets = tmp_path / "secrets.json"
    secrets.write_text('{"calven": {"apiKey": "k", "apiSecret": "s"}, "deel": {"signingSecrets": ["x"]}}')
    running = Running(CALVEN_BASE_URL="http://127.0.0.1:9", RELAY_SECRETS=str(secrets))
    about = running.about()
    assert (about["calven_url"], about["sandbox_url"]) == ("http://127.0.0.1:9", None)
    code, error = running.end(signal.SIGINT)
    assert code == 0
    named = [line.split("'")[1] for line in error.splitlines()]
    assert named[0] == "kisi-sydney"
    assert {"verkada", "hibob"} <= set(named)


def test_run_ends_when_its_child_does() -> None:
    """Without the process that plays AWS and Calven the run ends with 1, and says why in one line."""
    running = Running()
    os.kill(running.world(), signal.SIGKILL)
    code, error = running.end()
    assert code == 1
    assert error.splitlines()[-1] == "the process that plays AWS and Calven has ended: stopping"
    assert "Traceback" not in error


def test_killed_run_leaves_nothing() -> None:
    """A run that is killed outright takes its child with it."""
    running = Running()
    world = running.world()
    running.end(signal.SIGKILL)
    assert gone(world)


def test_wrong_configuration(tmp_path: Path) -> None:
    """A configuration that is wrong is named to the line before anything is started, with exit code 2."""
    path = tmp_path / "relay.yaml"
    path.write_text("sources:\n  x: {vendor: nobody}\n  y: {vendor: kisi, colour: red}\n")
    ended = run(PORT="0", RELAY_CONFIG=str(path))
    assert ended.returncode == 2
    assert f"{path}:3: " in ended.stderr
    assert ended.stdout == ""
