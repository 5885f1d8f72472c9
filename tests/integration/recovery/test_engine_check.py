"""What an engine does not answer keeps nobody from looking at the rest of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest_asyncio

from backends.memory.engine import MemoryEngine
from backends.port import WorkflowRef, WorkflowStatus
from gateway.bootstrap import Gateway, build_gateway
from gateway.routing.stages import Stage
from gateway.routing.testing import StaticFlags
from gateway.settings import Settings
from gateway.storage.database import Database
from workers.testing.waiting import eventually

IS_NOTED = "SELECT count(*) = 1 FROM taskgate.engine_memory WHERE after_group IS NULL"
AGE = "UPDATE taskgate.dispatch SET queued_at = now() - interval '1 minute'"
#: More than three pages of waiting tasks.
LOST = 65


class GreyEngine(MemoryEngine):
    """Answers nothing of these names, and nothing about this task."""

    silent: frozenset[str] = frozenset()
    silent_about = ""

    async def _answer(self, name: str, task_id: str = "-") -> None:
        if name in self.silent or task_id == self.silent_about:
            await asyncio.Event().wait()

    async def list_ended(self, *args: Any, **more: Any) -> Any:
        await self._answer("list_ended")
        return await super().list_ended(*args, **more)

    async def keep_fresh(self) -> int:
        await self._answer("keep_fresh")
        return await super().keep_fresh()

    async def get_workflow_status(self, ref: WorkflowRef) -> WorkflowStatus | None:
        await self._answer("get_workflow_status", ref.task_id)
        return await super().get_workflow_status(ref)


@pytest_asyncio.fixture
async def engine(database: Database) -> AsyncIterator[GreyEngine]:
    """Of a gateway that leads, looks often, and has seen that it lost no memory."""
    engine = GreyEngine(name="temporal")
    settings = Settings(database_url=database.url, grpc_enabled=False, reconcile_seconds=0.05)
    gateway: Gateway = build_gateway(settings, engines={"temporal": engine})
    gateway.router._flags = StaticFlags(Stage.LIVE)
    await gateway.start()
    await eventually(lambda: database.fetchval(IS_NOTED), within=20)
    yield engine
    await gateway.close()


def _restarted(engine: GreyEngine) -> Callable[[int], Any]:
    """Whether so many starts were made again."""

    async def are(tasks: int) -> bool:
        return len({start.ref.task_id for start in engine.starts}) == tasks

    return are


async def test_lost_starts_are_found_though_the_engine_lists_nothing(engine, database, new_task):
    """The visibility of Temporal hangs, and it has lost a start."""
    engine.silent = frozenset({"list_ended", "keep_fresh"})
    await new_task(backend="temporal")
    await database.execute(AGE)
    await eventually(lambda: _restarted(engine)(1))


async def test_a_start_that_the_engine_does_not_answer_for_delays_no_other(engine, database, new_task, monkeypatch):
    monkeypatch.setattr("gateway.recovery.engine_check.ASK_SECONDS", 0.2)
    engine.silent_about = "t00"
    for number in range(LOST):
        await new_task(task_id=f"t{number:02}", backend="temporal")
    await database.execute(AGE)
    await eventually(lambda: _restarted(engine)(LOST - 1))
    assert await database.fetchval("SELECT state FROM taskgate.dispatch WHERE task_id = 't00'") == "queued"
