"""The whole relay as its users meet it: a process, signed events, Calven broken and mended."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import pytest
from click.testing import CliRunner, Result

from localrun.settings import DEMO
from relay import vendors
from relay.events import iso
from relayctl.main import main

RELAYCTL = Path(sys.executable).with_name("relayctl")
GENERIC = (Path(__file__).parents[2] / "docs" / "reference" / "vendors" / "generic.md").read_text("utf-8")


class Run:
    """A `relayctl local` on a free port, ready."""

    def __init__(self, **environment: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        variables = {**os.environ, "PORT": str(self.port), "RETRY_BASE_SECONDS": "1", **environment}
        self.environment = {k: v for k, v in variables.items() if not k.startswith("RELAY_")} | environment
        self.output: list[str] = []

    def __enter__(self) -> Self:
        """Start it and wait until it says that it is ready."""
        self.process = subprocess.Popen(
            [RELAYCTL, "local"],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._ready = threading.Event()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        assert self._ready.wait(60), "".join(self.output)
        self.url = f"http://127.0.0.1:{self.port}"
        self.about = httpx.get(f"{self.url}/_local", trust_env=False).json()
        self.sandbox = httpx.Client(
            base_url=self.about["sandbox_url"] or "http://127.0.0.1:9", trust_env=False
        )
        return self

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.output.append(line)
            if line == "ready\n":
                self._ready.set()
        self._ready.set()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it, as Ctrl-C or a service manager would."""
        self.sandbox.close()
        self.stop(signal.SIGTERM)

    def stop(self, number: int) -> int:
        """Signal the process, and return its exit code."""
        self.process.send_signal(number)
        try:
            code = self.process.wait(60)
        finally:
            self.process.kill()
            self.process.wait()
            self._reader.join()
            if self.process.stdout:
                self.process.stdout.close()
        return code

    def command(self, *arguments: str) -> Result:
        """`relayctl` against this run. It runs in this process: to start another one takes seconds."""
        others = {name: None for name in os.environ if name.startswith("RELAY_")}
        return CliRunner().invoke(main, arguments, env={**others, "PORT": str(self.port)})

    def send(self, *arguments: str) -> dict[str, Any]:
        """`relayctl send`, as JSON."""
        sent: dict[str, Any] = json.loads(self.command("--json", "send", *arguments).stdout)
        return sent

    def log(self) -> list[dict[str, Any]]:
        """The lines of JSON so far."""
        return [json.loads(line) for line in self.output if line.startswith("{")]

    def until(self, outcome: str, number: int, seconds: float = 60) -> None:
        """Wait until so many events have had an outcome."""
        end = time.monotonic() + seconds
        while sum(line.get("outcome") == outcome for line in self.log()) < number:
            assert time.monotonic() < end, "".join(self.output)
            time.sleep(0.1)


@pytest.fixture(scope="module")
def run() -> Iterator[Run]:
    """One run for the tests that leave nothing behind that another would see."""
    with Run() as started:
        yield started


def test_every_vendor() -> None:
    """The first sample of each vendor is forwarded, and `send` shows what reached Calven.

    Not of one that sends no webhooks, or whose webhooks say only that it is to be asked.
    """
    with Run() as run:
        paths = {"access-control": "/v1/occupancy", "hris": "/v1/timeoff"}
        listed = json.loads(run.command("vendors", "--json").stdout)
        assert {vendor["vendor"] for vendor in listed} == set(vendors.NAMES)
        refused = run.command("send", "bamboohr")
        assert (refused.exit_code, "sends no webhooks" in refused.stderr) == (1, True)
        for vendor in listed:
            if vendor["vendor"] in ("bamboohr", "kombo"):
                continue
            sent = run.send(vendor["vendor"])
            assert (sent["status"], sent["answer"]["status"]) == (200, "forwarded"), vendor["vendor"]
            path = paths[vendor["families"][0]]
            assert [(request["path"], request["status"]) for request in sent["calven"]] == [(path, 200)]


def test_generic_leave(run: Run) -> None:
    """A source that takes both kinds is posted leave on the HR route."""
    sent = run.send("generic", "leave-approved")
    assert "/webhooks/hris/generic" in sent["url"]
    assert sent["answer"] == {"status": "forwarded", "events": 1}


