"""Secrets are read seldom, anew when one turns out to be old, and show nowhere."""

import json
import traceback
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError, ReadTimeoutError
from moto import mock_aws

from relay.aws.secrets import CalvenSecret, Secrets, SourceSecret
from relay.errors import SecretUnreadable
from tests.rig import Clock
from tests.servers import Faulty, aws_client, aws_error

HIDDEN = "s3cret-value"
FAMILY, SOURCE = "access-control", "kisi-sydney"
NAME = f"{FAMILY}/{SOURCE}"


class Stack:
    """Secrets Manager, the secrets read through it, and the time."""

    def __init__(self) -> None:
        self.aws = Faulty(aws_client("secretsmanager"))
        self.clock = Clock()
        self.secrets = Secrets(self.aws, "stack", self.clock)  # type: ignore[arg-type]

    def put(self, name: str, value: Any) -> None:
        """Store a secret, anew or over the last one; text as it is, anything else as JSON."""
        aws, name = aws_client("secretsmanager"), f"stack/{name}"
        text = value if isinstance(value, str) else json.dumps(value)
        try:
            aws.create_secret(Name=name, SecretString=text)
        except aws.exceptions.ResourceExistsException:
            aws.put_secret_value(SecretId=name, SecretString=text)

    def delete(self, name: str, **how: Any) -> None:
        """Delete a secret."""
        aws_client("secretsmanager").delete_secret(SecretId=f"stack/{name}", **how)

    def signing(self) -> list[str] | None:
        """The source's signing secrets, as they are read now."""
        found = self.secrets.source(FAMILY, SOURCE).lists.get("signingSecrets")
        return None if found is None else list(found)

    @property
    def fetches(self) -> int:
        """How often Secrets Manager has been asked."""
        return len(self.aws.calls)


@pytest.fixture
def stack() -> Iterator[Stack]:
    """A stack without secrets."""
    with mock_aws():
        yield Stack()


def test_calven(stack: Stack) -> None:
    """The Calven secret has a region and a way to authenticate, unless it names others."""
    stack.put("calven", {"apiKey": "k", "apiSecret": HIDDEN, "note": "ours"})
    found = stack.secrets.calven()
    assert (found.api_key, found.api_secret.get_secret_value()) == ("k", HIDDEN)
    assert (found.region, found.auth) == ("usce1", "hmac")


def test_calven_settings(stack: Stack) -> None:
    """Region and authentication are what the secret says."""
    stack.put("calven", {"apiKey": "k", "apiSecret": "s", "region": "ause1", "auth": "client_credentials"})
    assert (stack.secrets.calven().region, stack.secrets.calven().auth) == ("ause1", "client_credentials")


def test_source(stack: Stack) -> None:
    """A source's secret has lists that overlap old and new, and credentials for its vendor's API."""
    stack.put(NAME, {"signingSecrets": ["new", "old"], "api": {"baseUrl": "http://x"}})
    found = stack.secrets.source(FAMILY, SOURCE)
    assert found.lists.get("signingSecrets") == ["new", "old"]
    assert found.lists.get("tokens") is None
    assert found.api is not None
    assert found.api["baseUrl"].get_secret_value() == "http://x"


def test_families_are_apart(stack: Stack) -> None:
    """A source of one family is not found in the other one's secrets."""
    stack.put(NAME, {"tokens": ["t"]})
    assert stack.secrets.source(FAMILY, SOURCE).lists.get("tokens") == ["t"]
    with pytest.raises(SecretUnreadable, match=f"stack/hris/{SOURCE}: ResourceNotFound"):
        stack.secrets.source("hris", SOURCE)


def test_person_key(stack: Stack) -> None:
    """The key for people is the secret's text as it is."""
    stack.put("person-key", "kéy {")
    assert stack.secrets.person_key() == "kéy {".encode()


