"""Secrets Manager, cached, with a refetch when a secret turns out to be old.

While Secrets Manager is down, what was read last goes on being used; a secret that was deleted does not.
"""

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from botocore.exceptions import BotoCoreError, ClientError
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError

from relay.aws.clients import until
from relay.errors import SecretUnreadable
from relay.vendors.support.proof import Credentials

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

    from relay.deadline import Clock, Deadline

# For so long a value that was taken out of a secret goes on proving requests.
MAX_AGE_SECONDS = 300.0
REFETCH_SECONDS = 30.0
GONE = frozenset({"ResourceNotFoundException", "InvalidRequestException"})
"""Codes of a secret that was deleted, at once or with a recovery window."""
FAILURE_SECONDS = 5.0
"""So long after a failure, what was read last is used without asking again."""


Region = Literal["usce1", "ause1"]


def _stripped(value: Any) -> Any:
    return value.strip() if isinstance(value, str) else value


Value = Annotated[SecretStr, BeforeValidator(_stripped)]
"""A secret value, without the blanks and line ends that pasting or a file may put around it."""


class _Secret(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class CalvenSecret(_Secret):
    """The `calven` secret: an API key and how to authenticate with it."""

    api_key: Annotated[str, BeforeValidator(_stripped)] = Field(alias="apiKey", min_length=1)
    api_secret: Value = Field(alias="apiSecret", min_length=1)
    region: Annotated[Region, BeforeValidator(_stripped)] = "usce1"
    auth: Annotated[Literal["hmac", "client_credentials"], BeforeValidator(_stripped)] = "hmac"


class SourceSecret(_Secret):
    """A source's secret: what its vendor signs with, or sends, and what its API is called with."""

    signing_secrets: list[Value] | None = Field(default=None, alias="signingSecrets")
    tokens: list[Value] | None = None
    api: dict[str, Value] | None = None

    @property
    def lists(self) -> dict[Credentials, list[str]]:
        """The values of each list that the secret has. One never stands in for the other."""
        found: dict[Credentials, list[str]] = {}
        if self.signing_secrets is not None:
            found["signingSecrets"] = [value.get_secret_value() for value in self.signing_secrets]
        if self.tokens is not None:
            found["tokens"] = [value.get_secret_value() for value in self.tokens]
        return found


M = TypeVar("M", bound=_Secret)


@dataclass(slots=True)
class _Known:
    """What a container knows of secrets: each text and when it was fetched, and the text's model."""

    texts: dict[str, tuple[float, str]] = field(default_factory=dict)
    models: dict[str, tuple[str, _Secret]] = field(default_factory=dict)
    refetched: dict[str, float] = field(default_factory=dict)
    failed_at: float = float("-inf")


class Secrets:
    """The stack's secrets. Every method raises `SecretUnreadable`."""

    def __init__(
        self,
        client: "SecretsManagerClient",
        stack: str,
        clock: "Clock" = time.time,
        known: _Known | None = None,
    ) -> None:
        self._client = client
        self._stack = stack
        self._clock = clock
        self._known = known or _Known()

    def until(self, deadline: "Deadline") -> "Secrets":
        """The secrets, with what is known of them; each call ends by that deadline."""
        return Secrets(until(self._client, deadline), self._stack, self._clock, self._known)

    def calven(self, name: str = "calven") -> CalvenSecret:
        """The credentials for Calven's API: the relay's own, or those of another secret."""
        return self._parsed(name, CalvenSecret)

    def source(self, family: str, name: str) -> SourceSecret:
        """The secret of one source."""
        return self._parsed(f"{family}/{name}", SourceSecret)

    def person_key(self) -> bytes:
        """The stack's own random key, under which people are hashed."""
        return self._text("person-key").encode()

    def refetch_source(self, family: str, name: str) -> SourceSecret | None:
        """A source's secret fetched anew, or None where that was done within `REFETCH_SECONDS`."""
        if not self._may_refetch(f"{family}/{name}"):
            return None
        self._expire(f"{family}/{name}")
        return self.source(family, name)

    def forget(self, name: str) -> None:
        """Have a secret that turned out to be wrong read again at its next use, at most every 30 s."""
        if self._may_refetch(name):
            self._expire(name)

    def read_version(self, name: str, version: str) -> str | None:
        """One version of a secret, never cached; None where that version is not there (yet)."""
        try:
            answer = self._client.get_secret_value(SecretId=f"{self._stack}/{name}", VersionId=version)
            return answer["SecretString"]
        except (ClientError, BotoCoreError, KeyError) as error:
            if (code := _code(error)) in GONE:
                return None
            raise SecretUnreadable(f"{self._stack}/{name}: {code}") from None

    def write_version(self, name: str, version: str, text: str) -> None:
        """Store a value under a version's id (32 to 64 characters); a secret that is missing is made."""
        whole, client = f"{self._stack}/{name}", self._client
        try:
            try:
                # Mostly it is there. A request token that was used for the same text changes nothing.
                client.put_secret_value(SecretId=whole, ClientRequestToken=version, SecretString=text)
            except client.exceptions.ResourceNotFoundException:
                client.create_secret(Name=whole, ClientRequestToken=version, SecretString=text)
        except (ClientError, BotoCoreError) as error:
            raise SecretUnreadable(f"{whole} cannot be stored: {_code(error)}") from None

    def _may_refetch(self, name: str) -> bool:
        now = self._clock()
        if now - self._known.refetched.get(name, float("-inf")) < REFETCH_SECONDS:
            return False
        # Before the answer: a forged signature must not have the secret fetched at every request.
        self._known.refetched[name] = now
        return True

    def _expire(self, name: str) -> None:
        """Keep the text, for when Secrets Manager does not answer, but not as fresh."""
        self._known.texts[name] = (float("-inf"), self._known.texts.get(name, (0.0, ""))[1])

    def _parsed(self, name: str, model: type[M]) -> M:
        text = self._text(name)
        known, parsed = self._known.models.get(name, (None, None))
        # To read a model costs more than to compare the text, and each event asks for it.
        if known == text and isinstance(parsed, model):
            return parsed
        try:
            found = model.model_validate_json(text)
        except ValidationError as error:
            # The names of the fields alone: pydantic's own message would show the secret's values.
            fields = ", ".join(
                ".".join(map(str, e["loc"])) or "JSON" for e in error.errors(include_input=False)
            )
            todo = _mending(name)
            raise SecretUnreadable(f"{self._stack}/{name}: wrong or missing: {fields}{todo}") from None
        self._known.models[name] = text, found
        return found

    def _text(self, name: str) -> str:
        now = self._clock()
        fetched_at, text = self._known.texts.get(name, (float("-inf"), ""))
        # After a failure the last text serves for a while, so that not every event waits for a time-out.
        if now - fetched_at <= MAX_AGE_SECONDS or (text and now - self._known.failed_at <= FAILURE_SECONDS):
            return text
        try:
            text = self._client.get_secret_value(SecretId=f"{self._stack}/{name}")["SecretString"]
        except (ClientError, BotoCoreError, KeyError) as error:
            code = _code(error)
            # An outage must not stop deliveries; a secret that was deleted must, at once.
            if text and code not in GONE:
                self._known.failed_at = now
                return text
            self._known.texts.pop(name, None)
            todo = _mending(name) if code in GONE else ""
            raise SecretUnreadable(f"{self._stack}/{name}: {code}{todo}") from None
        self._known.texts[name] = (self._clock(), text)
        return text


def _mending(name: str) -> str:
    """What stores a secret that is missing; the template alone makes the `person-key`."""
    return "" if name == "person-key" else f": relayctl secrets put {name.rpartition('/')[2]}"


def _code(error: Exception) -> str:
    return error.response["Error"]["Code"] if isinstance(error, ClientError) else type(error).__name__
