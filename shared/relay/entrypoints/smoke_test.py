"""A new version's first event: signed, verified and mapped, with nothing recorded and nothing sent.

Before a version takes traffic, the hook function invokes it with an event of API Gateway's form and, beside
it, `smoke_test`: `{"secret": "whsec_…"}`, made for this one event. API Gateway passes no such key on, so
nobody outside can ask for one. What is proven: the code starts, may read its configuration and Calven's
secret, and takes a signed event through verification, parsing and mapping.
"""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from relay import vendors
from relay.container import Container
from relay.entrypoints.request import Unacceptable, read, verify
from relay.errors import SecretUnreadable, Stop
from relay.vendors.support.base import Family


def answer(container: Container, family: Family, event: Mapping[str, Any]) -> dict[str, Any]:
    """200 and the number of events, or 401 or 500 and the class of what failed; no value of anything.

    It names the sources that are shadowed, for the log of a deploy.
    """
    vendor = vendors.load("generic")
    try:
        config = container.config.current()
        _may_read_secrets(container)
        request = read(event)
        secrets = {vendor.scheme.credentials: [event["smoke_test"]["secret"]]}
        webhook = verify(request, vendor, secrets, container.clock())
        if webhook is None or family not in vendor.families:
            return _said(401, "failed", "signature")
        shadowed = [name for name, source in config.sources.items() if source.shadow]
        return _said(200, "passed", str(len(vendor.read(webhook))), shadowed)
    except (Stop, Unacceptable, KeyError, TypeError) as error:
        return _said(500, "failed", type(error).__name__)


def _may_read_secrets(container: Container) -> None:
    """A secret that nobody has put there yet is no fault of the version; one that it may not read is."""
    with suppress(SecretUnreadable):
        try:
            container.secrets.calven()
        except SecretUnreadable as error:
            if "AccessDenied" in str(error):
                # Another error than the one that is suppressed around it.
                raise Stop(str(error)) from None
            raise


def _said(status: int, outcome: str, detail: str, shadowed: Sequence[str] = ()) -> dict[str, Any]:
    said: dict[str, object] = {"status": outcome, "detail": detail}
    if shadowed:
        said["shadowed"] = list(shadowed)
    return {"statusCode": status, "body": json.dumps(said)}
