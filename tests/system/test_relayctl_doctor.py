"""What operators look at: Calven's answer, the ledger, and `doctor`, which checks everything in order."""

import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from click.testing import CliRunner, Result
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from localrun.serve import Served
from localrun.template import STACK
from localrun.vendor_api import SPENT
from relay.config.file import RelayYaml
from relay.config.model import Source
from relay.config.versions import push
from relay.entrypoints import webhook
from relay.occupancy.days import operating_day
from relay.occupancy.reported import note_key
from relay.vendors.support.proof import Signature
from relayctl import samples, target
from relayctl.doctor import CHECKS
from relayctl.main import main
from tests.rig import Rig
from tests.stack import deploy

Command = Callable[..., Result]


def command(*arguments: str) -> Result:
    """`relayctl` on the rig's stack."""
    return CliRunner().invoke(main, ("--stack", STACK, *arguments))


def listed(*arguments: str) -> Any:
    """The JSON that a command prints."""
    return json.loads(command(*arguments, "--json").stdout)


@pytest.fixture
def front_door(rig: Rig) -> Iterator[None]:
    """The rig's stack, behind an API that is served."""

    async def answer(request: Request) -> JSONResponse:
        event = rig.request(await request.body(), request.path_params["source"], {})
        found = webhook.handle(rig.relay, request.path_params["family"], event)
        return JSONResponse(json.loads(found["body"]), found["statusCode"])

    with Served(Starlette(routes=[Route("/webhooks/{family}/{source}", answer, methods=["POST"])])) as url:
        deploy(rig, api_url=url)
        yield


def test_stack_tells_its_calven(rig: Rig) -> None:
    """The Calven that a stack tells is the one of its parameter."""
    deploy(rig)
    assert target.deployed(STACK).calven_url == str(rig.sandbox.base_url)


def test_calven(rig: Rig) -> None:
    """A key that Calven takes is exit code 0."""
    deploy(rig)
    now(rig)
    result = command("calven", "check")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("ok       calven: http://127.0.0.1:")
    assert result.stdout.endswith(" gives a token\n")
    assert [request["path"] for request in rig.requests()] == ["/v1/auth"]


@pytest.mark.parametrize(
    ("mode", "said", "todo"),
    [
        ("401", "/v1/auth answered 401", "compare key, secret and region"),
        ("400", "/v1/auth answered 400", "compare the key"),
        ("403", "/v1/auth 403", "give the API key its role"),
        ("503", "/v1/auth 503", "see that Calven is up"),
        ("reset", "no answer from Calven", "see that Calven is up"),
        ("garbage", "/v1/auth answered no token", "see that Calven is up"),
    ],
)
def test_calven_refuses(rig: Rig, mode: str, said: str, todo: str) -> None:
    """What Calven answers instead of a token is named with what to do: exit code 1."""
    deploy(rig)
    rig.fail(mode)
    result = command("calven", "check", "--json")
    assert result.exit_code == 1
    [found] = json.loads(result.stdout)
    assert found["ok"] is False
    assert said in found["detail"]
    assert found["next"].startswith(todo)
    assert rig.secrets["calven"]["apiSecret"] not in result.output


def test_calven_without_secret(rig: Rig) -> None:
    """Without a secret of the right shape nobody is asked."""
    deploy(rig)
    rig.aws.secrets.put_secret_value(SecretId=f"{STACK}/calven", SecretString="{}")
    assert listed("calven", "check")[0]["next"] == "relayctl secrets put calven"
    assert rig.requests() == []


def test_calven_of_an_older_stack(rig: Rig) -> None:
    """A stack that does not say which Calven it tells cannot be checked."""
    deploy(rig, calven=False)
    assert listed("calven", "check")[0]["detail"] == "the stack has no parameter CalvenBaseUrl"


def now(rig: Rig) -> None:
    """Have the relay's clock say what the command's does."""
    rig.clock.now = time.time()


def post(rig: Rig, vendor: str, name: str) -> None:
    """A sample as an event of this moment."""
    record = samples.vendor_named(vendor)
    body = samples.renewed(record, samples.body(vendor, name), datetime.fromtimestamp(rig.clock.now, UTC))
    signature: Signature = rig.signature(vendor, body)
    status, _ = rig.post(vendor, body, headers=signature.headers, query=signature.query)
    assert status in (200, 202)


