"""What is measured: the relay as `make build` makes it, and the reference handler as `sam build` does."""

import hashlib
import os
import platform
import shutil
import subprocess
from pathlib import Path

from e2e import package
from e2e.checks import Failed
from e2e.emulator import BIN, ROOT

FOLDER = ROOT / "build" / "bench"
SOURCES = Path(__file__).parent / "reference"
_SAM = ROOT / ".venv-sam" / "bin" / "sam"
_BUILD_SECONDS = 600.0


def relay() -> Path:
    """The folder of the relay's package; its handlers are `functions.<name>.app.handler`."""
    folder = FOLDER / "relay"
    shutil.rmtree(folder, ignore_errors=True)
    package.copy(folder)
    return folder


def reference() -> Path:
    """The folder of the reference handler, `app.handler`; built anew only where its files have changed."""
    built, digest = FOLDER / "reference", FOLDER / "reference.sha256"
    architecture = "arm64" if platform.machine() in ("aarch64", "arm64") else "x86_64"
    wanted = _digest(architecture)
    if not digest.is_file() or digest.read_text("ascii") != wanted:
        digest.unlink(missing_ok=True)
        _sam_build(built, architecture)
        digest.write_text(wanted, "ascii")
    return built / "Reference"


def _digest(architecture: str) -> str:
    digest = hashlib.sha256(architecture.encode())
    for path in sorted(path for path in SOURCES.iterdir() if path.is_file()):
        content = path.read_bytes()
        digest.update(f"\0{path.name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()


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
