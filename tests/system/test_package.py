"""`build/package`, which all functions share: complete, compiled for its runtime, and nothing else."""

import ast
import json
import os
import re
import struct
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.util import cache_from_source
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.loaders import Loader

from build import package

pytestmark = pytest.mark.package

TAG = f"cpython-{package.RUNTIME.replace('.', '')}"
# Every release of a minor version has the same.
MAGIC = struct.pack("<H2s", {"3.13": 3571, "3.14": 3627}[package.RUNTIME], b"\r\n")
# Hash-based, and not checked against the source.
UNCHECKED_HASH = 0b01
AARCH64 = 183

DATA = package.PACKAGE / "botocore" / "data"
OWN = {"functions": package.ROOT / "functions", "relay": package.ROOT / "shared" / "relay"}


@pytest.fixture(scope="module", autouse=True)
def _built() -> None:
    """Build the package where none of these sources and this Python stands; `make check` has built it."""
    other_sources = any(contents(package.PACKAGE / name) != contents(folder) for name, folder in OWN.items())
    if other_sources or not list(package.PACKAGE.rglob(f"*.{TAG}-*.so")):
        package.build()


def contents(folder: Path) -> dict[Path, bytes]:
    """Return every source file below a folder."""
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*.py")}


@cache
def pinned() -> dict[str, str]:
    """Return the locked runtime dependencies, by name as it is written in a folder."""
    lock = (package.ROOT / "requirements.lock").read_text(encoding="utf-8")
    found = re.findall(r"^([\w.-]+)==(\S+)", lock, flags=re.MULTILINE)
    return {name.replace("-", "_"): version for name, version in found}


def handlers() -> list[Path]:
    """Return the handlers' files in the package."""
    return sorted((package.PACKAGE / "functions").glob("*/app.py"))


def sources() -> list[Path]:
    """Return every Python source file of the package."""
    return sorted(package.PACKAGE.rglob("*.py"))


def bytecode(source: Path) -> Path:
    """Return where the runtime's Python looks for a source file's bytecode."""
    return Path(cache_from_source(source)).with_name(f"{source.stem}.{TAG}.pyc")


def test_package_holds_the_sources_as_they_are() -> None:
    """Nothing of the project's own is left out, nor changed on the way."""
    for name, folder in OWN.items():
        assert contents(package.PACKAGE / name) == contents(folder)


def test_package_holds_the_pinned_dependencies_only() -> None:
    """What is not pinned for the runtime is not deployed: no pip, nothing for tests."""
    names = {path.stem for path in package.PACKAGE.iterdir()} - {"__pycache__"}
    imported = {"python_dateutil": "dateutil"}
    assert names == {imported.get(name, name) for name in pinned()} | set(OWN)


def test_package_holds_the_services_that_are_called() -> None:
    """Botocore describes hundreds: those that the functions call are there, and no other."""
    said = "".join(path.read_text("utf-8") for folder in OWN.values() for path in folder.rglob("*.py"))
    called = set(re.findall(r'client\("(\w+)"', said))
    assert called == package.SERVICES
    assert {path.name for path in DATA.iterdir() if path.is_dir()} == called
    assert not [path for path in (package.PACKAGE / "boto3" / "data").iterdir() if path.is_dir()]


def test_package_describes_services_as_botocore_does() -> None:
    """Nothing is missing but the texts: every operation, type and error is there, and no text is."""
    for service in package.SERVICES:
        versions = Loader().list_api_versions(service, "service-2")
        for version in versions:
            ours = json.loads((DATA / service / version / "service-2.json").read_text("utf-8"))
            assert shorn(Loader().load_data(f"{service}/{version}/service-2")) == ours
            assert shorn(ours) == ours
        assert {path.parent.name for path in (DATA / service).glob("*/service-2*")} == set(versions)


def shorn(described: Any) -> Any:
    """The same without each `documentation` that is a text."""
    match described:
        case list():
            return [shorn(each) for each in described]
        case dict():
            texts = {"documentation"} if isinstance(described.get("documentation"), str) else set()
            return {name: shorn(described[name]) for name in described.keys() - texts}
    return described


ASKED: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "codedeploy": ("put_lifecycle_event_hook_execution_status", {"deploymentId": "d-1", "status": "Failed"}),
    "dynamodb": ("update_item", {"TableName": "table", "Key": {"pk": {"S": "a"}, "sk": {"S": "b"}}}),
    "lambda": ("invoke", {"FunctionName": "smoke", "Payload": "{}"}),
    "secretsmanager": ("get_secret_value", {"SecretId": "stack/calven"}),
    "sqs": ("send_message", {"QueueUrl": "https://sqs.test/1/queue", "MessageBody": "body"}),
}
PROGRAM = """
import boto3, botocore, json, sys
from botocore.awsrequest import AWSResponse

class Empty:
    def stream(self, *_, **__): return iter([b"{}"])
    def read(self, *_, **__): return b"{}"

def asked(client, operation, parameters):
    sent = []
    def answer(request, **_):
        signed = request.headers["Authorization"].decode().split("/", 2)[2].split(",")[0]
        target = request.headers.get("X-Amz-Target", b"").decode()
        sent.append([request.method, request.url, target, signed, request.body.decode()])
        return AWSResponse(request.url, 200, {}, Empty())
    client.meta.events.register("before-send", answer)
    getattr(client, operation)(**parameters)
    return [client.meta.endpoint_url, sent]

session = boto3.session.Session("id", "key")
regions, calls = json.loads(sys.argv[1])
requests = {
    f"{region} {service}": asked(session.client(service, region), operation, parameters)
    for region in regions for service, (operation, parameters) in calls.items()
}
print(json.dumps([botocore.__file__, requests]))
"""


