"""Requests to change guardrails; HTTP, gRPC and the CLI share them."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from gateway.access.placement import Tier

Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=255)]
Why = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=1000),
    Field(description="Reason, for the audit log."),
]
#: A limit below a second or above a day is a mistake.
Seconds = Annotated[float, Field(ge=1, le=86_400, allow_inf_nan=False)]
Rate = Annotated[float, Field(ge=1, le=1_000_000, allow_inf_nan=False)]


class SetGuardrail(BaseModel):
    """Replaces the settings of one level: a tenant, a tier, or the default (if neither is given).

    A setting that is left out is taken from the next level: tenant, then tier, then default. If no level has it,
    `on_regression` is `roll_back`, `dry_run` is false, `on_threshold` is `notify`, and there are no limits.
    """

    model_config = ConfigDict(extra="forbid")
    tenant_id: Name | None = None
    tier: Tier | None = None
    on_regression: Literal["notify", "hold", "roll_back"] | None = Field(
        None, description="What to do after a proven regression: tasks fail more often, or run longer, than on Redis."
    )
    dry_run: bool | None = Field(None, description="Only report what would be done.")
    on_threshold: Literal["notify", "hold"] | None = Field(
        None, description="What to do when a limit is exceeded. A limit never causes a rollback."
    )
    queue_age_seconds: Seconds | None = Field(
        None, description="Limit for the age of the oldest waiting task, in seconds."
    )
    dead_letters_per_minute: Rate | None = Field(None, description="Limit for new dead letters per minute.")
    worker_losses_per_minute: Rate | None = Field(
        None, description="Limit for attempts per minute whose worker was lost."
    )
    why: Why

    @model_validator(mode="after")
    def _names_one_level(self) -> Self:
        if self.tenant_id is not None and self.tier is not None:
            raise ValueError("give tenant_id or tier, not both; neither means everybody")
        return self

    @property
    def scope(self) -> str:
        """As it is stored."""
        if self.tenant_id is not None:
            return f"tenant:{self.tenant_id}"
        return "default" if self.tier is None else f"tier:{self.tier}"

    @property
    def settings(self) -> dict[str, Any]:
        """Those that are given."""
        return self.model_dump(mode="json", exclude_none=True, exclude={"tenant_id", "tier", "why"})


class Unlock(BaseModel):
    """Unlocks a tenant that was rolled back too often, after a person has looked at it."""

    model_config = ConfigDict(extra="forbid")
    tenant_id: Name
    why: Why


class Unfreeze(BaseModel):
    """Ends a freeze, after a person has looked at why so many tenants regressed."""

    model_config = ConfigDict(extra="forbid")
    why: Why
