"""With many tasks, counts under a page of entries and `task why` read indexes; how long it takes, `make bench` says."""

from __future__ import annotations

from gateway.access.placement import Caller
from gateway.migration.ledger.explanation import SQL, Explanations
from gateway.migration.ledger.writer import Flip, append
from gateway.routing.router import Router
from gateway.routing.stages import REDIS, Stage
from gateway.routing.testing import StaticFlags
from gateway.storage.database import Database

#: The page below has a quarter of them: enough that a scan of all would be dearer than one of the index.
TASKS = 60_000
#: Each with a run, under the entries 1 to 200; without the indexes, which are made when all is there.
FILL = f"""
INSERT INTO taskgate.dispatch (task_id, group_id, task_type, tenant_id, state, backend, stage, rule, entry_id, epoch,
                               attempt)
SELECT 'task-' || n, 'g', 'add_episode', 'acme', 'completed', 'redis', 'off', 'target', 1 + n % 200, 1, 1
FROM generate_series(1, {TASKS}) n;
INSERT INTO taskgate.attempt (task_id, attempt, epoch, backend, worker_id, outcome, stage, rule, entry_id)
SELECT 'task-' || n, 1, 1, 'redis', 'w', 'completed', 'off', 'target', 1 + n % 200
FROM generate_series(1, {TASKS}) n;
"""
READ = ("taskgate.dispatch_entry", "taskgate.dispatch_open")
#: Of the newest page of the list.
UNDER = SQL.tasks_under.replace("$1::bigint[]", f"'{{{','.join(map(str, range(151, 201)))}}}'::bigint[]")


async def test_many_tasks(database: Database) -> None:
    async with database.transaction() as db:
        for number in range(200):
            await append(db, Flip("file", f"tenant:t{number}", None, Stage.LIVE, "ada", "move", str(number)))
    slow = await database.connect()
    try:
        indexes = await slow.fetch(
            "SELECT schemaname || '.' || indexname AS name, indexdef FROM pg_indexes"
            " WHERE tablename = 'dispatch' AND schemaname = 'taskgate' AND indexname <> 'dispatch_pkey'"
        )
        for index in indexes:
            await slow.execute(f"DROP INDEX {index['name']}")
        # Committed as usual: VACUUM marks no page as visible to all whose commit the disk may not have yet.
        await slow.execute(FILL, timeout=300)
        read = [index["indexdef"] for index in indexes if index["name"] in READ]
        assert len(read) == len(READ)
        for definition in read:
            await slow.execute(definition, timeout=300)
        await slow.execute("VACUUM ANALYZE taskgate.dispatch", timeout=300)
        rows = await slow.fetch(f"EXPLAIN (ANALYZE, BUFFERS) {UNDER}")
        await slow.execute("ANALYZE taskgate.attempt; ANALYZE taskgate.ledger", timeout=300)
    finally:
        await slow.close()
    plan = "\n".join(row[0] for row in rows)
    assert "Index Only Scan using dispatch_entry" in plan, plan
    assert "Seq Scan" not in plan, plan
    explanations = Explanations(database, Router(StaticFlags(), None, frozenset({REDIS})))
    root = Caller("root", "key", True, frozenset())
    for number in range(1, TASKS, TASKS // 20):
        answer = await explanations.why(f"task-{number}", root)
        assert [start["entry"]["id"] for start in answer["starts"]] == [1 + number % 200]
    plan = "\n".join(row[0] for row in await database.fetch(f"EXPLAIN {SQL.why}", "task-1"))
    assert "Index Scan using attempt_pkey" in plan, plan
    assert "Index Scan using dispatch_pkey" in plan, plan
    assert "Seq Scan on attempt" not in plan, plan
