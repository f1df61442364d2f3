"""Webhooks that are lost on purpose: dropped in front of the relay, as if they had never come.

`POST /_local/lose`, `{"vendor", "count"?}`, has that vendor's next webhooks lost, one if it says no count;
`GET` says how many are still to be lost, `DELETE` calls it off. The Calven sandbox takes the same order under
`/_sandbox/lose`, and passes it on.
"""

from collections.abc import Callable
from typing import Annotated

from anyio.to_thread import run_sync
from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from localrun.sandbox_rules import Body, Malformed, Text, parse
from relay import vendors

PATH = "/_local/lose"


class LoseRequest(Body):
    """How many webhooks of a vendor are to be lost."""

    vendor: Text
    count: Annotated[int, Field(ge=1)] = 1


class Losses:
    """The orders in force, in the gateway's own process: a webhook costs nothing while there are none.

    `vendor_of` is the vendor of a source, None where there is no such source.
    """

    def __init__(self, vendor_of: Callable[[str], str | None]) -> None:
        self._vendor_of = vendor_of
        self._counts: dict[str, int] = {}

    async def serve(self, request: Request) -> Response:
        """Takes an order, calls all off, or tells what is still to be lost."""
        if request.method == "GET":
            return JSONResponse(self._counts)
        if request.method == "DELETE":
            self._counts.clear()
            return Response(status_code=204)
        try:
            self._order(parse(LoseRequest, await request.body()))
        except Malformed as malformed:
            return JSONResponse({"message": "malformed order", "errors": malformed.problems}, 400)
        return Response(status_code=204)

    def _order(self, order: LoseRequest) -> None:
        if order.vendor not in vendors.NAMES:
            raise Malformed([f"vendor: there is no {order.vendor}"])
        self._counts[order.vendor] = order.count

    async def take(self, source: str) -> Response | None:
        """The answer to a webhook of this source that is to be lost, None for one that is not."""
        if not self._counts:
            return None
        # The configuration is read from the table, which takes a while.
        vendor = await run_sync(self._vendor_of, source)
        left = self._counts.get(vendor or "", 0)
        if not vendor or not left:
            return None
        self._counts[vendor] = left - 1
        if left == 1:
            del self._counts[vendor]
        return JSONResponse({"message": "lost on purpose"}, 504)
