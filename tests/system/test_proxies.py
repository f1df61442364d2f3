"""Proxies of the operator's environment: taken to what is far away, never to what is on this machine."""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from localrun.settings import DEMO
from relayctl import network, target
from relayctl.main import main
from tests.rig import Rig
from tests.servers import Proxy, proxy
from tests.system.test_end_to_end import Run

NAMES = ("http_proxy", "https_proxy", "all_proxy")
Behind = Callable[[str], None]


@pytest.fixture
def through(monkeypatch: pytest.MonkeyPatch) -> Behind:
    """Have the environment name a proxy, and nothing that goes past it."""

    def name(url: str) -> None:
        for variable in (*NAMES, "no_proxy"):
            monkeypatch.delenv(variable.upper(), raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        for variable in NAMES:
            monkeypatch.setenv(variable, url)

    return name


def command(*arguments: str) -> Result:
    """`relayctl` in this process."""
    return CliRunner().invoke(main, arguments)


@pytest.mark.parametrize(
    ("url", "local"),
    [
        ("http://127.0.0.1:8080/x", True),
        ("http://127.8.9.1", True),
        ("http://localhost:1", True),
        ("http://LOCALHOST.", True),
        ("http://relay.localhost/", True),
        ("http://[::1]:8080", True),
        ("http://[::ffff:127.0.0.1]", True),
        ("http://0.0.0.0:8080", True),
        ("https://calven.example.com", False),
        ("https://localhost.example.com", False),
        ("http://192.168.0.1", False),
        ("http://[2001:db8::1]", False),
        ("http://[nonsense", False),
        ("nonsense", False),
    ],
)
def test_what_is_local(url: str, local: bool) -> None:
    """What is on this machine is known by its name or address."""
    assert network.is_local(url) is local


@pytest.fixture
def far_calven(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """A proxy before the sandbox, which a stack calls Calven, and the functions that nobody can reach."""
    far = replace(
        rig.target(), calven_url="http://calven.example.com", api_url="http://relay.example.com/base"
    )
    monkeypatch.setattr(target, "deployed", lambda _: far)
    rig.clock.now = time.time()
    with proxy({"calven.example.com": str(rig.sandbox.base_url)}) as before:
        yield before


def test_calven(far_calven: Proxy, through: Behind) -> None:
    """A stack's Calven is asked by way of the proxy."""
    through(far_calven.url)
    result = command("--stack", "relay", "calven", "check")
    assert result.output == "ok       calven: http://calven.example.com gives a token\n"
    assert far_calven.asked == ["POST http://calven.example.com/v1/auth"]


def test_calven_past_the_proxy(far_calven: Proxy, through: Behind, monkeypatch: pytest.MonkeyPatch) -> None:
    """`NO_PROXY` counts: nobody is there without the proxy."""
    through(far_calven.url)
    monkeypatch.setenv("NO_PROXY", "example.com")
    result = command("--stack", "relay", "calven", "check")
    assert result.exit_code == 1
    assert "no answer from Calven" in result.output
    assert far_calven.asked == []


def test_calven_by_tls(far_calven: Proxy, rig: Rig, through: Behind, monkeypatch: pytest.MonkeyPatch) -> None:
    """For TLS the proxy is asked for a tunnel; one that is refused is a problem, and no traceback."""
    through(far_calven.url)
    far = replace(rig.target(), calven_url="https://calven.example.com")
    monkeypatch.setattr(target, "deployed", lambda _: far)
    result = command("--stack", "relay", "calven", "check")
    assert result.exit_code == 1
    assert "no answer from Calven" in result.output
    assert far_calven.asked == ["CONNECT calven.example.com:443"]


def test_calven_on_this_machine(rig: Rig, through: Behind, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Calven on this machine is asked past the proxy, also by a stack's check."""
    monkeypatch.setattr(target, "deployed", lambda _: rig.target())
    rig.clock.now = time.time()
    with proxy() as before:
        through(before.url)
        assert command("--stack", "relay", "calven", "check").exit_code == 0
    assert before.asked == []


@pytest.mark.parametrize("url", ["socks5://127.0.0.1:1", "ftp://127.0.0.1:1"])
def test_unusable_proxy(far_calven: Proxy, through: Behind, url: str) -> None:
    """A proxy that cannot be used is named as the problem: exit code 1, no traceback."""
    through(url)
    for arguments in (("calven", "check"), ("doctor",)):
        result = command("--stack", "relay", *arguments)
        assert result.exit_code == 1
        assert isinstance(result.exception, SystemExit)
        assert "the proxy that the environment names cannot be used" in result.output
        assert "mend http_proxy" in result.output
    result = command("send", "kisi", "--stack", "relay", "--url", "http://relay.example.com")
    assert result.exit_code == 1
    assert "the proxy that the environment names cannot be used" in result.stderr
    assert far_calven.asked == []


def test_doctor(far_calven: Proxy, through: Behind) -> None:
    """`doctor` asks a stack's Calven and its front doors by way of the proxy."""
    through(far_calven.url)
    found = {each["check"]: each for each in json.loads(command("--stack", "x", "doctor", "--json").stdout)}
    assert found["calven"]["ok"]
    assert found["front door hris"]["detail"].endswith(" answers 502")
    assert far_calven.asked == [
        "POST http://calven.example.com/v1/auth",
        "POST http://relay.example.com/base/webhooks/access-control/relayctl-doctor",
        "POST http://relay.example.com/base/webhooks/hris/relayctl-doctor",
    ]


def test_send(far_calven: Proxy, through: Behind) -> None:
    """A sample for a URL that is far away is posted by way of the proxy."""
    through(far_calven.url)
    sent = json.loads(command("send", "kisi", "--stack", "relay", "--json").stdout)
    assert sent["status"] == 502
    [asked] = far_calven.asked
    assert asked.startswith("POST http://relay.example.com/base/webhooks/access-control/kisi-sydney")


@pytest.fixture(scope="module")
def run() -> Iterator[tuple[Run, Proxy]]:
    """A local run, started with a proxy in its environment that nobody should ask."""
    with proxy() as before:
        named = {name: before.url for one in NAMES for name in (one, one.upper())}
        with Run(**named, NO_PROXY="", no_proxy="") as started:
            yield started, before


LOCAL: Sequence[tuple[str, ...]] = (
    ("calven", "audit"),
    ("calven", "check"),
    ("config", "diff", str(DEMO / "relay.yaml")),
    ("config", "history"),
    ("config", "pull"),
    ("config", "push", str(DEMO / "relay.yaml")),
    ("config", "suggest"),
    ("dlq", "export"),
    ("dlq", "list"),
    ("dlq", "purge", "--yes"),
    ("dlq", "redrive", "--wait", "0"),
    ("doctor",),
    ("occupancy",),
    ("reconcile",),
    ("secrets", "check"),
    ("secrets", "put", "genea", "--add", "--generate"),
    ("send", "kisi"),
)
NOTHING_THERE: Sequence[tuple[str, ...]] = (
    ("config", "rollback", "--to", "999"),
    ("dlq", "show", "nothing"),
    ("handshake", "gusto"),
    ("leave", "show", "nobody@example.com"),
)


@pytest.mark.parametrize("arguments", [*LOCAL, *NOTHING_THERE], ids=" ".join)
def test_local(
    run: tuple[Run, Proxy], through: Behind, monkeypatch: pytest.MonkeyPatch, arguments: Sequence[str]
) -> None:
    """No command to the local relay goes through a proxy, nor does what the relay does then."""
    started, before = run
    through(before.url)
    monkeypatch.setenv("PORT", str(started.port))
    result = command("--local", *arguments)
    assert before.asked == []
    assert "no local relay answers" not in result.output
    if arguments in LOCAL:
        assert result.exit_code == 0, result.output


def test_local_with_far_calven(
    run: tuple[Run, Proxy], through: Behind, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A local relay asks its Calven itself, past any proxy, and so does the check of it."""
    started, before = run
    through(before.url)
    monkeypatch.setenv("PORT", str(started.port))
    far = replace(target.local(), calven_url="http://calven.invalid")
    monkeypatch.setattr(target, "local", lambda _: far)
    assert "no answer from Calven" in command("--local", "calven", "check").output
    assert before.asked == []


def test_send_to_a_far_url(run: tuple[Run, Proxy], through: Behind, monkeypatch: pytest.MonkeyPatch) -> None:
    """A URL of the local relay's that is far away, such as a tunnel's, is reached by way of the proxy."""
    started, _ = run
    monkeypatch.setenv("PORT", str(started.port))
    with proxy({"tunnel.example.com": started.url}) as before:
        through(before.url)
        sent = json.loads(command("send", "kisi", "--url", "http://tunnel.example.com", "--json").stdout)
        assert sent["status"] == 200
        assert [asked.partition("?")[0].rpartition("/")[2] for asked in before.asked] == [
            "_local",
            "kisi-sydney",
        ]


@pytest.mark.parametrize("local", [False, True], ids=["far", "here"])
def test_aws(
    run: tuple[Run, Proxy], through: Behind, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, local: bool
) -> None:
    """A stack's AWS is asked by way of the proxy; an emulator of AWS on this machine is not."""
    aws = run[0].about["aws_endpoint"]
    monkeypatch.setenv("AWS_ENDPOINT_URL", aws if local else "http://aws.example.com")
    with proxy({"aws.example.com": aws}) as before:
        through(before.url)
        monkeypatch.setattr(target, "deployed", lambda _: _of(run[0]))
        result = command("--stack", "relay", "config", "push", str(DEMO / "relay.yaml"))
        assert result.exit_code == 0, result.output
        monkeypatch.undo()
    assert set(before.asked) == (set() if local else {"POST http://aws.example.com/"})


def _of(started: Run) -> target.Target:
    """The local run as if it were a deployed stack."""
    about = started.about
    return target.Target(
        stack=about["stack"],
        api_url=started.url,
        table=about["table"],
        unprocessed_queue_url=about["unprocessed_queue_url"],
        dead_letter_queue_url=about["dead_letter_queue_url"],
        region=about["region"],
    )


@pytest.mark.parametrize("local", [False, True], ids=["far", "here"])
def test_stack(through: Behind, monkeypatch: pytest.MonkeyPatch, local: bool) -> None:
    """So is CloudFormation, which tells about a stack. A proxy's own answer is no traceback."""
    with proxy() as nobody, proxy() as before:
        through(before.url)
        monkeypatch.setenv("AWS_ENDPOINT_URL", nobody.url if local else "http://aws.example.com")
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
        result = command("--stack", "relay", "dlq", "list")
        assert "cannot read the stack 'relay'" in result.stderr
        assert nobody.asked == (["POST /"] if local else [])
        assert before.asked == ([] if local else ["POST http://aws.example.com/"])
