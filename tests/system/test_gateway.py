"""The local HTTP API calls handlers as API Gateway and Lambda do."""

import base64
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from localrun import gateway
from localrun.invoke import load
from localrun.serve import Served
from localrun.template import Function, Route
from tests.timed import Timed, slowness

FUNCTION = Function("HrisFunction", "functions.hris.app.handler", 1024, 15)
SLOW = Function("SlowFunction", "functions.slow.app.handler", 128, 1)
Event = dict[str, Any]


class Api:
    """An HTTP API in front of a handler that the test writes; remembers the events and contexts."""

    def __init__(self) -> None:
        self.handler: Callable[[Event, Any], Any] = lambda _event, _context: None
        self.calls: list[tuple[Event, Any]] = []
        routes = [
            Route("POST", "/webhooks/hris/{source}", FUNCTION),
            Route("POST", "/webhooks/hris/{source}/{topic}", FUNCTION),
            Route("GET", "/webhooks/hris/{source}", FUNCTION),
            Route("POST", "/slow", SLOW),
            Route("ANY", "/files/{name+}", FUNCTION),
        ]
        vendor_of = {"deel": "deel", "deel-2": "deel", "kisi": "kisi"}.get
        self.app = gateway.create(routes, {"stack": "local"}, lambda _: self._handle, vendor_of)

    def _handle(self, event: Event, context: Any) -> Any:
        self.calls.append((event, context))
        return self.handler(event, context)


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[Api, httpx.Client]]:
    """The HTTP API and a client of it, for all tests."""
    api = Api()
    with Served(api.app) as url, httpx.Client(base_url=url) as client:
        yield api, client


@pytest.fixture
def api(served: tuple[Api, httpx.Client]) -> tuple[Api, httpx.Client]:
    """The HTTP API, called by nobody yet."""
    served[0].calls.clear()
    served[1].cookies.clear()
    served[0].handler = lambda _event, _context: {"statusCode": 200, "body": "{}"}
    return served


def test_event_is_api_gateways(api: tuple[Api, httpx.Client]) -> None:
    """A request becomes the event of payload format 2.0, field by field."""
    gateway, client = api
    before = int(time.time() * 1000)
    client.post(
        "/webhooks/hris/my%20source/approve?parameter1=value1&parameter1=value%202&parameter2=&x",
        content='{"name": "Zoë"}'.encode(),
        headers=[
            ("Content-Type", "application/json; charset=utf-8"),
            ("Header1", "value1"),
            ("header1", "value2"),
            ("Cookie", "cookie1=a; cookie2=b"),
            ("User-Agent", "agent"),
            ("Host", "id.execute-api.us-east-1.amazonaws.com"),
        ],
    )
    event = gateway.calls[0][0]
    context = event.pop("requestContext")
    assert (
        event.pop("headers").items()
        >= {
            "content-type": "application/json; charset=utf-8",
            "header1": "value1,value2",
            "content-length": "16",
            "user-agent": "agent",
            "x-forwarded-for": "127.0.0.1",
            "x-forwarded-proto": "http",
        }.items()
    )
    route_key = "POST /webhooks/hris/{source}/{topic}"
    assert event == {
        "version": "2.0",
        "routeKey": route_key,
        "rawPath": "/webhooks/hris/my source/approve",
        "rawQueryString": "parameter1=value1&parameter1=value%202&parameter2=&x",
        "cookies": ["cookie1=a", "cookie2=b"],
        "queryStringParameters": {"parameter1": "value1,value 2", "parameter2": "", "x": ""},
        "pathParameters": {"source": "my source", "topic": "approve"},
        "body": '{"name": "Zoë"}',
        "isBase64Encoded": False,
    }
    assert before <= context.pop("timeEpoch") <= time.time() * 1000
    time.strptime(context.pop("time"), "%d/%b/%Y:%H:%M:%S +0000")
    assert context.pop("requestId")
    assert context == {
        "accountId": "123456789012",
        "apiId": "local",
        "domainName": "id.execute-api.us-east-1.amazonaws.com",
        "domainPrefix": "id",
        "http": {
            "method": "POST",
            "path": "/webhooks/hris/my source/approve",
            "protocol": "HTTP/1.1",
            "sourceIp": "127.0.0.1",
            "userAgent": "agent",
        },
        "routeKey": route_key,
        "stage": "$default",
    }


def test_event_of_a_bare_request(api: tuple[Api, httpx.Client]) -> None:
    """What a request does not have is not in its event."""
    gateway, client = api
    client.get("/webhooks/hris/deel")
    event = gateway.calls[0][0]
    assert not {"body", "cookies", "queryStringParameters", "stageVariables"} & set(event)
    assert event["rawQueryString"] == ""


