"""The runner between PostgreSQL and a handler, when words cross or do not come through."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from gateway.db import Database
from gateway.errors import DatabaseUnavailable
from gateway.status.transitions import Claim, Transitions
from workers.handlers.base import TaskHandler, TaskRegistry
from workers.outcome import Assignment, Completed, Stopped
from workers.progress import ProgressReporter
from workers.runner import Runner


class Disturbed(Transitions):
    """`claimed` is called when a claim is granted, before its answer comes; `away` reports of progress fail."""

    claimed: Callable[[str], Awaitable[None]] | None = None
    away = 0

    async def claim(self, task_id: str, *args: Any, **more: Any) -> Claim | None:
        claim = await super().claim(task_id, *args, **more)
        if self.claimed is not None:
            await self.claimed(task_id)
        return claim

    async def progress(self, *args: Any, **more: Any) -> bool:
        if self.away:
            self.away -= 1
            raise DatabaseUnavailable
        return await super().progress(*args, **more)


class Reporting(TaskHandler):
    """Reports through whatever context it is given: here the reporter itself."""

    def __init__(self) -> None:
        self.ran = 0

    @property
    def task_type(self) -> str:
        return "probe"

    async def process(self, payload: dict[str, Any], context: Any) -> None:
        self.ran += 1
        await context.update(payload["task_id"], progress=40, result={"n": 1}, increment_retry=True)


@pytest.fixture
def disturbed(database: Database, changes: Any) -> Disturbed:
    return Disturbed(database, changes)


@pytest.fixture
def handler() -> Reporting:
    return Reporting()


@pytest.fixture
async def runner(disturbed: Disturbed, handler: Reporting, new_worker: Any) -> Runner:
    registry, worker = TaskRegistry(), await new_worker()
    registry.register(handler)

    def context(claim: Claim, reporter: ProgressReporter) -> Any:
        return reporter

    return Runner(disturbed, registry, context, lambda: worker, engine_retries=False)


def assignment(task: str) -> Assignment:
    return Assignment(task, "redis", 1, {}, "probe", "g")


async def test_a_stop_that_comes_between_a_claim_and_its_answer(disturbed, runner, handler, new_task):
    async def stop(task_id: str) -> None:
        await disturbed.stop(task_id)
        runner.stop(task_id)

    disturbed.claimed = stop
    assert await runner.run(assignment(await new_task())) == Stopped("stopped")
    assert handler.ran == 0


async def test_word_of_an_earlier_stop_stops_nothing(disturbed, runner, handler, new_task):
    async def tell_late(task_id: str) -> None:
        runner.stop(task_id)

    disturbed.claimed = tell_late
    assert await runner.run(assignment(await new_task())) == Completed({"n": 1})
    assert handler.ran == 1


async def test_what_is_reported_while_postgresql_is_away_fails_no_run(disturbed, runner, handler, new_task, log_row):
    disturbed.away = 2
    task = await new_task()
    assert await runner.run(assignment(task)) == Completed({"n": 1})
    row = await log_row(task)
    assert (row["status"], row["progress"], row["result"]) == ("COMPLETED", 40, '{"n":1}')
    assert handler.ran == 1
