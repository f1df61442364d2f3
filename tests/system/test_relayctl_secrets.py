"""`relayctl secrets`: what is asked for, what is refused, and that no value is ever shown."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from localrun.template import STACK
from relay import vendors
from relay.aws.secrets import SourceSecret
from relay.config.file import RelayYaml
from relay.config.model import Source
from relay.config.versions import push
from relay.vendors.support.base import Api
from relay.vendors.support.fixed_tokens import Basic
from relay.vendors.support.proof import Credentials
from relay.vendors.support.signatures import StandardWebhooks
from relayctl import secret_store
from relayctl.main import main
from tests.rig import Rig
from tests.secret_commands import VALUE, Command, delete
from tests.stack import deploy

WITH_API = [name for name in vendors.NAMES if vendors.load(name).api]

WHSEC = "whsec_ZXhhbXBsZS12YWx1ZS1vZi1hLXNlY3JldA=="
"""What Standard Webhooks sign with is base64."""
PROOFS: dict[type, str] = {StandardWebhooks: WHSEC, Basic: f"user:{VALUE}"}
"""What a value has to look like, where that is not left to whoever chooses it."""
SIGNING = '"signingSecrets": ["long-enough"]'


@pytest.fixture
def command(rig: Rig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Command:
    """`relayctl secrets` on the rig's stack, with answers to its prompts."""
    monkeypatch.chdir(tmp_path)
    deploy(rig)

    def run(*arguments: str, answers: Sequence[str] = ()) -> Result:
        given = "".join(f"{answer}\n" for answer in answers)
        return CliRunner().invoke(main, ("--stack", STACK, "secrets", *arguments), input=given)

    return run


def stored(rig: Rig, name: str) -> Any:
    """The value of a secret."""
    return json.loads(rig.aws.secrets.get_secret_value(SecretId=f"{STACK}/{name}")["SecretString"])


class Asked(Mapping[str, str]):
    """An `api` that has everything, and knows what it was asked for."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def __getitem__(self, name: str) -> str:
        self.names.add(name)
        return "example"

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


@pytest.mark.parametrize("name", WITH_API)
def test_fields_of_an_api(rig: Rig, name: str) -> None:
    """A vendor's module asks its `api` for no field that it does not declare, and the demo has all."""
    api = vendors.load(name).api
    assert isinstance(api, Api)
    asked = Asked()
    api.headers(asked)
    if api.oauth:
        api.oauth.form(asked)
    assert asked.names <= {*api.fields, *api.optional, *api.instead}
    demo = rig.secrets[rig.source(name)]["api"]
    assert set(api.fields) <= demo.keys() <= {*api.fields, *api.optional, "baseUrl"}
    assert all(api.headers(dict.fromkeys(api.instead, "x")) for _ in api.instead)
    page = (Path(__file__).parents[2] / "docs" / "reference" / "vendors" / f"{name}.md").read_text("utf-8")
    assert all(field in page for field in (*api.fields, *api.optional))


@pytest.mark.parametrize("name", [name for name in vendors.NAMES if name != "generic"])
def test_every_vendor(rig: Rig, command: Command, name: str) -> None:
    """What a vendor's webhooks and API need is asked for, and is what the relay reads."""
    vendor, source = vendors.load(name), rig.source(name)
    delete(rig, f"{vendor.family}/{source}")
    fields = vendor.api.fields if vendor.api else ()
    optional = (*vendor.api.optional, "baseUrl") if vendor.api else ()
    proof = PROOFS.get(type(vendor.scheme), VALUE)
    proofs = [proof] if vendor.sends_webhooks else []
    answers = [*proofs, *(f"{VALUE}-{field}" for field in fields), *("" for _ in optional)]
    result = command("put", source, answers=answers)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith(f"{STACK}/{vendor.family}/{source} is stored")
    assert VALUE not in result.output
    assert WHSEC not in result.output
    api = {"api": {field: f"{VALUE}-{field}" for field in fields}} if fields else {}
    lists: dict[Credentials, list[str]] = {}
    if vendor.sends_webhooks:
        lists[vendor.scheme.credentials] = proofs
    kept = stored(rig, f"{vendor.family}/{source}")
    assert kept == dict(lists) | api
    assert SourceSecret.model_validate(kept).lists == lists


