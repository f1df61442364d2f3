"""Everything around the relay - AWS, Calven, the vendors' APIs - in one child process.

`python -m localrun.world` reads one line of JSON, `{"calven": {…}, "locations": […], "reader": {…},
"gateway": "…"}`, any of them null, starts its servers on free ports, prints their URLs as one line of JSON,
and ends when its standard input does: with its parent, however that ends.
"""

import json
import os
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass
from typing import Any

_START_TIMEOUT = 60.0
_STOP_TIMEOUT = 5.0


class WorldError(Exception):
    """The process ended, or did not start."""


@dataclass(frozen=True)
class Urls:
    """Where the servers are; `sandbox` is None without one."""

    aws: str
    sandbox: str | None
    vendor_api: str


class World:
    """The child process, from its parent's side.

    `calven` is the secret that the sandbox accepts, None for no sandbox, `reader` that of a key that may
    read; `locations` are the location ids that it knows, None for any. `gateway` is where webhooks come in.
    """

    def __init__(
        self,
        calven: dict[str, Any] | None,
        locations: list[str] | None = None,
        *,
        reader: dict[str, Any] | None = None,
        gateway: str | None = None,
    ) -> None:
        self._order = json.dumps(
            {"calven": calven, "locations": locations, "reader": reader, "gateway": gateway}
        )
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> Urls:
        """Starts the process and returns its URLs once all servers answer; raises `WorldError`."""
        process = subprocess.Popen(
            [sys.executable, "-m", "localrun.world"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._process = process
        assert process.stdin is not None  # noqa: S101
        assert process.stdout is not None  # noqa: S101
        watchdog = threading.Timer(_START_TIMEOUT, process.kill)
        watchdog.start()
        try:
            process.stdin.write(self._order + "\n")
            process.stdin.flush()
            return Urls(**json.loads(process.stdout.readline()))
        except (OSError, ValueError) as error:
            self.stop()
            raise WorldError("the process that plays AWS and Calven did not start") from error
        finally:
            watchdog.cancel()

    @property
    def pid(self) -> int | None:
        """The process's id, while there is one."""
        return self._process.pid if self._process else None

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        """Ends the process: by the end of its input, by force if that does not help."""
        process, self._process = self._process, None
        if process is None:
            return
        try:
            process.communicate(timeout=_STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


def main() -> None:
    """The child process."""
    # A Ctrl-C or a kill reaches the whole group; the parent decides when this process ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print(json.dumps(_serve(**json.loads(sys.stdin.readline()))), flush=True)
    while sys.stdin.readline():
        pass
    # Nothing here is worth an orderly end, and a request that hangs must not hold it up.
    os._exit(0)


def _serve(calven: dict[str, Any] | None, **of_sandbox: Any) -> dict[str, str | None]:
    from localrun import vendor_api  # noqa: PLC0415 - the parent needs none of these
    from localrun.aws_faults import AwsFaults  # noqa: PLC0415
    from localrun.log_groups import LogGroups  # noqa: PLC0415
    from localrun.moto_server import Moto  # noqa: PLC0415
    from localrun.sandbox import Sandbox  # noqa: PLC0415
    from localrun.serve import Served  # noqa: PLC0415

    return {
        "aws": Served(AwsFaults(LogGroups(Moto()))).start(),
        "sandbox": Served(Sandbox(calven, **of_sandbox)).start() if calven else None,
        "vendor_api": Served(vendor_api.create()).start(),
    }


if __name__ == "__main__":
    main()
