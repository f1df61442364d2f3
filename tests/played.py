"""A relay whose vendors answer as a test says."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from typing import Any

from hypothesis import settings
from moto import mock_aws
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from localrun.template import STACK
from tests.rig import Rig
from tests.sandboxes import Sandboxes

Answers = dict[str, Any]
"""What a vendor's API answers, by path."""

FIRST = date(2027, 6, 7)
FEW = settings(max_examples=8, deadline=None)


class Played:
    """A vendor's API that answers what a test says, also null, and 404 to everything else."""

    def __init__(self) -> None:
        self.answers: Answers = {}

    def app(self) -> Starlette:
        """The application."""
        return Starlette(routes=[Route("/{path:path}", self._answer, methods=["GET", "POST"])])

    def _answer(self, request: Request) -> Response:
        if request.url.path.endswith("/token"):
            return JSONResponse({"access_token": "played", "expires_in": 3600})
        if request.url.path not in self.answers:
            return JSONResponse({"error": "not found"}, 404)
        # ASCII, in which half a surrogate pair can be said.
        return Response(json.dumps(self.answers[request.url.path]), media_type="application/json")


@contextmanager
def fresh_rig(sandboxes: Sandboxes) -> Iterator[Rig]:
    """A relay of its own for each example of a property."""
    with mock_aws(), Rig(sandboxes) as rig:
        yield rig


def ask_there(rig: Rig, vendor: str, played: tuple[Played, str], answers: Answers) -> None:
    """Have the source of a vendor ask this API."""
    api, url = played
    api.answers = answers
    source = rig.source(vendor)
    secret = rig.secrets[source]
    secret["api"] = {**secret["api"], "baseUrl": url}
    rig.aws.secrets.put_secret_value(SecretId=f"{STACK}/hris/{source}", SecretString=json.dumps(secret))


def away(rig: Rig, email: str) -> list[str]:
    """The days on which Calven holds somebody as away."""
    return sorted(rig.away(email))
