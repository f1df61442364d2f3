"""`make run`: the relay's own functions on this machine, with everything around them played by stand-ins."""

import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError

from localrun import console, environment, gateway
from localrun.aws import Aws, Resources, create
from localrun.background import Background, Clock
from localrun.captures import NOTE, Captures
from localrun.log_delivery import LogDelivery
from localrun.poller import Poller
from localrun.seed import load_config, odd_secrets, routes, seed, usable, with_vendor_api
from localrun.serve import Served, bind
from localrun.settings import DEMO, Secrets, Settings, StartError, read, read_secrets
from localrun.template import REGION, STACK, Template
from localrun.world import Urls, World, WorldError

if TYPE_CHECKING:
    from relay.config.file import RelayYaml

_GRACE = 5


def run() -> int:
    """Runs until SIGINT or SIGTERM; returns the exit code, 2 for wrong settings, 1 for any other failure."""
    try:
        with ExitStack() as cleanup:
            return _run(read(os.environ), Stop(cleanup), cleanup)
    except StartError as error:
        print(*error.problems, sep="\n", file=sys.stderr, flush=True)
        return error.exit_code
    except WorldError as error:
        print(error, file=sys.stderr, flush=True)
        return 1


class Stop:
    """Whether somebody asked for the end: the first SIGINT or SIGTERM asks, a second one ends the process."""

    def __init__(self, cleanup: ExitStack) -> None:
        self.asked = False
        for number in (signal.SIGINT, signal.SIGTERM):
            cleanup.callback(signal.signal, number, signal.signal(number, self._ask))

    def _ask(self, number: int, _: Any) -> None:
        if self.asked:
            os._exit(128 + number)
        self.asked = True


def _run(settings: Settings, stop: Stop, cleanup: ExitStack) -> int:
    sock = _bind(settings.port)
    cleanup.callback(sock.close)
    template = Template()
    environment.prepare(os.environ, template)
    config, secrets = load_config(settings.config), read_secrets(settings.secrets or DEMO / "secrets.json")
    world, urls = _start_world(settings, config, secrets, sock, cleanup)
    if not settings.secrets:
        secrets = with_vendor_api(secrets, urls.vendor_api)
    aws = Aws(urls.aws)
    cleanup.callback(aws.close)
    resources = _fill(aws, template, config, secrets)
    os.environ.update(environment.of_functions(settings, urls, resources))
    if stop.asked:
        return 0
    api = gateway.create(
        template.routes,
        about(urls, resources, os.environ),
        vendor_of=vendor_of(aws, resources),
        captures=_captures(settings.capture, vendor_of(aws, resources)),
    )
    front = Served(api, sock, grace=_GRACE)
    beside = console.prepare(settings.port_of_console)
    cleanup.callback(beside.stop)
    _start(front, sock, background(template, aws, resources), cleanup)
    _warn(settings, config, secrets)
    _announce(front.url, urls, config, secrets, beside.said)
    # Only now: what it takes to start it, the relay does not wait for.
    beside.start(sock.getsockname()[1])
    # It takes a second to end, which the others take too.
    cleanup.callback(beside.ask_to_stop)
    return _wait(stop, world)


def _start_world(
    settings: Settings, config: "RelayYaml", secrets: Secrets, sock: socket.socket, cleanup: ExitStack
) -> tuple[World, Urls]:
    locations = [place.location_id for place in config.places.values()]
    world = World(
        None if settings.calven_base_url else secrets["calven"],
        locations,
        reader=secrets.get("calven-reader"),
        gateway="http://{}:{}".format(*sock.getsockname()),
    )
    cleanup.callback(world.stop)
    return world, world.start()


def vendor_of(aws: Aws, resources: Resources) -> Callable[[str], str | None]:
    """What tells the vendor of a source, by the relay's configuration of now."""
    from relay.aws.table import Table  # noqa: PLC0415 - the environment must be right first
    from relay.config.store import ConfigStore  # noqa: PLC0415

    store = ConfigStore(Table(aws.dynamodb, resources.table))

    def named(source: str) -> str | None:
        found = store.current().sources.get(source)
        return found.vendor if found else None

    return named


def _captures(folder: Path | None, vendor_of: Callable[[str], str | None]) -> Captures | None:
    from relay import vendors  # noqa: PLC0415 - the environment must be right first
    from relay.errors import TableUnavailable  # noqa: PLC0415

    if folder is None:
        return None

    def hands_over_a_secret(source: str, body: bytes) -> bool:
        try:
            vendor = vendor_of(source)
        except TableUnavailable:
            return True  # nobody knows: better one capture too few
        return vendor in vendors.NAMES and bool(vendors.load(vendor).handshake(body))

    print(NOTE.format(folder), flush=True)
    return Captures(folder, hands_over_a_secret)


