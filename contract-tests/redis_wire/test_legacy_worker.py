"""What the gateway pushes, a legacy worker runs; and the defects of L5 that the suite's legacy worker really has."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from redis.asyncio import Redis

from backends.port import WorkflowStart, WorkflowState
from backends.redis_queue.engine import RedisQueueEngine
from legacy_system import EXAMPLES, LegacyProducer, LegacyWorkerProcess, read_effects
from workers.testing.starts import new_start
from workers.testing.waiting import eventually


@pytest.fixture
def effects(tmp_path: Path) -> Path:
    return tmp_path / "effects.jsonl"


async def _row(rows: asyncpg.Connection, task_id: str, status: str = "PENDING", **more: Any) -> None:
    columns = {"id": task_id, "group_id": "g", "task_type": "noop", "status": status, "payload": "{}", **more}
    names, places = ", ".join(columns), ", ".join(f"${n + 1}" for n in range(len(columns)))
    await rows.execute(f"INSERT INTO task_logs ({names}) VALUES ({places})", *columns.values())


async def _reserve(rows: asyncpg.Connection, start: WorkflowStart) -> None:
    """The row of a task that waits in the gateway's care."""
    await _row(rows, start.ref.task_id, "PROCESSING", group_id=start.ref.group_id, task_type=start.ref.task_type)


async def _becomes(rows: asyncpg.Connection, task_id: str, status: str) -> asyncpg.Record:
    async def look() -> asyncpg.Record:
        record = await rows.fetchrow("SELECT * FROM task_logs WHERE id = $1", task_id)
        assert record is not None
        return record

    return await eventually(look, lambda record: record["status"] == status)


@pytest.mark.parametrize("task_type", [*sorted(EXAMPLES), "noop"])
async def test_a_legacy_worker_runs_what_the_gateway_pushed(
    engine: RedisQueueEngine,
    legacy_worker: LegacyWorkerProcess,
    rows: asyncpg.Connection,
    redis: Redis,
    effects: Path,
    task_type: str,
) -> None:
    start = new_start(EXAMPLES.get(task_type), group_id="g", task_type=task_type)
    await _reserve(rows, start)
    await engine.start_workflow(start)
    await legacy_worker.start()
    record = await _becomes(rows, start.ref.task_id, "COMPLETED")
    assert record["worker_id"] == legacy_worker.worker_id
    begun, ended = read_effects(effects)
    assert (begun["event"], ended["event"]) == ("start", "end")
    assert begun["payload"].keys() >= EXAMPLES.get(task_type, {}).keys()
    await eventually(lambda: redis.exists("lock:queue:group:g", "queue:processing:global"), lambda count: count == 0)
    assert await engine.get_workflow_status(start.ref) is None, "legacy workers leave no trace on the engine"


async def test_while_a_legacy_worker_runs_it_the_engine_says_so(
    engine: RedisQueueEngine, legacy_worker: LegacyWorkerProcess, rows: asyncpg.Connection, effects: Path
) -> None:
    start = new_start({"effect": "sleep:30"}, group_id="g", task_type="noop")
    await _reserve(rows, start)
    await engine.start_workflow(start)
    await legacy_worker.start()
    status = await eventually(
        lambda: engine.get_workflow_status(start.ref), lambda status: status.state is WorkflowState.RUNNING
    )
    assert status is not None
    await engine.start_workflow(start)
    assert not await engine.cancel_workflow(start.ref, "stopped"), "it runs, and nobody can reach it"


async def test_a_killed_legacy_workers_task_can_be_requeued(
    engine: RedisQueueEngine,
    legacy_worker: LegacyWorkerProcess,
    rows: asyncpg.Connection,
    redis: Redis,
    effects: Path,
) -> None:
    """R6: nobody frees the lock of a worker that was killed, for an hour."""
    start = new_start({"effect": "sleep:0.5"}, group_id="g", task_type="noop")
    await _reserve(rows, start)
    await engine.start_workflow(start)
    await legacy_worker.start()
    await _becomes(rows, start.ref.task_id, "PROCESSING")
    await eventually(lambda: redis.llen("queue:processing:global"), lambda count: count == 1)
    await legacy_worker.kill()
    assert await redis.ttl("lock:queue:group:g") > 3000
    assert await engine.requeue_workflow(start.ref, "its worker was lost")
    assert not await redis.exists("lock:queue:group:g", "queue:processing:global")
    await legacy_worker.start()
    await _becomes(rows, start.ref.task_id, "COMPLETED")


