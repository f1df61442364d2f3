"""What is measured: the relay as `make build` makes it, and the reference handler as `sam build` does.

And what Lambda itself puts on the path of both: the runtime's client and boto3, with their bytecode, without
anything else that a virtual environment may hold and a library would use if it found it.
"""

import hashlib
import os
import platform
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from e2e import package
from e2e.checks import Failed
from e2e.emulator import BIN, ROOT

FOLDER = ROOT / "build" / "bench"
SOURCES = Path(__file__).parent / "reference"
LOCK = ROOT / "requirements-e2e.lock"
RUNTIME = (
    "awslambdaric",
    "boto3",
    "botocore",
    "dateutil",
    "jmespath",
    "runtime_client.*.so",
    "s3transfer",
    "simplejson",
    "six.py",
    "snapshot_restore_py.py",
    "urllib3",
)
SERVICES = Path(__file__).parent / "node"
_SAM = ROOT / ".venv-sam" / "bin" / "sam"
_BUILD_SECONDS = 600.0


class NotHere(Exception):
    """What cannot be made on this machine, and need not be."""


def relay() -> Path:
    """The folder of the relay's package; its handlers are `functions.<name>.app.handler`."""
    folder = FOLDER / "relay"
    shutil.rmtree(folder, ignore_errors=True)
    package.copy(folder)
    return folder


def without_bytecode(folder: Path) -> Path:
    """A copy of a package as it would be without its bytecode."""
    bare = folder.with_name(f"{folder.name}-bare")
    shutil.rmtree(bare, ignore_errors=True)
    shutil.copytree(folder, bare, ignore=shutil.ignore_patterns("__pycache__"))
    return bare


def with_bytecode(folder: Path) -> Path:
    """A copy of a package, compiled as the relay's is."""
    compiled = folder.with_name(f"{folder.name}-compiled")
    shutil.rmtree(compiled, ignore_errors=True)
    shutil.copytree(folder, compiled)
    _compile(compiled)
    return compiled


def reference() -> Path:
    """The folder of the reference handler, `app.handler`; built anew only where its files have changed."""
    architecture = "arm64" if platform.machine() in ("aarch64", "arm64") else "x86_64"
    sources = sorted(path for path in SOURCES.iterdir() if path.is_file())
    built = _made("reference", [architecture], sources, lambda folder: _sam_build(folder, architecture))
    return built / "Reference"


def node(command: str = "node") -> str:
    """The path of Node.js's own command; raises `NotHere`."""
    found = shutil.which(command)
    if found is None:
        raise NotHere(f"{command} is not installed, and the services are of Node.js")
    return found


def services() -> Path:
    """The folder of the services of Node.js, with what they need; raises `NotHere`."""
    node(), node("npm")
    return _made("services", [platform.machine()], sorted(SERVICES.iterdir()), _npm_install)


def runtime() -> Path:
    """The folder of what Lambda's runtime has, to go behind a function's own on its path."""
    return _made("runtime", RUNTIME, [LOCK], _copy_runtime)


def _made(name: str, facts: Sequence[str], sources: Sequence[Path], make: Callable[[Path], None]) -> Path:
    """A folder as it is, or made anew where what it is made of has changed."""
    folder, mark = FOLDER / name, FOLDER / f"{name}.sha256"
    digest = hashlib.sha256("\0".join(facts).encode())
    for path in sources:
        content = path.read_bytes()
        digest.update(f"\0{path.name}\0{len(content)}\0".encode() + content)
    if not mark.is_file() or mark.read_text("ascii") != digest.hexdigest():
        mark.unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)
        make(folder)
        mark.write_text(digest.hexdigest(), "ascii")
    return folder


def _copy_runtime(folder: Path) -> None:
    [installed] = BIN.parent.glob("lib/python*/site-packages")
    folder.mkdir(parents=True)
    for name in RUNTIME:
        found = list(installed.glob(name))
        if not found:
            raise Failed(f"{name} is not in {installed}: add what holds it to tools/build/e2e.in")
        for path in found:
            copy = shutil.copytree if path.is_dir() else shutil.copy2
            copy(path, folder / path.name)
    # Of files that were copied once, an environment's own bytecode may be out of date.
    _compile(folder)


def _compile(folder: Path) -> None:
    options = ("-qq", "-f", "--invalidation-mode", "unchecked-hash")
    subprocess.run([BIN / "python", "-m", "compileall", *options, folder], check=True)


def _npm_install(folder: Path) -> None:
    """Install what the services name, without running what it brings; raises `NotHere`."""
    shutil.copytree(SERVICES, folder)
    quiet = ("--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock")
    try:
        subprocess.run(
            [node("npm"), "install", *quiet],
            cwd=folder,
            capture_output=True,
            check=True,
            timeout=_BUILD_SECONDS,
        )
    except (subprocess.SubprocessError, OSError) as error:
        raise NotHere(f"npm did not install what the services need: {error}") from None


def _sam_build(folder: Path, architecture: str) -> None:
    """Build as a user would, with the functions' own Python; raises `Failed`."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "PYTHON"))},
        "PATH": f"{BIN}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "SAM_CLI_TELEMETRY": "0",
    }
    where = ("--template", SOURCES / "template.yaml", "--build-dir", folder)
    parameters = ("--parameter-overrides", f"Architecture={architecture}")
    done = subprocess.run(
        [_SAM, "build", *where, *parameters],
        env=environment,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_BUILD_SECONDS,
        check=False,
    )
    if done.returncode:
        raise Failed(f"sam build of the reference handler failed: {done.stderr[-1000:].strip()}")
