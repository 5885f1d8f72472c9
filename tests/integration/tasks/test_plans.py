"""Statements about one task find it by its id, whatever PostgreSQL believes of how many are open."""

from __future__ import annotations

import re

from gateway.dags.run_reader import SQL as STEPS
from gateway.dispatch.open_starts import SQL as STARTER
from gateway.recovery.engine_check import SQL as ENGINE_CHECK
from gateway.recovery.reaper import SQL as REAPER
from gateway.storage.database import Database
from gateway.tasks.lifecycle.transitions import SQL

OF_ONE_TASK = {
    "claim": SQL.claim,
    "claim_again": SQL.claim_again,
    "complete": SQL.complete,
    "fail": SQL.fail,
    "hand_back": SQL.hand_back,
    "progress": SQL.progress,
    "still_running": SQL.still_running,
    "confirm": STARTER.confirm,
    "put_back": STARTER.put_back,
    "renew": STARTER.renew,
    "repeat_later": STARTER.repeat_later,
    "refuse": STARTER.refuse,
    "start_again": REAPER.start_again,
    "end_by_engine": ENGINE_CHECK.end_by_engine,
    "hold_run": STEPS.hold_run,
    "facts": STEPS.facts,
    "begin_run": STEPS.begin_run,
    "add_nodes": STEPS.add_nodes,
    "finish_run": STEPS.finish_run,
}

OPEN_INDEXES = {"dispatch_open", "dispatch_not_begun"}
#: Nothing is open, as far as the statistics know.
MANY_ENDED = """
INSERT INTO taskgate.dispatch (task_id, group_id, task_type, created_at, state, due_at)
SELECT 'plan-' || n, 'g', 't', now(), 'completed', now() FROM generate_series(1, 10000) n
"""


async def test_no_index_of_open_tasks_is_read(database: Database) -> None:
    wrong: dict[str, str] = {}
    async with database.transaction() as db:
        await db.execute(MANY_ENDED)
        await db.execute("ANALYZE taskgate.dispatch")
        await db.execute("SET LOCAL plan_cache_mode = force_generic_plan")
        for name, statement in OF_ONE_TASK.items():
            count = len((await db.prepare(statement)).get_parameters())
            await db.execute(f"PREPARE {name} AS {statement}")
            values = ", ".join(["NULL"] * count)
            plan = "\n".join(row[0] for row in await db.fetch(f"EXPLAIN EXECUTE {name} ({values})"))
            read = set(re.findall(r"\bdispatch_\w+", plan))
            if "dispatch_pkey" not in read or read & OPEN_INDEXES:
                wrong[name] = plan
    assert wrong == {}
