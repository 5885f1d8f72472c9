"""Requests of administrators for quotas and pauses, the same over HTTP and gRPC."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Limit = Annotated[int | None, Field(ge=0, le=2**53)]
Name = Annotated[str | None, Field(min_length=1, max_length=255)]


class NewQuota(BaseModel):
    """Limits; null or left out: none. 0 `running`: nothing starts; 0 elsewhere: nothing is accepted."""

    model_config = ConfigDict(extra="forbid")
    queued: Limit = None
    running: Limit = None
    per_minute: Limit = None
    bytes_per_day: Limit = None
    why: Annotated[str | None, Field(max_length=1000, description="For the audit")] = None


class NewPause(BaseModel):
    """The tasks to hold back: those of a tenant, a project, a type, or those that match all given fields."""

    model_config = ConfigDict(extra="forbid")
    tenant_id: Name = None
    project_id: Name = None
    task_type: Name = None
    why: Annotated[str, Field(min_length=1, max_length=1000, description="For the audit")]
