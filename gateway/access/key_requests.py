"""What is asked about keys, the same over HTTP and gRPC."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from gateway.moment import Moment

ScopeName = Literal["read", "submit", "operate", "admin"]
KeyState = Literal["active", "expired", "revoked"]
Id = Annotated[str, Field(min_length=1, max_length=255)]
Why = Annotated[str | None, Field(max_length=1000, description="For the record")]

#: Longest time for which a key that was rotated stays valid (seconds): 90 days.
LONGEST_OVERLAP = 90 * 86_400


class NewKey(BaseModel):
    """The key to make. Only administrators make keys for other users, or for no single tenant."""

    model_config = ConfigDict(extra="forbid")
    name: Annotated[str, Field(min_length=1, max_length=255, description="For people")]
    scope: ScopeName = Field(description="What it may be used for; each includes those before it")
    tenant_id: Id | None = Field(None, description="For this tenant only")
    project_id: Id | None = Field(None, description="For this project of the tenant only")
    user_id: Id | None = Field(None, description="Whose key it is, and so whose roles it has; left out: the caller's")
    expires_at: Moment | None = Field(None, description="Left out: it does not expire")
    per_minute: int | None = Field(None, ge=1, le=10_000_000, description="Requests, at each gateway; left out: any")
    why: Why = None


class KeyRotation(BaseModel):
    """How a key is followed by a new one."""

    model_config = ConfigDict(extra="forbid")
    overlap_seconds: float = Field(
        86_400, ge=0, le=LONGEST_OVERLAP, description="How long the old key stays valid; 0: it ends at once"
    )
    expires_at: Moment | None = Field(None, description="When the new key expires; left out: never")
    why: Why = None


class KeyView(BaseModel):
    """A key, without the key itself."""

    key_id: str
    name: str
    user_id: str
    state: KeyState
    scope: ScopeName | None = Field(description="Null: made by MemStack; it may what its permissions name")
    permissions: list[str] = Field(description="As MemStack reads them")
    tenant_id: str | None = Field(description="For this tenant only")
    project_id: str | None = Field(description="For this project only")
    per_minute: int | None
    created_at: datetime
    created_by: str | None = Field(description="Null: MemStack")
    expires_at: datetime | None
    last_used_at: datetime | None
    addresses: list[str] = Field(description="Of its newest uses, the newest first; 32 at most")
    revoked_by: str | None
    revoked_at: datetime | None
    replaces: str | None = Field(description="The key that it follows")
    replaced_by: str | None = Field(description="The key that follows it")


class MadeKey(KeyView):
    """A new key. It is shown this once."""

    key: str
