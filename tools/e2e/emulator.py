"""The emulator of AWS that runs the functions: ministack, in a virtual environment of its own."""

import os
import signal
import subprocess
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

from e2e.checks import Failed
from localrun.serve import bind

ROOT = Path(__file__).parents[2]
BIN = ROOT / ".venv-e2e" / "bin"
REGION = "us-east-1"
_START_SECONDS = 60.0
_STOP_SECONDS = 5.0


class Emulator:
    """The process and the functions that it starts; `folder` takes their files, `log` what they print."""

    def __init__(self, folder: Path, log: Path) -> None:
        with bind() as free:
            self._port = int(free.getsockname()[1])
        self.url = f"http://127.0.0.1:{self._port}"
        self._folder, self._log = folder, log

    def __enter__(self) -> Self:
        """Start it, and wait until it answers."""
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [BIN / "ministack"],
                cwd=self._folder,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # A group of its own, to end the functions' processes with it.
                start_new_session=True,
            )
        with ExitStack() as failed:
            failed.callback(self._stop)
            self._wait()
            failed.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it, and the functions with it."""
        self._stop()

    @property
    def client_environment(self) -> dict[str, str]:
        """What sends every AWS client here, and to nobody's account."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "e2e",
            "AWS_SECRET_ACCESS_KEY": "e2e",
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def _environment(self) -> dict[str, str]:
        """The emulator's, which the functions inherit: nothing of the user's but the path."""
        return {
            "PATH": f"{BIN}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
            "HOME": str(self._folder),
            "TMPDIR": str(self._folder),
            "BIND_HOST": "127.0.0.1",
            "MINISTACK_HOST": "127.0.0.1",
            "GATEWAY_PORT": str(self._port),
            "STATE_DIR": str(self._folder / "state"),
            "IOT_MTLS_ENABLED": "0",
            "SFTP_ENABLED": "0",
            "NO_PROXY": "127.0.0.1",
            **self.client_environment,
        }

    def _wait(self) -> None:
        until = time.monotonic() + _START_SECONDS
        while time.monotonic() < until and self._process.poll() is None:
            with suppress(httpx.HTTPError):
                if httpx.get(f"{self.url}/_ministack/ready", timeout=2, trust_env=False).status_code == 200:
                    return
            time.sleep(0.1)
        raise Failed(f"the emulator does not answer: see {self._log}")

    def _stop(self) -> None:
        for number in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_STOP_SECONDS)
