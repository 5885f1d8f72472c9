"""What is asked about keys, the same over HTTP and gRPC."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from gateway.moment import Moment

ScopeName = Literal["read", "submit", "operate", "admin"]
KeyState = Literal["active", "expired", "revoked"]
Id = Annotated[str, Field(min_length=1, max_length=255)]
Why = Annotated[str | None, Field(max_length=1000, description="Reason, for the audit log.")]

#: Longest time for which a key that was rotated stays valid (seconds): 90 days.
LONGEST_OVERLAP = 90 * 86_400


class NewKey(BaseModel):
    """A key to create. Only administrators may create keys for other users, or without `tenant_id`."""

    model_config = ConfigDict(extra="forbid")
    name: Annotated[str, Field(min_length=1, max_length=255, description="Name for people.")]
    scope: ScopeName = Field(
        description="What the key may be used for. Each scope includes the ones before it: `read`, `submit`, "
        "`operate`, `admin`."
    )
    tenant_id: Id | None = Field(None, description="Restrict the key to this tenant. Default: all tenants of its user.")
    project_id: Id | None = Field(
        None, description="Restrict the key to this project of the tenant. Default: all projects."
    )
    user_id: Id | None = Field(None, description="User of the key, whose roles it has. Default: the caller.")
    expires_at: Moment | None = Field(None, description="When the key expires. Default: never.")
    per_minute: int | None = Field(
        None,
        ge=1,
        le=10_000_000,
        description="Maximum number of requests per minute, at each gateway. Default: no limit.",
    )
    why: Why = None


class KeyRotation(BaseModel):
    """How a key is replaced by a new one."""

    model_config = ConfigDict(extra="forbid")
    overlap_seconds: float = Field(
        86_400,
        ge=0,
        le=LONGEST_OVERLAP,
        description="Seconds for which the old key stays valid. 0: it becomes invalid at once.",
    )
    expires_at: Moment | None = Field(None, description="When the new key expires. Default: never.")
    why: Why = None


class KeyView(BaseModel):
    """An API key, without its value."""

    key_id: str
    name: str
    user_id: str
    state: KeyState
    scope: ScopeName | None = Field(
        description="Null: MemStack created the key, and its `permissions` decide what it may do."
    )
    permissions: list[str] = Field(description="Permissions, as MemStack reads them.")
    tenant_id: str | None = Field(description="Tenant that the key is restricted to. Null: none.")
    project_id: str | None = Field(description="Project that the key is restricted to. Null: none.")
    per_minute: int | None = Field(
        description="Maximum number of requests per minute, at each gateway. Null: no limit."
    )
    created_at: datetime
    created_by: str | None = Field(description="User who created the key. Null: MemStack created it.")
    expires_at: datetime | None
    last_used_at: datetime | None
    addresses: list[str] = Field(description="Addresses of the newest uses, newest first; 32 at most.")
    revoked_by: str | None
    revoked_at: datetime | None
    replaces: str | None = Field(description="ID of the key that this one replaces.")
    replaced_by: str | None = Field(description="ID of the key that replaces this one.")


class MadeKey(KeyView):
    """A new key. This response is the only one that shows it."""

    key: str = Field(description="The key itself.")
