"""A refresh token that changes with each use: one chain for all containers, and never a lost event.

The token endpoint of these tests is a real server. It refuses a refresh token that has been used: at once, as
DoorFlow does, or from the first use of the access token that replaced it, as Gusto does.
"""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from localrun.moto_server import Moto
from localrun.serve import Served
from localrun.template import STACK
from relay import vendors
from relay.aws.clients import Clients
from relay.container import Container
from relay.deadline import BATCH, Deadline
from relay.http import Answer
from relay.invocation import Invocation
from relay.observability import Telemetry
from relay.reconciliation.pages import Pages
from relay.vendors.support.tokens import (
    LEASE_SECONDS,
    REFUSED_SECONDS,
    STORE_SECONDS,
    chain_of,
    lease_key,
    lease_of,
)
from tests.rig import Rig
from tests.servers import aws_error
from tests.token_endpoint import FIRST, Endpoint

pytestmark = pytest.mark.slow


@pytest.fixture
def endpoint(rig: Rig) -> Iterator[Endpoint]:
    """The endpoint that the rig's DoorFlow source asks."""
    found = Endpoint()
    found.clock = rig.clock
    with Served(found.app()) as url:
        put_refresh_token(rig, FIRST, url)
        yield found


def put_refresh_token(rig: Rig, token: str, url: str | None = None) -> None:
    """What an operator puts into the source's secret."""
    secret = rig.secrets["doorflow"]
    secret["api"] = {**secret["api"], "refreshToken": token, **({"baseUrl": url} if url else {})}
    name = f"{STACK}/access-control/doorflow"
    rig.aws.secrets.put_secret_value(SecretId=name, SecretString=json.dumps(secret))


def notification(event: int) -> bytes:
    """DoorFlow's webhook about one event."""
    return json.dumps([{"action": "CREATE", "resource_type": "Event", "resource_id": event}]).encode()


def post(rig: Rig, event: int, relay: Container | None = None) -> tuple[int, str]:
    """The status and what became of it."""
    status, answer = rig.post("doorflow", notification(event), relay=relay)
    return status, answer.get("reason") or answer["status"]


def lease(rig: Rig) -> Any:
    """The lease as it is in the table."""
    secret = rig.secrets["doorflow"]["api"]
    key = lease_key("doorflow", chain_of(secret["baseUrl"], secret))
    return lease_of(rig.relay.table.get([key]).get(key))


@pytest.mark.no_cover
def test_three_hours_of_two_containers(rig: Rig, endpoint: Endpoint) -> None:
    """Whoever needs a token refreshes, the other uses it: every event is forwarded, nothing is replayed."""
    containers = [rig.relay, rig.built()]
    for step in range(0, 3 * 3600, 120):
        rig.clock.advance(120)
        for number, relay in enumerate(containers):
            assert post(rig, step * 2 + number, relay)[1] in ("forwarded", "superseded", "unchanged")
    assert endpoint.refused == 0
    assert endpoint.given <= 3 * 3600 / 45 + 1
    assert rig.dead_letters() == []