def test_no_webhooks(rig: Rig, command: Command, tmp_path: Path) -> None:
    """A vendor that sends no webhooks has nothing to sign with, and part of its API's host in the secret."""
    for option in ("--add", "--generate", "--token"):
        result = command("put", "bamboohr", option)
        assert (result.exit_code, "sends no webhooks" in result.stderr) == (2, True)
    file = tmp_path / "secret.json"
    file.write_text(json.dumps({"signingSecrets": [VALUE], "api": {"company": "acme", "apiKey": VALUE}}))
    result = command("put", "bamboohr", "--from-file", str(file))
    assert (result.exit_code, "unknown: 'signingSecrets'" in result.stderr) == (1, True)
    result = command("put", "bamboohr", answers=["acme.bamboohr.com", VALUE, ""])
    assert (result.exit_code, "without dots" in result.stderr) == (1, True)


@pytest.mark.parametrize("name", [name for name in WITH_API if not vendors.load(name).needs_api])
def test_webhooks_alone(rig: Rig, command: Command, name: str) -> None:
    """A vendor whose API only lists works without: nothing is asked for that must be answered."""
    vendor, source = vendors.load(name), rig.source(name)
    assert vendor.api is not None
    delete(rig, f"{vendor.family}/{source}")
    fields = (*vendor.api.fields, *vendor.api.optional, "baseUrl")
    result = command("put", source, answers=[VALUE, *("" for _ in fields)])
    assert result.exit_code == 0, result.output
    assert stored(rig, f"{vendor.family}/{source}") == {vendor.scheme.credentials: [VALUE]}
    assert command("check", source).exit_code == 0


def test_rotation(rig: Rig, command: Command) -> None:
    """`--add` puts the new value first, and keeps the old ones and the rest."""
    before = stored(rig, "hris/hibob")
    result = command("put", "hibob", "--add", answers=[VALUE])
    assert result.exit_code == 0, result.output
    assert stored(rig, "hris/hibob") == {**before, "signingSecrets": [VALUE, *before["signingSecrets"]]}
    command("put", "hibob", "--add", answers=[VALUE])
    assert len(stored(rig, "hris/hibob")["signingSecrets"]) == 2


def test_api_is_kept(rig: Rig, command: Command) -> None:
    """An empty answer keeps a field of the API that is there, and another one changes it."""
    before = stored(rig, "hris/hibob")
    result = command("put", "hibob", answers=[VALUE, "", "new-token", ""])
    assert result.exit_code == 0, result.output
    assert before["api"]["serviceUserId"] not in result.output
    api = {**before["api"], "serviceUserToken": "new-token"}
    assert stored(rig, "hris/hibob") == {"signingSecrets": [VALUE], "api": api}


def test_nothing_to_add_to(rig: Rig, command: Command) -> None:
    """`--add` without a secret that is there, or to one of the wrong shape, is exit code 1."""
    delete(rig, "hris/deel")
    result = command("put", "deel", "--add", answers=[VALUE])
    assert (result.exit_code, result.stdout) == (1, "")
    assert "there is none to add to" in result.stderr
    text = json.dumps({"signingSecrets": VALUE})
    rig.aws.secrets.create_secret(Name=f"{STACK}/hris/deel", SecretString=text)
    result = command("put", "deel", "--add", answers=["another"])
    assert (result.exit_code, VALUE in result.output) == (1, False)
    assert "wrong or missing: signingSecrets" in result.stderr


