"""Requests for actions on dead letters, the same over HTTP and gRPC."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from gateway.dead_letters.archive import MOST_AT_ONCE
from gateway.dead_letters.editing import Edit
from gateway.dead_letters.filter import LetterFilter

Backend = Literal["redis", "temporal"]
Why = Annotated[str | None, Field(max_length=1000, description="Reason, for the audit log.")]

_LONGEST_SPREAD = 7 * 24 * 3600.0


class Redrive(BaseModel):
    """How to redrive a dead letter."""

    model_config = ConfigDict(extra="forbid")

    backend: Annotated[
        Backend | None,
        Field(
            description="Backend to run on. Default: the backend that the migration flag names when the task starts."
        ),
    ] = None
    edit: Edit | None = Field(None, description="Change the payload first.")
    why: Why = None


class ByFilter(BaseModel):
    """A step of an action: it applies to one page of the matching dead letters, newest first."""

    model_config = ConfigDict(extra="forbid")

    filter: LetterFilter
    limit: Annotated[int, Field(ge=1, le=MOST_AT_ONCE, description="Maximum number of dead letters in this step.")] = (
        500
    )
    cursor: Annotated[
        str | None,
        Field(max_length=3000, description="The `next_cursor` of the previous step. Default: the first page."),
    ] = None
    dry_run: bool = Field(False, description="Change nothing; only count.")
    why: Why = None


class RedriveByFilter(BaseModel):
    """Dead letters to redrive. Payloads that are not valid tasks are skipped."""

    model_config = ConfigDict(extra="forbid")

    filter: LetterFilter
    backend: Annotated[
        Backend | None,
        Field(
            description="Backend to run on. Default: the backend that the migration flag names when the task starts."
        ),
    ] = None
    spread_seconds: Annotated[
        float,
        Field(
            ge=0,
            le=_LONGEST_SPREAD,
            allow_inf_nan=False,
            description="Start the tasks evenly over this many seconds. 0: all at once.",
        ),
    ] = 0.0
    dry_run: bool = Field(False, description="Change nothing; only count.")
    why: Why = None


class Reasoned(BaseModel):
    """The reason for an action."""

    model_config = ConfigDict(extra="forbid")

    why: Why = None
