"""A crowd of tasks that come together does not stand before what others submit meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from backends.memory.engine import MemoryEngine
from backends.port import WorkflowStart
from contracts.slow_engines import ParallelEngine
from gateway.access.placement import Placement
from gateway.bootstrap import Gateway, build_gateway
from gateway.routing.query import RouteQuery
from gateway.settings import Settings
from gateway.storage.database import Database
from gateway.submission.new_task import NewTask
from workers.testing.waiting import eventually, until

pytestmark = pytest.mark.system

CROWD = 60
CONCURRENCY = 2


class SlowEngine(MemoryEngine):
    """Takes as many starts as it is allowed to."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.allowed = asyncio.Semaphore(0)
        self.took = asyncio.Event()

    async def start_workflow(self, start: WorkflowStart) -> None:
        await self.allowed.acquire()
        await super().start_workflow(start)
        self.took.set()

    async def take_starts(self, count: int) -> list[str]:
        """The ids of all tasks that it was told of, once there are so many more of them."""
        wanted = len(self.starts) + count
        for _ in range(count):
            self.allowed.release()
        async with asyncio.timeout(20):
            while len(self.starts) < wanted:
                self.took.clear()
                await self.took.wait()
        return [start.ref.task_id for start in self.starts]


@pytest.fixture
async def engine() -> SlowEngine:
    return SlowEngine(name="redis")


@pytest.fixture
async def gateway(database: Database, engine: SlowEngine) -> AsyncIterator[Gateway]:
    settings = Settings(database_url=database.url, dispatch_concurrency=CONCURRENCY, dispatch_sweep_seconds=0.2)
    gateway = build_gateway(settings, engines={"redis": engine})
    await gateway.start()
    yield gateway
    for _ in range(CROWD * 2):
        engine.allowed.release()
    await gateway.close()


def tasks(count: int, tenant: str, **more: Any) -> list[NewTask]:
    return [NewTask("probe", "g", {}, Placement(tenant, None, None), None, **more) for _ in range(count)]


async def test_a_new_task_goes_before_a_crowd(gateway: Gateway, engine: SlowEngine, database: Database) -> None:
    await gateway.intake.submit(tasks(CROWD, "many"))
    taken = await engine.take_starts(10)
    (new,) = tasks(1, "one")
    await gateway.intake.submit([new])
    state = await database.fetchval("SELECT state FROM taskgate.dispatch WHERE task_id = $1", new.task_id)
    assert state == "starting"
    taken = await engine.take_starts(4 * CONCURRENCY)
    assert new.task_id in taken
    # All of the crowd are started in the end, each once.
    taken = await engine.take_starts(CROWD + 1 - len(taken))
    assert len(set(taken)) == len(taken) == CROWD + 1
    await eventually(
        lambda: database.fetchval("SELECT count(*) FROM taskgate.dispatch WHERE state <> 'queued'"),
        lambda found: not found,
    )


async def test_crowds_take_turns(gateway: Gateway, engine: SlowEngine, database: Database) -> None:
    """A second crowd does not wait for the end of the first, nor what is urgent for what came before it."""
    await database.execute("INSERT INTO taskgate.tenant (tenant_id, weight) VALUES ('heavy', 3)")
    await gateway.intake.submit([*tasks(5 * CROWD, "many"), *tasks(40, "many", priority=1)])
    taken = await engine.take_starts(20)
    second, heavy = tasks(40, "second"), tasks(80, "heavy")
    await gateway.intake.submit([*second, *heavy])
    seen = len(taken)
    taken = (await engine.take_starts(120))[seen:]
    share = {name: sum(task.task_id in taken for task in some) for name, some in (("s", second), ("h", heavy))}
    urgent = {
        row["task_id"] for row in await database.fetch("SELECT task_id FROM taskgate.dispatch WHERE priority = 1")
    }
    assert share["s"] >= 12
    assert share["h"] >= 2 * share["s"]
    assert urgent & set((await engine.take_starts(0))[:100])
    taken = await engine.take_starts(5 * CROWD + 40 + 120 - seen - len(taken))
    assert len(set(taken)) == len(taken) == 5 * CROWD + 160


async def test_few_are_started_at_once(gateway: Gateway, engine: SlowEngine, database: Database) -> None:
    pair = tasks(2, "one")
    await gateway.intake.submit(pair)
    states = await database.fetch("SELECT DISTINCT state FROM taskgate.dispatch")
    assert [row["state"] for row in states] == ["starting"]


async def move_to_temporal(database: Database, gateway: Gateway, tenant: str) -> None:
    await database.execute(
        "INSERT INTO taskgate.route_override (tenant_id, stage, why, set_by) VALUES ($1, 'live', 't', 't')", tenant
    )
    await database.execute("SELECT pg_notify('taskgate_overrides', '')")
    await until(lambda: gateway.router.route(RouteQuery(tenant, "probe", "", plan=None)).backend == "temporal")


async def test_another_backend_is_not_held_up(database: Database, engine: SlowEngine, tmp_path: Any) -> None:
    """Its tasks come after a crowd whose backend stands still."""
    other = MemoryEngine(name="temporal")
    settings = Settings(database_url=database.url, dispatch_concurrency=CONCURRENCY, dispatch_sweep_seconds=0.2)
    gateway = build_gateway(settings, engines={"redis": engine, "temporal": other})
    await gateway.start()
    try:
        await move_to_temporal(database, gateway, "other")
        await gateway.intake.submit([*tasks(CROWD, "many"), *tasks(10, "other")])
        await until(lambda: len(other.starts) >= 10)
        assert len(engine.starts) == 0
    finally:
        for _ in range(CROWD * 2):
            engine.allowed.release()
        await gateway.close()


_COUNT_REWRITES = """
CREATE TABLE rewrite (task_id text);
CREATE FUNCTION count_rewrite() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN INSERT INTO rewrite VALUES (NEW.task_id); RETURN NULL; END $$;
CREATE TRIGGER count_rewrite AFTER UPDATE ON taskgate.dispatch FOR EACH ROW
    WHEN (OLD.state = 'waiting' AND NEW.state = 'waiting') EXECUTE FUNCTION count_rewrite();
"""
_FORGET_REWRITES = "DROP TRIGGER count_rewrite ON taskgate.dispatch; DROP FUNCTION count_rewrite; DROP TABLE rewrite"


async def test_a_crowd_is_not_written_again_while_it_waits(database: Database, tmp_path: Any) -> None:
    """A fast engine has room for many tasks, the engine of the crowd for few: each of those is marked once."""
    slow, fast = SlowEngine(name="temporal"), ParallelEngine(name="redis")
    settings = Settings(database_url=database.url, dispatch_concurrency=40, dispatch_sweep_seconds=0.2)
    gateway = build_gateway(settings, engines={"redis": fast, "temporal": slow})
    await gateway.start()
    try:
        await gateway.intake.submit(tasks(5 * CROWD, "other"))
        await until(lambda: len(fast.starts) >= 5 * CROWD)
        await move_to_temporal(database, gateway, "many")
        await database.execute(_COUNT_REWRITES)
        await gateway.intake.submit(tasks(5 * CROWD, "many", not_before=datetime.now(UTC) + timedelta(seconds=3)))
        for _ in range(5 * CROWD):
            await slow.take_starts(1)
        rewritten = await database.fetchval("SELECT max(n) FROM (SELECT count(*) n FROM rewrite GROUP BY task_id) r")
        assert rewritten == 1
        assert len({start.ref.task_id for start in slow.starts}) == len(slow.starts) == 5 * CROWD
    finally:
        await database.execute(_FORGET_REWRITES)
        await gateway.close()