@pytest.mark.parametrize(
    ("content_type", "body", "is_text"),
    [
        ("application/json", b"{}", True),
        ("TEXT/plain", b"Ping test", True),
        ("application/xml", b"<a/>", True),
        ("application/json", b"\xff\xfe", False),
        ("application/x-www-form-urlencoded", b"a=b", False),
        ("application/octet-stream", b"{}", False),
        (None, b"{}", False),
    ],
)
def test_body_as_text_or_base64(
    api: tuple[Api, httpx.Client], content_type: str | None, body: bytes, is_text: bool
) -> None:
    """A body is text for textual content types only, base64 for all others and for none."""
    gateway, client = api
    headers = {"content-type": content_type} if content_type else {}
    client.post("/webhooks/hris/deel", content=body, headers=headers)
    event = gateway.calls[0][0]
    assert event["isBase64Encoded"] is not is_text
    assert (event["body"].encode() if is_text else base64.b64decode(event["body"])) == body


def test_context_is_lambdas(api: tuple[Api, httpx.Client]) -> None:
    """The handler learns its function, and how much of its timeout is left."""
    gateway, client = api
    client.post("/webhooks/hris/deel")
    client.post("/webhooks/hris/deel")
    first, second = (context for _, context in gateway.calls)
    assert (first.function_name, first.memory_limit_in_mb) == ("HrisFunction", 1024)
    assert first.invoked_function_arn == "arn:aws:lambda:us-east-1:123456789012:function:HrisFunction"
    assert 0 < first.get_remaining_time_in_millis() <= 15_000
    assert first.aws_request_id != second.aws_request_id


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/"),
        ("POST", "/webhooks/hris"),
        ("POST", "/webhooks/hris/"),
        ("POST", "/webhooks/hris/a/b/c"),
        ("PUT", "/webhooks/hris/deel"),
        ("HEAD", "/webhooks/hris/deel"),
        ("POST", "/webhooks/hris/deel/"),
        ("POST", "/Webhooks/hris/deel"),
    ],
)
def test_no_route(api: tuple[Api, httpx.Client], method: str, path: str) -> None:
    """A request that no route matches, by path or method, is 404 and calls nothing."""
    gateway, client = api
    answer = client.request(method, path)
    assert answer.status_code == 404
    assert answer.text == ("" if method == "HEAD" else '{"message":"Not Found"}')
    assert gateway.calls == []


def test_greedy_route(api: tuple[Api, httpx.Client]) -> None:
    """A greedy parameter takes the rest of the path, under any method."""
    gateway, client = api
    client.put("/files/a/b.txt")
    assert gateway.calls[0][0]["pathParameters"] == {"name": "a/b.txt"}


@pytest.mark.parametrize(("size", "status"), [(10 * 1024 * 1024, 200), (10 * 1024 * 1024 + 1, 413)])
def test_largest_body(api: tuple[Api, httpx.Client], size: int, status: int) -> None:
    """A body of ten megabytes passes, a larger one is refused before it reaches the function."""
    gateway, client = api
    answer = client.post("/webhooks/hris/deel", content=b"x" * size)
    assert answer.status_code == status
    assert len(gateway.calls) == (status == 200)
    if status == 413:
        assert answer.json() == {"message": "Request Entity Too Large"}


def test_answer_is_sent(api: tuple[Api, httpx.Client]) -> None:
    """Status, headers, cookies and body of the handler's answer reach the client."""
    gateway, client = api
    gateway.handler = lambda _event, _context: {
        "statusCode": 202,
        "headers": {"Content-Type": "application/json", "Retry-After": 30},
        "cookies": ["a=1", "b=2"],
        "body": base64.b64encode(b'{"status": "queued"}').decode(),
        "isBase64Encoded": True,
    }
    answer = client.post("/webhooks/hris/deel")
    assert (answer.status_code, answer.json()) == (202, {"status": "queued"})
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["retry-after"] == "30"
    assert answer.headers.get_list("set-cookie") == ["a=1", "b=2"]


