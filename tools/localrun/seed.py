"""Configuration and secrets, put where the deployed relay has them too."""

import json
import secrets as random
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from localrun.aws import Aws, Resources
from localrun.settings import Secrets, StartError
from localrun.template import STACK

if TYPE_CHECKING:
    from relay.config.file import RelayYaml


def load_config(path: Path) -> "RelayYaml":
    """The configuration of a `relay.yaml`; raises `StartError` with every line at fault."""
    from relayctl.relay_yaml import InvalidConfig, load  # noqa: PLC0415 - the environment must be right first

    try:
        return load(path)
    except InvalidConfig as error:
        raise StartError(error.problems, 2) from None


def routes(config: "RelayYaml") -> list[tuple[str, str]]:
    """Each source with its family, `access-control` or `hris`; twice where it may be either."""
    from relay import vendors  # noqa: PLC0415

    return [
        (family, name)
        for name, source in config.sources.items()
        for family in vendors.load(source.vendor).families
    ]


def with_vendor_api(secrets: Secrets, url: str) -> Secrets:
    """The secrets, in which each source's `api` is the stand-in at this URL."""
    return {
        name: {**secret, "api": {**secret["api"], "baseUrl": url}} if "api" in secret else secret
        for name, secret in secrets.items()
    }


def seed(
    aws: Aws,
    resources: Resources,
    config: "RelayYaml",
    secrets: Secrets,
    clock: Callable[[], float] = time.time,
) -> None:
    """Pushes the configuration and makes every secret."""
    from relay.config import versions  # noqa: PLC0415

    versions.push(aws.dynamodb, resources.table, config, clock=clock)
    for name in ("calven", "calven-reader"):
        if name in secrets:
            _put(aws, name, secrets[name])
    aws.secrets.create_secret(Name=f"{STACK}/person-key", SecretString=random.token_hex(32))
    for family, source in routes(config):
        if source in secrets:
            _put(aws, f"{family}/{source}", secrets[source])


def odd_secrets(config: "RelayYaml", secrets: Secrets) -> Iterator[str]:
    """A sentence for each secret that is missing, cannot be right, or is of no source; no value is in any."""
    from relay import vendors  # noqa: PLC0415 - the environment must be right first
    from relay.config.file import did_you_mean  # noqa: PLC0415
    from relayctl.secret_store import CALVEN, CALVEN_READER  # noqa: PLC0415

    for name, source in config.sources.items():
        put = f"relayctl --local secrets put {name}"
        if name in secrets and (problem := _problem(source.vendor, secrets[name])):
            yield f"the secret of {name!r} cannot be right: {problem} ({put})"
        elif name not in secrets and vendors.load(source.vendor).sends_webhooks:
            yield f"no secret for source {name!r}: its webhooks are answered 503 ({put})"
    for name in secrets:
        if name not in (CALVEN, CALVEN_READER, *config.sources):
            yield f"a secret for {name!r}, which is no source{did_you_mean(name, config.sources)}"


def usable(config: "RelayYaml", secrets: Secrets, name: str) -> bool:
    """Whether a source has a secret that can be right."""
    return name in secrets and not _problem(config.sources[name].vendor, secrets[name])


def _problem(vendor: str, secret: Mapping[str, Any]) -> str:
    """What is wrong with a source's secret, if anything."""
    from relay import vendors  # noqa: PLC0415 - the environment must be right first
    from relayctl.secret_store import BadSecret, checked_source  # noqa: PLC0415

    try:
        checked_source(vendors.load(vendor), dict(secret))
    except BadSecret as error:
        return str(error)
    return ""


def _put(aws: Aws, name: str, secret: Mapping[str, Any]) -> None:
    aws.secrets.create_secret(Name=f"{STACK}/{name}", SecretString=json.dumps(secret))
