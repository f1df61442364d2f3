"""HTTP requests as API Gateway's HTTP APIs pass them to Lambda, and Lambda's answers as HTTP.

Payload format 2.0 of https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
and, where that is silent, what real HTTP APIs do: the path is passed decoded; a body is text for `text/*` and
for JSON, XML and JavaScript, and base64 for every other content type and for none.
"""

import base64
import json
import time
import uuid
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import Response

from localrun.template import ACCOUNT

_TEXT_TYPES = ("application/json", "application/xml", "application/javascript")

Json = dict[str, Any]


class UnusableAnswer(Exception):
    """A handler's return value that API Gateway would not know how to send."""


def to_event(request: Request, body: bytes, route_key: str, path_parameters: Mapping[str, str]) -> Json:
    """The event for a request to the route named by `route_key`, such as `POST /webhooks/hris/{source}`."""
    headers, cookies = _headers(request)
    query: str = request.scope["query_string"].decode("latin-1")
    event: Json = {
        "version": "2.0",
        "routeKey": route_key,
        "rawPath": request.scope["path"],
        "rawQueryString": query,
        "headers": headers,
        "requestContext": _context(request, route_key, headers),
        "isBase64Encoded": False,
    }
    optional = {
        "cookies": cookies,
        "queryStringParameters": _joined(parse_qsl(query, keep_blank_values=True)),
        "pathParameters": dict(path_parameters),
    }
    event |= {name: value for name, value in optional.items() if value}
    if body:
        text = _text(body, headers.get("content-type", ""))
        event["isBase64Encoded"] = text is None
        event["body"] = base64.b64encode(body).decode() if text is None else text
    return event


def to_response(answer: Any) -> Response:
    """A handler's return value as a response; raises `UnusableAnswer`."""
    try:
        if not isinstance(answer, dict) or "statusCode" not in answer:
            return Response(json.dumps(answer), 200, media_type="application/json")
        body = "" if answer.get("body") is None else answer["body"]
        content = base64.b64decode(body, validate=True) if answer.get("isBase64Encoded") else body.encode()
        response = Response(content, int(answer["statusCode"]))
        for name, value in (answer.get("headers") or {}).items():
            response.headers[name] = str(value)
        for cookie in answer.get("cookies") or []:
            response.headers.append("set-cookie", cookie)
    except (TypeError, ValueError, AttributeError) as error:
        raise UnusableAnswer(str(error)) from error
    response.headers.setdefault("content-type", "text/plain;charset=UTF-8")
    return response


def _headers(request: Request) -> tuple[dict[str, str], list[str]]:
    """The headers, duplicates joined, without the cookies; and the cookies."""
    pairs = [(name, value) for name, value in request.headers.items() if name != "cookie"]
    cookies = [part.strip() for value in request.headers.getlist("cookie") for part in value.split(";")]
    added = {
        "x-amzn-trace-id": f"Root=1-{int(time.time()):08x}-{uuid.uuid4().hex[:24]}",
        "x-forwarded-for": _client(request),
        "x-forwarded-port": str(request.scope["server"][1]),
        "x-forwarded-proto": request.scope["scheme"],
    }
    return _joined(pairs) | added, [cookie for cookie in cookies if cookie]


def _context(request: Request, route_key: str, headers: Mapping[str, str]) -> Json:
    now = time.time()
    domain = headers.get("host", "").partition(":")[0]
    return {
        "accountId": ACCOUNT,
        "apiId": "local",
        "domainName": domain,
        "domainPrefix": domain.partition(".")[0],
        "http": {
            "method": request.method,
            "path": request.scope["path"],
            "protocol": f"HTTP/{request.scope['http_version']}",
            "sourceIp": _client(request),
            "userAgent": headers.get("user-agent", ""),
        },
        "requestId": uuid.uuid4().hex[:15] + "=",
        "routeKey": route_key,
        "stage": "$default",
        "time": time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(now)),
        "timeEpoch": int(now * 1000),
    }


def _client(request: Request) -> str:
    return request.client.host if request.client else "127.0.0.1"


def _joined(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    joined: dict[str, str] = {}
    for name, value in pairs:
        joined[name] = f"{joined[name]},{value}" if name in joined else value
    return joined


def _text(body: bytes, content_type: str) -> str | None:
    """The body as text, or None when API Gateway would pass it in base64."""
    media_type = content_type.partition(";")[0].strip().lower()
    if not media_type.startswith("text/") and media_type not in _TEXT_TYPES:
        return None
    try:
        return body.decode()
    except UnicodeDecodeError:
        return None
