"""Requests of administrators for quotas and pauses, the same over HTTP and gRPC."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Limit = Annotated[int | None, Field(ge=0, le=2**53)]
Name = Annotated[str | None, Field(min_length=1, max_length=255)]


class NewQuota(BaseModel):
    """The new limits. At least one is required. Null, or left out: no limit."""

    model_config = ConfigDict(extra="forbid")
    queued: Limit = Field(
        None, description="Maximum number of tasks that are accepted and have not begun. 0: no task is accepted."
    )
    running: Limit = Field(
        None,
        description="Maximum number of tasks on a backend. Further tasks are accepted and wait. 0: no task is started.",
    )
    per_minute: Limit = Field(
        None, description="Maximum number of tasks accepted in 60 seconds. 0: no task is accepted."
    )
    bytes_per_day: Limit = Field(
        None, description="Maximum number of bytes of payloads accepted per day (UTC). 0: no task is accepted."
    )
    why: Annotated[str | None, Field(max_length=1000, description="Reason, for the audit log.")] = None


class NewPause(BaseModel):
    """The tasks to pause: those that match all given fields. At least one of `tenant_id`, `project_id` and
    `task_type` is required."""

    model_config = ConfigDict(extra="forbid")
    tenant_id: Name = None
    project_id: Name = None
    task_type: Name = None
    why: Annotated[str, Field(min_length=1, max_length=1000, description="Reason, for the audit log.")]
