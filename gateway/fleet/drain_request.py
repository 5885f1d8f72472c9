"""What is asked to drain a worker, the same over HTTP and gRPC."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class DrainRequest(BaseModel):
    """A request to drain a worker."""

    model_config = ConfigDict(extra="forbid")
    why: Annotated[str, Field(min_length=1, max_length=1000, description="Reason, for the audit log.")]
