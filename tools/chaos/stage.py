"""What the faults happen to: AWS, Calven and the relay on this machine, and one building's configuration."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from threading import Thread
from types import TracebackType
from typing import IO, Any, Self

import httpx

from localrun import environment
from localrun.aws import Aws, create
from localrun.seed import seed
from localrun.serve import bind
from localrun.settings import Settings
from localrun.template import STACK, Template
from localrun.world import World
from relay import settings as relay_settings
from relay.config.file import RelayYaml
from relay.container import Container
from relay.entrypoints import schedule
from relay.occupancy.days import Day, operating_day
from relayctl.target import Target

CALVEN = {"apiKey": "chaos", "apiSecret": "example"}
READER = {"apiKey": "chaos-reader", "apiSecret": "example-reader"}
"""A key that may read what Calven shows."""
VENDORS = {
    "kisi": "kisi",
    "verkada": "verkada",
    "deel": "deel",
    "verkada-pilot": "verkada",
    "deel-pilot": "deel",
}
"""The vendor of each source that has webhooks; the pilots are shadowed."""
SECRETS = {name: f"{name}-secret-1" for name in VENDORS}
LISTED = "bamboohr"
"""The source that has no webhooks, and is asked."""
WITHIN = {"hq": None, "l1": "hq", "l2": "hq", "l1-a": "l1", "l1-b": "l1", "l2-a": "l2"}
TYPES = {"hq": "location", "l1": "level", "l2": "level"}
RETRY_BASE_SECONDS = 0.5
VISIBILITY_SECONDS = 8
_START_SECONDS = 30.0


class Stage:
    """Everything on this machine; `log` takes what the relay prints."""

    def __init__(self, log: Path) -> None:
        self.secrets = dict(SECRETS)
        self._world = World(CALVEN, reader=READER)
        self._log = log.open("ab")
        self._front: subprocess.Popen[bytes] | None = None
        self.config = _config()

    def __enter__(self) -> Self:
        """Start it all."""
        environment.prepare(os.environ, Template())
        self.urls = self._world.start()
        self.aws = Aws(self.urls.aws)
        self.resources = create(Template(), self.aws)
        signing: dict[str, dict[str, Any]] = {
            name: {"signingSecrets": [secret]} for name, secret in self.secrets.items()
        }
        api = {"company": "example", "apiKey": "chaos-api-key", "baseUrl": self.urls.vendor_api}
        keys: dict[str, dict[str, Any]] = {"calven": CALVEN, "calven-reader": READER, LISTED: {"api": api}}
        seed(self.aws, self.resources, self.config, {**keys, **signing})
        self._hide_briefly()
        with bind() as free:
            self.port = int(free.getsockname()[1])
        self.start_front()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End what was started."""
        self.kill_front()
        self.aws.close()
        self._world.stop()
        self._log.close()

    @property
    def url(self) -> str:
        """Where the relay listens."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def target(self) -> Target:
        """The relay as `relayctl` sees it."""
        return Target(
            stack=STACK,
            api_url=self.url,
            region="us-east-1",
            endpoint=self.urls.aws,
            table=self.resources.table,
            unprocessed_queue_url=self.resources.unprocessed_queue_url,
            dead_letter_queue_url=self.resources.dead_letter_queue_url,
            sandbox_url=self.urls.sandbox,
        )

    @property
    def day(self) -> Day:
        """The site's operating day: it ends in about twelve hours, whenever this runs."""
        return operating_day(self.config.config(), "id-hq", int(time.time() * 1000))

    def start_front(self) -> None:
        """Start the relay's process, and wait until it answers."""
        process = subprocess.Popen(
            [sys.executable, "-m", "chaos.front"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
        )
        self._front = process
        order = {
            "port": self.port,
            "urls": asdict(self.urls),
            "resources": asdict(self.resources),
            "base": str(RETRY_BASE_SECONDS),
        }
        _pipe(process.stdin).write(json.dumps(order).encode() + b"\n")
        _pipe(process.stdin).flush()
        until = time.monotonic() + _START_SECONDS
        while time.monotonic() < until:
            line = _pipe(process.stdout).readline()
            if line == b"ready\n":
                self._drain(process)
                return
            self._log.write(line)
        raise RuntimeError("the relay did not start")

    def _drain(self, process: subprocess.Popen[bytes]) -> None:
        def copy() -> None:
            for line in _pipe(process.stdout):
                if not self._log.closed:
                    self._log.write(line)

        Thread(target=copy, daemon=True).start()

    def kill_front(self) -> None:
        """Kill the relay's process, whatever it is doing."""
        process, self._front = self._front, None
        if process is not None:
            process.kill()
            process.wait()
            _pipe(process.stdin).close()

    def _hide_briefly(self) -> None:
        """Have messages come back soon that a killed process has held: a run has no six minutes for them."""
        self.aws.sqs.set_queue_attributes(
            QueueUrl=self.resources.unprocessed_queue_url,
            Attributes={"VisibilityTimeout": str(VISIBILITY_SECONDS)},
        )

    def sweep(self) -> int:
        """Run the scheduled function when all is old enough for it; how much there was to tell."""
        os.environ.update(environment.of_functions(_settings(), self.urls, self.resources))
        relay = Container(relay_settings.read(), lambda: time.time() + 120)
        with closing(relay.http):
            return schedule.handle(relay, {}, 50, "sweep")["facts"]

    def calven(self, order: str, content: Mapping[str, Any] | None = None) -> None:
        """An order to Calven's sandbox."""
        url = f"{self.urls.sandbox}/_sandbox/{order}"
        httpx.post(url, json=content or {}, trust_env=False).raise_for_status()

    def break_aws(self, service: str, mode: str, share: float) -> None:
        """Have one of AWS's services fail."""
        order = {"service": service, "mode": mode, "share": share}
        httpx.post(f"{self.urls.aws}/_aws/fail", json=order, trust_env=False).raise_for_status()

    def recover(self) -> None:
        """Have everything work again."""
        httpx.delete(f"{self.urls.aws}/_aws/fail", trust_env=False).raise_for_status()
        httpx.delete(f"{self.urls.sandbox}/_sandbox/fail", trust_env=False).raise_for_status()

    def happen(self, vendor: str, sample: str, payload: Mapping[str, Any]) -> None:
        """Have happen at a vendor what a sample says; its list tells of it from now on."""
        self._order_vendors("POST", "happened", {"vendor": vendor, "sample": sample, "payload": payload})

    def break_list(self, vendor: str, mode: str, after: int, count: int | None) -> None:
        """Have a vendor's list go wrong."""
        self._order_vendors("POST", "fail", {"vendor": vendor, "mode": mode, "after": after, "count": count})

    def mend_lists(self) -> None:
        """Have every list be right again."""
        self._order_vendors("DELETE", "fail")

    def _order_vendors(self, method: str, order: str, content: Mapping[str, Any] | None = None) -> None:
        url = f"{self.urls.vendor_api}/_vendors/{order}"
        httpx.request(method, url, json=content, trust_env=False).raise_for_status()

    def take_out(self, email: str, day: str) -> None:
        """Have somebody take a day away out of their plan at Calven."""
        url, order = f"{self.urls.sandbox}/_sandbox/away", {"email": email, "day": day}
        httpx.request("DELETE", url, json=order, trust_env=False).raise_for_status()

    def rotate(self, source: str, family: str) -> None:
        """Give a source another signing secret; the old one holds beside it for now."""
        old, new = self.secrets[source], f"{self.secrets[source]}-rotated"
        self.aws.secrets.put_secret_value(
            SecretId=f"{STACK}/{family}/{source}", SecretString=json.dumps({"signingSecrets": [new, old]})
        )
        self.secrets[source] = new

    def state(self) -> dict[str, Any]:
        """What Calven holds: days away by person, and the latest count by location."""
        found: dict[str, Any] = httpx.get(f"{self.urls.sandbox}/_sandbox/state", trust_env=False).json()
        return found

    def told(self) -> list[dict[str, Any]]:
        """The bodies of what Calven was asked to take, as far back as its sandbox remembers."""
        found = httpx.get(f"{self.urls.sandbox}/_sandbox/requests", trust_env=False).json()
        return [request["body"] for request in found if isinstance(request["body"], dict)]

    def waiting(self) -> int:
        """How many messages the Unprocessed queue holds, in whatever state."""
        names: Any = [f"ApproximateNumberOfMessages{state}" for state in ("", "NotVisible", "Delayed")]
        found = self.aws.sqs.get_queue_attributes(
            QueueUrl=self.resources.unprocessed_queue_url, AttributeNames=names
        )
        return sum(map(int, found["Attributes"].values()))

    def drain(self, seconds: float) -> None:
        """Let the queue become empty, for so long at most."""
        until = time.monotonic() + seconds
        while self.waiting() and time.monotonic() < until:
            time.sleep(0.2)
        time.sleep(0.5)


def _settings() -> Settings:
    return Settings.model_validate({"RETRY_BASE_SECONDS": RETRY_BASE_SECONDS})


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    if stream is None:
        raise RuntimeError("the process has no such stream")
    return stream


def _config() -> RelayYaml:
    reset_at = f"{(time.gmtime().tm_hour + 12) % 24:02}:00"
    places = {
        name: {
            "locationId": f"id-{name}",
            "locationType": TYPES.get(name, "space"),
            **({"within": outer} if outer else {"timezone": "UTC", "resetAt": reset_at}),
        }
        for name, outer in WITHIN.items()
    }
    doors = {
        f"{way} {place}": {"place": place, "direction": way} for place in WITHIN for way in ("in", "out")
    }
    return RelayYaml.model_validate(
        {
            "sources": {
                name: {"vendor": vendor, "shadow": name.endswith("-pilot")}
                for name, vendor in (*VENDORS.items(), (LISTED, LISTED))
            },
            "places": places,
            "doors": {"kisi": doors, "verkada": doors, "verkada-pilot": doors},
        }
    )
