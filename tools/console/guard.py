"""Who may use the console: this machine's browser, under its own address, and with the token."""

from collections.abc import Iterable
from hmac import compare_digest
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl, urlencode

from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketClose

TOKEN = "token"  # noqa: S105 - the name of the parameter
HEADERS = (
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
)
"""What every answer says: no other page may frame this one, or learn its address."""
NAMES = ("127.0.0.1", "localhost")


class Guard:
    """The application behind a check of each request, and of each socket.

    Another name than this machine's in `Host` is a page that had its name point here; another `Origin` is a
    page that sends requests of its own. With a `token`, the first request has it in its query, and from then
    on a cookie does.
    """

    def __init__(self, app: ASGIApp, port: int, token: str = "") -> None:
        self.app = app
        self._hosts = frozenset(f"{name}:{port}" for name in NAMES)
        self._token = token
        self._cookie = f"calven-relay-console-{port}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request or socket, or refuse it."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        refusal = self._refusal(HTTPConnection(scope))
        if refusal is None:
            await self.app(scope, receive, _with_headers(send))
        elif scope["type"] == "http":
            await refusal(scope, receive, _with_headers(send))
        else:
            await WebSocketClose(1008)(scope, receive, send)

    def _refusal(self, request: HTTPConnection) -> Response | None:
        """The answer to a request that may not pass; None for one that may."""
        if request.headers.get("host", "") not in self._hosts:
            return PlainTextResponse("the console answers to 127.0.0.1 only", 403)
        origin = request.headers.get("origin")
        if origin is not None and origin.removeprefix("http://") not in self._hosts:
            return PlainTextResponse("no other page may use the console", 403)
        if not self._token or self._is_token(self._cookie_of(request)):
            return None
        if request.scope["type"] == "http" and self._is_token(request.query_params.get(TOKEN, "")):
            return self._let_in(request)
        return PlainTextResponse("open the address that `relayctl console` has printed", 403)

    def _is_token(self, offered: str) -> bool:
        return compare_digest(offered.encode(), self._token.encode())

    def _cookie_of(self, request: HTTPConnection) -> str:
        try:
            found = SimpleCookie(request.headers.get("cookie", "")).get(self._cookie)
        except CookieError:
            return ""
        return found.value if found else ""

    def _let_in(self, request: HTTPConnection) -> Response:
        """The same page without the token in its address, which the cookie has from now on."""
        left = [(name, value) for name, value in parse_qsl(request.url.query) if name != TOKEN]
        answer = RedirectResponse(request.url.path + (f"?{urlencode(left)}" if left else ""), 303)
        answer.set_cookie(self._cookie, self._token, httponly=True, samesite="strict")
        return answer


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*_headers(message.get("headers", ())), *HEADERS]}
        await send(message)

    return sending


def _headers(found: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    names = {name for name, _ in HEADERS}
    return [(name, value) for name, value in found if name.lower() not in names]
