"""What people may ask a preview of, over whatever face."""

from __future__ import annotations

from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from gateway.migration.plans.document import PlanName
from gateway.migration.stages.requests import Name, StageName

#: A week, minute by minute, is what a preview holds in memory.
LONGEST_HOURS: Final = 168

Hours = Annotated[
    int, Field(ge=1, le=LONGEST_HOURS, description="Use the tasks that were created in the last this many hours.")
]


class ProposedChange(BaseModel):
    """The change to preview. Exactly one of `stage`, `plan` and `document` is required. With `stage`, give one of
    `everything`, `percent`, or a scope (`tenant_id`, `project_id`, `task_type`)."""

    model_config = ConfigDict(extra="forbid")
    stage: StageName | None = Field(None, description="Preview this stage.")
    tenant_id: Name | None = None
    project_id: Name | None = None
    task_type: Name | None = None
    everything: bool = Field(False, description="With `stage`: for all tasks for which nothing else is set.")
    percent: Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)] | None = Field(
        None,
        description="With `stage`: for this percentage of the tenants or tasks for which nothing else is set. At "
        "most three decimals.",
    )
    unit: Literal["tenant", "task"] = Field(
        "tenant", description="With `percent`: whether whole tenants or single tasks are moved."
    )
    plan: PlanName | None = Field(None, description="Preview this stored plan.")
    document: str | None = Field(None, description="Preview this plan, as YAML or JSON text.")
    hours: Hours = 24

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        is_scoped = any(one is not None for one in (self.tenant_id, self.project_id, self.task_type))
        if sum(one is not None for one in (self.stage, self.plan, self.document)) != 1:
            raise ValueError("give one of stage, plan, document")
        whom = is_scoped + self.everything + (self.percent is not None)
        if whom != (self.stage is not None):
            raise ValueError("stage needs one of everything, percent, or tenant_id, project_id, task_type; a plan none")
        return self
