"""`relayctl console`: the console on a port of its own, for a local or a deployed relay."""

import os
import secrets
import socket

import click

from console import INSTALL, is_installed
from relayctl import target
from relayctl.options import Common, common_options, pass_common
from relayctl.output import print_json
from relayctl.stopping import Stopped
from relayctl.target import Target

HIGHEST_PORT = 65535


@click.command()
@click.option(
    "--port", type=click.IntRange(0, HIGHEST_PORT), help="Where to listen: else CONSOLE_PORT, else PORT + 1."
)
@common_options
@pass_common
def console(common: Common, port: int | None) -> None:
    """Serve a page on this machine that shows what the relay does and holds, until Ctrl-C.

    It is that of `make run` unless --stack names another.
    """
    if not is_installed():
        raise click.ClickException(f"the console is not installed: {INSTALL}")
    # Asked once here, so that a stack that cannot be read is said on the terminal.
    common.target(default_local=True)
    from console.hub import Hub  # noqa: PLC0415 - the other commands need none of what it imports
    from console.serve import serve  # noqa: PLC0415

    stack = common.stack
    sock = _bind(_port() if port is None else port)
    token = secrets.token_urlsafe(24) if stack else ""
    _say("http://{}:{}/".format(*sock.getsockname()) + (f"?token={token}" if token else ""), common)

    def find() -> Target:
        return target.deployed(stack) if stack else target.local()

    try:
        serve(Hub(find, stack or "local", is_local=stack is None), sock, token)
    except (KeyboardInterrupt, Stopped):
        # The server has ended in order, and then has the signal act as it would have.
        return


def _say(url: str, common: Common) -> None:
    if common.as_json:
        print_json({"url": url})
    else:
        click.echo(f"{url}  (Ctrl-C ends it)")


def _port() -> int:
    """The port by the environment, as `make run` takes it."""
    try:
        relay_port = int(os.environ.get("PORT") or 8080)
        named = os.environ.get("CONSOLE_PORT")
        port = int(named) if named and named != "off" else relay_port + 1
    except ValueError as error:
        raise click.UsageError(f"PORT and CONSOLE_PORT are numbers: {error}") from None
    return port


def _bind(port: int) -> socket.socket:
    from localrun.serve import bind  # noqa: PLC0415 - it imports a web server

    try:
        sock = bind(port)
        sock.listen()
    except OSError as error:
        raise click.ClickException(f"port {port}: {error.strerror}; take another one with --port") from None
    return sock