def test_occupancy(rig: Rig) -> None:
    """Today's counts are shown with what Calven has been told of them."""
    deploy(rig)
    assert listed("occupancy") == {"counts": [], "readings": []}
    assert command("occupancy").stdout == "counted at doors: nothing\nread by sensors: nothing\n"
    now(rig)
    post(rig, "kisi", "badge-in")
    post(rig, "vergesense", "space-report")
    found = listed("occupancy")
    counts = {count["place"]: count for count in found["counts"]}
    assert counts.keys() == {"sydney", "sydney-l3"}
    level = counts["sydney-l3"]
    assert (level["site"], level["people"], level["told"], level["source"]) == (
        "sydney",
        1,
        True,
        "kisi-sydney",
    )
    assert level["at"].startswith(f"{datetime.fromtimestamp(rig.clock.now, UTC):%Y-%m-%dT%H:%M}")
    [reading] = found["readings"]
    assert (reading["place"], reading["told"], reading["source"]) == ("boardroom", True, "vergesense")
    rig.fail("503")
    rig.clock.advance(1)
    post(rig, "kisi", "badge-out")
    level = {count["place"]: count for count in listed("occupancy")["counts"]}["sydney-l3"]
    assert (level["people"], level["version"]) == (0, 2)
    shown = command("occupancy").stdout
    assert "counted at doors" in shown
    assert "boardroom" in shown


def test_untold(rig: Rig) -> None:
    """A count that Calven has not been told is marked so, and so is one that only says occupied."""
    deploy(rig)
    now(rig)
    post(rig, "kisi", "badge-in")
    post(rig, "vergesense", "space-available")
    places = rig.config.places
    site, level = places["sydney"].location_id, places["sydney-l3"].location_id
    pk, sk = note_key(operating_day(rig.config.config(), site, int(time.time() * 1000)).key)
    rig.aws.dynamodb.update_item(
        TableName=rig.resources.table,
        Key={"pk": {"S": pk}, "sk": {"S": sk}},
        UpdateExpression="REMOVE #level",
        ExpressionAttributeNames={"#level": f"place#{level}"},
    )
    assert [count["told"] for count in listed("occupancy")["counts"]] == [True, False]
    lines = [line.split() for line in command("occupancy").stdout.splitlines()]
    assert any(line[:2] == ["sydney", "sydney-l3"] and "not" in line for line in lines)
    assert any(line[:2] == ["sydney", "boardroom"] and line[2] in ("none", "some") for line in lines)


def test_leave(rig: Rig) -> None:
    """An employee's leaves and days are shown, found by the address in any case."""
    deploy(rig)
    rig.post("deel", "approved")
    found = listed("leave", "show", "SAM@example.com")
    [one] = found["leaves"]
    assert one["leave"].startswith("deel/")
    assert one["state"] == "approved"
    assert [(run["type"], run["confirmed"]) for run in found["held"]] == [(one["type"], True)]
    assert (found["held"][0]["start"], found["held"][0]["end"]) == (one["start"], one["end"])
    assert found["lease"] is None
    shown = command("leave", "show", "sam@example.com").stdout
    assert shown.splitlines()[0].lower() == "sam@example.com"
    assert "confirmed" in shown
    rig.post("deel", "deleted")
    shown = command("leave", "show", "sam@example.com").stdout
    assert shown.splitlines()[1:] == ["no approved leave", "no days away at Calven"]


def test_leave_unconfirmed(rig: Rig) -> None:
    """Days that Calven may or may not hold are unconfirmed, and a lease that goes on is shown."""
    deploy(rig)
    now(rig)
    post(rig, "hibob", "approved")
    rig.fail("reset")
    rig.post("deel", "approved")
    found = listed("leave", "show", "sam@example.com")
    assert [run["confirmed"] for run in found["held"]] == [False]
    assert found["lease"]["active"] is True
    shown = command("leave", "show", "sam@example.com").stdout
    assert "unconfirmed" in shown
    assert "a submission is under way: its lease ends at " in shown


def test_leave_of_nobody(rig: Rig) -> None:
    """An address of which the ledger holds nothing is exit code 1."""
    deploy(rig)
    result = command("leave", "show", "nobody@example.com")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "Error: the ledger holds nothing of 'nobody@example.com'\n"
    assert command("leave", "show", "").exit_code == 2


