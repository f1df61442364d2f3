"""The environment of a function, read once as one typed model."""

import os
from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError


class InvalidEnvironment(Exception):
    """The environment lacks variables or holds wrong ones; the message names all of them."""


class Settings(BaseModel):
    """What `template.yaml` tells a function through its environment. Holds no secret."""

    # Lambda and its runtime put dozens of variables of their own beside these.
    model_config = ConfigDict(frozen=True, extra="ignore")

    stack_name: str = Field(alias="STACK_NAME", min_length=1)
    table_name: str = Field(alias="TABLE_NAME", min_length=1)
    unprocessed_queue_url: str = Field(alias="UNPROCESSED_QUEUE_URL", min_length=1)
    dead_letter_queue_url: str = Field(alias="DEAD_LETTER_QUEUE_URL", min_length=1)
    reconcile_queue_url: str = Field(default="", alias="RECONCILE_QUEUE_URL")
    occupancy_reset_queue_url: str = Field(default="", alias="OCCUPANCY_RESET_QUEUE_URL")
    calven_base_url: str = Field(
        alias="CALVEN_BASE_URL", pattern=r"^https?://[\w.-]+(:\d{1,5})?(/[^\s?#]*)?$"
    )
    forward_mode: Literal["direct", "queued"] = Field(default="direct", alias="FORWARD_MODE")
    front_door_sha256: str = Field(
        default="", alias="FRONT_DOOR_SHA256", pattern=r"^([0-9a-f]{64}(,[0-9a-f]{64})?)?$"
    )
    """Of what whoever stands in front adds to each request, old and new; empty where nobody does."""
    # `make chaos` sets it shorter, to see many attempts in two minutes.
    retry_base_seconds: float = Field(default=30, gt=0, le=900, alias="RETRY_BASE_SECONDS")


def read(environment: Mapping[str, str] = os.environ) -> Settings:
    """Read the settings; raises `InvalidEnvironment` with every problem in one message."""
    try:
        return Settings.model_validate(dict(environment))
    except ValidationError as error:
        problems = (f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_input=False))
        raise InvalidEnvironment("; ".join(problems)) from None
