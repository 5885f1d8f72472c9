"""What a task's rows cost PostgreSQL: entries in indexes, and bytes of its log."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import asyncpg

from backends.memory.engine import MemoryEngine
from contracts.least import least
from gateway.access.placement import Placement
from gateway.bootstrap import build_gateway
from gateway.migration.parity.recorder import Recorder
from gateway.settings import Settings
from gateway.storage.database import Database
from gateway.storage.queries import Queries
from gateway.submission.new_task import NewTask
from gateway.submission.start_plan import StartPlan

TASKS = 200
#: Of a task that is accepted, started, claimed, reports its progress once, completes and is counted.
MOST_ENTRIES, MOST_BYTES = 25.0, 4250.0
SQL = Queries("tests.performance", "task_cost.sql")


async def test_a_task_writes_no_more_than_this(database: Database) -> None:
    await database.execute(
        "INSERT INTO taskgate.process (process_id, kind, backend, host, pid, version, lock_key)"
        " VALUES ('w', 'worker', 'redis', 'h', 1, '1', 1)"
    )
    settings = Settings(database_url=database.url, grpc_enabled=False)
    gateway = build_gateway(settings, engines={"redis": MemoryEngine(name="redis")})
    transitions = gateway.transitions
    due = datetime.now(UTC) + timedelta(seconds=10)
    plan = StartPlan("starting", due, "redis", "off", rule="target", entry_id=1)

    async def run(number: int) -> None:
        placement = Placement("acme", None, None)
        task = NewTask("probe", "g", {"content": "x" * 400, "number": number}, placement, None)
        await gateway.intake.submit([task], plans=[plan])
        claim = await transitions.claim(task.task_id, "redis", None, "w", with_payload=True)
        assert claim is not None
        await transitions.progress(task.task_id, claim.attempt, progress=50, message="half")
        assert await transitions.complete(task.task_id, claim.attempt)

    rows: list[asyncpg.Record] = []
    reader = await asyncpg.connect(database.url)

    async def measure() -> float:
        """Bytes of a task. What else PostgreSQL writes meanwhile on a busy machine is among them."""
        nonlocal rows
        since = await reader.fetchval("SELECT pg_current_wal_insert_lsn()")
        for number in range(TASKS):
            await run(number)
        assert await Recorder(database).tick() == TASKS
        rows = await reader.fetch(SQL.cost, since)
        return float(sum(row["bytes"] for row in rows)) / TASKS

    try:
        await reader.execute("CREATE EXTENSION IF NOT EXISTS pg_walinspect")
        for number in range(10):
            await run(number)
        assert await Recorder(database).tick() == 10
        bytes_a_task = await least(measure, MOST_BYTES)
    finally:
        await reader.close()
        await gateway.close()
    of = {row["relation"]: row for row in rows}
    entries = {name: row["entries"] / TASKS for name, row in of.items() if row["entries"]}
    assert sum(entries.values()) <= MOST_ENTRIES, entries
    assert bytes_a_task <= MOST_BYTES, {row["relation"]: row["bytes"] for row in rows}
    # A claim and a report of progress are heap-only.
    assert of["dispatch"]["hot"] >= 0.9 * TASKS
    assert of["task_logs"]["hot"] >= 1.8 * TASKS