@pytest.mark.usefixtures("front_door")
def test_healthy(rig: Rig) -> None:
    """A relay that works is exit code 0, each check in its order."""
    now(rig)
    result = command("doctor")
    assert result.exit_code == 0, result.output
    found = listed("doctor")
    assert all(one["ok"] for one in found)
    kinds = list(dict.fromkeys(one["check"].replace("secret ", "secrets ").split(" ")[0] for one in found))
    assert kinds == [name.split(" ")[0] for name, _ in CHECKS]
    assert len(result.stdout.splitlines()) == len(found)


@pytest.mark.usefixtures("front_door")
def test_problems(rig: Rig) -> None:
    """Each problem is found, whatever else is wrong, and says what to do: exit code 1."""
    rig.post("kisi", "unmapped-door")
    rig.post("deel", "deleted")
    rig.fail("403")
    rig.post("kisi", "badge-in")
    rig.aws.secrets.delete_secret(SecretId=f"{STACK}/hris/gusto", ForceDeleteWithoutRecovery=True)
    now(rig)
    rig.post("gusto", "handshake", headers={})
    result = command("doctor", "--json")
    assert result.exit_code == 1
    wrong = [(one["check"], one["detail"]) for one in json.loads(result.stdout) if not one["ok"]]
    assert ("secret hris/gusto", "there is none") in wrong
    assert ("dead letters", "1 unmapped_door") in wrong
    assert ("dead letters", "1 unknown_leave") in wrong
    assert ("handshakes", "gusto's vendor has handed over a secret") in wrong
    assert "calven" in dict(wrong)
    assert all(one["next"] for one in json.loads(result.stdout) if not one["ok"])
    assert {one["check"]: one["detail"] for one in json.loads(result.stdout)}["unprocessed"] == "1 waiting"


def token_findings() -> dict[str, str]:
    """What is said of the tokens of each source."""
    found = json.loads(command("doctor", "--json").stdout)
    return {one["check"]: one["detail"] for one in found if one["check"].startswith("tokens")}


@pytest.mark.usefixtures("front_door")
def test_tokens(rig: Rig) -> None:
    """Refresh tokens that are refused or lost, and an access token that nothing renews, are problems."""
    now(rig)
    fine = {"tokens doorflow": "renewed in time", "tokens gusto": "renewed in time"}
    assert token_findings() == fine
    rig.post("doorflow", "admitted")
    assert token_findings() == fine
    rig.aws.secrets.delete_secret(SecretId=f"{STACK}/tokens/doorflow", ForceDeleteWithoutRecovery=True)
    assert "lacks the newest tokens" in token_findings()["tokens doorflow"]
    spent = {**rig.secrets["doorflow"]["api"], "refreshToken": SPENT}
    put(rig, "access-control/doorflow", {**rig.secrets["doorflow"], "api": spent})
    rig.post("doorflow", "admitted", relay=rig.built())
    assert "has refused the refresh token for" in token_findings()["tokens doorflow"]
    put(rig, "hris/gusto", {**rig.secrets["gusto"], "api": {"accessToken": "an-access-token"}})
    assert "is not renewed" in token_findings()["tokens gusto"]


def reconciliation_findings() -> dict[str, dict[str, Any]]:
    """What is said of the reconciliation of each source."""
    found = json.loads(command("doctor", "--json").stdout)
    return {one["check"]: one for one in found if one["check"].startswith("reconciliation")}


@pytest.mark.usefixtures("front_door")
def test_reconciliations(rig: Rig) -> None:
    """A source that is reconciled is fine; a refused list, a long silence and a lost `api` are problems."""
    now(rig)
    found = reconciliation_findings()
    assert "reconciliation envoy" not in found
    assert all(one["ok"] for one in found.values())
    assert found["reconciliation deel"]["detail"].endswith("relayctl reconcile deel")
    rig.reconcile_by_hand("deel")
    rig.reconcile_by_hand("bamboohr")
    rig.happen("bamboohr", "approved")
    rig.reconcile_by_hand("bamboohr")
    rig.retry()
    assert reconciliation_findings()["reconciliation deel"]["detail"].endswith(
        "0 listed, 0 differed, 0 ended"
    )
    rig.vendors.delete("/_vendors/happened")
    rig.reconcile_by_hand("bamboohr")
    refused = reconciliation_findings()["reconciliation bamboohr"]
    assert (refused["ok"], refused["detail"][:8]) == (False, "refused:")
    assert "--accept-ends" in refused["next"]
    rig.clock.now = time.time() - 3 * 86_400
    rig.reconcile_by_hand("hibob")
    assert not reconciliation_findings()["reconciliation hibob"]["ok"]
    put(rig, "hris/deel", {"signingSecrets": ["demo-deel-secret-not-a-real-one"]})
    lost = reconciliation_findings()["reconciliation deel"]
    assert (lost["ok"], lost["detail"]) == (False, "its secret has no `api` any more")