def background(template: Template, aws: Aws, resources: Resources) -> list[Background]:
    """What Lambda does besides the HTTP API: the queues' pollers, the schedules' clocks, the log."""
    pollers = [Poller(source, aws.sqs, resources.queue_url(source)) for source in template.event_sources]
    return [*pollers, *map(Clock, template.schedules), log_delivery(aws)]


def log_delivery(aws: Aws) -> LogDelivery:
    """What takes the functions' log lines to their groups."""
    from relay.observability import logger  # noqa: PLC0415 - the environment must be right first

    return LogDelivery(aws.logs, logging.getLogger(logger.name), logger.registered_formatter)


def _start(front: Served, sock: socket.socket, beside: list[Background], cleanup: ExitStack) -> None:
    try:
        sock.listen()
    except OSError as error:
        raise _taken(sock.getsockname()[1], error) from None
    cleanup.callback(_stop, front, beside)
    front.start()
    for each in beside:
        each.start()


def _fill(aws: Aws, template: Template, config: "RelayYaml", secrets: Secrets) -> Resources:
    try:
        resources = create(template, aws)
        seed(aws, resources, config, secrets)
    except BotoCoreError as error:
        raise WorldError(f"the process that plays AWS does not answer: {error}") from error
    return resources


def _bind(port: int) -> socket.socket:
    try:
        return bind(port)
    except OSError as error:
        raise _taken(port, error) from None


def _taken(port: int, error: OSError) -> StartError:
    reason = os.strerror(error.errno) if error.errno else str(error)
    return StartError([f"port {port}: {reason}; take another one with PORT=<number> make run"], 1)


def about(urls: Urls, resources: Resources, variables: Mapping[str, str]) -> dict[str, str | None]:
    """What `GET /_local` tells the tools."""
    return {
        "aws_endpoint": urls.aws,
        "region": REGION,
        "stack": STACK,
        "table": resources.table,
        "unprocessed_queue_url": resources.unprocessed_queue_url,
        "dead_letter_queue_url": resources.dead_letter_queue_url,
        "calven_url": variables["CALVEN_BASE_URL"],
        "sandbox_url": urls.sandbox,
        "vendor_api_url": urls.vendor_api,
    }


def _warn(settings: Settings, config: "RelayYaml", secrets: Secrets) -> None:
    # The demo's secrets are of many sources that a configuration of one's own does not have.
    known = (
        secrets if settings.secrets else {name: secrets[name] for name in config.sources if name in secrets}
    )
    for sentence in odd_secrets(config, known):
        print(f"warning: {sentence}", file=sys.stderr, flush=True)


def _announce(url: str, urls: Urls, config: "RelayYaml", secrets: Secrets, console_url: str) -> None:
    from relayctl.fitting import first_command  # noqa: PLC0415 - the environment must be right first

    webhooks = [f"  {url}/webhooks/{family}/{source}" for family, source in routes(config)]
    if not webhooks:
        webhooks = ["  none yet: relayctl config push relay.yaml --local gives the relay sources"]
    calven = f"{urls.sandbox}/_sandbox/events (sandbox)" if urls.sandbox else os.environ["CALVEN_BASE_URL"]
    lines = ["", "webhooks:", *webhooks, "Calven:", f"  {calven}", "AWS:", f"  {urls.aws}"]
    if console_url:
        lines += ["console:", f"  {console_url}"]
    if command := first_command(config, lambda name: usable(config, secrets, name)):
        port = url.rpartition(":")[2]
        prefix = "" if port == "8080" else f"PORT={port} "
        lines += ["a first event:", f"  {prefix}.venv/bin/{command}"]
    print(*lines, "", "ready", sep="\n", flush=True)


def _wait(stop: Stop, world: World) -> int:
    # A make that is killed tells nobody.
    parent = os.getppid() if "MAKELEVEL" in os.environ else None
    while not stop.asked and parent in (None, os.getppid()):
        if not world.alive:
            print("the process that plays AWS and Calven has ended: stopping", file=sys.stderr, flush=True)
            return 1
        time.sleep(0.1)
    return 0


def _stop(front: Served, beside: list[Background]) -> None:
    for each in beside:
        each.ask_to_stop()
    front.stop()
    for each in beside:
        each.stop(1.0)
