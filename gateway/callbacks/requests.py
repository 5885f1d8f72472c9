"""Requests about callbacks, the same over HTTP and gRPC."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from gateway.callbacks.callback import CallbackEvent
from gateway.moment import Moment

State = Literal["pending", "delivered", "dead"]
Id = Annotated[str, Field(min_length=1, max_length=1000)]

_LONGEST_OVERLAP_HOURS = 30 * 24.0


class Resend(BaseModel):
    """Which of the callbacks that were given up are sent again. All given filters must match."""

    model_config = ConfigDict(extra="forbid")

    tenant_id: Id | None = None
    task_id: Id | None = None
    event: CallbackEvent | None = None
    given_up_before: Moment | None = Field(
        None,
        description="Only callbacks that were given up before this time. Default: now. From the second step on: "
        "the value of the first response.",
    )
    limit: Annotated[int, Field(ge=1, le=1000, description="Maximum number of callbacks in this step.")] = 500


class Rotation(BaseModel):
    """How a secret is replaced."""

    model_config = ConfigDict(extra="forbid")

    overlap_hours: Annotated[
        float,
        Field(
            ge=0,
            le=_LONGEST_OVERLAP_HOURS,
            allow_inf_nan=False,
            description="Hours for which the previous secret stays valid. 0: not at all.",
        ),
    ] = 24.0

    @property
    def overlap(self) -> timedelta:
        return timedelta(hours=self.overlap_hours)
