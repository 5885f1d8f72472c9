"""What people may ask of a plan, over whatever face."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from gateway.migration.stages.requests import Name, Why


class Act(StrEnum):
    """What to do with the plan."""

    START = "start"
    PAUSE = "pause"
    RESUME = "resume"
    SKIP = "skip"
    APPROVE = "approve"
    RECOUNT = "recount"
    ABORT = "abort"
    ROLLBACK = "rollback"


class ActOnPlan(BaseModel):
    """An action on a plan."""

    model_config = ConfigDict(extra="forbid")
    act: Act
    why: Why
    tenant_id: Name | None = Field(
        None,
        description="The tenant, for `skip` (default: the rest of the present wave) and `recount` (required).",
    )
    wave: Annotated[int, Field(ge=1, le=1000)] | None = Field(
        None,
        description="Number of the wave that is meant; the request is refused if it is not the present one. "
        "Required for `approve`, optional for `skip`.",
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.tenant_id is not None and self.act not in (Act.SKIP, Act.RECOUNT):
            raise ValueError("only skip and recount take a tenant_id")
        if self.tenant_id is None and self.act is Act.RECOUNT:
            raise ValueError("recount needs the tenant_id")
        if self.wave is not None and self.act not in (Act.SKIP, Act.APPROVE):
            raise ValueError("only skip and approve take a wave")
        if self.wave is None and self.act is Act.APPROVE:
            raise ValueError("approve needs the wave, so that an approval given twice is not one of the next wave")
        return self
