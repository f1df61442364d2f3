"""moto's server as an ASGI application, for Secrets Manager, SQS, DynamoDB and CloudWatch."""

import io
import sys
from functools import cache
from typing import Any

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from starlette.types import Receive, Scope, Send

from localrun import moto_queues, moto_speed, moto_transactions


class _Dispatcher(DomainDispatcherApplication):
    """moto's, which lists its own folder for each request, to find out whose it is."""

    @cache  # noqa: B019 - there is one, as long as the process
    def get_backend_for_host(self, host: str | None) -> Any:
        """The service at a host, of which there are few."""
        return super().get_backend_for_host(host)


class Moto:
    """moto's server as an ASGI application that handles one request at a time.

    moto is not atomic across threads, so each request runs from its start to its end on the server's own
    thread. Callers receive with `WaitTimeSeconds=0`: a request that waited would hold up all the others.
    """

    def __init__(self) -> None:
        moto_queues.install()
        moto_transactions.install()
        moto_speed.install()
        self._app = _Dispatcher(create_backend_app)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request."""
        body = bytearray()
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            more = message.get("more_body", False)
        status, headers, content = _call(self._app, _environ(scope, bytes(body)))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": content})


def _call(app: Any, environ: dict[str, Any]) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    started: list[Any] = []

    def start_response(status: str, headers: list[tuple[str, str]], _: Any = None) -> None:
        started[:] = [int(status[:3]), headers]

    chunks = app(environ, start_response)
    try:
        content = b"".join(chunks)
    finally:
        chunks.close()
    status, headers = started
    return (
        status,
        [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers],
        content,
    )


def _environ(scope: Scope, body: bytes) -> dict[str, Any]:
    """The request as WSGI (PEP 3333) wants it."""
    host, port = scope["server"]
    environ: dict[str, Any] = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": "",
        "PATH_INFO": scope["path"].encode().decode("latin-1"),
        "RAW_URI": scope["raw_path"].decode("latin-1"),
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
        "SERVER_NAME": host,
        "SERVER_PORT": str(port),
        "SERVER_PROTOCOL": "HTTP/1.1",
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": False,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    for name, value in scope["headers"]:
        key = name.decode("latin-1").upper().replace("-", "_")
        if key == "CONTENT_TYPE":
            environ[key] = value.decode("latin-1")
        elif key != "CONTENT_LENGTH":
            environ[f"HTTP_{key}"] = value.decode("latin-1")
    return environ