def requests_of(path: Path | None, regions: Sequence[str], settings: Mapping[str, str]) -> dict[str, Any]:
    """What a process sends where, signed how, by region and service: with the package, or botocore whole."""
    command = [sys.executable, "-c", PROGRAM, json.dumps([regions, ASKED])]
    own = {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(path or ""), **settings}
    done = subprocess.run(command, env={**os.environ, **own}, capture_output=True, text=True, check=True)
    found, requests = json.loads(done.stdout)
    assert Path(found).is_relative_to(package.PACKAGE) == (path is not None)
    assert len(requests) == len(regions) * len(ASKED)
    return dict(requests)


@cache
def regions() -> list[str]:
    """Every region that botocore knows, of every partition."""
    session = boto3.session.Session()
    return [
        region
        for partition in session.get_available_partitions()
        for region in session.get_available_regions("dynamodb", partition)
    ]


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"AWS_USE_FIPS_ENDPOINT": "true"},
        {"AWS_USE_DUALSTACK_ENDPOINT": "true"},
        {"AWS_ENDPOINT_URL": "https://aws.test"},
        {"AWS_ENDPOINT_URL_DYNAMODB": "https://dynamodb.test"},
    ],
    ids=["plain", "fips", "dual stack", "all elsewhere", "table elsewhere"],
)
def test_package_sends_the_same_requests(settings: Mapping[str, str]) -> None:
    """What botocore is told to forget changes no address, signature or content, in any region."""
    some = regions() if not settings else ["us-east-1", "eu-central-1", "us-gov-west-1", "cn-north-1"]
    assert {"us-east-1", "us-gov-west-1", "cn-north-1"} <= set(some)
    ours = requests_of(package.PACKAGE, some, settings)
    assert ours == requests_of(None, some, settings)


def test_package_holds_no_leavings() -> None:
    """No installation records, no commands, no bytecode without its source."""
    leavings = [path for path in package.PACKAGE.rglob("*") if path.suffix == ".dist-info"]
    assert not leavings
    assert not (package.PACKAGE / "bin").exists()
    expected = {bytecode(source) for source in sources()}
    assert set(package.PACKAGE.rglob("*.pyc")) == expected


def test_bytecode_is_the_runtimes_and_unchecked() -> None:
    """Another Python's bytecode would be ignored; checked bytecode reads every source file again."""
    assert sources()
    for source in sources():
        header = bytecode(source).read_bytes()[:8]
        assert header == MAGIC + struct.pack("<I", UNCHECKED_HASH), source


def test_native_modules_are_for_arm64() -> None:
    """The functions run on arm64, whatever machine builds them."""
    native = sorted(package.PACKAGE.rglob("*.so"))
    assert any(path.name.startswith(f"_pydantic_core.{TAG}-aarch64") for path in native)
    for path in native:
        (machine,) = struct.unpack_from("<H", path.read_bytes(), 18)
        assert machine == AARCH64, path


def test_every_handler_is_there() -> None:
    """What the template names as a handler is a function of two arguments in the package."""
    names = {path.parent.name for path in handlers()}
    assert names == {path.parent.name for path in OWN["functions"].glob("*/app.py")}
    for path in handlers():
        module = ast.parse(path.read_text(encoding="utf-8"))
        defined = {node.name: node for node in module.body if isinstance(node, ast.FunctionDef)}
        assert len(defined["handler"].args.args) == 2


def test_package_is_small() -> None:
    """Its size is part of each cold start; all of botocore alone would double it."""
    size = sum(path.stat().st_size for path in package.PACKAGE.rglob("*") if path.is_file())
    assert size < 35_000_000


def test_package_is_uniform() -> None:
    """Files of one time and one mode make equal archives of equal packages."""
    paths = list(package.PACKAGE.rglob("*"))
    assert {path.stat().st_mtime for path in paths} == {package.MODIFIED}
    assert {path.stat().st_mode & 0o777 for path in paths} == {0o755, 0o644}


def test_missing_python_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without the runtime's Python one line says what to install: no package goes without bytecode."""
    monkeypatch.delenv(package.NAMED, raising=False)
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(package.BuildError, match=rf"Python {package.RUNTIME} not found: install it"):
        package.find_python()


def test_wrong_python_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What the environment names is used or refused, never passed over."""
    other = tmp_path / f"python{package.RUNTIME}"
    other.write_text("#!/bin/sh\necho 3.12\n", encoding="utf-8")
    other.chmod(0o755)
    monkeypatch.setenv(package.NAMED, str(other))
    with pytest.raises(package.BuildError, match=rf"does not run Python {package.RUNTIME}"):
        package.find_python()


def test_python_is_found_where_pyenv_keeps_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A pyenv that has the version, but does not put it on the path, is enough."""
    python = tmp_path / "versions" / f"{package.RUNTIME}.9" / "bin" / f"python{package.RUNTIME}"
    python.parent.mkdir(parents=True)
    python.write_text(f"#!/bin/sh\necho {package.RUNTIME}\n", encoding="utf-8")
    python.chmod(0o755)
    monkeypatch.delenv(package.NAMED, raising=False)
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert package.find_python() == str(python)
