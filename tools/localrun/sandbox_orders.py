"""The orders that the Calven sandbox takes."""

from typing import Annotated, Literal

from pydantic import Field

from localrun.sandbox_rules import Body, Date, Text

Mode = Literal["500", "503", "429", "401", "403", "400", "hang", "reset", "garbage", "missing-results"]


class FailureRequest(Body):
    """`POST /_sandbox/fail`: how to fail, how often (null: until cleared), on which path (null: all)."""

    mode: Mode
    count: Annotated[int, Field(ge=1)] | None = None
    retry_after: Annotated[int, Field(ge=0)] | None = None
    endpoint: Text | None = None


class UnknownRequest(Body):
    """`POST /_sandbox/unknown`: all the users and locations to refuse from now on."""

    users: list[str] = Field(default_factory=list)
    locations: list[str] = Field(default_factory=list)


class LocationsRequest(Body):
    """`POST /_sandbox/locations`: the locations that it knows from now on, null for any."""

    locations: list[str] | None


class UsersRequest(Body):
    """`POST /_sandbox/users`: addresses of people that Calven knows besides those whose leave it took."""

    users: list[Text]


class AwayRequest(Body):
    """`DELETE /_sandbox/away`: a day of a person's that somebody takes out by hand."""

    email: Text
    day: Date