async def test_reserved_rows_are_left_alone(
    legacy_worker: LegacyWorkerProcess, rows: asyncpg.Connection, effects: Path
) -> None:
    """The decision that makes a second backend possible: R2 takes PENDING rows, whoever owns them, and only those."""
    await rows.execute(
        "INSERT INTO task_logs (id, group_id, task_type, status, payload, created_at) VALUES"
        " ('reserved', 'g', 'noop', 'PROCESSING', '{}', now() - interval '1 hour'),"
        " ('pending', 'g', 'noop', 'PENDING', '{}', now() - interval '1 hour')"
    )
    await legacy_worker.start()
    await _becomes(rows, "pending", "COMPLETED")
    await _row(rows, "later")
    await _becomes(rows, "later", "COMPLETED")
    assert {line["task"] for line in read_effects(effects)} == {"pending", "later"}


async def test_r2_runs_a_task_twice_that_only_waited(
    legacy_worker: LegacyWorkerProcess, rows: asyncpg.Connection, redis: Redis, effects: Path
) -> None:
    await legacy_worker.start()
    producer = LegacyProducer(redis, rows)
    before = await producer.submit("noop", "g", {"effect": "sleep:1.5"})
    await _becomes(rows, before, "PROCESSING")
    waiting = await producer.submit("noop", "g")
    await eventually(
        lambda: _read(effects),
        lambda lines: [line["task"] for line in lines if line["event"] == "end"].count(waiting) >= 2,
    )


async def _read(effects: Path) -> list[dict[str, Any]]:
    return read_effects(effects)


async def test_r1_the_newest_is_first(
    legacy_worker: LegacyWorkerProcess, rows: asyncpg.Connection, redis: Redis, effects: Path
) -> None:
    producer = LegacyProducer(redis)
    ids = [await producer.submit("noop", "g") for _ in range(3)]
    await legacy_worker.start()
    lines = await eventually(lambda: _read(effects), lambda lines: len(lines) == 6)
    assert [line["task"] for line in lines if line["event"] == "start"] == list(reversed(ids))


async def test_r7_a_type_without_handler_is_completed(
    legacy_worker: LegacyWorkerProcess, rows: asyncpg.Connection, redis: Redis
) -> None:
    await legacy_worker.start()
    task_id = await LegacyProducer(redis, rows).submit("no_such_type", "g")
    assert (await _becomes(rows, task_id, "COMPLETED"))["error_message"] is None


async def test_r9_a_stopped_task_still_runs(
    legacy_worker: LegacyWorkerProcess, rows: asyncpg.Connection, redis: Redis, effects: Path
) -> None:
    task_id = await LegacyProducer(redis, rows).submit("noop", "g")
    await rows.execute("UPDATE task_logs SET status = 'FAILED', stopped_at = now() WHERE id = $1", task_id)
    await legacy_worker.start()
    await _becomes(rows, task_id, "COMPLETED")
    assert read_effects(effects)


async def test_r3_the_lock_is_deleted_whoever_holds_it(
    legacy_worker: LegacyWorkerProcess, rows: asyncpg.Connection, redis: Redis
) -> None:
    await legacy_worker.start()
    task_id = await LegacyProducer(redis, rows).submit("noop", "g", {"effect": "sleep:0.5"})
    await _becomes(rows, task_id, "PROCESSING")
    await redis.set("lock:queue:group:g", "somebody-else")
    await eventually(lambda: redis.exists("lock:queue:group:g"), lambda count: count == 0)


@pytest.mark.parametrize(("task_type", "comes_back"), [("add_episode", True), ("rebuild_communities", False)])
async def test_r4_and_r5_recovery_goes_by_the_time_of_enqueueing(
    legacy_worker: LegacyWorkerProcess,
    rows: asyncpg.Connection,
    redis: Redis,
    task_type: str,
    comes_back: bool,
) -> None:
    body = LegacyProducer.body(task_type, "g", "old") | {"timestamp": time.time() - 86_400}
    await _row(rows, "old", "PROCESSING", task_type=task_type)
    await redis.lpush("queue:processing:global", json.dumps(body))
    await legacy_worker.start()
    if comes_back:
        assert (await _becomes(rows, "old", "COMPLETED"))["retry_count"] == 1
    else:
        await eventually(lambda: redis.llen("queue:processing:global"), lambda count: count == 0)
        assert not await redis.exists("queue:group:g")
