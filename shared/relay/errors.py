"""Why an event goes no further, as one tree; what becomes of it follows from the branch.

    Stop
    ├── Ignore               deliberately not forwarded
    ├── Never                to the dead-letter queue
    │   ├── Unparseable      a verified body that its vendor's module cannot read
    │   ├── TooLarge         a body of more events than anybody means to send
    │   ├── VendorRefused    a vendor's API refuses the question for good
    │   └── InvalidLeave     leave that Calven cannot be told about
    └── NotNow               to the Unprocessed queue
        ├── VendorUnavailable
        │   └── TokenRefused     a vendor's token endpoint does not take the refresh token any more
        ├── SecretUnreadable, TableUnavailable
        └── Contended        others kept writing the same items

A message names fields, codes and rules; never a value of a payload, a person or a secret.
"""

from typing import ClassVar


class Stop(Exception):
    """An event goes no further: the `reason` of the answer or envelope, and the text as its detail."""

    default_reason: ClassVar[str] = ""

    def __init__(self, detail: str = "", *, reason: str = "") -> None:
        super().__init__(detail)
        self.reason = reason or self.default_reason


class Ignore(Stop):
    """Calven has no use for the event."""


class Never(Stop):
    """The event can never be forwarded as it stands."""


class Unparseable(Never):
    """A verified body that its vendor's module cannot read."""

    default_reason = "unparseable"


class TooLarge(Never):
    """A body of more events than anybody means to send at once: a mistake, or an attack."""

    default_reason = "too_large"


class VendorRefused(Never):
    """A vendor's API refused the question for good: wrong credentials or missing permissions."""

    default_reason = "vendor_refused"


class InvalidLeave(Never):
    """A leave that Calven cannot be told about."""


class NotNow(Stop):
    """The event cannot be forwarded now. `retry_after` is a wait in seconds that somebody asked for."""

    def __init__(self, detail: str = "", *, reason: str = "", retry_after: float | None = None) -> None:
        super().__init__(detail, reason=reason)
        self.retry_after = retry_after


class VendorUnavailable(NotNow):
    """A vendor's API did not answer, or asked to be tried later."""

    default_reason = "vendor_unavailable"


class TokenRefused(VendorUnavailable):
    """A vendor's token endpoint refuses the refresh token, and has been doing so for so many `seconds`."""

    def __init__(self, detail: str, *, seconds: float) -> None:
        super().__init__(f"the vendor refuses the refresh token: {detail}")
        self.seconds = seconds


class SecretUnreadable(NotNow):
    """A secret is missing, has no value, is malformed or cannot be fetched. Names the secret, no value."""

    default_reason = "secret_unreadable"


class TableUnavailable(NotNow):
    """The table did not answer in time, throttles or refuses; the detail is the error's code."""

    default_reason = "ledger_unavailable"


class Contended(NotNow):
    """Others kept writing the same items until no time was left. The table works, and the rush passes."""

    default_reason = "contended"
