"""`python -m console FD` is the child process of `make run`: it ends when its standard input does."""

import socket
import sys

from console.hub import Hub
from console.serve import serve
from relayctl.target import local


def main() -> None:
    """Serve the local relay's console on a socket that the parent has bound."""
    sock = socket.socket(fileno=int(sys.argv[1]))
    hub = Hub(local, "local", is_local=True)
    serve(hub, sock, until=sys.stdin.read)


if __name__ == "__main__":
    main()
