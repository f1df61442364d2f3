"""Questions to a thin vendor's own API, with the credentials in its source's secret.

The host is the vendor module's, or the secret's `api.baseUrl`; never one that a payload names.
"""

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from relay.deadline import Deadline
from relay.errors import Unparseable, VendorRefused, VendorUnavailable
from relay.events import read_json
from relay.http import RETRIED_STATUSES, Http, NoAnswer
from relay.secrets import SourceSecret
from relay.vendors.base import Api

if TYPE_CHECKING:
    from relay.deadline import Clock

GONE = frozenset({404})


class VendorClient:
    """A vendor's API for one request. Raises `VendorUnavailable` and `VendorRefused`."""

    def __init__(
        self, api: Api, secret: SourceSecret, http: Http, deadline: Deadline, clock: "Clock"
    ) -> None:
        credentials = {name: value.get_secret_value() for name, value in (secret.api or {}).items()}
        self._base_url = (credentials.pop("baseUrl", "") or api.host).rstrip("/")
        try:
            self._headers = {"accept": "application/json", **api.headers(credentials)}
        except KeyError as missing:
            raise VendorRefused(f"the source's secret has no api.{missing.args[0]}") from None
        self._http = http
        self._deadline = deadline
        self._clock = clock

    def now(self) -> float:
        """Unix seconds."""
        return self._clock()

    def get(self, path: str, absent: Collection[int] = GONE) -> Any:
        """The JSON at a path; None where there is nothing."""
        return self._request("GET", path, absent)

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """The JSON that answers a JSON body; None where there is nothing."""
        return self._request("POST", path, GONE, body)

    def _request(
        self, method: str, path: str, absent: Collection[int], body: Mapping[str, Any] | None = None
    ) -> Any:
        try:
            answer = self._http.request(
                method, self._base_url + path, self._headers, self._deadline, json=body
            )
        except NoAnswer as error:
            raise VendorUnavailable(f"no answer from the vendor's API: {error}") from None
        if answer.status in absent:
            return None
        if answer.status in RETRIED_STATUSES or answer.status >= 500:
            wait = answer.retry_after(self._clock())
            raise VendorUnavailable(f"the vendor's API answered {answer.status}", retry_after=wait)
        if not 200 <= answer.status < 300:
            raise VendorRefused(f"the vendor's API answered {answer.status}")
        try:
            return read_json(answer.body)
        except Unparseable:
            raise VendorUnavailable("the vendor's API answered no JSON") from None