@pytest.mark.parametrize("answer", [{"status": "fine"}, "fine", None])
def test_answer_without_status(api: tuple[Api, httpx.Client], answer: Any) -> None:
    """An answer without a status code is JSON with 200."""
    gateway, client = api
    gateway.handler = lambda _event, _context: answer
    response = client.post("/webhooks/hris/deel")
    assert (response.status_code, response.json()) == (200, answer)
    assert response.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    "answer",
    [{"statusCode": "many"}, {"statusCode": 200, "body": {}}, {"statusCode": 200, "headers": 1}, {1, 2}],
)
def test_unusable_answer(
    api: tuple[Api, httpx.Client], answer: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    """An answer that cannot be sent is a 500, and standard error names the handler."""
    gateway, client = api
    gateway.handler = lambda _event, _context: answer
    response = client.post("/webhooks/hris/deel")
    assert (response.status_code, response.json()) == (500, {"message": "Internal Server Error"})
    assert "functions.hris.app.handler: unusable answer" in capfd.readouterr().err


def test_handler_raises(api: tuple[Api, httpx.Client], capfd: pytest.CaptureFixture[str]) -> None:
    """A handler that raises is a 500 without a word of why; the traceback goes to standard error."""
    gateway, client = api
    gateway.handler = lambda event, _: event["nothing"]
    response = client.post("/webhooks/hris/deel")
    assert (response.status_code, response.json()) == (500, {"message": "Internal Server Error"})
    assert "KeyError: 'nothing'" in capfd.readouterr().err


def test_handler_times_out(api: tuple[Api, httpx.Client], capfd: pytest.CaptureFixture[str]) -> None:
    """A handler that takes longer than its function may is a 500 when its time is over."""
    gateway, client = api
    release = threading.Event()
    gateway.handler = lambda _event, _context: release.wait(30)
    began = time.monotonic()
    assert client.post("/slow").status_code == 500
    assert 1 <= time.monotonic() - began < 10
    assert "functions.slow.app.handler: timed out" in capfd.readouterr().err
    release.set()


def test_stop_does_not_wait_for_a_stuck_handler(capfd: pytest.CaptureFixture[str]) -> None:
    """A handler that is stuck holds up the stop for the grace only, and the stop is quiet about it."""
    api, begun, release = Api(), threading.Event(), threading.Event()

    def stuck(_event: Event, _context: Any) -> Any:
        begun.set()
        release.wait(30)

    api.handler = stuck
    server = Served(api.app, grace=1)
    url = server.start()
    with ThreadPoolExecutor() as pool:
        answer = pool.submit(httpx.post, f"{url}/webhooks/hris/deel")
        assert begun.wait(5)
        with Timed() as timed:
            server.stop()
            assert timed.seconds < 3 * slowness()
        assert isinstance(answer.exception(5), httpx.TransportError)
    release.set()
    assert "Traceback" not in capfd.readouterr().err


def test_requests_are_concurrent(api: tuple[Api, httpx.Client]) -> None:
    """Sixty requests run in handlers at the same time."""
    gateway, client = api
    together = threading.Barrier(60, timeout=60)
    gateway.handler = lambda _event, _context: {"statusCode": 200 + together.wait() * 0}
    with ThreadPoolExecutor(60) as pool:
        answers = list(pool.map(lambda _: client.post("/webhooks/hris/deel"), range(60)))
    assert {answer.status_code for answer in answers} == {200}


def test_local_tells_the_tools(api: tuple[Api, httpx.Client]) -> None:
    """`GET /_local` tells what the tools need to know of this run."""
    assert api[1].get("/_local").json() == {"stack": "local"}


def test_webhooks_are_lost_on_purpose(api: tuple[Api, httpx.Client]) -> None:
    """So many webhooks of a vendor as were ordered reach no handler; other requests do."""
    gateway, client = api
    assert client.post("/_local/lose", json={"vendor": "deel", "count": 2}).status_code == 204
    assert client.post("/_local/lose", json={"vendor": "kisi"}).status_code == 204
    assert client.get("/_local/lose").json() == {"deel": 2, "kisi": 1}
    lost = client.post("/webhooks/hris/deel", content=b"{}")
    assert (lost.status_code, lost.json()) == (504, {"message": "lost on purpose"})
    assert client.get("/webhooks/hris/deel").status_code == 200
    assert client.post("/webhooks/hris/nobody").status_code == 200
    assert client.post("/webhooks/hris/deel-2/topic").status_code == 504
    assert client.post("/webhooks/hris/deel").status_code == 200
    paths = [event["rawPath"] for event, _ in gateway.calls]
    assert paths == ["/webhooks/hris/deel", "/webhooks/hris/nobody", "/webhooks/hris/deel"]
    assert client.delete("/_local/lose").status_code == 204
    assert client.get("/_local/lose").json() == {}
    assert client.post("/webhooks/hris/kisi").status_code == 200


@pytest.mark.parametrize("order", [{"vendor": "acme"}, {"vendor": "deel", "count": 0}, {"count": 1}])
def test_malformed_order_to_lose(api: tuple[Api, httpx.Client], order: dict[str, Any]) -> None:
    """An order that names no vendor, or no number of webhooks, is refused and loses nothing."""
    answer = api[1].post("/_local/lose", json=order)
    assert answer.status_code == 400
    assert answer.json()["errors"]
    assert api[1].get("/_local/lose").json() == {}


def test_load_finds_the_handler() -> None:
    """A handler is found by the name that the template gives it."""
    assert load(Function("x", "operator.eq", 1, 1))({}, {}) is True
