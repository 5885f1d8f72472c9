"""How answers say what producers pushed into Redis past the gateway."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, Field


class PastGateway(BaseModel):
    """Tasks that producers pushed into Redis past the gateway, and that it does not know; as it saw them last."""

    tasks: int = Field(description="They wait in Redis, or a legacy worker runs them")
    set_aside: int = Field(description="Payloads that are no task anybody can run, and stand among the dead letters")
    last_at: datetime | None = Field(description="The youngest time that one of them names")
    looked_at: datetime | None = Field(description="When Redis was looked at last; null: never")
