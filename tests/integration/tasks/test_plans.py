"""Statements about one task find it by its id, whatever PostgreSQL believes of how many are open."""

from __future__ import annotations

import json
import re
from typing import Any

import asyncpg

from gateway.access.placement import Caller
from gateway.dags.run_reader import SQL as STEPS
from gateway.dispatch.open_starts import SQL as STARTER
from gateway.recovery.engine_check import SQL as ENGINE_CHECK
from gateway.recovery.reaper import SQL as REAPER
from gateway.storage.database import Database
from gateway.storage.queries import Queries
from gateway.tasks.lifecycle.transitions import SQL
from gateway.tasks.queries.task_log import TaskLog
from gateway.tasks.queries.task_selection import Selection, TaskSelector, Wanted

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


ENDED = Queries("tests.performance", "large.sql")
#: Of 30,000 ended tasks, which are 6,000 pages; a page of a list is 51 of them.
READ = 2500


class Explaining(Database):
    """Notes how many pages (8 kB) each statement reads."""

    def __init__(self, url: str) -> None:
        super().__init__(url, size=1)
        self.read: list[int] = []

    async def fetch(self, query: str, *arguments: Any) -> list[asyncpg.Record]:
        text = await self.fetchval(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT json) {query}", *arguments)
        plan = json.loads(text)[0]["Plan"]
        self.read.append(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])
        return await super().fetch(query, *arguments)


async def test_a_page_of_everybodys_tasks_does_not_cost_all_of_them(database: Database) -> None:
    direct = await asyncpg.connect(database.url)
    await direct.execute(ENDED.fill, 30_000, 1, ["acme", "globex"], 60.0)
    await direct.execute("VACUUM ANALYZE")
    await direct.close()
    explaining, admin = Explaining(database.url), Caller("u", "k", True, frozenset())
    for state in ([], ["failed"], ["completed"], ["waiting"], ["running"]):
        page = await TaskSelector(explaining).page(Wanted(admin, Selection(state=state), {}), limit=51)
        assert len(page) == (0 if state in (["waiting"], ["running"]) else 51)
    assert len(await TaskLog(explaining).list(admin, limit=50)) == 50
    await explaining.close()
    assert [read for read in explaining.read if read > READ] == [], explaining.read
