"""Pauses: tasks are accepted, but do not start until somebody ends the pause."""

from __future__ import annotations

import uuid
from collections.abc import Iterable

from gateway.audit.acts import Act, record
from gateway.errors import NotFound
from gateway.limits.limits import SQL, Limits, Pause
from gateway.storage.database import Database


class Pauses:
    """Every method raises `DatabaseUnavailable`."""

    def __init__(self, database: Database, limits: Limits) -> None:
        self._db = database
        self._limits = limits

    async def of_tenants(self, tenant_ids: Iterable[str]) -> list[Pause]:
        """The pauses that hold tasks of these tenants or of everybody, the oldest first."""
        return [Pause(**dict(row)) for row in await self._db.fetch(SQL.pauses_for, sorted(tenant_ids))]

    async def list(self) -> list[Pause]:
        """Every pause, the oldest first."""
        return [Pause(**dict(row)) for row in await self._db.fetch(SQL.pauses)]

    async def add(
        self, tenant_id: str | None, project_id: str | None, task_type: str | None, *, by: str, why: str
    ) -> tuple[Pause, bool]:
        """Add a pause. Returns it, and whether it is new: a second pause of the same scope returns the first one."""
        pause_id = f"pause-{uuid.uuid4().hex[:12]}"
        scope = {"tenant_id": tenant_id, "project_id": project_id, "task_type": task_type}
        while True:
            async with self._db.transaction() as db:
                row = await db.fetchrow(SQL.add_pause, pause_id, tenant_id, project_id, task_type, why, by)
                is_new = row is not None
                if is_new:
                    await record(db, Act("pause.add", f"pause:{pause_id}", by, why, None, scope))
            row = row or await self._db.fetchrow(SQL.pause_of_scope, tenant_id, project_id, task_type)
            if row is not None:
                break
        await self._limits.apply()
        return Pause(**dict(row)), is_new

    async def remove(self, pause_id: str, *, by: str, why: str | None) -> None:
        """End a pause; its tasks start at once. Raises `NotFound`."""
        async with self._db.transaction() as db:
            row = await db.fetchrow(SQL.remove_pause, pause_id)
            if row is None:
                raise NotFound("There is no such pause")
            scope = {name: row[name] for name in ("tenant_id", "project_id", "task_type", "why")}
            await record(db, Act("pause.remove", f"pause:{pause_id}", by, why, scope))
        await self._limits.apply()