def test_side_by_side(rig: Rig, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many that find no token at once refresh once, one of them."""
    with Served(Moto()) as aws, ThreadPoolExecutor(9) as threads:
        monkeypatch.setenv("AWS_ENDPOINT_URL", aws)  # moto is atomic only behind its server's lock
        relays = [rig.built(Clients()) for _ in range(3)]
        monkeypatch.delenv("AWS_ENDPOINT_URL")
        work = [threads.submit(post, rig, number, relays[number % 3]) for number in range(9)]
        assert {one.result()[0] for one in work} <= {200, 202}
    assert (endpoint.given, endpoint.refused) == (1, 0)
    while rig.waiting():
        rig.clock.advance(61)
        rig.retry()
    assert rig.dead_letters() == []


def test_token_refused_by_the_api(rig: Rig, endpoint: Endpoint) -> None:
    """An access token that ended before its time is renewed once, by whoever learns of it first."""
    other = rig.built()
    assert post(rig, 1)[0] == post(rig, 2, other)[0] == 200
    rig.clock.advance(61)
    endpoint.seconds = 3600
    assert post(rig, 3)[0] == 200
    rig.clock.advance(700)
    endpoint.access = "another"
    assert post(rig, 4, other)[0] == post(rig, 5)[0] == 200
    assert (endpoint.given, endpoint.refused) == (3, 0)


def test_refusal_waits(rig: Rig, endpoint: Endpoint, printed: Callable[[], str]) -> None:
    """A refused refresh token is no dead letter: the event waits, and the endpoint is left alone a while."""
    put_refresh_token(rig, "an-old-refresh-token")
    for number in range(3):
        assert post(rig, number) == (202, "vendor_unavailable")
    assert endpoint.refused == 1
    rig.clock.advance(REFUSED_SECONDS + 1)
    assert post(rig, 4) == (202, "vendor_unavailable")
    assert endpoint.refused == 2
    rig.clock.advance(700)
    rig.retry()
    assert rig.dead_letters() == []
    log = printed()
    assert '"TokenRefusedSeconds":[731' in log.replace(" ", ""), "the alarm sees for how long"
    assert not any(token in log for token in ("an-old-refresh-token", FIRST, "access-"))


def test_refusal_heals(rig: Rig, endpoint: Endpoint) -> None:
    """A new refresh token in the secret begins the chain anew, and what waited is forwarded."""
    put_refresh_token(rig, "an-old-refresh-token")
    assert post(rig, 1) == (202, "vendor_unavailable")
    put_refresh_token(rig, FIRST)
    rig.clock.advance(31)
    rig.retry()
    assert rig.waiting() == []
    assert rig.dead_letters() == []
    assert lease(rig).refused_since == 0
    assert len(rig.calven()) > 0
    assert endpoint.given == 1


def test_new_chain_in_the_middle(rig: Rig, endpoint: Endpoint) -> None:
    """A refresh token that is put while the old chain still works takes over at the next refetch."""
    assert post(rig, 1)[0] == 200
    endpoint.refresh = "authorised-anew"
    put_refresh_token(rig, "authorised-anew")
    rig.clock.advance(301)
    assert post(rig, 2)[0] == 200
    assert endpoint.refused == 0


def test_container_with_the_secret_of_before(rig: Rig, endpoint: Endpoint) -> None:
    """A container that still holds the old secret does not disturb the chain that has begun since."""
    old = rig.built()
    assert post(rig, 1, old)[0] == 200
    endpoint.refresh = "authorised-anew"
    put_refresh_token(rig, "authorised-anew")
    new = rig.built()
    assert post(rig, 2, new)[0] == 200
    rig.clock.advance(61)
    assert post(rig, 3, old)[0] in (200, 202)
    assert post(rig, 4, new)[0] == 200
    rig.clock.advance(61)
    assert post(rig, 5, old)[0] == post(rig, 6, new)[0] == 200
    assert rig.dead_letters() == []


OPERATIONS = ("PutSecretValue", "CreateSecret", "UpdateItem")


@pytest.mark.parametrize("forgiving", [True, False])
@pytest.mark.parametrize("when", ["before-send", "after-call"])
@pytest.mark.parametrize("number", range(3))
def test_crash_while_refreshing(
    rig: Rig, endpoint: Endpoint, forgiving: bool, when: str, number: int
) -> None:
    """Whatever write of a refresh a container dies at, the next one goes on, where the vendor allows it.

    A vendor that kills the old token at once makes it impossible only between its answer and the store.
    """
    endpoint.forgiving = forgiving
    dying, writes = rig.built(Clients()), 0

    def die(**_: Any) -> None:
        nonlocal writes
        writes += 1
        if writes == number + 1:
            raise aws_error("InternalServerError") if when == "before-send" else KeyboardInterrupt

    secrets, table = dying.secrets._client, dying.table._client  # noqa: SLF001 - whose requests fail
    for client in (secrets, table):
        service = client.meta.service_model.endpoint_prefix
        for operation in OPERATIONS:
            client.meta.events.register(f"{when}.{service}.{operation}", die)
    with suppress(KeyboardInterrupt):
        post(rig, 1, dying)
    assert writes > number, "a refresh has that many writes"
    rig.clock.advance(61)
    answer = post(rig, 2, rig.built())
    lost = not forgiving and endpoint.refused > 0
    assert answer == (202, "vendor_unavailable") if lost else answer[0] == 200
    assert rig.dead_letters() == []


def test_lost_answer(rig: Rig, endpoint: Endpoint) -> None:
    """An answer that was lost keeps the lease until it runs out; what happens then is the vendor's to say."""
    for forgiving in (True, False):
        endpoint.forgiving, endpoint.answer_lost = forgiving, True
        rig.clock.advance(120)
        assert post(rig, 1) == (202, "vendor_unavailable")
        endpoint.answer_lost = False
        asked = endpoint.given + endpoint.refused
        assert post(rig, 2) == (202, "vendor_unavailable")
        assert endpoint.given + endpoint.refused == asked, "nobody asks while the first may still be answered"
        rig.clock.advance(61)
        assert post(rig, 3)[0] == (200 if forgiving else 202)
    assert rig.dead_letters() == []


def test_stale_reads(rig: Rig, endpoint: Endpoint) -> None:
    """A store whose newest stage lags behind is no trouble: the version is read by its name."""
    assert post(rig, 1)[0] == 200
    rig.clock.advance(61)
    assert post(rig, 2)[0] == 200
    name = f"{STACK}/tokens/doorflow"
    versions = rig.aws.secrets.list_secret_version_ids(SecretId=name)["Versions"]
    stages = {stage: one["VersionId"] for one in versions for stage in one.get("VersionStages", [])}
    rig.aws.secrets.update_secret_version_stage(
        SecretId=name,
        VersionStage="AWSCURRENT",
        RemoveFromVersionId=stages["AWSCURRENT"],
        MoveToVersionId=stages["AWSPREVIOUS"],
    )
    rig.clock.advance(61)
    assert post(rig, 3, rig.built())[0] == 200
    assert endpoint.refused == 0


def test_lost_secret(rig: Rig, endpoint: Endpoint) -> None:
    """Tokens that were deleted are not replaced by the one that was used up: events wait for the operator."""
    assert post(rig, 1)[0] == 200
    rig.aws.secrets.delete_secret(SecretId=f"{STACK}/tokens/doorflow", ForceDeleteWithoutRecovery=True)
    assert post(rig, 2, rig.built()) == (202, "vendor_unavailable")
    assert endpoint.refused == 0


def test_too_little_time(rig: Rig, endpoint: Endpoint) -> None:
    """A refresh is not begun when its answer may come too late."""
    body = notification(1)
    signature = rig.signature("doorflow", body)
    request = rig.request(body, "doorflow", signature.headers, received_at=rig.clock() - 3.4)
    from relay.entrypoints import webhook  # noqa: PLC0415 - a handler of this test alone

    answer = webhook.handle(rig.relay, "access-control", request)
    assert json.loads(answer["body"])["reason"] == "vendor_unavailable"
    assert endpoint.given == 0


def test_refresh_ends_before_the_lease(rig: Rig, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reconciliation has minutes; its refresh ends in time to be stored under the lease."""
    left: list[float] = []
    http = rig.relay.vendor_apis.http
    request = http.request

    def noted(method: str, url: str, headers: Any, deadline: Deadline, **body: Any) -> Answer:
        left.append(deadline.left())
        return request(method, url, headers, deadline, **body)

    monkeypatch.setattr(http, "request", noted)
    invocation = Invocation(rig.relay, Deadline(rig.clock() + 800, rig.clock), Telemetry("run"), BATCH)
    pages = Pages(invocation, "doorflow", "access-control", vendors.load("doorflow"))
    pages.ask(lambda api: api.get("/api/3/events/1"))
    refresh, question = left
    assert refresh + STORE_SECONDS < LEASE_SECONDS < question
    assert endpoint.given == 1


PROCESS = """
import json, os, sys
from relay.entrypoints import webhook
from relay.container import Container
from relay.settings import Settings

now = 0.0
relay = Container(Settings.model_validate(dict(os.environ)), lambda: now)
for line in sys.stdin:
    now, request = json.loads(line)
    answer = webhook.handle(relay, "access-control", request)
    print("answer", json.dumps(answer["statusCode"]), flush=True)
"""


STEP = 200
"""Seconds from one pair of events to the next, by which each access token has ended."""
Process = subprocess.Popen[str]


def start(rig: Rig, script: Path, aws: str) -> Process:
    """A process that handles webhooks at the times that it is told, on the AWS at this URL."""
    settings = {
        "STACK_NAME": STACK,
        "TABLE_NAME": rig.resources.table,
        "UNPROCESSED_QUEUE_URL": rig.resources.unprocessed_queue_url,
        "DEAD_LETTER_QUEUE_URL": rig.resources.dead_letter_queue_url,
        "CALVEN_BASE_URL": str(rig.sandbox.base_url),
        "AWS_ENDPOINT_URL": aws,
    }
    return subprocess.Popen(
        [sys.executable, str(script)],
        env={**os.environ, **settings},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def tell(rig: Rig, process: Process, event: int) -> None:
    """Hand a process an event of now."""
    body = notification(event)
    request = rig.request(body, "doorflow", rig.signature("doorflow", body).headers)
    assert process.stdin
    process.stdin.write(json.dumps([rig.clock(), request]) + "\n")
    process.stdin.flush()


def end(*processes: Process) -> None:
    """End what goes on for too long."""
    for process in processes:
        process.kill()


def status(process: Process) -> int:
    """What a process has answered; its log goes by."""
    assert process.stdout
    for line in process.stdout:
        if line.startswith("answer "):
            return int(line.split()[1])
    raise AssertionError("the process ended")


def test_two_processes(rig: Rig, endpoint: Endpoint, tmp_path: Path) -> None:
    """The same in two processes of their own on one AWS: three hours, every event forwarded, no replay."""
    script = tmp_path / "process.py"
    script.write_text(PROCESS)
    with Served(Moto()) as aws:
        processes = [start(rig, script, aws) for _ in range(2)]
        watchdog = threading.Timer(100, end, processes)
        watchdog.start()
        try:
            for step in range(0, 3 * 3600, STEP):
                rig.clock.advance(STEP)
                for number, process in enumerate(processes):
                    tell(rig, process, step + number)
                assert [status(process) for process in processes] == [200, 200]
        finally:
            watchdog.cancel()
            for process in processes:
                process.kill()
                process.communicate()
    assert (endpoint.refused, endpoint.at_once) == (0, 1)
    assert endpoint.given == 3 * 3600 / STEP