@pytest.mark.usefixtures("front_door")
def test_no_reconciliation(rig: Rig) -> None:
    """Without a source that can be asked there is nothing to find."""
    push(rig.aws.dynamodb, rig.resources.table, RelayYaml(sources={"envoy": Source(vendor="envoy")}))
    assert found("reconciliation")["detail"] == "no source's vendor can be asked"


def put(rig: Rig, name: str, secret: Any) -> None:
    """Store a secret."""
    rig.aws.secrets.put_secret_value(SecretId=f"{STACK}/{name}", SecretString=json.dumps(secret))


def test_backlog(rig: Rig) -> None:
    """Events that have waited for long are a problem; CloudWatch knows for how long."""
    deploy(rig)
    rig.fail("503")
    rig.post("kisi", "badge-in")
    queue = rig.resources.unprocessed_queue_url.rsplit("/", 1)[-1]
    cloudwatch = boto3.client("cloudwatch")
    cloudwatch.put_metric_data(
        Namespace="AWS/SQS",
        MetricData=[
            {
                "MetricName": "ApproximateAgeOfOldestMessage",
                "Dimensions": [{"Name": "QueueName", "Value": queue}],
                "Timestamp": datetime.now(UTC),
                "Value": 7200.0,
            }
        ],
    )
    cloudwatch.close()
    found = {one["check"]: one for one in listed("doctor")}["unprocessed"]
    assert (found["ok"], found["detail"]) == (False, "1 waiting, the oldest for 120 min")


def test_configuration(rig: Rig) -> None:
    """A configuration that is not there, is empty or has a vendor that nobody knows is a problem."""
    deploy(rig)
    push(rig.aws.dynamodb, rig.resources.table, RelayYaml())
    assert found("configuration")["detail"] == "it has no sources"
    push(rig.aws.dynamodb, rig.resources.table, RelayYaml(sources={"a": Source(vendor="acme")}))
    assert found("configuration")["detail"] == "sources.a.vendor: unknown vendor 'acme'"
    key = {"pk": {"S": "config"}, "sk": {"S": "pointer"}}
    rig.aws.dynamodb.delete_item(TableName=rig.resources.table, Key=key)
    assert found("configuration")["detail"] == "no configuration was pushed yet"


def found(check: str) -> dict[str, Any]:
    """What `doctor` found in one check."""
    return next(one for one in listed("doctor") if one["check"] == check)


def test_aws_fails(rig: Rig) -> None:
    """Where AWS does not answer a check, the others are made all the same."""
    deploy(rig)
    now(rig)
    rig.aws.dynamodb.delete_table(TableName=rig.resources.table)
    result = command("doctor", "--json")
    assert result.exit_code == 1
    checks = {one["check"]: one for one in json.loads(result.stdout)}
    assert checks["target"]["detail"] == "ResourceNotFoundException"
    assert checks["configuration"]["ok"] is False
    assert checks["calven"]["ok"] is True
    assert checks["front door hris"]["detail"].startswith(
        "no answer from https://api.example.com/webhooks/hris/"
    )


def test_no_relay(rig: Rig) -> None:
    """A relay that cannot be reached is the first problem; no relay named is wrong usage."""
    result = CliRunner().invoke(main, ("doctor", "--stack", "nothing", "--json"))
    assert result.exit_code == 1
    [only] = json.loads(result.stdout)
    assert (only["check"], only["ok"]) == ("target", False)
    assert "cannot read the stack 'nothing'" in only["detail"]
    assert CliRunner().invoke(main, ("doctor",)).exit_code == 2
    assert rig.dead_letters() == []