def test_from_file(rig: Rig, command: Command, tmp_path: Path) -> None:
    """A secret's JSON comes from a file or from standard input, and is checked all the same."""
    content = {"signingSecrets": [VALUE]}
    (tmp_path / "kisi.json").write_text(json.dumps(content))
    assert command("put", "kisi-sydney", "--from-file", "kisi.json").exit_code == 0
    assert stored(rig, "access-control/kisi-sydney") == content
    result = command("put", "deel", "--from-file", "-", "--json", answers=[json.dumps(content)])
    assert json.loads(result.stdout) == {"secrets": [f"{STACK}/hris/deel"]}
    assert stored(rig, "hris/deel") == content


@pytest.mark.parametrize(
    ("source", "content", "said"),
    [
        ("deel", f'{{"signingSecrets": "{VALUE}"}}', "wrong or missing: signingSecrets"),
        ("deel", f'{{"tokens": ["{VALUE}"]}}', "unknown: 'tokens' (there may be: signingSecrets, api)"),
        ("genea", f'{{"api": {{"x": "{VALUE}"}}}}', "unknown: 'api' (there may be: "),
        ("deel", f'{{{SIGNING}, "api": {{"token": "{VALUE}"}}}}', "unknown: api.token"),
        ("deel", '{"signingSecrets": []}', "signingSecrets is missing or empty"),
        ("deel", f'{{"signingSecrets": ["{VALUE}", ""]}}', "signingSecrets is missing or empty"),
        ("brivo", f'{{"signingSecrets": ["{VALUE}"]}}', "'signingSecrets' (there may be: tokens, api)"),
        ("brivo", "{}", "tokens is missing or empty"),
        ("envoy", "{}", "signingSecrets or tokens is missing or empty"),
        ("envoy", '{"signingSecrets": ["long-enough"], "tokens": ["short"]}', "tokens has a value of fewer"),
        ("unifi", f'{{"signingSecrets": ["{VALUE}"], "api": {{}}}}', "unknown: 'api'"),
        ("kisi-sydney", f'{{{SIGNING}, "api": {{"apiKey": "{VALUE}"}}}}', "missing or empty: api.placeId"),
        ("generic", '{"signingSecrets": ["whsec_c2hvcnQ="]}', "of 16 bytes or more"),
        ("calven", f'{{"apiKey": "k", "apiSecret": "{VALUE}", "secret": "x"}}', "unknown: 'secret'"),
        ("deel", f'"{VALUE}"', "no JSON object"),
        ("deel", f"{VALUE}{{", "no JSON object"),
        ("hibob", f'{{"signingSecrets": ["{VALUE}"]}}', "empty: api.serviceUserId, api.serviceUserToken"),
        ("gusto", f'{{{SIGNING}, "api": {{"accessToken": "{VALUE}", "x": ""}}}}', ": api.x"),
        ("gusto", f'{{{SIGNING}, "api": {{"accessToken": ["{VALUE}"]}}}}', ": api.accessToken"),
        (
            "gusto",
            f'{{"signingSecrets": ["long-one"], "api": {{"accessToken": "t", "baseUrl": "{VALUE}"}}}}',
            "api.baseUrl is no URL",
        ),
        (
            "gusto",
            f'{{"signingSecrets": ["long-one"], "api": {{"accessToken": "t", "baseUrl": "http://[{VALUE}"}}}}',
            "api.baseUrl is no URL",
        ),
        ("generic", f'{{"signingSecrets": ["{VALUE}"]}}', "base64 after whsec_"),
        ("generic", f'{{"signingSecrets": ["whsec_{VALUE}!"]}}', "base64 after whsec_"),
        ("generic", '{"signingSecrets": ["whsec_"]}', "base64 after whsec_"),
        ("calven", f'{{"apiKey": "{VALUE}"}}', "wrong or missing: apiSecret"),
        ("calven", f'{{"apiKey": "k", "apiSecret": "s", "region": "{VALUE}"}}', "wrong or missing: region"),
        ("milesight", f'{{"tokens": ["u:p-long-enough", "{VALUE}"]}}', "is <user name>:<password>"),
        ("nobody", "{}", "no source 'nobody' is configured"),
    ],
)  # fmt: skip
def test_refused(command: Command, source: str, content: str, said: str) -> None:
    """What the relay could not use is not stored: one line says which field, and no value."""
    result = command("put", source, "--from-file", "-", answers=[content])
    assert (result.exit_code, result.stdout) == (1, "")
    assert said in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert VALUE not in result.output


