"""What PostgreSQL says of the tasks and processes of a history."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from gateway.recovery.leader import LEADER_KEY
from gateway.recovery.lease import LOCK_CLASS


class Rows:
    """Each look has a connection of its own: faults strike the server."""

    def __init__(self, url: str) -> None:
        self._url = url

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[asyncpg.Connection]:
        """A connection as superuser, past every link."""
        connection = await asyncpg.connect(self._url)
        try:
            yield connection
        finally:
            await connection.close()

    async def open_tasks(self) -> list[str]:
        """Ids of the tasks that are not over."""
        return await self._column(
            "SELECT task_id FROM taskgate.dispatch WHERE state NOT IN ('completed', 'failed', 'stopped')"
        )

    async def waits_in_redis(self, tenant: str) -> int:
        """How many tasks of the tenant Redis holds, as far as nobody says that they have begun."""
        [count] = await self._column(
            "SELECT count(*) FROM taskgate.dispatch WHERE tenant_id = $1 AND state = 'queued' AND backend = 'redis'",
            tenant,
        )
        return int(count)

    async def first_runs(self, tenant: str, task_type: str) -> int:
        """How many tasks of this type have been counted on Redis."""
        [count] = await self._column(
            "SELECT count(*) FROM taskgate.outcome WHERE tenant_id = $1 AND task_type = $2 AND failed IS NOT NULL"
            " AND backend = 'redis'",
            tenant,
            task_type,
        )
        return int(count)

    async def guardrail_phase(self, tenant: str) -> str | None:
        """None: it was never moved."""
        found = await self._column("SELECT phase FROM taskgate.guardrail WHERE tenant_id = $1", tenant)
        return found[0] if found else None

    async def rolled_back(self) -> int:
        """How many tenants were taken back by their guardrails."""
        [count] = await self._column("SELECT count(*) FROM taskgate.guardrail_event WHERE kind = 'rolled_back'")
        return int(count)

    async def stopped_but_not_failed(self) -> int:
        """How many stopped tasks still have something else in `task_logs`."""
        [count] = await self._column(
            "SELECT count(*) FROM taskgate.dispatch d JOIN task_logs t ON t.id = d.task_id"
            " WHERE d.state = 'stopped' AND t.status <> 'FAILED'"
        )
        return int(count)

    async def pids_that_run_nodes(self) -> list[int]:
        """Worker processes that run a node of a DAG at this moment."""
        return await self._column(
            "SELECT DISTINCT p.pid FROM taskgate.dispatch d JOIN taskgate.process p ON p.process_id = d.worker_id"
            " WHERE d.state = 'running' AND d.dag_run_id IS NOT NULL AND p.lost_at IS NULL ORDER BY p.pid"
        )

    async def pids_with_a_lease(self) -> set[int]:
        """Worker processes whose lease was renewed just now, not merely begun."""
        return set(
            await self._column(
                "SELECT pid FROM taskgate.process WHERE lost_at IS NULL AND renewed_at > started_at"
                " AND renewed_at > now() - interval '2 seconds'"
            )
        )

    async def rehearsed(self) -> tuple[int, int]:
        """Tasks whose start on Temporal was checked, and those of them whose probe was answered well."""
        async with self.connected() as connection:
            row = await connection.fetchrow(
                "SELECT COALESCE(sum(tasks) FILTER (WHERE what IN ('ready', 'not_ready', 'unknown')), 0)::int,"
                " COALESCE(sum(tasks) FILTER (WHERE what IN ('probe:rehearsed', 'probe:no_rehearse')), 0)::int"
                " FROM taskgate.rehearsal_count"
            )
        return int(row[0]), int(row[1])

    async def port_of_leader(self) -> int | None:
        """The client's port of the connection under which a gateway leads; None when none leads."""
        ports = await self._column(
            "SELECT a.client_port FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE l.locktype = 'advisory'"
            " AND l.granted AND l.classid = $1::bigint::oid AND l.objid = $2::bigint::oid",
            LOCK_CLASS,
            LEADER_KEY % 2**32,
        )
        return ports[0] if ports else None

    async def _column(self, query: str, *arguments: Any) -> list[Any]:
        async with self.connected() as connection:
            return [row[0] for row in await connection.fetch(query, *arguments)]
