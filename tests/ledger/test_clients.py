"""AWS that hangs, on the wire: no vendor waits longer than it does, and no answer is a lie."""

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from typing import Any

import httpx
import pytest
from botocore.exceptions import ReadTimeoutError

from localrun.aws import Aws, Resources, create
from localrun.seed import seed, with_vendor_api
from localrun.settings import DEMO
from localrun.template import STACK, Template
from localrun.world import Urls, World
from relay import vendors
from relay.aws.clients import ANSWER_SECONDS, Clients, until
from relay.container import Container
from relay.deadline import LEAST_AWS_SECONDS, QUEUE_RESERVE_SECONDS, Deadline
from relay.entrypoints import webhook
from relay.settings import Settings
from relayctl import ages, relay_yaml, samples
from tests.servers import wire
from tests.timed import Timed, tolerance, wait_until

pytestmark = pytest.mark.slow


class Cloud:
    """AWS, Calven and the vendors' APIs in a process of their own, as `make run` has them."""

    def __init__(self, urls: Urls, aws: Aws) -> None:
        self.urls, self.aws = urls, aws
        self.secrets = json.loads((DEMO / "secrets.json").read_text())
        self.config = relay_yaml.load(DEMO / "relay.yaml")
        self.resources: Resources = create(Template(), aws)
        seed(aws, self.resources, self.config, with_vendor_api(self.secrets, urls.vendor_api))

    @contextmanager
    def relay(self) -> Iterator[Container]:
        """A container."""
        environment = {
            "STACK_NAME": STACK,
            "TABLE_NAME": self.resources.table,
            "UNPROCESSED_QUEUE_URL": self.resources.unprocessed_queue_url,
            "DEAD_LETTER_QUEUE_URL": self.resources.dead_letter_queue_url,
            "CALVEN_BASE_URL": self.urls.sandbox,
        }
        relay = Container(Settings.model_validate(environment))
        with closing(relay.http):
            yield relay

    def fail(self, service: str, mode: str, **order: Any) -> None:
        """Have a service, or Calven, fail."""
        if service == "calven":
            url, order = f"{self.urls.sandbox}/_sandbox/fail", {"mode": mode}
        else:
            url, order = f"{self.urls.aws}/_aws/fail", {"service": service, "mode": mode, **order}
        httpx.post(url, json=order, trust_env=False).raise_for_status()

    def recover(self) -> None:
        """Have AWS and Calven work again."""
        httpx.delete(f"{self.urls.aws}/_aws/fail", trust_env=False).raise_for_status()
        httpx.delete(f"{self.urls.sandbox}/_sandbox/fail", trust_env=False).raise_for_status()

    def post(self, relay: Container, vendor: str, event: str) -> tuple[int, Any, float]:
        """Post a sample; the answer, and after how many seconds."""
        record, began = vendors.load(vendor), time.time()
        source = next(name for name, of in self.config.sources.items() if of.vendor == vendor)
        body = samples.renewed(record, samples.body(vendor, event), ages.now())
        signature = record.scheme.sign(body, self.secrets[source][record.scheme.credentials][0], began)
        request = {
            "headers": signature.headers,
            "pathParameters": {"source": source},
            "body": body.decode(),
            "requestContext": {"http": {"method": "POST"}, "timeEpoch": int(began * 1000)},
        }
        with Timed() as timed:
            answer = webhook.handle(relay, record.family, request)
            return answer["statusCode"], json.loads(answer["body"]), timed.seconds


@pytest.fixture(scope="module")
def running() -> Iterator[tuple[Urls, Aws]]:
    """The process, for all tests here: it takes seconds to start."""
    secrets = json.loads((DEMO / "secrets.json").read_text())
    world = World(secrets["calven"])
    urls = world.start()
    with closing(Aws(urls.aws)) as aws:
        yield urls, aws
    world.stop()


@pytest.fixture(scope="module")
def stack(running: tuple[Urls, Aws]) -> Cloud:
    """The declared resources, made once."""
    return Cloud(*running)


@pytest.fixture
def cloud(stack: Cloud, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    """AWS that works when a test begins, and again when it ends."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", stack.urls.aws)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    yield stack
    stack.recover()


EVENTS = {"verkada": "badge-in", "kisi": "badge-in", "deel": "approved", "hibob": "approved"}


@pytest.mark.parametrize("cold", [False, True], ids=["warm", "cold"])
@pytest.mark.parametrize(
    "services", [("dynamodb",), ("secretsmanager",), ("sqs",), ("dynamodb", "sqs"), ("calven", "sqs")]
)
def test_hang(cloud: Cloud, services: tuple[str, ...], cold: bool) -> None:
    """Whatever hangs, each vendor has its answer in time; 503 where the event is stored nowhere."""
    # Containers that start share this process, which on Lambda each has for itself: two at a time.
    together = 2 if cold else len(EVENTS)
    with ExitStack() as stack, ThreadPoolExecutor(together) as pool:
        relays = {vendor: stack.enter_context(cloud.relay()) for vendor in EVENTS}

        def post(vendor: str) -> tuple[int, Any, float]:
            return cloud.post(relays[vendor], vendor, EVENTS[vendor])

        def warm(vendor: str) -> bool:
            return post(vendor)[0] in (200, 202)

        for vendor in () if cold else EVENTS:
            wait_until(partial(warm, vendor))
        for service in services:
            cloud.fail(service, "hang")
        answers = dict(zip(EVENTS, pool.map(post, EVENTS), strict=True))
    for vendor, (status, body, seconds) in answers.items():
        assert seconds <= vendors.load(vendor).ack_seconds - ANSWER_SECONDS + tolerance(), vendor
        assert status in (200, 202, 503), vendor
        if "sqs" in services and len(services) == 2 and body.get("status") != "ignored":
            assert (status, body) == (503, {"error": "try again later"}), vendor


@pytest.mark.parametrize("seconds", [1.0, 3.0])
def test_drip(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """A call ends with its deadline, however slowly the answer comes: boto3's time-outs are for each read."""

    def drips() -> Iterator[bytes | float]:
        yield b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n"
        for _ in range(50):
            yield 0.4
            yield b" "

    with wire(drips) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", url)
        client = until(Clients().client("dynamodb"), Deadline(time.time() + seconds))
        with Timed() as timed, pytest.raises(ReadTimeoutError):
            client.batch_get_item(RequestItems={})
        assert timed.seconds <= max(seconds - QUEUE_RESERVE_SECONDS, LEAST_AWS_SECONDS) + tolerance()
