"""Why Calven answered a request without results."""


class CalvenError(Exception):
    """A request that Calven did not answer with results. The message is the envelope's detail."""


class Transient(CalvenError):
    """Try again later: time-out, broken connection, 408, 425, 429, 5xx, unreadable 200.

    `retry_after` is Calven's own wait in seconds; `uncertain` tells whether Calven may yet take the request,
    which was given up; `status` is that of the answer, if there was one.
    """

    reason = "calven_unavailable"

    def __init__(
        self,
        detail: str,
        *,
        retry_after: float | None = None,
        uncertain: bool = False,
        status: int | None = None,
    ) -> None:
        super().__init__(detail)
        self.retry_after = retry_after
        self.uncertain = uncertain
        self.status = status


class Misconfigured(Transient):
    """The operator has to mend the key, its role or the base URL; until then the events wait."""

    reason = "calven_configuration"


class Refused(CalvenError):
    """Calven refused the request as a whole: something in it is malformed. `status` is the answer's."""

    def __init__(self, detail: str, status: int) -> None:
        super().__init__(detail)
        self.status = status