def test_unreadable_files(command: Command, tmp_path: Path) -> None:
    """A file that is not there, or no text, is said so."""
    (tmp_path / "odd").write_bytes(b"\xff")
    assert "Error: missing.json: No such file" in command("put", "deel", "--from-file", "missing.json").stderr
    assert "not UTF-8" in command("put", "deel", "--from-file", "odd").stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("put",),
        ("put", "deel", "--generate", "--from-file", "x"),
        ("put", "calven", "--add"),
        ("put", "calven", "--generate"),
        ("put", "deel", "--family", "access-control"),
        ("put", "deel", "--family", "other"),
    ],
)
def test_usage(command: Command, arguments: Sequence[str]) -> None:
    """Wrong usage is exit code 2."""
    assert command(*arguments).exit_code == 2


def test_both_families(rig: Rig, command: Command) -> None:
    """The open door's secret is stored for both routes, or for the one that is named."""
    secret = "whsec_ZXhhbXBsZSBvZiBhIHNlY3JldA=="
    result = command("put", "generic", "--json", answers=[secret])
    names = [f"{STACK}/access-control/generic", f"{STACK}/hris/generic"]
    assert json.loads(result.stdout) == {"secrets": names}
    assert stored(rig, "access-control/generic") == stored(rig, "hris/generic")
    made = json.loads(command("put", "generic", "--family", "hris", "--generate", "--json").stdout)
    assert made["secrets"] == names[1:]
    assert stored(rig, "hris/generic")["signingSecrets"] == [made["generated"]]
    assert stored(rig, "access-control/generic")["signingSecrets"] == [secret]
    added = json.loads(command("put", "generic", "--add", "--generate", "--json").stdout)["generated"]
    assert stored(rig, "hris/generic")["signingSecrets"] == [added, made["generated"]]
    assert stored(rig, "access-control/generic")["signingSecrets"] == [added, secret]


def test_two_lists(rig: Rig, command: Command) -> None:
    """Of a vendor with two proofs one list is put and the other kept; a token is put by name."""
    before = stored(rig, "access-control/envoy")
    made_at = command("put", "envoy", "--token", "--generate", "--json", answers=["", ""])
    made = json.loads(made_at.stdout)["generated"]
    assert stored(rig, "access-control/envoy") == {**before, "tokens": [made]}
    command("put", "envoy", answers=["another-signing-secret", "", ""])
    after = {"signingSecrets": ["another-signing-secret"], "tokens": [made]}
    assert stored(rig, "access-control/envoy") == {**before, **after}
    command("put", "envoy", "--token", "--add", answers=["one-more-token"])
    assert stored(rig, "access-control/envoy")["tokens"] == ["one-more-token", made]
    command("put", "envoy", "--from-file", "-", answers=[json.dumps({"tokens": [" only-this-token\n"]})])
    assert stored(rig, "access-control/envoy") == {"tokens": ["only-this-token"]}
    refused = command("put", "kisi-sydney", "--token")
    assert refused.exit_code == 2
    assert "has one way to prove itself" in refused.stderr


def test_each_family_keeps_its_own_list(rig: Rig, command: Command) -> None:
    """A list that is put for both routes leaves each route's other list as it was."""
    for family in ("access-control", "hris"):
        tokens = json.dumps({"tokens": [f"a-token-of-{family}"]})
        command("put", "generic", "--family", family, "--from-file", "-", answers=[tokens])
    command("put", "generic", "--generate")
    for family in ("access-control", "hris"):
        found = stored(rig, f"{family}/generic")
        assert found["tokens"] == [f"a-token-of-{family}"]
        assert len(found["signingSecrets"]) == 1


