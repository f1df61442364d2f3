"""`build/package`, which all functions share: complete, compiled for its runtime, and nothing else."""

import ast
import json
import os
import re
import struct
import subprocess
import sys
from functools import cache
from importlib.util import cache_from_source
from pathlib import Path

import pytest

from build import package

pytestmark = pytest.mark.package

TAG = f"cpython-{package.RUNTIME.replace('.', '')}"
# Every release of a minor version has the same.
MAGIC = struct.pack("<H2s", {"3.13": 3571, "3.14": 3627}[package.RUNTIME], b"\r\n")
# Hash-based, and not checked against the source.
UNCHECKED_HASH = 0b01
AARCH64 = 183

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
    data = package.PACKAGE / "botocore" / "data"
    assert {path.name for path in data.iterdir() if path.is_dir()} == called
    assert not [path for path in (package.PACKAGE / "boto3" / "data").iterdir() if path.is_dir()]


def endpoints(path: Path | None) -> tuple[str, dict[str, str]]:
    """Which botocore a process finds, and where its clients would call, by region and service."""
    program = (
        "import boto3, botocore, json, sys; session = boto3.session.Session('id', 'key')\n"
        "urls = {f'{region} {service}': session.client(service, region).meta.endpoint_url"
        " for region in sys.argv[1].split() for service in sys.argv[2].split()}\n"
        "print(json.dumps([botocore.__file__, urls]))"
    )
    regions = "us-east-1 ap-southeast-2 eu-central-1 us-gov-west-1 cn-north-1"
    command = [sys.executable, "-c", program, regions, " ".join(sorted(package.SERVICES))]
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(path or "")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    found, urls = json.loads(done.stdout)
    return found, urls


def test_package_calls_the_same_endpoints() -> None:
    """What botocore is told to forget changes no address, in any of AWS's partitions."""
    ours, urls = endpoints(package.PACKAGE)
    theirs, expected = endpoints(None)
    assert Path(ours).is_relative_to(package.PACKAGE)
    assert not Path(theirs).is_relative_to(package.PACKAGE)
    assert len(urls) == 5 * len(package.SERVICES)
    assert urls == expected


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
