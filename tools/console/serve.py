"""Serves the console on 127.0.0.1, until it is told to stop."""

import socket
import threading
from collections.abc import Callable
from pathlib import Path

import uvicorn
from fastapi import FastAPI
from nicegui import ui

from console import pages
from console.guard import Guard
from console.hub import Hub

VIEWS: dict[str, Callable[[Hub], None]] = {
    "/": pages.now_page,
    "/events": pages.events_page,
    "/away": pages.away_page,
    "/waiting": pages.waiting_page,
    "/try": pages.try_page,
}
STYLE = Path(__file__).parent / "style.css"
RECONNECT_SECONDS = 10.0


def serve(
    hub: Hub, sock: socket.socket, token: str = "", *, until: Callable[[], object] | None = None
) -> None:
    """Serve the views on a socket that listens; returns after SIGINT or SIGTERM, or when `until` returns."""
    server = uvicorn.Server(
        uvicorn.Config(
            Guard(_application(hub), sock.getsockname()[1], token),
            log_level="warning",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            ws_per_message_deflate=False,
            timeout_graceful_shutdown=1,
        )
    )
    if until is not None:
        threading.Thread(target=_end, args=(server, until), daemon=True).start()
    server.run(sockets=[sock])


def _end(server: uvicorn.Server, until: Callable[[], object]) -> None:
    until()
    server.should_exit = True


def _application(hub: Hub) -> FastAPI:
    for path, view in VIEWS.items():
        _add(path, view, hub)
    ui.add_css(STYLE, shared=True)
    application = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    ui.run_with(
        application,
        title="Calven relay",
        dark=None,
        favicon="🏢",
        language="en-US",
        binding_refresh_interval=None,
        reconnect_timeout=RECONNECT_SECONDS,
        tailwind=False,
        show_welcome_message=False,
        # Nothing leaves this machine: to compress costs more than it saves.
        gzip_middleware_factory=None,
    )
    return application


def _add(path: str, view: Callable[[Hub], None], hub: Hub) -> None:
    @ui.page(path)
    def page() -> None:
        view(hub)
