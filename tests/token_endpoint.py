"""A token endpoint whose refresh tokens rotate, as vendors have them."""

import threading
from collections.abc import Callable
from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.rig import NOON

FIRST = "refresh-token-0"
DOOR = {"id": "1", "event_code": 10, "door_controller_id": "1340", "person_id": "7"}


class Endpoint:
    """DoorFlow's API: tokens that rotate, and events for whoever has the newest access token.

    `forgiving` is Gusto's way: the old refresh token is good until the new access token is used.
    """

    def __init__(self, *, forgiving: bool = False, seconds: float = 60) -> None:
        self.forgiving, self.seconds = forgiving, seconds
        self.clock: Callable[[], float] = lambda: NOON
        self.refresh, self.before, self.access, self.ends_at = FIRST, "", "", 0.0
        self.given, self.refused, self.under_way, self.at_once = 0, 0, 0, 0
        self.answer_lost = False
        self._lock = threading.Lock()

    def app(self) -> Starlette:
        """The application."""
        return Starlette(
            routes=[
                Route("/oauth/token", self._token, methods=["POST"]),
                Route("/api/3/events/{event}", self._event),
            ]
        )

    async def _token(self, request: Request) -> Response:
        [given] = parse_qs((await request.body()).decode())["refresh_token"]
        with self._lock:
            self.under_way += 1
            self.at_once = max(self.at_once, self.under_way)
            taken = given == self.refresh or (self.forgiving and given == self.before != "")
            if taken:
                self.given += 1
                self.before = given
                self.refresh, self.access = f"refresh-token-{self.given}", f"access-{self.given}"
                self.ends_at = self.clock() + self.seconds
            else:
                self.refused += 1
            self.under_way -= 1
        if self.answer_lost:
            return Response("lost", 502)
        if not taken:
            return JSONResponse({"error": "invalid_grant"}, 400)
        grant = {"access_token": self.access, "refresh_token": self.refresh, "expires_in": self.seconds}
        return JSONResponse(grant)

    async def _event(self, request: Request) -> Response:
        good = request.headers.get("authorization") == f"Bearer {self.access}"
        if not good or self.clock() >= self.ends_at:
            return JSONResponse({"error": "unauthorized"}, 401)
        self.before = ""
        return JSONResponse(
            {**DOOR, "id": request.path_params["event"], "created_at": "2026-11-04T03:59:00Z"}
        )
