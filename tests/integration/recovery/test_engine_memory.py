"""What an engine forgot is started again: all of it, however often the comparison is cut short, and by whom."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from backends.errors import EngineUnavailable
from backends.memory.engine import MemoryEngine
from backends.port import WorkflowEnginePort
from contracts.least import least
from gateway.recovery import engine_check as module
from gateway.recovery.engine_check import EngineCheck
from gateway.storage.database import Database

LOST = "SELECT count(*) FROM taskgate.dispatch WHERE state = 'waiting'"
PLACE = "SELECT after_group, after_task FROM taskgate.engine_memory"


@pytest.fixture
def new_check(database: Database, changes: Any) -> Callable[[WorkflowEnginePort], EngineCheck]:
    """What a leader compares with this engine."""
    return lambda engine: EngineCheck(database, engine, changes, is_down=lambda _: False, wake=lambda: None)


async def fill(database: Database, backend: str, tasks: int, groups: int) -> None:
    """Tasks that this engine should hold."""
    await database.execute(
        "INSERT INTO task_logs (id, group_id, task_type, status, payload, progress, retry_count)"
        " SELECT 't' || n, 'g' || n % $2, 'probe', 'PROCESSING', '{}', 0, 0 FROM generate_series(1, $1::int) n",
        tasks,
        groups,
    )
    await database.execute(
        "INSERT INTO taskgate.dispatch (task_id, group_id, task_type, state, backend, epoch, queued_at)"
        " SELECT 't' || n, 'g' || n % $2, 'probe', 'queued', $3, 1, now() FROM generate_series(1, $1::int) n",
        tasks,
        groups,
        backend,
    )


def fail_after(engine: Any, pages: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine goes away after it was asked about so many parts of pages."""
    real, asked = engine.find_lost, []

    async def find_lost(refs: Any) -> Any:
        asked.append(refs)
        if len(asked) > pages:
            raise EngineUnavailable
        return await real(refs)

    monkeypatch.setattr(engine, "find_lost", find_lost)


@pytest.mark.parametrize("pages", [0, 1])
async def test_a_comparison_that_was_cut_short_is_finished(
    pages, database, queue, redis_engine, new_check, monkeypatch
):
    check = new_check(redis_engine)
    await check.check_memory()
    await fill(database, "redis", 3000, 50)
    await queue.flushall()
    with monkeypatch.context() as patch:
        fail_after(redis_engine, pages * module.MEMORY_PARTS, patch)
        await check.check_memory()
    assert await database.fetchval(LOST) == pages * module.MEMORY_PAGE
    await check.check_memory()
    assert await database.fetchval(LOST) == 3000
    assert tuple(await database.fetchrow(PLACE)) == (None, None)


async def test_what_a_legacy_worker_has_or_ended_is_not_started_again(database, queue, redis_engine, new_check):
    """Its payload is gone from Redis, because it was taken: the row says so before the reconciler has seen it."""
    await fill(database, "redis", 4, 1)
    said = "UPDATE task_logs SET status = $2, started_at = now(), worker_id = 'legacy-1' WHERE id = $1"
    for task, status in (("t1", "PROCESSING"), ("t2", "COMPLETED"), ("t3", "FAILED")):
        await database.execute(said, task, status)
    check = new_check(redis_engine)
    await check.check_memory()
    assert await database.fetch("SELECT task_id FROM taskgate.dispatch WHERE state = 'waiting'") == [("t4",)]


async def test_a_comparison_is_finished_by_whoever_leads_next(database, queue, redis_engine, new_check, monkeypatch):
    """It does not ask again about what was compared."""
    await new_check(redis_engine).check_memory()
    await fill(database, "redis", 3000, 50)
    await queue.flushall()
    with monkeypatch.context() as patch:
        fail_after(redis_engine, module.MEMORY_PARTS, patch)
        await new_check(redis_engine).check_memory()
    real, asked = redis_engine.find_lost, []

    async def find_lost(refs: Any) -> Any:
        asked.extend(refs)
        return await real(refs)

    monkeypatch.setattr(redis_engine, "find_lost", find_lost)
    await new_check(redis_engine).check_memory()
    assert await database.fetchval(LOST) == 3000
    assert len(asked) == 1000


async def test_a_gateway_that_restarts_with_its_engine_misses_nothing(database, queue, redis_engine, new_check):
    await new_check(redis_engine).check_memory()
    await fill(database, "redis", 3000, 50)
    await queue.flushall()
    await new_check(redis_engine).check_memory()
    assert await database.fetchval(LOST) == 3000


async def test_what_an_engine_still_holds_is_left_alone(database, queue, redis_engine, new_check, new_task, start_of):
    check = new_check(redis_engine)
    await check.check_memory()
    await queue.flushall()
    kept, gone, runs = await new_task(), await new_task(), await new_task(state="running")
    await redis_engine.start_workflow(start_of(kept))
    await check.check_memory()
    states = dict(await database.fetch("SELECT task_id, state FROM taskgate.dispatch"))
    assert states == {kept: "queued", gone: "waiting", runs: "running"}


async def test_a_memory_that_is_lost_again_is_compared_from_the_beginning(
    database, queue, redis_engine, new_check, monkeypatch
):
    check = new_check(redis_engine)
    await check.check_memory()
    await fill(database, "redis", 3000, 50)
    await queue.flushall()
    with monkeypatch.context() as patch:
        fail_after(redis_engine, module.MEMORY_PARTS, patch)
        await check.check_memory()
    await database.execute("UPDATE taskgate.dispatch SET state = 'queued'")  # started again, and lost again
    await queue.flushall()
    await check.check_memory()
    assert await database.fetchval(LOST) == 3000


async def test_an_engine_that_is_asked_one_by_one_is_compared_to_the_end(database, new_check, monkeypatch):
    engine = MemoryEngine(name="temporal")
    check = new_check(engine)
    await check.check_memory()
    await fill(database, "temporal", 3000, 50)
    engine.forget()
    with monkeypatch.context() as patch:
        fail_after(engine, 0, patch)
        await check.check_memory()
    await check.check_memory()
    assert await database.fetchval(LOST) == 3000


async def test_a_part_that_cannot_be_compared_keeps_no_other_from_it(database, new_check, monkeypatch):
    engine = MemoryEngine(name="redis")
    await fill(database, "redis", 300, 50)
    real = engine.find_lost

    async def find_lost(refs: Any) -> Any:
        if any(ref.group_id == "g7" for ref in refs):
            raise EngineUnavailable
        return await real(refs)

    monkeypatch.setattr(engine, "find_lost", find_lost)
    monkeypatch.setattr(module, "MEMORY_PARTS", 1000)
    await new_check(engine).check_memory()
    assert await database.fetchval(LOST) == 294
    assert tuple(await database.fetchrow(PLACE)) == (None, None)


async def test_lost_tasks_are_found_at_more_than_a_thousand_a_second(database, queue, redis_engine, new_check):
    """60,000 tasks of a Redis that was emptied wait again within a minute; here are 10,000 (`make bench`: all)."""
    check = new_check(redis_engine)
    await check.check_memory()
    await fill(database, "redis", 10_000, 500)

    async def lose_all() -> float:
        await database.execute("UPDATE taskgate.dispatch SET state = 'queued'")
        await queue.flushall()
        began = time.monotonic()
        await check.check_memory()
        took = time.monotonic() - began
        assert await database.fetchval(LOST) == 10_000
        return took

    assert await least(lose_all, 10) < 10
