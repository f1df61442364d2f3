"""Builds `build/package`, the one package that all functions share.

It holds the handlers, `relay` and the pinned dependencies for one Python on arm64, with their bytecode:
a deployed package is read-only, so that without it every cold start would compile the dependencies anew.
Of the hundreds of services that botocore describes it keeps those that the functions call, without their
documentation. The bytecode is unchecked, which spares a look at each source file, and must come from the
runtime's own Python. The same sources give the same bytes.
"""

import gzip
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

RUNTIME = os.environ.get("RUNTIME") or "3.13"
"""The Python that the functions run on: 3.13, or 3.14 where `RUNTIME` says so."""
NAMED = f"PYTHON{RUNTIME.replace('.', '')}"
"""The variable that names such a Python."""
ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "build" / "package"
DEPLOYED_AT = "/var/task"
SOURCES = (ROOT / "functions", ROOT / "shared" / "relay")

# Of the services that botocore describes, a client looks at each: fewer start faster.
SERVICES = frozenset({"codedeploy", "dynamodb", "lambda", "secretsmanager", "sqs"})

# The runtime's C library is newer than all of these.
PLATFORMS = ("manylinux2014_aarch64", "manylinux_2_17_aarch64", "manylinux_2_28_aarch64")

# 2 January 1980: a zip file begins with 1980, in local time.
MODIFIED = 315_619_200


class BuildError(Exception):
    """The package cannot be built here; the message says what is missing."""


def find_python() -> str:
    """Return a Python of the runtime's minor version: the one in `NAMED`, on the path, or of pyenv."""
    named = os.environ.get(NAMED)
    if named:
        candidates = [named]
    else:
        pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
        installed = sorted((pyenv / "versions").glob(f"{RUNTIME}.*/bin/python{RUNTIME}"))
        candidates = [f"python{RUNTIME}", *map(str, installed)]
    for candidate in candidates:
        if is_runtime(candidate):
            return candidate
    message = (
        f"{NAMED}={named} does not run Python {RUNTIME}"
        if named
        else f"Python {RUNTIME} not found: install it (python{RUNTIME} on PATH, or pyenv install {RUNTIME}), "
        f"or name one in {NAMED}"
    )
    raise BuildError(message)


def is_runtime(python: str) -> bool:
    """Tell whether this is a Python of the runtime's minor version that really runs."""
    program = "import sys; print('%d.%d' % sys.version_info[:2])"
    try:
        answer = subprocess.run([python, "-c", program], capture_output=True, text=True, check=False)
    except OSError:
        return False
    return answer.returncode == 0 and answer.stdout.strip() == RUNTIME


def install_dependencies(python: str, folder: Path) -> None:
    """Install what `requirements.lock` names, as wheels for the functions' processor."""
    pip = (sys.executable, "-m", "pip", "--python", python, "install")
    quiet = ("-qq", "--no-input", "--disable-pip-version-check", "--no-compile")
    wheels = ("--only-binary", ":all:", "--no-deps", "--implementation", "cp", "--python-version", RUNTIME)
    platforms = [f"--platform={platform}" for platform in PLATFORMS]
    pinned = ("--require-hashes", "-r", str(ROOT / "requirements.lock"))
    subprocess.run([*pip, *quiet, *wheels, *platforms, *pinned, "--target", str(folder)], check=True)
    for needless in ("bin", *(path.name for path in folder.glob("*.dist-info"))):
        shutil.rmtree(folder / needless, ignore_errors=True)


def drop_services(folder: Path) -> None:
    """Remove what the SDK knows of services that no function calls."""
    for described in (folder / "botocore" / "data", folder / "boto3" / "data"):
        for service in [path for path in described.iterdir() if path.is_dir()]:
            if described.parent.name == "boto3" or service.name not in SERVICES:
                shutil.rmtree(service)
    endpoints = folder / "botocore" / "data" / "endpoints.json"
    known = json.loads(endpoints.read_text("utf-8"))
    for partition in known["partitions"]:
        services = partition["services"].items()
        partition["services"] = {name: service for name, service in services if name in SERVICES}
    endpoints.write_text(json.dumps(known), "utf-8")


def drop_documentation(folder: Path) -> None:
    """Keep of the services' descriptions what their clients read: all but the texts for people.

    They are four fifths of what a process unpacks and reads to make a client. Operations, types, errors and
    rules for endpoints stay as they are.
    """
    for packed in (folder / "botocore" / "data").glob("*/*/service-2.json.gz"):
        described = json.loads(gzip.decompress(packed.read_bytes()))
        packed.with_suffix("").write_text(json.dumps(without_documentation(described)), "utf-8")
        packed.unlink()


def without_documentation(described: Any) -> Any:
    """A part of a description without its texts; a type or a member may be called `documentation` too."""
    if isinstance(described, list):
        return [without_documentation(each) for each in described]
    if not isinstance(described, dict):
        return described
    return {
        name: without_documentation(value)
        for name, value in described.items()
        if name != "documentation" or not isinstance(value, str)
    }


def copy_sources(folder: Path) -> None:
    """Copy the project's own packages."""
    for source in SOURCES:
        shutil.copytree(source, folder / source.name, ignore=shutil.ignore_patterns("__pycache__"))


def compile_bytecode(python: str, folder: Path) -> None:
    """Compile every module, with the paths that its tracebacks will show once deployed."""
    options = ("--invalidation-mode", "unchecked-hash", "-s", str(folder), "-p", DEPLOYED_AT)
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    command = [python, "-m", "compileall", "-qq", "-f", *options, str(folder)]
    subprocess.run(command, check=True, env=environment)


def make_uniform(folder: Path) -> None:
    """Give every file and folder one mode and one time, so that equal packages are equal archives."""
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() or path.suffix == ".so" else 0o644)
        os.utime(path, (MODIFIED, MODIFIED))


def build() -> None:
    """Build the package beside the old one, and put it in its place once it is whole."""
    python = find_python()
    new = PACKAGE.with_name("package.new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    install_dependencies(python, new)
    drop_services(new)
    drop_documentation(new)
    copy_sources(new)
    compile_bytecode(python, new)
    make_uniform(new)
    shutil.rmtree(PACKAGE, ignore_errors=True)
    new.rename(PACKAGE)


def main() -> int:
    """Build the package and say how large it is; `--python` only names the Python that it is built with."""
    try:
        if sys.argv[1:] == ["--python"]:
            print(find_python())
            return 0
        build()
    except (BuildError, subprocess.CalledProcessError) as error:
        print(f"package: {error}", file=sys.stderr)
        return 1
    files = [path for path in PACKAGE.rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in files)
    print(f"{PACKAGE.relative_to(ROOT)}: {len(files)} files, {size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
