"""`taskgate release`: the gateway is taken out, and unmodified legacy workers run what it had accepted for Redis."""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio
from redis.asyncio import Redis

from contracts.flag import Flag
from deploy.local import taskgate
from deploy.local.errors import StackError
from gateway.access.placement import Placement
from gateway.bootstrap import Gateway, build_gateway
from gateway.routing.stages import Stage
from gateway.settings import Settings
from gateway.storage.database import Database
from gateway.submission.new_task import NewTask
from gateway.tasks.lifecycle.release import release
from legacy_system import LegacyWorkerProcess, read_effects
from workers.testing.waiting import eventually


@pytest_asyncio.fixture
async def gateway(
    redis: Redis, redis_server: str, database_url: str, temporal_server: str, temporal_namespace: str, tmp_path: Path
) -> AsyncIterator[Gateway]:
    """Without workers: what it accepts waits. The tenant `moved` is on Temporal."""
    flag = Flag(tmp_path / "flags.json")
    flag.write(Stage.LIVE, "moved")
    gateway = build_gateway(
        Settings(
            database_url=database_url,
            redis_url=redis_server,
            temporal_address=temporal_server,
            temporal_namespace=temporal_namespace,
            flags_file=flag.path,
            grpc_enabled=False,
        )
    )
    await gateway.start()
    yield gateway
    await gateway.close()


async def submit(gateway: Gateway, tenant: str, group: str, not_before: datetime | None = None) -> str:
    task_id = secrets.token_hex(8)
    task = NewTask(
        task_type="noop",
        group_id=group,
        payload={"group_id": group},
        placement=Placement(tenant, None, None),
        user_id="u",
        task_id=task_id,
        not_before=not_before,
    )
    await gateway.intake.submit([task])
    return task_id


async def statuses(rows: asyncpg.Connection) -> dict[str, str]:
    return {row["id"]: row["status"] for row in await rows.fetch("SELECT id, status FROM task_logs")}


async def test_waiting_redis_tasks_are_given_back_and_run_once(
    gateway: Gateway,
    rows: asyncpg.Connection,
    database: Database,
    database_url: str,
    redis_server: str,
    tmp_path: Path,
) -> None:
    given = [await submit(gateway, "stays", f"group-{number % 3}") for number in range(9)]
    moved = await submit(gateway, "moved", "group-m")
    later = await submit(gateway, "stays", "group-0", datetime.now(UTC) + timedelta(hours=2))
    query = "SELECT count(*) FROM taskgate.dispatch WHERE state = 'queued'"
    await eventually(lambda: rows.fetchval(query), lambda count: count == len(given) + 1, within=20)
    await gateway.close()

    output = await taskgate.run("release", "--yes", environment={"TASKGATE_DATABASE_URL": database_url})

    assert "9 waiting tasks given back" in output
    assert "left: 1 tasks queued on temporal" in output
    assert "left: 1 tasks waiting on redis" in output
    status = await statuses(rows)
    assert {status[task] for task in given} == {"PENDING"}
    # Still reserved: no legacy worker may take them (R2).
    assert {status[moved], status[later]} == {"PROCESSING"}
    assert (await release(database, None, by="ada")).rows == 0

    # Their rows are younger than the legacy system's 60 s, so recovery copies nothing.
    worker = LegacyWorkerProcess(redis_server, database_url, tmp_path / "effects.jsonl", recovery_seconds=0.2)
    await worker.start()
    try:
        over = "SELECT count(*) FROM task_logs WHERE status = 'COMPLETED'"
        await eventually(lambda: rows.fetchval(over), lambda count: count == len(given), within=30)
    finally:
        await worker.stop()
    starts = [line["task"] for line in read_effects(tmp_path / "effects.jsonl") if line["event"] == "start"]
    assert sorted(starts) == sorted(given)


async def lists(redis: Redis) -> list[str]:
    """The ids of the tasks in all groups' lists."""
    found = [await redis.lrange(key, 0, -1) async for key in redis.scan_iter("queue:group:*")]
    return sorted(json.loads(payload)["task_id"] for payloads in found for payload in payloads)


async def test_what_is_given_back_is_in_redis(
    gateway: Gateway, redis: Redis, redis_server: str, rows: asyncpg.Connection, database_url: str
) -> None:
    tasks = [await submit(gateway, "stays", f"group-{number}") for number in range(4)]
    query = "SELECT count(*) FROM taskgate.dispatch WHERE state = 'queued'"
    await eventually(lambda: rows.fetchval(query), lambda count: count == len(tasks), within=20)
    environment = {"TASKGATE_DATABASE_URL": database_url, "TASKGATE_REDIS_URL": redis_server}

    # Beside a living gateway nothing is given back.
    with pytest.raises(StackError, match=f"gateway {gateway.lease.process_id} .* --force"):
        await taskgate.run("release", "--yes", environment=environment)
    assert "4 waiting tasks would be given back" in await taskgate.run("release", "--dry-run", environment=environment)
    await gateway.close()
    # One lost with its list, one to be started again, two in their lists.
    await redis.delete("queue:group:group-0")
    await redis.delete("queue:group:group-1")
    await rows.execute(
        "UPDATE taskgate.dispatch SET state = 'waiting', backend = NULL, due_at = now() WHERE task_id = $1",
        tasks[1],
    )

    output = await taskgate.run("release", "--yes", environment=environment)

    assert "4 waiting tasks given back" in output
    assert "2 of them were in none of redis's lists" in output
    assert await lists(redis) == sorted(tasks)
    assert set((await statuses(rows)).values()) == {"PENDING"}
    audit = "SELECT evidence->>'tasks' FROM taskgate.ledger WHERE kind = 'release'"
    assert await rows.fetchval(audit) == "4"


async def test_what_was_not_yet_pushed_is_pushed_by_legacy_recovery(
    gateway: Gateway,
    redis: Redis,
    rows: asyncpg.Connection,
    database: Database,
    legacy_worker: LegacyWorkerProcess,
    tmp_path: Path,
) -> None:
    tasks = [await submit(gateway, "stays", "group") for _ in range(3)]
    query = "SELECT count(*) FROM taskgate.dispatch WHERE state = 'queued'"
    await eventually(lambda: rows.fetchval(query), lambda count: count == len(tasks), within=20)
    await gateway.close()
    await rows.execute("UPDATE taskgate.dispatch SET state = 'waiting', backend = NULL, due_at = now()")
    await redis.flushall()

    assert (await release(database, None, by="ada")).rows == len(tasks)
    await legacy_worker.start()

    async def ran() -> set[str]:
        return {line["task"] for line in read_effects(tmp_path / "effects.jsonl") if line["event"] == "end"}

    await eventually(ran, lambda seen: seen == set(tasks), within=30)
