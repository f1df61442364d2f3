"""The pages of a vendor's list, one after the other: asked again where the vendor says to wait."""

import time
from collections.abc import Callable
from typing import TypeVar

from relay.aws.secrets import SourceSecret
from relay.errors import TokenRefused, Unparseable, VendorRefused, VendorUnavailable
from relay.events import unparseable_if_invalid
from relay.invocation import Invocation
from relay.vendors.support.api import VendorClient
from relay.vendors.support.base import Family, Vendor, VendorApi
from relay.vendors.support.listing import Page

PAGE_SECONDS = 120.0
"""What one page gets, for which some vendors are asked several times."""
TRIES = 3
"""How often a page is asked for that does not come, where the vendor does not say how long to wait."""
PAUSE_SECONDS = 2.0
"""How long is waited then; doubled each time."""
SHORTEST_WAIT_SECONDS = 1.0
"""How long is waited at least: a vendor may say that it can be asked again at once, and go on saying so."""

T = TypeVar("T")


class Pages:
    """Asks one source's vendor. Raises `Stop` where it does not answer, refuses, or answers nonsense."""

    def __init__(self, invocation: Invocation, source: str, family: Family, vendor: Vendor) -> None:
        self._invocation = invocation
        self._source = source
        self._family = family
        self._vendor = vendor

    def ask(self, question: Callable[[VendorApi], T]) -> T:
        """What the vendor's API answers; asked again while it says to wait, or does not answer."""
        ends = time.monotonic() + PAGE_SECONDS
        unanswered = 0
        while True:
            try:
                with unparseable_if_invalid():
                    return self._ask_once(question)
            # It is a `VendorUnavailable` too, but the same token would be refused within seconds.
            except TokenRefused:
                raise
            except VendorUnavailable as error:
                if error.retry_after is None:
                    wait = PAUSE_SECONDS * 2**unanswered
                    unanswered += 1
                else:
                    wait = max(error.retry_after, SHORTEST_WAIT_SECONDS)
                left = min(ends - time.monotonic(), self._invocation.deadline.left_for_work())
                # A vendor that wants to be left alone for longer is asked again by the next run.
                if unanswered == TRIES or wait > left:
                    raise
                time.sleep(wait)

    def page(self, page: Callable[[VendorApi], Page], following: str | None) -> Page:
        """One page; raises `Unparseable` for one that names itself as the next."""
        found = self.ask(page)
        if found.following is not None and found.following == following:
            raise Unparseable("the vendor's list names the same page again")
        return found

    def _ask_once(self, question: Callable[[VendorApi], T]) -> T:
        secret = self._invocation.secrets.source(self._family, self._source)
        try:
            return question(self._client(secret))
        except VendorRefused:
            renewed = self._invocation.secrets.refetch_source(self._family, self._source)
            if renewed is None or renewed == secret:
                raise
            return question(self._client(renewed))

    def _client(self, secret: SourceSecret) -> VendorClient:
        api = self._vendor.api
        if api is None:
            raise Unparseable("the vendor has no API that lists anything")
        limit = self._invocation.deadline.at_most(PAGE_SECONDS)
        return VendorClient(self._invocation.vendor_apis, api, secret, limit, self._source)
