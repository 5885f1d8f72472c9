"""Previews over PostgreSQL: recorded tasks as rows, the flag in the database, no engine."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest_asyncio

from backends.port import RetryPolicy
from gateway.dispatch.engine_start import StartBuilder
from gateway.migration.flags.store import TableStore
from gateway.migration.plans.checking import PlanChecker
from gateway.migration.plans.plans import Plans
from gateway.migration.preview.compiled import Compiled
from gateway.migration.preview.preview import Previews
from gateway.migration.preview.requests import ProposedChange
from gateway.migration.rehearsal.start_check import StartCheck
from gateway.migration.rehearsal.workers import LiveWorkers
from gateway.migration.stages.requests import SetRollout, SetStage
from gateway.migration.stages.service import StageService
from gateway.sandbox.pool import Sandbox
from gateway.storage.database import Database

KEY = "task-backend"
INLINE = 10_000


@dataclass
class PreviewWorld:
    """Recorded tasks, the flag, and previews."""

    database: Database
    stages: StageService
    plans: Plans
    previews: Previews

    async def preview(self, **asked: Any) -> dict[str, Any]:
        return await self.previews.of(ProposedChange(**asked))

    async def set_stage(self, tenant: str, stage: str) -> None:
        asked = SetStage(tenant_id=tenant, stage=stage, why="a test", based_on=await self.stages.seen(), force=True)
        await self.stages.set("ada", asked)

    async def roll_out(self, percent: float, unit: str) -> None:
        based_on = await self.stages.seen()
        asked = SetRollout(stage="live", percent=percent, unit=unit, why="a test", based_on=based_on, force=True)
        await self.stages.roll_out("ada", asked)

    async def ran(
        self,
        tenant: str,
        count: int,
        *,
        task_type: str = "backup",
        seconds: float = 1,
        hours_ago: float = 1,
        apart: float = 1,
        payload: str = "{}",
    ) -> None:
        """So many tasks came, so many seconds apart, and each ran so long."""
        await self.database.execute(
            """
            WITH made AS (
                SELECT concat_ws('-', $1::text, $2::text, n, $5::float8, octet_length($7::text)) AS id,
                       now() - make_interval(secs => $5::float8 * 3600) + make_interval(secs => n * $6::float8) AS at
                FROM generate_series(0, $3 - 1) AS n
            ), logs AS (
                INSERT INTO task_logs (id, group_id, task_type, status, created_at, payload)
                SELECT id, $1, $2, 'COMPLETED', at, $7::json FROM made
            )
            INSERT INTO taskgate.dispatch
                (task_id, tenant_id, group_id, task_type, state, created_at, claimed_at, finished_at)
            SELECT id, $1, $1, $2, 'completed', at, at, at + make_interval(secs => $4::float8) FROM made
            """,
            tenant,
            task_type,
            count,
            seconds,
            hours_ago,
            apart,
            payload,
        )


@pytest_asyncio.fixture
async def world(database: Database, database_url: str, plan_sandbox: Sandbox) -> AsyncIterator[PreviewWorld]:
    """Tenants acme, initech, umbrella, and globex (VIP), at stage off."""
    await database.execute("INSERT INTO users (id, email, name) VALUES ('u', 'u', 'u')")
    for tenant, plan in (("acme", "free"), ("initech", "free"), ("umbrella", "free"), ("globex", "vip")):
        await database.execute("INSERT INTO tenants (id, name, owner_id, plan) VALUES ($1, $1, 'u', $2)", tenant, plan)
    stages = StageService(database, TableStore(database, KEY), KEY, "test", configured=frozenset({"redis", "temporal"}))
    plans = Plans(database, PlanChecker(plan_sandbox))
    starts = StartBuilder(lambda tenant, tier, task_type: f"{tier}-{task_type}", RetryPolicy())
    check = StartCheck(
        None, starts, LiveWorkers(database), weight_of=lambda tenant: 1.0, name_workflow=lambda tenant, task_type: None
    )
    compiled = Compiled(database, check, inline_bytes=INLINE)
    previews = Previews(database, stages, plans, compiled, database_url=database_url, inline_bytes=INLINE)
    yield PreviewWorld(database, stages, plans, previews)
    await previews.close()