def test_cache(stack: Stack) -> None:
    """A secret is read again after five minutes, not before."""
    stack.put(NAME, {"signingSecrets": ["old"]})
    assert stack.signing() == ["old"]
    stack.put(NAME, {"signingSecrets": ["new"]})
    stack.clock.advance(300)
    assert (stack.signing(), stack.fetches) == (["old"], 1)
    stack.clock.advance(0.1)
    assert (stack.signing(), stack.fetches) == (["new"], 2)


def test_refetch(stack: Stack) -> None:
    """On a mismatch a secret is read at once, at most every 30 seconds, and the new value stays."""
    stack.put(NAME, {"signingSecrets": ["old"]})
    stack.signing()
    stack.put(NAME, {"signingSecrets": ["new"]})
    found = stack.secrets.refetch_source(FAMILY, SOURCE)
    assert found is not None
    assert found.lists.get("signingSecrets") == stack.signing() == ["new"]
    stack.clock.advance(29.9)
    assert stack.secrets.refetch_source(FAMILY, SOURCE) is None
    assert stack.fetches == 2
    stack.clock.advance(0.1)
    assert stack.secrets.refetch_source(FAMILY, SOURCE) is not None
    assert stack.fetches == 3


def test_refetch_is_per_source(stack: Stack) -> None:
    """A flood of wrong signatures at one source keeps no other one from being read anew."""
    stack.put(NAME, {"signingSecrets": ["a"]})
    stack.put(f"{FAMILY}/verkada", {"signingSecrets": ["b"]})
    assert stack.secrets.refetch_source(FAMILY, SOURCE) is not None
    assert stack.secrets.refetch_source(FAMILY, SOURCE) is None
    assert stack.secrets.refetch_source(FAMILY, "verkada") is not None


def test_forget(stack: Stack) -> None:
    """Credentials that were refused are read again at their next use, at most every 30 seconds."""
    stack.put("calven", {"apiKey": "old", "apiSecret": "s"})
    assert stack.secrets.calven().api_key == "old"
    stack.secrets.forget("calven")
    stack.put("calven", {"apiKey": "new", "apiSecret": "s"})
    assert stack.secrets.calven().api_key == "new"
    stack.secrets.forget("calven")
    assert (stack.secrets.calven().api_key, stack.fetches) == ("new", 2)


OUTAGES = [
    aws_error("InternalServiceError"),
    aws_error("ThrottlingException"),
    EndpointConnectionError(endpoint_url="https://aws.test"),
    ReadTimeoutError(endpoint_url="https://aws.test"),
]


@pytest.mark.parametrize("outage", OUTAGES, ids=repr)
def test_outage(stack: Stack, outage: Exception) -> None:
    """While Secrets Manager fails, what was read last goes on being used, and it is not asked every time."""
    stack.put(NAME, {"signingSecrets": ["old"]})
    stack.signing()
    stack.put(NAME, {"signingSecrets": ["new"]})
    stack.aws.error = outage
    stack.clock.advance(301)
    assert stack.signing() == stack.signing() == ["old"]
    refetched = stack.secrets.refetch_source(FAMILY, SOURCE)
    assert refetched is not None
    assert refetched.lists.get("signingSecrets") == ["old"]
    assert stack.fetches == 2
    stack.aws.error = None
    stack.clock.advance(5.1)
    assert stack.signing() == ["new"]


@pytest.mark.parametrize("outage", OUTAGES, ids=repr)
def test_outage_from_the_start(stack: Stack, outage: Exception) -> None:
    """A secret that was never read cannot be made up: the error names it and the cause."""
    stack.put(NAME, {"signingSecrets": [HIDDEN]})
    stack.aws.error = outage
    with pytest.raises(SecretUnreadable, match=rf"^stack/{NAME}: \w+$"):
        stack.signing()


@pytest.mark.parametrize("how", [{"ForceDeleteWithoutRecovery": True}, {"RecoveryWindowInDays": 7}, {}])
def test_deleted(stack: Stack, how: dict[str, Any]) -> None:
    """A secret that was deleted, with or without a recovery window, is not used any more."""
    stack.put(NAME, {"signingSecrets": ["old"]})
    stack.signing()
    stack.delete(NAME, **how)
    stack.clock.advance(301)
    with pytest.raises(SecretUnreadable):
        stack.signing()


