"""Requests for actions on dead letters, the same over HTTP and gRPC."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from gateway.dead_letters.archive import MOST_AT_ONCE
from gateway.dead_letters.editing import Edit
from gateway.dead_letters.filter import LetterFilter

Backend = Literal["redis", "temporal"]
Why = Annotated[str | None, Field(max_length=1000, description="For the record")]

_LONGEST_SPREAD = 7 * 24 * 3600.0


class Redrive(BaseModel):
    """How to redrive one dead letter."""

    model_config = ConfigDict(extra="forbid")

    backend: Annotated[Backend | None, Field(description="Default: as the flag says")] = None
    edit: Edit | None = None
    why: Why = None


class ByFilter(BaseModel):
    """An action on a page of the dead letters that match, newest first."""

    model_config = ConfigDict(extra="forbid")

    filter: LetterFilter
    limit: Annotated[int, Field(ge=1, le=MOST_AT_ONCE)] = 500
    cursor: Annotated[str | None, Field(max_length=3000, description="`next_cursor` of the step before")] = None
    dry_run: bool = False
    why: Why = None


class RedriveByFilter(BaseModel):
    """Redrive the dead letters that match. Payloads that are no task are skipped."""

    model_config = ConfigDict(extra="forbid")

    filter: LetterFilter
    backend: Annotated[Backend | None, Field(description="Default: as the flag says")] = None
    spread_seconds: Annotated[
        float, Field(ge=0, le=_LONGEST_SPREAD, allow_inf_nan=False, description="Start them evenly over this time")
    ] = 0.0
    dry_run: bool = False
    why: Why = None


class Reasoned(BaseModel):
    """Why."""

    model_config = ConfigDict(extra="forbid")

    why: Why = None
