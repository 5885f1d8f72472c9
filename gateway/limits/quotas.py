"""Quotas: set and cleared by administrators, charged in the transaction that accepts tasks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from gateway.audit.acts import Act, record
from gateway.errors import NotFound, QuotaExceeded
from gateway.limits.limits import SQL, Limits
from gateway.storage.database import Database, type_Connection

_MINUTE = timedelta(minutes=1)
#: `Retry-After` of a full queue (seconds); the time when a task begins is unknown.
QUEUED_RETRY_SECONDS = 5
#: Tasks are counted up to this number when quotas are shown.
_MOST_SHOWN = 100_000


@dataclass(frozen=True, slots=True)
class Charge:
    """The part of a new task that concerns quotas; `size` of the payload in bytes.

    Of those that are `one_of` the same, only one is to be accepted.
    """

    tenant_id: str | None
    project_id: str | None
    size: int
    one_of: str


@dataclass(slots=True)
class _Demand:
    tasks: int = 0
    size: int = 0


class Quotas:
    """Every method raises `DatabaseUnavailable`."""

    def __init__(self, database: Database, limits: Limits) -> None:
        self._db = database
        self._limits = limits

    def covers(self, tenant_id: str | None, project_id: str | None) -> bool:
        """Whether a quota limits acceptance there; answered from memory."""
        return any(quota.limits_intake for quota in self._limits.quotas_of(tenant_id, project_id))

    async def charge(self, db: type_Connection, charges: Sequence[Charge]) -> None:
        """Charge these tasks, in the transaction that accepts them. Raises `QuotaExceeded`.

        The rows of their quotas stay locked until its end, so submissions of one tenant never exceed a quota together.
        """
        demands: dict[tuple[str, str], _Demand] = {}
        for charge in charges:
            for quota in self._limits.quotas_of(charge.tenant_id, charge.project_id):
                demand = demands.setdefault((quota.tenant_id, quota.project_id), _Demand())
                demand.tasks += 1
                demand.size += charge.size
        if not demands:
            return
        rows = await db.fetch(SQL.lock_quotas, [t for t, _ in demands], [p for _, p in demands])
        for row in rows:
            key = row["tenant_id"], row["project_id"]
            _check_queued(row, await _queued(db, row), demands[key])
            await db.execute(SQL.charge, *key, *_used(row, demands[key]))

    async def charge_each(self, db: type_Connection, charges: Sequence[Charge]) -> dict[int, QuotaExceeded]:
        """Charge those of these tasks that fit, in their order. Returns by index why the others do not.

        Those that are `one_of` the same as an earlier one that fits are neither charged nor returned.
        """
        scopes = [self._limits.quotas_of(charge.tenant_id, charge.project_id) for charge in charges]
        keys = list({(quota.tenant_id, quota.project_id): None for quotas in scopes for quota in quotas})
        rows = {}
        queued = {}
        for row in await db.fetch(SQL.lock_quotas, [t for t, _ in keys], [p for _, p in keys]) if keys else ():
            key = row["tenant_id"], row["project_id"]
            rows[key], queued[key] = row, await _queued(db, row)
        demands = {key: _Demand() for key in rows}
        refused: dict[int, QuotaExceeded] = {}
        settled: set[str] = set()
        for index, (charge, quotas) in enumerate(zip(charges, scopes, strict=True)):
            if charge.one_of in settled:
                continue
            its = [key for quota in quotas if (key := (quota.tenant_id, quota.project_id)) in rows]
            wanted = {key: _Demand(demands[key].tasks + 1, demands[key].size + charge.size) for key in its}
            alone = _Demand(1, charge.size)
            try:
                for key, demand in wanted.items():
                    _check_queued(rows[key], queued[key], demand, alone)
                    _used(rows[key], demand, alone)
            except QuotaExceeded as error:
                refused[index] = error
            else:
                demands |= wanted
                settled.add(charge.one_of)
        for key, demand in demands.items():
            if demand.tasks:
                await db.execute(SQL.charge, *key, *_used(rows[key], demand))
        return refused

    async def set(
        self,
        tenant_id: str,
        project_id: str,
        *,
        queued: int | None,
        running: int | None,
        per_minute: int | None,
        bytes_per_day: int | None,
        by: str,
        why: str | None,
    ) -> None:
        """Replace the quotas of a scope. Tasks that are queued or running stay."""
        limits = {"queued": queued, "running": running, "per_minute": per_minute, "bytes_per_day": bytes_per_day}
        async with self._db.transaction() as db:
            row = await db.fetchrow(SQL.set_quota, tenant_id, project_id, *limits.values(), by, why)
            before = None if row is None or row["before"] is None else orjson.loads(row["before"])
            await record(db, Act("quota.set", _place(tenant_id, project_id), by, why, before, limits))
        await self._limits.apply((tenant_id, project_id) if running is not None else None)

    async def clear(self, tenant_id: str, project_id: str, *, by: str, why: str | None) -> None:
        """Remove the quotas of a scope. Raises `NotFound`."""
        async with self._db.transaction() as db:
            row = await db.fetchrow(SQL.clear_quota, tenant_id, project_id)
            if row is None:
                raise NotFound("There is no such quota")
            before = orjson.loads(row["before"])
            await record(db, Act("quota.clear", _place(tenant_id, project_id), by, why, before))
        await self._limits.apply()

    async def usage(self, tenant_id: str) -> list[dict[str, Any]]:
        """The quotas of a tenant and its projects, with their use."""
        return [_shown(row) for row in await self._db.fetch(SQL.usage, tenant_id, _MOST_SHOWN)]


def _place(tenant_id: str, project_id: str) -> str:
    return f"tenant:{tenant_id}" + (f",project:{project_id}" if project_id else "")


async def _queued(db: type_Connection, row: Any) -> int:
    """The number of tasks that count for `queued`, up to the number that matters."""
    limit = row["queued"]
    return 0 if limit is None else await db.fetchval(SQL.queued_tasks, row["tenant_id"], row["project_id"], limit + 1)


def _check_queued(row: Any, queued: int, demand: _Demand, alone: _Demand | None = None) -> None:
    """Raises `QuotaExceeded`."""
    limit = row["queued"]
    if limit is not None and queued + demand.tasks > limit:
        raise _exceeded(row, "queued", limit, (alone or demand).tasks, QUEUED_RETRY_SECONDS)


def _used(row: Any, demand: _Demand, alone: _Demand | None = None) -> tuple[datetime, int, int, Any, int]:
    """The new values of the row. `alone`: the part of the demand that could be accepted without the rest.

    Raises `QuotaExceeded`.

    The last 60 seconds are the present minute, and the part of the previous one that lies in them, as if its tasks had
    come evenly.
    """
    now = row["now"].astimezone(UTC)
    minute = now.replace(second=0, microsecond=0)
    tasks, previous = _minutes(row, minute)
    limit = row["per_minute"]
    if limit is not None and (wait := _rate_wait(limit, tasks, previous, demand.tasks, (now - minute).total_seconds())):
        raise _exceeded(row, "per_minute", limit, (alone or demand).tasks, wait)
    day = now.date()
    used = row["day_bytes"] if row["day"] == day else 0
    limit = row["bytes_per_day"]
    if limit is not None and used + demand.size > limit:
        midnight = datetime(now.year, now.month, now.day, tzinfo=UTC) + timedelta(days=1)
        wait = math.ceil((midnight - now).total_seconds())
        raise _exceeded(row, "bytes_per_day", limit, (alone or demand).size, wait)
    return minute, tasks + demand.tasks, previous, day, used + demand.size


def _minutes(row: Any, minute: datetime) -> tuple[int, int]:
    """Tasks accepted in the present minute, and in the previous one."""
    if row["minute_at"] == minute:
        return row["minute_tasks"], row["previous_tasks"]
    return 0, row["minute_tasks"] if row["minute_at"] == minute - _MINUTE else 0


def _rate_wait(limit: int, tasks: int, previous: int, more: int, elapsed: float) -> int:
    """Whole seconds until `more` tasks fit; 0: they fit now. If they never fit: a minute."""
    if tasks + previous * (60 - elapsed) / 60 + more <= limit:
        return 0
    if more > limit:
        return 60
    if tasks + more <= limit:
        return max(math.ceil(60 * (1 - (limit - tasks - more) / previous) - elapsed), 1)
    return max(math.ceil(60 - elapsed + 60 * (1 - (limit - more) / tasks)), 1)


def _exceeded(row: Any, quota: str, limit: int, wanted: int, retry_after: int) -> QuotaExceeded:
    return QuotaExceeded(
        quota, limit, project_id=row["project_id"] or None, never=wanted > limit, retry_after=max(retry_after, 1)
    )


def _shown(row: Any) -> dict[str, Any]:
    now = row["now"].astimezone(UTC)
    minute = now.replace(second=0, microsecond=0)
    tasks, previous = _minutes(row, minute)
    recent = tasks + previous * (60 - (now - minute).total_seconds()) / 60
    return {
        "project_id": row["project_id"] or None,
        "limits": {name: row[name] for name in ("queued", "running", "per_minute", "bytes_per_day")},
        "used": {
            "queued": row["queued_tasks"],
            "running": row["running_tasks"],
            "per_minute": math.ceil(recent),
            "bytes_per_day": row["day_bytes"],
        },
        "set_by": row["set_by"],
        "set_at": row["set_at"],
        "why": row["why"],
    }
