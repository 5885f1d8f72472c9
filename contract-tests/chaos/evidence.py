"""What a history came to, once everything in it is over: the evidence that the checker judges."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from dataclasses import asdict
from math import inf

from backends.port import WorkflowRef
from checker import OPEN, AttemptRow, Effect, History, Violation
from clients import Clients
from world import World

#: When so long no further task has ended, nothing more is waited for.
SETTLE_SECONDS = 120.0
#: So long after the last fault (seconds), and after what was open then could have ended, everything is over.
STUCK_SECONDS = 60.0
#: How long an engine may go on with a start that has ended for the gateway (a copy that waits, a cancellation).
VIEW_SECONDS = 30.0
#: Where it is told what became of a task.
TABLES = (
    ("task_logs", "id"),
    ("taskgate.dispatch", "task_id"),
    ("taskgate.attempt", "task_id"),
    ("taskgate.engine_duty", "subject"),
    ("taskgate.dag_run", "run_id"),
    ("taskgate.dag_node", "run_id"),
)
#: Questions to engines and gateways at once.
AT_ONCE = 12


async def settle(world: World, tasks_per_second: float) -> dict[str, float]:
    """Wait until every task is over, or nothing moves any more; returns what goes into `History.stuck`.

    `tasks_per_second`: how many ended so far, faults included.
    """
    began = time.monotonic()
    before, since, stuck = inf, began, None
    allowed = STUCK_SECONDS + len(await world.rows.open_tasks()) / max(tasks_per_second, 0.1)
    while time.monotonic() < since + SETTLE_SECONDS:
        open_tasks = await world.rows.open_tasks()
        if stuck is None and time.monotonic() > began + allowed:
            stuck = dict.fromkeys(open_tasks, allowed)
        if not open_tasks and await world.legacy_is_done():
            break
        if len(open_tasks) < before:
            before, since = len(open_tasks), time.monotonic()
        await asyncio.sleep(0.3)
    return stuck or {}


async def history_of(world: World, clients: Clients) -> History:
    engines = await engines_views(world)
    dags = {run_id: await clients.see_run(run_id) for run_id in clients.runs}
    waiting = list(clients.tasks)

    async def see() -> None:
        while waiting:
            await clients.see_final_status(waiting.pop())

    await asyncio.gather(*(see() for _ in range(AT_ONCE)))
    attempts: dict[str, list[AttemptRow]] = {}
    async with world.rows.connected() as database:
        statuses = {row["id"]: row["status"] for row in await database.fetch("SELECT id, status FROM task_logs")}
        for row in await database.fetch(
            "SELECT a.task_id, a.attempt, a.outcome, l.id IS NOT NULL AS is_joined"
            " FROM taskgate.attempt a LEFT JOIN taskgate.ledger l ON l.id = a.entry_id ORDER BY a.attempt"
        ):
            attempts.setdefault(row["task_id"], []).append(AttemptRow(row["attempt"], row["outcome"], row["is_joined"]))
    effects = [Effect(**json.loads(line)) for line in world.effects.read_text().splitlines()]
    return History(clients.tasks, effects, statuses, attempts, world.kills, engines, dags)


async def engines_views(world: World) -> dict[str, str]:
    """What each engine says of the last start of each task; what is still open is given a while to end."""
    async with world.rows.connected() as database:
        rows = await database.fetch(
            "SELECT task_id, epoch, group_id, task_type, backend FROM taskgate.dispatch WHERE backend IS NOT NULL"
        )
    engines = world.engines()
    waiting = {row["task_id"]: row for row in rows}
    views: dict[str, str] = {}

    async def look() -> None:
        while queue:
            row = queue.pop()
            ref = WorkflowRef(row["task_id"], row["epoch"], row["group_id"], row["task_type"])
            status = await engines[row["backend"]].get_workflow_status(ref)
            views[ref.task_id] = "" if status is None else str(status.state)

    deadline = inf
    while waiting and time.monotonic() < deadline:
        queue = list(waiting.values())
        await asyncio.gather(*(look() for _ in range(AT_ONCE)))
        deadline = min(deadline, time.monotonic() + VIEW_SECONDS)  # the first look at thousands takes longer itself
        waiting = {task_id: row for task_id, row in waiting.items() if views[task_id] in OPEN}
        await asyncio.sleep(0.2)
    for engine in engines.values():
        await engine.close()
    return views


def starts_by(history: History) -> dict[str, int]:
    return dict(Counter(effect.by for effect in history.effects if effect.event == "start"))


async def explain(world: World, violations: list[Violation], history: History) -> None:
    """What is known of the first offenders."""
    async with world.rows.connected() as database:
        for violation in violations[:10]:
            print(f"\n{violation.rule}: task {violation.task}: {violation.detail}")
            for table, key in TABLES:
                for row in await database.fetch(f"SELECT * FROM {table} WHERE {key} = $1", violation.task):
                    known = {name: str(value) for name, value in row.items() if value is not None}
                    shown = {name: value[:300] for name, value in known.items() if name != "payload"}
                    print(f"  {table}: {shown}")
            for effect in history.effects:
                if effect.task == violation.task:
                    print(
                        f"  {effect.at:.3f} {effect.event} in {effect.by} process {effect.pid} (run {effect.run[:8]})"
                    )
            print(f"  engine: {history.engines.get(violation.task, 'not asked')!r}")
            print(f"  clients: {asdict(history.tasks[violation.task]) if violation.task in history.tasks else None}")