def test_handshake(run: Run) -> None:
    """A vendor that has handed nothing over has nothing to show."""
    shown = run.command("--local", "handshake", "gusto")
    assert (shown.exit_code, shown.stdout) == (1, "")
    assert "nothing was handed over for 'gusto'" in shown.stderr
    shown = run.command("--local", "--json", "handshake", "gusto")
    assert (shown.exit_code, json.loads(shown.stdout)) == (1, [])


@pytest.mark.parametrize(("language", "command"), [("python", [sys.executable]), ("sh", ["sh"])])
def test_scripts_of_the_generic_page(run: Run, tmp_path: Path, language: str, command: list[str]) -> None:
    """The page's scripts post what the relay takes, and say so when it does not."""
    [text] = re.findall(rf"```{language}\n(.*?)```", GENERIC.partition("## Try it")[0], re.DOTALL)
    script, event = tmp_path / "send", tmp_path / "event.json"
    script.write_text(text)
    badge = {"type": "badge", "id": language, "at": iso(time.time()), "door": "north", "person": language}
    event.write_text(json.dumps(badge))
    secret = json.loads((DEMO / "secrets.json").read_text())["generic"]["signingSecrets"][0]
    where = {"RELAY_URL": f"{run.url}/webhooks/access-control/generic", "RELAY_SECRET": secret}

    def post(**changed: str) -> subprocess.CompletedProcess[str]:
        environment = {**run.environment, **where, **changed}
        return subprocess.run(
            [*command, script, event],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    assert '{"status": "forwarded"' in (posted := post()).stdout, posted.stderr
    refused = post(RELAY_SECRET="whsec_b3RoZXI=")
    assert refused.returncode != 0
    assert "401" in refused.stderr


def test_operators_commands(run: Run) -> None:
    """What a run serves is in order, can be pulled, and its secrets can be changed."""
    run.send("kisi")
    found = json.loads(run.command("--local", "--json", "doctor").stdout)
    assert [
        one for one in found if not one["ok"] and one["check"] not in ("dead letters", "handshakes")
    ] == []
    assert run.command("--local", "config", "diff", str(DEMO / "relay.yaml")).exit_code == 0
    made = json.loads(
        run.command("--local", "--json", "secrets", "put", "genea", "--add", "--generate").stdout
    )
    assert made["secrets"] == ["calven-relay-local/access-control/genea"]
    assert run.send("genea", "denied")["status"] == 200
    counts = json.loads(run.command("--local", "--json", "occupancy").stdout)["counts"]
    assert {"sydney", "sydney-l3"} <= {count["place"] for count in counts}


def test_output_for_people(run: Run) -> None:
    """Without `--json`, `send` and `dlq list` say the same in words."""
    result = run.command("send", "kisi", "unmapped-door")
    assert result.exit_code == 0
    assert '202 {"status": "queued", "reason": "unmapped_door"}\nnothing reached Calven\n' in result.stdout
    listed = run.command("--local", "dlq", "list")
    assert "unmapped_door" in listed.stdout
    letters = json.loads(run.command("--local", "dlq", "list", "--json").stdout)
    assert any(letter["reason"] == "unmapped_door" for letter in letters)


def test_refused_at_the_door(run: Run) -> None:
    """Another URL's answer is shown, and from 400 on the exit code is 1."""
    result = run.command("send", "kisi", "--url", f"{run.url}/webhooks/access-control/nobody")
    assert result.exit_code == 1
    assert "404" in result.stdout
    result = run.command("send", "kisi", "--source", "verkada")
    assert (result.exit_code, "401" in result.stdout) == (1, True)
    result = run.command("send", "kisi", "--source", "nobody")
    assert (result.exit_code, result.stderr) == (1, "Error: no source 'nobody' is configured\n")


def test_send_by_url(run: Run) -> None:
    """`--url` alone finds a local run on another port than `PORT`."""
    environment = {**run.environment, "PORT": "9"}
    arguments = [str(RELAYCTL), "--json", "send", "kisi", "denied", "--url", run.url]
    sent = subprocess.run(arguments, env=environment, capture_output=True, text=True, check=True)
    assert json.loads(sent.stdout)["answer"] == {"status": "ignored", "reason": "denied"}


def test_lost_on_purpose(run: Run) -> None:
    """A webhook that is lost on purpose is all that the relay misses: the vendor knows what happened."""
    ordered = run.sandbox.post("/_sandbox/lose", json={"vendor": "brivo", "count": 2})
    assert ordered.status_code == 204
    assert run.send("deel", "requested")["status"] == 200
    lost = run.command("send", "brivo")
    url = f"{run.url}/webhooks/access-control/brivo"
    assert lost.stdout == f"POST {url}\nlost on purpose: the relay has not seen it\n"
    assert lost.exit_code == 0
    assert run.send("brivo")["answer"] == {"message": "lost on purpose"}
    assert run.send("brivo")["answer"]["status"] == "forwarded"
    happened = httpx.get(f"{run.about['vendor_api_url']}/_vendors/happened", trust_env=False).json()
    posted = [said["payload"]["uuid"] for said in happened if said["vendor"] == "brivo"]
    assert len(set(posted)) == 3


def away(run: Run) -> set[str]:
    """Whom Calven holds as away on some day."""
    return {
        email.lower() for email, days in run.sandbox.get("/_sandbox/state").json()["away"].items() if days
    }


def until_away(run: Run, email: str) -> None:
    """Wait until Calven holds somebody as away."""
    end = time.monotonic() + 60
    while email not in away(run):
        assert time.monotonic() < end, "".join(run.output)
        time.sleep(0.1)


def test_lost_webhook_is_made_good() -> None:
    """What a lost webhook did not tell, a reconciliation tells; nothing else has to be done."""
    with Run() as run:
        run.sandbox.post("/_sandbox/lose", json={"vendor": "deel"}).raise_for_status()
        assert run.send("deel")["answer"] == {"message": "lost on purpose"}
        assert away(run) == set()
        dry = run.command("--local", "reconcile", "deel", "--dry-run")
        assert (dry.exit_code, away(run)) == (1, set())
        done = run.command("--local", "reconcile", "deel")
        assert done.exit_code == 0, done.stderr
        until_away(run, "sam@example.com")
        again = run.command("--local", "reconcile", "deel", "--dry-run")
        assert again.exit_code == 0, again.stdout


def test_webhook_that_only_says_ask() -> None:
    """The function that reconciles takes its queue's messages: the leave that Kombo lists reaches Calven."""
    with Run() as run:
        assert run.command("--local", "reconcile", "kombo").exit_code == 0
        assert run.send("kombo")["answer"] == {"status": "ignored", "reason": "ask_now"}
        run.until("forwarded", 1)
        assert len(away(run)) == 1
        [line] = [line for line in run.log() if line["message"] == "reconciled"]
        assert (line["source"], line["status"], line["queued"]) == ("kombo", "complete", 1)


def test_calven_is_read_back(run: Run) -> None:
    """The demo's second key reads the days away that the relay has told Calven of."""
    read = json.loads((DEMO / "secrets.json").read_bytes())["calven-reader"]
    assert run.send("deel")["status"] == 200
    claim = {"client_id": read["apiKey"], "client_secret": read["apiSecret"]}
    token = run.sandbox.post("/v1/auth/token", json=claim).json()["access_token"]
    headers = {"authorization": f"Bearer {token}"}
    users = run.sandbox.get("/v1/analytics/users", headers=headers).json()
    [sam] = [user["userId"] for user in users if user["email"].lower() == "sam@example.com"]
    dates = {"startDate": "20270201", "endDate": "20270228"}
    path = "/v1/analytics/user-booking-attendance"
    plans = run.sandbox.get(path, params=dates, headers=headers).json()
    assert {(plan["userId"], plan["plan"]) for plan in plans} >= {(sam, "a")}


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/webhooks/access-control/kisi-sydney", 405),
        ("PUT", "/webhooks/access-control/kisi-sydney", 404),
        ("POST", "/webhooks/hris/kisi-sydney", 404),
        ("POST", "/webhooks/hris/deel/approve", 401),
        ("POST", "/webhooks/access-control/kisi-sydney", 401),
        ("POST", "/elsewhere", 404),
    ],
)
def test_routes(run: Run, method: str, path: str, status: int) -> None:
    """The routes are the template's."""
    assert httpx.request(method, run.url + path, trust_env=False).status_code == status


