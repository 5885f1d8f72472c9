"""How answers say what producers pushed into Redis past the gateway."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, Field


class PastGateway(BaseModel):
    """Tasks that producers pushed into Redis past the gateway and that it does not know, as of the last look at
    Redis."""

    tasks: int = Field(description="Number of tasks that wait in Redis or that a legacy worker runs.")
    set_aside: int = Field(description="Number of payloads that are not valid tasks; they are dead letters.")
    last_at: datetime | None = Field(description="Latest time stamp of these tasks.")
    looked_at: datetime | None = Field(description="When the gateway last looked at Redis. Null: never.")
