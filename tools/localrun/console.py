"""The console beside the local relay: a process of its own, which ends with it and takes nothing down."""

import os
import socket
import subprocess
import sys
from dataclasses import dataclass, field

from console import INSTALL, is_installed
from localrun.serve import bind

STOP_SECONDS = 3.0


@dataclass
class Console:
    """The child process, from its parent's side; `said` is its URL, or why there is none, or empty.

    The parent binds the port, so that a browser that comes before the child has started waits for it.
    """

    said: str
    _sock: socket.socket | None = field(default=None, repr=False)
    _process: "subprocess.Popen[bytes] | None" = field(default=None, repr=False)

    def start(self, relay_port: int) -> None:
        """Start the process, where there is to be one."""
        if self._sock is None:
            return
        number = self._sock.fileno()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "console", str(number)],
            stdin=subprocess.PIPE,
            pass_fds=(number,),
            env={**os.environ, "PORT": str(relay_port)},
            start_new_session=True,
        )
        self._sock.close()

    def ask_to_stop(self) -> None:
        """End it by the end of its input, without waiting for that."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()

    def stop(self) -> None:
        """End it, by force if it does not end by itself."""
        self.ask_to_stop()
        if self._sock is not None:
            self._sock.close()
        if self._process is None:
            return
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def prepare(port: int | None) -> Console:
    """The console that is to listen on a port, None for none. What is wrong with it stops nobody."""
    if port is None:
        return Console("")
    if not is_installed():
        return Console(f"not installed: {INSTALL}")
    try:
        sock = bind(port)
        sock.listen()
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        return Console(f"port {port}: {reason}; take another one with CONSOLE_PORT=<number> make run")
    return Console("http://{}:{}".format(*sock.getsockname()), sock)
