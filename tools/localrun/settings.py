"""The environment of the local run, and the two files that it names."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, FilePath, HttpUrl, TypeAdapter, ValidationError

DEMO = Path(__file__).parent / "demo"

Secrets = dict[str, dict[str, Any]]
_SECRETS = TypeAdapter(Secrets)


class StartError(Exception):
    """The local run cannot start: its problems, one a line, and the exit code that says so."""

    def __init__(self, problems: list[str], exit_code: int) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems
        self.exit_code = exit_code


class Settings(BaseModel):
    """The variables; an empty one counts as unset."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    port: int = Field(default=8080, alias="PORT", ge=0, le=65535)
    console_port: Annotated[int, Field(ge=0, le=65535)] | Literal["off"] | None = Field(
        default=None, alias="CONSOLE_PORT"
    )
    calven_base_url: HttpUrl | None = Field(default=None, alias="CALVEN_BASE_URL")
    config: FilePath = Field(default=DEMO / "relay.yaml", alias="RELAY_CONFIG")
    secrets: FilePath | None = Field(default=None, alias="RELAY_SECRETS")
    retry_base_seconds: float = Field(default=30, gt=0, le=900, alias="RETRY_BASE_SECONDS")
    forward_mode: Literal["direct", "queued"] = Field(default="direct", alias="FORWARD_MODE")
    capture: Path | None = Field(default=None, alias="CAPTURE")

    @property
    def port_of_console(self) -> int | None:
        """Where the console listens: the port after the relay's, unless one is named; None for nowhere."""
        if self.console_port is None:
            return self.port + 1 if 0 < self.port < 65535 else 0
        return None if self.console_port == "off" else self.console_port


def read(environment: Mapping[str, str]) -> Settings:
    """The settings; raises `StartError` with every variable at fault."""
    try:
        return Settings.model_validate({name: value for name, value in environment.items() if value})
    except ValidationError as error:
        problems = [f"{each['loc'][0]}={each['input']}: {each['msg']}" for each in error.errors()]
        raise StartError(problems, 2) from None


def read_secrets(path: Path) -> Secrets:
    """The secrets by source, and `calven`; raises `StartError`, which repeats none of them."""
    try:
        secrets = _SECRETS.validate_python(json.loads(path.read_bytes()))
    except ValidationError as error:
        found = error.errors(include_input=False)
        raise StartError(
            [f"{path}: {'.'.join(map(str, each['loc']))}: {each['msg']}" for each in found], 2
        ) from None
    except (OSError, ValueError) as error:
        reason = f"line {error.lineno}: {error.msg}" if isinstance(error, json.JSONDecodeError) else error
        raise StartError([f"{path}: {reason}"], 2) from None
    missing = [name for name in ("apiKey", "apiSecret") if not secrets.get("calven", {}).get(name)]
    if missing:
        raise StartError([f"{path}: calven: {name} is missing" for name in missing], 2)
    return secrets
