"""The options that every command takes, before or after the command's own name."""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from relayctl import target
from relayctl.target import Target

F = TypeVar("F", bound=Callable[..., Any])
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class Age(click.ParamType[float]):
    """A length of time such as 90s, 15m, 2h or 3d, as seconds."""

    name = "age"

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> float:
        """Seconds; a usage error for any other text."""
        found = re.fullmatch(r"(\d{1,6})([smhd])", str(value))
        if found is None:
            self.fail(f"{value!r} is no age such as 90s, 15m, 2h or 3d", parameter, context)
        return float(found[1]) * UNITS[found[2]]


class SomeText(click.ParamType[str]):
    """A text that is not empty, as a variable of a script is that is not set."""

    name = "text"

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> str:
        """The text as it is; a usage error for one without anything but blanks."""
        if not str(value).strip():
            self.fail("it is empty", parameter, context)
        return str(value)


class Number(click.FloatRange):
    """A number within a range, which neither `inf` nor `nan` is."""

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> float:
        """The number; a usage error for any other text."""
        number: float = super().convert(value, parameter, context)
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a finite number", parameter, context)
        return number


@dataclass
class Common:
    """What `--local`, `--stack` and `--json` said so far."""

    local: bool = False
    stack: str | None = None
    as_json: bool = False

    def target(self, default_local: bool = False, url: str | None = None) -> Target:
        """The relay that is meant; a usage error where none or two are named. `url` may be a local one's."""
        if self.local and self.stack:
            raise click.UsageError("--local and --stack exclude each other")
        if self.stack:
            return target.deployed(self.stack)
        if self.local or default_local:
            return target.local(url)
        raise click.UsageError("say which relay is meant: --local, or --stack NAME")


pass_common = click.make_pass_decorator(Common, ensure=True)


def common_options(command: F) -> F:
    """Add `--local`, `--stack` and `--json` to a command or group."""
    for decorate in (
        click.option(
            "--json", "as_json", is_flag=True, expose_value=False, callback=_keep, help="Print JSON only."
        ),
        click.option("--stack", metavar="NAME", expose_value=False, callback=_keep, help="A deployed stack."),
        click.option(
            "--local", is_flag=True, expose_value=False, callback=_keep, help="The running `make run`."
        ),
    ):
        command = decorate(command)
    return command


def _keep(context: click.Context, parameter: click.Parameter, value: Any) -> Any:
    common = context.ensure_object(Common)
    if value and parameter.name:
        setattr(common, parameter.name, value)
    return value