def test_outage() -> None:
    """What an outage leaves behind arrives within seconds of its end, and Calven ends up with the truth."""
    with Run() as run:
        run.send("kisi")
        run.sandbox.post("/_sandbox/fail", json={"mode": "503"})
        for arguments in (("kisi", "badge-out"), ("verkada",), ("deel",), ("hibob",)):
            assert run.send(*arguments)["status"] == 202
        run.sandbox.delete("/_sandbox/fail")
        run.until("forwarded", 5)
        state = run.sandbox.get("/_sandbox/state").json()
        assert sorted(event["occupancy"] for event in state["occupancy"].values()) == [1, 2]
        assert sorted(map(len, state["away"].values())) == [5, 5]
        assert json.loads(run.command("--local", "dlq", "list", "--json").stdout) == []
        names = {line["outcome"]: line for line in run.log() if "outcome" in line}
        assert names["queued"]["reason"] == "calven_unavailable"


def test_side_by_side() -> None:
    """Requests are served concurrently: while Calven keeps one waiting, another is answered."""
    with Run() as run, ThreadPoolExecutor(1) as pool:
        run.sandbox.post("/_sandbox/fail", json={"mode": "hang"})
        slow = pool.submit(run.send, "deel")
        while not run.sandbox.get("/_sandbox/requests").json():
            assert not slow.done()
        unsigned = httpx.post(f"{run.url}/webhooks/access-control/kisi-sydney", trust_env=False)
        assert unsigned.status_code == 401
        assert not slow.done()
        assert slow.result()["answer"]["reason"] == "calven_unavailable"


