"""A gateway that is not started, with engines in memory: a test does the loops' work itself, a step at a time."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from backends.memory.engine import MemoryEngine
from gateway.access.placement import Placement, Tier
from gateway.bootstrap import Gateway, build_gateway
from gateway.routing.stages import Stage
from gateway.routing.testing import StaticFlags
from gateway.settings import Settings
from gateway.storage.database import Database
from gateway.storage.schema.seed import seed
from gateway.submission.new_task import NewTask

WORKER = "w1"
DUE = "SELECT EXISTS (SELECT 1 FROM taskgate.dispatch WHERE state = 'waiting' AND held IS NULL AND due_at <= now())"


class World:
    """Tasks are of tenant initech unless they say otherwise; they go to Temporal's stand-in."""

    def __init__(self, gateway: Gateway, engine: MemoryEngine) -> None:
        self.gateway = gateway
        self.engine = engine
        self.database = gateway.database

    async def submit(
        self,
        count: int = 1,
        *,
        tenant: str = "initech",
        project: str | None = None,
        tier: Tier = Tier.STANDARD,
        **fields: Any,
    ) -> list[str]:
        tasks = [
            NewTask(
                fields.get("task_type", "add_episode"),
                f"g{n}",
                {},
                Placement(tenant, project, tier.value),
                None,
                priority=fields.get("priority", 3),
                dag_run_id=fields.get("dag_run_id"),
            )
            for n in range(count)
        ]
        await self.gateway.intake.submit(tasks)
        await self.step()
        return [task.task_id for task in tasks]

    async def step(self) -> None:
        """Dispatch what is due, and let every start end."""
        await self.gateway.task_limits.refresh()
        while True:
            while await self.gateway.dispatcher.sweep():
                pass
            await self.gateway.dispatcher.close()
            if not await self.database.fetchval(DUE):
                return

    async def claim(self, task_id: str) -> Any:
        row = await self.database.fetchrow("SELECT backend, epoch FROM taskgate.dispatch WHERE task_id = $1", task_id)
        assert row is not None
        return await self.gateway.transitions.claim(
            task_id, row["backend"] or "temporal", row["epoch"], WORKER, with_payload=False
        )

    async def run(self, task_id: str) -> None:
        claim = await self.claim(task_id)
        assert claim is not None
        assert await self.gateway.transitions.complete(task_id, claim.attempt)
        await self.step()

    async def rows(self) -> dict[str, Any]:
        rows = await self.database.fetch("SELECT * FROM taskgate.dispatch ORDER BY created_at")
        return {row["task_id"]: row for row in rows}

    async def count(self, **wanted: Any) -> int:
        """Tasks whose rows say this."""
        return sum(all(row[name] == value for name, value in wanted.items()) for row in (await self.rows()).values())


@pytest.fixture
async def world(database: Database) -> AsyncIterator[World]:
    await seed(database.url)
    await database.execute(
        "INSERT INTO taskgate.process (process_id, kind, host, pid, version, lock_key)"
        " VALUES ($1, 'worker', 'h', 1, '0', 7)",
        WORKER,
    )
    engines = {name: MemoryEngine(name=name) for name in ("redis", "temporal")}
    gateway = build_gateway(Settings(database_url=database.url), engines=engines)
    gateway.router._flags, gateway.router._entries = StaticFlags(Stage.LIVE), None
    yield World(gateway, engines["temporal"])
    await gateway.close()
