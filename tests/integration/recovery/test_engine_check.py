"""What an engine does not answer keeps nobody from looking at the rest of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio

from backends.memory.engine import MemoryEngine
from backends.port import WorkflowRef, WorkflowStart, WorkflowStatus
from gateway.bootstrap import Gateway, build_gateway
from gateway.recovery.engine_check import EngineCheck
from gateway.recovery.leader import Left
from gateway.routing.stages import Stage
from gateway.routing.testing import StaticFlags
from gateway.settings import Settings
from gateway.storage.database import Database
from workers.testing.waiting import eventually

IS_NOTED = "SELECT count(*) = 1 FROM taskgate.engine_memory WHERE after_group IS NULL"
AGE = "UPDATE taskgate.dispatch SET queued_at = now() - interval '1 minute'"
#: More than three pages of waiting tasks.
LOST = 65


class GreyEngine(MemoryEngine):
    """Answers nothing of these names, and nothing about this task."""

    silent: frozenset[str] = frozenset()
    silent_about = ""

    async def _answer(self, name: str, task_id: str = "-") -> None:
        if name in self.silent or task_id == self.silent_about:
            await asyncio.Event().wait()

    async def list_ended(self, *args: Any, **more: Any) -> Any:
        await self._answer("list_ended")
        return await super().list_ended(*args, **more)

    async def keep_fresh(self) -> int:
        await self._answer("keep_fresh")
        return await super().keep_fresh()

    async def get_workflow_status(self, ref: WorkflowRef) -> WorkflowStatus | None:
        await self._answer("get_workflow_status", ref.task_id)
        return await super().get_workflow_status(ref)


@pytest_asyncio.fixture
async def engine(database: Database) -> AsyncIterator[GreyEngine]:
    """Of a gateway that leads, looks often, and has seen that it lost no memory."""
    engine = GreyEngine(name="temporal")
    settings = Settings(database_url=database.url, grpc_enabled=False, reconcile_seconds=0.05)
    gateway: Gateway = build_gateway(settings, engines={"temporal": engine})
    gateway.router._flags = StaticFlags(Stage.LIVE)
    await gateway.start()
    await eventually(lambda: database.fetchval(IS_NOTED), within=20)
    yield engine
    await gateway.close()


def _restarted(engine: GreyEngine) -> Callable[[int], Any]:
    """Whether so many starts were made again."""

    async def are(tasks: int) -> bool:
        return len({start.ref.task_id for start in engine.starts}) == tasks

    return are


async def test_lost_starts_are_found_though_the_engine_lists_nothing(engine, database, new_task):
    """The visibility of Temporal hangs, and it has lost a start."""
    engine.silent = frozenset({"list_ended", "keep_fresh"})
    await new_task(backend="temporal")
    await database.execute(AGE)
    await eventually(lambda: _restarted(engine)(1))


async def test_a_start_that_the_engine_does_not_answer_for_delays_no_other(engine, database, new_task, monkeypatch):
    monkeypatch.setattr("gateway.recovery.engine_check.ASK_SECONDS", 0.2)
    engine.silent_about = "t00"
    for number in range(LOST):
        await new_task(task_id=f"t{number:02}", backend="temporal")
    await database.execute(AGE)
    await eventually(lambda: _restarted(engine)(LOST - 1))
    assert await database.fetchval("SELECT state FROM taskgate.dispatch WHERE task_id = 't00'") == "queued"


class Checks:
    """The checks of one engine by themselves; the test says what it answers, and whether it is down."""

    def __init__(self, database: Database, changes: Any) -> None:
        self.engine = GreyEngine(name="temporal")
        self.is_down = False
        self.checks = EngineCheck(
            database, self.engine, changes, is_down=lambda _: self.is_down, wake=lambda: None
        )  # fmt: skip


@pytest.fixture
def alone(database: Database, changes: Any, monkeypatch: pytest.MonkeyPatch) -> Checks:
    monkeypatch.setattr("gateway.recovery.engine_check.LOOK_SECONDS", 0.2)
    monkeypatch.setattr("gateway.recovery.engine_check.ASK_SECONDS", 0.2)
    monkeypatch.setattr("gateway.recovery.engine_check.REPORT_GRACE", timedelta(0))
    return Checks(database, changes)


@pytest.mark.parametrize("silence", ["answers nothing", "is down"])
async def test_a_look_at_what_ended_counts_as_done_only_if_the_engine_answered(alone, new_task, silence):
    alone.is_down = silence == "is down"
    alone.engine.silent = frozenset({"list_ended", "keep_fresh"})
    looks = (alone.checks.merge_ended, alone.checks.keep_fresh)
    assert [await look() for look in looks] == [None, None], "it has nothing that may have ended"
    await new_task(backend="temporal")
    assert [await look() for look in looks] == [Left.FOR_LATER, Left.FOR_LATER]
    alone.is_down, alone.engine.silent = False, frozenset()
    assert [await look() for look in looks] == [None, None]


async def test_an_end_that_the_engine_says_nothing_more_of_is_left_for_later(alone, new_task, start_of, database):
    task_id = await new_task(task_id="t", backend="temporal")
    start: WorkflowStart = start_of(task_id)
    await alone.engine.start_workflow(start)
    await alone.engine.cancel_workflow(start.ref, "by hand")
    assert await alone.checks.merge_ended() is None
    alone.engine.silent = frozenset({"get_workflow_status"})
    assert await alone.checks.settle() is Left.FOR_LATER
    alone.is_down, alone.engine.silent = True, frozenset()
    assert await alone.checks.settle() is Left.FOR_LATER
    alone.is_down = False
    assert await alone.checks.settle() is None
    assert await database.fetchval("SELECT state FROM taskgate.dispatch WHERE task_id = 't'") == "stopped"


async def test_a_page_of_which_one_start_was_not_answered_for_is_left_for_later(alone, new_task, start_of, database):
    await alone.engine.start_workflow(start_of(await new_task(task_id="t", backend="temporal")))
    await database.execute(AGE)
    alone.engine.silent_about = "t"
    assert await alone.checks.check_open() is Left.FOR_LATER
    alone.engine.silent_about = ""
    assert {await alone.checks.check_open() for _ in range(10)} == {None}
