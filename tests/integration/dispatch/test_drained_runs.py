"""A run outlasts the grace of its worker's drain: it ends well, or keeps its claim; it is never begun beside itself."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from gateway.settings import Settings
from gateway.storage.database import Database
from gateway.tasks.lifecycle.foreign import ForeignTasks
from workers import runner as module
from workers.endings import DRAIN
from workers.execution import isolated as isolated_module
from workers.execution.isolated import IsolatedExecution
from workers.handlers.base import TaskHandler
from workers.handlers.loader import load_registry
from workers.outcome import Assignment, Completed, Kept, Refused
from workers.runner import Runner
from workers.testing.waiting import eventually, until

READ = "SELECT state FROM taskgate.dispatch"
LAST = "SELECT outcome FROM taskgate.attempt ORDER BY attempt DESC LIMIT 1"


class Stubborn(TaskHandler):
    """Takes no notice of its cancellation until it is `let`; `error` is what it raises then."""

    task_type = "probe"
    began: Callable[[], Any]
    error: Exception | None = None

    def let(self) -> None:
        raise NotImplementedError


class InThread(Stubborn):
    def __init__(self) -> None:
        self._loop, self._began = asyncio.get_running_loop(), asyncio.Event()
        self._over = threading.Event()
        self.began, self.let = self._began.wait, self._over.set  # type: ignore[method-assign]

    def process(self, payload: dict[str, Any], context: Any) -> dict[str, int]:  # type: ignore[override]
        self._loop.call_soon_threadsafe(self._began.set)
        self._over.wait(60)
        if self.error is not None:
            raise self.error
        return {"n": 1}


class InLoop(Stubborn):
    def __init__(self) -> None:
        self._began, self._over = asyncio.Event(), asyncio.Event()
        self.began, self.let = self._began.wait, self._over.set  # type: ignore[method-assign]

    async def process(self, payload: dict[str, Any], context: Any) -> dict[str, int]:  # type: ignore[override]
        self._began.set()
        while not self._over.is_set():
            try:
                await self._over.wait()
            except asyncio.CancelledError:
                continue
        if self.error is not None:
            raise self.error
        return {"n": 1}


@pytest.fixture(params=[InThread, InLoop])
async def stubborn(request: pytest.FixtureRequest, runner: Runner) -> AsyncIterator[Stubborn]:
    handler: Stubborn = request.param()
    runner._registry.register(handler)
    yield handler
    handler.let()
    await runner.wait_idle()


def assignment(task: str) -> Assignment:
    return Assignment(task, "redis", 1, {}, "probe", "g")


async def drained(runner: Runner, stubborn: Stubborn, task: str) -> asyncio.Task[Any]:
    """Its run, once the worker's grace is over."""
    run = asyncio.create_task(runner.run(assignment(task)))
    await stubborn.began()
    runner.drain()
    runner.stop_all(DRAIN)
    return run


async def test_a_handler_that_goes_on_keeps_its_claim(
    database: Database, runner: Runner, stubborn: Stubborn, new_task: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else its task would begin elsewhere beside it."""
    monkeypatch.setattr(module, "CANCEL_GRACE", 0.05)
    assert await (await drained(runner, stubborn, await new_task())) == Kept()
    await runner.compare()
    assert await database.fetchval(READ) == "running"
    assert not runner.is_idle
    stubborn.let()
    await eventually(lambda: database.fetchval(READ), lambda state: state == "completed")
    assert await database.fetchval(LAST) == "completed"
    assert await database.fetchval("SELECT result::text FROM task_logs") == '{"n":1}'


async def test_once_a_handler_that_went_on_has_failed_its_task_is_handed_back(
    database: Database, runner: Runner, stubborn: Stubborn, new_task: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CANCEL_GRACE", 0.05)
    stubborn.error = ValueError("cut short")
    assert await (await drained(runner, stubborn, await new_task())) == Kept()
    stubborn.let()
    await eventually(lambda: database.fetchval(READ), lambda state: state == "queued")
    assert await database.fetchval(LAST) == "lost"
    assert await database.fetchval("SELECT failures FROM taskgate.dispatch") == 0


async def test_what_completes_in_its_grace_is_not_repeated(
    database: Database, runner: Runner, stubborn: Stubborn, new_task: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CANCEL_GRACE", 30.0)
    run = await drained(runner, stubborn, await new_task())
    stubborn.let()
    assert await run == Completed({"n": 1})
    assert await database.fetchval(READ) == "completed"


async def test_what_fails_in_its_grace_is_handed_back(
    database: Database, runner: Runner, stubborn: Stubborn, new_task: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CANCEL_GRACE", 30.0)
    stubborn.error = ValueError("cut short")
    run = await drained(runner, stubborn, await new_task())
    stubborn.let()
    assert isinstance(await run, Refused)
    assert await database.fetchval(READ) == "queued"


async def test_what_its_engine_takes_back_keeps_its_claim_too(
    database: Database, runner: Runner, stubborn: Stubborn, new_task: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CANCEL_GRACE", 0.05)
    run = asyncio.create_task(runner.run(assignment(await new_task())))
    await stubborn.began()
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    await runner.compare()
    assert await database.fetchval(READ) == "running"
    stubborn.let()
    await eventually(lambda: database.fetchval(READ), lambda state: state == "completed")


async def test_what_completes_in_a_process_of_its_own_is_not_repeated(
    database: Database, disturbed: Any, lease: Any, new_task: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CANCEL_GRACE", 30.0)
    monkeypatch.setattr(isolated_module, "CANCEL_SECONDS", 30.0)
    settings = Settings(database_url=database.url, handlers="workers.testing.misbehaving")
    isolated = IsolatedExecution(settings)
    runner = Runner(
        disturbed,
        ForeignTasks(database),
        load_registry(settings.handler_modules),
        None,  # type: ignore[arg-type]
        lambda: lease.process_id,
        engine_retries=False,
        isolated=isolated,
    )
    journal, task = tmp_path / "journal", await new_task()
    await database.execute("UPDATE taskgate.dispatch SET task_type = 'isolated_ignore_cancellation'")
    payload = {"journal": str(journal), "seconds": 1.0}
    run = asyncio.create_task(runner.run(Assignment(task, "redis", 1, payload, "isolated_ignore_cancellation", "g")))
    try:
        await until(journal.exists)
        runner.stop_all(DRAIN)
        assert await run == Completed(None)
    finally:
        await isolated.close()
    assert await database.fetchval(READ) == "completed"
