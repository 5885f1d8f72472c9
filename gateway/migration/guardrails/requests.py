"""What may be asked of guardrails, over whatever face."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from gateway.access.placement import Tier

Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=255)]
Why = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=1000),
    Field(description="The reason, for the record"),
]
#: A limit below a blink or beyond a day is a mistake.
Seconds = Annotated[float, Field(ge=1, le=86_400, allow_inf_nan=False)]
Rate = Annotated[float, Field(ge=1, le=1_000_000, allow_inf_nan=False)]


class SetGuardrail(BaseModel):
    """Replaces what is set at one level: a tenant's, a tier's, or (neither is given) everybody's.

    What is left out is that of the next level: tenant, tier, everybody, and `roll_back` without limits in the end.
    """

    model_config = ConfigDict(extra="forbid")
    tenant_id: Name | None = None
    tier: Tier | None = None
    on_regression: Literal["notify", "hold", "roll_back"] | None = Field(
        None, description="What is done when tasks are proved to do worse than on Redis"
    )
    dry_run: bool | None = Field(None, description="Only report what would be done")
    on_threshold: Literal["notify", "hold"] | None = Field(
        None, description="What is done beyond a limit; a limit never rolls back by itself"
    )
    queue_age_seconds: Seconds | None = Field(None, description="Of the oldest task that nobody has begun")
    dead_letters_per_minute: Rate | None = None
    worker_losses_per_minute: Rate | None = Field(None, description="Runs that lost their worker")
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
    """A person has looked at a tenant that was rolled back too often."""

    model_config = ConfigDict(extra="forbid")
    tenant_id: Name
    why: Why


class Unfreeze(BaseModel):
    """A person has looked at why so many tripped at once."""

    model_config = ConfigDict(extra="forbid")
    why: Why
