"""The secrets that a tenant's callbacks are signed with: one is current, those before it are valid for a while.

To make a new one shortens the time of none but the current one: a caller who lost the answer makes another, and what
receivers know goes on to sign.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from gateway.access.placement import Caller
from gateway.audit.acts import Act, record
from gateway.callbacks.deliverer import NO_SECRET, SQL
from gateway.callbacks.errors import TooManySecrets
from gateway.callbacks.signing import create_secret
from gateway.errors import NotFound
from gateway.storage.database import Database
from gateway.tasks.queries.task_log import storable

#: So many are valid at once at most: each signs each callback.
MOST_VALID = 4


@dataclass(frozen=True, slots=True)
class NewSecret:
    """A secret, shown this once."""

    secret: str
    created_at: datetime


class TenantSecrets:
    """For owners and administrators of the tenant. Every method raises `NotFound` (a tenant that the caller does not
    belong to), `Forbidden` (one that it does not administer), `DatabaseUnavailable`.
    """

    def __init__(self, database: Database, wake: Callable[[], None]) -> None:
        self._db = database
        self._wake = wake

    async def rotate(self, caller: Caller, tenant_id: str, overlap: timedelta, *, actor: str) -> NewSecret:
        """Make a new secret the current one; the one before it stays valid for `overlap`, an older one as it was.

        With no overlap all of them end now. Raises `TooManySecrets`.
        """
        await self._check(caller, tenant_id)
        secret = create_secret()
        async with self._db.transaction() as db:
            await db.execute(SQL.lock_secrets, tenant_id)
            await db.execute(SQL.retire_secrets, tenant_id, overlap.total_seconds())
            if await db.fetchval(SQL.count_secrets, tenant_id) >= MOST_VALID:
                raise TooManySecrets
            created_at = await db.fetchval(SQL.add_secret, tenant_id, secret, actor)
            await db.execute(SQL.now_signed, tenant_id, NO_SECRET)
            detail = {"overlap_seconds": overlap.total_seconds()}
            await record(db, Act("webhook_secret.rotate", f"tenant:{tenant_id}", actor, detail=detail))
        self._wake()
        return NewSecret(secret, created_at)

    async def list(self, caller: Caller, tenant_id: str) -> list[dict[str, Any]]:
        """The valid ones, the current one first, without the secrets themselves."""
        await self._check(caller, tenant_id)
        return [dict(row) for row in await self._db.fetch(SQL.list_secrets, tenant_id)]

    async def _check(self, caller: Caller, tenant_id: str) -> None:
        is_seen = caller.sees(tenant_id) and storable(tenant_id)
        if not (is_seen and await self._db.fetchval(SQL.is_tenant, tenant_id)):
            raise NotFound("There is no such tenant")
        caller.check(tenant_id)
