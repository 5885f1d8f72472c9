"""A task that changes a group's graph waits for its turn before its claim, and loses nothing by it."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from gateway.graph.turns import TYPES_IN_TURN
from gateway.settings import Settings
from gateway.storage.database import Database
from gateway.tasks.lifecycle.foreign import ForeignTasks
from gateway.tasks.lifecycle.transitions import Transitions
from workers.context import ContextFactory
from workers.execution.isolated import IsolatedExecution
from workers.handlers.add_episode import AddEpisodeHandler
from workers.handlers.base import TaskRegistry
from workers.handlers.loader import load_registry
from workers.outcome import Assignment, Completed, Refused
from workers.runner import Runner
from workers.turns import Turns

ROW = "SELECT state, attempt, failures FROM taskgate.dispatch"


@pytest.fixture
async def runner(bench: Any, database: Database, changes: Any, new_worker: Any) -> Runner:
    registry, worker = TaskRegistry(), await new_worker()
    registry.register(AddEpisodeHandler())
    return Runner(
        Transitions(database, changes),
        ForeignTasks(database),
        registry,
        lambda _claim, progress: bench.contexts.build(progress, bench.reports),
        lambda: worker,
        engine_retries=True,
        turns=Turns(partial(bench.graph.turn, seconds=0.5)),
    )


@pytest.fixture
async def offered(bench: Any, database: Database, new_task: Any) -> Assignment:
    """An episode of the bench's group that has a second, as Temporal offers it."""
    task = await new_task(backend="temporal", timeout_seconds=60, max_attempts=1)
    await database.execute("UPDATE taskgate.dispatch SET task_type = 'add_episode', group_id = $1", bench.group_id)
    return Assignment(task, "temporal", 1, bench.episode("Alice works at Acme."), "add_episode", bench.group_id)


async def test_it_waits_without_a_claim(
    bench: Any, rival: ContextFactory, database: Database, runner: Runner, offered: Assignment
) -> None:
    await database.execute("UPDATE taskgate.dispatch SET timeout_seconds = 1")
    async with rival.graph.client.driver.exclusive(bench.group_id):
        for _ in range(2):
            outcome = await runner.run(offered)
            assert isinstance(outcome, Refused)
            assert outcome.retry_in is not None
    assert tuple(await database.fetchrow(ROW)) == ("queued", 0, 0)
    await database.execute("UPDATE taskgate.dispatch SET timeout_seconds = 60")
    assert await runner.run(offered) == Completed(None)
    assert tuple(await database.fetchrow(ROW)) == ("completed", 1, 0)
    assert (await bench.read()).names == ["Acme", "Alice"]
    await rival.close()


async def test_a_graph_that_cannot_be_used_holds_nobody_up(database: Database) -> None:
    """The handler says what is wrong."""
    nowhere = "bolt://127.0.0.1:1"
    for url in (None, nowhere):
        contexts = ContextFactory(Settings(graph_url=url, models_module=None, llm_url=None), database)
        async with Turns(contexts.graph.turn).taken("g") as pause:
            assert pause is None
        await contexts.close()


async def test_a_handler_in_a_process_of_its_own_waits_there(runner: Runner, database: Database) -> None:
    """The lock that its worker held would keep its own handler out."""
    assert runner._takes_turns("add_episode")
    runner._isolated = IsolatedExecution(Settings(database_url=database.url, isolated_types="add_episode"))
    assert not runner._takes_turns("add_episode")


def test_the_types_in_turn_are_handlers_of_ours() -> None:
    assert set(load_registry([]).get_all_handlers()) >= TYPES_IN_TURN
