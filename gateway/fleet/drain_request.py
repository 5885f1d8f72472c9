"""What is asked to drain a worker, the same over HTTP and gRPC."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class DrainRequest(BaseModel):
    """Why the worker is to leave."""

    model_config = ConfigDict(extra="forbid")
    why: Annotated[str, Field(min_length=1, max_length=1000, description="For the audit")]
