"""Reads callbacks, and sends them again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gateway.access.placement import Caller
from gateway.audit.acts import Act, record
from gateway.callbacks.deliverer import SQL
from gateway.callbacks.errors import DeliveryNotFound, DeliveryNotResendable
from gateway.callbacks.requests import Resend
from gateway.storage.database import Database
from gateway.storage.paging import Place
from gateway.storage.queries import Conditions
from gateway.tasks.queries.task_log import storable

_LIST = "callbacks"


@dataclass(frozen=True, slots=True)
class DeliveryFilter:
    """Which callbacks; None means any."""

    tenant_id: str | None = None
    task_id: str | None = None
    state: str | None = None
    event: str | None = None
    ended_before: datetime | None = None


@dataclass(frozen=True, slots=True)
class Resent:
    """One step: how many are sent again. The next step is to ask for those that were given up before the same time."""

    resent: int
    given_up_before: datetime


class Deliveries:
    """A `caller` sees the callbacks of its tenants, an administrator all. Every method raises `DatabaseUnavailable`."""

    def __init__(self, database: Database, wake: Callable[[], None]) -> None:
        self._db = database
        self._wake = wake

    async def list(
        self, caller: Caller, which: DeliveryFilter, *, limit: int, cursor: str | None = None
    ) -> tuple[list[dict[str, Any]], str | None]:
        """One page, newest first, and where the next one begins. Raises `InvalidRequest` (the cursor)."""
        condition = Conditions()
        if not caller.is_admin:
            condition.add(SQL.where_tenants, sorted(caller.tenant_ids))
        condition.add_given(
            (SQL.where_tenant, which.tenant_id),
            (SQL.where_task, which.task_id),
            (SQL.where_state, which.state),
            (SQL.where_event, which.event),
            (SQL.where_ended_before, which.ended_before),
        )
        if (after := Place.of(cursor, _LIST)) is not None:
            condition.add(SQL.where_beyond, after.at, after.id)
        query = SQL.list.replace("/*columns*/", SQL.columns).replace("/*where*/", str(condition))
        query = query.replace("/*limit*/", str(limit + 1))
        rows = [dict(row) for row in await self._db.fetch(query, *condition.arguments)]
        page = rows[:limit]
        return page, Place(page[-1]["created_at"], page[-1]["id"]).cursor_in(_LIST) if len(rows) > limit else None

    async def get(self, caller: Caller, delivery_id: str) -> dict[str, Any]:
        """One callback with the body that is sent. Raises `DeliveryNotFound`."""
        query = SQL.get.replace("/*columns*/", SQL.columns)
        row = await self._db.fetchrow(query, delivery_id) if storable(delivery_id) else None
        if row is None or not caller.sees(row["tenant_id"], row["project_id"]):
            raise DeliveryNotFound
        delivery = dict(row)
        caller.check(delivery["tenant_id"], delivery.pop("project_id"))
        return delivery

    async def resend(self, caller: Caller, delivery_id: str, *, actor: str) -> None:
        """Send it again, under the same id. Raises `DeliveryNotFound`, `DeliveryNotResendable`."""
        await self.get(caller, delivery_id)
        if not await self._again([delivery_id], actor):
            raise DeliveryNotResendable

    async def resend_dead(self, caller: Caller, asked: Resend, *, actor: str) -> Resent:
        """Send callbacks again that were given up, at most so many, the newest first.

        A receiver may end one at once: without the time, steps without end would send it again and again.
        """
        caller.check_all(asked.tenant_id, None)
        before = asked.given_up_before or await self._db.fetchval(SQL.now)
        which = DeliveryFilter(asked.tenant_id, asked.task_id, "dead", asked.event, before)
        page, _ = await self.list(caller, which, limit=asked.limit)
        return Resent(await self._again([delivery["id"] for delivery in page], actor) if page else 0, before)

    async def _again(self, ids: Sequence[str], actor: str) -> int:
        async with self._db.transaction() as db:
            rows = await db.fetch(SQL.resend, ids)
            if rows:
                subject = f"callback:{ids[0]}" if len(ids) == 1 else f"{len(rows)} callbacks"
                detail = {"ids": [row["id"] for row in rows]}
                await record(db, Act("callback.resend", subject, actor, detail=detail))
        self._wake()
        return len(rows)