def test_one_value_in_both_lists(command: Command) -> None:
    """A token that were a signing secret too would go on signing after tokens are given up."""
    both = {"signingSecrets": ["one-value-twice"], "tokens": ["one-value-twice"]}
    result = command("put", "envoy", "--from-file", "-", answers=[json.dumps(both)])
    assert (result.exit_code, "in both lists" in result.stderr) == (1, True)


def test_values_are_stripped(rig: Rig, command: Command) -> None:
    """A blank or a line end around a value is not part of it, wherever it stands."""
    content = {"signingSecrets": [f" {VALUE}\n"], "api": {"serviceUserId": "u\n", "serviceUserToken": "\tt"}}
    command("put", "hibob", "--from-file", "-", answers=[json.dumps(content)])
    assert stored(rig, "hris/hibob") == {
        "signingSecrets": [VALUE],
        "api": {"serviceUserId": "u", "serviceUserToken": "t"},
    }


def test_generated(rig: Rig, command: Command) -> None:
    """A random value is made for the vendor's scheme, stored, and printed once."""
    shown = command("put", "brivo", "--generate", answers=[""] * 6).stdout
    [token] = stored(rig, "access-control/brivo")["tokens"]
    assert shown.count(token) == 1
    assert len(token) > 40
    generic = vendors.load("generic")
    made = secret_store.generated(generic.scheme)
    assert made.startswith("whsec_")
    secret_store.checked_source(generic, {"signingSecrets": [made]})
    assert made != secret_store.generated(generic.scheme)


def test_basic_authentication(rig: Rig, command: Command) -> None:
    """Where a user name and a password are the only proof, both are asked for, and made."""
    result = command("put", "milesight", answers=[f"user:{VALUE}"])
    assert result.stderr.startswith("Milesight people counters: <user name>:<password>")
    made = json.loads(command("put", "milesight", "--generate", "--json").stdout)["generated"]
    assert stored(rig, "access-control/milesight")["tokens"] == [made]
    user, colon, password = made.partition(":")
    assert (user, colon, len(password) > 40) == ("calven", ":", True)
    # Others may send it so, or as it is.
    assert command("put", "paylocity", answers=[VALUE]).exit_code == 0


def test_generated_by_a_script(rig: Rig, command: Command) -> None:
    """Without a terminal, what is optional need not be answered: the API's credentials stay as they are."""
    before = stored(rig, "access-control/kisi-sydney")
    for name in ("brivo", "kisi-sydney"):
        result = command("put", name, "--generate", "--json")
        assert result.exit_code == 0, result.output
    after = stored(rig, "access-control/kisi-sydney")
    assert after["api"] == before["api"]
    assert after["signingSecrets"] != before["signingSecrets"]


def test_calven(rig: Rig, command: Command) -> None:
    """Calven's key, its secret, region and kind of authentication are asked for; two have defaults."""
    result = command("put", "calven", answers=["key", VALUE, "", "client_credentials"])
    assert result.exit_code == 0, result.output
    assert VALUE not in result.output
    expected = {"apiKey": "key", "apiSecret": VALUE, "region": "usce1", "auth": "client_credentials"}
    assert stored(rig, "calven") == expected


def test_source_called_calven(rig: Rig, command: Command) -> None:
    """A source of the name `calven` is meant where a family is named."""
    relay = RelayYaml(sources={"calven": Source(vendor="deel")})
    push(rig.aws.dynamodb, rig.resources.table, relay)
    assert command("put", "calven", "--family", "hris", answers=[VALUE, "", ""]).exit_code == 0
    assert stored(rig, "hris/calven") == {"signingSecrets": [VALUE]}


@pytest.mark.parametrize("api", [{}, {"api": {}}, {"api": {"apiToken": VALUE}}])
def test_api_for_listing_alone(rig: Rig, command: Command, api: Any) -> None:
    """A vendor whose API only lists works without its credentials: they may be there or not."""
    content = {"signingSecrets": [VALUE], **api}
    result = command("put", "deel", "--from-file", "-", answers=[json.dumps(content)])
    assert result.exit_code == 0, result.output
    assert stored(rig, "hris/deel") == content
    assert command("check", "deel").exit_code == 0
