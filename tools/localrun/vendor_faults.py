"""Lists that go wrong on purpose: what a stand-in for a vendor's API answers instead of its list.

`POST /_vendors/fail`, `{"vendor", "mode", "after"?, "count"?}`, has that vendor's list go wrong once so many
pages were right (`after`, none if it says nothing), so often (`count`, until it is called off if it says
nothing). `GET` shows the orders in force, `DELETE` calls all off. Modes:

- `503`: the page does not come, and the vendor wants to be asked again in a second.
- `error-body`: 200, with an error in place of the list.
- `empty`: a page without entries. `skip`: a page that lacks its first entry, as one does that has passed
  over to an earlier page meanwhile.
- `repeat`: the page before once more.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from localrun.sandbox_rules import Body, Malformed, Text, parse
from relay import vendors

Mode = Literal["503", "error-body", "empty", "skip", "repeat"]
ERROR = {"error": {"code": "internal", "message": "the list was told to go wrong"}}


class ListFailRequest(Body):
    """How a vendor's list is to go wrong, from which page on, and how often (null: until called off)."""

    vendor: Text
    mode: Mode
    after: Annotated[int, Field(ge=0)] = 0
    count: Annotated[int, Field(ge=1)] | None = None


@dataclass
class ListFaults:
    """The orders in force, by vendor, and what each vendor's list answered last."""

    orders: dict[str, ListFailRequest] = field(default_factory=dict)
    last: dict[str, Any] = field(default_factory=dict)

    async def serve(self, request: Request) -> Response:
        """Takes an order, calls all off, or shows what is in force."""
        if request.method == "GET":
            return JSONResponse([order.model_dump() for order in self.orders.values()])
        if request.method == "DELETE":
            self.orders.clear()
            return Response(status_code=204)
        try:
            order = parse(ListFailRequest, await request.body())
            if order.vendor not in vendors.NAMES:
                raise Malformed([f"vendor: there is no {order.vendor}"])
        except Malformed as malformed:
            return JSONResponse({"message": "malformed order", "errors": malformed.problems}, 400)
        self.orders[order.vendor] = order
        return Response(status_code=204)

    def respond(self, vendor: str, answered: Callable[[list[Any]], Any], entries: Sequence[Any]) -> Response:
        """The response to a page of a list that has these entries; `answered` makes its body of them."""
        mode = self._take(vendor)
        match mode:
            case "503":
                return JSONResponse(ERROR, 503, {"Retry-After": "1"})
            case "error-body":
                return JSONResponse(ERROR)
            case "repeat" if vendor in self.last:
                return JSONResponse(self.last[vendor])
        shown = {"empty": [], "skip": list(entries[1:])}.get(mode or "", list(entries))
        self.last[vendor] = answered(shown)
        return JSONResponse(self.last[vendor])

    def _take(self, vendor: str) -> Mode | None:
        """How this page goes wrong; None where it does not."""
        order = self.orders.get(vendor)
        if order is None:
            return None
        if order.after > 0:
            self.orders[vendor] = order.model_copy(update={"after": order.after - 1})
            return None
        if order.count == 1:
            del self.orders[vendor]
        elif order.count is not None:
            self.orders[vendor] = order.model_copy(update={"count": order.count - 1})
        return order.mode
