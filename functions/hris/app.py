"""`POST /webhooks/hris/{source}` and `…/{source}/{topic}`: leave events to time off."""

from typing import Any

from functions import started
from relay.container import container, initialize
from relay.entrypoints import webhook

initialize()
started()


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Answer one webhook of an HR system."""
    return webhook.handle(container(), "hris", event)
