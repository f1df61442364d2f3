"""`relayctl doctor`: every check in order, and what to do about each problem."""

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial

import click
import httpx
from botocore.exceptions import BotoCoreError, ClientError

from relay import vendors
from relay.config.store import POINTER, ConfigStore
from relay.config.versions import UnknownVersion, pull
from relay.vendors.support.memory import VendorMemory
from relayctl import calven, dead_letters, network, reconcile_checks, relay_yaml, secret_store, token_checks
from relayctl.checks import Finding, guarded, report
from relayctl.event_log import DOCTOR
from relayctl.network import UnusableProxy
from relayctl.options import Common, common_options, pass_common
from relayctl.output import working
from relayctl.target import Target

WAITING = (
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesDelayed",
    "ApproximateNumberOfMessagesNotVisible",
)
LONG_SECONDS = 30 * 60
"""A backlog is gone within 20 minutes after Calven is back: what waits longer, waits for an operator."""
MENDING = {
    "unmapped_door": "relayctl config suggest names the doors; add them, push, and redrive",
    "unknown_location": "mend the place's locationId here or in Calven, and redrive",
    "unknown_user": "add the person in Calven, and redrive",
    "vendor_refused": "check the source's api credentials (relayctl secrets put), and redrive",
    "retries_exhausted": "mend what kept them waiting, and redrive",
    "unparseable": "relayctl dlq show names the field; please report it",
}
MEND = "relayctl dlq list; mend their cause, then redrive or purge"


@click.command()
@common_options
@pass_common
def doctor(common: Common) -> None:
    """Check the relay from end to end, and say what to do about each problem. Exit code 1 if there is one."""
    try:
        target = common.target()
    except click.UsageError:
        raise
    except click.ClickException as error:
        todo = "name the stack in the right region with AWS credentials that may read it, or start `make run`"
        report([Finding(check="target", ok=False, detail=error.message, next=todo)], common.as_json)
        return
    report(_findings(target), common.as_json)


def _findings(target: Target) -> Iterator[Finding]:
    """What each check finds, as soon as it has found it."""
    for name, check in CHECKS:
        with working(f"checking: {name}"):
            found = guarded(name, partial(check, target))
        yield from found


def _target(target: Target) -> Iterator[Finding]:
    target.ledger().get([POINTER])
    yield Finding(check="target", ok=True, detail=f"{target.stack} at {target.api_url}")


def _configuration(target: Target) -> Iterator[Finding]:
    todo = "relayctl config push relay.yaml"
    try:
        relay = pull(target.ledger())
    except UnknownVersion as error:
        yield Finding(check="configuration", ok=False, detail=str(error), next=todo)
        return
    found = [f"{'.'.join(problem.where)}: {problem.what}" for problem in relay_yaml.mistakes(relay)]
    if not relay.sources:
        found.append("it has no sources")
    for problem in found:
        yield Finding(check="configuration", ok=False, detail=problem, next=f"mend it, then {todo}")
    if not found:
        counts = f"{len(relay.sources)} sources, {len(relay.places)} places"
        yield Finding(check="configuration", ok=True, detail=counts)
    for name, source in relay.sources.items():
        if source.shadow:
            detail = "nothing of it is sent to Calven: relayctl shadow report shows what would have been"
            yield Finding(check=f"shadow {name}", ok=True, detail=detail)


def _waiting(target: Target) -> Iterator[Finding]:
    answer = target.client("sqs").get_queue_attributes(
        QueueUrl=target.unprocessed_queue_url, AttributeNames=list(WAITING)
    )
    number = sum(int(answer["Attributes"].get(name, 0)) for name in WAITING)
    oldest = _oldest_seconds(target) if number else None
    age = f", the oldest for {oldest / 60:.0f} min" if oldest is not None else ""
    stuck = oldest is not None and oldest > LONG_SECONDS
    todo = "the dead letters' and the log's reasons say why; look at the retry function" if stuck else ""
    yield Finding(check="unprocessed", ok=not stuck, detail=f"{number} waiting{age}", next=todo)


