"""Requests to change stages; HTTP, gRPC and the CLI share them."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from gateway.routing.query import Scope

StageName = Literal["off", "dualwrite", "shadow", "live", "rampdown", "complete"]
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=255)]
Why = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=1000),
    Field(description="Reason, for the audit log."),
]
Version = Annotated[int, Field(ge=0, le=2**63 - 1)]


class Change(BaseModel):
    """A change with its reason and the version that its maker has seen."""

    model_config = ConfigDict(extra="forbid")
    why: Why
    based_on: Annotated[
        Version,
        Field(
            description="Version that the caller has seen; 0: there was none. If it has changed since, the request "
            "is answered 409."
        ),
    ]


class Insisting(Change):
    """A change that may be refused unless `force` is given."""

    force: bool = Field(
        False,
        description="Make the change even if the tenant is unknown, tasks would be stranded on Redis, or a "
        "guardrail holds the tenant.",
    )


class _Scoped(Change):
    tenant_id: Name | None = Field(None, description="Scope: this tenant.")
    project_id: Name | None = Field(None, description="Scope: this project.")
    task_type: Name | None = Field(None, description="Scope: this task type.")

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
    """For a tenant, a project, a task type, a combination of them, or (`everything`) the default."""

    everything: bool = Field(
        False,
        description="Change the default, which applies where nothing else is set. Of an override: it applies to "
        "all tasks.",
    )

    @model_validator(mode="after")
    def _names_something(self) -> Self:
        if self.scope.is_default != self.everything:
            raise ValueError("give either everything, or tenant_id, project_id or task_type")
        return self


class SetStage(AnyScope, Insisting):
    """Sets a stage in the flag. Give `everything`, or one or more of `tenant_id`, `project_id` and `task_type`."""

    stage: StageName


class UnsetStage(OwnScope, Insisting):
    """Removes the stage of a scope. The next less specific setting applies again."""


class SetRollout(Insisting):
    """Moves a percentage of the default to a stage. A higher percentage keeps those already moved."""

    stage: StageName
    percent: Annotated[
        float, Field(ge=0, le=100, allow_inf_nan=False, description="Percentage, with at most three decimals.")
    ]
    unit: Literal["tenant", "task"] | None = Field(
        None,
        description="Whether whole tenants or single tasks are moved. Default: as in the last rollout; `tenant` "
        "in the first.",
    )


class MoveTenants(Insisting):
    """Sets the stages of several tenants in one change. Null removes the tenant's own stage."""

    stages: dict[Name, StageName | None]


class ImportFlags(Insisting):
    """Replaces the whole stored flag data."""

    document: dict[str, Any] = Field(description="Flag data in LaunchDarkly's format, with `flags` and `segments`.")


class SetOverride(AnyScope, Insisting):
    """Sets an override: a stage that has precedence over the flag. Give `everything`, or one or more of `tenant_id`,
    `project_id` and `task_type`."""

    stage: StageName
    minutes: Annotated[float, Field(gt=0, lt=60 * 24 * 3650, allow_inf_nan=False)] | None = Field(
        None, description="Minutes until the override ends by itself. Default: it stays until it is cleared."
    )


class ClearOverride(AnyScope):
    """Clears an override. The flag decides again."""
