"""`POST /webhooks/hris/{source}` and `…/{source}/{topic}`: leave events to time off."""

from typing import Any

from functions import started
from relay.container import container, initialize
from relay.entrypoints import webhook

initialize()
started()


# The context is not asked for its time: the vendor's patience ends before the function's time-out.
def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Answer one webhook of an HR system."""
    return webhook.handle(container(), "hris", event)
