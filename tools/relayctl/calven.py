"""`relayctl calven`: whether Calven takes the relay's API key."""

import time
from collections.abc import Iterator

import click

from relay.aws.secrets import Secrets
from relay.calven import Calven
from relay.calven_errors import Misconfigured, Transient
from relay.deadline import Deadline
from relayctl.checks import Finding, report
from relayctl.in_process import http_of
from relayctl.network import UnusableProxy
from relayctl.options import Common, common_options, pass_common
from relayctl.output import working
from relayctl.target import Target

SECONDS = 15.0
RETRY = "see that Calven is up and that the network lets you reach it; events wait meanwhile"
MEND_PROXY = "mend http_proxy, https_proxy or all_proxy, or name the host in no_proxy"
NEXT = {
    400: "compare the key and the secret's `auth`, with Calven's console: relayctl secrets put calven",
    401: "compare key, secret and region with Calven's console, and the clock: relayctl secrets put calven",
    403: "give the API key its role for occupancy and time off in Calven's console",
    404: "mend the base URL: the stack's parameter CalvenBaseUrl, or CALVEN_BASE_URL of `make run`",
}


@click.group()
@common_options
def calven() -> None:
    """Calven's API, as the relay uses it."""


@calven.command("check")
@common_options
@pass_common
def check_calven(common: Common) -> None:
    """Ask Calven for a token with the `calven` secret. Exit code 1 if it gives none."""
    target = common.target()
    with working("asking Calven"):
        findings = list(check(target))
    report(findings, common.as_json)


def check(target: Target) -> Iterator[Finding]:
    """Whether Calven gives a token, from here and with the relay's own key."""
    url = target.calven_url or target.sandbox_url
    if url is None:
        todo = "deploy this version's template"
        yield _problem("the stack has no parameter CalvenBaseUrl", todo)
        return
    http = http_of(target, SECONDS)
    try:
        secrets = Secrets(target.client("secretsmanager"), target.stack)
        Calven(url, secrets, http).authenticate(Deadline(time.time() + SECONDS))
        yield Finding(check="calven", ok=True, detail=f"{url} gives a token")
    except UnusableProxy as error:
        yield _problem(error.message, MEND_PROXY)
    except Misconfigured as error:
        default = "relayctl secrets put calven" if error.status is None else NEXT[401]
        yield _problem(f"{url}: {error}", NEXT.get(error.status or 0, default))
    except Transient as error:
        yield _problem(f"{url}: {error}", RETRY)
    finally:
        http.close()


def _problem(detail: str, todo: str) -> Finding:
    return Finding(check="calven", ok=False, detail=detail, next=todo)
