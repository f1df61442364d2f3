"""What `relayctl secrets check` finds."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from localrun.template import STACK
from relay import vendors
from relay.config.file import RelayYaml
from relay.config.model import Source
from relay.config.versions import push
from relayctl import secret_store
from relayctl.main import main
from tests.rig import Rig
from tests.secret_commands import VALUE, Command, delete
from tests.stack import deploy


@pytest.fixture
def command(rig: Rig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Command:
    """`relayctl secrets` on the rig's stack, with answers to its prompts."""
    monkeypatch.chdir(tmp_path)
    deploy(rig)

    def run(*arguments: str, answers: Sequence[str] = ()) -> Result:
        given = "".join(f"{answer}\n" for answer in answers)
        return CliRunner().invoke(main, ("--stack", STACK, "secrets", *arguments), input=given)

    return run


def test_check(rig: Rig, command: Command) -> None:
    """Every secret is checked, and none shown: exit code 0 while all are right."""
    result = command("check", "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert all(one["ok"] for one in found)
    names = {one["check"] for one in found}
    assert {
        "secret calven",
        "secret hris/hibob",
        "secret access-control/generic",
        "secret hris/generic",
    } <= names
    # Two keys for Calven, and two routes of the generic source.
    assert len(found) == len(rig.config.sources) + 3
    assert [one["check"] for one in json.loads(command("check", "deel", "--json").stdout)] == [
        "secret hris/deel"
    ]
    values = [value for secret in rig.secrets.values() for value in secret.get("signingSecrets", ())]
    assert not any(value in result.output for value in values)


def test_check_finds(rig: Rig, command: Command) -> None:
    """What is missing or wrong is named with what to do: exit code 1."""
    delete(rig, "hris/deel")
    delete(rig, "access-control/generic")
    rig.aws.secrets.delete_secret(SecretId=f"{STACK}/hris/gusto")
    for name, text in (
        ("hris/hibob", '{"signingSecrets": ["long-enough"], "api": {"serviceUserId": "x"}}'),
        ("access-control/brivo", VALUE),
        ("calven", f'{{"apiKey": "{VALUE}"}}'),
    ):
        rig.aws.secrets.put_secret_value(SecretId=f"{STACK}/{name}", SecretString=text)
    result = command("check", "--json")
    assert result.exit_code == 1
    wrong = {one["check"]: (one["detail"], one["next"]) for one in json.loads(result.stdout) if not one["ok"]}
    assert wrong == {
        "secret calven": ("wrong or missing: apiSecret", "relayctl secrets put calven"),
        "secret hris/deel": ("there is none", "relayctl secrets put deel"),
        "secret hris/gusto": ("it cannot be read: InvalidRequestException", "relayctl secrets put gusto"),
        "secret hris/hibob": ("missing or empty: api.serviceUserToken", "relayctl secrets put hibob"),
        "secret access-control/brivo": ("it is no JSON object", "relayctl secrets put brivo"),
    }
    assert VALUE not in result.output
    delete(rig, "hris/generic")
    lines = command("check").stdout.splitlines()
    assert "problem  secret access-control/generic: there is none" in lines
    assert "         relayctl secrets put deel" in lines
    assert "ok       secret access-control/kisi-sydney" in lines


def test_check_unknown(rig: Rig, command: Command) -> None:
    """A name that is no source's is exit code 1; so is a vendor that this version does not know."""
    result = command("check", "nobody")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "no source 'nobody' is configured" in result.stderr
    relay = RelayYaml(sources={"odd": Source(vendor="acme")})
    push(rig.aws.dynamodb, rig.resources.table, relay)
    assert "problem  secret odd: unknown vendor 'acme'" in command("check", "odd").stdout
    assert "unknown vendor 'acme'" in command("put", "odd").stderr


@pytest.mark.parametrize(
    "base_url",
    [
        "https://u:p@example.com",
        "https://example.com/v1",
        "https://example.com?x=1",
        "ftp://example.com",
        "//x",
        "https://example.com:99999",
        "https://example.com:0",
        "https://example.com:port",
        "https://:443",
    ],
)
def test_base_url_is_scheme_host_and_port(base_url: str) -> None:
    """A base URL with more than scheme, host and port is refused: credentials go wherever it says."""
    vendor = vendors.load("gusto")
    content = {"signingSecrets": ["long-enough"], "api": {"accessToken": "a", "baseUrl": base_url}}
    with pytest.raises(secret_store.BadSecret, match=r"api\.baseUrl"):
        secret_store.checked_source(vendor, content)
    content["api"] = {"accessToken": "a", "baseUrl": "https://example.com:8443/"}
    assert secret_store.checked_source(vendor, content) == content


def test_secret_that_is_no_text() -> None:
    """Bytes that are no UTF-8, as a terminal may pass them on, are refused and not stored."""
    with pytest.raises(secret_store.BadSecret, match="UTF-8"):
        secret_store.checked_source(vendors.load("kisi"), {"signingSecrets": ["long-enough\udcff"]})