def test_deleted_before_an_outage(stack: Stack) -> None:
    """A secret known to be deleted does not come back when Secrets Manager fails afterwards."""
    stack.put(NAME, {"signingSecrets": ["old"]})
    stack.signing()
    stack.delete(NAME, ForceDeleteWithoutRecovery=True)
    stack.clock.advance(301)
    with pytest.raises(SecretUnreadable):
        stack.signing()
    stack.aws.error = aws_error("InternalServiceError")
    with pytest.raises(SecretUnreadable):
        stack.signing()


def test_no_value(stack: Stack) -> None:
    """A secret without a value, or with a binary one, is unreadable."""
    aws = aws_client("secretsmanager")
    aws.create_secret(Name="stack/calven")
    with pytest.raises(SecretUnreadable, match="stack/calven: ResourceNotFoundException"):
        stack.secrets.calven()
    aws.create_secret(Name="stack/person-key", SecretBinary=b"x")
    with pytest.raises(SecretUnreadable, match="stack/person-key: KeyError"):
        stack.secrets.person_key()


@pytest.mark.parametrize(
    ("value", "fields"),
    [
        (HIDDEN, "JSON"),
        ([HIDDEN], "JSON"),
        ({"apiSecret": HIDDEN}, "apiKey"),
        ({"apiKey": HIDDEN}, "apiSecret"),
        ({"apiKey": "", "apiSecret": ""}, "apiKey, apiSecret"),
        ({"apiKey": "k", "apiSecret": [HIDDEN]}, "apiSecret"),
        ({"apiKey": "k", "apiSecret": "s", "region": HIDDEN, "auth": HIDDEN}, "region, auth"),
    ],
)
def test_malformed_calven(stack: Stack, value: Any, fields: str) -> None:
    """A malformed secret is told by its fields, never by what they hold."""
    stack.put("calven", value)
    with pytest.raises(SecretUnreadable) as unreadable:
        stack.secrets.calven()
    assert str(unreadable.value) == f"stack/calven: wrong or missing: {fields}: relayctl secrets put calven"
    assert HIDDEN not in "".join(traceback.format_exception(unreadable.value))


@pytest.mark.parametrize(
    ("value", "fields"),
    [
        ({"signingSecrets": HIDDEN}, "signingSecrets"),
        ({"signingSecrets": ["fine", {"x": HIDDEN}]}, "signingSecrets.1"),
        ({"tokens": {"x": HIDDEN}, "api": HIDDEN}, "tokens, api"),
        ({"api": {"serviceUserToken": [HIDDEN]}}, "api.serviceUserToken"),
    ],
)
def test_malformed_source(stack: Stack, value: Any, fields: str) -> None:
    """A source's malformed secret is told by its fields too."""
    stack.put(NAME, value)
    with pytest.raises(SecretUnreadable) as unreadable:
        stack.signing()
    assert str(unreadable.value) == (
        f"stack/{NAME}: wrong or missing: {fields}: relayctl secrets put {SOURCE}"
    )
    assert HIDDEN not in "".join(traceback.format_exception(unreadable.value))


def test_repr(stack: Stack) -> None:
    """No `repr` shows a value."""
    stack.put("calven", {"apiKey": "k", "apiSecret": HIDDEN})
    stack.put(NAME, {"signingSecrets": [HIDDEN], "tokens": [HIDDEN], "api": {"serviceUserToken": HIDDEN}})
    calven, source = stack.secrets.calven(), stack.secrets.source(FAMILY, SOURCE)
    assert isinstance(calven, CalvenSecret)
    assert isinstance(source, SourceSecret)
    for thing in (calven, source, stack.secrets):
        assert HIDDEN not in f"{thing!r} {thing}"
