"""What may be asked of the stages, over whatever face."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from gateway.routing.query import Scope

StageName = Literal["off", "dualwrite", "shadow", "live", "rampdown", "complete"]
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=255)]
Why = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=1000),
    Field(description="The reason, for the record"),
]
Version = Annotated[int, Field(ge=0, le=2**63 - 1)]


class Change(BaseModel):
    """Who changes something says why, and which version it has seen."""

    model_config = ConfigDict(extra="forbid")
    why: Why
    based_on: Annotated[Version, Field(description="The version that this change is based on; 0: there was none")]


class Insisting(Change):
    """A change that something may speak against."""

    force: bool = Field(False, description="Also for a tenant nobody knows, and when tasks are left on Redis")


class _Scoped(Change):
    tenant_id: Name | None = None
    project_id: Name | None = None
    task_type: Name | None = None

    @property
    def scope(self) -> Scope:
        return Scope(self.tenant_id, self.project_id, self.task_type)


class OwnScope(_Scoped):
    """For a tenant, a project, a task type, or a combination of them."""

    @model_validator(mode="after")
    def _names_something(self) -> Self:
        if self.scope.is_default:
            raise ValueError("give tenant_id, project_id or task_type")
        return self


class AnyScope(_Scoped):
    """For a tenant, a project, a task type, a combination of them, or (`everything`) all."""

    everything: bool = Field(False, description="For all that nothing else is set for; an override: for all")

    @model_validator(mode="after")
    def _names_something(self) -> Self:
        if self.scope.is_default != self.everything:
            raise ValueError("give either everything, or tenant_id, project_id or task_type")
        return self


class SetStage(AnyScope, Insisting):
    """A stage in the flag."""

    stage: StageName


class UnsetStage(OwnScope, Insisting):
    """No stage of its own: it follows what is less specific."""


class SetRollout(Insisting):
    """A percentage of those that nothing else is set for; raising it later only ever adds."""

    stage: StageName
    percent: Annotated[float, Field(ge=0, le=100, allow_inf_nan=False, description="Three decimals")]
    unit: Literal["tenant", "task"] | None = Field(
        None, description="Whether whole tenants or single tasks move; left out: as it is, at first tenants"
    )


class MoveTenants(Insisting):
    """Stages of tenants, set together; null: no stage of its own."""

    stages: dict[Name, StageName | None]


class ImportFlags(Insisting):
    """Everything that holds the flag, replaced by this document."""

    document: dict[str, Any] = Field(description="LaunchDarkly's flag data: `flags`, `segments`")


class SetOverride(AnyScope, Insisting):
    """A stage above the flag, at once."""

    stage: StageName
    minutes: Annotated[float, Field(gt=0, lt=60 * 24 * 3650, allow_inf_nan=False)] | None = Field(
        None, description="How long it lasts; left out: until it is cleared"
    )


class ClearOverride(AnyScope):
    """The flag decides again."""
