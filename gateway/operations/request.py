"""The request that begins an operation, the same over HTTP and gRPC."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from gateway.operations.operations import Action, TaskSelection


class NewOperation(BaseModel):
    """An action to apply to each task that exists now, matches the filter and may be seen by the caller.

    `cancel` applies to unfinished tasks, `retry` to failed and stopped ones, `redrive` to failed ones, `reprioritise`
    to tasks that have not started.
    """

    model_config = ConfigDict(extra="forbid")

    action: Action
    filter: TaskSelection
    priority: Annotated[
        int | None,
        Field(
            ge=1,
            le=5,
            description="New priority, from 1 (first) to 5 (last). Required for `reprioritise`, and not allowed for "
            "other actions.",
        ),
    ] = None
    dry_run: bool = Field(False, description="Change nothing; only count the matching tasks.")
    why: Annotated[str | None, Field(max_length=1000, description="Reason, for the audit log.")] = None
