"""The request that begins an operation, the same over HTTP and gRPC."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from gateway.operations.operations import Action, TaskSelection


class NewOperation(BaseModel):
    """An action on each of the caller's tasks that are there now and pass the filter. `retry` takes failed and stopped
    tasks, `redrive` failed ones, `cancel` what is not over, `reprioritise` what has not started."""

    model_config = ConfigDict(extra="forbid")

    action: Action
    filter: TaskSelection
    priority: Annotated[int | None, Field(ge=1, le=5, description="For reprioritise")] = None
    dry_run: bool = Field(False, description="Only say how many tasks there are")
    why: Annotated[str | None, Field(max_length=1000, description="For the audit")] = None
