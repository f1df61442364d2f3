"""The command's own connections: by the environment's proxies, but never to what is on this machine."""

from contextlib import suppress
from ipaddress import IPv6Address, ip_address
from urllib.parse import urlsplit

import click
import httpx
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

AWS_ERRORS = (BotoCoreError, ClientError, ResponseParserError)
"""What a call to AWS may raise; the last where something else answers, such as a proxy."""


class UnusableProxy(click.ClickException):
    """The environment names a proxy that cannot be used."""


def is_local(url: str) -> bool:
    """Whether a URL is on this machine: no proxy stands before that, and one may stand before all others."""
    with suppress(ValueError):
        host = (urlsplit(url).hostname or "").rstrip(".")
        return host == "localhost" or host.endswith(".localhost") or _is_loopback(host)
    return False


def _is_loopback(host: str) -> bool:
    """Whether a host is a loopback address, however written; raises `ValueError` if it is no address."""
    address = ip_address(host)
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return address.is_loopback or address.is_unspecified


def client(url: str, seconds: float) -> httpx.Client:
    """A client for a URL: `http_proxy`, `https_proxy`, `all_proxy` and `no_proxy` count unless it is local.

    Raises `UnusableProxy`.
    """
    try:
        return httpx.Client(timeout=seconds, trust_env=not is_local(url))
    except (ImportError, ValueError, httpx.InvalidURL) as error:
        raise UnusableProxy(f"the proxy that the environment names cannot be used: {error}") from None


class EnvironmentTransport(httpx.BaseTransport):
    """Such clients as the transport of a client that reads no environment, as the relay's own does not.

    Raises `UnusableProxy` for a request that would need one.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._clients: dict[bool, httpx.Client] = {}

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request; each step of it gets the request's own time-out."""
        url = str(request.url)
        here = is_local(url)
        if here not in self._clients:
            self._clients[here] = client(url, self._seconds)
        return self._clients[here].send(request, stream=True)

    def close(self) -> None:
        """Close the connections."""
        for one in self._clients.values():
            one.close()
