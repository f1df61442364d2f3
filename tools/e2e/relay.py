"""The deployed relay that is checked, and what is known about it."""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx

from e2e.checks import Failed
from e2e.deploy import Deployment
from localrun.settings import Secrets
from relay.config.file import RelayYaml
from relay.config.store import ConfigStore
from relayctl import relay_yaml, secret_store, target
from relayctl.send import send_event
from relayctl.target import Target

RELAYCTL = Path(sys.executable).with_name("relayctl")
_COMMAND_SECONDS = 90.0


class Calven:
    """Calven's sandbox: what it holds, and orders to it."""

    def __init__(self, url: str) -> None:
        self._url = f"{url}/_sandbox"

    def state(self) -> dict[str, Any]:
        """The latest occupancy by location, and days away by person."""
        answer = httpx.get(f"{self._url}/state", timeout=5, trust_env=False).raise_for_status()
        state: dict[str, Any] = answer.json()
        return state

    def fail(self, mode: str) -> None:
        """Fail from now on."""
        httpx.post(f"{self._url}/fail", json={"mode": mode}, timeout=5, trust_env=False).raise_for_status()

    def mend(self) -> None:
        """Work again."""
        httpx.delete(f"{self._url}/fail", timeout=5, trust_env=False).raise_for_status()


@dataclass
class Relay:
    """A deployed stack; `calven` is None where it is the real one.

    `config` is the file that may be pushed, and `secrets` are those to be put, None for whatever the stack
    has. `vendor_api` is where the vendors' stand-ins answer, if there are any. `folder` takes files. `letter`
    is the id of the dead letter that a step has made. `deployment` deploys the stack again, and is None for a
    stack that was there before.
    """

    stack: str
    folder: Path
    calven: Calven | None = None
    config: Path | None = None
    secrets: Secrets | None = None
    vendor_api: str | None = None
    letter: str | None = None
    deployment: Deployment | None = None

    @cached_property
    def target(self) -> Target:
        """The stack as `relayctl` finds it."""
        return target.deployed(self.stack)

    @property
    def deployed_here(self) -> Deployment:
        """What deploys the stack; raises `Failed`."""
        if self.deployment is None:
            raise Failed("this stack is not to be deployed here")
        return self.deployment

    def deploy(self, **changed: str) -> None:
        """Deploy the same commit again, with parameters changed; raises `Failed`."""
        self.deployed_here.deploy(**changed)
        # Another table may be the stack's now.
        self.__dict__.pop("target", None)

    def make_anew(self, **changed: str) -> None:
        """Deploy the stack that was deleted, with parameters changed; raises `Failed`."""
        self.deployed_here.deploy(**changed)
        self.deployed_here.complete()
        self.__dict__.pop("target", None)

    @cached_property
    def settings(self) -> RelayYaml:
        """The configuration that may be pushed."""
        if self.config is None:
            raise Failed("there is no configuration to be pushed")
        return relay_yaml.load(self.config)

    def command(self, *arguments: str | Path, content: str = "") -> Any:
        """What `relayctl … --json --stack NAME` says, given that content on its standard input.

        Raises `Failed` where it does not exit with 0.
        """
        try:
            done = subprocess.run(
                [RELAYCTL, "--json", "--stack", self.stack, *arguments],
                input=content,
                capture_output=True,
                text=True,
                check=False,
                timeout=_COMMAND_SECONDS,
            )
        except subprocess.TimeoutExpired:
            raise Failed(f"not within {_COMMAND_SECONDS:g} s: relayctl {arguments[0]}") from None
        if done.returncode:
            raise Failed(f"relayctl {arguments[0]}: {(done.stderr or done.stdout).strip()}")
        return json.loads(done.stdout)

    def send(self, vendor: str, event: str | None = None, source: str | None = None) -> tuple[int, str]:
        """Post a signed sample as `relayctl send` does; the status, and what the relay says it did.

        Of what it ignored that is the reason.
        """
        sent = send_event(self.target, vendor, event, source=source, url=None, as_is=False)
        answer = sent.as_dict()["answer"]
        if not isinstance(answer, dict):
            return sent.status, str(answer)
        is_ignored = answer["status"] == "ignored"
        return sent.status, str(answer["reason" if is_ignored else "status"])

    def put_secret(self, source: str, value: dict[str, Any]) -> None:
        """Store the secret of a source of the configuration, or `calven`, as an operator would."""
        self.command("secrets", "put", source, "--from-file", "-", content=json.dumps(value))

    def store_secret(self, source: str, value: dict[str, Any]) -> None:
        """Check and store the secret of a source as the command does, in this process."""
        vendor = secret_store.source_vendor(ConfigStore(self.target.ledger()).current(), source)
        try:
            content = secret_store.checked_source(vendor, value)
        except secret_store.BadSecret as error:
            raise Failed(f"the secret of {source}: {error}") from None
        for family in vendor.families:
            secret_store.put(self.target, secret_store.source_name(family, source), content)

    def waiting(self, queue_url: str) -> int:
        """How many messages a queue holds, in whatever state."""
        names: Sequence[Any] = [
            f"ApproximateNumberOfMessages{state}" for state in ("", "NotVisible", "Delayed")
        ]
        client = self.target.client("sqs")
        found = client.get_queue_attributes(QueueUrl=queue_url, AttributeNames=names)
        return sum(map(int, found["Attributes"].values()))