def _oldest_seconds(target: Target) -> float | None:
    """The age of the oldest event in the Unprocessed queue, where CloudWatch knows it."""
    now = datetime.now(UTC)
    try:
        answer = target.client("cloudwatch").get_metric_statistics(
            Namespace="AWS/SQS",
            MetricName="ApproximateAgeOfOldestMessage",
            Dimensions=[{"Name": "QueueName", "Value": target.unprocessed_queue_url.rsplit("/", 1)[-1]}],
            StartTime=now - timedelta(minutes=15),
            EndTime=now + timedelta(minutes=1),
            Period=60,
            Statistics=["Maximum"],
        )
    except (BotoCoreError, ClientError):
        return None
    points = sorted(answer["Datapoints"], key=lambda point: point["Timestamp"])
    return float(points[-1]["Maximum"]) if points else None


def _dead(target: Target) -> Iterator[Finding]:
    reading = dead_letters.read(target, fields=("reason",))
    counts = Counter(str(letter.get("reason", "")) for letter in reading.letters)
    if reading.hidden:
        detail = f"about {reading.hidden} are hidden"
        todo = "somebody is reading them just now: try again"
        yield Finding(check="dead letters", ok=False, detail=detail, next=todo)
    elif not counts:
        yield Finding(check="dead letters", ok=True, detail="none")
    for reason, number in counts.most_common():
        detail = f"{number} {reason}"
        yield Finding(check="dead letters", ok=False, detail=detail, next=MENDING.get(reason, MEND))


def _front_door(target: Target) -> Iterator[Finding]:
    """The functions answer 404 for a source that is not there; so do gateways, but in other words."""
    for family in ("access-control", "hris"):
        url, name = f"{target.api_url.rstrip('/')}/webhooks/{family}/{DOCTOR}", f"front door {family}"
        try:
            with network.client(url, 20) as http:
                answer = http.post(url, content=b"{}")
        except UnusableProxy as error:
            yield Finding(check=name, ok=False, detail=error.message, next=calven.MEND_PROXY)
            continue
        except httpx.HTTPError as error:
            todo = "see that the API is deployed and that the network lets you reach it"
            yield Finding(
                check=name, ok=False, detail=f"no answer from {url}: {type(error).__name__}", next=todo
            )
            continue
        ok = answer.status_code == 404 and _error(answer) == "unknown source"
        todo = "" if ok else "look at the function's log, and at docs/guides/operate.md#troubleshooting"
        yield Finding(check=name, ok=ok, detail=f"{url} answers {answer.status_code}", next=todo)


def _error(answer: httpx.Response) -> object:
    try:
        found = answer.json()
    except ValueError:
        return None
    return found.get("error") if isinstance(found, dict) else None


def _handshakes(target: Target) -> Iterator[Finding]:
    """Secrets that a vendor has handed over and that its source's secret does not hold yet."""
    memory, config = VendorMemory(target.ledger()), ConfigStore(target.ledger()).current()
    waiting = [
        source
        for source, configured in config.sources.items()
        if configured.vendor in vendors.NAMES and (offered := memory.offered(source))
        if not set(offered) & set(secret_store.accepted(target, vendors.load(configured.vendor), source))
    ]
    for source in waiting:
        todo = f"relayctl handshake {source}, then relayctl secrets put {source}"
        detail = f"{source}'s vendor has handed over a secret"
        yield Finding(check="handshakes", ok=False, detail=detail, next=todo)
    if not waiting:
        yield Finding(check="handshakes", ok=True, detail="none waiting")


def _tokens(target: Target) -> Iterator[Finding]:
    """The refresh tokens of sources whose vendor changes them with each use."""
    config = ConfigStore(target.ledger()).current()
    rotating = {
        source: problem
        for source, configured in config.sources.items()
        if configured.vendor in vendors.NAMES
        if (problem := token_checks.problem(target, source, vendors.load(configured.vendor))) is not None
    }
    for source, problem in rotating.items():
        todo = (
            f"relayctl secrets put {source}, with a new api.refreshToken of the vendor's" if problem else ""
        )
        yield Finding(
            check=f"tokens {source}", ok=not problem, detail=problem or "renewed in time", next=todo
        )
    if not rotating:
        yield Finding(check="tokens", ok=True, detail="no source has tokens that are renewed")


CHECKS: tuple[tuple[str, Callable[[Target], Iterator[Finding]]], ...] = (
    ("target", _target),
    ("configuration", _configuration),
    ("secrets", secret_store.check),
    ("calven", calven.check),
    ("unprocessed", _waiting),
    ("dead letters", _dead),
    ("front door", _front_door),
    ("handshakes", _handshakes),
    ("tokens", _tokens),
    ("reconciliation", reconcile_checks.check),
)
