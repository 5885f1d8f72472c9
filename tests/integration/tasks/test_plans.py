"""Statements about one task find it by its id, whatever PostgreSQL believes of how many are open."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from gateway.access.placement import Caller
from gateway.dags.run_reader import SQL as STEPS
from gateway.dispatch.open_starts import SQL as STARTER
from gateway.recovery.engine_check import SQL as ENGINE_CHECK
from gateway.recovery.reaper import SQL as REAPER
from gateway.storage.database import Database
from gateway.storage.queries import Queries
from gateway.tasks.lifecycle.transitions import SQL
from gateway.tasks.queries.task_log import TaskLog
from gateway.tasks.queries.task_selection import Selection, State, TaskSelector, Wanted

pytestmark = pytest.mark.system

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
    "nodes_to_begin": STEPS.nodes_to_begin,
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
#: Of 30,000 ended tasks, which are 6,000 pages; a page of a list is 51 of them, each found three times by its key.
READ = 1500


class Explaining(Database):
    """Notes how many pages (8 kB) each statement reads, and by which steps that are carried out."""

    def __init__(self, url: str) -> None:
        super().__init__(url, size=1)
        self.read: list[int] = []
        self.steps: set[str] = set()

    async def fetch(self, query: str, *arguments: Any) -> list[asyncpg.Record]:
        text = await self.fetchval(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT json) {query}", *arguments)
        plan = json.loads(text)[0]["Plan"]
        self.read.append(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])
        self._note(plan)
        return await super().fetch(query, *arguments)

    def _note(self, plan: dict[str, Any]) -> None:
        if not plan["Actual Loops"]:
            return
        self.steps.add(" ".join((plan["Node Type"], plan.get("Relation Name", ""))).strip())
        for part in plan.get("Plans", ()):
            self._note(part)

    @property
    def whole_tables(self) -> set[str]:
        """Steps that read a whole table, or that other processes are started for."""
        return {step for step in self.steps if re.match("(Parallel )?(Seq|Bitmap Heap) Scan|Gather", step)}


#: As if other processes cost nothing, and each table were worth them.
EAGER = {
    "parallel_setup_cost": "0",
    "parallel_tuple_cost": "0",
    "min_parallel_table_scan_size": "0",
    "min_parallel_index_scan_size": "0",
}


@pytest.fixture
async def ended(database: Database) -> AsyncIterator[Explaining]:
    """With 30,000 ended tasks, 30 of them stopped, and a planner that likes to start processes."""
    direct = await asyncpg.connect(database.url)
    await direct.execute(ENDED.fill, 30_000, 1, ["acme", "globex"], 60.0)
    await direct.execute("VACUUM ANALYZE")
    name = await direct.fetchval("SELECT current_database()")
    for setting, value in EAGER.items():
        await direct.execute(f'ALTER DATABASE "{name}" SET {setting} = {value}')
    await direct.close()
    explaining = Explaining(database.url)
    yield explaining
    await explaining.close()


ADMIN = Caller("u", "k", True, frozenset())


@pytest.mark.parametrize(
    ("state", "found"),
    [([], 51), (["failed"], 51), (["completed"], 51), (["stopped"], 29), (["waiting"], 0), (["running"], 0)],
)
async def test_a_page_of_everybodys_tasks_does_not_cost_all_of_them(
    ended: Explaining, state: list[State], found: int
) -> None:
    page = await TaskSelector(ended).page(Wanted(ADMIN, Selection(state=state), {}), limit=51)
    assert len(page) == found
    assert ended.whole_tables == set()
    # Stopped tasks are found among those that failed.
    assert state == ["stopped"] or max(ended.read) <= READ


@pytest.mark.parametrize("status", [None, "Completed", "Failed"])
async def test_nor_does_a_page_of_the_old_lists(ended: Explaining, status: str | None) -> None:
    assert len(await TaskLog(ended).recent(ADMIN, status=status)) == 50
    assert ended.whole_tables == set()
    assert max(ended.read) <= READ