def test_own_configuration(tmp_path: Path) -> None:
    """`RELAY_CONFIG`, `RELAY_SECRETS` and `FORWARD_MODE` are honoured."""
    config, secrets = tmp_path / "relay.yaml", tmp_path / "secrets.json"
    config.write_text(
        "sources: {lobby: {vendor: kisi}}\n"
        "places: {hq: {locationId: HQ, locationType: location}}\n"
        'doors: {lobby: {"48211": {place: hq}}}\n'
    )
    calven = {"apiKey": "key", "apiSecret": "example", "auth": "client_credentials", "region": "ause1"}
    secrets.write_text(json.dumps({"calven": calven, "lobby": {"signingSecrets": ["example"]}}))
    files = {"RELAY_CONFIG": str(config), "RELAY_SECRETS": str(secrets)}
    with Run(**files, FORWARD_MODE="queued") as run:
        assert run.send("kisi")["answer"] == {"status": "queued", "reason": "store_first"}
        run.until("forwarded", 1)
        requests = run.sandbox.get("/_sandbox/requests").json()
        assert [request["path"] for request in requests] == ["/v1/auth/token", "/v1/occupancy"]
        assert {request["headers"]["x-calven-region"] for request in requests} == {"ause1"}


def test_push_to_a_run(tmp_path: Path) -> None:
    """A configuration that is pushed to a run heals what was unmapped, and the sandbox knows its places."""
    config = tmp_path / "relay.yaml"
    config.write_text(
        "sources: {kisi-sydney: {vendor: kisi}}\n"
        "places: {dock: {locationId: DOCK, locationType: zone}}\n"
        'doors: {kisi-sydney: {"99001": {place: dock}}}\n'
    )
    with Run() as run:
        assert run.send("kisi", "unmapped-door")["status"] == 202
        assert "version 2 is current" in run.command("config", "push", "--local", str(config)).stdout
        time.sleep(5.1)
        assert run.send("kisi", "unmapped-door")["answer"] == {"status": "forwarded", "events": 1}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ends_cleanly(number: signal.Signals) -> None:
    """SIGINT and SIGTERM end it with exit code 0, and nothing is left behind."""
    with Run(MAKELEVEL="1") as run:
        endpoint = run.about["aws_endpoint"]
        assert run.stop(number) == 0
        with pytest.raises(httpx.ConnectError):
            httpx.get(endpoint, trust_env=False)


def test_port_taken() -> None:
    """A port that is taken is said in one line, with what to do about it."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        result = subprocess.run(
            [RELAYCTL, "local"], env={**os.environ, "PORT": port}, capture_output=True, text=True, check=False
        )
    assert result.returncode == 1
    assert f"port {port}" in result.stderr
    assert "PORT=" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_invalid_configuration(tmp_path: Path) -> None:
    """A configuration at fault is named to the line, with exit code 2."""
    config = tmp_path / "relay.yaml"
    config.write_text("sources:\n  a: {vendor: nobody}\n")
    result = subprocess.run(
        [RELAYCTL, "local"],
        env={**os.environ, "PORT": "0", "RELAY_CONFIG": str(config)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 2
    assert f"{config}:2: unknown vendor 'nobody'" in result.stderr
